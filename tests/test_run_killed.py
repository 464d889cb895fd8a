# SPDX-License-Identifier: Apache-2.0
"""`postern run` with each of its processes killed in turn: the run ends with a clear line, in order, and leaves nothing."""
import os
import shlex
import signal
import time
from pathlib import Path

import pytest

from conftest import descendants, wait_for
from run_bench import Bench

AGENT = "touch started; while [ ! -e go ]; do sleep 0.1; done; " \
    'curl -sS --max-time 20 --retry 5 --retry-connrefused -o answer -w "%{http_code}" -H "Authorization: Bearer $API_TOKEN" "$API_URL/jobs"'


@pytest.fixture
def bench(user, workdir, postern, leak_check):
    bench = Bench(user, workdir, postern)
    bench.harness(script="postern serve", port=bench.port)
    return bench


class Running:
    """A run whose agent waits, and its processes."""

    def __init__(self, bench):
        self.errors = bench.folder / "errors"
        self.bench, self.workspace = bench, bench.folder / "out" / "workspace"
        with open(self.errors, "w", encoding="utf-8") as errors, open(bench.folder / "said", "w", encoding="utf-8") as said:
            self.process = bench.popen(AGENT, stdout=said, stderr=errors)
        try:
            wait_for((self.workspace / "started").exists, 30, "the agent")
        except AssertionError:
            raise AssertionError(self.errors.read_text()) from None

    def children(self, pid):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    @property
    def inner(self):
        return self.children(self.process.pid)[0]

    def find(self, name):
        """The process of the run with this name, or its role."""
        if name == "outer":
            return self.process.pid
        if name == "inner":
            return self.inner
        if name == "init":  # of the sandbox: a copy of the runner, the only parent of the agent
            return int(Path(f"/proc/{self.find('agent')}/stat").read_text().rsplit(")", 1)[1].split()[1])
        if name == "agent":
            return next(pid for pid, line in descendants().items() if line.startswith("/bin/sh -c touch started"))
        found = [pid for pid, line in descendants().items() if shlex.split(line)[0].endswith(name.split()[0]) and name in line]
        return found[0]

    def end(self, seconds=40):
        code = self.process.wait(seconds)
        return code, self.errors.read_text()


# What is killed; the run's exit code; what it says.
KILLED = [
    ("postern serve", 125, "server 'api' died (signal 9 (Killed)) during agent"),
    ("postern-keeper", 125, "server 'api' died (exit 1) during agent"),
    ("postern-proxy", 125, "proxy"),
    ("postern-dialer", 125, "dialer"),
    ("postern-witness", 125, "witness"),
    ("init", 125, "the sandbox's init ended (signal 9 (Killed))"),
    ("agent", 128 + 9, "exit 137"),
]


@pytest.mark.parametrize("name,code,message", KILLED, ids=[row[0].split("-")[-1] for row in KILLED])
def test_killed(bench, leak_check, name, code, message):
    run = Running(bench)
    os.kill(run.find(name), signal.SIGKILL)
    ended, errors = run.end()
    assert ended == code and message in errors, errors
    assert bench.lines()[-1] == "post-script"
    leak_check.check()


def test_front_killed_is_started_again(bench):
    run = Running(bench)
    front = run.find("postern-front")
    os.kill(front, signal.SIGKILL)
    wait_for(lambda: [pid for pid, line in descendants().items() if "postern-front" in line and pid != front], 20, "another front")
    (run.workspace / "go").touch()
    code, errors = run.end()
    assert code == 0, errors
    assert (bench.folder / "said").read_text() == "200"


def test_runner_killed_ends_the_run_in_order(bench, leak_check):
    run = Running(bench)
    os.kill(run.find("outer"), signal.SIGKILL)
    run.end()
    leak_check.check(seconds=40)  # the inner process tears down, by the kernel's word that the outer one is gone
    assert bench.lines()[-1] == "post-script"
    assert bench.record()["outcome"] == "interrupted"


def test_inner_process_killed_leaves_nothing(bench, leak_check):
    run = Running(bench)
    os.kill(run.find("inner"), signal.SIGKILL)
    code, errors = run.end()
    assert code == 125 and "the run was killed by signal 9" in errors, errors
    leak_check.check()


def test_both_killed_leave_no_process(bench, leak_check):
    run = Running(bench)
    inner = run.inner
    os.kill(run.process.pid, signal.SIGSTOP)  # so that the outer one cannot clean up for the inner one
    os.kill(inner, signal.SIGKILL)
    os.kill(run.process.pid, signal.SIGKILL)
    run.end()
    wait_for(lambda: not leak_check.found()["processes"], 20, "the end of all processes")
    # What nobody was left to remove, the next run removes.
    assert leak_check.found()["files"]
    bench.harness(script="postern serve")
    assert bench.user.run([bench.postern, "run", "harness.yaml", "--output", "out2", "--", "/bin/true"], cwd=bench.folder).returncode == 0
    leak_check.check()
