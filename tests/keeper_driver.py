# SPDX-License-Identifier: Apache-2.0
"""Speaks to postern-keeper as the supervisor, front and a worker do, well or badly, so that each can be tested without the others."""
import os
import socket
from pathlib import Path

from channel import Channel, enumeration, shapes

MESSAGES = enumeration("src/api/messages.h", "message")
STATES = [name.removeprefix("JOB_").lower() for name in enumeration("src/api/jobtable.h", "job_state")]
FIELDS = shapes("src/api/messages.c", "MESSAGE")
SETTINGS = {"job_seconds": 3600, "jobs_running": 2, "jobs_queued": 16, "storage_bytes": 1 << 30}


class Peer(Channel):
    """One end of a channel to keeper."""

    messages, fields = MESSAGES, FIELDS


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
