# SPDX-License-Identifier: Apache-2.0
"""What the tests of the sandbox and its proxy share: running commands in one, a client to run inside, and a server to reach."""
import contextlib
import json
import socket
import sys
import threading
from pathlib import Path

import pytest

PYTHON = str(Path("/usr/bin/python3").resolve())

# A policy's beginning: what any of these tests needs of the file system.
FILES = "version: 1\nfilesystem_policy: { include_workdir: true, read_write: [/dev/null], read_only: [/dev/zero] }\n"


class Sandbox:
    """Runs scripts in a sandbox of one user's."""

    def __init__(self, postern, user, folder):
        self.postern, self.user, self.folder = postern, user, folder
        self.policy = folder / "policy.yaml"
        self.options = []

    def write_policy(self, text):
        self.policy.write_text(text)
        self.policy.chmod(0o644)

    def reach(self, port, *ports):
        """Every one of these ports of host.openshell.internal is that server of the host's."""
        for inside in ports:
            self.server(inside, f"127.0.0.1:{port}")

    def server(self, port, address):
        """This port of host.openshell.internal is what is there, whatever it was before."""
        self.options = [*(option for option in self.options if not str(option).startswith(f"--server={port}=")), f"--server={port}={address}"]

    def command(self, *command, options=()):
        return [self.postern, "sandbox", "--policy", self.policy, *self.options, *options, "--", *command]

    def run(self, *command, options=(), **kwargs):
        return self.user.run(self.command(*command, options=options), **kwargs)

    def script(self, text, options=(), **kwargs):
        return self.run("sh", "-c", text, options=options, **kwargs)

    def output(self, text, **kwargs):
        done = self.script(text, **kwargs)
        assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)
        return done.stdout

    def python(self, code, *arguments, **kwargs):
        """What the code prints as JSON, one value a line. CLIENT is there for it."""
        done = self.run(PYTHON, "-c", CLIENT + code, *arguments, **kwargs)
        assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)
        values = [json.loads(line) for line in done.stdout.splitlines()]
        return values[0] if len(values) == 1 else values


def sandbox_with(policy, *ports):
    """A fixture: a sandbox of this policy, in which these ports of host.openshell.internal are the upstream."""
    @pytest.fixture
    def sandbox(postern, user, workdir, upstream, leak_check):
        made = Sandbox(postern, user, workdir)
        made.write_policy(policy)
        made.reach(upstream.port, *ports)
        return made
    return sandbox


CLIENT = '''
import json, os, socket, sys, time
def say(*values):
    for value in values: print(json.dumps(value), flush=True)
def connect():
    s = socket.create_connection(("10.200.0.1", 3128)); s.settimeout(60); return s
class Peer:
    """One connection to the proxy, and answers read off it."""
    def __init__(self, s=None): self.s, self.rest = s or connect(), b""
    def send(self, text): self.s.sendall(text.encode("latin1") if isinstance(text, str) else text)
    def fill(self):
        more = self.s.recv(65536); self.rest += more; return bool(more)
    def until(self, mark):
        while mark not in self.rest:
            if not self.fill(): return None
        line, self.rest = self.rest.split(mark, 1); return line
    def take(self, n):
        while len(self.rest) < n and self.fill(): pass
        data, self.rest = self.rest[:n], self.rest[n:]; return data
    def head(self):
        """[status, fields], or None at the end."""
        head = self.until(b"\\r\\n\\r\\n")
        if head is None: return None
        lines = head.decode("latin1").split("\\r\\n")
        return [int(lines[0].split(" ")[1]), {k.lower(): v.strip() for k, _, v in (l.partition(":") for l in lines[1:])}]
    def answer(self, bodiless=False):
        """[status, fields, body] of the next one that is not interim."""
        got = self.head()
        if got is None: return None
        status, fields = got
        if status < 200: return self.answer(bodiless)
        if bodiless or status in (204, 304): return [status, fields, ""]
        body = b""
        if fields.get("transfer-encoding") == "chunked":
            while True:
                size = int(self.until(b"\\r\\n").split(b";")[0], 16)
                if not size: break
                body += self.take(size); self.take(2)
            while self.until(b"\\r\\n"): pass
        elif "content-length" in fields: body = self.take(int(fields["content-length"]))
        else:
            while self.fill(): pass
            body, self.rest = self.rest, b""
        return [status, fields, body.decode("latin1")]
    def ended(self):
        """Nothing more comes."""
        return not self.rest and not self.fill()
def ask(text, bodiless=False):
    p = Peer(); p.send(text); return p.answer(bodiless)
def get(url, *fields): return ask("GET %s HTTP/1.1\\r\\n%s\\r\\n" % (url, "".join(f + "\\r\\n" for f in fields)))
def tunnel(to):
    p = Peer(); p.send("CONNECT %s HTTP/1.1\\r\\nHost: %s\\r\\n\\r\\n" % (to, to))
    got = p.head()
    if got[0] != 200: raise SystemExit(json.dumps([got[0], p.take(int(got[1]["content-length"])).decode()]))
    return p
BASE, AT = "http://host.openshell.internal:9090", "host.openshell.internal:9090"
'''


class Request:
    """One that arrived: its bytes taken apart, nothing interpreted."""

    def __init__(self, head, body, trailers=b""):
        lines = head.decode("latin1").split("\r\n")
        self.line, self.method, self.target = lines[0], *lines[0].split(" ")[:2]
        self.fields = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines[1:])]
        self.body, self.trailers = body, trailers

    def get(self, name):
        return next((value for key, value in self.fields if key.lower() == name.lower()), None)


@contextlib.contextmanager
def each_connection(handle):
    """A server on a port of the host's, which is yielded: handle(connection) for one connection after the other."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            while True:
                try:
                    connection = listener.accept()[0]
                except OSError:
                    return
                with connection:
                    handle(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(5)


class Upstream:
    """A server on the host's loopback that remembers what it was asked, byte for byte, and answers by path: `routes[path]` is called
    with the connection and the request; "keep" from it means that another request may follow."""

    def __init__(self, path=None):
        self.requests, self.routes, self.connections = [], {}, 0
        self.listener = socket.socket(socket.AF_UNIX if path else socket.AF_INET)
        self.listener.bind(path or ("127.0.0.1", 0))
        self.listener.listen(128)
        self.port = None if path else self.listener.getsockname()[1]
        self.accepting = threading.Thread(target=self._accept, daemon=True)
        self.accepting.start()

    @property
    def targets(self):
        return [request.target for request in self.requests]

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        connection.settimeout(120)
        with connection:
            try:
                stream = connection.makefile("rb")
                while request := self._read(stream):
                    self.requests.append(request)
                    route = self.routes.get(request.target.partition("?")[0], self.echo)
                    if route(connection, request) != "keep":
                        return
            except (OSError, ValueError) as e:
                print("upstream:", e, file=sys.stderr)

    @staticmethod
    def _read(stream):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = stream.readline()
            if not line:
                return None
            head += line
        request = Request(head[:-4], b"")
        if request.get("Transfer-Encoding"):
            parts = []
            while size := int(stream.readline().split(b";")[0], 16):
                parts.append(stream.read(size))
                assert stream.read(2) == b"\r\n"
            request.body = b"".join(parts)
            while (line := stream.readline()) not in (b"\r\n", b""):
                request.trailers += line
        else:
            request.body = stream.read(int(request.get("Content-Length") or 0))
        return request

    @staticmethod
    def echo(connection, _request):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello\n")
        return "keep"

    def answers(self, path, *pieces):
        """Send these bytes for that path, then close."""
        def route(connection, _request):
            for piece in pieces:
                connection.sendall(piece)
        self.routes[path] = route

    def close(self):
        # Closed under a thread that is about to accept, its number may be the next listener's, which then loses a connection to us.
        self.listener.shutdown(socket.SHUT_RDWR)
        self.accepting.join(30)
        self.listener.close()
