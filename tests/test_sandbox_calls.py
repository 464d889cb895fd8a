# SPDX-License-Identifier: Apache-2.0
"""What the kernel refuses to a sandbox's command, call by call, and what becomes of container tools inside, as in the real OpenShell
(and nothing more: what it allows is allowed). As root and as an ordinary user."""
import shutil
import subprocess

import pytest

from conftest import ROOT
from sandboxes import FILES, PYTHON, Sandbox

ALLOWED = {
    "unshare files", "execveat", "prctl name", "socket unix", "socket inet", "socket inet datagram", "socket inet6", "socket netlink route",
}
OTHERS = {"clone3": "ENOSYS", "unshare user by x32 number": "killed", "unshare user by int 0x80": "killed"}


@pytest.fixture(scope="module")
def program(reachable):
    made = reachable / "syscalls"
    subprocess.run(["gcc", "-static", "-O1", "-D_GNU_SOURCE", "-w", ROOT / "tests" / "inside" / "syscalls.c", "-o", made], check=True)
    made.chmod(0o755)
    return made


@pytest.fixture
def sandbox(postern, user, workdir, program, leak_check):
    made = Sandbox(postern, user, workdir)
    made.write_policy(FILES.replace("read_only: [", "read_only: [/usr, /lib, /lib64, /bin, /sbin, /etc, "))
    made.options = ["--dir", user.folder(workdir)]
    shutil.copy(program, made.options[1])
    return made


def test_each_call(sandbox):
    done = sandbox.run("/sandbox/syscalls")
    assert done.returncode == 0, done.stderr
    found = dict(line.split(": ") for line in done.stdout.splitlines())
    assert len(found) > 60
    for name, answer in found.items():
        assert answer == OTHERS.get(name, "ok" if name in ALLOWED else "EPERM"), name


# What they say: "cannot clone", "Error during unshare(CLONE_NEWUSER)", "No permissions to create a new namespace", …
@pytest.mark.parametrize("command", [
    "podman info", "podman build -t x .", "podman --storage-driver vfs build --isolation chroot .", "buildah bud --isolation chroot .", "buildah from scratch",
    "bwrap --ro-bind / / true", "bwrap --unshare-all --ro-bind / / true", "unshare -n true", "unshare -m true", "unshare -Ur true", "strace true",
    "newuidmap 1 0 0 1", "su -c true", "mount -t tmpfs t /tmp", "chroot / true", "nsenter -t 1 -n true",
])
def test_no_container_inside(sandbox, command):
    done = sandbox.script(f"echo FROM scratch >Dockerfile; mkdir -m 700 run; export XDG_RUNTIME_DIR=/sandbox/run; {command}")
    assert done.returncode not in (0, 127), (done.stdout, done.stderr)
    reasons = ("not permitted", "ermission", "must be superuser", "newuidmap", "Critical error", "No such device", "Error: no such file")
    assert any(reason in done.stderr for reason in reasons), done.stderr


def test_programs_that_ask_for_clone3_go_on_without(sandbox):
    assert sandbox.output(f"{PYTHON} -c 'import threading; t = threading.Thread(target=print, args=(1,)); t.start(); t.join()'") == "1\n"
    assert sandbox.output("(echo a; echo b) | sort -r | head -1") == "b\n"


def test_no_set_id_program_is_left_on_the_host(sandbox):
    """In a folder of the host's it would be its owner's: any other user could become that one by it."""
    done = sandbox.script(
        "cp /usr/bin/id id; chmod u+s id; chmod 2755 id; install -m 4755 /usr/bin/id other; echo x >text; chmod g+s text; mkdir -m 2755 folder; "
        f"{PYTHON} -c 'import os; os.open(\"made\", os.O_CREAT | os.O_RDWR, 0o6755)'; chmod 1777 text && echo done")
    assert done.stdout == "done\n" and done.stderr.count("not permitted") == 6, (done.stdout, done.stderr)
    folder = sandbox.options[1]
    assert (folder / "id").exists()
    assert [path.name for path in [folder, *folder.rglob("*")] if path.stat().st_mode & 0o6000] == []
