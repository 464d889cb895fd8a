# SPDX-License-Identifier: Apache-2.0
"""Runs in a sandbox and tries to get out of it. Its argument is a JSON object that says what there is on the host (tests/escape_host.py).
Prints a line for each attempt: "NAME: refused (ERRNO)", or "NAME: done" with what it got. Beside it lies `syscalls`, the program that
makes each call of the deny list; it is run first."""
import contextlib
import ctypes
import errno
import fcntl
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import termios
import time

LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.shmat.restype = ctypes.c_void_p
HOST = json.loads(sys.argv[1])
PIDS = [1, HOST["pid"], HOST["holder"], HOST["supervisor"]]
SYS_IOPRIO_SET, SYS_KCMP, SYS_OPEN_BY_HANDLE_AT = 251, 312, 304
SYS_PIDFD_OPEN, SYS_PIDFD_GETFD, SYS_PROCESS_VM_READV, SYS_PTRACE = 434, 438, 310, 101


def call(result):
    """What a C function returned, as Python would have it."""
    if result in (-1, 0xFFFFFFFFFFFFFFFF):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def attempt(name, function, *arguments):
    try:
        got = function(*arguments)
    except (OSError, ValueError) as e:
        number = getattr(e, "errno", None)
        print(f"{name}: refused ({errno.errorcode.get(number, type(e).__name__)})", flush=True)
    else:
        print(f"{name}: done {got!r}", flush=True)


def read(path):
    with open(path, "rb") as file:
        return file.read(4096).decode("utf-8", "replace")


def write(path, text="x"):
    fd = os.open(path, os.O_WRONLY)
    return os.write(fd, text.encode())


# --- files -------------------------------------------------------------------------------------------------------------


def files():
    for path in HOST["secrets"]:
        attempt(f"read {path}", read, path)
        attempt(f"write {path}", write, path)
    watch = LIBC.inotify_init1(0)
    attempt("listen for what others read", lambda: call(LIBC.inotify_add_watch(watch, HOST["folder"].encode(), 0xFFF)))
    os.close(watch)
    for path in ("/usr/bin/env", "/etc/passwd", "/bin/sh"):
        attempt(f"rewrite {path}", write, path, "")
        attempt(f"mode of {path}", os.chmod, path, 0o777)
    attempt("make a file in /usr", lambda: os.open("/usr/planted", os.O_CREAT | os.O_WRONLY))
    # A link that the host's programs would follow is theirs to refuse; here it must lead to what is here.
    os.symlink(HOST["secrets"][0], "link")
    attempt("read over a symlink", read, "link")
    attempt("hard link to a file of the host's", os.link, HOST["secrets"][0], "hard")
    for n in range(1, 40, 6):
        attempt(f"{n} folders up", read, "../" * n + HOST["secrets"][0].lstrip("/"))
    handle = bytes.fromhex(HOST["handle"])
    mount = os.open("/sandbox", os.O_RDONLY | os.O_DIRECTORY)
    attempt("open by handle", lambda: os.read(call(LIBC.syscall(SYS_OPEN_BY_HANDLE_AT, mount, handle, os.O_RDONLY)), 100))
    os.close(mount)
    for kind, name in ((0o060000, "block"), (0o020000, "character")):
        attempt(f"make a {name} device", os.mknod, f"node-{name}", kind | 0o600, os.makedev(7, 0))
    attempt("chroot", os.chroot, "/tmp")


# --- descriptors -------------------------------------------------------------------------------------------------------


def descriptors():
    for fd in [*range(3, 64), 100, 255, 1000, 1023]:
        try:
            where = os.readlink(f"/proc/self/fd/{fd}")
        except OSError:
            where = ""
        try:
            os.fstat(fd)
        except OSError:
            continue
        if where not in ("", "/dev/null") and "/sandbox/" not in where:
            print(f"descriptor {fd}: done {where!r}", flush=True)
    print("descriptors: refused (EBADF)", flush=True)
    # Input and output are files of the host's that were opened for one thing only.
    attempt("write what was given to be read", write, "/proc/self/fd/0")
    attempt("write to input", os.write, 0, b"x")
    attempt("truncate input", os.ftruncate, 0, 0)
    attempt("read what was given to be written", read, "/proc/self/fd/2")
    attempt("beside the input", read, "/proc/self/fd/0/../secret")
    attempt("below the input", lambda: os.open("..", os.O_RDONLY, dir_fd=0))


# --- /proc ---------------------------------------------------------------------------------------------------------------


def proc():
    secret = HOST["secrets"][0]
    for pid in [*PIDS, "self", "thread-self"]:
        for what in (f"root{secret}", "cwd/../../../../.." + secret, "environ", "mem", "maps", "exe", "fd/3", f"fd/{HOST['fd']}", "map_files", "auxv", "stack", "syscall"):
            if pid in ("self", "thread-self") and what in ("environ", "maps", "exe", "auxv", "mem", "fd/3", "syscall", "map_files"):
                continue  # its own
            attempt(f"/proc/{pid}/{what.replace(secret, '/secret')}", read, f"/proc/{pid}/{what}")
        for name in ("user", "mnt", "net", "pid", "ipc", "uts", "cgroup"):
            if pid not in ("self", "thread-self"):
                attempt(f"/proc/{pid}/ns/{name}", lambda pid=pid, name=name: os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY))
        for what in ("mem", "oom_score_adj", "uid_map", "gid_map", "setgroups", "attr/current", "clear_refs", "comm"):
            if (pid, what) not in (("self", "comm"), ("thread-self", "comm")):
                attempt(f"write /proc/{pid}/{what}", lambda pid=pid, what=what: os.open(f"/proc/{pid}/{what}", os.O_WRONLY))
    for path in ("sys/kernel/core_pattern", "sys/kernel/hostname", "sys/kernel/modprobe", "sys/kernel/hotplug", "sys/vm/overcommit_memory", "sysrq-trigger",
                 "sys/fs/binfmt_misc/register", "sys/net/ipv4/ip_forward", "sys/net/ipv4/ping_group_range", "sys/user/max_user_namespaces", "sys/kernel/ns_last_pid",
                 "irq/default_smp_affinity", "acpi/wakeup", "bus/pci/00/00.0", "scsi/scsi", "mtrr", "timer_list"):
        attempt(f"write /proc/{path}", write, f"/proc/{path}", "1")
    for path in ("kcore", "kmsg", "vmallocinfo", "slabinfo", "1/root", "kpagecount", "kpageflags"):
        attempt(f"read /proc/{path}", read, f"/proc/{path}")
    for path in ("/sys/kernel/uevent_helper", "/sys/power/state", "/sys/fs/cgroup/cgroup.procs", "/sys/kernel/debug", "/sys/class/net", "/dev/mem", "/dev/kmsg", "/dev/fuse",
                 "/dev/kvm", "/dev/net/tun", "/dev/vda", "/dev/sda", "/dev/loop-control", "/dev/console"):
        attempt(f"open {path}", lambda path=path: os.open(path, os.O_RDONLY))
    seen = [int(pid) for pid in os.listdir("/proc") if pid.isdigit()]
    others = [pid for pid in seen if pid not in (1, os.getpid(), os.getppid())]
    print(f"processes of others: done {others}" if others else "processes of others: refused (ESRCH)", flush=True)
    # Nothing to be refused, but the host's secret must not be in them.
    for path in ("/proc/keys", "/proc/net/unix", "/proc/self/mountinfo", "/proc/net/route", "/proc/self/cgroup"):
        try:
            print(f"shown {path}: {read(path)!r}", flush=True)
        except OSError:
            pass


# --- processes -----------------------------------------------------------------------------------------------------------


def processes():
    buffer = ctypes.create_string_buffer(64)
    vector = (ctypes.c_uint64 * 2)(ctypes.addressof(buffer), 64)
    for pid in PIDS[1:]:
        for number in (0, signal.SIGKILL, signal.SIGSTOP):
            attempt(f"signal {number:d} to {pid}", os.kill, pid, number)
            attempt(f"signal {number:d} to the group of {pid}", os.killpg, pid, number)
        attempt(f"priority of {pid}", os.setpriority, os.PRIO_PROCESS, pid, 19)
        attempt(f"limits of {pid}", resource.prlimit, pid, resource.RLIMIT_NOFILE, (0, 0))
        attempt(f"scheduling of {pid}", os.sched_setaffinity, pid, {0})
        attempt(f"own signals to {pid}", lambda pid=pid: fcntl.fcntl(socket.socketpair()[0], fcntl.F_SETOWN, pid))
        attempt(f"kcmp of {pid}", lambda pid=pid: call(LIBC.syscall(SYS_KCMP, os.getpid(), pid, 0, 0, 0)))
    for pid in PIDS:
        attempt(f"memory of {pid}", lambda pid=pid: call(LIBC.syscall(SYS_PROCESS_VM_READV, pid, vector, 1, vector, 1, 0)))
        attempt(f"trace {pid}", lambda pid=pid: call(LIBC.syscall(SYS_PTRACE, 0x4206, pid, 0, 0)))
        attempt(f"pidfd of {pid}", lambda pid=pid: call(LIBC.syscall(SYS_PIDFD_OPEN, pid, 0)))
        attempt(f"descriptor of {pid}", lambda: call(LIBC.syscall(SYS_PIDFD_GETFD, 0, HOST["fd"], 0)))
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_USER, os.getuid(), 19)  # those of this user: the host looks whether its own are among them
    LIBC.syscall(SYS_IOPRIO_SET, 3, os.getuid(), 3 << 13)
    attempt("shared memory", lambda: ctypes.string_at(call(LIBC.shmat(call(LIBC.shmget(HOST["key"], 0, 0)), None, 0o10000)), 64))
    attempt("message queue", lambda: call(LIBC.msgget(HOST["key"], 0)))
    attempt("hostname", lambda: call(LIBC.sethostname(b"hostile", 7)))
    for number in (0, 1, 2):
        for request, name in ((termios.TIOCSTI, "TIOCSTI"), (0x541C, "TIOCLINUX"), (0x100000000 | termios.TIOCSTI, "TIOCSTI high")):
            attempt(f"{name} on {number}", lambda number=number, request=request: call(LIBC.ioctl(number, ctypes.c_ulong(request), b"\x02")))
    for path in ("/dev/tty", "/dev/tty0", "/dev/tty1", "/dev/pts/0", "/dev/console", HOST["terminal"]):
        attempt(f"terminal {path}", lambda path=path: os.open(path, os.O_RDWR | os.O_NOCTTY))


# --- sockets -------------------------------------------------------------------------------------------------------------


def connect_unix(name, kind=socket.SOCK_STREAM):
    sock = socket.socket(socket.AF_UNIX, kind)
    sock.connect(name)
    sock.settimeout(1)
    try:
        return sock.recv(100)
    except TimeoutError:  # it waits for what we have to say
        return "connected"


def connect(address, port):
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    sock.settimeout(5)
    sock.connect((address, port))
    sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
    return sock.recv(200)


def datagram(address, port, family=socket.AF_INET, kind=socket.SOCK_DGRAM, protocol=0):
    sock = socket.socket(family, kind, protocol)
    sock.settimeout(2)
    sock.connect((address, port))
    sock.send(b"\x12\x34\x01\0\0\1\0\0\0\0\0\0\7example\3com\0\0\1\0\1")
    return sock.recv(512)


def broadcast(address):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    sock.settimeout(1)
    sock.sendto(b"x", (address, 53))
    return sock.recv(100)


def netlink(kind, body):
    """One request to rtnetlink that would change the network, and its acknowledgement."""
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
    sock.settimeout(5)
    message = (16 + len(body)).to_bytes(4, "little") + kind.to_bytes(2, "little") + (0x605).to_bytes(2, "little") + bytes(8) + body
    sock.send(message)
    number = -int.from_bytes(sock.recv(4096)[16:20], "little", signed=True)
    if number:
        raise OSError(number, "")
    return "acknowledged"


def sockets():
    for name in HOST["sockets"]:
        attempt(f"socket {name}", connect_unix, name)
        attempt(f"datagrams to {name}", connect_unix, name, socket.SOCK_DGRAM)
    for name in HOST["abstract"]:
        attempt(f"abstract {name}", connect_unix, "\0" + name)
    for variable in HOST["variables"]:
        print(f"variable {variable}: done" if variable in os.environ else f"variable {variable}: refused (ENOENT)", flush=True)
    for address in ("127.0.0.1", "::1", "::ffff:127.0.0.1", "10.200.0.1", "10.200.0.2", *HOST["addresses"], "169.254.169.254", "192.0.2.1", "2001:db8::1", "fe80::1", "0.0.0.0"):
        for port in (HOST["port"], 22, 53, 80, 2375):
            attempt(f"TCP to {address} {port}", connect, address, port)
        attempt(f"UDP to {address}", datagram, address, 53, socket.AF_INET6 if ":" in address else socket.AF_INET)
        if ":" not in address:
            attempt(f"ICMP to {address}", datagram, address, 0, socket.AF_INET, socket.SOCK_DGRAM, 1)
            attempt(f"raw ICMP to {address}", datagram, address, 0, socket.AF_INET, socket.SOCK_RAW, 1)
        else:
            attempt(f"ICMP to {address}", datagram, address, 0, socket.AF_INET6, socket.SOCK_DGRAM, 58)
            attempt(f"raw ICMP to {address}", datagram, address, 0, socket.AF_INET6, socket.SOCK_RAW, 58)
    for address in ("255.255.255.255", "10.200.0.255", "224.0.0.1"):
        attempt(f"broadcast to {address}", broadcast, address)
    attempt("name", socket.getaddrinfo, "example.com", 80)
    attempt("bind to an interface", lambda: socket.socket().setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0"))
    attempt("any address", lambda: socket.socket().setsockopt(socket.SOL_IP, 19, 1))
    attempt("new link", netlink, 16, bytes(16) + b"\x0a\0\3\0dummy0\0\0")
    attempt("new address", netlink, 20, b"\2\x20\0\0\1\0\0\0" + b"\x08\0\2\0\x01\x01\x01\x01")
    attempt("new route", netlink, 24, b"\2\0\0\0\xfe\3\0\1\0\0\0\0" + b"\x08\0\4\0\1\0\0\0")
    names = sorted(name for _, name in socket.if_nameindex())
    print("interfaces: refused (ENODEV)" if names == ["lo"] else f"interfaces: done {names}", flush=True)
    attempt("the proxy to the host", lambda: proxied(f"GET http://127.0.0.1:{HOST['port']}/ HTTP/1.1\r\nHost: 127.0.0.1:{HOST['port']}\r\n\r\n"))
    attempt("a tunnel to the host", lambda: proxied(f"CONNECT 127.0.0.1:{HOST['port']} HTTP/1.1\r\nHost: 127.0.0.1:{HOST['port']}\r\n\r\n"))


def proxied(request):
    sock = socket.create_connection(("10.200.0.1", 3128), 10)
    sock.sendall(request.encode())
    answer = sock.recv(4096).decode("latin1")
    if answer.startswith("HTTP/1.1 403 "):
        raise PermissionError(errno.EACCES, "403")
    return answer


def main():
    done = subprocess.run(["/sandbox/syscalls"], capture_output=True, text=True, check=False)
    for line in done.stdout.splitlines():
        print(f"call {line.split(': ')[0]}: " + (f"refused ({line.split(': ')[1]})" if not line.endswith(": ok") else "done"), flush=True)
    for part in (files, descriptors, proc, sockets, processes):
        part()
    print("all tried", flush=True)
    # The last: everybody that it may.
    if os.fork() == 0:
        os.kill(-1, signal.SIGKILL)
    time.sleep(5)


main()
