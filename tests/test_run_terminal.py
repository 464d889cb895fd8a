# SPDX-License-Identifier: Apache-2.0
"""`postern run` at a terminal: the agent has one of its own, Ctrl-C is the run's, and the user's is as it was however the run ends."""
import os
import signal
import termios
import time
from pathlib import Path

import pytest

from conftest import wait_for
from run_bench import Bench
from terminals import Terminal


@pytest.fixture
def bench(user, workdir, postern, leak_check):
    made = Bench(user, workdir, postern)
    made.harness()
    return made


def terminal(bench, shell, *options, **kwargs):
    return Terminal(bench.user, bench.command(shell, *options), cwd=bench.folder, **kwargs)


def agent_runs(bench):
    return lambda: (bench.folder / "out" / "workspace" / "started").exists()


@pytest.mark.parametrize("key", ["\x03", "\x1c"])
def test_a_key_that_interrupts(bench, key):
    """Whatever the agent did to its terminal; and one that only asks for it to be stopped does nothing."""
    t = terminal(bench, "stty -isig -echo; trap '' INT QUIT; touch started; echo ready; sleep 60")
    t.until("ready")
    t.type("\x1a")
    t.type(key)
    code, said = t.end()
    assert code == 130, said
    assert bench.lines()[-2:] == ["server ends", "post-script"]  # one Ctrl-C counts once, though it reaches two processes
    assert bench.record()["outcome"] == "interrupted" and bench.steps()[-1] == ("nothing left", "ok")


def test_ctrl_c_twice(bench):
    bench.script("post.sh", '#!/bin/sh\ntouch "$POSTERN_OUTPUT/post"\nexec sleep 60\n')
    t = terminal(bench, "touch started; sleep 60")
    wait_for(agent_runs(bench), 30, "the agent")
    t.type("\x03")
    wait_for((bench.folder / "out" / "post").exists, 30, "the post-script")
    began = time.monotonic()
    t.type("\x03")
    code, said = t.end()
    assert code == 130 and time.monotonic() - began < 15, said
    assert bench.steps()[-1][0] == "nothing left"


def test_an_agent_that_converses(bench):
    """On its own terminal, which has the size of the user's; lines are edited and echoed once."""
    t = terminal(bench, "stty size; readlink /proc/$$/fd/0 /proc/$$/fd/1 /proc/$$/fd/2; echo ready; read x; echo got $x; stty -echo; echo hidden; read x; echo got $x; exit 9")
    t.until("33 77\r\n")
    named = [t.until(r"(/dev/pts/\d+)\r\n").group(1) for _ in range(3)]
    assert len(set(named)) == 1 and t.name not in named
    t.until("ready\r\n")
    t.type("holla\x7fo\r")
    assert "\n" not in t.until("got (.*)\r\n").group(1)
    t.until("hidden\r\n")
    t.type("secret\r")
    assert t.until("got secret\r\n")
    t.resize(44, 88)
    code, said = t.end()
    assert code == 9 and "secret" not in said


def test_its_size_follows(bench):
    t = terminal(bench, "trap 'stty size; exit 4' WINCH; echo ready; while :; do sleep 0.1; done")
    t.until("ready")
    t.resize(44, 88)  # which the kernel tells whoever is in its foreground
    t.until("44 88")
    assert t.end()[0] == 4


def test_the_record_on_stdout_and_the_rest_at_the_terminal(bench):
    with open(bench.folder / "said", "w", encoding="utf-8") as said:
        t = terminal(bench, 'test -t 0 && test -t 1 && test -t 2 && echo "agent speaks"', "--json", stdout=said)
        t.until("agent speaks\r\n")
        assert t.end()[0] == 0
    assert (bench.folder / "said").read_text().startswith("{")


def test_output_alone_at_the_terminal(bench):
    """Lines end as they should, and nothing that is typed is taken."""
    t = terminal(bench, "readlink /proc/$$/fd/0; test -t 1 && readlink /proc/$$/fd/1; cat", stdin=-3)
    t.until("/dev/null\r\n")
    assert t.until(r"(/dev/pts/\d+)\r\n").group(1) != t.name
    assert t.end()[0] == 0


def test_an_inner_process_that_is_killed(bench):
    t = terminal(bench, "stty raw -echo; touch started; echo ready; sleep 60")
    t.until("ready")
    wait_for(lambda: termios.tcgetattr(t.theirs) != t.before, 20, "a raw terminal")
    inner = Path(f"/proc/{t.process.pid}/task/{t.process.pid}/children").read_text().split()
    os.kill(int(inner[0]), signal.SIGKILL)
    assert t.end()[0] == 125


def test_in_the_background(bench):
    """It neither stops nor takes what is typed to the shell in the foreground."""
    t = Terminal(bench.user, ["bash", "-c", 'set -m; "$@" & wait $!; code=$?; read x; echo "shell got $x"; exit $code', "bash",
                              *bench.command('touch started; cat >got & sleep 1; echo agent ends; exit 6')], cwd=bench.folder)
    wait_for(agent_runs(bench), 30, "the agent")
    t.type("typed\n")
    t.until("agent ends")
    t.until("shell got typed")
    assert t.end()[0] == 6
    assert (bench.folder / "out" / "workspace" / "got").read_text() == ""
