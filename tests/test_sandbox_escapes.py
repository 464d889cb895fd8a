# SPDX-License-Identifier: Apache-2.0
"""A command that tries to get out of its sandbox, in every way that we know (tests/inside/escape.py), while there is something to be
reached (tests/escape_host.py): started by root and by an ordinary user; and what a wall that is missing does to that."""
import os
import pty
import re
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from conftest import ROOT, descendants, wait_for, weakened
from escape_host import EscapeHost
from hostile_host import OwnNetwork
from sandboxes import FILES, PYTHON, Sandbox
from test_probe import EVERYTHING, NETWORK
from test_sandbox_calls import ALLOWED, program  # noqa: F401 pylint: disable=unused-import  (a fixture)

# What a refusal says; an attempt that fails with anything else was not refused, but wrong.
REFUSED = re.compile(r"refused \((EPERM|EACCES|ENOENT|ESRCH|EROFS|ENOSYS|ENOTDIR|EBADF|ECONNREFUSED|ENETUNREACH|EHOSTUNREACH|EADDRNOTAVAIL|ENODEV|ENXIO|"
                     r"ETIMEDOUT|EXDEV|ESTALE|EINVAL|killed|gaierror|TimeoutError)\)$")
# Of the calls, those which OpenShell allows, too; and those that are refused by arguments that nothing inside could have.
HARMLESS = {f"call {name}" for name in ALLOWED}


class Ground:
    """One user's host, with a sandbox on it."""

    def __init__(self, user, programs, docker, reachable, program):  # noqa: F811 pylint: disable=redefined-outer-name
        self.user, self.reachable = user, reachable
        self.network = OwnNetwork()
        self.network.__enter__()
        self.host = EscapeHost(user, reachable, docker)
        self.sandbox = Sandbox(str(programs / "postern"), user, user.folder(reachable))
        self.sandbox.write_policy(FILES.replace("read_only: [", "read_only: [" + EVERYTHING) + NETWORK)
        self.folder = user.folder(reachable, "sandbox")
        self.sandbox.options = ["--dir", self.folder]
        shutil.copy(program, self.folder / "syscalls")
        shutil.copy(ROOT / "tests" / "inside" / "escape.py", self.folder / "escape.py")
        self.host.hold(*self.ids())

    def ids(self):
        """The sandbox's uid and gid, as the host sees them."""
        process = self.user.popen(self.sandbox.command("sleep", "98765"))
        try:
            pid = wait_for(lambda: [pid for pid, line in descendants().items() if line.startswith("sleep 98765")], 30, "the command's start")[0]
            status = Path(f"/proc/{pid}/status").read_text()
        finally:
            process.terminate()
            process.wait()
        return [int(re.search(rf"^{kind}:\t(\d+)", status, re.M).group(1)) for kind in ("Uid", "Gid")]

    def close(self):
        self.host.close()
        self.network.__exit__()
        shutil.rmtree(self.folder)

    def attack(self):
        """What was printed: {name: what came of it}, and all that is wrong."""
        ours, theirs = pty.openpty()
        given, errors = self.reachable / "input", self.reachable / "errors"
        leaks = self.host.leaks()
        for path in (given, errors):
            path.write_text("")
            os.chown(path, self.user.uid, self.user.gid)
        for name in ("link", "hard", "node-block", "node-character"):
            (self.folder / name).unlink(missing_ok=True)
        command = self.sandbox.command(PYTHON, "-u", "/sandbox/escape.py", self.host.described(os.ttyname(theirs)))
        env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": self.user.home, **self.host.variables}
        try:
            with open(given, "rb") as stdin, open(errors, "wb") as stderr:
                done = subprocess.run(self.host.stage([str(word) for word in command]), stdin=stdin, stdout=subprocess.PIPE, stderr=stderr, env=env, check=False,
                                      pass_fds=leaks, timeout=250)
            said = done.stdout.decode("utf-8", "replace")
            faults = self.host.faults()
            os.set_blocking(ours, False)
            try:
                faults.append(f"typed into a terminal of the host's: {os.read(ours, 100)!r}")
            except BlockingIOError:
                pass
        finally:
            for fd in (*leaks, ours, theirs):
                os.close(fd)
        names = dict(re.findall(r"^(.*?): ((?:refused|done)\b.*)$", said, re.M))
        faults += [f"{name}: {what}" for name, what in names.items() if not REFUSED.match(what) and name not in HARMLESS]
        if self.host.secret in said:
            faults.append(f"the host's secret was printed: {[line for line in said.splitlines() if self.host.secret in line][:3]}")
        if given.read_text():
            faults.append("the input was written")
        if "\nall tried\n" not in said:
            faults.append(f"it did not get to its end: {done.returncode} {said[-2000:]} {errors.read_text()[-2000:]}")
        return names, faults


@pytest.fixture(scope="module")
def grounds(request, programs, dockerd, reachable, program):  # noqa: F811 pylint: disable=redefined-outer-name
    made = {}

    def ground(who):
        if who not in made:
            for other in list(made):  # one network at a time
                made.pop(other).close()
            made[who] = Ground(request.getfixturevalue(f"{who}_user"), programs, dockerd, reachable, program)
        return made[who]

    yield ground
    for one in made.values():
        one.close()


@pytest.mark.parametrize("who", ["root", "ordinary"])
def test_no_way_out(grounds, who):
    names, faults = grounds(who).attack()
    assert not faults, "\n".join(faults)
    assert len(names) > 400 and HARMLESS <= set(names), len(names)
    # Each of the deny list says EPERM, and so do those that a sandbox's lack of rights refuses.
    assert names["call unshare user"] == names["open by handle"] == names["new route"] == "refused (EPERM)"
    assert names["TCP to 127.0.0.1 22"] == names["UDP to 192.0.2.1"] == "refused (ECONNREFUSED)"


def test_there_was_something_to_be_reached(grounds):
    """The same attempts outside: what is to be noticed is really there."""
    ground = grounds("root")
    host = ground.host
    for name, path in host.daemons.items():
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(path)
        shown = subprocess.run(host.stage(["ls", "-l", "/run/docker.sock", "/run/podman/podman.sock", "/run/user/ssh-agent"]), capture_output=True, text=True, check=True)
        assert shown.stdout.count("\ns") + shown.stdout.startswith("s") == 3, name
    assert os.stat(f"/proc/{host.holder.pid}").st_uid == ground.ids()[0] > 65536
    assert os.readlink(f"/proc/{host.holder.pid}/fd/{host.held.fileno()}") == host.held.name


# --- a symlink that comes while it is looked at ------------------------------------------------------------------------------


RACE = """
import ctypes, os
libc = ctypes.CDLL(None)
os.symlink('../secret', 'link')
print('racing', flush=True)
while True:
    libc.renameat2(-100, b'sub', -100, b'link', 2)
"""


def test_a_symlink_swapped_in_while_another_sandbox_starts(postern, user, workdir, leak_check):
    place = user.folder(user.home, "race")
    for name in ("rw/sub", "secret"):
        (place / name).mkdir(parents=True)
    (place / "secret" / "key").write_text("KEY")
    for name in ("rw", "rw/sub", "secret", "secret/key"):
        os.chown(place / name, user.uid, user.gid)
    racing, second = Sandbox(postern, user, workdir), Sandbox(postern, user, user.folder(workdir))
    racing.write_policy(FILES.replace("read_only: [", "read_only: [" + EVERYTHING))
    racing.options = ["--dir", place / "rw"]
    second.write_policy(FILES.replace("read_only: [", f"read_only: [{EVERYTHING}{place}/rw/sub, ").replace("read_write: [", f"read_write: [{place}/rw, "))
    process = user.popen(racing.command(PYTHON, "-u", "-c", RACE), stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "racing\n"
        codes = set()
        for _ in range(40):
            done = second.script(f"cat {place}/rw/sub/key {place}/secret/key")
            assert "KEY" not in done.stdout, done
            codes.add(done.returncode)
        assert codes <= {1, 3, 125} and len(codes) > 1, codes  # both were met: the folder, and the symlink
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        wait_for(lambda: not any("renameat2" in line for line in descendants().values()), 30, "the end of the race")
        shutil.rmtree(place)


# --- what a planted weakness does ----------------------------------------------------------------------------------------

# A postern that was built without one wall (src/jail/weak.c), and what has to be noticed of it.
WEAKNESSES = [
    ("none", None),
    ("seccomp", "call unshare user: done"),
    ("descriptors", "descriptor"),
    ("network", "GET / at"),
    ("ipc", "shared memory: done"),
    ("root", "the host's secret was printed"),
    ("landlock", "the input was written"),
    ("proc", "processes of others: done"),
]


@pytest.fixture(scope="module")
def weak_programs(programs, reachable):
    return weakened(programs, reachable / "weak-sandbox", "postern")


@pytest.mark.parametrize("wall,noticed", [pytest.param(*one, id=one[0], marks=[pytest.mark.slow] if n > 2 else []) for n, one in enumerate(WEAKNESSES)])
def test_a_wall_that_is_missing_is_noticed(grounds, weak_programs, wall, noticed):
    (weak_programs / "postern.weakness").write_text(f"{wall}\n")
    ground = grounds("ordinary" if wall == "landlock" else "root")
    whole, ground.sandbox.postern = ground.sandbox.postern, str(weak_programs / "postern")
    try:
        said = "\n".join(ground.attack()[1])
    finally:
        ground.sandbox.postern = whole
    assert noticed in said if noticed else not said, said
