# SPDX-License-Identifier: Apache-2.0
"""What a sandbox may use: memory, processes, open files and time, as options say; as root and as an ordinary user."""
import re
import signal
import subprocess
import time

import pytest

from conftest import wait_for, weakened
from limits import LIMITS
from processes import below
from sandboxes import CLIENT, PYTHON, Sandbox

POLICY = ("version: 1\nfilesystem_policy: { include_workdir: true, read_only: [/usr, /lib, /lib64, /bin, /etc, /proc, /dev/zero], "
          "read_write: [/dev/null, /tmp] }\n")
MEMORY = "postern sandbox: more than 64 MiB of memory were in use, so all of it was killed; --memory gives more\n"
# What goes past a limit, and what is seen of it where the limit is kept: the exit code, what was printed, what was said.
FORKS = """
n = 1
try:
    while n < 30 and os.fork(): n += 1
    if n < 30: time.sleep(100)
except OSError as e: say([n, e.strerror])
"""
OPENS = """
kept = []
try:
    while len(kept) < 200: kept.append(os.open("/dev/null", os.O_RDONLY))
except OSError as e: say([len(kept) + 3, e.strerror])
"""
TRIES = {
    "memory": ("--memory=64M", "held = b'x' * (200 << 20); time.sleep(1)", (137, "", MEMORY)),
    "memory of many": ("--memory=64M", "[os.fork() for _ in range(3)]; held = b'x' * (20 << 20); time.sleep(2)", (137, "", MEMORY)),
    "files in memory": ("--memory=64M", "open('/tmp/x', 'wb').write(b'x' * (48 << 20)); held = b'x' * (32 << 20); time.sleep(1)", (137, "", MEMORY)),
    "processes": ("--processes=9", FORKS, (0, '[9, "Resource temporarily unavailable"]\n', "")),
    "files": ("--files=50", OPENS, (0, '[50, "Too many open files"]\n', "")),
}


@pytest.fixture
def sandbox(postern, user, workdir, leak_check):
    made = Sandbox(postern, user, workdir)
    made.write_policy(POLICY)
    return made


def attempt(sandbox, name):
    option, code, kept = TRIES[name]
    done = sandbox.run(PYTHON, "-c", CLIENT + code, options=[option])
    return (done.returncode, done.stdout, done.stderr), kept


@pytest.mark.parametrize("name", TRIES)
def test_each_limit_is_kept(sandbox, name):
    found, kept = attempt(sandbox, name)
    assert found == kept


@pytest.mark.parametrize("name", TRIES)
def test_each_would_be_missed(sandbox, programs, workdir, name):
    """A postern whose jails have no limits (src/jail/weak.c)."""
    weak = weakened(programs, workdir / "weak", "postern")
    (weak / "postern.weakness").write_text("limits\n")
    sandbox.postern = str(weak / "postern")
    found, kept = attempt(sandbox, name)
    assert found != kept


def test_what_is_within_the_limits(sandbox):
    """Nothing is said of them, and the exit code is the command's."""
    options = ["--memory=256M", "--processes=1", "--files=16", "--time=1h"]
    done = sandbox.script("ulimit -n; exit 5", options=options)
    assert (done.returncode, done.stdout, done.stderr) == (5, "16\n", "")


def test_limits_that_nobody_named(sandbox):
    said = sandbox.output("cat /proc/self/limits")
    assert int(re.search(r"^Max open files +(\d+) ", said, re.M)[1]) <= LIMITS["DEFAULT_SANDBOX_FILES"]
    assert int(re.search(r"^Max processes +(\d+) ", said, re.M)[1]) <= LIMITS["DEFAULT_SANDBOX_PROCESSES"] + 2


def test_time_ends_in_order(sandbox):
    begun = time.monotonic()
    done = sandbox.script("trap 'echo told; exit 3' TERM; sleep 100 & wait", options=["--time=1"])
    assert (done.returncode, done.stdout, done.stderr) == (124, "told\n", "postern sandbox: its 1 s were over; --time gives more\n")
    assert 1 <= time.monotonic() - begun < 1 + LIMITS["LIMIT_AGENT_STOP_SECONDS"]


def test_time_ends_who_does_not_listen(sandbox):
    begun = time.monotonic()
    done = sandbox.script("trap '' TERM; setsid sleep 100 & kill -STOP $$; sleep 100", options=["--time=1s"])
    assert (done.returncode, done.stderr) == (124, "postern sandbox: its 1 s were over; --time gives more\n")
    assert time.monotonic() - begun > 1 + LIMITS["LIMIT_AGENT_STOP_SECONDS"]


def test_time_goes_on_though_nobody_reads_what_is_said(sandbox):
    """The pipe is full when postern has something to say (here: that SIGHUP made it read the policy anew)."""
    running = sandbox.user.popen(sandbox.command("/bin/sh", "-c", "head -c 65536 /dev/zero >&2; echo full; exec sleep 100", options=["--time=2"]),
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert running.stdout.readline() == b"full\n"
    running.send_signal(signal.SIGHUP)
    # It speaks at its end, when nobody's time is at stake.
    wait_for(lambda: not below(running.pid), 2 + LIMITS["LIMIT_AGENT_STOP_SECONDS"], "the command's end")
    said = running.communicate()[1]
    assert running.returncode == 124 and said.endswith(b"\0postern sandbox: its 2 s were over; --time gives more\n")


# What each option takes: the least and the most, and one below and above.
BOUNDS = [
    ("memory", LIMITS["LEAST_SANDBOX_MEMORY_BYTES"], 1 << 50), ("processes", 1, LIMITS["LIMIT_SANDBOX_PROCESSES"]),
    ("files", LIMITS["LEAST_SANDBOX_FILES"], LIMITS["LIMIT_SANDBOX_FILES"]), ("time", 1, LIMITS["LIMIT_SANDBOX_SECONDS"]),
]


@pytest.mark.parametrize("name,least,most", BOUNDS)
def test_what_an_option_takes(sandbox, name, least, most):
    for value in (least - 1, most + 1, "", "-1", " 20", "0x20", "20x", "20KB", "K", 10**30):
        done = sandbox.run("true", options=[f"--{name}={value}"])
        assert done.returncode == 2 and done.stderr.startswith(f"postern sandbox: --{name} takes {least} to {most} "), (value, done)
    assert sandbox.run("true", options=[f"--{name}={most}"]).returncode == 0


@pytest.mark.parametrize("option", ["--memory=65536K", "--memory=2G", "--memory=1T", "--time=1m", "--time=2h", "--time=3d"])
def test_units(sandbox, option):
    assert sandbox.run("true", options=[option]).returncode == 0
