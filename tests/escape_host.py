# SPDX-License-Identifier: Apache-2.0
"""The host that tests/inside/escape.py tries to reach from a sandbox: hostile_host's canaries, and beside them real daemons with their
sockets, where such daemons have them and where the environment says, processes of the sandbox's own uid that hold files, and descriptors
that whoever starts the sandbox leaks to it."""
import contextlib
import functools
import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

from conftest import wait_for
from hostile_host import LIBC, Host

PLACES = {"docker": ["/run/docker.sock"], "podman": ["/run/podman/podman.sock"], "dbus": ["/run/dbus/system_bus_socket", "/run/user/bus"],
          "agent": ["/run/user/ssh-agent"]}
# In new mounts of its own: the daemons' sockets where such daemons have them; then, as the user, the command.
STAGE = """
set -e
mount --make-rprivate /
mount -t tmpfs -o mode=755 run /run
while [ "$1" != -- ]; do mkdir -p "${2%/*}"; touch "$2"; mount --bind "$1" "$2"; shift 2; done
shift
exec setpriv --reuid "$1" --regid "$2" --clear-groups -- "${@:3}"
"""


class EscapeHost(Host):
    def __init__(self, user, reachable, docker):
        self.daemons, self.docker = {}, docker
        super().__init__(user, reachable)
        self.daemons["docker"] = docker
        self._start_daemons()
        self._seen = self._look()

    def _make_images(self):
        """A sandbox has no engine that would look into a store."""
        self.home = self.folder / "home"
        self.home.mkdir()
        self.store_environment = {}

    def _start_daemons(self):
        # Not in self.folder, where every change is a fault: these may write what they like.
        place = self.user.folder(Path(tempfile.gettempdir()), "d")
        self._close.append(lambda: shutil.rmtree(place, ignore_errors=True))
        (place / "run").mkdir(mode=0o700)
        shutil.chown(place / "run", self.user.uid, self.user.gid)
        env = {"HOME": str(place), "XDG_RUNTIME_DIR": str(place / "run")}
        commands = {
            "podman": ["podman", "--root", place / "root", "--runroot", place / "rr", "system", "service", "--time=0", f"unix://{place}/podman"],
            "dbus": ["dbus-daemon", "--session", "--nofork", "--nopidfile", f"--address=unix:path={place}/dbus"],
            "agent": ["ssh-agent", "-D", "-a", place / "agent"],
        }
        for name, command in commands.items():
            process = self.user.popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
            self._close += [functools.partial(end_group, process.pid), process.wait, process.terminate]
            self.daemons[name] = str(place / name)
            wait_for(lambda path=place / name: path.exists(), 60, f"{name}'s socket")
            os.chmod(place / name, 0o777)
        self._close.append(lambda: end_pause(place / "run"))
        self.variables = {
            "SSH_AUTH_SOCK": self.daemons["agent"], "DBUS_SESSION_BUS_ADDRESS": f"unix:path={self.daemons['dbus']}", "CANARY": self.secret,
            "DOCKER_HOST": f"unix://{self.daemons['docker']}", "CONTAINER_HOST": f"unix://{self.daemons['podman']}", "XDG_RUNTIME_DIR": str(place / "run"),
        }

    def hold(self, uid, gid):
        """A process of this uid (the sandbox's, as the host sees it) that holds a file which nobody else may open."""
        file = self.folder / f"held-{uid}"
        file.write_text(self.secret)
        os.chown(file, uid, gid)
        file.chmod(0o600)
        self.held = open(file, "rb")  # pylint: disable=consider-using-with
        self.holder = subprocess.Popen(["sleep", "100000"], user=uid, group=gid, extra_groups=[], pass_fds=[self.held.fileno()],
                                       env={"CANARY": self.secret})
        self._close += [self.holder.wait, self.holder.kill, self.held.close]
        self._seen = self._look()

    def leaks(self):
        """Descriptors for the sandbox's supervisor to inherit: a secret file, the host's root, a connection to a daemon."""
        connected = socket.socket(socket.AF_UNIX)
        connected.connect(self.daemons["docker"])
        return [os.open(self.folder / "secret", os.O_RDONLY), os.open("/", os.O_RDONLY | os.O_DIRECTORY), os.dup(connected.fileno())]

    def described(self, terminal):
        """For tests/inside/escape.py."""
        addresses = subprocess.run(["ip", "-o", "addr"], check=True, capture_output=True, text=True).stdout
        return json.dumps({
            "pid": self.process.pid, "holder": self.holder.pid, "supervisor": os.getpid(), "fd": self.held.fileno(), "folder": str(self.folder),
            "secrets": [str(self.folder / "secret"), self.held.name, str(self.home / ".docker" / "config.json"), "/etc/shadow", "/root/.ssh/id_rsa"],
            "handle": handle_of(self.folder / "secret").hex(), "key": self.key, "port": self.port, "variables": list(self.variables),
            "sockets": [*self.daemons.values(), *(path for paths in PLACES.values() for path in paths), "/var/run/docker.sock", f"{self.folder}/docker.sock",
                        "/run/systemd/private", "/run/systemd/notify", "/dev/log", "/tmp/.X11-unix/X0"],
            "abstract": [str(self.folder), "/tmp/.X11-unix/X0"], "terminal": terminal,
            "addresses": sorted({word.split("/")[0] for line in addresses.splitlines() for word in line.split()[3:4]}),
        })

    def stage(self, command):
        pairs = [word for name, path in self.daemons.items() for place in PLACES[name] for word in (path, place)]
        return ["unshare", "--mount", "bash", "-c", STAGE, "stage", *pairs, "--", str(self.user.uid), str(self.user.gid), *command]

    def faults(self):
        found = super().faults()
        for process in (self.process, self.holder):
            if process.poll() is not None:
                found.append(f"process {process.pid} of the host was killed")
            elif os.getpriority(os.PRIO_PROCESS, process.pid) != os.getpriority(os.PRIO_PROCESS, 0):
                found.append(f"process {process.pid} of the host has another priority")
        return found


def end_group(pid):
    """A rootless podman is two processes, of which the second does not always hear of the first one's end."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def end_pause(folder):
    """The process that a rootless podman leaves to keep its namespaces."""
    for file in folder.glob("libpod/tmp/pause.pid"):
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(file.read_text()), signal.SIGKILL)


def handle_of(path):
    """struct file_handle, as bytes."""
    handle = ctypes.create_string_buffer(8 + 128)
    handle[0:4] = (128).to_bytes(4, "little")
    mount = ctypes.c_int()
    if LIBC.name_to_handle_at(-100, str(path).encode(), handle, ctypes.byref(mount), 0) < 0:
        return b"\x08\0\0\0\1\0\0\0" + bytes(8)
    return handle.raw[: 8 + int.from_bytes(handle.raw[:4], "little")]
