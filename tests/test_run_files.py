# SPDX-License-Identifier: Apache-2.0
"""`postern run`: what it reads and where it writes. Harness, policy, host files, output folder: each fault has its line, at its
place, before anything is started."""
import json
import os
import shutil

import pytest

from conftest import wait_for
from limits import LIMITS
from run_bench import CURL, Bench


@pytest.fixture
def bench(user, workdir, postern, leak_check):
    return Bench(user, workdir, postern)


def test_host_files(bench):
    bench.write("greeting.txt", "to ${WHOM}\n")
    (bench.folder / "tree" / "deep").mkdir(parents=True)
    bench.write("tree/deep/leaf", "leaf ${WHOM}\n")
    bench.harness(extra="""\
        host_files:
          - { src: greeting.txt, dest: /sandbox/a/greeting, expand: true }
          - { src: tree, dest: tree }
          - { src: absent, dest: absent, optional: true }
          - { src: "${NOT_SET_ANYWHERE}/x", dest: absent, optional: true }
        """)
    result = bench.run("cat a/greeting tree/deep/leaf; ls", env={"WHOM": "the agent"})
    assert result.returncode == 0, result.stderr
    assert result.stdout == "to the agent\nleaf ${WHOM}\na\ntree\n"


HOST_FILES_FAULTS = [
    ("{ src: absent, dest: a }", "harness.yaml:12:5: cannot copy", "absent to the sandbox: No such file"),
    ("{ src: text, dest: a, expand: true }", "harness.yaml:12:5: ${NOT_SET_ANYWHERE} in ", "text is not set in the environment"),
    ("{ src: text, dest: a, expand: true, optional: true }", "harness.yaml:12:5: ${NOT_SET_ANYWHERE} in ", ""),
    ("{ src: broken, dest: a, expand: true }", "harness.yaml:12:5: cannot copy", "must be followed by a variable's name"),
    ("{ src: binary, dest: a, expand: true }", "harness.yaml:12:5: cannot copy", "this file holds a NUL"),
    ("{ src: large, dest: a, expand: true }", "harness.yaml:12:5: cannot copy", "too large for expand"),
    ("{ src: pipe, dest: a }", "harness.yaml:12:5: cannot copy", "neither a file nor a folder"),
    ("{ src: '${NOT_SET_ANYWHERE}/x', dest: a }", "harness.yaml:12:12: ${NOT_SET_ANYWHERE} is not set", "set it or remove it"),
    ("{ src: text, dest: ../a }", "harness.yaml:12:24: ", "without '..'"),
    ("{ src: text, dest: /etc/a }", "harness.yaml:12:5: dest /etc/a is outside", ""),
    ("{ src: text, dets: a }", 'harness.yaml:12:18: unknown key "dets"', 'did you mean "dest"?'),
]


@pytest.mark.parametrize("entry,message,more", HOST_FILES_FAULTS)
def test_host_file_faults(bench, entry, message, more):
    bench.write("text", "a ${NOT_SET_ANYWHERE} b\n")
    bench.write("broken", "${\n")
    bench.write("binary", "a\0b")
    bench.write("large", "x" * (1024 * 1024 + 1))
    os.mkfifo(bench.folder / "pipe")
    bench.harness(extra=f"host_files:\n  - {entry}\n")
    result = bench.run("true")
    assert result.returncode == 3 and message in result.stderr and more in result.stderr, result.stderr
    assert not bench.order.exists()


NAMED = [
    ("pre_script: absent.sh\n", "harness.yaml:2:13: ", "absent.sh: No such file"),
    ("post_script: plain\n", "harness.yaml:2:14: ", "plain: it cannot be executed; make it executable (chmod +x)"),
    ("api_servers:\n  - { name: a, script: ./plain, port: 1 }\n", "harness.yaml:3:5: ", "plain: it cannot be executed"),
    ("api_servers:\n  - { name: a, script: ., port: 1 }\n", "harness.yaml:3:5: ", ": not a file"),
]


@pytest.mark.parametrize("text,place,message", NAMED)
def test_programs_are_looked_at_before_anything_starts(bench, text, place, message):
    bench.write("plain", "x\n").chmod(0o644)
    bench.write("harness.yaml", "policy: policy.yaml\n" + text + "pre_script: pre.sh\n" * ("pre_script" not in text))
    result = bench.run("true", env={"ORDER": str(bench.order)})
    assert result.returncode == 3 and place in result.stderr and message in result.stderr, result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not bench.order.exists() and not (bench.folder / "out").exists()


def test_policy_is_held_against_the_host_before_anything_starts(bench):
    """Not only its form: a path that has to be there and is not."""
    policy = (bench.folder / "policy.yaml").read_text().replace(
        "read_write: [/dev/null] }", "read_write: [/dev/null], read_only: [/no/such/path] }\nlandlock: { compatibility: hard_requirement }")
    bench.write("policy.yaml", policy)
    bench.harness()
    result = bench.run("true")
    assert result.returncode == 3 and "policy.yaml:3:" in result.stderr and "/no/such/path" in result.stderr, result.stderr
    assert not bench.order.exists()


def test_host_file_that_may_not_be_read(ordinary_user, reachable, postern, leak_check):
    bench = Bench(ordinary_user, ordinary_user.folder(reachable), postern)
    bench.write("secret", "x").chmod(0)
    bench.harness(extra="host_files: [{ src: secret, dest: a, optional: true }]\n")
    result = bench.run("true")
    assert result.returncode == 3 and "secret to the sandbox: Permission denied" in result.stderr, result.stderr


@pytest.mark.parametrize("name", ["harness.yaml", "policy.yaml"])
def test_harness_and_policy_that_may_not_be_read(ordinary_user, reachable, postern, leak_check, name):
    bench = Bench(ordinary_user, ordinary_user.folder(reachable), postern)
    bench.harness()
    (bench.folder / name).chmod(0)
    result = bench.run("true")
    assert result.returncode == 3 and not bench.order.exists()
    assert f"{name}: " in result.stderr and "Permission denied" in result.stderr and result.stderr.count("\n") == 1, result.stderr


def test_symlinks_among_host_files(bench):
    """The operator's own path may be one; those below it reach the sandbox as they are, and lead no copy out of the workspace."""
    (bench.folder / "tree").mkdir()
    bench.write("outside", "of the workspace\n")
    (bench.folder / "tree" / "link").symlink_to(bench.folder / "outside")
    (bench.folder / "tree" / "folder").symlink_to(bench.folder)
    (bench.folder / "pointer").symlink_to("outside")
    bench.harness(extra="host_files: [{ src: pointer, dest: read }, { src: tree, dest: /sandbox }]\n")
    result = bench.run("cat read; readlink link; cat link")
    assert result.stdout == f"of the workspace\n{bench.folder}/outside\n" and "No such file" in result.stderr, result.stderr
    bench.harness(extra="host_files: [{ src: tree, dest: tree }, { src: outside, dest: tree/folder/written }]\n")
    result = bench.user.run([bench.postern, "run", "harness.yaml", "--output", "out2", "--", "/bin/true"], cwd=bench.folder)
    assert result.returncode == 3 and "cannot make the folder for tree/folder/written" in result.stderr, result.stderr
    assert not (bench.folder / "written").exists()


def test_output_folder_is_used_once(bench):
    bench.harness()
    assert bench.run("true").returncode == 0
    again = bench.run("true")
    assert again.returncode == 125 and "an output folder of its own" in again.stderr


def test_default_output_folder(bench):
    bench.harness()
    result = bench.user.run([bench.postern, "run", "harness.yaml", "--", "/bin/true"], cwd=bench.folder)
    assert result.returncode == 0, result.stderr
    runs = list((bench.folder / ".postern" / "runs").iterdir())
    assert len(runs) == 1 and (runs[0] / "run.json").exists()


def test_output_folder_that_cannot_be_written(ordinary_user, reachable, postern, leak_check):
    bench = Bench(ordinary_user, ordinary_user.folder(reachable), postern)
    (bench.folder / "closed").mkdir(mode=0o555)
    bench.harness()
    result = bench.user.run([postern, "run", "harness.yaml", "--output", "closed/out", "--", "true"], cwd=bench.folder)
    assert result.returncode == 125 and "cannot make the output folder closed/out: Permission denied" in result.stderr, result.stderr
    assert not bench.order.exists()


def test_what_the_proxy_decided(bench):
    """A line for each request in the output folder, which the agent cannot reach; nobody but the user can read it."""
    bench.harness()
    result = bench.run('curl -s -o /dev/null -H "Authorization: Bearer $API_TOKEN" "$API_URL/healthz?query"; curl -s -o /dev/null http://other.test/x')
    lines = (bench.folder / "out" / "decisions.log").read_text().splitlines()
    events = [json.loads(line) for line in (bench.folder / "out" / "decisions.jsonl").read_text().splitlines()]
    assert result.returncode == 0 and len(lines) == len(events) == 2, (lines, result.stderr)
    assert " OCSF HTTP:GET [INFO] ALLOWED /usr/bin/curl(" in lines[0] and f" -> GET http://host.openshell.internal:{bench.port}/healthz [" in lines[0]
    assert " OCSF HTTP:GET [MED] DENIED /usr/bin/curl(" in lines[1] and [event["action"] for event in events] == ["Allowed", "Denied"]
    assert all((bench.folder / "out" / name).stat().st_mode & 0o777 == 0o600 for name in ("decisions.log", "decisions.jsonl"))


def test_kept_state(bench):
    bench.harness(script="postern serve", port=bench.port)
    result = bench.run("true", "--keep")
    state = json.loads((bench.folder / "out" / "run.json").read_text())["state"]
    assert result.returncode == 0 and (bench.folder / "out" / "state" / "api.state" / "postern.db").exists(), result.stderr
    assert state == str(bench.folder / "out" / "state")
    # On another file system it stays where it is, and another run leaves it alone.
    result = bench.user.run([bench.postern, "run", "harness.yaml", "--keep", "-o", "two", "--", "true"], cwd=bench.folder,
                            env={"XDG_RUNTIME_DIR": "/dev/shm"})
    state = json.loads((bench.folder / "two" / "run.json").read_text())["state"]
    assert result.returncode == 0 and state.startswith("/dev/shm/postern-kept-"), result.stderr
    again = bench.user.run([bench.postern, "run", "harness.yaml", "-o", "three", "--", "true"], cwd=bench.folder,
                           env={"XDG_RUNTIME_DIR": "/dev/shm"})
    assert again.returncode == 0 and os.path.isdir(state)
    shutil.rmtree(state)


def test_kept_nothing_when_nothing_began(bench):
    bench.write("harness.yaml", "policy: absent.yaml\ncommand: 'true'\n")
    assert bench.run("", "--keep").returncode == 3


def test_harness_named_from_elsewhere(bench):
    """Paths in a harness are relative to it, --output to the caller."""
    bench.write("greeting.txt", "hello\n")
    bench.harness(extra="host_files: [{ src: greeting.txt, dest: greeting }]\n")
    elsewhere = bench.user.folder(bench.folder.parent, "elsewhere")
    harness = os.path.relpath(bench.folder / "harness.yaml", elsewhere)
    result = bench.user.run([bench.postern, "run", harness, "-o", "out", "--", "/bin/cat", "greeting"], cwd=elsewhere)
    assert result.returncode == 0 and result.stdout == "hello\n", result.stderr
    assert json.loads((elsewhere / "out" / "run.json").read_text())["harness"] == str(bench.folder / "harness.yaml")


def test_two_runs_at_once(bench):
    bench.harness(port=0)

    def start(name):
        command = [bench.postern, "run", "harness.yaml", "-o", name, "--", "/bin/sh", "-c",
                   f"touch started; while [ ! -e go ]; do sleep 0.05; done; {CURL}"]
        return bench.user.popen(command, cwd=bench.folder, stdout=-1, stderr=-1, text=True)

    runs = {name: start(name) for name in ("one", "two")}
    for name in runs:
        wait_for((bench.folder / name / "workspace" / "started").exists, 30, f"the agent of run {name}")
    for name, run in runs.items():
        (bench.folder / name / "workspace" / "go").touch()
        out, errors = run.communicate(timeout=30)
        assert run.returncode == 0 and out == "answer\n", errors


BAD = [
    ("policy: policy.yaml\ncomand: x\n", 3, 'harness.yaml:2:1: unknown key "comand"; did you mean "command"?'),
    ("policy: [x\n", 3, "harness.yaml:2:1"),
    ("command: 'true'\n", 3, "has no `policy`"),
    ("policy: policy.yaml\n", 2, "has no `command`"),
    ("policy: absent.yaml\ncommand: 'true'\n", 3, "absent.yaml"),
    ("policy: bad.yaml\ncommand: 'true'\n", 3, "bad.yaml:2:1"),
    ("policy: policy.yaml\ncommand: 'true'\nhost_files: [{src: absent, dest: a}]\n", 3, "harness.yaml:3:14: cannot copy"),
    ("policy: policy.yaml\ncommand: 'true'\nhost_files: [{src: policy.yaml, dest: /etc/x}]\n", 3, "harness.yaml:3:14: dest /etc/x"),
    ("policy: policy.yaml\ncommand: 'true'\napi_servers: [{name: a, script: postern, port: 0}, {name: b, script: postern}]\n", 3, "both have port 0"),
]


@pytest.mark.parametrize("text,code,message", BAD)
def test_bad_harness(bench, text, code, message):
    bench.write("bad.yaml", "version: 1\nnetwork_polices: {}\n")
    bench.write("harness.yaml", text)
    result = bench.run("")
    assert result.returncode == code, result.stderr
    assert message in result.stderr
    assert not (bench.folder / "order").exists()


def test_missing_harness(postern, root_user):
    result = root_user.run([postern, "run", "/no/such/harness.yaml", "--", "true"])
    assert result.returncode == 3 and "/no/such/harness.yaml" in result.stderr


# --- limits -----------------------------------------------------------------------------------------------------------


def servers(n):
    return "api_servers:\n" + "".join(f"  - {{ name: s{i}, script: postern, port: {i + 1} }}\n" for i in range(n))


ROWS = [  # what is limited, how many of it, the harness that has so many, what is said of one more
    ("servers", LIMITS["LIMIT_HARNESS_SERVERS"], servers, "more servers than"),
    ("files", LIMITS["LIMIT_HARNESS_FILES"], lambda n: "host_files:\n" + "  - { src: a, dest: b }\n" * n, "more files than"),
    ("variables", LIMITS["LIMIT_HARNESS_VARIABLES"], lambda n: "runner_env:\n" + "".join(f"  A{i}: x\n" for i in range(n)), "more variables than"),
    ("words", LIMITS["LIMIT_HARNESS_WORDS"], lambda n: "command: [" + "x, " * n + "]\n", "too many words"),
    ("words of a script", LIMITS["LIMIT_HARNESS_WORDS"],
     lambda n: "api_servers: [{ name: a, port: 1, script: postern serve" + " x" * (n - 1) + " }]\n", "too many words"),
    ("a value's bytes", LIMITS["LIMIT_HARNESS_VALUE"], lambda n: "runner_env: { A: '" + "x" * (n - 1) + "${ONE}' }\n",
     "too long once ${VAR} is replaced"),
    ("minutes", LIMITS["LIMIT_TIMEOUT_MINUTES"], lambda n: f"timeout_minutes: {n}\n", "1440"),
]


@pytest.mark.parametrize("count,harness,message", [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_limits_of_a_harness(root_user, reachable, postern, count, harness, message):
    bench = Bench(root_user, root_user.folder(reachable), postern)
    command = "" if "command" in harness(1) else "command: 'true'\n"
    for more in (0, 1):
        bench.write("harness.yaml", "policy: absent.yaml\n" + command + harness(count + more))
        result = bench.run("", env={"ONE": "1"})
        assert result.returncode == 3 and (message in result.stderr) == bool(more), result.stderr
        assert more or "absent.yaml" in result.stderr


def test_limit_of_folders_below_one_another(root_user, reachable, postern):
    bench = Bench(root_user, root_user.folder(reachable), postern)
    deepest = LIMITS["LIMIT_HOST_FILES_DEPTH"]
    bench.harness(extra="host_files: [{ src: tree, dest: tree }]\n")
    (bench.folder / "tree" / "/".join(["d"] * deepest)).mkdir(parents=True)
    assert bench.run("true").returncode == 0
    (bench.folder / "tree" / "/".join(["d"] * (deepest + 1))).mkdir(parents=True)
    result = bench.user.run([postern, "run", "harness.yaml", "-o", "out2", "--", "true"], cwd=bench.folder)
    assert result.returncode == 3 and "too many folders below one another" in result.stderr
