# SPDX-License-Identifier: Apache-2.0
"""Speaks on the sockets between our processes (src/base/msg.h), well or badly, in the place of one of them. Names and shapes of messages
are read out of the C files, so that they cannot differ."""
import array
import os
import re
import socket
import struct
import time

from conftest import ROOT


def enumeration(header, name):
    """The names of a C enum, in their order."""
    text = re.sub(r"/\*.*?\*/", "", (ROOT / header).read_text(), flags=re.S)
    body = re.search(r"enum " + name + r" \{(.*?)\}", text, flags=re.S).group(1)
    return [word.strip() for word in body.split(",") if word.strip()]


def shapes(source, prefix):
    """{message: a letter for each of its fields}, out of a table of messages."""
    return dict(re.findall(rf'\[({prefix}_\w+)\]\s*=\s*\{{\s*{prefix}_\w+,\s*"\w+",\s*[\w |]+,\s*"(\w*)"', (ROOT / source).read_text()))


class Channel:
    """One end, with the messages of one table."""

    messages, fields = [], {}

    def __init__(self, sock):
        self.sock = sock
        self.sock.settimeout(30)

    def encode(self, name, *fields, seq=0):
        body = b""
        assert len(fields) == len(self.fields[name]), name
        for field in fields:
            if isinstance(field, int):
                body += struct.pack("<Q", field)
            else:
                data = field.encode() if isinstance(field, str) else field
                body += struct.pack("<I", len(data)) + data + b"\0"
        return struct.pack("<IIQ", self.messages.index(name), 16 + len(body), seq) + body

    def send(self, name, *fields, seq=0, fds=()):
        control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self.sock.sendmsg([self.encode(name, *fields, seq=seq)], control)

    def receive(self, timeout=30):
        """(name, fields, descriptors, seq); None when the other side has closed the channel."""
        self.sock.settimeout(timeout)
        data, fds, _, _ = socket.recv_fds(self.sock, 65536, 16)
        if not data:
            return None
        kind, size, seq = struct.unpack_from("<IIQ", data)
        assert size == len(data)
        name, at, fields = self.messages[kind], 16, []
        for letter in self.fields[name]:
            if letter == "u":
                fields.append(struct.unpack_from("<Q", data, at)[0])
                at += 8
            else:
                (length,) = struct.unpack_from("<I", data, at)
                fields.append(data[at + 4 : at + 4 + length].decode(errors="surrogateescape"))
                at += 5 + length
        return name, fields, fds, seq

    def await_message(self, wanted, timeout=30):
        """The next message of that name; others are passed over."""
        end = time.monotonic() + timeout
        while True:
            got = self.receive(max(0.01, end - time.monotonic()))
            assert got, f"the channel was closed before {wanted}"
            if got[0] == wanted:
                return got
            for fd in got[2]:
                os.close(fd)

    def close(self):
        self.sock.close()
