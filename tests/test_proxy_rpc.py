# SPDX-License-Identifier: Apache-2.0
"""Requests that are decided by what their bodies say (protocol json-rpc and mcp), through a real sandbox: what a server gets of them, what
it must not get, and how much the proxy holds. What is decided of which body is in test_proxy_conformance.py."""
import json

import pytest

from sandboxes import FILES, PYTHON, sandbox_with

# 9090: generic calls of two methods, 64 bytes of each; 9091: mcp with two tools; 9092: mcp, as long as can be.
POLICY = FILES + f"""\
network_policies:
  rpc:
    endpoints:
      - host: host.openshell.internal
        port: 9090
        protocol: json-rpc
        enforcement: enforce
        json_rpc: {{ max_body_bytes: 64 }}
        rules: [ {{ allow: {{ method: a }} }}, {{ allow: {{ method: b }} }} ]
      - host: host.openshell.internal
        port: 9091
        protocol: mcp
        enforcement: enforce
        rules: [ {{ allow: {{ method: ping }} }}, {{ allow: {{ method: tools/call, tool: "get_*" }} }} ]
      - host: host.openshell.internal
        port: 9092
        protocol: mcp
        enforcement: enforce
        mcp: {{ allow_all_known_mcp_methods: true, max_body_bytes: 4194304 }}
    binaries: [ {{ path: {PYTHON} }} ]
"""

CLIENT = """
def call(method, **more): return json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, **more}).replace(" ", "")
def post(port, body, *fields):
    return "POST http://host.openshell.internal:%d/mcp HTTP/1.1\\r\\n%sContent-Length: %d\\r\\n\\r\\n%s" % (
        port, "".join(f + "\\r\\n" for f in fields), len(body), body)
def chunked(port, *pieces, end="\\r\\n"):
    return "POST http://host.openshell.internal:%d/mcp HTTP/1.1\\r\\nTransfer-Encoding: chunked\\r\\nTrailer: X\\r\\n\\r\\n%s0\\r\\n%s" % (
        port, "".join("%x\\r\\n%s\\r\\n" % (len(p), p) for p in pieces), end)
def error(answer): return [answer[0], json.loads(answer[2])["error"], json.loads(answer[2])["detail"]]
"""


sandbox = sandbox_with(POLICY, 9090, 9091, 9092)


def test_a_call_reaches_the_server_as_it_came(sandbox, upstream):
    body = '{"method" : "a",\n"jsonrpc":"2.0", "params": [1.0]}'
    got = sandbox.python(CLIENT + "p = Peer()\n"
                         f"body = {body!r}\n"
                         "p.send(post(9090, body, 'X-Own: 1')); say(p.answer()[0])\n"
                         "p.send(chunked(9090, body[:5], body[5:], end='X: y\\r\\n\\r\\n')); say(p.answer()[0])\n"
                         "p.send(post(9090, call('c')) + post(9090, call('a'))); say(error(p.answer())); say(p.ended())\n")
    assert got == [200, 200, [
        403, "policy_denied", "POST host.openshell.internal:9090/mcp denied by L7 policy: POST /mcp not permitted by policy"], True]
    # The second one in one piece, as OpenShell sends it on; nothing of the third.
    assert [request.body.decode() for request in upstream.requests] == [body, body]
    assert [request.get("Content-Length") for request in upstream.requests] == [str(len(body))] * 2
    assert upstream.requests[0].get("X-Own") == "1"
    assert not upstream.requests[1].get("Transfer-Encoding") and not upstream.requests[1].get("Trailer")


def test_several_calls_on_a_connection(sandbox, upstream):
    got = sandbox.python(CLIENT + "p = tunnel(AT)\n"
                         "for m in ('a', 'b', 'a'):\n"
                         "    p.send('POST / HTTP/1.1\\r\\nHost: %s\\r\\nContent-Length: %d\\r\\n\\r\\n%s' % (AT, len(call(m)), call(m)))\n"
                         "    say(p.answer()[0])\n"
                         "p.send('POST / HTTP/1.1\\r\\nHost: %s\\r\\nContent-Length: %d\\r\\n\\r\\n%s' % (AT, len(call('c')), call('c')))\n"
                         "say(json.loads(p.answer()[2])['detail'])\n")
    assert got == [200, 200, 200, "POST / not permitted by policy"]
    assert [json.loads(request.body)["method"] for request in upstream.requests] == ["a", "b", "a"]


def test_the_next_request_may_be_right_behind(sandbox, upstream):
    got = sandbox.python(CLIENT + "p = Peer(); p.send(chunked(9090, call('a')) + post(9090, call('b')) + post(9090, call('c')))\n"
                         "say(p.answer()[0]); say(p.answer()[0]); say(p.answer()[0])\n")
    assert got == [200, 200, 403]
    assert [json.loads(request.body)["method"] for request in upstream.requests] == ["a", "b"]


def test_nothing_is_sent_on_before_it_is_decided(sandbox, upstream):
    got = sandbox.python(CLIENT + "p = Peer(); text = post(9091, call('ping'))\n"
                         "p.send(text[:-1]); time.sleep(0.5); p.s.settimeout(0.1)\n"
                         "try: say(p.answer())\n"
                         "except TimeoutError: say('nothing')\n"
                         "p.s.settimeout(60); p.send(text[-1:]); say(p.answer()[0])\n"
                         "for pause in (0, 0.3):\n"
                         "    q = Peer(); q.send(text[:-1]); time.sleep(pause); q.s.shutdown(socket.SHUT_WR); say(q.ended())\n")
    assert got == ["nothing", 200, True, True]
    assert len(upstream.requests) == 1 and upstream.connections == 1


def test_who_waits_for_100_continue_gets_it_from_the_proxy(sandbox, upstream):
    got = sandbox.python(CLIENT + "p = Peer(); text = post(9091, call('ping'), 'Expect: 100-continue')\n"
                         "head, body = text.split('\\r\\n\\r\\n'); p.send(head + '\\r\\n\\r\\n'); say(p.head()[0])\n"
                         "p.send(body); say(p.answer()[0])\n")
    assert got == [100, 200]
    assert upstream.requests[0].get("Expect") is None
    # Not for what is refused anyway.
    assert sandbox.python(CLIENT + "p = Peer(); p.send(post(9090, 'x' * 65, 'Expect: 100-continue')[:-65]); say(p.head()[0])") == 400


@pytest.mark.parametrize("send", ["post(9090, 'x' * 65)", "post(9090, 'x' * 65)[:-65]", "chunked(9090, 'x' * 60, 'x' * 5)"])
def test_longer_than_the_policy_says(sandbox, upstream, send):
    got = sandbox.python(CLIENT + f"p = Peer(); p.send({send}); say(error(p.answer())); say(p.ended())")
    assert got == [[400, "invalid_jsonrpc_request",
                    "JSON-RPC request rejected before policy evaluation: HTTP request body exceeds 64 byte inspection limit"], True]
    assert not upstream.connections


def test_a_malformed_body(sandbox, upstream):
    got = sandbox.python(CLIENT + "say(error(ask(chunked(9090, 'x').replace('0\\r\\n', 'zz\\r\\n'))))")
    assert got[:2] == [400, "malformed_request"]
    assert not upstream.connections


def test_what_a_server_may_read_otherwise(sandbox, upstream):
    """A name twice, or in another case: the proxy would decide by one of them, and the server obey the other."""
    got = sandbox.python(CLIENT + """
for body in ('{"jsonrpc":"2.0","id":1,"method":"tools/call","method":"ping"}',
             '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"rm","name":"get_x"}}',
             '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_x","Name":"rm"}}',
             '{"jsonrpc":"2.0","id":1,"method":"ping","Method":"tools/call"}'):
    say(error(ask(post(9091, body)))[2].split('rejected: ')[1])
for field in ("Content-Type: application/json; charset=utf-7", "Content-Encoding: br"):
    say(error(ask(post(9091, call("ping"), field)))[2].split('rejected: ')[1])
""")
    assert got == ["a name is given twice"] * 2 + ["a name differs from the protocol's in case only"] * 2 + [
        "its Content-Type may not mean UTF-8", "its Content-Encoding may hold another message"]
    assert not upstream.connections


def test_as_much_as_may_be_held(sandbox, upstream):
    """Sixteen bodies of the longest kind, and not one more until one of them has gone."""
    got = sandbox.python(CLIENT + """
long = call('x/y', params={'a': 'b' * 4194000}); long = long[:-1] + ' ' * (4194304 - len(long)) + '}'
text = post(9092, long); peers = [Peer() for _ in range(16)]
for p in peers: p.send(text[:-1])
def unread():
    return [line for line in open('/proc/net/tcp').read().splitlines()[1:] if line.split()[4] != '00000000:00000000' and ':0C38 ' in line]
while unread(): time.sleep(0.05)
time.sleep(0.5)  # what was read is held
def small():
    return ask(post(9092, call('ping')))
say(error(small()))
peers[0].s.close()
for _ in range(100):
    got = small()
    if got[0] == 200: break
    time.sleep(0.1)
say(got[0]); peers[1].send(text[-1:]); say(peers[1].answer()[0])
""", timeout=60)
    assert got == [[503, "too_many_bodies", "too many bodies of requests are held; try again later"], 200, 200]
    assert len(upstream.requests[-1].body) == 4194304


def test_a_listening_get_stays_open(sandbox, upstream):
    def events(connection, request):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n5\r\ndata:\r\n0\r\n\r\n")

    upstream.routes["/mcp"] = events
    got = sandbox.python(CLIENT + """
say(get('http://host.openshell.internal:9091/mcp', 'Accept: text/event-stream')[2])
say(error(get('http://host.openshell.internal:9091/mcp'))[2])
""")
    assert got == ["data:",
                   "GET host.openshell.internal:9091/mcp denied by L7 policy: JSON-RPC request rejected: invalid JSON"]
