# SPDX-License-Identifier: Apache-2.0
"""A `postern serve` of one user's, and builds through it with real curl, as an agent does them."""
import contextlib
import json
import shutil
import subprocess
import time
import urllib.parse

import serve_driver
from conftest import wait_for
from contexts import tar_of


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)


class Server(serve_driver.Server):
    """One run, started at once. `config` is a dict that becomes the configuration file; `env` is added to the server's environment."""

    def __init__(self, user, postern, folder, config=None, cache=None, env=None, options=(), prefix=()):
        super().__init__(user, postern, user.folder(folder, "server"))
        cache_dir = ["--cache-dir", cache] if cache else []
        self.start(*self.config(json.dumps(config or {})), *cache_dir, *options, env=env or {}, prefix=prefix)

    def curl(self, *args, data=None, timeout=120):
        command = ["curl", "-s", "-i", "-m", str(timeout), "-H", f"Authorization: Bearer {self.token}", "-H", "Expect:"]
        if data is not None:
            command += ["--data-binary", "@-"]
        done = subprocess.run([*command, *args], input=data, capture_output=True, check=False)
        assert done.returncode == 0, (done, self.said())
        head, _, body = done.stdout.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        return Answer(int(lines[0].split()[1]), fields, body)

    def get(self, path, *args):
        return self.curl(*args, self.url + path)

    def post(self, context, query=(), *args, wait=0):
        """POST /build; context: bytes, or what tar_of() takes. query: a dict (a list is a repeated parameter), or text."""
        data = context if isinstance(context, bytes) else tar_of(context)
        text = query if isinstance(query, str) else urllib.parse.urlencode(query, doseq=True)
        return self.curl("-H", f"Prefer: wait={wait}", *args, f"{self.url}/build?{text}", data=data)

    def begin(self, context, query=(), *args):
        answer = self.post(context, query, *args)
        assert answer.status in (200, 202), (answer.status, answer.body, self.said())
        return answer.json()["id"]

    def job(self, name, wait=0):
        return self.get(f"/jobs/{name}?wait={wait}").json()

    def wait(self, name, seconds=240):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            job = self.job(name, wait=20)
            if job["state"] not in ("queued", "running"):
                return job
        raise AssertionError(f"the job goes on after {seconds} s: {job}\n{self.said()}")

    def build(self, context, query=(), *args, seconds=240):
        return self.wait(self.begin(context, query, *args), seconds)

    def succeed(self, context, query=(), *args):
        job = self.build(context, query, *args)
        assert job["state"] == "succeeded", (job, self.job_log(job["id"])[-2000:], self.said())
        return job

    def fail(self, context, query=(), *args, state="failed"):
        job = self.build(context, query, *args)
        assert job["state"] == state, (job, self.said())
        assert self.kept(job["id"]) <= {"log"}
        return job["result"]

    def job_log(self, name):
        return self.get(f"/jobs/{name}/log").body

    def artifact(self, job, name="image.tar"):
        answer = self.get(f"/jobs/{job['id']}/artifacts/{name}")
        assert answer.status == 200, answer.body
        return answer.body

    def kept(self, name):
        """What is in a job's folder on the host."""
        return {entry.name for entry in (self.state / "jobs" / name).iterdir()}

    def until_running(self, name, stage, seconds=60):
        wait_for(lambda: self.job(name).get("stage", "").startswith(stage), seconds, f"stage {stage}")

    def close(self):
        self.stop()
        # The run's storage holds files of the jail's ids, which only a jail may remove for an ordinary user.
        clean = self.user.run([f"{self.postern}-worker", "--clean", self.state / "storage"])
        assert clean.returncode == 0, clean.stderr
        shutil.rmtree(self.folder)


@contextlib.contextmanager
def serving(*args, **kwargs):
    server = Server(*args, **kwargs)
    try:
        yield server
    finally:
        server.close()
