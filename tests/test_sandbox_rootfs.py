# SPDX-License-Identifier: Apache-2.0
"""A sandbox on a root file system of one's own (--rootfs): what is seen of it, that it is never changed, and that nothing in it leads out:
symlinks, devices, set-id programs, sockets, pipes, mounts. As root and as an ordinary user."""
import ctypes
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import threading
from pathlib import Path

import pytest

from conftest import wait_for
from limits import LIMITS
from processes import below
from sandboxes import Sandbox, Upstream
from test_commands import WITHOUT_LANDLOCK

PROGRAMS = ["dash", "cat", "ls", "id", "mkdir", "rm", "touch", "stat", "head", "sleep", "mv", "ln", "readlink", "timeout", "curl", "true"]
LIBC = ctypes.CDLL(None, use_errno=True)
RENAME_EXCHANGE = 2


@pytest.fixture(scope="module")
def template(reachable):
    """A root file system with these programs, as small as can be."""
    root = reachable / "rootfs-template"
    for name in ("usr/bin", "usr/lib", "usr/lib64", "etc", "opt", "srv", "run", "tmp", "var/tmp"):
        (root / name).mkdir(parents=True)
    for name in ("bin", "lib", "lib64"):
        (root / name).symlink_to(f"usr/{name}")
    (root / "usr/bin/sh").symlink_to("dash")
    for name in PROGRAMS:
        shutil.copy(f"/usr/bin/{name}", root / "usr/bin" / name)
        said = subprocess.run(["ldd", f"/usr/bin/{name}"], capture_output=True, text=True, check=True).stdout
        for library in re.findall(r"(/\S+)", said):
            (root / library[1:]).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(library, root / library[1:])
    for name, text in {"etc/mine": "mine\n", "etc/hosts": "192.0.2.1 elsewhere\n", "etc/resolv.conf": "nameserver 192.0.2.1\n", "etc/passwd": "else:x:7:7::/:\n",
                       "run/stale": "x", "tmp/stale": "x", "var/tmp/stale": "x", "srv/unlisted": "UNLISTED\n"}.items():
        (root / name).write_text(text)
    return root


@pytest.fixture
def place(user):
    """A folder of the user's outside of what every sandbox has of its own."""
    folder = user.folder(user.home, "rootfs")
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def root(place, template, user):
    """One of the user's own."""
    folder = place / "root"
    shutil.copytree(template, folder, symlinks=True)
    give(user, folder)
    return folder


def give(user, folder):
    if os.getuid() == 0:
        subprocess.run(["chown", "-hR", f"{user.uid}:{user.gid}", folder], check=True)


@pytest.fixture
def sandbox(postern, user, workdir, root, leak_check):
    made = Sandbox(postern, user, workdir)
    made.options = ["--rootfs", root]
    policy(made)
    return made


def policy(sandbox, read_only="", read_write="", more=""):
    sandbox.write_policy(
        "version: 1\nfilesystem_policy:\n  include_workdir: true\n"
        f"  read_only: [/usr, /lib, /lib64, /bin, /etc, /opt, /proc, /run, /var{', ' if read_only else ''}{read_only}]\n"
        f"  read_write: [/dev/null, /tmp{', ' if read_write else ''}{read_write}]\n{more}")


def look(folder):
    """All that there is: {name: (mode, size, time, owner, what it says)}"""
    found = {}
    for path in [folder, *sorted(folder.rglob("*"))]:
        st = path.lstat()
        text = path.read_bytes() if stat.S_ISREG(st.st_mode) else os.readlink(path) if stat.S_ISLNK(st.st_mode) else None
        found[path.relative_to(folder)] = (st.st_mode, st.st_mtime_ns, st.st_ctime_ns, st.st_uid, st.st_gid, text)
    return found


def refused(sandbox, code, *said, **kwargs):
    done = sandbox.run("true", **kwargs)
    assert done.returncode == code and done.stderr.count("\n") == 1 and all(word in done.stderr for word in said), done


def test_what_is_seen(sandbox, root):
    """The folder's files, the sandbox's own where it has some, and of the rest nothing that the policy does not list."""
    assert sandbox.output("cat /etc/mine; ls /usr/bin").split() == ["mine", *sorted([*PROGRAMS, "sh"])]
    assert sandbox.output("cat /etc/hosts").splitlines()[-2:] == ["10.200.0.1 host.openshell.internal", "127.0.1.1 sandbox"]
    assert sandbox.output("cat /etc/resolv.conf; id -un; ls -A /run /tmp /var/tmp; pwd") == "sandbox\n/run:\n\n/tmp:\n\n/var/tmp:\n/sandbox\n"
    assert sandbox.output("cat /proc/1/comm; cat /srv/unlisted 2>/dev/null; ls / 2>/dev/null; true") == "jail-init\n"
    policy(sandbox, "/")
    assert sandbox.output("cat /srv/unlisted; ls -A /").split() == ["UNLISTED", *sorted([*os.listdir(root), "dev", "proc", "sandbox"])]


def test_it_is_never_changed(sandbox, root, user):
    """What the policy lets be written is a copy with what was there, all of it the command's own."""
    for name in ("opt/data/a/b", "opt/closed", "opt/data/fixed"):
        (root / name).mkdir(parents=True)
    (root / "opt/data/file").write_text("old\n")
    (root / "opt/data/file").chmod(0o640)
    (root / "opt/data/link").symlink_to("file")
    (root / "opt/closed/key").write_text("own\n")
    (root / "opt/data/fixed/file").write_text("fixed\n")
    for name in ("opt/closed", "opt/closed/key"):
        (root / name).chmod(0o700)
    give(user, root)
    before = look(root)
    policy(sandbox, "/opt/data/fixed", "/opt/data, /opt/closed, /var/tmp")
    out = sandbox.output(
        "cd /opt/data; cat link fixed/file ../closed/key; stat -c '%U %a' file; echo new >file; rm -r a; mkdir a; mv link a/; echo x >../closed/more; ls . a\n"
        "for to in fixed/file fixed/x ../x /etc/hosts /etc/x /usr/bin/x /x /run/x /var/tmp/x /dev/x /bin/sh; do (echo x >$to) 2>/dev/null && echo wrote $to; done; true")
    assert out.split() == ["old", "fixed", "own", "sandbox", "640", ".:", "a", "file", "fixed", "a:", "link", "wrote", "/var/tmp/x"], out
    assert look(root) == before
    assert sandbox.output("cat /opt/data/file") == "old\n"


def test_a_copy_is_given_up_when_told_to_end(sandbox, root):
    """A signal that waits when the copying begins, or comes while it goes on."""
    def told():
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        os.kill(os.getpid(), signal.SIGTERM)
    (root / "opt/data").mkdir()
    (root / "opt/data/file").write_text("old\n")
    policy(sandbox, "", "/opt/data")
    refused(sandbox, 130, "interrupted", preexec_fn=told)
    for i in range(20):
        with (root / f"opt/data/{i}").open("wb") as file:
            file.truncate(32 << 20)
    running = sandbox.user.popen(sandbox.command("true"), stderr=subprocess.PIPE)
    builder = wait_for(lambda: below(running.pid), what="the copying")
    os.kill(running.pid, signal.SIGTERM)
    assert running.communicate()[1] == b"postern sandbox: interrupted before the jail was made\n" and running.returncode == 130, builder


@pytest.mark.parametrize("requirement, code", [("best_effort", 0), ("hard_requirement", 3)])
def test_a_path_that_it_does_not_have(sandbox, root, requirement, code):
    (root / "opt/data").mkdir()
    before = look(root)
    policy(sandbox, "/opt/data/absent", "/opt/data", f"landlock: {{ compatibility: {requirement} }}\n")
    done = sandbox.script("test ! -e /opt/data/absent")
    assert done.returncode == code and ("policy.yaml:4:" in done.stderr) == (code == 3), done
    policy(sandbox, "", "/opt/new")
    assert sandbox.output("echo x >/opt/new/x; cat /opt/new/x") == "x\n"
    assert look(root) == before


def test_what_the_sandbox_has_in_a_folder_that_is_written(sandbox, root, user):
    shutil.rmtree(root / "var/tmp")
    give(user, root)
    policy(sandbox, "", "/var, /run/own")
    assert sandbox.output("ls -A /var /var/tmp; echo x >/var/x; echo x >/run/own/x; (echo x >/run/x) 2>/dev/null || ls /var /run").split() == [
        "/var:", "tmp", "/var/tmp:", "/run:", "own", "/var:", "tmp", "x"]


def test_what_cannot_be_written(sandbox, root, user):
    (root / "opt/file").write_text("x")
    (root / "opt/link").symlink_to("/etc")
    (root / "var/run").symlink_to("/run")
    give(user, root)
    for listed, says in {"/etc": "can only be read_only", "/etc/x": "can only be read_only", "/opt/file": "list its folder", "/opt/link": "list where it leads",
                         "/opt/link/x": "list where it leads", "/bin/x": "list where it leads", "/var/run": "list where it leads"}.items():
        policy(sandbox, "", listed)
        refused(sandbox, 3, f"{listed}: ", says, "policy.yaml:5:")


def test_symlinks_lead_nowhere(sandbox, root, place, user):
    """Each means a path of the sandbox's, wherever on the host one of that name is."""
    (place / "secret").mkdir()
    (place / "secret" / "key").write_text("KEY\n")
    (root / "opt/data").mkdir()
    for name in ("opt", "opt/data"):
        (root / name / "straight").symlink_to(place / "secret" / "key")
        (root / name / "up").symlink_to("../" * 20 + str(place / "secret" / "key")[1:])
        (root / name / "near").symlink_to("../../secret/key")
        (root / name / "folder").symlink_to(place / "secret")
        (root / name / "proc").symlink_to("/proc/1/root")
        (root / name / "shadow").symlink_to("/etc/shadow")
    give(user, place)
    policy(sandbox, "/", "/opt/data, /opt/folder")
    refused(sandbox, 3, "list where it leads")
    policy(sandbox, "/", "/opt/data")
    names = "straight up near folder/key proc/etc/mine shadow"
    out = sandbox.output(f"for at in /opt /opt/data; do for n in {names}; do cat $at/$n 2>/dev/null && echo read $at/$n; (echo x >$at/$n) 2>/dev/null && echo wrote $n; done; done; true")
    assert out == "", out
    assert look(place / "secret").keys() == {Path("."), Path("key")} and (place / "secret" / "key").read_text() == "KEY\n"


def test_symlinks_in_the_way_of_what_is_the_sandboxes_own(sandbox, root, place, user):
    """Where it has /etc, /tmp, … and files in them of its own, they neither show nor change what these lead to."""
    (place / "secret").mkdir()
    for name in ("hosts", "key"):
        (place / "secret" / name).write_text("KEY\n")
    for name in ("etc", "tmp", "run", "var"):
        shutil.rmtree(root / name)
    for name in ("etc", "tmp", "run", "var", "proc", "dev", "sandbox"):
        (root / name).symlink_to(place / "secret")
    give(user, place)
    before = look(place)
    policy(sandbox, "/", "/var/tmp")
    out = sandbox.output("cat /etc/key /tmp/key /run/key /proc/key /dev/key /sandbox/key /var/key 2>/dev/null; cat /etc/hosts; echo x >/tmp/hosts; echo x >/sandbox/hosts; true")
    assert "KEY" not in out and "127.0.0.1 localhost" in out
    assert look(place) == before


def test_a_folder_that_is_swapped(sandbox, root, place, user):
    """It is opened once; when that is the host's own root, no sandbox is started."""
    good, bad = place / "good", place / "bad"
    good.symlink_to(root)
    bad.symlink_to("/")
    secret = place / "key"
    secret.write_text("KEY\n")
    give(user, place)
    policy(sandbox, "/")
    sandbox.options = ["--rootfs", good]
    assert sandbox.output("cat /etc/mine") == "mine\n"
    stop = threading.Event()

    def swap():
        while not stop.wait(0.0005):
            LIBC.renameat2(-100, os.fsencode(good), -100, os.fsencode(bad), RENAME_EXCHANGE)

    swapping = threading.Thread(target=swap)
    swapping.start()
    try:
        done = [sandbox.script(f"cat /etc/mine {secret} 2>/dev/null; true") for _ in range(30)]
    finally:
        stop.set()
        swapping.join()
    assert {(one.returncode, one.stdout) for one in done} == {(0, "mine\n"), (125, "")}, done


def test_devices_and_set_id_programs(sandbox, root, user):
    (root / "opt/data").mkdir()
    for name in ("opt/id", "opt/data/id"):
        shutil.copy("/usr/bin/id", root / name)
    give(user, root)
    for name in ("opt/id", "opt/data/id"):
        (root / name).chmod(0o6755)
    for name in ("opt", "opt/data") if os.getuid() == 0 else ():
        os.mknod(root / name / "zero", 0o20666, os.makedev(1, 5))
        os.mknod(root / name / "disk", 0o60666, os.makedev(7, 0))
    policy(sandbox, "/", "/opt/data")
    out = sandbox.output("/opt/id -u; /opt/data/id -u; stat -c %a /opt/data/id; head -qc 1 /opt/zero /opt/disk /opt/data/zero /opt/data/disk 2>/dev/null; ls /opt/data")
    assert out == "1000\n1000\n755\nid\n", out


def test_sockets_and_pipes(sandbox, root, user):
    """A service of the host's that has them in the folder is not reached by them."""
    (root / "opt/data").mkdir()
    give(user, root)
    upstreams = [Upstream(str(root / name / "s")) for name in ("opt", "opt/data")]
    pipe = root / "opt/pipe"
    os.mkfifo(pipe)
    for path in (root / "opt/s", root / "opt/data/s", pipe):
        path.chmod(0o777)
    held = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
    os.write(held, b"KEY\n")
    try:
        ask = "curl -s --unix-socket {}/s http://x/; echo $?; "
        assert user.run(["sh", "-c", ask.format(root / "opt")]).stdout == "hello\n0\n"
        policy(sandbox, "/", "/opt/data")
        out = sandbox.output(ask.format("/opt") + ask.format("/opt/data") + "(timeout 1 sh -c 'echo x >/opt/pipe') 2>/dev/null; timeout 1 head -c 4 /opt/pipe; true")
        assert out == "7\n7\n", out
        assert os.read(held, 100) == b"KEY\n" and [u.connections for u in upstreams] == [1, 0]
    finally:
        os.close(held)
        for upstream in upstreams:
            upstream.close()


def test_what_is_mounted_below_it(sandbox, root, user):
    """Is no part of it: left out by root, and refused to others, whom the kernel does not let look under a mount."""
    if os.getuid() != 0:
        return  # nobody else can mount
    for name in ("opt/m", "opt/data/m"):
        (root / name).mkdir(parents=True)
    give(user, root)
    policy(sandbox, "", "/opt/data")
    command = sandbox.command("sh", "-c", "cat /opt/m/key /opt/data/m/key 2>/dev/null; ls /opt")
    mounts = "".join(f"mount -t tmpfs x {root}/{name}; echo KEY >{root}/{name}/key; " for name in ("opt/m", "opt/data/m"))
    stage = ["unshare", "--mount", "sh", "-ec", f'{mounts} exec setpriv --reuid {user.uid} --regid {user.gid} --clear-groups "$@"', "sh", *map(str, command)]
    done = subprocess.run(stage, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    if user.uid == 0:
        assert (done.returncode, done.stdout) == (0, "data\nm\n"), done
    else:
        assert done.returncode == 125 and f"something is mounted below {root}," in done.stderr and done.stderr.count("\n") == 1, done


def test_what_is_no_root(sandbox, root, place, user):
    for given, code, says in (("/", 125, "the host's own root"), (place / "absent", 2, "No such file"), (root / "etc/mine", 2, "not a folder")):
        sandbox.options = ["--rootfs", given]
        refused(sandbox, code, says)
    sandbox.options = ["--rootfs", root]
    for folder in (place, root, root / "opt"):
        refused(sandbox, 125, "keep them apart", options=["--dir", folder])
    assert sandbox.run("true", options=["--dir", user.folder(place)]).returncode == 0


def test_without_landlock(sandbox):
    """It is what holds the policy's list there: without it there is no such sandbox."""
    done = sandbox.user.run(["/usr/bin/python3", "-c", WITHOUT_LANDLOCK, *sandbox.command("true")])
    assert done.returncode == 4 and "no Landlock" in done.stderr and done.stderr.count("\n") == 1, done


def test_its_programs_ask_the_proxy(sandbox, upstream):
    """They are known by their paths in it."""
    policy(sandbox, more="network_policies: { a: { endpoints: [{ host: host.openshell.internal, port: 9090, access: full, protocol: rest, enforcement: enforce }],"
                         " binaries: [{ path: /usr/bin/curl }] } }\n")
    sandbox.reach(upstream.port, 9090)
    assert sandbox.output("curl -sS http://host.openshell.internal:9090/x; ls /etc/openshell-tls") == "hello\nca-bundle.pem\nopenshell-ca.pem\n"
    sandbox.write_policy(sandbox.policy.read_text().replace("/usr/bin/curl", "/usr/bin/cat"))
    assert "policy_denied" in sandbox.output("curl -sS http://host.openshell.internal:9090/x")


def test_how_much_is_copied(sandbox, root, user):
    deepest = LIMITS["LIMIT_JAIL_COPY_DEPTH"]
    (root / "opt/data" / "/".join("d" * deepest)).mkdir(parents=True)
    give(user, root)
    policy(sandbox, "", "/opt/data")
    assert sandbox.run("true").returncode == 0
    (root / "opt/data" / "/".join("d" * (deepest + 1))).mkdir()
    give(user, root)
    refused(sandbox, 125, "/opt/data", f"more than {deepest} folders")
    shutil.rmtree(root / "opt/data/d")
    with open(root / "opt/data/file", "wb") as file:
        file.truncate(LIMITS["LIMIT_SANDBOX_TMP_BYTES"] + 1)
    give(user, root)
    refused(sandbox, 125, "/opt/data", "more than the 1024 MiB")
