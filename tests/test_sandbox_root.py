# SPDX-License-Identifier: Apache-2.0
"""The sandbox's root: what of the host's a policy's filesystem_policy gives, and nothing else; Landlock on top. As root and as an
ordinary user."""
import os
import re
import shutil
import socket

import pytest

from sandboxes import PYTHON, Sandbox

SYSTEM = "/usr, /lib, /lib64, /bin, /sbin, /etc"


@pytest.fixture
def sandbox(postern, user, workdir, leak_check):
    return Sandbox(postern, user, workdir)


@pytest.fixture
def place(user):
    """A folder of the user's outside /tmp and /var/tmp, which every sandbox has of its own."""
    folder = user.folder(user.home, "place")
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def own(user, *paths):
    for path in paths:
        if os.getuid() == 0:
            os.chown(path, user.uid, user.gid, follow_symlinks=False)


def policy(sandbox, read_only="", read_write="", workdir=True, more=""):
    sandbox.write_policy(
        f"version: 1\nfilesystem_policy:\n  include_workdir: {'true' if workdir else 'false'}\n"
        f"  read_only: [{SYSTEM}{', ' if read_only else ''}{read_only}]\n  read_write: [/dev/null{', ' if read_write else ''}{read_write}]\n{more}")


def write_tries(*paths):
    return "; ".join(f"(echo x >{path}) 2>/dev/null && echo wrote {path}" for path in paths) + "; true"


def test_read_only_and_read_write(sandbox, user, place):
    for name in ("ro", "rw", "other"):
        (place / name).mkdir()
        (place / name / "file").write_text(name)
    (place / "single").write_text("single")
    own(user, *(place / name for name in ("ro", "rw", "other", "ro/file", "rw/file", "other/file", "single")))
    policy(sandbox, f"{place}/ro, {place}/single", f"{place}/rw")
    out = sandbox.output(f"cat {place}/ro/file {place}/rw/file {place}/single; echo; ls {place} 2>/dev/null; " + write_tries(
        f"{place}/ro/file", f"{place}/ro/new", f"{place}/single", f"{place}/new", f"{place}/rw/new", f"{place}/rw/file"))
    assert out.split("\n")[:-1] == ["rorwsingle", f"wrote {place}/rw/new", f"wrote {place}/rw/file"], out
    assert (place / "rw" / "new").read_text() == "x\n" and (place / "rw" / "new").stat().st_uid == user.uid
    assert (place / "ro" / "file").read_text() == "ro"


def test_one_inside_the_other(sandbox, user, place):
    (place / "a" / "b" / "c").mkdir(parents=True)
    own(user, place / "a", place / "a" / "b", place / "a" / "b" / "c")
    policy(sandbox, f"{place}/a", f"{place}/a/b")
    out = sandbox.output(write_tries(f"{place}/a/x", f"{place}/a/b/x", f"{place}/a/b/c/x"))
    assert out.split("\n")[:-1] == [f"wrote {place}/a/b/x", f"wrote {place}/a/b/c/x"]


def test_symlinks_lead_nowhere_new(sandbox, user, place):
    """One in a given folder points to what is not there inside; one that is listed itself is followed, as the policy's author meant."""
    (place / "given").mkdir()
    (place / "secret").write_text("secret")
    (place / "given" / "link").symlink_to(place / "secret")
    (place / "given" / "up").symlink_to("../secret")
    (place / "listed").symlink_to("given")
    own(user, place / "given", place / "secret")
    policy(sandbox, f"{place}/listed", f"{place}/given")
    out = sandbox.output(f"cat {place}/given/link {place}/given/up 2>/dev/null; ls {place}/listed; (echo x >{place}/listed/x) 2>/dev/null; true")
    assert out.split() == ["link", "up"], out
    assert not (place / "given" / "x").exists()


def test_a_symlink_swapped_in_by_the_command_is_not_followed(sandbox, user, place):
    """What one sandbox leaves in a folder that it may write does not lead the next one's mounts elsewhere."""
    (place / "rw" / "sub").mkdir(parents=True)
    (place / "secret").mkdir()
    (place / "secret" / "key").write_text("key")
    own(user, place / "rw", place / "rw" / "sub", place / "secret", place / "secret" / "key")
    policy(sandbox, "", f"{place}/rw, {place}/rw/sub")
    sandbox.output(f"rm -rf {place}/rw/sub 2>/dev/null; true")
    done = sandbox.script(f"mv {place}/rw/sub {place}/rw/old; ln -s ../secret {place}/rw/sub; ls {place}/rw")
    second = sandbox.script(f"cat {place}/rw/sub/key; (echo x >{place}/rw/sub/new)")
    assert "key" not in second.stdout.split("\n"), (done, second)
    assert os.listdir(place / "secret") == ["key"]


def test_a_symlink_left_in_the_working_folder_is_not_followed(sandbox, user, place):
    """Nor one in a folder that a policy's read_write names, however a listed path gets there. The author's own are."""
    for name in ("project/sub", "secret", "rw/deep"):
        (place / name).mkdir(parents=True)
    (place / "secret" / "key").write_text("KEY")
    (place / "there").symlink_to("project")
    (place / "straight").symlink_to("rw/deep/x")
    own(user, *(place / name for name in ("project", "project/sub", "rw", "rw/deep", "secret", "secret/key")))
    policy(sandbox, f"{place}/project/sub")
    options = ["--dir", str(place / "project")]
    sandbox.output("mv sub old; ln -s ../secret sub", options=options)
    for listed in ("project/sub", "there/sub", "project/sub/key"):
        policy(sandbox, f"{place}/{listed}")
        done = sandbox.script(f"cat {place}/{listed} {place}/{listed}/key", options=options)
        assert done.returncode == 3 and "KEY" not in done.stdout and done.stderr.count("\n") == 1, done
        assert re.search(rf"policy\.yaml:4:\d+: {place}/{listed}: {place}/project/sub is a symlink", done.stderr), done.stderr
    (place / "rw" / "deep" / "x").symlink_to(place / "secret")
    for read_only, read_write in ((f"{place}/straight", f"{place}/rw"), (f"{place}/rw/deep/x", f"{place}/rw"), ("", f"{place}/rw/deep/x, {place}/rw")):
        policy(sandbox, read_only, read_write)
        assert sandbox.script("true").returncode == 3
    # Without anything that can be written there, they are whoever's who can write there.
    policy(sandbox, f"{place}/straight, {place}/there")
    assert sandbox.output(f"cat {place}/straight/key; ls {place}/there") == "KEYold\nsub\n"


def test_symlinks_that_lead_in_circles(sandbox, place):
    (place / "a").symlink_to("b")
    (place / "b").symlink_to("a")
    policy(sandbox, f"{place}/a", more="landlock: { compatibility: hard_requirement }\n")
    done = sandbox.run("true")
    assert done.returncode == 3 and "Too many levels of symbolic links" in done.stderr, done.stderr


def test_read_only_inside_read_write(sandbox, user, place):
    (place / "a" / "ro" / "rw").mkdir(parents=True)
    for name in ("a/ro/file", "a/ro/rw/file"):
        (place / name).write_text(name)
        (place / name).chmod(0o600)
    own(user, *(place / name for name in ("a", "a/ro", "a/ro/file", "a/ro/rw", "a/ro/rw/file")))
    policy(sandbox, f"{place}/a/ro", f"{place}/a, {place}/a/ro/rw")
    tries = write_tries(f"{place}/a/new", f"{place}/a/ro/file", f"{place}/a/ro/new", f"{place}/a/ro/rw/file")
    assert sandbox.output(f"cat {place}/a/ro/file; echo; {tries}").splitlines() == ["a/ro/file", f"wrote {place}/a/new", f"wrote {place}/a/ro/rw/file"]
    policy(sandbox, "/sandbox/ro, /sandbox/absent")
    tries = write_tries("new2", "ro/file", "ro/new", "/sandbox/ro/rw/file")
    assert sandbox.output(f"cat ro/file; echo; mv ro moved 2>/dev/null; {tries}", options=["--dir", "a"], cwd=place).splitlines() == ["a/ro/file", "wrote new2"]


def test_as_many_paths_as_a_policy_may_list(sandbox, place):
    """256, all of them mounts of their own; one more is refused where it stands."""
    for i in range(250):
        (place / f"d{i}").write_text("x")
    listed = [f"{place}/d{i}" for i in range(249)]  # and SYSTEM and /dev/null
    policy(sandbox, ", ".join(listed))
    assert sandbox.output(f"cat {' '.join(listed)} 2>/dev/null | wc -c; cat {place}/d249 2>/dev/null || true") == "249\n"
    sandbox.write_policy("version: 1\nfilesystem_policy:\n  read_write: [/dev/null]\n  read_only:\n" + "".join(
        f"    - {path}\n" for path in [*SYSTEM.split(", "), *listed, f"{place}/d249"]))
    done = sandbox.run("true")
    assert done.returncode == 3 and "more than 256 paths" in done.stderr and "policy.yaml:3:16:" in done.stderr, done.stderr


@pytest.mark.parametrize("number", [1, 65534, 65535, 70000, 4294967294])
def test_any_number_that_a_policy_may_name(sandbox, user, place, number):
    (place / "made").mkdir()
    own(user, place / "made")
    policy(sandbox, more=f'process: {{ run_as_user: "{number}", run_as_group: {number} }}\n')
    assert sandbox.output("id -u; id -g; touch x; stat -c %u x; echo x >/dev/null", options=["--dir", place / "made"]).split() == [str(number)] * 3
    assert (place / "made" / "x").stat().st_uid == user.uid


@pytest.mark.parametrize("requirement, code", [("best_effort", 0), ("hard_requirement", 3)])
def test_what_does_not_exist(sandbox, place, requirement, code):
    policy(sandbox, f"{place}/absent", more=f"landlock: {{ compatibility: {requirement} }}\n")
    done = sandbox.script(f"test ! -e {place}/absent")
    assert done.returncode == code
    assert ("absent" in done.stderr) == (code == 3)


def test_what_is_to_be_written_is_made(sandbox, place):
    """In memory, and never on the host."""
    policy(sandbox, "", f"{place}/new, {place}/a/b", more="landlock: { compatibility: hard_requirement }\n")
    assert sandbox.output(f"cd {place}/new; echo x >x; cat x; " + write_tries(f"{place}/new/y", f"{place}/a/b/x", f"{place}/a/x", f"{place}/x")).splitlines() == [
        "x", f"wrote {place}/new/y", f"wrote {place}/a/b/x"]
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("entry, says", [
    ("read_only: [/]", "whole root"), ("read_write: [/usr/local]", "read_only"), ("read_write: [/etc]", "read_only"), ("read_only: [relative]", "absolute"),
    ("read_only: [/usr/../root]", ".."),
])
def test_what_is_never_given(sandbox, entry, says):
    sandbox.write_policy(f"version: 1\nfilesystem_policy:\n  {entry}\n")
    done = sandbox.run("true")
    assert done.returncode == 3 and says in done.stderr and "policy.yaml:3:" in done.stderr, done.stderr


def test_without_the_workdir(sandbox, place):
    """Then it is a place to stand in and no more; and nothing else can be written, either."""
    policy(sandbox, workdir=False)
    assert sandbox.output("pwd; ls -A /sandbox 2>/dev/null; " + write_tries("/sandbox/x", "/tmp/x", "/x")).split() == ["/sandbox"]


def test_landlock_on_top(sandbox, user, place):
    """What a sandbox has of its own but the policy does not list cannot be used either: /tmp, /proc, /dev."""
    policy(sandbox)
    out = sandbox.output(write_tries("/tmp/x", "/dev/shm/x", "/dev/null") + "; cat /proc/self/status 2>/dev/null | head -1; ls / 2>/dev/null; true")
    assert out == "wrote /dev/null\n", out
    policy(sandbox, "/proc", "/tmp")
    out = sandbox.output(write_tries("/tmp/x") + "; head -c 4 /proc/self/status")
    assert out == "wrote /tmp/x\nName", out


def test_sockets_in_what_is_given(sandbox, user, place):
    """A listed folder is given with its sockets; nobody else's can be reached."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(place / "s"))
        listener.listen()
        os.chmod(place / "s", 0o777)
        code = f"import socket; s = socket.socket(socket.AF_UNIX); print(s.connect_ex('{place}/s'))"
        policy(sandbox)
        assert sandbox.run(PYTHON, "-c", code).stdout == "2\n"
        policy(sandbox, str(place))
        assert sandbox.run(PYTHON, "-c", code).stdout == "0\n"


def test_devices_and_setuid_in_what_is_given(sandbox, user, place):
    shutil.copy("/usr/bin/id", place / "id")
    own(user, place / "id")
    (place / "id").chmod(0o4755)
    if os.getuid() == 0:
        os.mknod(place / "disk", 0o666 | 0o60000, os.makedev(7, 0))
        os.mknod(place / "memory", 0o666 | 0o20000, os.makedev(1, 1))
    policy(sandbox, str(place))
    out = sandbox.output(f"{place}/id -u; for d in disk memory; do head -c 1 {place}/$d 2>&1 >/dev/null | grep -c Permission; done; true")
    assert out.split()[0] == "1000" and out.split()[1:] in (["1", "1"], ["0", "0"]), out
    if os.getuid() == 0:
        assert out.split()[1:] == ["1", "1"]
