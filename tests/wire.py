# SPDX-License-Identifier: Apache-2.0
"""HTTP by hand, for tests that say exactly which bytes go over the wire, and check every answer's form."""

import collections
import json
import socket
import struct

from serve_driver import TOKEN


def request(method, target, *fields, body=b"", token=TOKEN, host="x", version="1.1"):
    """The bytes of one request; its length is announced when there is a body, unless `fields` frame it."""
    lines = [f"{method} {target} HTTP/{version}"]
    if host is not None:
        lines.append(f"Host: {host}")
    if token:
        lines.append(f"Authorization: Bearer {token}")
    if body and not any(f.lower().startswith(("content-length", "transfer-encoding")) for f in fields):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, *fields, "", ""]).encode() + body


class Answer:
    def __init__(self, status, fields, body):
        self.status, self.fields, self.body = status, fields, body

    @property
    def json(self):
        return json.loads(self.body)


Event = collections.namedtuple("Event", "id name data")


def events_of(text):
    """The events of a stream, as the standard reads them; their data is JSON."""
    found = []
    for block in text.split("\n\n")[:-1]:
        fields = dict(line.split(": ", 1) for line in block.split("\n") if not line.startswith(":"))
        if fields:
            found.append(Event(fields["id"], fields["event"], json.loads(fields["data"])))
    assert text.endswith("\n\n") or not text, "the stream ended inside an event"
    return found


class Peer:
    """One connection. `answer()` reads one response and checks what holds for every one of them."""

    def __init__(self, port, data=b"", timeout=30):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout)
        self.file = self.socket.makefile("rb")
        self.send(data)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, data):
        self.socket.sendall(data)

    def finish(self):
        """Say that no more comes, and go on reading."""
        self.socket.shutdown(socket.SHUT_WR)

    def close(self):
        self.file.close()
        self.socket.close()

    def reset(self):
        """Go without a goodbye."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def line(self):
        line = self.file.readline()
        assert line.endswith(b"\r\n"), f"the connection ended inside a line: {line!r}"
        return line[:-2].decode()

    def head(self):
        version, status, _ = self.line().split(" ", 2)
        assert version == "HTTP/1.1"
        fields = {}
        while line := self.line():
            name, value = line.split(": ", 1)
            assert name.lower() not in fields, f"{name} twice"
            fields[name.lower()] = value
        assert "date" in fields
        return int(status), fields

    def chunks(self):
        """The chunks of a body as they come."""
        while size := int(self.line(), 16):
            data = self.file.read(size)
            assert len(data) == size and self.file.read(2) == b"\r\n"
            yield data
        assert self.line() == ""

    def answer(self, method="GET"):
        status, fields = self.head()
        assert status >= 200, "an interim answer"
        if method == "HEAD" or status in (204, 304):
            body = b""
        elif "content-length" in fields:
            assert "transfer-encoding" not in fields
            body = self.file.read(int(fields["content-length"]))
            assert len(body) == int(fields["content-length"]), "the body was cut off"
        elif fields.get("transfer-encoding") == "chunked":
            body = b"".join(self.chunks())
        else:
            assert fields["connection"] == "close"
            body = self.file.read()
        answer = Answer(status, fields, body)
        if status >= 400:
            check_problem(answer, method)
        return answer

    def ended(self):
        """Whether the server closes now."""
        return self.file.read() == b""


def check_problem(answer, method):
    assert answer.fields["content-type"] == "application/problem+json"
    if answer.status in (429, 503):
        assert int(answer.fields["retry-after"]) > 0
    if answer.status == 401:
        assert answer.fields["www-authenticate"] == "Bearer"
    if method != "HEAD":
        problem = answer.json
        assert (
            problem["status"] == answer.status
            and problem["title"]
            and problem["type"].startswith("urn:postern:problem:")
        )
        assert problem["hint"].endswith((".", "…")), problem
        assert TOKEN not in answer.body.decode()


def ask(port, data, method="GET", timeout=30):
    """One request on a connection of its own."""
    with Peer(port, data, timeout) as peer:
        return peer.answer(method)
