# SPDX-License-Identifier: Apache-2.0
"""What integration tests share: the build folder, an ordinary user, the base image, a dockerd, and the check for leftovers."""
import atexit
import contextlib
import ctypes
import fcntl
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import zlib
from pathlib import Path

import pytest

from sandboxes import Upstream

ROOT = Path(__file__).resolve().parent.parent
BUILD = Path(os.environ.get("POSTERN_BUILD", ROOT / "build")).resolve()
USER = "postern-test"
TEST_SECONDS = 300  # a test that takes longer fails


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: only .ci/run runs it")
    config.addinivalue_line("markers", "waits: the same, and that takes its time by waiting: it runs beside what works")
    config.addinivalue_line("markers", "once: long, and tells nothing more with sanitizers")
    config.addinivalue_line("markers", "seconds(n): what it may take, where that is more than TEST_SECONDS")
    # Temporary files of these tests alone, so that what is left behind is found and two runs of them do not see each other's. Its
    # name is short, as sockets' paths must be, and every user may use it.
    folder = os.environ["TMPDIR"] = tempfile.tempdir = tempfile.mkdtemp(prefix="pt-", dir="/tmp")
    os.chmod(folder, 0o1777)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)  # after pytest's own, which are registered later
    # Orphans of any depth become children of this process, so that nothing can be left behind unseen.
    ctypes.CDLL(None, use_errno=True).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER


def pytest_collection_modifyitems(config, items):
    """With sanitizers, which look for faults of memory and not of rights, each test runs as one of the two users; which, its name says."""
    if "POSTERN_SANITIZED" not in os.environ:
        return
    def other_user(item):
        who = item.callspec.params.get("user") if hasattr(item, "callspec") else None
        return who in ("root", "ordinary") and who != ("root", "ordinary")[zlib.crc32(item.originalname.encode()) % 2]
    config.hook.pytest_deselected(items=[item for item in items if other_user(item)])
    items[:] = [item for item in items if not other_user(item)]


@pytest.fixture(autouse=True)
def _time_limit(request):
    marked = request.node.get_closest_marker("seconds")
    seconds = marked.args[0] if marked else TEST_SECONDS

    def expired(_signal, _frame):
        raise TimeoutError(f"the test took more than {seconds} s")

    signal.signal(signal.SIGALRM, expired)
    signal.alarm(seconds)
    yield
    signal.alarm(0)


@contextlib.contextmanager
def one_at_a_time():
    """For what the processes that share the tests (pytest-xdist) make once for all of them."""
    with open(BUILD / "tests.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


# --- programs and folders ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def build_dir():
    return BUILD


@pytest.fixture(scope="session")
def reachable():
    """A folder that every user may read, removed at the end of the session."""
    folder = Path(tempfile.mkdtemp(prefix="t-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def programs(reachable):
    """The built programs, copied to where an ordinary user can run them (a clone may lie in a closed home)."""
    folder = reachable / "programs"
    folder.mkdir(mode=0o755)
    for program in [BUILD / "postern", *BUILD.glob("postern-*")]:
        if program.is_file() and os.access(program, os.X_OK):
            shutil.copy(program, folder / program.name)
    return folder


def weakened(programs, folder, program):
    """The programs, but one of them by weak-NAME, which lacks the wall that NAME.weakness beside it names (src/jail/weak.c)."""
    shutil.copytree(programs, folder)
    shutil.copy(BUILD / f"weak-{program.removeprefix('postern-')}", folder / program)
    return folder


@pytest.fixture(scope="session")
def postern(programs):
    """Path of the postern command; works for root and for the ordinary user."""
    return str(programs / "postern")


@pytest.fixture(scope="session")
def base_image(reachable):
    """The base image of the demo as a root file system in a tar (cached in the build folder)."""
    tar = BUILD / "demo" / "debian-tcc.tar"
    with one_at_a_time():
        subprocess.run([ROOT / "tools" / "make-base", tar], check=True, stdin=subprocess.DEVNULL)
    copy = reachable / "debian-tcc.tar"
    shutil.copy(tar, copy)
    copy.chmod(0o644)
    return copy


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(condition, seconds=10.0, what="condition"):
    """Poll until condition() is true and return its value."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"{what}: not within {seconds} s")


# --- users ------------------------------------------------------------------------------------------------------------


class User:
    """Who a test runs programs as. `run` and `popen` take the arguments of subprocess's, with a small environment."""

    def __init__(self, name):
        entry = pwd.getpwnam(name)
        self.name, self.uid, self.gid, self.home = name, entry.pw_uid, entry.pw_gid, entry.pw_dir

    def _arguments(self, kwargs):
        env = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": self.home,
            "USER": self.name,
            "LANG": "C.UTF-8",
            "TMPDIR": tempfile.gettempdir(),
        }
        env.update({key: value for key, value in os.environ.items() if key == "UBSAN_OPTIONS"})
        env.update(kwargs.pop("env", {}))
        kwargs.setdefault("stdin", subprocess.DEVNULL)
        if os.getuid() != self.uid:
            kwargs.update(user=self.uid, group=self.gid, extra_groups=[])
        return {"env": env, **kwargs}

    def run(self, command, **kwargs):
        kwargs.setdefault("text", True)
        kwargs.setdefault("timeout", 120)
        if "stdout" not in kwargs:
            kwargs.setdefault("capture_output", True)
        return subprocess.run([str(part) for part in command], **self._arguments(kwargs))

    def popen(self, command, **kwargs):
        return subprocess.Popen([str(part) for part in command], **self._arguments(kwargs))

    def folder(self, parent, name="work"):
        """A folder of this user's own below parent."""
        path = Path(tempfile.mkdtemp(prefix=f"{self.name}-{name}-", dir=parent))
        path.chmod(0o755)
        if os.getuid() == 0:
            os.chown(path, self.uid, self.gid)
        return path


@pytest.fixture(scope="session")
def root_user():
    assert os.getuid() == 0, "this test needs root"
    return User("root")


@pytest.fixture(scope="session")
def ordinary_user():
    """A user without privileges but with a range of subordinate ids; made once and kept. Without root: whoever runs the tests."""
    if os.getuid() != 0:
        return User(pwd.getpwuid(os.getuid()).pw_name)
    with one_at_a_time():
        try:
            pwd.getpwnam(USER)
        except KeyError:
            subprocess.run(["useradd", "--create-home", "--shell", "/bin/sh", USER], check=True)
        for table, option in (("/etc/subuid", "--add-subuids"), ("/etc/subgid", "--add-subgids")):
            if not any(line.startswith(USER + ":") for line in Path(table).read_text().splitlines()):
                subprocess.run(["usermod", option, "1000000-1065535", USER], check=True)
    return User(USER)


@pytest.fixture(params=["root", "ordinary"])
def user(request):
    """Runs a test twice: as root and as an ordinary user."""
    if request.param == "root" and os.getuid() == 0:
        return request.getfixturevalue("root_user")
    return request.getfixturevalue("ordinary_user")


@pytest.fixture
def workdir(user, reachable):
    """A folder of the test's user, gone afterwards."""
    folder = user.folder(reachable)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def upstream():
    """A server that a sandbox's proxy leads to."""
    made = Upstream()
    yield made
    made.close()


# --- leftovers --------------------------------------------------------------------------------------------------------


def descendants():
    """Processes below this one, orphans included: {pid: command line}."""
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                stat = Path("/proc", entry, "stat").read_text()
            except OSError:
                continue
            fields = stat[stat.rindex(")") + 2 :].split()
            parents[int(entry)] = (int(fields[1]), fields[0])
    found = {}
    for pid, (_, state) in parents.items():
        ancestor = pid
        while ancestor and ancestor != os.getpid():
            ancestor = parents.get(ancestor, (0, ""))[0]
        if ancestor and pid != os.getpid() and state != "Z":
            try:
                line = Path("/proc", str(pid), "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
            except OSError:
                continue
            found[pid] = line
    return found


def _mounts():
    mounts = {line.split(" ")[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()}
    return {mount for mount in mounts if mount.startswith(tempfile.gettempdir()) or ("postern" in mount and not mount.startswith("/tmp/"))}


def _in_use(path):
    """The temporary folder of a run of somebody else's that is under way: it holds its lock."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    finally:
        os.close(fd)


def _files():
    """What bears our name; a run of this process's that still goes on is found by its processes."""
    own = {str(path) for path in Path(tempfile.gettempdir()).glob("*postern*")}
    shared = {str(path) for folder in ("/var/tmp", "/dev/shm", "/run") for path in Path(folder).glob("*postern*")}
    return own | {path for path in shared if not _in_use(path)}


class Leaks:
    """What is there now that was not there before."""

    def __init__(self):
        self.processes, self.mounts, self.files = descendants(), _mounts(), _files()

    def found(self):
        return {
            "processes": {pid: line for pid, line in descendants().items() if pid not in self.processes},
            "mounts": _mounts() - self.mounts,
            "files": _files() - self.files,
        }

    def check(self, seconds=3.0):
        end = time.monotonic() + seconds
        while any(self.found().values()) and time.monotonic() < end:
            time.sleep(0.05)
        left = {kind: things for kind, things in self.found().items() if things}
        assert not left, f"left behind: {left}"


@pytest.fixture
def leak_check():
    """Fails the test that leaves a process, mount or temporary file; `.check()` may be called earlier, too."""
    leaks = Leaks()
    yield leaks
    try:
        leaks.check()
    finally:
        for pid in leaks.found()["processes"]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass


# --- engines ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def dockerd():
    """A dockerd of our own, without bridge or packet filter; yields its socket's path."""
    if os.getuid() != 0:
        pytest.fail("dockerd needs root")
    folder = Path(tempfile.mkdtemp(prefix="d-"))
    sock = folder / "docker.sock"
    log = open(folder / "log", "wb")
    daemon = subprocess.Popen(
        ["/usr/sbin/dockerd", "--data-root", folder / "data", "--exec-root", folder / "exec", "-H", f"unix://{sock}",
         "--pidfile", folder / "pid", "--iptables=false", "--bridge=none", "--storage-driver=vfs"],
        stdin=subprocess.DEVNULL, stdout=log, stderr=log,
    )
    try:
        def ready():
            assert daemon.poll() is None, (folder / "log").read_text()[-2000:]
            command = ["docker", "-H", f"unix://{sock}", "version", "-f", "{{json .Server.Version}}"]
            return subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, check=False).returncode == 0

        wait_for(ready, 60, "dockerd")
        yield str(sock)
    finally:
        daemon.terminate()
        try:
            daemon.wait(20)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()
        log.close()
        shutil.rmtree(folder, ignore_errors=True)


def read_json(path):
    return json.loads(Path(path).read_text())
