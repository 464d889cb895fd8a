# SPDX-License-Identifier: Apache-2.0
"""How a sandbox lives and ends: terminals, signals, the death of each of its processes, what these hold and may do, and what happens
when something is scarce. As root and as an ordinary user."""
import os
import re
import signal
import socket
import time
from pathlib import Path

import pytest

from conftest import descendants, wait_for
from limits import LIMITS
from sandboxes import CLIENT, FILES, PYTHON, Sandbox, Upstream
from terminals import Terminal

POLICY = FILES + f"""\
network_policies:
  api:
    endpoints: [ {{ host: host.openshell.internal, port: 9090, protocol: rest, enforcement: enforce, access: full }} ]
    binaries: [ {{ path: /usr/bin/curl }}, {{ path: {PYTHON} }} ]
"""


@pytest.fixture
def sandbox(postern, user, workdir, leak_check):
    made = Sandbox(postern, user, workdir)
    made.write_policy(POLICY)
    return made


def processes():
    """{name: pid} of a running sandbox's; the resolver has its parent's command line."""
    found = {}
    for pid, line in descendants().items():
        try:
            comm = Path(f"/proc/{pid}/comm").read_text().strip()
        except OSError:
            continue
        name = line.split(" ")[0].rsplit("/", 1)[-1]
        found["resolver" if comm == "resolver" else name] = pid
    return found


def started(sandbox, *command, **kwargs):
    process = sandbox.user.popen(sandbox.command(*command), stdout=-1, stderr=-1, stdin=-1, text=True, **kwargs)
    assert process.stdout.readline() == "ready\n"
    return process


# --- terminals --------------------------------------------------------------------------------------------------------


def terminal(sandbox, *command, **kwargs):
    return Terminal(sandbox.user, sandbox.command(*command), **kwargs)


def test_a_shell_on_a_terminal(sandbox):
    """Job control, Ctrl-C, Ctrl-Z and its size, as on any terminal; and it is not the user's own."""
    t = terminal(sandbox, "bash", "--norc", "-i")
    t.type("PS1='> '; stty size\n")
    t.until("33 77")
    t.type("sleep 1000\n")
    t.until("sleep 1000")
    wait_for(lambda: any(line.startswith("sleep 1000") for line in descendants().values()), 20, "sleep")
    t.type("\x03")
    t.type("echo code=$?\n")
    t.until(r"code=130")
    t.type("sleep 1001\n")
    wait_for(lambda: any(line.startswith("sleep 1001") for line in descendants().values()), 20, "sleep")
    t.type("\x1a")
    t.until("Stopped")
    t.type("kill %1; echo $(readlink /proc/self/fd/0)=$(readlink /proc/$$/fd/1)\n")
    named = t.until(r"(/dev/pts/\d+)").group(1)
    assert named != t.name
    t.resize(44, 88)
    os.kill(t.process.pid, signal.SIGWINCH)
    t.type("stty size\n")
    t.until("44 88")
    t.type("exit 9\n")
    assert t.end()[0] == 9


def test_ctrl_c_on_a_terminal_ends_a_plain_command(sandbox):
    t = terminal(sandbox, "sh", "-c", "echo ready; exec sleep 1000")
    t.until("ready")
    t.type("\x1a")  # nobody could wake it again, so it is not put to sleep
    t.type("\x03")
    assert t.end()[0] == 128 + signal.SIGINT


def test_a_terminal_that_goes_away(sandbox):
    t = terminal(sandbox, "sh", "-c", "echo ready; exec sleep 1000")
    t.until("ready")
    os.close(t.ours)
    os.close(t.theirs)
    assert t.process.wait(30) == 128 + signal.SIGHUP


@pytest.mark.parametrize("elsewhere", [["stdin"], ["stdout"], ["stderr"], ["stdin", "stdout"], ["stdin", "stderr"], ["stdout", "stderr"]])
def test_some_of_it_on_a_terminal(sandbox, workdir, elsewhere):
    """The command never has the user's, whichever it would have been."""
    (workdir / "in").write_text("typed\n")
    with open(workdir / "in", encoding="utf-8") as given, open(workdir / "out", "w", encoding="utf-8") as out, open(workdir / "err", "w", encoding="utf-8") as err:
        other = {name: file for name, file in (("stdin", given), ("stdout", out), ("stderr", err)) if name in elsewhere}
        code = 'echo ready; read x; echo "got $x"; echo error >&2; for fd in 0 1 2; do readlink /proc/$$/fd/$fd; test ! -t $fd || echo is a terminal; done; exit 5'
        t = terminal(sandbox, "sh", "-c", code, **other)
        if "stdout" in elsewhere:
            wait_for(lambda: "ready" in (workdir / "out").read_text(), 30, "the command")
        else:
            t.until("ready")
        if "stdin" not in elsewhere:
            t.type("typed\n")
        code, said = t.end()
    files = {"stdout": (workdir / "out").read_text(), "stderr": (workdir / "err").read_text()}
    everything = {name: files[name] if name in elsewhere else said.replace("\r\n", "\n") for name in files}
    assert code == 5 and "got typed\n" in everything["stdout"] and "error\n" in everything["stderr"], everything
    lines = everything["stdout"].splitlines()
    named = [line for line in lines if line.startswith("/dev/pts/")]
    assert len(named) == lines.count("is a terminal") == 3 - len(elsewhere) and len(set(named)) == 1 and t.name not in named, everything
    assert said.count("\r\r") == 0 and said.count("typed") == ("stdin" not in elsewhere) + ("stdout" not in elsewhere), said


def test_the_end_of_what_is_typed(sandbox, workdir):
    """Lines that the user's terminal edits, and its end of file, arrive as such."""
    with open(workdir / "out", "w", encoding="utf-8") as out:
        t = terminal(sandbox, "sh", "-c", "cat; echo again; cat; exit 3", stdout=out)
        t.type("a line\n")
        t.type("part")
        t.type("\x04\x04")
        wait_for(lambda: "again" in (workdir / "out").read_text(), 30, "the end of the first")
        t.type("more\n\x04")
        assert t.end()[0] == 3
    assert (workdir / "out").read_text() == "a line\npartagain\nmore\n"


def test_more_than_a_terminal_takes_at_once(sandbox):
    """All of it comes, and a command whose output stands still can be ended."""
    t = terminal(sandbox, "sh", "-c", "seq 100000; echo end; exit 2")
    t.until("\r\n99999\r\n100000\r\nend\r\n", 60)
    assert t.end()[0] == 2
    t = terminal(sandbox, "sh", "-c", "trap 'exit 7' TERM; echo ready; yes & while :; do sleep 0.05; done")
    t.until("ready")
    time.sleep(0.5)  # nobody reads: its way out is full
    t.process.terminate()
    assert t.end()[0] == 7


def test_ctrl_c_reaches_the_command_alone(sandbox):
    """Without a terminal for input, too: what a terminal sends to the whole group must not end the processes beside the sandbox."""
    process = started(sandbox, "sh", "-c", "trap 'echo caught; exit 5' INT; echo ready; while :; do sleep 0.05; done", start_new_session=True)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (5, "caught\n", "")


# --- the death of each ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name, says", [
    ("postern-proxy", "postern-proxy ended (signal 9 (Killed)), and the sandbox with it"),
    ("postern-dialer", "postern-dialer ended (signal 9 (Killed)), and the sandbox with it"),
    ("postern-witness", "postern-witness ended (signal 9 (Killed)), and the sandbox with it"),
    ("resolver", "postern-dialer ended (exit 1), and the sandbox with it"),
    ("jail-init", "the sandbox's init ended (signal 9 (Killed)), and the sandbox with it"),
])
def test_the_death_of_each(sandbox, leak_check, name, says):
    process = started(sandbox, "sh", "-c", "trap '' TERM; (setsid sleep 1000 &); echo ready; sleep 1000")
    os.kill(wait_for(lambda: processes().get(name), 20, name), signal.SIGKILL)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 125
    assert err.splitlines()[-1] == f"postern sandbox: {says}"
    assert len([line for line in err.splitlines() if line.startswith("postern sandbox")]) == 1
    leak_check.check()


@pytest.mark.parametrize("name", ["postern-proxy", "postern-dialer", "postern-witness"])
def test_a_helper_that_hangs(sandbox, leak_check, name):
    """Stopped, it holds up requests and nothing else: the command can still be ended, and nothing is left."""
    process = started(sandbox, "sh", "-c", "echo ready; exec sleep 1000")
    os.kill(wait_for(lambda: processes().get(name), 20, name), signal.SIGSTOP)
    process.terminate()
    process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGTERM
    leak_check.check()


# --- what each holds --------------------------------------------------------------------------------------------------


def descriptors(pid):
    """{number: kind}; the kind of a Unix socket's pair, an event loop's own and the like."""
    kinds = {}
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            kinds[int(entry.name)] = re.sub(r":\[\d+\]$", "", os.readlink(entry))
        except FileNotFoundError:
            pass
    return kinds


def test_what_the_processes_beside_it_hold(sandbox, root_user):
    """As docs/processes.md says: no file of the host's, no right, no namespace but those that they need."""
    process = started(sandbox, "sh", "-c", "echo ready; read x", env={"STRAY": "1"})
    try:
        found = processes()
        loop = {"anon_inode:[eventpoll]", "anon_inode:[eventfd]", "socket", "pipe"}
        sockets = {"postern-proxy": {4, 5, 9}, "postern-dialer": {3, 6}, "postern-witness": {3, 5, 7}, "resolver": {3}}
        mine = {kind: os.readlink(f"/proc/self/ns/{kind}") for kind in ("net", "mnt", "ipc", "uts", "user")}
        for name, expected in sockets.items():
            pid = found[name]
            kinds = descriptors(pid)
            assert {kinds.pop(0), kinds.pop(1)} == {"/dev/null"} and kinds.pop(2) == "pipe", name
            assert expected <= {fd for fd, kind in kinds.items() if kind == "socket"}, (name, kinds)
            assert set(kinds.values()) <= loop | ({"/", "/proc"} if name == "postern-witness" else set()), (name, kinds)
            status = Path(f"/proc/{pid}/status").read_text()
            for field, value in (("NoNewPrivs", 1), ("Seccomp", 0 if name == "resolver" else 2)):
                assert re.search(rf"^{field}:\s+{value}$", status, re.M), (name, field)
            rights = {field: int(value, 16) for field, value in re.findall(r"^(Cap\w+):\s+(\w+)$", status, re.M)}
            trace = (1 << 19) if name == "postern-witness" else 0  # CAP_SYS_PTRACE, over the sandbox's namespace
            assert rights["CapEff"] == rights["CapPrm"] == trace and rights["CapInh"] == rights["CapAmb"] == 0, (name, rights)
            apart = {kind for kind in mine if os.readlink(f"/proc/{pid}/ns/{kind}") != mine[kind]}
            assert apart >= {"ipc", "uts", "user"} | ({"net", "mnt"} if name in ("postern-proxy", "postern-witness") else set()), (name, apart)
            if "mnt" in apart:
                assert os.listdir(f"/proc/{pid}/root/") == [], name
            assert Path(f"/proc/{pid}/environ").read_bytes() == b"", name
            uid = int(re.search(r"^Uid:\s+(\d+)", status, re.M).group(1))
            assert uid != 0 or name == "postern-dialer", name
    finally:
        process.communicate("\n")
    assert process.returncode == 0


# --- scarcity ---------------------------------------------------------------------------------------------------------


def test_closed_standard_descriptors(sandbox):
    """The first descriptors that postern opens for itself must not become the command's input and output."""
    command = " ".join(str(part) for part in sandbox.command("sh", "-c", "'ls -l /proc/self/fd >/tmp/x; grep -c /dev/null /tmp/x; exit 6'"))
    done = sandbox.user.run(["sh", "-c", f"{command} <&-"])
    assert (done.returncode, done.stdout) == (6, "1\n")
    command = " ".join(str(part) for part in sandbox.command("sh", "-c", "'ls -l /proc/self/fd | grep -c socket && exit 1; exit 7'"))
    assert sandbox.user.run(["sh", "-c", f"{command} <&- >&- 2>&-"]).returncode == 7


def test_children_are_waited_for_whatever_was_inherited(sandbox):
    """Started by somebody who ignores SIGCHLD, which is inherited."""
    done = sandbox.script("exit 7", preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN))
    assert (done.returncode, done.stderr) == (7, "")


def test_no_core_of_it_on_the_host(sandbox):
    """Nor with a core_pattern that pipes it to one of the host's programs."""
    assert re.search(r"^Max core file size +1 +1 ", sandbox.output("ulimit -c unlimited 2>/dev/null; cat /proc/self/limits"), re.M)


def test_little_memory_that_can_be_locked(sandbox, user):
    command = ["sh", "-c", 'ulimit -l 64; exec "$@"', "sh"]
    if user.uid == 0:  # who may lock as much as he wants
        command += ["setpriv", "--bounding-set", "-ipc_lock"]
    done = user.run([*command, *sandbox.command("true")])
    assert done.returncode == 4 and re.fullmatch(r"postern sandbox: [^\n]* 64 KiB of 1024 [^\n]*ulimit -l[^\n]*\n", done.stderr), done.stderr


def test_few_descriptors(sandbox):
    """Too few to start with: said, and nothing left. A few: fewer connections at once, all of them answered."""
    upstream = Upstream()
    code = "say(sum(get(BASE + '/x')[0] == 200 for _ in range(20)), len([Peer() for _ in range(20)]))"
    command = [str(part) for part in sandbox.command(PYTHON, "-c", CLIENT + code, options=[f"--server=9090=127.0.0.1:{upstream.port}"])]
    done = sandbox.user.run(["sh", "-c", 'ulimit -n 20; exec "$@"', "sh", *command])
    assert done.returncode == 125 and re.fullmatch(r"postern sandbox: cannot .*\n", done.stderr), done.stderr
    done = sandbox.user.run(["sh", "-c", 'ulimit -n 80; exec "$@"', "sh", *command])
    assert (done.returncode, done.stdout) == (0, "20\n20\n"), done.stderr
    upstream.close()


def test_processes_and_space_are_bounded(sandbox):
    """A command that forks until it cannot, and fills what it can write to, harms itself alone and can be ended."""
    code = (
        "import errno\n"
        "n = 0\n"
        "try:\n"
        "    while True:\n"
        "        if os.fork() == 0: time.sleep(1000)\n"
        "        n += 1\n"
        f"except OSError as e: say(n < {LIMITS['DEFAULT_SANDBOX_PROCESSES']} + 4, e.errno == errno.EAGAIN)\n"
        f"for folder, most in (('/dev/shm', {LIMITS['LIMIT_JAIL_SHM_BYTES']}), ('/tmp', {LIMITS['LIMIT_SANDBOX_TMP_BYTES']})):\n"
        "    size = os.statvfs(folder); say(size.f_blocks * size.f_frsize == most)\n"
        "os.kill(-1, 9)"  # everybody but itself and init
    )
    done = sandbox.run(PYTHON, "-c", CLIENT + code, timeout=200)
    assert done.stdout == "true\n" * 4 and done.returncode == 0, (done.returncode, done.stdout, done.stderr)


def test_a_hundred_one_after_another(sandbox, leak_check):
    for number in range(100):
        assert sandbox.run("sh", "-c", f"exit {number}").returncode == number
    leak_check.check()
