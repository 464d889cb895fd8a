# SPDX-License-Identifier: Apache-2.0
"""Credentials in a sandbox: the command has placeholders, the server gets what they stand for where they are bound, and what they
stand for is nowhere inside to be found. As root and as an ordinary user."""
import base64
import os
import re
import socket
import threading
import time
from pathlib import Path
from urllib.parse import quote

import pytest

from conftest import descendants
from sandboxes import CLIENT, FILES, PYTHON, Sandbox, Upstream

SECRET, OTHER = "tOp-s3cret/" + "abc123" * 4, "an0ther+one&"
POLICY = FILES + f"""\
network_policies:
  api:
    endpoints:
      - {{ host: host.openshell.internal, ports: [9090, 9091, 9092], protocol: rest, enforcement: enforce, access: full }}
      - {{ host: host.openshell.internal, port: 9093 }}
      - {{ host: host.openshell.internal, port: 9094, protocol: rest, enforcement: enforce, access: full, request_body_credential_rewrite: true }}
    binaries: [ {{ path: /usr/bin/curl }}, {{ path: {PYTHON} }} ]
"""
PLACE = "openshell:resolve:env:"


@pytest.fixture
def sandbox(postern, user, workdir, upstream, leak_check):
    """API_TOKEN may go to 9090 everywhere, to 9092 below /api; OTHER to 9090 and, without a protocol, to 9093. In bodies both may go to
    9094, OTHER below /api."""
    made = Sandbox(postern, user, workdir)
    made.write_policy(POLICY)
    made.dir = user.folder(workdir, "dir")
    made.options += ["--dir", made.dir]
    made.reach(upstream.port, 9090, 9091, 9092, 9093, 9094)
    made.options += [
        f"--credential={text}" for text in (
            "API_TOKEN=host.openshell.internal:9090", "API_TOKEN=HOST.openshell.internal:9092/api/", "OTHER=host.openshell.internal:9090",
            "OTHER=host.openshell.internal:9093", "API_TOKEN=host.openshell.internal:9094", "OTHER=host.openshell.internal:9094/api")
    ]
    run = made.run
    made.run = lambda *command, **kwargs: run(*command, env={"API_TOKEN": SECRET, "OTHER": OTHER}, **kwargs)
    return made


def basic(text):
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize("field, sent, received", [
    ("Authorization", f"Bearer {PLACE}API_TOKEN", f"Bearer {SECRET}"),
    ("authorization", f"bearer {PLACE}v12_API_TOKEN", f"bearer {SECRET}"),
    ("Authorization", basic(f"user:{PLACE}API_TOKEN"), basic(f"user:{SECRET}")),
    ("Authorization", basic(f"{PLACE}OTHER:{PLACE}v1_API_TOKEN"), basic(f"{OTHER}:{SECRET}")),
    ("X-Api-Key", f"{PLACE}API_TOKEN", SECRET),
    ("X-Both", f"{PLACE}API_TOKEN;{PLACE}OTHER", f"{SECRET};{OTHER}"),
    ("Cookie", f"a=1; t={PLACE}OTHER; b=2", f"a=1; t={OTHER}; b=2"),
    ("X-None", "openshell:resolve:environment:API_TOKEN", "openshell:resolve:environment:API_TOKEN"),
    ("Authorization", basic("user:password"), basic("user:password")),
    ("Authorization", "Basic !not-base64!", "Basic !not-base64!"),
])
def test_a_placeholder_in_a_field(sandbox, upstream, field, sent, received):
    code = (
        'say(get(BASE + "/x", sys.argv[1])[0])\n'
        'p = tunnel(AT); p.send("GET /x HTTP/1.1\\r\\nHost: %s\\r\\n%s\\r\\n\\r\\n" % (AT, sys.argv[1])); say(p.answer()[0])'
    )
    assert sandbox.python(code, f"{field}: {sent}") == [200, 200]
    assert [request.get(field) for request in upstream.requests] == [received] * 2


def test_curl_as_an_agent_uses_it(sandbox, upstream):
    out = sandbox.output('curl -sS -H "Authorization: Bearer $API_TOKEN" http://host.openshell.internal:9090/x && curl -sS -u "me:$OTHER" http://host.openshell.internal:9090/y')
    assert out == "hello\nhello\n"
    assert [request.get("Authorization") for request in upstream.requests] == [f"Bearer {SECRET}", basic(f"me:{OTHER}")]


@pytest.mark.parametrize("url, field, status, error", [
    ("http://host.openshell.internal:9091/x", f"X: {PLACE}API_TOKEN", 403, "credential_endpoint_mismatch"),
    ("http://host.openshell.internal:9091/x", "Authorization: " + basic(f"u:{PLACE}API_TOKEN"), 403, "credential_endpoint_mismatch"),
    (f"http://host.openshell.internal:9092/x?k={PLACE}API_TOKEN", "X: 1", 403, "credential_endpoint_mismatch"),
    (f"http://host.openshell.internal:9091/{PLACE}API_TOKEN", "X: 1", 403, "credential_endpoint_mismatch"),
    (f"http://host.openshell.internal:9090/x?{PLACE.replace(':', '%3A')}API_TOKEN=1", "X: 1", 500, "credential_injection_failed"),
    ("http://host.openshell.internal:9092/", f"X: {PLACE}API_TOKEN", 403, "credential_endpoint_mismatch"),
    ("http://host.openshell.internal:9092/apix", f"X: {PLACE}API_TOKEN", 403, "credential_endpoint_mismatch"),
    ("http://host.openshell.internal:9092/api/../x", f"X: {PLACE}API_TOKEN", 403, "credential_endpoint_mismatch"),
    ("http://host.openshell.internal:9092/api/%2e%2e/x", f"X: {PLACE}API_TOKEN", 403, "credential_endpoint_mismatch"),
    ("http://host.openshell.internal:9090/x", f"X: {PLACE}UNKNOWN", 500, "credential_injection_failed"),
    ("http://host.openshell.internal:9090/x", f"X: {PLACE}API_TOKEN_", 500, "credential_injection_failed"),
    ("http://host.openshell.internal:9090/x", f"X: {PLACE}", 500, "credential_injection_failed"),
    (f"http://host.openshell.internal:9090/{PLACE}API_TOKEN", "X: 1", 500, "credential_injection_failed"),
    ("http://host.openshell.internal:9090/x", f"X: {PLACE}API_TOKEN {PLACE}UNKNOWN", 500, "credential_injection_failed"),
])
def test_a_placeholder_that_goes_nowhere(sandbox, upstream, url, field, status, error):
    got = sandbox.python("import json\ns, f, b = get(*sys.argv[1:]); say([s, json.loads(b)['error'], b])", url, field)
    assert got[:2] == [status, error] and SECRET not in got[2]
    assert upstream.connections == 0


def test_where_it_is_bound_by_path(sandbox, upstream):
    for path in ("/api", "/api/", "/api/x", "//api/./x"):
        assert sandbox.python(f'say(get("http://host.openshell.internal:9092{path}", "X: {PLACE}API_TOKEN")[0])') == 200
    assert [request.get("X") for request in upstream.requests] == [SECRET] * 4


def test_a_placeholder_in_http_where_no_protocol_is_named(sandbox, upstream):
    code = (
        'at = "host.openshell.internal:9093"; p = tunnel(at)\n'
        f'for name in ("OTHER", "API_TOKEN"): p.send("GET /x HTTP/1.1\\r\\nHost: %s\\r\\nX: {PLACE}%s\\r\\n\\r\\n" % (at, name)); say(p.answer()[0])'
    )
    assert sandbox.python(code) == [200, 403]
    assert [request.get("X") for request in upstream.requests] == [OTHER]


@pytest.mark.parametrize("sent, received", [
    (f"/x?k={PLACE}API_TOKEN&n=1", "/x?k=" + quote(SECRET, "") + "&n=1"),
    (f"/x?k={quote(PLACE, '')}v7_OTHER", "/x?k=" + quote(OTHER, "")),
    (f"/bot{PLACE}OTHER/send?a=+&b", f"/bot{OTHER}/send?a=+&b"),
    (f"/a//../{quote(PLACE, '')}OTHER?", f"/{OTHER}"),
])
def test_a_placeholder_in_a_target(sandbox, upstream, sent, received):
    code = (
        'say(get(BASE + sys.argv[1])[0])\n'
        'p = tunnel(AT); p.send("GET %s HTTP/1.1\\r\\nHost: %s\\r\\n\\r\\n" % (sys.argv[1], AT)); say(p.answer()[0])'
    )
    assert sandbox.python(code, sent) == [200, 200]
    assert [request.target for request in upstream.requests] == [received] * 2


JSON, FORM = "Content-Type: application/json", "Content-Type: application/x-www-form-urlencoded"


@pytest.mark.parametrize("field, path, sent, received", [
    (JSON, "/x", '{"k":"%sAPI_TOKEN"}' % PLACE, '{"k":"%s"}' % SECRET),
    (JSON, "/x", '{"k":"openshell\\u003aresolve:env:v1_API_TOKEN"}', '{"k":"%s"}' % SECRET),
    (JSON + "; charset=utf-8", "/api", '["%sOTHER"]' % PLACE, f'["{OTHER}"]'),
    (FORM, "/api/x", f"a=1&k={quote(PLACE, '')}OTHER&b=%41", f"a=1&k={quote(OTHER, '')}&b=%41"),
    ("Content-Type: text/plain", "/x", f"<{PLACE}API_TOKEN>" * 9, f"<{SECRET}>" * 9),
    (JSON, "/x", "x" * (256 * 1024), "x" * (256 * 1024)),
    ("Content-Type: application/octet-stream", "/x", "y" * 300000, "y" * 300000),
])
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_a_placeholder_in_a_body(sandbox, upstream, field, path, sent, received, chunked):
    url = f"http://host.openshell.internal:9094{path}"
    (sandbox.dir / "body").write_text(sent)
    more = '-H "Transfer-Encoding: chunked"' if chunked else ""
    out = sandbox.output(f"for way in '' -p; do curl -sS $way -H '{field}' {more} --data-binary @/sandbox/body {url}; done")
    assert out == "hello\n" * 2
    assert [request.body for request in upstream.requests] == [received.encode()] * 2


def test_a_body_of_a_thousand_placeholders(sandbox, workdir):
    """More than a Unix socket takes at once."""
    path = f"{workdir}/socket"
    upstream = Upstream(path)
    os.chmod(path, 0o666)
    try:
        sandbox.server(9094, f"unix:{path}")
        (sandbox.dir / "body").write_text(f"{PLACE}API_TOKEN\n" * 8000)
        url = "http://host.openshell.internal:9094/x"
        assert sandbox.output(f"curl -sS -H 'Content-Type: text/plain' --data-binary @/sandbox/body {url}") == "hello\n"
        assert upstream.requests[0].body == f"{SECRET}\n".encode() * 8000
    finally:
        upstream.close()


@pytest.mark.parametrize("port, field, body, status, error", [
    (9090, JSON, f'"{PLACE}API_TOKEN"', 500, "credential_injection_failed"),
    (9090, FORM, f"k={quote(PLACE, '')}API_TOKEN", 500, "credential_injection_failed"),
    (9090, JSON, '"' + "x" * 300000 + f'{PLACE}API_TOKEN"', 500, "credential_injection_failed"),
    (9094, JSON, f'"{PLACE}OTHER"', 403, "credential_endpoint_mismatch"),
    (9094, JSON, f'"{PLACE}NONE"', 500, "credential_injection_failed"),
    (9094, FORM, f"{PLACE}API_TOKEN=1", 500, "credential_injection_failed"),
    (9094, JSON, "x" * (256 * 1024 + 1), 413, "body_too_large"),
    (9094, "Content-Type: text/html", "\udcff", 400, "invalid_body"),
])
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_a_placeholder_in_a_body_that_goes_nowhere(sandbox, upstream, port, field, body, status, error, chunked):
    """Where none is filled in, none is let through: a server gets at most what came before it."""
    (sandbox.dir / "body").write_text(body, errors="surrogateescape")
    more = '-H "Transfer-Encoding: chunked"' if chunked else ""
    url = f"http://host.openshell.internal:{port}/x"
    for way in ("", "-p"):
        out = sandbox.output(f"curl -sS {way} -w '%{{http_code}}' -H '{field}' {more} --data-binary @/sandbox/body {url}")
        assert out.endswith(str(status)) and f'"error":"{error}"' in out, out
    assert all(PLACE.encode() not in request.body for request in upstream.requests)


def test_a_placeholder_in_a_body_comes_in_pieces(sandbox, upstream):
    code = (
        'import time\n'
        'p = Peer(); whole = sys.argv[1].encode()\n'
        'p.send("POST %s/x HTTP/1.1\\r\\nHost: %s\\r\\nContent-Type: text/plain\\r\\nContent-Length: %d\\r\\n\\r\\n" % (BASE, AT, len(whole)))\n'
        'for i in range(len(whole)):\n'
        '    try: p.s.send(whole[i:i + 1])\n'
        '    except OSError: break\n'
        '    time.sleep(0.01)\n'
        'say(p.answer()[0])\n'
    )
    assert sandbox.python(code, f"abc{PLACE}API_TOKEN") == 500
    assert [request for request in upstream.requests if request.body and PLACE.encode() in request.body] == []


def test_a_placeholder_in_trailers(sandbox, upstream):
    code = (
        'p = Peer(); p.send("POST %s/x HTTP/1.1\\r\\nHost: %s\\r\\nContent-Type: text/plain\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n" % (BASE, AT))\n'
        'p.send("1\\r\\na\\r\\n0\\r\\nX: %s\\r\\n\\r\\n" % sys.argv[1]); say(p.answer()[0])\n'
    )
    assert sandbox.python(code, f"{PLACE}API_TOKEN") == 500
    assert sandbox.python(code, "nothing") == 200


def test_an_answer_that_comes_before_the_body_was_taken(sandbox, workdir):
    """As large a body as may be, to a server that reads the head and answers; it is still there, but takes no more."""
    path, done = f"{workdir}/socket", threading.Event()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        os.chmod(path, 0o666)
        listener.listen()

        def serve():
            connection, _ = listener.accept()
            with connection:
                connection.recv(100)
                connection.sendall(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno")
                done.wait(60)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        sandbox.server(9094, f"unix:{path}")
        (sandbox.dir / "body").write_text(f"{PLACE}API_TOKEN\n" * 7000)
        url = "http://host.openshell.internal:9094/x"
        out = sandbox.output(f"curl -sS -m 20 -w '%{{http_code}}' -H 'Content-Type: text/plain' --data-binary @/sandbox/body {url}")
        done.set()
        thread.join(10)
    assert out == "no413"


def test_a_body_is_not_written_on_when_its_client_has_gone(sandbox, workdir):
    path, ended = f"{workdir}/socket", []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        os.chmod(path, 0o666)
        listener.listen()
        sandbox.server(9094, f"unix:{path}")
        (sandbox.dir / "body").write_text(f"{PLACE}API_TOKEN\n" * 8000)
        curl = "curl -sS -m 1 -H 'Content-Type: text/plain' --data-binary @/sandbox/body http://host.openshell.internal:9094/x 2>/dev/null; echo gone; read x"
        process = sandbox.user.popen(sandbox.command("sh", "-c", curl), stdin=-1, stdout=-1, env={"API_TOKEN": SECRET, "OTHER": OTHER})
        try:
            connection, _ = listener.accept()
            connection.settimeout(10)
            assert process.stdout.readline() == b"gone\n"
            time.sleep(1)  # that proxy needs to see it
            got = b""
            while more := connection.recv(65536):
                got += more
            ended.append(len(got))
        finally:
            process.communicate(b"")
    assert ended and ended[0] < 8000 * len(SECRET), ended  # what a socket holds, and not all


def test_what_is_refused_for_its_body_is_logged_as_denied(sandbox, upstream):
    log = sandbox.folder / "log"
    done = sandbox.run("curl", "-sS", "-o", "/dev/null", "-d", f"k={PLACE}API_TOKEN", "http://host.openshell.internal:9090/x",
                       options=["--log", log, "--explain-denials"])
    lines = [line for line in log.read_text().splitlines() if "HTTP:POST" in line]
    assert len(lines) == 2 and "ALLOWED" in lines[0] and "DENIED" in lines[1] and "a credential cannot go there" in lines[1], (lines, done.stderr)
    assert "http://host.openshell.internal:9090/x" in done.stderr, done.stderr


def test_where_no_protocol_is_named_a_body_is_but_text(sandbox, upstream):
    body = f"{PLACE}API_TOKEN"
    assert sandbox.output(f"curl -sS -d '{body}' http://host.openshell.internal:9093/x") == "hello\n"
    assert upstream.requests[0].body == body.encode()


def test_without_credentials_a_body_is_but_text(postern, user, workdir, upstream):
    bare = Sandbox(postern, user, workdir)
    bare.write_policy(POLICY)
    bare.reach(upstream.port, 9090)
    body = f"{PLACE}API_TOKEN"
    assert bare.output(f"curl -sS -d '{body}' http://host.openshell.internal:9090/x") == "hello\n"
    assert upstream.requests[0].body == body.encode()


def test_names_stay_as_they_are(sandbox, upstream):
    """A field's name, and the method, hold no placeholders; nor does a body that is no text."""
    body = f"{PLACE}API_TOKEN"
    octets = "-H 'Content-Type: application/octet-stream'"
    assert sandbox.output(f"curl -sS {octets} -d '{body}' http://host.openshell.internal:9090/x") == "hello\n"
    assert upstream.requests[0].body == body.encode()
    assert sandbox.python(f'say(get(BASE + "/x", "{PLACE}API_TOKEN: 1")[0])') == 200  # a field named openshell
    assert SECRET not in str(upstream.requests[1].fields)


def test_a_placeholder_does_not_grow_past_the_limit(sandbox, upstream):
    fields = f'*["X: {PLACE}API_TOKEN"] * 400'
    assert sandbox.python(f'say(get(BASE + "/x", {fields})[0])') == 200
    assert {value for name, value in upstream.requests[0].fields if name == "X"} == {SECRET}
    big = "a" * 8000
    code = f'say(get(BASE + "/x", *["X: {PLACE}BIG"] * 10)[0])'
    done = sandbox.user.run(
        sandbox.command(PYTHON, "-c", CLIENT + code, options=["--credential=BIG=host.openshell.internal:9090"]),
        env={"API_TOKEN": SECRET, "OTHER": OTHER, "BIG": big})
    assert done.stdout == "500\n", (done.stdout, done.stderr)


@pytest.mark.parametrize("value", ["line\nend", "nul\x01", "a" * 9000, "\x7f"], ids=["line", "control", "long", "delete"])
def test_a_credential_that_could_not_be_sent_is_refused(sandbox, value):
    done = sandbox.user.run(sandbox.command("true"), env={"API_TOKEN": value, "OTHER": OTHER})
    assert done.returncode == 2 and "API_TOKEN" in done.stderr and value not in done.stderr and done.stderr.count("\n") == 1


def test_what_it_stands_for_is_nowhere_inside(sandbox, upstream):
    """Not in any environment, command line, memory, or file that can be read, of any process that can be seen."""
    code = (
        'found = []\n'
        'needle = "".join(chr(ord(c) ^ 1) for c in sys.argv[1]).encode()\n'
        'def look(path):\n'
        '    try:\n'
        '        with open(path, "rb") as f: return needle in f.read(1 << 24)\n'
        '    except OSError: return False\n'
        'for pid in [p for p in os.listdir("/proc") if p.isdigit()]:\n'
        '    for name in ("environ", "cmdline", "auxv", "status", "stat", "maps", "limits", "mounts"):\n'
        '        if look("/proc/%s/%s" % (pid, name)): found.append([pid, name])\n'
        '    try:\n'
        '        memory = open("/proc/%s/mem" % pid, "rb", 0)\n'
        '        for line in open("/proc/%s/maps" % pid):\n'
        '            start, end = (int(x, 16) for x in line.split()[0].split("-"))\n'
        '            if "r" not in line.split()[1] or "vv" in line or end - start > 1 << 27 or int(pid) == os.getpid(): continue\n'
        '            try: memory.seek(start); data = memory.read(end - start)\n'
        '            except (OSError, ValueError, OverflowError): continue\n'
        '            if needle in data: found.append([pid, line])\n'
        '    except OSError as e: pass\n'
        'for folder, _, files in os.walk("/"):\n'
        '    if folder.startswith(("/proc", "/usr", "/sys")): continue\n'
        '    for name in files: found += [[folder, name]] if os.path.isfile(os.path.join(folder, name)) and look(os.path.join(folder, name)) else []\n'
        'say(found)'
    )
    hidden = "".join(chr(ord(c) ^ 1) for c in SECRET)
    assert sandbox.python(code, hidden) == []
    assert sandbox.output("ls /proc/self/fd").split() == ["0", "1", "2", "3"]  # the last is ls's own


def test_where_it_is_outside(sandbox, root_user, upstream):
    """Of the processes beside the sandbox, dialer alone has it; its memory cannot be looked into by its own user, nor dumped."""
    process = sandbox.user.popen(sandbox.command("sh", "-c", "echo ready; read x"), stdin=-1, stdout=-1, env={"API_TOKEN": SECRET, "OTHER": OTHER})
    try:
        assert process.stdout.readline() == b"ready\n"
        for pid, line in descendants().items():
            name = line.split(" ")[0].rsplit("/", 1)[-1]
            if pid == process.pid or not name.startswith("postern-"):
                continue
            assert SECRET.encode() not in memory(pid) or name == "postern-dialer", name
            assert re.search(r"Max core file size\s+1\s+1\s", Path(f"/proc/{pid}/limits").read_text()), name  # with 0, core_pattern may pipe one
            if name == "postern-dialer":
                assert os.stat(f"/proc/{pid}/mem").st_uid == 0  # undumpable: root's, whoever runs it
    finally:
        process.communicate(b"")


def memory(pid):
    data = []
    with open(f"/proc/{pid}/mem", "rb", 0) as mem:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            start, end = (int(x, 16) for x in line.split()[0].split("-"))
            if "r" in line.split()[1] and "[v" not in line and end - start < 1 << 30:  # a sanitizer's shadow is larger
                mem.seek(start)
                try:
                    data.append(mem.read(end - start))
                except OSError:
                    pass
    return b"".join(data)
