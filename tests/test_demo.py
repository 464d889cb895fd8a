# SPDX-License-Identifier: Apache-2.0
"""The main job as a user sees it: tools/demo, from a clone in a folder with a space in its name, as root and as an ordinary user.
What it prints is checked against what it leaves, and against what every process showed while it ran."""
import hashlib
import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import tarfile
import tempfile
import threading
import time
from pathlib import Path

import pytest

from conftest import ROOT, Leaks, descendants


def read(path):
    try:
        return Path(path).read_bytes()
    except OSError:
        return b""


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=5)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(5)
        self.sock.connect(self.path)


def answer_to(sock, token):
    """The status that the server behind this socket answers the token with; None when it does not (yet)."""
    connection = UnixConnection(sock)
    try:
        connection.request("GET", "/jobs", headers={"Authorization": "Bearer " + token})
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def tokens_in_memory(pid):
    """What looks like a token in a process's own memory, its stack and small regions first."""
    try:
        with open(f"/proc/{pid}/maps", encoding="utf-8") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
            regions = []
            for line in maps:
                start, end = (int(number, 16) for number in line.split()[0].split("-"))
                if " rw-p " in line and end - start <= 64 << 20:
                    regions.append(("[stack]" not in line, end - start, start))
            for _, size, start in sorted(regions):
                try:
                    memory.seek(start)
                    found = re.findall(rb"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])", memory.read(size))
                except OSError:
                    continue  # a region that cannot be read
                yield from (token.decode() for token in found)
    except OSError:
        pass  # the process is gone


class Observer(threading.Thread):
    """Looks at the run from outside while it lasts: keeps every command line and environment there is, and finds the token in the
    runner's memory, the only place where it can be had."""

    def __init__(self, temp):
        super().__init__(daemon=True)
        self.temp, self.token, self.tried, self.ended = temp, None, set(), threading.Event()
        self.seen, self.names = set(), set()

    def find_token(self):
        sockets = list(self.temp.glob("postern-run-*/api.sock"))
        if not sockets:
            return
        runners = sorted(pid for pid, line in descendants().items() if "postern run " in line)
        for token in tokens_in_memory(runners[1]) if len(runners) > 1 else ():  # the first one only waits for it
            if token not in self.tried:
                status = answer_to(sockets[0], token)
                if status == 200:
                    self.token = token
                    return
                if status == 401:
                    self.tried.add(token)

    def run(self):
        while not self.ended.is_set():
            for entry in os.listdir("/proc"):
                if entry.isdigit():
                    self.seen.add(read(f"/proc/{entry}/cmdline"))
                    self.seen.add(read(f"/proc/{entry}/environ"))
                    self.names.add(read(f"/proc/{entry}/comm").decode().strip())
            if not self.token:
                self.find_token()
            time.sleep(0.02)


class Demo:
    """One run of tools/demo, and all that is known of it."""

    def __init__(self, user, clone, cache, temp):
        self.user, self.clone, self.temp, self.leaks = user, clone, temp, Leaks()
        observer = Observer(temp)
        observer.start()
        try:
            self.result = user.run(
                [clone / "tools" / "demo", "build"], cwd=clone, timeout=280, stderr=subprocess.STDOUT, stdout=subprocess.PIPE,
                env={"XDG_CACHE_HOME": str(cache), "TMPDIR": str(temp), "LEFT_IN_THE_SHELL": "a-secret-of-the-caller"})
        finally:
            observer.ended.set()
            observer.join()
        self.output, self.observer, self.folders = self.result.stdout, observer, [clone, cache, temp]
        runs = list((clone / ".postern" / "runs").glob("*"))
        assert self.result.returncode == 0 and len(runs) == 1, self.output
        self.folder = runs[0]
        self.workspace = self.folder / "workspace"

    def one(self, pattern):
        found = re.findall(pattern, self.output, re.M)
        assert len(found) == 1, f"{pattern} {len(found)} times in:\n{self.output}"
        return found[0]


@pytest.fixture(scope="module", params=["root", "ordinary"])
def demo(request, programs, base_image, reachable):
    root = request.param == "root" and os.getuid() == 0
    user = request.getfixturevalue("root_user" if root else "ordinary_user")
    folder = user.folder(reachable, "demo")
    clone = folder / "a clone"
    clone.mkdir()
    for part in ("tools", "examples"):
        shutil.copytree(ROOT / part, clone / part)
    shutil.copytree(programs, clone / "build")
    (clone / "build" / "demo").mkdir()
    shutil.copy(base_image, clone / "build" / "demo" / "debian-tcc.tar")
    temp = Path(tempfile.mkdtemp(prefix="pt-", dir="/tmp"))  # short: sockets are made below it
    if os.getuid() == 0:
        subprocess.run(["chown", "-R", f"{user.uid}:{user.gid}", clone, temp], check=True)
    yield Demo(user, clone, folder / "cache", temp)
    shutil.rmtree(temp)
    shutil.rmtree(folder, ignore_errors=os.getuid() != 0)


def test_image_is_real_and_was_downloaded(demo):
    shown = demo.one(r"^digest: sha256:([0-9a-f]{64})$")
    with tarfile.open(demo.workspace / "image.tar") as image:
        content = {m.name: image.extractfile(m).read() for m in image.getmembers() if m.isfile()}
    index = json.loads(content["index.json"])
    assert [manifest["digest"] for manifest in index["manifests"]] == ["sha256:" + shown]
    blobs = {name.split("/")[-1]: data for name, data in content.items() if name.startswith("blobs/sha256/")}
    assert all(hashlib.sha256(data).hexdigest() == name for name, data in blobs.items())
    manifest = json.loads(blobs[shown])
    assert all(part["digest"].split(":")[1] in blobs for part in [manifest["config"], *manifest["layers"]])
    config = json.loads(blobs[manifest["config"]["digest"].split(":")[1]])
    assert config["config"]["Entrypoint"] == ["/hello"]


def test_the_one_file_fetched_runs(demo):
    said = "Hello from a program that was compiled on the other side of the gate."
    assert demo.one(r"^hello: \d+ bytes; it says: (.*)$") == said
    assert demo.user.run([demo.workspace / "hello"]).stdout == said + "\n"


def test_log_was_followed_while_it_was_built(demo):
    log = re.findall(r"^   \| (.*)$", demo.output, re.M)
    # Not what RUN steps print: buildah with chroot isolation loses all of a short step's output now and then.
    assert [line.split(": ")[1].split()[0] for line in log if "STEP" in line] == [
        "FROM", "COPY", "RUN", "RUN", "RUN", "FROM", "COPY", "ENTRYPOINT"]
    assert demo.one(r"^answer: (\d+), job: /jobs/j[0-9a-z]+$") == "202"


def test_direct_connections_fail(demo):
    failed = re.findall(r"^(http://\S+) directly: curl: \(7\) Failed to connect", demo.output, re.M)
    assert failed == ["http://host.openshell.internal:9090/", "http://10.200.0.1:9090/", "http://1.1.1.1/"]


def test_refusals(demo):
    proxy = json.loads(demo.one(r"^DELETE /jobs/\w+: 403 from the proxy: (.*)$"))
    assert proxy["error"] == "policy_denied"
    server = json.loads(demo.one(r"^GET /jobs/\w+ without a token: 401 from the server: (.*)$"))
    assert server["status"] == 401 and server["hint"]


@pytest.mark.once
def test_the_real_token_is_nowhere(demo):
    token = demo.observer.token
    assert token, "the token of the run was not found in the runner's memory, so nothing can be said about it"
    assert demo.one(r"^API_TOKEN=(.*)$") == "openshell:resolve:env:API_TOKEN"
    assert token not in demo.output
    assert {"postern-keeper", "postern-worker", "postern-dialer", "curl"} <= demo.observer.names  # so it did look
    assert not [seen for seen in demo.observer.seen if token.encode() in seen]
    for folder in demo.folders:
        for path in folder.rglob("*"):
            assert path.is_symlink() or not path.is_file() or token.encode() not in path.read_bytes(), f"{path} holds the token"


def test_environment_of_the_caller_stays_outside(demo):
    with_it = [seen for seen in demo.observer.seen if b"a-secret-of-the-caller" in seen]
    assert with_it  # the demo itself
    assert not [seen for seen in with_it if b"OPENSHELL_SANDBOX" in seen or b"POSTERN_RUN_ID" in seen]


def test_nothing_is_left(demo):
    demo.one(r"^ok     nothing left       no process, mount, socket or temporary file")
    demo.leaks.check()
    assert list(demo.temp.iterdir()) == []
    assert sorted(path.name for path in demo.folder.iterdir()) == ["api.log", "decisions.jsonl", "decisions.log", "run.json", "workspace"]
    assert sorted(path.name for path in demo.workspace.iterdir()) == ["agent.sh", "context", "hello", "image.tar"]


def test_record_says_the_same(demo):
    record = json.loads((demo.folder / "run.json").read_text())
    assert record["outcome"] == "agent ended" and record["exit_code"] == 0
    assert all(step["state"] == "ok" for step in record["steps"])
