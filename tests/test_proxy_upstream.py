# SPDX-License-Identifier: Apache-2.0
"""Which requests of one client's connection share one connection to the server, through the real proxy: plain ones to one place by one
policy, and no others; and that a server that has closed it meanwhile, or says more than it was asked for, confuses nobody."""
import socket

import pytest

from limits import LIMITS
from sandboxes import FILES, PYTHON, sandbox_with
from test_sandbox_policy import POLICY as ONE
from test_sandbox_policy import Running

POLICY = FILES + f"""\
network_policies:
  api:
    endpoints:
      - {{ host: host.openshell.internal, ports: [9090, 9091], protocol: rest, enforcement: enforce, access: full, request_body_credential_rewrite: true }}
    binaries: [ {{ path: {PYTHON} }} ]
"""
# One request after the other over one connection to the proxy: method, URL and fields.
SERIES = '''
p = Peer()
for line in sys.argv[1:]:
    method, url, *fields = line.split("|")
    p.send("%s %s HTTP/1.1\\r\\n%s\\r\\n" % (method, url, "".join(f + "\\r\\n" for f in fields)))
    got = p.answer(method == "HEAD")
    say(got and [got[0], got[2]])
'''
BASE = "http://host.openshell.internal:9090"
OK = [200, "hello\n"]


sandbox = sandbox_with(POLICY, 9090, 9091)


def series(sandbox, *lines, **kwargs):
    return sandbox.python(SERIES, *lines, **kwargs)


def test_plain_requests_share_one(sandbox, upstream):
    def head(connection, _request):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n")
        return "keep"
    upstream.routes["/c"] = head
    assert series(sandbox, f"GET|{BASE}/a", f"GET|{BASE}/b?c=d|X-Own: 1", f"HEAD|{BASE}/c", f"GET|{BASE}/e|Cookie: f=g") == [OK, OK, [200, ""], OK]
    assert upstream.connections == 1 and upstream.targets == ["/a", "/b?c=d", "/c", "/e"]


def test_so_they_do_in_a_tunnel(sandbox, upstream):
    code = ('p = tunnel(AT)\n'
            'for path in ("/a", "/b", "/c"): p.send("GET %s HTTP/1.1\\r\\nHost: %s\\r\\n\\r\\n" % (path, AT)); say(p.answer()[0])\n')
    assert sandbox.python(code) == [200] * 3
    assert upstream.connections == 2 and upstream.targets == ["/a", "/b", "/c"]  # the first one shows that the server can be reached


@pytest.mark.parametrize("between", [
    f"GET|{BASE}/x|Authorization: Bearer openshell:resolve:env:KEY", f"GET|{BASE}/x?key=openshell%3aresolve:env:KEY",
    f"GET|{BASE}/x?key=openshell:resolve:env:KEY", f"GET|{BASE}/x|Authorization: Basic b3BlbnNoZWxsOg==", f"POST|{BASE}/x|Content-Length: 0",
    f"DELETE|{BASE}/x", "GET|http://host.openshell.internal:9091/x",
], ids=["placeholder", "escaped", "query", "basic", "post", "delete", "elsewhere"])
def test_others_have_their_own(sandbox, upstream, between):
    """Neither on one that had plain ones, nor are plain ones sent on theirs."""
    sandbox.options += ["--credential", "KEY=host.openshell.internal:9090"]
    got = series(sandbox, f"GET|{BASE}/a", between, f"GET|{BASE}/b", f"GET|{BASE}/c", env={"KEY": "the-value"})
    assert got == [OK] * 4
    assert upstream.targets == ["/a", "/x?key=the-value" if "?key" in between else "/x", "/b", "/c"] and upstream.connections == 3


def test_another_policy_means_another_connection(sandbox, upstream):
    sandbox.write_policy(ONE)
    running = Running(sandbox)
    assert [running.get("/one"), running.get("/one")] == [200, 200]
    before = upstream.connections
    assert running.reload(ONE + "# the same\n").endswith("as it is now\n")
    assert [running.get("/one"), running.get("/one")] == [200, 200] and upstream.connections == before + 1
    running.end()


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
def test_a_server_that_closes_meanwhile(sandbox, upstream, reset):
    """It said that it keeps the connection, and does not: before the next request, or when that has arrived."""
    def early(connection, _request):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nearly\n")
        if reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    def late(connection, request):
        upstream.echo(connection, request)
        connection.recv(65536, socket.MSG_PEEK)
        if reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    upstream.routes |= {"/early": early, "/late": late}
    paths = ["/early", "/late", "/early", "/a", "/late", "/b"]
    got = series(sandbox, *(f"GET|{BASE}{path}" for path in paths))
    assert got == [[200, "early\n"] if path == "/early" else OK for path in paths]
    assert upstream.targets == paths


def test_it_is_asked_once_more_and_no_oftener(sandbox, upstream):
    """And what it had begun to answer is no reason to ask again."""
    def silent(_connection, _request):
        pass

    def half(connection, _request):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-")
    upstream.routes |= {"/silent": silent, "/half": half}
    got = series(sandbox, f"GET|{BASE}/a", f"GET|{BASE}/silent")
    assert got[1][0] == 502 and upstream.targets == ["/a", "/silent", "/silent"]
    upstream.requests.clear()
    got = series(sandbox, f"GET|{BASE}/a", f"GET|{BASE}/half")
    assert got[1][0] == 502 and upstream.targets == ["/a", "/half"]
    assert series(sandbox, f"GET|{BASE}/half")[0] == 502


def test_more_than_was_asked_for_is_no_answer_to_the_next(sandbox, upstream):
    def twice(connection, _request):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nfirst\nHTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nsecond\n")
        return "keep"
    upstream.routes["/twice"] = twice
    assert series(sandbox, f"GET|{BASE}/twice", f"GET|{BASE}/a", f"GET|{BASE}/twice", f"GET|{BASE}/b") == [[200, "first\n"], OK] * 2


@pytest.mark.waits
@pytest.mark.once
def test_a_connection_that_waits_too_long_is_let_go(sandbox, upstream):
    code = ('p = Peer()\n'
            'for pause in (0, 10, %d):\n'
            '    time.sleep(pause); p.send("GET " + BASE + "/a HTTP/1.1\\r\\n\\r\\n"); say(p.answer()[0])\n') % (LIMITS["LIMIT_UPSTREAM_IDLE_SECONDS"] + 2)
    assert sandbox.python(code) == [200] * 3 and upstream.connections == 2


def test_what_is_dialed_for_again_is_logged_once(sandbox, upstream, workdir):
    def late(connection, request):
        upstream.echo(connection, request)
        connection.recv(65536, socket.MSG_PEEK)
    upstream.routes["/late"] = late
    log = workdir / "log"
    sandbox.options += ["--log", log]
    assert series(sandbox, f"GET|{BASE}/late", f"GET|{BASE}/a") == [OK, OK]
    assert upstream.connections == 2 and [line.count("ALLOWED") for line in log.read_text().splitlines() if "/a" in line] == [1]


@pytest.mark.parametrize("head", [b"HTTP/1.0 200 OK\r\nContent-Length: 6\r\n\r\n", b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 6\r\n\r\n",
                                  b"HTTP/1.1 200 OK\r\n\r\n"], ids=["old", "close", "end"])
def test_a_server_that_does_not_keep_it(sandbox, upstream, head):
    upstream.answers("/a", head + b"hello\n")
    got = series(sandbox, f"GET|{BASE}/a", f"GET|{BASE}/a")
    assert got[0] == OK and upstream.connections == len([one for one in got if one == OK])
