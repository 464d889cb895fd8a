# SPDX-License-Identifier: Apache-2.0
"""An agent that puts its placeholder wherever a request can hold one, so that the API server would show what it stands for: with the
real server, below `postern run` and with the token bound by hand, as any runner's proxy might put it in."""
import json
import re

import pytest

from conftest import wait_for
from run_bench import Bench
from sandboxes import CLIENT, FILES, PYTHON
from serve_driver import Server

POLICY = FILES + f"""\
network_policies:
  api:
    endpoints:
      - {{ host: host.openshell.internal, port: PORT, protocol: rest, enforcement: enforce,
          rules: [ {{ allow: {{ method: "*", path: "/**" }} }} ] }}
    binaries: [ {{ path: {PYTHON} }} ]
"""

# It says each answer that it got, and then how many of which status.
AGENT = CLIENT + r'''
import base64, tarfile, io
place, encoded, url = os.environ["API_TOKEN"], os.environ["API_TOKEN"].replace(":", "%3A"), os.environ["API_URL"]
at = url.split("//")[1]
good = "Authorization: Bearer " + place
tar = io.BytesIO()
with tarfile.open(fileobj=tar, mode="w") as t:
    text = b"FROM scratch\nARG T\nLABEL a=\"$T\"\nENV X=\"$T\"\n"
    info = tarfile.TarInfo("Dockerfile"); info.size = len(text); t.addfile(info, io.BytesIO(text))
CONTEXT = tar.getvalue()
statuses = {}
def attempt(method, target, *fields, body=b"", authorization=good):
    for inside in (False, True):
        lines = [method + " " + ("" if inside else url) + target + " HTTP/1.1", *fields]
        if inside: lines.append("Host: " + at)
        if authorization: lines.append(authorization)
        if method == "POST": lines.append("Content-Length: %d" % len(body))
        p = tunnel(at) if inside else Peer()
        p.send("\r\n".join([*lines, "", ""]).encode() + (body if method == "POST" else b""))
        answer = p.answer(method == "HEAD")
        if answer: statuses[answer[0]] = statuses.get(answer[0], 0) + 1
        print(method, target, fields, authorization, "->", json.dumps(answer))
        if answer and answer[0] in (200, 202) and method == "POST":  # it is a job: look at all that comes of it
            job = json.loads(answer[2])["id"]
            for path in ("?wait=120", "/log", "/events", "/artifacts/image.tar"): attempt("GET", "/jobs/" + job + path)
attempt("GET", "/")
attempt("GET", "/jobs")
operations = [(method.upper(), path, o) for path, methods in json.loads(get(url + "/openapi.json")[2])["paths"].items() for method, o in methods.items()]
for method, path, operation in operations:
    path = path.replace("{id}", "j0123456789abcdefghjk").replace("{name}", "image.tar")
    names = [p["name"] for p in operation.get("parameters", []) if p["in"] == "query"]
    needed = "&".join("tag=x:1" for n in names if n == "tag")
    for value in (place, encoded, "T=" + place, "a%20" + place):
        for name in names: attempt(method, path + "?" + "&".join(filter(None, [name != "tag" and needed, name + "=" + value])), body=CONTEXT)
        for authorization in (good, "Authorization: Bearer something-else", None):
            attempt(method, path + "?" + value + "=1", body=CONTEXT, authorization=authorization)
        attempt(method, path + "?" + needed + "&x=" + value, body=CONTEXT)
    for name in ("Idempotency-Key", "Prefer", "Content-Type", "Content-Encoding", "Range", "If-Range", "If-None-Match", "Last-Event-ID", "Accept", "Via",
                 "Referer", "Cookie", "User-Agent", "X-Forwarded-For", "X-Request-Id", "Expect", "TE", "Trailer", "X"):
        for value in (place, "wait=" + place, "bytes=" + place):
            attempt(method, path + "?" + needed if needed else path, name + ": " + value, body=b"no tar")
    attempt(method, path + "/" + place, body=CONTEXT)
    attempt(method, path, "Host: " + place, body=CONTEXT)
    for value in ("Basic " + base64.b64encode(place.encode()).decode(), "Basic " + place, place, "Bearer " + place + " " + place):
        attempt(method, path + ("?" + needed if needed else ""), body=CONTEXT, authorization="Authorization: " + value)
    attempt(method, path + ("?" + needed if needed else ""), good, body=CONTEXT)
attempt(place, "/jobs")
print("STATUSES", json.dumps(statuses), flush=True)
'''


def check(said, token, folder, log):
    statuses = {int(status): n for status, n in json.loads(re.search(r"^STATUSES (.*)$", said, re.M)[1]).items()}
    assert statuses[200] > 10 and statuses[401] > 10 and sum(statuses.values()) > 500, statuses
    assert token not in said, [line[:600] for line in said.splitlines() if token in line][:5]
    assert not re.findall(token[:32] + "|" + token[-32:], said)
    assert token not in log
    for path in folder.rglob("*"):
        if path.is_file() and path.name not in ("token", "the token"):
            assert token.encode() not in path.read_bytes(), path
    return statuses


def test_a_run(user, workdir, postern, leak_check):
    bench = Bench(user, workdir, postern)
    bench.script("server.sh", '#!/bin/sh\nprintf %s "$*" | sed "s/.*--token \\([^ ]*\\).*/\\1/" >"$ORDER"\n'
                 f'exec {postern} serve --state-dir "$STATE" "$@"\n')
    bench.harness(script="server.sh")
    harness = bench.folder / "harness.yaml"
    bench.write("harness.yaml", harness.read_text().replace('A: "from', f'STATE: "{bench.folder}/state", A: "from').replace(
        f'ORDER: "{bench.order}" }}', f'ORDER: "{bench.folder}/the token", STATE: "{bench.folder}/state" }}', 1))
    bench.write("policy.yaml", POLICY.replace("PORT", str(bench.port)))
    bench.write("agent.py", AGENT)
    harness.write_text(harness.read_text() + f"host_files: [ {{ src: agent.py, dest: /sandbox/agent.py }} ]\ncommand: [ {PYTHON}, agent.py ]\n")
    done = bench.run("", timeout=250)
    assert done.returncode == 0, (done.stdout[-2000:], done.stderr)
    token = (bench.folder / "the token").read_text()
    assert re.fullmatch("[0-9a-f]{64}", token)
    statuses = check(done.stdout, token, bench.folder, done.stderr)
    assert statuses[500] > 300, statuses  # the placeholder goes into Authorization only


@pytest.fixture
def server(user, workdir, postern):
    made = Server(user, postern, workdir).start()
    yield made
    made.stop()


@pytest.mark.slow
def test_a_token_bound_to_any_field(server, user, workdir, postern, leak_check):
    """As other proxies do it: what is put into other fields reaches the server, which does not keep or show it."""
    port = server.ready["port"]
    policy = server.write("policy.yaml", POLICY.replace("PORT", str(port)))
    done = user.run(
        [postern, "sandbox", "--policy", policy, "--server", f"{port}=127.0.0.1:{port}", "--credential", f"API_TOKEN=host.openshell.internal:{port}",
         "--env", f"API_URL=http://host.openshell.internal:{port}", "--", PYTHON, "-c", AGENT],
        env={"API_TOKEN": server.token}, timeout=250)
    assert done.returncode == 0, (done.stdout[-2000:], done.stderr)
    wait_for(lambda: all(job.get("ended") for job in server.get("/jobs").json()["jobs"]), 120, "jobs ended")
    check(done.stdout, server.token, server.state, done.stderr + server.said())


@pytest.mark.parametrize("encode", [str, lambda token: "".join(f"%{ord(c):02x}" for c in token)])
def test_the_server_refuses_its_token_elsewhere(server, encode):
    """Where the proxy puts a credential into queries, as OpenShell's does."""
    shown = encode(server.token)
    for path in ("/jobs?x=", "/jobs?limit=", "/jobs?", "/jobs/", "/jobs/j0123456789abcdefghjk?wait="):
        answer = server.get(path + shown)
        assert answer.status in (404, 422) and server.token not in str(answer.body), answer
    for query in (f"tag={shown}", f"tag=a:1&build_arg=T={shown}", f"{shown}=1", f"aaaaaaa{shown}"):
        answer = server.build({"Dockerfile": "FROM scratch\n"}, query=query)
        assert answer.status == 422 and "Authorization" in answer.json()["hint"] and server.token not in str(answer.body), answer
        for token in ("Bearer something-else", ""):  # with no token to compare with, names that could be one are not shown
            for where in ("/jobs?", "/healthz?", "/?", "/openapi.json?a"):
                answer = server.get(where + shown, token=False, headers={"Authorization": token} if token else {})
                assert answer.status in (401, 422) and server.token[:32] not in str(answer.body), answer
    answer = server.build({"Dockerfile": "FROM scratch\n"}, **{"Idempotency-Key": server.token})
    assert answer.status == 422, answer
    assert server.get("/jobs").json()["jobs"] == [] and server.token not in server.said()
