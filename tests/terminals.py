# SPDX-License-Identifier: Apache-2.0
"""A user's terminal with a program on it, at which the test types and reads."""
import fcntl
import os
import pty
import re
import select
import struct
import termios
import time


class Terminal:
    """Its program leads a session that the terminal controls, as a shell's foreground job; `kwargs` say which of its descriptors are
    something else."""

    def __init__(self, user, command, **kwargs):
        self.ours, theirs = pty.openpty()
        self.resize(33, 77, theirs)
        self.theirs, self.before, self.seen, self.name = theirs, termios.tcgetattr(theirs), "", os.ttyname(theirs)
        if os.getuid() == 0:
            os.fchown(theirs, user.uid, -1)

        def own():
            os.setsid()
            fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)

        streams = {name: kwargs.pop(name, theirs) for name in ("stdin", "stdout", "stderr")}
        self.process = user.popen(command, **streams, preexec_fn=own, **kwargs)

    def resize(self, rows, columns, fd=None):
        fcntl.ioctl(self.theirs if fd is None else fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read(self):
        try:
            self.seen += os.read(self.ours, 4096).decode("utf-8", "replace")
        except OSError:  # the other end was closed
            pass

    def until(self, pattern, seconds=30):
        """Read until the pattern was written, and forget what came before its end."""
        end = time.monotonic() + seconds
        while not (found := re.search(pattern, self.seen)):
            assert time.monotonic() < end, f"{pattern!r} did not come: {self.seen!r}"
            if select.select([self.ours], [], [], 0.1)[0]:
                self.read()
        self.seen = self.seen[found.end():]
        return found

    def type(self, text):
        os.write(self.ours, text.encode())

    def end(self, seconds=40):
        """Its exit code, and what of its output was not waited for; its terminal is as before."""
        end = time.monotonic() + seconds
        while self.process.poll() is None:
            assert time.monotonic() < end, self.seen
            if select.select([self.ours], [], [], 0.05)[0]:
                self.read()
        while select.select([self.ours], [], [], 0)[0]:
            self.read()
        assert termios.tcgetattr(self.theirs) == self.before
        os.close(self.ours)
        os.close(self.theirs)
        return self.process.returncode, self.seen
