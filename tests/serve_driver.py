# SPDX-License-Identifier: Apache-2.0
"""Starts `postern serve` and asks it: one class, as root or as an ordinary user; api_driver asks with curl."""
import contextlib
import hashlib
import http.client
import json
import os
import secrets
import signal
from pathlib import Path

from conftest import BUILD, User, wait_for
from contexts import tar_of
from processes import alive, below, children

SCRATCH = {"Dockerfile": "FROM scratch\nCOPY hello.txt /\n", "hello.txt": "hello\n"}
SLOW = {"Dockerfile": "FROM debian-tcc\nRUN sleep 300\n"}
TOKEN = hashlib.sha256(b"the token of the servers of running()").hexdigest()  # always the same: names of tests hold it


class Answer:
    def __init__(self, response):
        self.status, self.body = response.status, response.read()
        self.headers = {name.lower(): value for name, value in response.getheaders()}

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"<{self.status} {self.body[:500]!r}>"


class Server:
    """One `postern serve` on a state directory below folder. `start` waits for the ready line, `refused` for a refusal."""

    def __init__(self, user, postern, folder, token=None):
        self.user, self.postern, self.folder = user, postern, Path(folder)
        self.token = token or secrets.token_hex(32)
        self.state = self.folder / "state"
        self.log = self.folder / "log"
        self.process = self.ready = None
        self.count = 0
        self.write("token", self.token).chmod(0o600)

    def write(self, name, text):
        path = self.folder / name
        path.write_text(text)
        if os.getuid() == 0:
            os.chown(path, self.user.uid, self.user.gid)
        return path

    def config(self, text):
        return ["--config", self.write("config.yaml", text)]

    def argv(self, options, token=True, state=True, port=True):
        argv = [self.postern, "serve", "--json"]
        argv += ["--port", "0"] if port else []
        argv += ["--token-file", self.folder / "token"] if token else []
        argv += ["--state-dir", self.state] if state else []
        return argv + list(options)

    def start(self, *options, token=True, state=True, port=True, prefix=(), **kwargs):
        """`prefix`: a command that runs it."""
        with open(self.log, "ab") as log:
            self.process = self.user.popen([*prefix, *self.argv(options, token, state, port)], stdout=-1, stderr=log, **kwargs)
        line = self.process.stdout.readline()
        assert line, f"exit {self.process.wait(10)}: {self.said()}"
        self.ready = json.loads(line)
        return self

    def refused(self, *options, token=True, state=True, port=True, **kwargs):
        """Exit code and the one line on stderr of a server that does not start."""
        done = self.user.run(self.argv(options, token, state, port), **kwargs)
        lines = done.stderr.splitlines()
        assert done.returncode != 0 and len(lines) == 1, done
        assert done.stdout == ""
        return done.returncode, lines[0]

    @property
    def port(self):
        return self.ready["port"]

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def said(self):
        """The server's own log."""
        return self.log.read_text()

    def connect(self, timeout=60):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    def ask(self, method, path, body=None, headers=None, token=True, timeout=60):
        c = self.connect(timeout)
        try:
            auth = {"Authorization": f"Bearer {self.token}"} if token else {}
            c.request(method, path, body, {**auth, **(headers or {})})
            return Answer(c.getresponse())
        finally:
            c.close()

    def get(self, path, **kwargs):
        return self.ask("GET", path, **kwargs)

    def build(self, files, wait=0, query="tag=x", **headers):
        body = files if isinstance(files, bytes) else tar_of(files)
        return self.ask("POST", f"/build?{query}", body, {"Prefer": f"wait={wait}", **headers}, timeout=200)

    def job(self, job, wait=0):
        answer = self.get(f"/jobs/{job}" + (f"?wait={wait}" if wait else ""), timeout=wait + 30)
        assert answer.status == 200, answer
        return answer.json()

    def await_state(self, job, state, seconds=60):
        wait_for(lambda: self.job(job)["state"] == state, seconds, f"job {job} {state}")

    def await_ended(self, job, seconds=60):
        view = self.job(job, wait=seconds)
        assert view["state"] not in ("queued", "running"), view
        return view

    def child(self, name):
        """The pid of its one process of that name."""
        return wait_for(lambda: children(self.process.pid).get(f"postern-{name}"), 30, name)[0]

    def kill(self, name, sig=signal.SIGKILL):
        os.kill(self.child(name), sig)

    def stop(self, seconds=60):
        """SIGTERM; the exit code."""
        self.process.terminate()
        return self.ended(seconds)

    def ended(self, seconds=60):
        code = self.process.wait(seconds)
        self.process.stdout.close()
        return code

    def close(self):
        """Whatever the test left running ends."""
        if self.process and self.process.poll() is None:
            pids = below(self.process.pid)
            self.process.kill()
            self.process.wait(30)
            wait_for(lambda: not any(alive(pid) for pid in pids), 30, "end of all processes")

    def jobs_on_disk(self):
        """What is in each job's folder; one that goes meanwhile is not there."""
        found = {}
        for entry in (self.state / "jobs").iterdir():
            with contextlib.suppress(FileNotFoundError):
                found[entry.name] = sorted(child.name for child in entry.iterdir())
        return found


@contextlib.contextmanager
def running(folder, *options, kind=Server, program=BUILD / "postern", env=None, **popen):
    """A server of root's on folder, for the block. `popen`: what else subprocess.Popen takes."""
    server = kind(User("root"), program, folder, TOKEN)
    token = not env and not any(option.startswith("--token") for option in options)
    server.start(*options, token=token, env=env or {}, **popen)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.process.terminate()
            server.process.wait(30)
        server.process.stdout.close()
