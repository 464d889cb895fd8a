# SPDX-License-Identifier: Apache-2.0
"""What a real OpenShell was recorded to decide (tests/conformance), replayed by tests/conformance/run through a real sandbox and its
proxy; and that command itself, against faults that are planted in copies of the folder."""
import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from conftest import ROOT, Leaks, wait_for

FOLDER = ROOT / "tests" / "conformance"
CASES = [json.loads(line) for line in (FOLDER / "cases.jsonl").read_text().splitlines()]
GROUPS = [*sorted({case["policy"] for case in CASES}), "validation"]
REPLAY_SECONDS = 900
ALLOWED, DENIED = "01-002", "01-003"  # a case that was allowed, and one that was denied, of the same policy
LOADS, REFUSED = "v042", "v001"


def replay(postern, folder, *options, tool=FOLDER, **kwargs):
    command = [tool / "run", folder, "--build", Path(postern).parent, *options]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=REPLAY_SECONDS, check=False, **kwargs)


# --- the recordings ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def report(root_user, postern):
    """The whole folder, replayed once."""
    leaks = Leaks()
    done = replay(postern, FOLDER, "--json")
    leaks.check()
    assert done.returncode in (0, 1) and not done.stderr, (done.returncode, done.stderr)
    return json.loads(done.stdout)


@pytest.mark.parametrize("group", GROUPS)
def test_the_same_is_decided_as_recorded(group, report):
    results = [result for result in report["results"] if result["group"] == group]
    assert results
    wrong = [f"{result['id']}: {result['text']}\n    {result['asked']}" for result in results if result["state"] == "differ"]
    assert not wrong, f"{len(wrong)} of {len(results)}:\n" + "\n".join(wrong)


def test_every_line_of_the_list_is_about_something(report):
    assert report["stale"] == []
    assert len(report["results"]) == len(CASES) + len((FOLDER / "validation.jsonl").read_text().splitlines())


# --- the command itself -----------------------------------------------------------------------------------------------


@pytest.fixture
def copy(root_user, reachable, leak_check):
    """A folder like tests/conformance with the command, but with few cases and rows, for faults to be planted in."""
    folder = reachable / "conformance"
    shutil.copytree(FOLDER, folder, ignore=shutil.ignore_patterns("run.*", "__pycache__"))
    keep(folder, ALLOWED, DENIED, LOADS, REFUSED)
    yield folder
    shutil.rmtree(folder)


def rows(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def keep(folder, *ids):
    for name in ("cases.jsonl", "validation.jsonl"):
        write(folder / name, [row for row in rows(FOLDER / name) if row["id"] in ids])


def write(path, changed):
    path.write_text("".join(json.dumps(row) + "\n" for row in changed))


def change(path, name, edit):
    """Plants a fault in one row."""
    changed = rows(path)
    edit(next(row for row in changed if row["id"] == name))
    write(path, changed)


def test_it_says_what_agrees(copy, postern):
    done = replay(postern, copy)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["0 listed as different on purpose, 0 not compared (marked quirk)", "4 agree, 0 differ"]


def test_it_says_what_differs(copy, postern):
    change(copy / "cases.jsonl", ALLOWED, lambda case: case["expect"].update(upstream_path="/elsewhere"))
    change(copy / "cases.jsonl", DENIED, lambda case: case["expect"].update(outcome="allow", status=200))
    change(copy / "validation.jsonl", LOADS, lambda row: row.update(result="refused", message="no"))
    done = replay(postern, copy)
    assert done.returncode == 1
    said = done.stdout.splitlines()
    assert said[-1] == "1 agree, 3 differ"
    for name, text in ((ALLOWED, "upstream_path: '/elsewhere' was recorded"), (DENIED, "allow 200 was recorded"), (LOADS, "accepted here")):
        assert [line for line in said if name in line and text in line], (name, said)


def test_only_and_json(copy, postern):
    done = replay(postern, copy, "--only", f"{DENIED},{LOADS}", "--json")
    got = json.loads(done.stdout)
    assert (done.returncode, got["agree"], got["differ"]) == (0, 2, 0)
    assert sorted(result["id"] for result in got["results"]) == sorted([DENIED, LOADS])


def test_what_the_loader_refuses_on_purpose_is_left_out_of_policies_that_nobody_knows(copy, postern):
    policy = (copy / "policies" / "01-exact-rules.yaml").read_text().replace("version: 1\n", "version: 2\nbogus: 1\n", 1)
    policy += "  odd:\n    endpoints:\n      - { host: host.openshell.internal, port: 9095, protocol: rest, access: all }\n"
    policy += "    binaries: [ { path: /usr/bin/python3.11 } ]\n"
    (copy / "policies" / "mine.yaml").write_text(policy)
    changed = [{**case, "policy": "mine"} for case in rows(copy / "cases.jsonl")]
    odd = {**changed[0], "id": "odd", "via": "forward", "target": "http://host.openshell.internal:9095/x", "raw": None}
    odd["expect"] = {"outcome": "deny", "status": 403, "error": "policy_denied", "detail": "what an unknown access said"}
    write(copy / "cases.jsonl", [*changed, odd])
    done = replay(postern, copy, "--json")
    states = {result["id"]: (result["state"], result["text"]) for result in json.loads(done.stdout)["results"]}
    assert states[ALLOWED][0] == states[DENIED][0] == "agree"
    assert states["odd"][0] == "purpose" and "unknown access preset" in states["odd"][1]


def test_a_policy_that_is_refused_for_another_reason_makes_all_its_cases_differ(copy, postern):
    path = copy / "policies" / "01-exact-rules.yaml"
    path.write_text(path.read_text() + "not: [yaml\n")
    done = replay(postern, copy)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (1, "2 agree, 2 differ")
    assert "policy.yaml" in done.stdout


def test_a_listed_case_that_agrees_and_a_line_about_nothing_fail(copy, postern):
    listed = copy / "different.list"
    listed.write_text(f"case {ALLOWED} it is said to differ\nkind version it is said to differ\n")
    done = replay(postern, copy, tool=copy)
    assert done.returncode == 1
    assert f"{ALLOWED}: listed as different on purpose, but agrees" in done.stdout
    assert "about nothing here; take it off: kind version" in done.stdout
    assert done.stdout.splitlines()[-1] == "3 agree, 3 differ"


def test_a_folder_without_cases_is_no_success(copy, reachable, postern):
    empty = reachable / "empty"
    empty.mkdir()
    keep(copy)
    for folder in (empty, copy):
        done = replay(postern, folder)
        assert done.returncode == 2 and "holds no case" in done.stderr and "agree" not in done.stdout
    empty.rmdir()
    for line, text in (("{", "not a JSON object"), ("{}", "no 'id'"), (json.dumps({**CASES[0], "policy": "nowhere"}), "nowhere.yaml is missing")):
        (copy / "cases.jsonl").write_text(line + "\n")
        done = replay(postern, copy)
        assert done.returncode == 2 and text in done.stderr and "cases.jsonl:1" in done.stderr


def test_a_world_of_its_own_that_does_not_start_is_named(copy, postern):
    (copy / "world" / "up.py").write_text("raise SystemExit('this world is at its end')\n")
    done = replay(postern, copy)
    assert done.returncode == 4 and "this world is at its end" in done.stderr and not done.stdout
    (copy / "world" / "hosts").unlink()
    done = replay(postern, copy)
    assert done.returncode == 4 and "has no hosts" in done.stderr
    shutil.rmtree(copy / "world")  # then the command's own is used
    assert replay(postern, copy).returncode == 0


def test_what_it_needs_is_said(copy, postern, ordinary_user, tmp_path):
    done = ordinary_user.run([FOLDER / "run", copy, "--build", Path(postern).parent])
    assert done.returncode == 4 and "needs root" in done.stderr
    done = replay(tmp_path / "postern", copy)
    assert done.returncode == 4 and "build with `make`" in done.stderr
    for options, text in ((["--only", "99-999"], "99-999"), (["--jobs", "0"], "--jobs"), (["--bogus"], "--bogus")):
        done = replay(postern, copy, *options)
        assert done.returncode == 2 and text in done.stderr
    assert replay(postern, copy / "nowhere").returncode == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_nothing(number, copy, postern, leak_check):
    keep(copy, *(case["id"] for case in CASES if case["policy"] == "24-keepalive"))
    command = [FOLDER / "run", copy, "--build", Path(postern).parent]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        wait_for(lambda: any("client.py" in line for line in leak_check.found()["processes"].values()), 60, "the client in the sandbox")
        running.send_signal(number)
        out, err = running.communicate(timeout=30)
    assert running.returncode == 128 + signal.SIGINT and "interrupted" in err and "agree" not in out
    leak_check.check()
    assert not list(Path(os.environ["TMPDIR"]).glob("postern-conformance-*"))
