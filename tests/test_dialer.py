# SPDX-License-Identifier: Apache-2.0
"""postern-dialer, asked by a proxy that was taken over, as whoever parses hostile bytes may be: it is this test. Dialer goes nowhere the
policy does not, puts no credential where that is not bound, and ends where what it is sent is no proxy's. As an ordinary user."""
import contextlib
import fcntl
import os
import socket
from pathlib import Path

import pytest

from channel import Channel, enumeration, shapes
from sandboxes import Upstream

VALUE = "the-value-of-the-credential"
PLACE = "openshell:resolve:env:KEY"
HOST = "host.openshell.internal"
PROBLEMS = enumeration("src/proxy/messages.h", "dial_problem")
SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
# The credential is bound to /api of 9090. 9092 is listed, and nothing is bound to it; 9093 is a server of the host's that no endpoint names.
POLICY = f"""\
version: 1
network_policies:
  api:
    endpoints:
      - {{ host: {HOST}, port: 9090, protocol: rest, enforcement: enforce, access: full }}
      - {{ host: {HOST}, port: 9091, protocol: rest, enforcement: enforce, access: full, request_body_credential_rewrite: true }}
      - {{ host: {HOST}, port: 9092 }}
      - {{ host: "*.wild.test", port: 80 }}
      - {{ host: 127.0.0.1, port: 9094 }}
      - {{ host: tls.example, port: 443, protocol: rest, enforcement: enforce, access: full }}
    binaries: [ {{ path: /usr/bin/curl }} ]
"""


class Proxy(Channel):
    messages = enumeration("src/proxy/messages.h", "sandbox_message")
    fields = shapes("src/proxy/messages.c", "SANDBOX")


def sealed(data, seals=SEALS):
    fd = os.memfd_create("test", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(fd, data)
    os.lseek(fd, 0, os.SEEK_SET)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    return fd


class Dialer:
    def __init__(self, user, programs, ports):
        pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(2)]
        theirs = [pairs[0][1].detach(), sealed(POLICY.encode()), sealed(Path("/etc/ssl/certs/ca-certificates.crt").read_bytes()), pairs[1][1].detach()]

        def own():
            high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 100) for fd in theirs]
            for number, fd in enumerate(high, 3):
                os.dup2(fd, number)
        self.process = user.popen([Path(programs) / "postern-dialer"], pass_fds=(3, 4, 5, 6), preexec_fn=own)
        for fd in theirs:
            os.close(fd)
        self.proxy, self.supervisor = Proxy(pairs[0][0]), Proxy(pairs[1][0])
        self.supervisor.send("SANDBOX_CREDENTIAL", "KEY", VALUE, HOST, 9090, "/api", 0)
        self.supervisor.send("SANDBOX_CREDENTIAL", "KEY", VALUE, HOST, 9091, "/", 0)
        for port, real in ports.items():
            self.supervisor.send("SANDBOX_SERVER", port, f"127.0.0.1:{real}")
        self.supervisor.send("SANDBOX_SETUP_DONE")
        self.supervisor.await_message("SANDBOX_READY")
        self.seq = 0

    def ask(self, head, host=HOST, port=9090, wildcard=0, tls=0, policy=0, body=None):
        """The problem's name, or a connected socket."""
        self.seq += 1
        fds = [] if body is None else [body]
        self.proxy.send("SANDBOX_DIAL", host, port, head, wildcard, tls, policy, seq=self.seq, fds=fds)
        while True:
            name, fields, fds, seq = self.proxy.receive()
            if name == "SANDBOX_BLOCKED":
                continue
            assert seq == self.seq
            if name == "SANDBOX_DIALED":
                return socket.socket(fileno=fds[0])
            return PROBLEMS[fields[0]]

    def end(self):
        self.supervisor.close()
        self.process.wait(30)
        self.proxy.close()


@pytest.fixture
def servers():
    """{port inside: the server of the host's}"""
    made = {port: Upstream() for port in (9090, 9091, 9092, 9093)}
    yield made
    for one in made.values():
        one.close()


@pytest.fixture
def dialer(ordinary_user, programs, servers, leak_check):
    made = Dialer(ordinary_user, programs, {port: one.port for port, one in servers.items()})
    yield made
    made.end()


def request(path="/api/x", field=f"Authorization: Bearer {PLACE}", more="", method="GET"):
    return f"{method} {path} HTTP/1.1\r\nHost: {HOST}\r\n{field}\r\n{more}\r\n".encode()


def test_an_honest_proxy(dialer, servers):
    with dialer.ask(request()) as connection:
        connection.setblocking(True)
        assert connection.recv(1000).startswith(b"HTTP/1.1 200")
    assert servers[9090].requests[0].get("Authorization") == f"Bearer {VALUE}"


@pytest.mark.parametrize("what, problem", [
    (dict(head=request(), port=9093), "DIAL_NOT_IN_POLICY"),
    (dict(head=b"", port=9093), "DIAL_NOT_IN_POLICY"),
    (dict(head=b"", host="elsewhere.example", port=80), "DIAL_NOT_IN_POLICY"),
    (dict(head=b"", host=HOST.upper()), "DIAL_NOT_IN_POLICY"),
    (dict(head=b"", host=""), "DIAL_NOT_IN_POLICY"),
    (dict(head=b"", host=f"x@{HOST}"), "DIAL_NOT_IN_POLICY"),
    (dict(head=b"", port=0), "DIAL_NOT_IN_POLICY"),
    (dict(head=b"", port=9090 + 65536), "DIAL_NOT_IN_POLICY"),
    (dict(head=request(path="/apix")), "DIAL_CREDENTIAL_MISMATCH"),
    (dict(head=request(path="/api/../x")), "DIAL_BAD_HEAD"),
    (dict(head=request(path="/api/%2e%2e/x")), "DIAL_BAD_HEAD"),
    (dict(head=request(path="/api//x")), "DIAL_BAD_HEAD"),
    (dict(head=request(path=f"/api/{'x' * 5000}/../../x")), "DIAL_BAD_HEAD"),
    (dict(head=request(path="/")), "DIAL_CREDENTIAL_MISMATCH"),
    (dict(head=request(), port=9092), "DIAL_CREDENTIAL_MISMATCH"),
    (dict(head=request(field=f"Authorization: Bearer {PLACE}2")), "DIAL_CREDENTIAL_UNKNOWN"),
    (dict(head=request(path=f"/api/x?{PLACE}=1")), "DIAL_CREDENTIAL_PLACE"),
    (dict(head=request() + request(path="/")), "DIAL_BAD_HEAD"),
    (dict(head=request()[:-2]), "DIAL_BAD_HEAD"),
    (dict(head=request(path=f"http://{HOST}/api/x")), "DIAL_BAD_HEAD"),
    (dict(head=request(more="Content-Length: 3\r\nContent-Length: 4\r\n")), "DIAL_BAD_HEAD"),
    (dict(head=request(), policy=1), "DIAL_OTHER_POLICY"),
    (dict(head=b"", host="127.0.0.1", port=9094), "DIAL_BLOCKED_DECLARED"),
    (dict(head=b"", host=HOST, wildcard=1), "DIAL_NOT_IN_POLICY"),
], ids=lambda value: value if isinstance(value, str) else "")
def test_what_it_does_not_believe(dialer, servers, what, problem):
    assert dialer.ask(**what) == problem
    assert all(one.requests == [] for one in servers.values())
    # It goes on for others.
    with dialer.ask(request()):
        pass


def test_bodies(dialer, servers):
    """Filled where the endpoint says so, and by the length that they have."""
    text = f'{{"key": "{PLACE}"}}'.encode()
    head = request(method="POST", path="/x", field="Content-Type: application/json", more=f"Content-Length: {len(text)}\r\n")
    for port, problem in ((9090, "DIAL_CREDENTIAL_PLACE"), (9092, "DIAL_CREDENTIAL_PLACE")):
        with os.fdopen(sealed(text)) as body:
            assert dialer.ask(head, port=port, body=body.fileno()) == problem
    with os.fdopen(sealed(text)) as body, dialer.ask(head, port=9091, body=body.fileno()) as connection:
        connection.setblocking(True)
        assert connection.recv(1000).startswith(b"HTTP/1.1 200")
    assert servers[9091].requests[0].body == f'{{"key": "{VALUE}"}}'.encode()
    assert servers[9090].requests == servers[9092].requests == []


def test_certificates(dialer):
    """For what the policy has looked into, and for nothing else."""
    for host, port, name in (("tls.example", 443, "SANDBOX_LEAF_MADE"), ("other.example", 443, "SANDBOX_DIAL_FAILED"), ("tls.example", 444, "SANDBOX_DIAL_FAILED"),
                             ("TLS.example", 443, "SANDBOX_DIAL_FAILED"), ("tls.example", 443 + 65536, "SANDBOX_DIAL_FAILED")):
        dialer.proxy.send("SANDBOX_LEAF", host, port, seq=7)
        assert dialer.proxy.receive()[0] == name, (host, port)


def pipe():
    reading, _writing = os.pipe()
    return reading


@pytest.mark.parametrize("send", [
    lambda p: p.send("SANDBOX_CREDENTIAL", "KEY2", "x", HOST, 9090, "/", 0),
    lambda p: p.send("SANDBOX_SERVER", 9095, "127.0.0.1:1"),
    lambda p: p.send("SANDBOX_POLICY", 1, fds=[sealed(POLICY.replace("9092", "9093").encode())]),
    lambda p: p.send("SANDBOX_DIAL", HOST, 9091, request(), 0, 0, 0, fds=[pipe()]),
    lambda p: p.send("SANDBOX_DIAL", HOST, 9091, request(), 0, 0, 0, fds=[sealed(b"x", fcntl.F_SEAL_SHRINK)]),
    lambda p: p.send("SANDBOX_DIAL", HOST, 9090, request(), 0, 0, 0, fds=[pipe(), pipe()]),
    lambda p: p.sock.send(p.encode("SANDBOX_DIAL", HOST, 9090, request(), 0, 0, 0)[:-3]),
    lambda p: p.sock.send(b"\xff" * 40),
], ids=["credential", "server", "policy", "pipe", "unsealed", "two", "short", "garbage"])
def test_what_is_no_proxys_ends_it(dialer, servers, send):
    """And with it the sandbox; it never waits for such a one."""
    send(dialer.proxy)
    with contextlib.suppress(ConnectionResetError):
        assert dialer.proxy.receive() is None
    assert dialer.process.wait(30) != 0
    assert all(one.requests == [] for one in servers.values())
