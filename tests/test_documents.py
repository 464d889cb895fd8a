# SPDX-License-Identifier: Apache-2.0
"""What the server says of itself, held against others' validators and against what it does. (That the documents agree with the
table of operations is src/api/generate_test.c's.)"""
import json
import re
import shutil
import subprocess
import urllib.parse

import jsonschema
import pytest
from conftest import BUILD, ROOT, wait_for
from contexts import tar_of
from serve_driver import SCRATCH, Server
from test_front import hurried_endless  # noqa: F401 (a fixture)
from wire import ask, events_of, request

NO_JOB = "j0123456789abcdefghjk"


@pytest.fixture(scope="module")
def server(ordinary_user, postern, reachable):
    folder = ordinary_user.folder(reachable, "documents")
    s = Server(ordinary_user, postern, folder).start()
    yield s
    s.close()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def openapi(server):
    return server.get("/openapi.json", token=False).json()


@pytest.fixture(scope="module")
def tools(server):
    return server.get("/tools.json", token=False).json()["tools"]


@pytest.fixture(scope="module")
def failed_job(server):
    return server.build(b"not an archive", wait=60).json()["id"]


@pytest.fixture(scope="session")
def openapi_spec_validator():
    """The program of that name, in a venv of what tests/requirements.txt pins; made once per build folder."""
    wanted = ROOT / "tests" / "requirements.txt"
    venv = BUILD / "test-venv"
    stamp = venv / "requirements.txt"
    if not stamp.exists() or stamp.read_text() != wanted.read_text():
        subprocess.run(["/usr/bin/python3", "-m", "venv", "--clear", venv], check=True, stdin=subprocess.DEVNULL)
        pip = [venv / "bin" / "pip", "install", "--quiet", "--no-deps", "-r", wanted]
        done = subprocess.run(pip, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        assert done.returncode == 0, done.stderr
        shutil.copy(wanted, stamp)
    return venv / "bin" / "openapi-spec-validator"


def test_openapi_is_valid(openapi, openapi_spec_validator, tmp_path):
    file = tmp_path / "openapi.json"

    def validate(document):
        file.write_text(json.dumps(document))
        return subprocess.run([openapi_spec_validator, "--schema", "3.1", file], capture_output=True, text=True, check=False)

    good = validate(openapi)
    assert good.returncode == 0, good.stdout + good.stderr
    openapi = json.loads(json.dumps(openapi))
    openapi["paths"]["/jobs/{id}"]["get"]["parameters"].pop(0)  # the path's own id is then nowhere explained
    assert validate(openapi).returncode != 0


def test_tools_are_json_schemas(tools):
    assert len({tool["name"] for tool in tools}) == len(tools) > 0
    for tool in tools:
        schema = tool["input_schema"]
        jsonschema.Draft202012Validator.check_schema(schema)
        assert schema["type"] == "object" and schema["additionalProperties"] is False
        assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", tool["name"])  # what model providers take as a tool's name


def schema_of(openapi, method, path, answer):
    """The schema that is told for this answer; KeyError when its status or media type is not."""
    media_type = answer.headers["content-type"]
    schema = openapi["paths"][path][method.lower()]["responses"][str(answer.status)]["content"][media_type]["schema"]
    return {**schema, "components": openapi["components"]}


def test_answers_are_what_openapi_says(server, openapi, failed_job):
    asked = [
        ("GET", "/", "/"),
        ("GET", "/healthz", "/healthz"),
        ("GET", "/openapi.json", "/openapi.json"),
        ("GET", "/tools.json", "/tools.json"),
        ("GET", "/jobs", "/jobs"),
        ("GET", "/jobs?limit=0", "/jobs"),
        ("GET", f"/jobs/{failed_job}", "/jobs/{id}"),
        ("GET", f"/jobs/{NO_JOB}", "/jobs/{id}"),
        ("GET", f"/jobs/{failed_job}/log", "/jobs/{id}/log"),
        ("GET", f"/jobs/{failed_job}/events", "/jobs/{id}/events"),
        ("GET", f"/jobs/{failed_job}/artifacts/image.tar", "/jobs/{id}/artifacts/{name}"),
        ("DELETE", f"/jobs/{NO_JOB}", "/jobs/{id}"),
        ("POST", "/build", "/build"),
        ("POST", "/build?tga=x", "/build"),
    ]
    for method, target, path in asked:
        for token in (True, False):
            answer = server.ask(method, target, token=token)
            schema = schema_of(openapi, method, path, answer)
            if answer.headers["content-type"].endswith("json"):
                jsonschema.Draft202012Validator(schema).validate(answer.json())
    # What came of it: nothing usable, a step that fails, an image.
    steps = {"Dockerfile": "FROM scratch\nCOPY nothing /\n"}
    for context, state in ((b"not an archive", "failed"), (steps, "failed"), (SCRATCH, "succeeded")):
        answer = server.build(context, wait=120)
        jsonschema.Draft202012Validator(schema_of(openapi, "POST", "/build", answer)).validate(answer.json())
        assert answer.json()["state"] == state, answer


GENERAL = {"connection", "content-length", "content-type", "date", "transfer-encoding", "cache-control", "x-accel-buffering"}


def ask_for_every_answer(port, token):
    """(method, path in the documents, answer), for what can come of a build that succeeds."""
    build = tar_of({"Dockerfile": "FROM scratch\nCOPY Dockerfile /file\n"})

    def one(method, path, *fields, target=None, body=b"", token=token):
        return method, path, ask(port, request(method, target or path, *fields, body=body, token=token), method, timeout=200)

    yield (built := one("POST", "/build", "Prefer: wait=120", target="/build?output=/file", body=build))
    assert built[2].json["state"] == "succeeded", built[2].body
    job = f"/jobs/{built[2].json['id']}"
    *_, events = events_of(one("GET", "/", target=f"{job}/events")[2].body.decode())
    tag = one("GET", "/", target=f"{job}/artifacts/file")[2].fields["etag"]
    yield one("GET", "/jobs")
    yield one("GET", "/jobs", token=None)
    yield one("GET", "/jobs/{id}", target=job)
    yield one("DELETE", "/jobs/{id}", target=job)
    yield one("GET", "/jobs/{id}/events", target=f"{job}/events")
    yield one("GET", "/jobs/{id}/events", f"Last-Event-ID: {events.id}", target=f"{job}/events")
    for path in ("log", "artifacts/file"):
        for fields in ((), ("Range: bytes=0-1",), ("Range: bytes=999999-",), (f"If-None-Match: {tag}",)):
            yield one("GET", f"/jobs/{{id}}/{path.replace('file', '{name}')}", *fields, target=f"{job}/{path}")
    for target in ("/", "/healthz", "/openapi.json", "/tools.json"):
        yield one("GET", target, token=None)


def ask_of_an_unfinished_job(port):
    answer = ask(port, request("POST", "/build", "Prefer: wait=0", body=b"x"))
    job = f"/jobs/{answer.json['id']}"
    wait_for(lambda: ask(port, request("GET", job)).json["state"] == "running", what="the job running")
    yield "POST", "/build", answer
    yield "GET", "/jobs/{id}", ask(port, request("GET", job))
    yield "DELETE", "/jobs/{id}", ask(port, request("DELETE", job))


def test_answers_have_the_headers_that_openapi_says(server, openapi, hurried_endless):  # noqa: F811
    said = {}
    for asked in (ask_for_every_answer(server.ready["port"], server.token), ask_of_an_unfinished_job(hurried_endless.port)):
        for method, path, answer in asked:
            said.setdefault((method, path, answer.status), set()).update(answer.fields.keys() - GENERAL)
    told = {
        (method, path, status): {name.lower() for name in openapi["paths"][path][method.lower()]["responses"][str(status)]["headers"]}
        for method, path, status in said
    }
    assert said == told
    good = {
        (method.upper(), path, int(status))
        for path, methods in openapi["paths"].items()
        for method, operation in methods.items()
        for status in operation["responses"]
        if status < "4"
    }
    assert good <= said.keys()  # nothing is told that was not tried


def test_a_range_is_ignored_with_tail(server):
    job = server.build({"Dockerfile": "FROM scratch\nCOPY nothing /\n"}, wait=120).json()["id"]
    whole = server.get(f"/jobs/{job}/log")
    last = whole.body.splitlines(keepends=True)[-1]
    for headers in ({}, {"Range": "bytes=0-0"}, {"Range": "bytes=999999-"}):
        answer = server.get(f"/jobs/{job}/log?tail=1", headers=headers)
        assert (answer.status, answer.body) == (200, last)
    assert server.get(f"/jobs/{job}/log", headers={"Range": "bytes=0-0"}).status == 206


SAMPLES = ["", "a", "A", "0", "1", "-1", "300", "301", "9" * 30, "a/b", "a//b", "/a", "a:1", "a:", ":a", "a@b", "a b", "é", "-a", ".a",
           "a-", "a.b__c", "A=1", "=1", "A=", "A=é", "linux/amd64", "linux/arm/v7", "Linux/amd64", "linux/", "%", "a%b", "a+b", "a;b", "true",
           "false", "maybe", "a" * 128, "a" * 129, "a" * 256, "a" * 257, "a" * 512, "a" * 513, "A=" + "x" * 2046, "A=" + "x" * 2047]


def told_good(schema, text):
    """Whether the parameter's schema takes that text, read as its type."""
    if schema["type"] == "array":
        schema = schema["items"]
    value = text
    if schema["type"] != "string":
        try:
            value = json.loads(text)
        except ValueError:
            return False
    return jsonschema.Draft202012Validator(schema).is_valid(value)


def test_forms_mean_the_same_to_server_and_schema(server, openapi):
    tried = refused = 0
    for path, operations in openapi["paths"].items():
        for method, operation in operations.items():
            for parameter in (p for p in operation["parameters"] if p["in"] == "query"):
                # Behind the parameters stands a fault that is found later: no body, no such job.
                target = path.replace("{id}", NO_JOB).replace("{name}", "x")
                for sample in SAMPLES:
                    if parameter["schema"]["type"] == "boolean" and sample in ("", "0", "1"):
                        continue  # taken besides true and false, as a convenience
                    query = urllib.parse.urlencode({parameter["name"]: sample})
                    answer = server.ask(method.upper(), f"{target}?{query}")
                    good = told_good(parameter["schema"], sample)
                    assert (answer.status != 422) == good, (parameter["name"], sample, answer)
                    tried, refused = tried + 1, refused + (not good)
    assert tried > 300 and 100 < refused < tried - 50


def test_the_page_s_lines_work(server, tmp_path):
    page = server.get("/", token=False).body.decode()
    url = f"http://127.0.0.1:{server.ready['port']}"
    assert f"U={url}" in page
    lines = [line.strip() for line in page.splitlines() if re.match(r"    .*curl ", line)]
    assert len(lines) >= 6 and "/build" in lines[0]
    (tmp_path / "Dockerfile").write_text("FROM nowhere\n")
    job = None
    for line in lines:
        line = line.replace("/ID", f"/{job}")
        script = f'A="Authorization: Bearer {server.token}"; U={url}; {line}'
        done = subprocess.run(["sh", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=True)
        said = done.stdout + done.stderr
        assert not re.search("problem:(not-found|method-not-allowed|bad-request|invalid|unauthenticated)", said), (line, said)
        job = job or json.loads(said)["id"]


def test_every_problem_and_event_that_is_documented_has_a_producer(openapi):
    """Nothing in the documents that never happens: each problem's code stands where answers are made, not in tables only."""
    src = ROOT / "src"
    made = "".join(f.read_text() for part in ("front", "keeper") for f in (src / part).glob("*.c"))
    problems = set(re.findall(r"^\t(PROBLEM_\w+),", (src / "api/problem.h").read_text(), re.M)) - {"PROBLEM_NONE"}
    assert len(problems) >= 20
    assert {name for name in problems if not re.search(rf"\b{name}\b", made)} == set()
    described = openapi["paths"]["/jobs/{id}/events"]["get"]["responses"]["200"]["description"]
    assert set(re.findall(r"(\w+) \(data:", described)) == set(re.findall(r'send_event\(c, "(\w+)"', made)) != set()
