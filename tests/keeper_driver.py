# SPDX-License-Identifier: Apache-2.0
"""Speaks to postern-keeper as the supervisor, front and a worker do, well or badly, so that each can be tested without the others."""
import array
import os
import re
import socket
import struct
import time
from pathlib import Path

from conftest import ROOT


def enumeration(header, name):
    """The names of a C enum, in their order, from the header itself, so that they cannot differ."""
    text = re.sub(r"/\*.*?\*/", "", (ROOT / header).read_text(), flags=re.S)
    body = re.search(r"enum " + name + r" \{(.*?)\}", text, flags=re.S).group(1)
    return [word.strip() for word in body.split(",") if word.strip()]


MESSAGES = enumeration("src/api/messages.h", "message")
STATES = [name.removeprefix("JOB_").lower() for name in enumeration("src/api/jobtable.h", "job_state")]
FIELDS = dict(re.findall(r'\[(MESSAGE_\w+)\]\s*=\s*\{\s*MESSAGE_\w+,\s*"\w+",\s*ROLE_\w+,\s*"(\w*)"',
                         (ROOT / "src/api/messages.c").read_text()))
SETTINGS = {"job_seconds": 3600, "jobs_running": 2, "jobs_queued": 16, "storage_bytes": 1 << 30}


class Peer:
    """One end of a channel to keeper."""

    def __init__(self, sock):
        self.sock = sock
        self.sock.settimeout(30)

    def encode(self, name, *fields, seq=0):
        body = b""
        assert len(fields) == len(FIELDS[name]), name
        for field in fields:
            if isinstance(field, int):
                body += struct.pack("<Q", field)
            else:
                data = field.encode() if isinstance(field, str) else field
                body += struct.pack("<I", len(data)) + data + b"\0"
        return struct.pack("<IIQ", MESSAGES.index(name), 16 + len(body), seq) + body

    def send(self, name, *fields, seq=0, fds=()):
        control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self.sock.sendmsg([self.encode(name, *fields, seq=seq)], control)

    def receive(self, timeout=30):
        """(name, fields, descriptors, seq); None when keeper has closed the channel."""
        self.sock.settimeout(timeout)
        data, fds, _, _ = socket.recv_fds(self.sock, 65536, 16)
        if not data:
            return None
        kind, size, seq = struct.unpack_from("<IIQ", data)
        assert size == len(data)
        name, at, fields = MESSAGES[kind], 16, []
        for letter in FIELDS[name]:
            if letter == "u":
                fields.append(struct.unpack_from("<Q", data, at)[0])
                at += 8
            else:
                (length,) = struct.unpack_from("<I", data, at)
                fields.append(data[at + 4 : at + 4 + length].decode())
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


class Keeper:
    """A keeper under a supervisor that is this test."""

    def __init__(self, user, programs, folder):
        self.user, self.folder = user, Path(folder)
        self.state = user.folder(folder, "state")
        self.state.chmod(0o700)
        self.log = open(self.folder / "keeper-log", "ab")
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        number = theirs.fileno()
        self.process = user.popen([Path(programs) / "postern-keeper", "human"], pass_fds=(3, number),
                                  preexec_fn=lambda: os.dup2(number, 3), stderr=self.log)
        theirs.close()
        self.supervisor = Peer(ours)
        self.peers = [self.supervisor]
        self.fronts = 0
        state = os.open(self.state, os.O_RDONLY | os.O_DIRECTORY)
        self.supervisor.send("MESSAGE_KEEPER_SETUP", b"d" * 32, "r-test", 0, "{}", *list(SETTINGS.values())[: len(FIELDS["MESSAGE_KEEPER_SETUP"]) - 4],
                             fds=[state])
        os.close(state)
        assert self.supervisor.receive()[:2] == ("MESSAGE_KEEPER_READY", ["r-test"])

    def front(self):
        """Attach a front; our end of its channel, and the pid that keeper believes it to have."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.fronts += 1
        pid = 100000 + self.fronts
        self.supervisor.send("MESSAGE_FRONT_ATTACH", pid, fds=[theirs.fileno()])
        theirs.close()
        peer = Peer(ours)
        self.peers.append(peer)
        for fd in peer.await_message("MESSAGE_FRONT_SETUP")[2]:
            os.close(fd)
        return peer, pid

    def worker(self):
        """Play the worker that keeper asks for next: (job, our end of its channel)."""
        _, (job,), fds, seq = self.supervisor.await_message("MESSAGE_WORKER_SPAWN")
        peer = Peer(socket.socket(fileno=fds[0]))
        self.peers.append(peer)
        self.supervisor.send("MESSAGE_WORKER_STARTED", job, 4242, seq=seq)
        if job:
            for fd in peer.await_message("MESSAGE_JOB_START")[2]:
                os.close(fd)
        return job, peer

    def said(self):
        return (self.folder / "keeper-log").read_text()

    def close(self):
        for peer in self.peers:
            peer.close()
        code = self.process.wait(30)
        self.log.close()
        return code
