# SPDX-License-Identifier: Apache-2.0
"""`postern run`: the order of a run, and its end in every way that it can end. Servers here are small programs that keep the
contract of api_servers; the whole path with postern's own server is in test_demo.py."""
import contextlib
import json
import os
import re
import resource
import shutil
import signal
import socket
import time
from pathlib import Path

import pytest

from conftest import ROOT, free_port, wait_for
from processes import below
from run_bench import CURL, POLICY, Bench


@pytest.fixture
def bench(user, workdir, postern, leak_check):
    return Bench(user, workdir, postern)


def test_everything_in_order(bench):
    bench.harness()
    result = bench.run(f'{CURL}; echo "$GREETING $API_TOKEN $API_URL"; exit 7')
    assert result.returncode == 7, result.stderr
    answer, environment = result.stdout.splitlines()
    assert answer == "answer"
    assert environment == f"hello openshell:resolve:env:API_TOKEN http://host.openshell.internal:{bench.port}"
    assert bench.lines() == ["pre-script from the harness", "server starts", "server got /hello", "server ends", "post-script"]
    assert bench.steps() == [
        ("prepare", "ok"), ("pre-script", "ok"), ("server api", "ok"), ("sandbox", "ok"), ("agent", "failed"),
        ("server api gone", "ok"), ("post-script", "ok"), ("nothing left", "ok"),
    ]
    record = bench.record()
    assert record["outcome"] == "agent ended" and record["exit_code"] == 7
    assert (bench.folder / "out" / "api.log").exists()
    assert "no process, mount, socket or temporary file" in result.stderr


def test_agent_killed_by_a_signal(bench):
    bench.harness()
    assert bench.run("kill -9 $$").returncode == 128 + 9


def test_agent_that_cannot_be_executed(bench):
    bench.harness()
    result = bench.user.run([bench.postern, "run", "harness.yaml", "--", "/no/such/agent"], cwd=bench.folder)
    assert result.returncode in (125, 126, 127) and "/no/such/agent" in result.stderr
    assert bench.lines()[-1] == "post-script"


def test_command_of_the_harness(bench):
    bench.harness(extra="command: [/bin/echo, from, 'the harness']\n")
    result = bench.run("")
    assert result.returncode == 0 and result.stdout == "from the harness\n"


def test_workspace_is_what_the_agent_leaves(bench):
    bench.harness()
    assert bench.run("echo result >made").returncode == 0
    made = bench.folder / "out" / "workspace" / "made"
    assert made.read_text() == "result\n"
    assert made.stat().st_uid == bench.user.uid


def test_json_record_on_stdout(bench):
    bench.harness()
    result = bench.run("echo from the agent", "--json")
    assert json.loads(result.stdout) == bench.record()
    assert "from the agent" in result.stderr


def test_port_zero_is_seen_where_the_policy_says(bench):
    bench.harness(port=0)
    result = bench.run(CURL)
    assert result.returncode == 0 and result.stdout == "answer\n", result.stderr
    assert bench.record()["servers"][0]["port"] == bench.port


def test_server_dying_mid_run_ends_it_with_its_last_lines(bench):
    bench.harness(server="--die-after, '1.5'")
    began = time.monotonic()
    result = bench.run("sleep 60")
    assert time.monotonic() - began < 20
    assert result.returncode == 125
    assert "server 'api' died (exit 3) during agent" in result.stderr
    assert "the last words of ?[31mthe server" in result.stderr  # and it does not drive the terminal
    assert bench.lines()[-1] == "post-script"
    assert bench.record()["outcome"] == "failed"


def test_as_many_lines_of_a_dead_servers_log(bench):
    lines = "".join(f'print("line {i}", file=sys.stderr)\n' for i in range(100))
    bench.script("server.py", f"#!/usr/bin/python3\nimport sys\n{lines}sys.exit(3)\n")
    bench.harness()
    result = bench.run("true")
    assert result.returncode == 125 and re.findall(r"^  line (\d+)$", result.stderr, re.M) == [str(i) for i in range(80, 100)], result.stderr


def test_server_dying_at_its_start(bench):
    bench.harness(server="--die-at-once")
    result = bench.run("echo never")
    assert result.returncode == 125 and "cannot find my configuration" in result.stderr
    assert "never" not in result.stdout
    assert bench.lines()[-1] == "post-script"


@pytest.mark.waits
@pytest.mark.once
def test_server_never_healthy(bench):
    bench.harness(server="--sick")
    result = bench.run("echo never")
    assert result.returncode == 125 and "/healthz answered 503" in result.stderr and "never" not in result.stdout


def test_the_time_of_a_run_ends_the_wait_for_health(bench):
    bench.harness(server="--sick")
    began = time.monotonic()
    result = bench.run("echo never", "--timeout", "2")
    assert result.returncode == 124 and time.monotonic() - began < 12, result.stderr
    assert "the time that the run had was over (server api)" in result.stderr and bench.record()["outcome"] == "timed out"


@pytest.mark.waits
@pytest.mark.once
def test_stubborn_server_is_killed(bench):
    bench.harness(server="--stubborn")
    result = bench.run("true", timeout=60)
    assert result.returncode == 0 and ("server api gone", "note") in bench.steps()
    assert "signal 9" in result.stderr


def test_child_of_a_server_is_named_and_killed(bench):
    bench.harness(server="--leave-child")
    result = bench.run("true")
    assert result.returncode == 0
    assert ("nothing left", "note") in bench.steps()
    assert "sleep (" in bench.record()["steps"][-1]["detail"]


def test_port_taken(bench):
    bench.harness()
    with socket.create_server(("127.0.0.1", bench.port)):
        result = bench.run("true")
    assert result.returncode == 5 and f"port {bench.port}" in result.stderr


def test_port_that_is_roots_alone(root_user, workdir, postern, leak_check):
    bench = Bench(root_user, workdir, postern)
    bench.write("policy.yaml", POLICY.replace("PORT", "79"))
    bench.harness(port=79)
    # A network whose first ports are kept, and nobody who may have them.
    without = ["unshare", "-n", "sh", "-ec", 'ip link set lo up; exec setpriv --bounding-set -net_bind_service "$@"', "sh"]
    result = root_user.run([*without, *bench.command("true")], cwd=bench.folder)
    assert result.returncode == 125 and "1024 or more), or give port: 0" in result.stderr, result.stderr


def test_failing_pre_script(bench):
    bench.script("pre.sh", "#!/bin/sh\necho something is amiss\nexit 9\n")
    bench.harness()
    result = bench.run("echo never")
    assert result.returncode == 125 and "something is amiss" in result.stderr and "exit 9" in result.stderr
    assert bench.lines() == ["post-script"]


def test_failing_post_script(bench):
    bench.script("post.sh", "#!/bin/sh\nexit 1\n")
    bench.harness()
    result = bench.run("true")
    assert result.returncode == 125 and "post-script failed" in result.stderr


def test_time_is_over(bench):
    bench.harness()
    began = time.monotonic()
    result = bench.run("sleep 60", "--timeout", "2")
    assert result.returncode == 124 and time.monotonic() - began < 20
    assert bench.lines()[-2:] == ["server ends", "post-script"]
    assert bench.record()["outcome"] == "timed out"


def agent_runs(bench):
    return lambda: (bench.folder / "out" / "workspace" / "started").exists()


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_a_signal_tears_down_in_order(bench, sent):
    bench.harness()
    run = bench.popen("touch started; sleep 60")
    wait_for(agent_runs(bench), 20, "the agent")
    run.send_signal(sent)
    assert run.wait(20) == 130
    assert bench.lines()[-2:] == ["server ends", "post-script"]
    assert bench.record()["outcome"] == "interrupted"
    assert bench.steps()[-1] == ("nothing left", "ok")


def test_a_second_signal_at_once(bench):
    bench.script("post.sh", "#!/bin/sh\nexec sleep 60\n")
    bench.harness(server="--stubborn")
    run = bench.popen("trap '' TERM INT; touch started; while :; do sleep 1; done")
    wait_for(agent_runs(bench), 20, "the agent")
    run.send_signal(signal.SIGINT)
    time.sleep(0.5)
    began = time.monotonic()
    run.send_signal(signal.SIGINT)
    assert run.wait(20) == 130
    assert time.monotonic() - began < 3
    assert bench.steps()[-1][0] == "nothing left"


@pytest.mark.waits
def test_stubborn_agent_and_script_are_killed(bench):
    """Each gets its time after SIGTERM, and no more."""
    bench.script("pre.sh", '#!/bin/sh\ntrap "" TERM\n[ -z "$SLOW" ] || while :; do sleep 1; done\n')
    for slow, least, where in (("", 5, "(agent)"), ("yes", 2, "(pre-script)")):
        bench.harness()
        began = time.monotonic()
        result = bench.user.run([bench.postern, "run", "harness.yaml", "-o", f"out{slow}", "--timeout", "1", "--", "/bin/sh", "-c",
                                 "trap '' TERM; while :; do sleep 1; done"], cwd=bench.folder, env={"SLOW": slow})
        assert result.returncode == 124 and where in result.stderr.splitlines()[-1], result.stderr
        assert least <= time.monotonic() - began < least + 20


@pytest.mark.waits
@pytest.mark.once
def test_a_post_script_has_its_time_and_no_more(root_user, reachable, postern, leak_check):
    """However the run ended: by its time, or by itself with little of that left."""
    runs = []
    for shell, seconds in (("sleep 60", 1), ("true", 30)):
        bench = Bench(root_user, root_user.folder(reachable), postern)
        bench.script("post.sh", "#!/bin/sh\nexec sleep 200\n")
        bench.harness()
        runs.append((bench, bench.popen(shell, "--timeout", str(seconds)), time.monotonic()))
    for bench, run, began in runs:
        assert run.wait(150) == 124
        assert 60 <= time.monotonic() - began < 120
        assert ("post-script", "failed") in bench.steps()


def test_a_post_script_may_take_what_the_run_has_left(bench):
    bench.script("post.sh", '#!/bin/sh\nsleep 1\necho "post-script" >>"$ORDER"\n')
    bench.harness()
    assert bench.run("exit 3").returncode == 3 and bench.lines()[-1] == "post-script"


def test_nobody_reads_what_it_says(bench, leak_check):
    """A pipe that was closed is no reason to leave things undone; and the agent has the usual signals."""
    bench.harness()
    reading, writing = os.pipe()
    os.close(reading)
    run = bench.popen("sh -c 'kill -PIPE $$; touch survived'; touch went-on", stdout=writing, stderr=writing)
    os.close(writing)
    run.wait(60)
    assert bench.lines()[-2:] == ["server ends", "post-script"]
    assert bench.steps()[-1] == ("nothing left", "ok")
    workspace = bench.folder / "out" / "workspace"
    assert (workspace / "went-on").exists() and not (workspace / "survived").exists()


@pytest.mark.waits
@pytest.mark.once
def test_timeout_minutes(bench):
    bench.harness(extra="timeout_minutes: 1\n")
    began = time.monotonic()
    assert bench.run("sleep 200", timeout=120).returncode == 124
    assert 55 < time.monotonic() - began < 100


def test_signal_during_the_pre_script(bench):
    bench.script("pre.sh", '#!/bin/sh\ntouch "$POSTERN_OUTPUT/workspace/started"\nsleep 60\n')
    bench.harness()
    run = bench.popen("echo never")
    wait_for(agent_runs(bench), 20, "the pre-script")
    run.send_signal(signal.SIGINT)
    assert run.wait(20) == 130
    assert bench.lines() == ["post-script"]


def test_children_are_waited_for_whatever_was_inherited(bench):
    """Started by somebody who ignores SIGCHLD, which is inherited."""
    bench.script("pre.sh", "#!/bin/sh\nexit 9\n")
    bench.harness()
    ignoring = lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    result = bench.run("true", preexec_fn=ignoring, timeout=60)
    assert result.returncode == 125 and "pre-script failed (exit 9)" in result.stderr, result.stderr
    bench.script("pre.sh", "#!/bin/sh\n")
    shutil.rmtree(bench.folder / "out")
    assert bench.run("exit 7", preexec_fn=ignoring, timeout=60).returncode == 7


def test_no_core_of_a_process_that_holds_a_token(bench):
    """1 byte: with 0, a program that core_pattern pipes to would get one all the same."""
    bench.harness()
    run = bench.popen("touch started; sleep 60", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, (1 << 20, 1 << 20)))
    wait_for(agent_runs(bench), 20, "the agent")
    inner = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
    assert len(inner) == 1
    for pid in (run.pid, *inner):
        assert re.search(r"^Max core file size +1 ", Path(f"/proc/{pid}/limits").read_text(), re.M)
    run.terminate()
    assert run.wait(30) == 130


@pytest.mark.parametrize("before, after, left", [
    ("mkdir out-data; mount -t tmpfs x out-data", "", False),
    ("mkdir out; mount -t tmpfs x out; mkdir out/sub; mount -t tmpfs x out/sub", "", False),
    ("", 'mkdir "$POSTERN_OUTPUT/m"; mount -t tmpfs x "$POSTERN_OUTPUT/m"', True),
    ("mkdir out; mount -t tmpfs x out", 'mount -t tmpfs x "$POSTERN_OUTPUT"; touch "$POSTERN_OUTPUT/post-script.log"', True),
])
def test_what_the_run_mounted_is_left_and_nothing_else(root_user, workdir, postern, before, after, left):
    """Nobody else's mount beside the output folder, or that was there before."""
    bench = Bench(root_user, workdir, postern)
    bench.harness()
    bench.script("post.sh", f"#!/bin/sh\n{after}\n")
    inside = ["unshare", "-m", "sh", "-ec", before + '\nexec "$@"', "sh", *bench.command("exit 3")]
    result = root_user.run(inside, cwd=bench.folder)
    assert result.returncode == (125 if left else 3), result.stderr
    assert ("the run left mount " in result.stderr) == left, result.stderr


@pytest.mark.parametrize("arguments", [[], ["a", "b"], ["a", "--nonsense"], ["a", "--timeout", "0"], ["a", "--timeout", "x"]])
def test_wrong_usage(postern, root_user, arguments):
    result = root_user.run([postern, "run", *arguments])
    assert result.returncode == 2 and result.stderr


def test_help(postern, root_user):
    result = root_user.run([postern, "run", "--help"])
    assert result.returncode == 0 and "Exit code" in result.stdout


def test_server_in_another_language(user, workdir, postern, leak_check):
    """examples/other-server: Python's standard library, any free port."""
    example = workdir / "example"
    shutil.copytree(ROOT / "examples" / "other-server", example)
    result = user.run([postern, "run", example / "harness.yaml", "--output", workdir / "out"])
    assert result.returncode == 0, result.stderr
    assert "the agent's token is openshell:resolve:env:API_TOKEN" in result.stdout
    assert '{"lines": 0, "words": 6}' in result.stdout


def test_several_servers_have_a_token_each(bench):
    other = free_port()
    bench.write("policy.yaml", POLICY.replace("PORT", f"[{bench.port}, {other}]").replace("port:", "ports:"))
    bench.harness(extra=f"""\
        host_files: []
        """)
    text = (bench.folder / "harness.yaml").read_text().replace(
        "env: { runner", f"  - {{ name: second-one, script: server.py, port: {other} }}\nenv: {{ runner", 1)
    bench.write("harness.yaml", text)
    result = bench.run(
        'for t in "$API_TOKEN" "$SECOND_ONE_TOKEN"; do for u in "$API_URL" "$SECOND_ONE_URL"; do '
        'curl -s -o /dev/null -w "%{http_code} " -H "Authorization: Bearer $t" "$u/x"; done; done')
    assert result.returncode == 0, result.stderr
    # One's token at the other's address never leaves the host: the proxy refuses it.
    assert result.stdout.split() == ["200", "403", "403", "200"]
    for log in ("api.log", "second-one.log"):
        assert "GET /healthz" in (bench.folder / "out" / log).read_text()


def listening(pids):
    """The TCP ports of the host on which these processes listen."""
    held = set()
    for pid in pids:
        for fd in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                held.add(os.readlink(fd))
    rows = [line.split() for table in ("tcp", "tcp6") for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]]
    return {int(row[1].split(":")[1], 16) for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in held}


@pytest.mark.parametrize("script", ["postern serve --config postern.yaml", "server.py"])
def test_what_listens_on_the_hosts_network(bench, script):
    """Nothing, whatever port the agent sees postern's server at; another server, which gets a port by contract, does."""
    bench.write("postern.yaml", "bases: []\n")
    bench.harness(script=script)
    process = bench.popen(f"{CURL.replace('/hello', '/')} -o /dev/null && echo answered; read line", stdin=-1, stdout=-1, stderr=-1, text=True)
    assert process.stdout.readline() == "answered\n", process.stderr.read()
    pids = [process.pid, *below(process.pid)]
    names = {Path(f"/proc/{pid}/comm").read_text().strip() for pid in pids}
    ours = script.startswith("postern")
    assert {"postern-proxy", "postern-dialer"} | ({"postern-front", "postern-keeper"} if ours else set()) <= names
    assert listening(pids) == (set() if ours else {bench.port})
    with socket.socket() as s:
        assert (s.connect_ex(("127.0.0.1", bench.port)) != 0) == ours
    process.communicate("\n", timeout=60)
    assert process.returncode == 0
