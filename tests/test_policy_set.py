# SPDX-License-Identifier: Apache-2.0
"""`postern policy set`: another policy handed to a running `postern sandbox` or `postern run`, and by whom. As root and as an ordinary
user; how the policy then changes is in test_sandbox_policy.py."""
import os
import re
import signal
import struct
import threading
from pathlib import Path

import pytest

from conftest import wait_for
from run_bench import Bench
from test_sandbox_policy import POLICY, TWO, Running, sandbox  # noqa: F401 pylint: disable=unused-import

# A caller that speaks for itself: sends these bytes with that file beside them, and prints what it is told.
CALLER = '''
import socket, sys
name, message, file = sys.argv[1:]
files = [open(file, "rb")] if file else []
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); s.settimeout(30)
try:
    s.connect(b"\\0" + name.encode())
    try: socket.send_fds(s, [bytes.fromhex(message)], [f.fileno() for f in files])
    except BrokenPipeError: pass
    print(len(s.recv(65536)), flush=True)
except OSError as e: print(type(e).__name__)
'''
PYTHON = "/usr/bin/python3"
REFUSED = ("0", "ConnectionResetError")  # the connection was ended without a word


def message(kind, path):
    body = struct.pack("<I", len(path)) + path + b"\0"
    return (struct.pack("<IIQ", kind, 16 + len(body), 0) + body).hex()


def address(name):
    """The socket of that sandbox, as the kernel lists it."""
    return re.search(rf"@(postern-sandbox/{name}/[0-9a-f]{{16}})$", Path("/proc/net/unix").read_text(), re.M)[1]


class Set:
    """A running sandbox, and the command."""

    def __init__(self, sandbox, folder):  # pylint: disable=redefined-outer-name
        self.sandbox, self.running, self.file = sandbox, Running(sandbox), folder / "other.yaml"
        self.name = str(self.running.process.pid)

    def run(self, text=None, name=None):
        if text is not None:
            self.file.write_text(text)
        return self.sandbox.user.run([self.sandbox.postern, "policy", "set", "--sandbox", name or self.name, self.file])

    def taken(self, text, number):
        """It is, and the sandbox's terminal says so."""
        done = self.run(text)
        assert (done.returncode, done.stdout, done.stderr) == (0, f"sandbox {self.name} is decided by policy {number}\n", "")
        while not (line := self.running.process.stderr.readline()).startswith("postern sandbox: "):
            assert line, "it has ended"
        assert line == f"postern sandbox: requests are decided by policy {number}, {self.file}\n"

    def decides_by(self, path):
        assert {one: self.running.get(one) for one in ("/one", "/two")} == {one: 200 if one == path else 403 for one in ("/one", "/two")}


@pytest.fixture
def one(sandbox, workdir):  # noqa: F811 pylint: disable=redefined-outer-name
    made = Set(sandbox, workdir)
    yield made
    made.running.end()


def test_another_policy(one):
    one.taken(TWO, 2)
    one.decides_by("/two")
    one.taken(POLICY, 3)
    one.decides_by("/one")
    assert one.running.reload(TWO).endswith("as it is now\n")  # the file that it was started with
    one.decides_by("/two")
    one.taken(POLICY, 5)


def test_a_policy_out_of_a_pipe(one):
    """It is read once: what it says in the end is what was checked."""
    one.file.write_text(TWO)
    done = one.sandbox.user.run(["bash", "-c", '"$@" <(cat "$0")', one.file, one.sandbox.postern, "policy", "set", "--sandbox", one.name])
    assert (done.returncode, done.stdout, done.stderr) == (0, f"sandbox {one.name} is decided by policy 2\n", "")
    one.decides_by("/two")
    done = one.sandbox.user.run(["bash", "-c", '"$@" --policy <(cat "$0") -- echo started', one.file, one.sandbox.postern, "sandbox"])
    assert (done.returncode, done.stdout) == (0, "started\n"), done


def test_a_pipe_is_not_read_again(sandbox, user, workdir):  # noqa: F811 pylint: disable=redefined-outer-name
    """By SIGHUP: nobody is waited for who might write to it."""
    pipe = user.folder(workdir, "pipe") / "policy"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_text(sandbox.policy.read_text()))
    writer.start()
    sandbox.policy = pipe
    running = Running(sandbox)
    writer.join()
    running.process.send_signal(signal.SIGHUP)
    while not (line := running.process.stderr.readline()).startswith("postern sandbox: "):
        assert line, "it has ended"
    assert "is no file that can be read again" in line and running.get("/one") == 200
    running.end()


def test_a_file_that_the_sandbox_can_write_by_another_name(sandbox, user, workdir):  # noqa: F811 pylint: disable=redefined-outer-name
    folder = user.folder(workdir, "dir")
    sandbox.options += ["--dir", folder]
    one = Set(sandbox, folder)  # pylint: disable=redefined-outer-name
    one.file.write_text(TWO)
    done = user.run(["bash", "-c", '"$@" 3<"$0"', one.file, sandbox.postern, "policy", "set", "--sandbox", one.name, "/dev/fd/3"])
    assert done.returncode == 1 and "the sandbox can write to it" in done.stderr
    one.decides_by("/one")
    one.running.end()


@pytest.mark.parametrize("policy, code, said", [
    (TWO.replace("api:", "api: ["), 3, "{}:6:5: "),
    (TWO.replace("enforcement", "enforcements"), 3, "{}:5:79: unknown"),
    (TWO.replace("read_only: [/dev/zero]", "read_only: [/dev/zero, /srv]"), 1, "{}: filesystem_policy cannot change while a sandbox runs\n"),
    (TWO + "landlock: { compatibility: hard_requirement }\n", 1, "{}: landlock cannot change while a sandbox runs\n"),
    (TWO + "process: { run_as_user: '4711' }\n", 1, "{}: process cannot change while a sandbox runs\n"),
    (None, 3, "{}: cannot read the policy: No such file or directory\n"),
], ids=["yaml", "key", "paths", "landlock", "process", "gone"])
def test_one_that_cannot_be_had(one, policy, code, said):
    """One line, and all is as it was; and the next one is taken."""
    done = one.run(policy)
    assert done.returncode == code and done.stdout == "" and done.stderr.startswith("postern policy: " + said.format(one.file)), done
    assert done.stderr.count("\n") == 1
    one.decides_by("/one")
    one.taken(TWO, 2)
    one.decides_by("/two")


def test_a_file_that_the_sandbox_can_write(sandbox, user, workdir):  # noqa: F811 pylint: disable=redefined-outer-name
    folder = user.folder(workdir, "dir")
    sandbox.options += ["--dir", folder]
    one = Set(sandbox, folder)  # pylint: disable=redefined-outer-name
    done = one.run(TWO)
    assert done.returncode == 1 and done.stderr == f"postern policy: {one.file}: the sandbox can write to it, so that it is not read; keep it elsewhere\n"
    one.decides_by("/one")
    one.running.end()


# As another user: sockets that look like a sandbox's in the kernel's list, one of which takes nobody, and one whose name is two lines.
SQUATTER = '''
import os, socket, sys
os.setgid(65534); os.setuid(65534)
made = []
for name in ("postern-sandbox/%s/0123456789abcdef" % sys.argv[1], "postern-sandbox/%s/x\\n0: 0 0 00010000 0 0 0 @%s" % (sys.argv[1], sys.argv[2])):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); s.bind(b"\\0" + name.encode()); s.listen(0); made.append(s)
for _ in range(3):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); s.setblocking(False); made.append(s)
    try: s.connect(made[0].getsockname())
    except BlockingIOError: pass
print("ready", flush=True); sys.stdin.read()
'''


def test_others_do_not_get_in_the_way(one, root_user):
    """Neither to hang the command nor to make it unsure whom it is to ask."""
    squatter = root_user.popen([PYTHON, "-c", SQUATTER, one.name, address(one.name)], stdin=-1, stdout=-1)
    try:
        assert squatter.stdout.readline() == b"ready\n"
        one.taken(TWO, 2)
    finally:
        squatter.communicate(b"")


# Of the same user, who could do worse by intent.
SILENT = """
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); s.connect(b"\\0" + sys.argv[1].encode())
print("ready", flush=True); sys.stdin.read()
"""


def test_one_that_says_nothing_is_not_waited_for_long(one):
    silent = one.sandbox.user.popen([PYTHON, "-c", SILENT, address(one.name)], stdin=-1, stdout=-1)
    try:
        assert silent.stdout.readline() == b"ready\n"
        one.taken(TWO, 2)
        assert one.running.get("/two") == 200
    finally:
        silent.communicate(b"")


def test_a_file_where_the_sandbox_has_its_own(sandbox, user, workdir):  # noqa: F811 pylint: disable=redefined-outer-name
    """What the policy lets it write is not the host's /tmp."""
    folder = user.folder(workdir)
    assert str(folder).startswith("/tmp/")
    policy = POLICY.replace("read_only: [/dev/zero]", "read_only: [/dev/zero], read_write: [/tmp, /dev/null]").replace(", read_write: [/dev/null]", "", 1)
    sandbox.write_policy(policy)
    one = Set(sandbox, folder)  # pylint: disable=redefined-outer-name
    one.taken(policy.replace("/one", "/two"), 2)
    one.running.end()


def test_a_warning_is_one_here_too(one):
    done = one.run(POLICY.replace("enforcement: enforce, ", ""))
    assert done.returncode == 0 and done.stderr.startswith(f"postern policy: warning: {one.file}:5:"), done


# --- who is heard -----------------------------------------------------------------------------------------------------


def test_the_inside_cannot_call(sandbox, workdir):  # noqa: F811 pylint: disable=redefined-outer-name
    """Not even with its name: it is in another network namespace."""
    process = sandbox.user.popen(sandbox.command("sh", "-c", f'read name; exec {PYTHON} -c "$0" "$name" 00 ""', CALLER), stdin=-1, stdout=-1, text=True)
    name = wait_for(lambda: f"@postern-sandbox/{process.pid}/" in Path("/proc/net/unix").read_text(), what="its socket") and address(process.pid)
    assert process.communicate(name + "\n", timeout=60)[0] == "ConnectionRefusedError\n"


@pytest.mark.parametrize("how", ["itself", "another user", "a user namespace"])
def test_others_are_not_heard(one, user, root_user, ordinary_user, how):
    """The same call as its user's is taken, and as anybody else's, or from where dialer is, not."""
    who = {"another user": ordinary_user if user is root_user else root_user}.get(how, user)
    one.file.write_text(TWO)
    sealed = "import os; text = files[0].read(); files = [os.fdopen(os.memfd_create('p', os.MFD_ALLOW_SEALING), 'r+b', 0)]; files[0].write(text); files[0].seek(0)\n"
    caller = CALLER.replace("s = socket", sealed + "s = socket", 1)
    command = [PYTHON, "-c", caller, address(one.name), message(1, bytes(one.file)), one.file]
    said = who.run([*(["unshare", "--user"] if how == "a user namespace" else []), *command]).stdout.strip()
    if how == "itself":
        assert said == str(16 + 8)
        one.decides_by("/two")
    else:
        assert said in REFUSED
        one.decides_by("/one")


@pytest.mark.parametrize("sent", [message(1, b"x" * 4097), message(2, b"x"), message(1, b"\0"), "00", message(1, b"/")],
                         ids=["long", "not a caller's", "NUL", "short", "not sealed"])
def test_what_is_no_policy_is_not_answered(one, sent):
    assert one.sandbox.user.run([PYTHON, "-c", CALLER, address(one.name), sent, "/dev/zero"]).stdout.strip() in REFUSED
    one.taken(TWO, 2)


def test_a_caller_that_says_nothing_holds_up_nobody_else(one):
    """Not the sandbox; and the next caller only until it has gone."""
    code = CALLER.replace("    try: socket.send_fds", "    print(1, flush=True); sys.stdin.read(); sys.exit()\n    try: socket.send_fds")
    silent = one.sandbox.user.popen([PYTHON, "-c", code, address(one.name), "00", ""], stdin=-1, stdout=-1)
    assert silent.stdout.readline() == b"1\n"
    one.decides_by("/one")
    silent.communicate(timeout=60)
    one.taken(TWO, 2)


# --- which ------------------------------------------------------------------------------------------------------------


ALONE = """
set -u
start() { "$@" & wait_for=$!; until grep -q "@postern-sandbox/$wait_for/" /proc/net/unix; do sleep 0.02; done; }
$SET; echo $?
start $SANDBOX; a=$!
$SET | sed "s/$a/A/"
start $SANDBOX; b=$!
$SET 2>&1 | sed "s/$a/A/;s/$b/B/" | sed 's/B, A/A, B/'
$SET --sandbox $b | sed "s/$b/B/"
$SET --sandbox 1; echo $?
kill $a $b; wait
"""


def test_which_sandbox(sandbox, user, root_user, workdir):  # noqa: F811 pylint: disable=redefined-outer-name
    """In a network namespace of its own, where no other sandbox of this user's can be."""
    other = workdir / "other.yaml"
    other.write_text(TWO)
    alone = ["unshare", "--net", "--", "setpriv", "--reuid", user.uid, "--regid", user.gid, "--clear-groups", "sh", "-c", ALONE]
    done = root_user.run(alone, env={"SET": f"{sandbox.postern} policy set {other}", "HOME": user.home,
                                     "SANDBOX": " ".join(map(str, sandbox.command("sleep", "60")))})
    assert done.stdout.splitlines() == ["1", "sandbox A is decided by policy 2", "postern policy: 2 sandboxes run here, say which: A, B",
                                        "sandbox B is decided by policy 2", "1"], done
    assert [line for line in done.stderr.splitlines() if line.startswith("postern policy")] == [
        "postern policy: no sandbox of this user's runs here", "postern policy: no sandbox 1 of this user's runs here"]


def test_a_run(user, workdir, postern, leak_check):
    """By its id; the run's record says so."""
    bench = Bench(user, workdir, postern)
    bench.harness()
    agent = ('ask() { curl -s -o /dev/null -w "%{http_code}\\n" -H "Authorization: Bearer $API_TOKEN" "$API_URL/x"; }; '
             'ask; while [ "$(ask)" = 200 ]; do sleep 0.05; done; ask')
    process = bench.popen(agent, stdout=-1, stderr=-1, text=True)
    assert process.stdout.readline() == "200\n"
    name = bench.record()["id"]
    bench.write("other.yaml", (bench.folder / "policy.yaml").read_text().replace('path: "/**"', "path: /other"))
    done = user.run([postern, "policy", "set", "--sandbox", name, "other.yaml"], cwd=bench.folder)
    assert (done.returncode, done.stdout) == (0, f"sandbox {name} is decided by policy 2\n"), done
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0 and out == "403\n", err
    notes = [step for step in bench.record()["steps"] if step["name"] == "policy"]
    assert [note["detail"] for note in notes] == [f"requests are decided by policy 2, {bench.folder}/other.yaml"]
