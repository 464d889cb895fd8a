# SPDX-License-Identifier: Apache-2.0
"""A host on which as much as possible is possible, without touching the real one: run in new mount, pid and network namespaces, it gives
itself the addresses and sockets that postern-probe tries, then runs the given command as UID:GID, and exits as it does."""
import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

ADDRESSES = ["1.1.1.1/32", "169.254.169.254/32", "2606:4700:4700::1111/128"]
RUN = {"XDG_RUNTIME_DIR": "/run/user", "DBUS_SESSION_BUS_ADDRESS": "unix:path=/run/user/bus,guid=0", "SSH_AUTH_SOCK": "/run/user/agent"}
SOCKETS = ["/run/docker.sock", "/run/containerd/containerd.sock", "/run/podman/podman.sock", "/run/dbus/system_bus_socket", "/run/user/bus",
           "/run/user/agent", "/run/user/podman/podman.sock"]


def must(*command):
    subprocess.run(command, check=True)


def answer(sock):
    while True:
        if sock.type == socket.SOCK_DGRAM:
            sock.sendto(b"an answer", sock.recvfrom(512)[1])
        else:
            peer, _ = sock.accept()
            with contextlib.suppress(OSError):  # it may have gone already
                peer.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            peer.close()


def serve(family, kind, address):
    sock = socket.socket(family, kind)
    sock.bind(address)
    if kind == socket.SOCK_STREAM:
        sock.listen()
    threading.Thread(target=answer, args=(sock,), daemon=True).start()


def main():
    uid, gid = map(int, sys.argv[1].split(":"))
    must("mount", "--make-rprivate", "/")
    must("mount", "-t", "sysfs", "sys", "/sys")  # this network's
    # What a kernel may lack is for the test's list of reasons.
    for kind, place in (("cgroup2", "/sys/fs/cgroup"), ("debugfs", "/sys/kernel/debug"), ("tracefs", "/sys/kernel/debug/tracing"),
                        ("binfmt_misc", "/proc/sys/fs/binfmt_misc")):
        subprocess.run(["mount", "-t", kind, "none", place], check=False, stderr=subprocess.DEVNULL)
    must("mount", "-t", "tmpfs", "-o", "mode=755", "run", "/run")
    Path("/run/resolv.conf").write_text("nameserver 1.1.1.1\n")
    must("mount", "--bind", "/run/resolv.conf", os.path.realpath("/etc/resolv.conf"))
    must("ip", "link", "set", "lo", "up")
    for address in ADDRESSES:
        must("ip", "addr", "add", address, "dev", "lo")
    Path("/proc/sys/net/ipv4/ping_group_range").write_text("0 2147483647")
    time.sleep(0.2)
    for path in SOCKETS:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        serve(socket.AF_UNIX, socket.SOCK_STREAM, path)
        os.chmod(path, 0o777)
    for family, address in ((socket.AF_INET, "1.1.1.1"), (socket.AF_INET6, "2606:4700:4700::1111")):
        serve(family, socket.SOCK_STREAM, (address, 443))
        serve(family, socket.SOCK_DGRAM, (address, 53))
    serve(socket.AF_INET, socket.SOCK_STREAM, ("169.254.169.254", 80))
    serve(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 3128))
    environment = {**os.environ, **RUN, "http_proxy": "http://127.0.0.1:3128/"}
    sys.exit(subprocess.run(sys.argv[2:], check=False, user=uid, group=gid, extra_groups=[], env=environment).returncode)


main()
