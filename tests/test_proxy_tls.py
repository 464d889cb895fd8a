# SPDX-License-Identifier: Apache-2.0
"""TLS in tunnels: looked into with an authority of the sandbox's own, spoken anew with the server, which has to be the one that was
asked for; passed as it is where the policy says so. With real clients, as root and as an ordinary user."""
import ctypes
import hashlib
import http.server
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import threading
from pathlib import Path

import pytest

from conftest import descendants, wait_for
from sandboxes import CLIENT, FILES, PYTHON, Sandbox, Upstream, each_connection

SECRET = "tOp-s3cret/" + "abc123" * 4
PLACE = "openshell:resolve:env:API_TOKEN"
HOST = "host.openshell.internal"
VARIABLES = {
    "NODE_EXTRA_CA_CERTS": "openshell-ca.pem", "DENO_CERT": "openshell-ca.pem", "SSL_CERT_FILE": "ca-bundle.pem",
    "REQUESTS_CA_BUNDLE": "ca-bundle.pem", "CURL_CA_BUNDLE": "ca-bundle.pem", "GIT_SSL_CAINFO": "ca-bundle.pem",
}
BINARIES = f"binaries: [ {{ path: /usr/bin/curl }}, {{ path: {PYTHON} }}, {{ path: /usr/bin/git }}, {{ path: /usr/bin/gh }}, {{ path: /usr/bin/openssl }} ]"
POLICY = FILES + f"""\
network_policies:
  tls:
    endpoints:
      - {{ host: {HOST}, port: 9090, protocol: rest, enforcement: enforce, rules: [ {{ allow: {{ method: GET, path: "/ok/**" }} }}, {{ allow: {{ method: POST, path: /ok/up }} }} ] }}
      - {{ host: {HOST}, port: 9091, tls: skip }}
      - {{ host: {HOST}, port: 9092 }}
      - {{ host: {HOST}, port: 9094, protocol: mcp, enforcement: enforce, rules: [ {{ allow: {{ method: tools/call, tool: yes }} }} ] }}
      - {{ host: {HOST}, ports: [9093, 443], protocol: rest, enforcement: enforce, access: full }}
    {BINARIES}
"""
# Inside: `secure(AT)` is a Peer inside TLS inside a tunnel; `.s` its socket.
SECURE = CLIENT + '''
import ssl
def secure(to, *protocols):
    c = ssl.create_default_context()
    if protocols: c.set_alpn_protocols(protocols)
    return Peer(c.wrap_socket(tunnel(to).s, server_hostname=to.split(":")[0]))
def request(p, method, target, *fields):
    p.send("%s %s HTTP/1.1\\r\\nHost: %s\\r\\n%s\\r\\n" % (method, target, p.s.server_hostname + ":9090", "".join(f + "\\r\\n" for f in fields)))
    return p.answer()
def issuer(p): return [v for part in p.s.getpeercert()["issuer"] for _, v in part]
'''


# --- servers ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificates(reachable):
    """An authority that the sandbox's host believes, and certificates of it and of none: name.pem, each with its key."""
    folder = reachable / "certificates"
    folder.mkdir(mode=0o755)

    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, stdin=subprocess.DEVNULL, capture_output=True)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    openssl("req", "-x509", *key, "-subj", "/CN=test authority", "-days", "2", "-keyout", "ca.key", "-out", "ca.crt")

    def issue(name, san, *how):
        (folder / "ext").write_text(f"subjectAltName={san}\n")
        openssl("req", *key, "-subj", f"/CN={name}", "-keyout", "key", "-out", "csr")
        openssl("x509", "-req", "-in", "csr", "-extfile", "ext", "-out", "crt", *how)
        (folder / f"{name}.pem").write_text((folder / "crt").read_text() + (folder / "key").read_text())

    signed = ("-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial")
    issue("good", f"DNS:{HOST},DNS:localhost", *signed, "-days", "2")
    issue("wrong-name", "DNS:other.test", *signed, "-days", "2")
    issue("expired", f"DNS:{HOST}", *signed, "-days", "-1")
    issue("self-signed", f"DNS:{HOST}", "-signkey", "key", "-days", "2")
    return folder


def server_context(certificates, name):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / f"{name}.pem")
    return context


class TlsUpstream(Upstream):
    def __init__(self, context):
        self.context, self.handshakes = context, 0
        super().__init__()

    def _serve(self, connection):
        try:
            connection = self.context.wrap_socket(connection, server_side=True)
        except OSError:
            connection.close()
            return
        self.handshakes += 1
        super()._serve(connection)


@pytest.fixture
def upstream(certificates):
    made = TlsUpstream(server_context(certificates, "good"))
    yield made
    made.close()


def make_sandbox(postern, user, workdir, certificates, port):
    made = Sandbox(postern, user, workdir)
    made.write_policy(POLICY)
    made.reach(port, 9090, 9091, 9092, 9093, 9094, 443)
    made.options += [f"--credential=API_TOKEN={HOST}:{where}" for where in ("9090/ok/bound", "9092", "443")]
    run = made.run
    env = {"API_TOKEN": SECRET, "SSL_CERT_FILE": str(certificates / "ca.crt")}
    made.run = lambda *command, **kwargs: run(*command, env=env, **kwargs)
    return made


@pytest.fixture
def sandbox(postern, user, workdir, certificates, upstream, leak_check):
    return make_sandbox(postern, user, workdir, certificates, upstream.port)


def secure(sandbox, code, *arguments):
    done = sandbox.run(PYTHON, "-c", SECURE + code, *arguments)
    assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)
    values = [json.loads(line) for line in done.stdout.splitlines()]
    return values[0] if len(values) == 1 else values


# --- looked into ------------------------------------------------------------------------------------------------------


def test_curl(sandbox, upstream):
    url = f"https://{HOST}:9090"
    out = sandbox.output(f"curl -sS {url}/ok/a {url}/ok/b && curl -sS -w '%{{http_code}}' -X DELETE {url}/ok/a && curl -sS {url}/no")
    allowed, denied = out.split("{", 1)[0], [json.loads(text) for text in re.findall(r"{.*?}}", out)]
    assert allowed == "hello\nhello\n" and "403" in out and upstream.targets == ["/ok/a", "/ok/b"]
    assert [body["rule"] for body in denied] == ["DELETE /ok/a", "GET /no"]
    assert denied[0]["error"] == "policy_denied" and denied[0]["layer"] == "l7"


def test_files_and_variables(sandbox, certificates):
    code = "import os; say({k: v for k, v in os.environ.items() if '/etc/openshell-tls/' in v}, *[open('/etc/openshell-tls/' + n).read() for n in ('openshell-ca.pem', 'ca-bundle.pem')])"
    found, own, bundle = sandbox.python(code)
    assert found == {name: f"/etc/openshell-tls/{file}" for name, file in VARIABLES.items()}
    assert bundle == (certificates / "ca.crt").read_text() + own and own.count("BEGIN CERTIFICATE") == 1
    shown = subprocess.run(["openssl", "x509", "-noout", "-subject"], input=own, capture_output=True, text=True, check=True).stdout
    assert "OpenShell Sandbox CA" in shown
    other = sandbox.output("cat /etc/openshell-tls/openshell-ca.pem")
    assert other != own, "two sandboxes have one authority"
    for change in ("chmod u+w /etc/openshell-tls/ca-bundle.pem", "chmod 777 /etc/openshell-tls", "echo x >/etc/openshell-tls/new"):
        assert sandbox.script(change).returncode != 0, change


def test_none_where_nothing_is_looked_into(sandbox):
    files, endpoints = POLICY.split("network_policies")[0].replace("[/dev/zero]", "[/usr, /etc]"), POLICY.split("      - ")[0]
    for policy in (files, endpoints + f"      - {{ host: {HOST}, port: 9091, tls: skip }}\n    {BINARIES}\n"):
        sandbox.write_policy(policy)
        assert sandbox.output("ls -d /etc/openshell-tls 2>/dev/null; env | grep -c openshell-tls || true") == "0\n"


def test_requests_in_one_tunnel(sandbox, upstream):
    code = (
        f'p = secure("{HOST}:9090", "h2", "http/1.1"); say(p.s.selected_alpn_protocol(), issuer(p))\n'
        'for n in range(3): say(request(p, "GET", "/ok/%d" % n)[0])\n'
        'p.send("GET /ok/x/../y?q=1 HTTP/1.1\\r\\nHost: host.openshell.internal:9090\\r\\n\\r\\nGET /no HTTP/1.1\\r\\nHost: host.openshell.internal:9090\\r\\n\\r\\n")\n'
        'say(p.answer()[0], p.answer()[0], p.ended())'
    )
    assert secure(sandbox, code) == ["http/1.1", ["OpenShell Sandbox CA", "OpenShell"], 200, 200, 200, 200, 403, True]
    assert upstream.targets == ["/ok/0", "/ok/1", "/ok/2", "/ok/y?q=1"]


@pytest.mark.parametrize("target, host, status, error", [
    ("https://host.openshell.internal:9090/ok/a", "host.openshell.internal:9090", 200, None),
    ("http://host.openshell.internal:9090/ok/a", "host.openshell.internal:9090", 403, "request_authority_mismatch"),
    ("/ok/a", "host.openshell.internal", 403, "request_authority_mismatch"),
    ("/ok/a", "other.test:9090", 403, "request_authority_mismatch"),
    ("/ok/%zz", "host.openshell.internal:9090", 400, "invalid_request_target"),
])
def test_whom_a_request_is_for(sandbox, upstream, target, host, status, error):
    code = f'p = secure("{HOST}:9090"); p.send("GET %s HTTP/1.1\\r\\nHost: %s\\r\\n\\r\\n" % tuple(sys.argv[1:])); a = p.answer(); say([a[0], a[2]])'
    got, body = secure(sandbox, code, target, host)
    assert got == status and (error is None or json.loads(body)["error"] == error)
    assert upstream.targets == (["/ok/a"] if status == 200 else [])


def test_what_is_no_request(sandbox, upstream):
    """Refused by an alert, or by an answer; and the proxy goes on."""
    code = (
        'def fails(*how):\n'
        '    try: return str(secure(*how))\n'
        '    except ssl.SSLError as e: return "no application protocol" in str(e)\n'
        f'say(fails("{HOST}:9090", "h2"))\n'
        f'p = secure("{HOST}:9090"); p.send("NOT HTTP\\r\\n\\r\\n"); say(json.loads(p.answer()[2])["error"])\n'
        f'p = secure("{HOST}:9090"); c = ssl.create_default_context(); c.check_hostname = False; i, o = ssl.MemoryBIO(), ssl.MemoryBIO()\n'
        'inner = c.wrap_bio(i, o)\n'
        'try: inner.do_handshake()\n'
        'except ssl.SSLWantReadError: p.send(o.read())\n'
        'say(json.loads(p.answer()[2])["error"])\n'
        f'p = tunnel("{HOST}:9090"); p.send(b"\\x16\\x03\\x01\\x00\\x05hello"); p.s.settimeout(20); say(p.s.recv(1) in (b"", b"\\x15"))\n'
        f'p = tunnel("{HOST}:9090"); p.send(b"\\x16\\x03\\x01"); p.s.close()\n'
        f'say(request(secure("{HOST}:9090"), "GET", "/ok/a")[0])'
    )
    assert secure(sandbox, code) == [
        True, "unsupported_l7_protocol", "unsupported_l7_protocol", True, 200]
    assert upstream.targets == ["/ok/a"]


def test_much_both_ways(sandbox, upstream):
    size = 24 * 1024 * 1024
    block = hashlib.sha256(b"x").digest() * 2048

    def down(connection, _request):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        for _ in range(size // len(block)):
            connection.sendall(block)
        return "keep"

    upstream.routes["/ok/down"] = down
    url = f"https://{HOST}:9090/ok"
    out = sandbox.output(f"curl -sS {url}/down | tee down | sha256sum && curl -sS -H Expect: --data-binary @down {url}/up")
    digest = hashlib.sha256(block * (size // len(block))).hexdigest()
    assert out == f"{digest}  -\nhello\n"
    assert hashlib.sha256(upstream.requests[-1].body).hexdigest() == digest


def test_calls(sandbox, upstream):
    """Bodies that the decision needs are read inside TLS as elsewhere."""
    code = (
        f'p = secure("{HOST}:9094")\n'
        'for tool in ("yes", "no"):\n'
        '    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool}})\n'
        f'    p.send("POST /mcp HTTP/1.1\\r\\nHost: {HOST}:9094\\r\\nContent-Type: application/json\\r\\nContent-Length: %d\\r\\n\\r\\n%s" % (len(body), body)); say(p.answer()[0])'
    )
    assert secure(sandbox, code) == [200, 403]
    assert [b'"yes"' in request.body for request in upstream.requests] == [True]


def test_an_event_arrives_when_it_is_sent(sandbox, upstream):
    heard = threading.Event()

    def events(connection, _request):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for n in range(2):
            connection.sendall(b"8\r\ndata: %d\n\r\n" % n)
            if n == 0:
                assert heard.wait(30)
        connection.sendall(b"0\r\n\r\n")

    upstream.routes["/ok/events"] = events
    upstream.routes["/ok/heard"] = lambda connection, request: heard.set() or Upstream.echo(connection, request)
    code = (
        f'p = secure("{HOST}:9090"); p.send("GET /ok/events HTTP/1.1\\r\\nHost: {HOST}:9090\\r\\n\\r\\n"); p.head(); p.until(b"data: 0")\n'
        f'request(secure("{HOST}:9090"), "GET", "/ok/heard"); say(p.until(b"data: 1") is not None)'
    )
    assert secure(sandbox, code) is True


# --- the server -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name, reason", [
    ("self-signed", "self-signed certificate"), ("wrong-name", "hostname mismatch"), ("expired", "certificate has expired"),
])
def test_a_server_that_is_another(postern, user, workdir, certificates, leak_check, name, reason):
    upstream = TlsUpstream(server_context(certificates, name))
    try:
        sandbox = make_sandbox(postern, user, workdir, certificates, upstream.port)
        code = (f'p = secure("{HOST}:9090"); say(request(p, "GET", "/ok/bound", "Authorization: Bearer {PLACE}"))')
        status, _, body = secure(sandbox, code)
        assert status == 502 and json.loads(body)["error"] == "upstream_unreachable"
        assert reason in json.loads(body)["detail"]
        assert upstream.requests == []
    finally:
        upstream.close()


def test_a_server_that_speaks_no_tls(postern, user, workdir, certificates, leak_check):
    with each_connection(lambda connection: connection.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")) as port:
        sandbox = make_sandbox(postern, user, workdir, certificates, port)
        status, _, body = secure(sandbox, f'p = secure("{HOST}:9090"); say(request(p, "GET", "/ok/bound", "Authorization: Bearer {PLACE}"))')
        assert status == 502 and "does not speak TLS" in json.loads(body)["detail"]


def test_only_those_of_the_list_are_believed(sandbox, upstream, certificates, reachable):
    """Neither the list of the machine nor none stands in for the one that was named."""
    for text in ("", "nonsense\n", (certificates / "wrong-name.pem").read_text()):
        other = reachable / "other.crt"
        other.write_text(text)
        done = sandbox.user.run(sandbox.command("curl", "-sS", f"https://{HOST}:9090/ok/a"), env={"API_TOKEN": SECRET, "SSL_CERT_FILE": str(other)})
        assert "is not accepted" in done.stdout, (done.stdout, done.stderr)
    assert upstream.requests == []


def test_a_list_that_cannot_be_read(sandbox, reachable):
    large = reachable / "large.crt"
    large.write_bytes(b"#" * (4 * 1024 * 1024 + 1))
    for path in ("/nowhere/ca.crt", str(large)):
        done = sandbox.user.run(sandbox.command("true"), env={"API_TOKEN": SECRET, "SSL_CERT_FILE": path})
        assert done.returncode == 4 and path in done.stderr and "SSL_CERT_FILE" in done.stderr, done.stderr


# --- not looked into, or no HTTP --------------------------------------------------------------------------------------


def test_tls_skip(sandbox, upstream):
    """The server's own certificate, and requests that nobody looks at."""
    code = (
        f'p = secure("{HOST}:9091"); say(issuer(p))\n'
        'p.send("GET /a/../b HTTP/1.1\\r\\nHost: other\\r\\n\\r\\n"); say(p.answer()[0])\n'
        f'p = tunnel("{HOST}:9091"); p.send("GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n"); say(p.s.recv(5)[:5] != b"HTTP/")'
    )
    assert secure(sandbox, code) == [["test authority"], 200, True]
    assert upstream.targets == ["/a/../b"]


def test_without_a_protocol(sandbox, upstream):
    """Looked into, as a plain tunnel there is: everything is allowed, but for what is no request for the tunnel's end."""
    code = (
        f'p = secure("{HOST}:9092"); say(issuer(p)[0])\n'
        f'for host in ("{HOST}:9092", "other.test"): p.send("PATCH /a/../b HTTP/1.1\\r\\nHost: %s\\r\\nX: {PLACE}\\r\\n\\r\\n" % host); say(p.answer()[0])'
    )
    assert secure(sandbox, code) == ["OpenShell Sandbox CA", 200, 403]
    assert upstream.targets == ["/b"] and upstream.requests[0].get("X") == SECRET


@pytest.mark.parametrize("first", [1, 2, 3, 60])
def test_a_greeting_in_two_pieces(sandbox, first):
    """However short the first one is; where requests are looked into, and where they are not."""
    code = (
        'for at in (9090, 9092):\n'
        '    i, o = ssl.MemoryBIO(), ssl.MemoryBIO()\n'
        f'    p = tunnel("{HOST}:%d" % at); t = ssl.create_default_context().wrap_bio(i, o, server_hostname="{HOST}")\n'
        '    try: t.do_handshake()\n'
        '    except ssl.SSLWantReadError: pass\n'
        '    hello = o.read(); p.s.setsockopt(6, 1, 1)\n'
        f'    p.s.sendall(hello[:{first}]); time.sleep(0.3); p.s.sendall(hello[{first}:]); say(p.s.recv(2).hex())\n'
    )
    assert secure(sandbox, code) == ["1603", "1603"]  # a handshake's record


def test_no_http_inside(postern, user, workdir, certificates, leak_check):
    """Bytes both ways, and each direction ends by itself."""
    context = server_context(certificates, "good")
    context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF  # what ends without TLS saying so is an error

    def reverse(connection):
        try:
            with context.wrap_socket(connection, server_side=True, suppress_ragged_eofs=False) as s:
                data = b""
                while more := s.recv(65536):
                    data += more
                s.sendall(data[::-1])
        except OSError:
            pass

    with each_connection(reverse) as port:
        sandbox = make_sandbox(postern, user, workdir, certificates, port)
        code = (
            'i, o = ssl.MemoryBIO(), ssl.MemoryBIO()\n'
            f'p = tunnel("{HOST}:9092"); t = ssl.create_default_context().wrap_bio(i, o, server_hostname="{HOST}")\n'
            'def step(f, *a):\n'
            '    while True:\n'
            '        try: result = f(*a); p.s.sendall(o.read()); return result\n'
            '        except ssl.SSLWantReadError: p.s.sendall(o.read()); i.write(p.s.recv(65536)) or i.write_eof()\n'
            'step(t.do_handshake); step(t.write, b"\\x01binary" * 1000)\n'
            'try: t.unwrap()\n'
            'except ssl.SSLWantReadError: p.s.sendall(o.read())\n'
            'got = b""\n'
            'while len(got) < 7000: got += step(t.read, 65536)\n'
            'say(got == b"yranib\\x01" * 1000)'
        )
        assert secure(sandbox, code) is True


# --- credentials ------------------------------------------------------------------------------------------------------


def test_placeholders(sandbox, upstream):
    code = (
        f'p = secure("{HOST}:9090")\n'
        f'say(request(p, "GET", "/ok/bound/x", "Authorization: Bearer {PLACE}")[0])\n'
        f'status, _, body = request(p, "GET", "/ok/elsewhere", "Authorization: Bearer {PLACE}"); say(status, json.loads(body)["error"])'
    )
    assert secure(sandbox, code) == [200, 403, "credential_endpoint_mismatch"]
    assert [request.get("Authorization") for request in upstream.requests] == [f"Bearer {SECRET}"]


def test_no_credential_leaves_in_the_clear_where_servers_speak_tls(sandbox, upstream):
    """A client decides whether it speaks TLS; at port 443 it must not have a credential sent without."""
    plain = Upstream()
    try:
        sandbox.reach(plain.port, 443)
        url = f"http://{HOST}:443/x"
        out = sandbox.output(f"curl -sS {url} && curl -sS -H 'X: {PLACE}' {url}; curl -sS -p -H 'X: {PLACE}' {url}")
        assert out.startswith("hello\n") and out.count("credential_endpoint_mismatch") == 2
        assert len(plain.requests) == 1
    finally:
        plain.close()


def test_no_credential_leaves_in_the_clear_that_is_bound_to_tls(sandbox, upstream):
    sandbox.options = [o.replace(f"API_TOKEN={HOST}:9092", f"API_TOKEN=https://{HOST}:9092") if isinstance(o, str) else o for o in sandbox.options]
    plain = Upstream()
    try:
        fields = f"-H 'X: {PLACE}' -o /dev/null -w '%{{http_code}}\n'"
        assert sandbox.output(f"curl -sS {fields} https://{HOST}:9092/x") == "200\n"
        sandbox.reach(plain.port, 9092)
        assert sandbox.output(f"curl -sS {fields} http://{HOST}:9092/x") == "403\n"
        assert plain.requests == [] and [request.get("X") for request in upstream.requests] == [SECRET]
    finally:
        plain.close()


class GitServer(http.server.BaseHTTPRequestHandler):
    """`git http-backend` behind a bearer token."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.seen.append(self.headers.get("Authorization"))
        if self.headers.get("Authorization") != f"Bearer {SECRET}":
            self.send_response(401)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path, _, query = self.path.partition("?")
        environment = {
            "PATH": os.environ["PATH"], "GIT_PROJECT_ROOT": str(self.server.root), "GIT_HTTP_EXPORT_ALL": "1", "REMOTE_USER": "agent",
            "REQUEST_METHOD": self.command, "PATH_INFO": path, "QUERY_STRING": query, "CONTENT_LENGTH": str(len(body)),
            "CONTENT_TYPE": self.headers.get("Content-Type", ""), "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""), "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*",
        }
        said = subprocess.run(["git", "http-backend"], input=body, capture_output=True, env=environment, check=True).stdout
        head, _, content = said.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        self.send_response(int(fields.pop("Status", "200").split(" ")[0]))
        for name, value in fields.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_GET

    def log_message(self, *_):
        pass


@pytest.fixture
def git_server(certificates, reachable):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), GitServer)
    server.socket = server_context(certificates, "good").wrap_socket(server.socket, server_side=True)
    server.root, server.seen = reachable / "git", []
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", server.root / "r.git"], check=True)
    subprocess.run(["git", "-C", server.root / "r.git", "config", "http.receivepack", "true"], check=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join(10)
    shutil.rmtree(server.root)


def test_git(postern, user, workdir, certificates, git_server, leak_check):
    """Clone and push over https, with the placeholder in http.URL.extraHeader."""
    sandbox = make_sandbox(postern, user, workdir, certificates, git_server.server_address[1])
    out = sandbox.output(
        f"exec 2>&1; set -e; git config --global 'http.https://{HOST}/.extraHeader' 'Authorization: Bearer {PLACE}'\n"
        "git config --global user.name a; git config --global user.email a@b.test\n"
        f"git clone -q https://{HOST}/r.git one && cd one && head -c 300000 /dev/urandom | base64 >file && git add file && git commit -qm first\n"
        "git push -q origin HEAD:main && cd .. && git config --global http.postBuffer 65536\n"
        f"git clone -q https://{HOST}/r.git two && cmp one/file two/file && cd two && echo more >>file && git commit -qam second && git push -q && echo done")
    assert out.endswith("done\n"), out
    log = subprocess.run(["git", "-C", git_server.root / "r.git", "-c", "safe.directory=*", "log", "--format=%s", "main"], capture_output=True, text=True, check=True)
    assert log.stdout == "second\nfirst\n" and set(git_server.seen) == {f"Bearer {SECRET}"}


class GitHub(http.server.BaseHTTPRequestHandler):
    """As much of GitHub's API, as an own server has it, as some of gh's commands ask for."""

    protocol_version = "HTTP/1.1"
    ISSUES = [{"number": 7, "title": "seven", "state": "OPEN", "labels": {"nodes": [], "totalCount": 0}, "updatedAt": "2026-01-01T00:00:00Z"}]

    def do_GET(self):
        asked = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or "{}")
        self.server.seen.append((self.command, self.path, self.headers.get("Authorization")))
        if self.headers.get("Authorization") != f"token {SECRET}":
            self.answer(401, {"message": "Bad credentials"})
        elif self.path == "/api/v3/":
            self.answer(200, {})
        elif self.path == "/api/v3/user":
            self.answer(200, {"login": "agent"})
        elif self.path == "/api/v3/repos/o/r/issues" and self.command == "POST":
            self.answer(201, {"number": 8, "title": asked["title"]})
        elif self.path == "/api/graphql" and "viewer" in asked["query"]:
            self.answer(200, {"data": {"viewer": {"login": "agent"}}})
        elif self.path == "/api/graphql" and "__type" in asked["query"]:
            self.answer(200, {"data": {}})
        elif self.path == "/api/graphql" and "issues(" in asked["query"]:
            issues = {"totalCount": 1, "nodes": self.ISSUES, "pageInfo": {"hasNextPage": False, "endCursor": ""}}
            self.answer(200, {"data": {"repository": {"hasIssuesEnabled": True, "issues": issues}}})
        else:
            self.answer(404, {"message": "Not Found"})

    do_POST = do_GET

    def answer(self, status, document):
        body = json.dumps(document).encode()
        self.send_response(status)
        for name, value in (("Content-Type", "application/json"), ("Content-Length", str(len(body))), ("X-Oauth-Scopes", "repo, read:org, gist")):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def test_gh(postern, user, workdir, certificates, leak_check):
    """As it is, with the placeholder for its token."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), GitHub)
    server.socket = server_context(certificates, "good").wrap_socket(server.socket, server_side=True)
    server.seen = []
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        sandbox = make_sandbox(postern, user, workdir, certificates, server.server_address[1])
        out = sandbox.output(
            f"exec 2>&1; set -e; export GH_HOST={HOST} GH_ENTERPRISE_TOKEN=$API_TOKEN GH_NO_UPDATE_NOTIFIER=1\n"
            "gh auth status\n"
            "gh api user --jq .login\n"
            "gh issue list -R o/r --json number,title\n"
            "gh api repos/o/r/issues -f title='a new one' --jq .title\n"
            f"GH_ENTERPRISE_TOKEN=other gh api user || echo refused\n")
        assert "Logged in to" in out and '[{"number":7,"title":"seven"}]' in out and "a new one\n" in out and out.endswith("refused\n"), out
        assert {token for _, _, token in server.seen[:-1]} == {f"token {SECRET}"} and len(server.seen) > 4
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


# --- what nobody holds ------------------------------------------------------------------------------------------------


class Curve:
    """Is a number the private key of this certificate?"""

    def __init__(self, pem):
        self.crypto = crypto = ctypes.CDLL("libcrypto.so.3")
        for name in ("EC_GROUP_new_by_curve_name", "EC_POINT_new", "BN_bin2bn", "BN_new"):
            getattr(crypto, name).restype = ctypes.c_void_p
        self.group = ctypes.c_void_p(crypto.EC_GROUP_new_by_curve_name(415))  # P-256
        self.point, self.number = ctypes.c_void_p(crypto.EC_POINT_new(self.group)), ctypes.c_void_p(crypto.BN_new())
        der = subprocess.run("openssl x509 -noout -pubkey | openssl pkey -pubin -outform der", shell=True, input=pem, capture_output=True, check=True).stdout
        self.public = der[-65:]

    def is_private(self, big_endian):
        self.crypto.BN_bin2bn(big_endian, 32, self.number)
        if not self.crypto.EC_POINT_mul(self.group, self.point, self.number, None, None, None):
            return False
        out = ctypes.create_string_buffer(65)
        self.crypto.EC_POINT_point2oct(self.group, self.point, 4, out, 65, None)
        return out.raw == self.public


def writable_memory(pid):
    with open(f"/proc/{pid}/maps", encoding="utf-8") as maps, open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in maps:
            span, mode = line.split(" ")[:2]
            if "w" not in mode or line.rstrip().endswith("]") and "[heap]" not in line and "[stack]" not in line:
                continue
            start, end = (int(part, 16) for part in span.split("-"))
            memory.seek(start)
            try:
                yield memory.read(end - start)
            except OSError:
                pass


def holds_key(pid, curve):
    """Numbers lie in memory as words, the lowest first; a written key lies as bytes, the highest first, anywhere."""
    tried = set()
    for block in writable_memory(pid):
        for at in range(0, len(block) - 31, 8):
            piece = block[at:at + 32]
            if len(set(piece)) < 20 or piece in tried:
                continue
            tried.add(piece)
            if curve.is_private(piece[::-1]) or curve.is_private(piece):
                return True
        for mark in re.finditer(rb"\x02\x01\x01\x04\x20", block):  # a key in DER
            if curve.is_private(block[mark.end():mark.end() + 32]):
                return True
    return False


@pytest.mark.once
def test_only_dialer_holds_the_key(postern, root_user, reachable, certificates, upstream, leak_check):
    """Looked for in the memory of every process of a sandbox that is at work (which only root can read)."""
    folder = root_user.folder(reachable)
    sandbox = make_sandbox(postern, root_user, folder, certificates, upstream.port)
    before = set(descendants())
    command = sandbox.command("sh", "-c", f"curl -sS https://{HOST}:9090/ok/a && cat /etc/openshell-tls/openshell-ca.pem && echo END && cat")
    run = root_user.popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={"API_TOKEN": SECRET, "SSL_CERT_FILE": str(certificates / "ca.crt")})
    try:
        said = b"".join(iter(run.stdout.readline, b"END\n"))
        assert said.startswith(b"hello\n")
        curve = Curve(said.split(b"\n", 1)[1])
        found = [(line.split(" ")[0].rsplit("/")[-1], holds_key(pid, curve)) for pid, line in descendants().items() if pid not in before]
    finally:
        run.communicate(b"")
        shutil.rmtree(folder)
    # Dialer's other process is the resolver, which was there before the key.
    assert [name for name, holds in found if holds] == ["postern-dialer"], found
    assert {"postern", "postern-proxy", "postern-witness", "cat"} <= {name for name, _ in found}


def test_descriptors_are_given_back(sandbox, upstream, user):
    """Neither proxy nor dialer keeps anything of a connection that is over."""
    before = set(descendants())
    code = (
        f'for n in range(30): p = secure("{HOST}:9090"); request(p, "GET", "/ok/a"); p.s.close()\n'
        f'for n in range(30): p = tunnel("{HOST}:9090"); p.send(b"\\x16\\x03\\x01"); p.s.close()\n'
        'say("sent"); sys.stdin.readline()'
    )
    command = sandbox.command(PYTHON, "-c", SECURE + code)
    run = user.popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={"API_TOKEN": SECRET, "SSL_CERT_FILE": "/etc/ssl/certs/ca-certificates.crt"})
    try:
        assert run.stdout.readline() == b'"sent"\n'

        def counts():
            found = {line.split(" ")[0].rsplit("/")[-1]: pid for pid, line in descendants().items() if pid not in before}
            return [len(os.listdir(f"/proc/{found[name]}/fd")) for name in ("postern-proxy", "postern-dialer")]

        wait_for(lambda: max(counts()) < 14, 10, "descriptors")
    finally:
        run.communicate(b"\n")
