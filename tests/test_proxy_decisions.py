# SPDX-License-Identifier: Apache-2.0
"""The decision log: a line for each decision, allowed ones, too, in the form that a real OpenShell was recorded to have
(tests/conformance/FACTS.md), and as JSON. As root and as an ordinary user."""
import json
import os
import re
import stat

import pytest

from sandboxes import CLIENT, FILES, PYTHON, Sandbox

POLICY = FILES + f"""\
network_policies:
  api:
    endpoints:
      - {{ host: host.openshell.internal, port: 9090, protocol: rest, enforcement: enforce, rules: [ {{ allow: {{ method: GET, path: /x }} }} ] }}
      - {{ host: host.openshell.internal, port: 9091, protocol: rest, enforcement: audit, rules: [ {{ allow: {{ method: GET, path: /x }} }} ] }}
      - {{ host: host.openshell.internal, port: 9092 }}
      - {{ host: 127.0.0.1, port: 9093, protocol: rest, enforcement: enforce, access: full }}
      - {{ host: host.openshell.internal, port: 9094, protocol: rest, enforcement: enforce, access: full }}
    binaries: [ {{ path: {PYTHON} }} ]
"""
# "DATE OCSF CLASS:ACT [SEV] ACTION ACTOR -> WHAT [policy:NAME engine:NAME]", and a reason where there is one.
LINE = re.compile(r"(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) OCSF (?P<class>NET:OPEN|HTTP:[A-Z]+) \[(?P<severity>INFO|MED)\] "
                  r"(?P<action>ALLOWED|DENIED) (?:(?P<program>\S+)\((?P<pid>\d+)\) -> )?(?P<what>\S+|\S+ http://\S+) "
                  r"\[policy:(?P<policy>\S+) engine:(?P<engine>opa|l7|ssrf|credential)\](?: \[(?P<why>reason|audit):(?P<reason>[^][]*)\])?")


@pytest.fixture
def sandbox(postern, user, workdir, upstream, leak_check):
    made = Sandbox(postern, user, workdir)
    made.write_policy(POLICY)
    made.log, made.json = workdir / "log", workdir / "log.json"
    made.reach(upstream.port, 9090, 9091, 9092)
    made.options += ["--log", made.log, "--log-json", made.json]
    return made


def lines(sandbox):
    found = [LINE.fullmatch(line) for line in sandbox.log.read_text().splitlines()]
    assert all(found), sandbox.log.read_text()
    return found


def events(sandbox):
    return [json.loads(line) for line in sandbox.json.read_text().splitlines()]


def test_every_decision(sandbox):
    """Forward, in tunnels, inspected and not, allowed, denied, audited, refused by dialer, and what could not be reached."""
    code = (
        'def status(method, port, path): say(ask("%s http://host.openshell.internal:%d%s HTTP/1.1\\r\\nCookie: secret\\r\\n\\r\\n" % (method, port, path))[0])\n'
        'status("GET", 9090, "/a/../x?secret"); status("PUT", 9090, "/a/../z?secret"); status("DELETE", 9091, "/y?secret"); status("GET", 9092, "/raw?secret")\n'
        'status("GET", 9095, "/"); status("GET", 9094, "/down"); status("GET", 9090, "/%zz?secret"); say(get("http://127.0.0.1:9093/lo?secret")[0])\n'
        'p = Peer(); p.send("CONNECT other.test:443 HTTP/1.1\\r\\n\\r\\n"); say(p.answer()[0])\n'
        'p = tunnel(AT); p.send("GET /x?secret HTTP/1.1\\r\\nHost: %s\\r\\n\\r\\n" % AT); say(p.answer()[0]); p.send("GET /z HTTP/1.1\\r\\nHost: %s\\r\\n\\r\\n" % AT); say(p.answer()[0])\n'
        'p = tunnel(AT); p.send("nonsense"); say(p.answer()[0]); say(ask("GET / HTTP/1.1\\r\\nAuthorization: secret\\r\\n\\r\\n")[0])'
    )
    values = sandbox.python(code)
    assert values == [200, 403, 200, 200, 403, 502, 400, 403, 403, 200, 403, 403, 400]
    host = "host.openshell.internal"
    assert [tuple(line[key] for key in ("class", "severity", "action", "what", "policy", "engine", "reason")) for line in lines(sandbox)] == [
        ("HTTP:GET", "INFO", "ALLOWED", f"GET http://{host}:9090/x", "api", "l7", None),
        ("HTTP:PUT", "MED", "DENIED", f"PUT http://{host}:9090/z", "api", "l7", "no rule allows it (policy line 6)"),
        ("HTTP:DELETE", "INFO", "ALLOWED", f"DELETE http://{host}:9091/y", "api", "l7", "no rule allows it (policy line 7)"),
        ("HTTP:GET", "INFO", "ALLOWED", f"GET http://{host}:9092/raw", "api", "opa", None),
        ("HTTP:GET", "MED", "DENIED", f"GET http://{host}:9095/", "-", "opa", "no endpoint has this host and port"),
        ("HTTP:GET", "INFO", "ALLOWED", f"GET http://{host}:9094/down", "api", "l7", None),
        ("HTTP:GET", "MED", "DENIED", f"GET http://{host}:9090/%zz", "-", "l7", "the path has no canonical form"),
        ("HTTP:GET", "MED", "DENIED", "GET http://127.0.0.1:9093/lo", "-", "ssrf", "declared endpoint check failed"),
        ("NET:OPEN", "MED", "DENIED", "other.test:443", "-", "opa", "no endpoint has this host and port"),
        ("NET:OPEN", "INFO", "ALLOWED", f"{host}:9090", "api", "opa", None),
        ("HTTP:GET", "INFO", "ALLOWED", f"GET http://{host}:9090/x", "api", "l7", None),
        ("HTTP:GET", "MED", "DENIED", f"GET http://{host}:9090/z", "api", "l7", "no rule allows it (policy line 6)"),
        ("NET:OPEN", "INFO", "ALLOWED", f"{host}:9090", "api", "opa", None),
        ("NET:OPEN", "MED", "DENIED", f"{host}:9090", "-", "l7", "what the tunnel carries is no HTTP"),
    ]
    assert all(line["program"] == PYTHON and int(line["pid"]) > 1 for line in lines(sandbox))
    assert [line["why"] for line in lines(sandbox)].count("audit") == 1
    for event, line in zip(events(sandbox), lines(sandbox), strict=True):
        network = line["class"] == "NET:OPEN"
        assert event["class_uid"] == (4001 if network else 4002) and event["type_uid"] == event["class_uid"] * 100 + event["activity_id"]
        assert event["action"].upper() == line["action"] and event["actor"]["process"] == {"name": PYTHON, "pid": int(line["pid"])}
        assert event["firewall_rule"] == {"name": line["policy"], "type": line["engine"]}
        assert event.get("status_detail") == line["reason"] and ("unmapped" in event) == (line["why"] == "audit")
        if not network:
            url = event["http_request"]["url"]
            assert line["what"] == f"{event['http_request']['http_method']} http://{url['hostname']}:{url['port']}{url['path']}"
    assert "secret" not in sandbox.log.read_text() + sandbox.json.read_text()
    assert all(stat.S_IMODE(os.stat(path).st_mode) == 0o600 for path in (sandbox.log, sandbox.json))


def test_the_recorded_form(sandbox):
    """Byte for byte but for time and pid what OpenShell was recorded to log for the same decision."""
    sandbox.write_policy(POLICY.replace(PYTHON, "/usr/bin/curl").replace("method: GET, path: /x", "method: POST, path: /build").replace("api:", "builder:"))
    sandbox.output("curl -s -d x http://host.openshell.internal:9090/build")
    line, = sandbox.log.read_text().splitlines()
    recorded = "HTTP:POST [INFO] ALLOWED /usr/bin/curl(47) -> POST http://host.openshell.internal:9190/build [policy:builder engine:l7]"
    assert re.sub(r"\(\d+\)", "(47)", line.partition(" OCSF ")[2]) == recorded.replace("9190", "9090")


def test_injection(sandbox):
    """Programs, methods, hosts and paths that look like lines, fields or escape sequences."""
    folder = sandbox.user.folder(sandbox.folder, "dir")
    name = "x\n2026-01-01T00:00:00.000Z OCSF HTTP:GET [INFO] ALLOWED y(1) -> GET http:good.test [policy:api engine:l7]\x1b[2J"
    code = (
        f'import shutil, subprocess; name = {name!r}; shutil.copy({PYTHON!r}, "/sandbox/" + name)\n'
        'subprocess.run(["/sandbox/" + name, "-c", sys.argv[1]])'
    )
    ask = CLIENT + (
        'for head in ("GET http://a[b].test/ HTTP/1.1", "GET http://a.test/x]%20[y HTTP/1.1", "A[x]B http://a.test/ HTTP/1.1", "GET http://a.test/x\\ny HTTP/1.1",\n'
        '    "GET http://\\xe9.test/\\xe9 HTTP/1.1", "CONNECT a(1)->b:1 HTTP/1.1", "GET http://a.test/%0a%1b[2J HTTP/1.1"):\n'
        '    p = Peer(); p.send(head + "\\r\\n\\r\\n"); p.answer()\n'
    )
    done = sandbox.run(PYTHON, "-c", CLIENT + code, ask, options=["--dir", folder, "--env", "PYTHONHOME=/usr"])
    assert done.returncode == 0, done.stderr
    found = lines(sandbox)
    assert found and all(line["action"] == "DENIED" and line["program"].startswith("/sandbox/x\\x0a2026") for line in found)
    assert len(events(sandbox)) == len(found)
    assert "\x1b" not in sandbox.log.read_text() + sandbox.json.read_text()


def test_appended_and_to_descriptors(sandbox):
    """What was there stays; a pipe of the caller's, as the shell makes one."""
    sandbox.output("true")
    assert sandbox.log.read_text() == ""
    for _ in range(2):
        sandbox.python('say(get(BASE + "/x")[0])')
    assert len(lines(sandbox)) == len(events(sandbox)) == 2
    sandbox.options = sandbox.options[:3]
    command = " ".join(str(word) for word in sandbox.command(PYTHON, options=["--log", "/dev/fd/7", "--log-json", "/dev/fd/8"]))
    done = sandbox.user.run(["bash", "-c", f"{command} -c \"$0\" 7> >(sed s/^/piped:/) 8> >(sed s/^/json:/) | cat", CLIENT + 'say(get(BASE + "/x")[0])'])
    assert re.search(r"piped:\S+ OCSF HTTP:GET \[INFO\] ALLOWED ", done.stdout), (done.stdout, done.stderr)
    assert json.loads(re.search(r"json:(.*)", done.stdout)[1])["action"] == "Allowed"


def test_logs_that_cannot_be_written(sandbox, user, workdir):
    """Wrong usage, before anything is started; a symlink is not followed, since a sandbox may have left it."""
    (workdir / "link").symlink_to("/etc/passwd")
    os.mkfifo(workdir / "fifo")
    os.chmod(workdir / "fifo", 0o666)
    for path, why in (("nowhere/log", "No such file or directory"), (".", "Is a directory"), ("link", "Too many levels of symbolic links"),
                      ("fifo", "No such device or address")):
        done = user.run([sandbox.postern, "sandbox", "--policy", sandbox.policy, "--log", workdir / path, "--", "true"])
        assert done.returncode == 2 and f"--log {workdir / path}: {why}; " in done.stderr, done.stderr
    done = user.run([sandbox.postern, "sandbox", "--policy", sandbox.policy, "--log", sandbox.log, "-l", sandbox.log, "--", "true"])
    assert done.returncode == 2 and "--log is given twice" in done.stderr


def test_nobody_waits_for_a_reader(sandbox, upstream):
    """A pipe that nobody reads: requests go on, and how many lines are missing is said when somebody reads again."""
    sandbox.options = sandbox.options[:3]
    read, write = os.pipe()
    with os.fdopen(read, "rb") as pipe:
        command = sandbox.command(PYTHON, "-c", CLIENT + 'p = Peer()\nfor _ in range(3000): p.send("GET %s/x HTTP/1.1\\r\\n\\r\\n" % BASE); p.answer()\nsay(1); sys.stdin.read()\n'
                                  'for _ in range(2): say(get(BASE + "/x")[0])', options=["--log", f"/dev/fd/{write}"])
        process = sandbox.user.popen(command, stdin=-1, stdout=-1, pass_fds=[write], text=True)
        os.close(write)
        assert process.stdout.readline() == "1\n"
        os.set_blocking(read, False)
        first = b""
        while more := pipe.read(65536):
            first += more
        process.stdin.close()
        assert process.stdout.read() == "200\n200\n" and process.wait(60) == 0
        process.stdout.close()
        rest = pipe.read().decode().splitlines()
    missing = re.search(r" OCSF EVENT \[MED\] (\d+) decisions are missing here: ", rest[0])
    assert missing and len(rest) == 3 and int(missing[1]) + first.count(b"\n") == 3000


def test_the_sandbox_cannot_reach_it(sandbox):
    """Nobody inside holds the logs."""
    done = sandbox.output("for p in /proc/[0-9]*; do ls -l $p/fd 2>/dev/null; done")
    assert "/log" not in done and "denials" not in done
