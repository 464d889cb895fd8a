# SPDX-License-Identifier: Apache-2.0
"""The life of `postern serve`: its options and state directory, draining, restarts, and the death of each of its processes."""
import contextlib
import http.client
import json
import os
import re
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import time
from pathlib import Path

import pytest

from conftest import ROOT, wait_for
from contexts import tar_of
from limits import LIMITS
from processes import alive, below, children
from serve_driver import SCRATCH, SLOW, Server
from wire import Peer, events_of, request


@pytest.fixture
def server(user, postern, workdir, leak_check):
    """As root and as an ordinary user."""
    s = Server(user, postern, workdir)
    yield s
    s.close()


@pytest.fixture
def plain(ordinary_user, postern, reachable, leak_check):
    """As an ordinary user only, where it makes no difference."""
    s = Server(ordinary_user, postern, ordinary_user.folder(reachable))
    yield s
    s.close()
    shutil.rmtree(s.folder, ignore_errors=True)


# --- the state directory ----------------------------------------------------------------------------------------------


def test_a_state_directory_is_made_for_us_alone(server):
    server.start()
    assert stat.S_IMODE(server.state.stat().st_mode) == 0o700
    assert server.stop() == 0


def test_a_state_directory_that_others_can_enter_is_refused_and_left_as_it_is(server):
    server.state.mkdir()
    os.chown(server.state, server.user.uid, server.user.gid)
    server.state.chmod(0o750)
    code, line = server.refused()
    assert code == 6 and "chmod 700" in line and "0750" in line
    assert stat.S_IMODE(server.state.stat().st_mode) == 0o750


def test_a_state_directory_of_another_user_is_refused(server):
    server.state.mkdir(mode=0o700)
    os.chown(server.state, 12345, 12345)
    code, line = server.refused()
    assert code == 6
    # An ordinary user cannot even open it.
    assert "belongs to uid 12345" in line if server.user.uid == 0 else "Permission denied" in line


def test_a_folder_with_other_things_in_it_is_refused(server):
    server.state.mkdir(mode=0o700)
    (server.state / "thesis.txt").write_text("mine")
    for path in (server.state, server.state / "thesis.txt"):
        os.chown(path, server.user.uid, server.user.gid)
    code, line = server.refused()
    assert code == 6 and "thesis.txt" in line and "new or an empty one" in line
    assert os.listdir(server.state) == ["thesis.txt"]


def test_a_state_directory_that_cannot_be_written_is_refused(root_user, postern, reachable, leak_check):
    server = Server(root_user, postern, root_user.folder(reachable))
    server.state.mkdir(mode=0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro,mode=0700", "postern-test-ro", server.state], check=True)
    try:
        code, line = server.refused()
        assert code == 6 and f"{server.state} cannot be written: Read-only file system" in line and "name one" in line
    finally:
        subprocess.run(["umount", server.state], check=True)


def test_an_empty_folder_of_ours_is_taken(server):
    server.state.mkdir(mode=0o700)
    os.chown(server.state, server.user.uid, server.user.gid)
    server.start()
    assert server.stop() == 0


def test_two_servers_cannot_share_a_state_directory(server):
    server.start()
    code, line = server.refused()
    assert code == 6 and "another server uses" in line
    assert server.stop() == 0
    server.start()  # the lock went with the first
    assert server.stop() == 0


def test_a_killed_server_can_be_started_again_at_once(server):
    run = server.start().ready["run"]
    server.process.kill()
    server.process.wait()
    assert server.start().ready["run"] == run
    assert server.stop() == 0


def test_without_a_state_directory_a_temporary_one_is_removed(server):
    folder = server.user.folder(server.folder, "tmp")
    server.start(state=False, env={"TMPDIR": str(folder)})
    assert len(os.listdir(folder)) == 1
    assert server.build(SCRATCH, wait=60).json()["state"] == "succeeded"
    assert server.stop() == 0
    assert os.listdir(folder) == []


# --- the database -----------------------------------------------------------------------------------------------------


def damage(server, how):
    server.state.mkdir(mode=0o700, exist_ok=True)
    os.chown(server.state, server.user.uid, server.user.gid)
    path = server.state / "postern.db"
    how(path)
    os.chown(path, server.user.uid, server.user.gid)
    return path.read_bytes()


SQLITE = "import sqlite3, sys\nc = sqlite3.connect(sys.argv[1])\nfor s in sys.argv[2:]: c.execute(s)\nc.commit(); c.close()"


def sqlite(path, *statements):
    subprocess.run(["/usr/bin/python3", "-c", SQLITE, path, *statements], check=True)


@pytest.mark.parametrize(("how", "words"), [
    (lambda path: path.write_text("certainly not a database. " * 500), "not a database"),
    (lambda path: sqlite(path, "CREATE TABLE moz_places (id)"), "another program's"),
    (lambda path: sqlite(path, "CREATE TABLE job (id)", "PRAGMA application_id = 1886352244", "PRAGMA user_version = 99"), "version 99"),
], ids=["text", "foreign", "newer"])
def test_a_database_that_is_not_ours_is_refused_and_left_as_it_is(server, how, words):
    before = damage(server, how)
    code, line = server.refused()
    assert code == 6 and words in line and "name another state directory" in line
    assert (server.state / "postern.db").read_bytes() == before


def test_a_damaged_database_is_refused(plain):
    plain.start()
    for _ in range(5):
        plain.build(b"no archive", wait=60)
    assert plain.stop() == 0
    path = plain.state / "postern.db"
    data = bytearray(path.read_bytes())
    assert len(data) > 8192  # the server has written its log back into the file at its end
    data[4096:] = secrets.token_bytes(len(data) - 4096)
    path.write_bytes(data)
    code, line = plain.refused()
    assert code == 6 and "postern.db" in line and "name another state directory" in line


def test_a_run_keeps_its_id_and_another_runs_directory_is_refused(plain):
    assert plain.start("--run-id", "r-one").ready["run"] == "r-one"
    assert plain.stop() == 0
    assert plain.start().ready["run"] == "r-one"
    assert plain.stop() == 0
    code, line = plain.refused("--run-id", "r-two")
    assert code == 6 and "r-one" in line and "r-two" in line


@pytest.mark.parametrize("text", ["", "-a", "a-", "A", "a/b", "a" * 32])
def test_a_run_id_that_cannot_be_part_of_an_image_name_is_refused(plain, text):
    code, line = plain.refused("--run-id", text)
    assert code == 2 and "--run-id" in line


# --- the token --------------------------------------------------------------------------------------------------------


def environ(pid):
    return Path(f"/proc/{pid}/environ").read_bytes()


def test_a_token_from_each_source_works_and_is_nowhere_to_be_read(server):
    def check():
        assert server.get("/jobs").status == 200
        token = server.token.encode()
        for pid in [server.process.pid, *below(server.process.pid)]:
            assert token not in Path(f"/proc/{pid}/cmdline").read_bytes()
            assert token not in environ(pid)
        assert token not in server.log.read_bytes()
        assert server.stop() == 0

    server.start()
    check()
    server.start("--token", server.token, token=False)
    check()
    assert "--token shows the token" in server.said()
    server.start(f"--token={server.token}", token=False)
    check()
    server.start(token=False, env={"POSTERN_TOKEN": server.token})
    check()
    read, write = os.pipe()
    os.write(write, server.token.encode() + b"\n")
    os.close(write)
    server.start("--token-fd", str(read), token=False, pass_fds=[read])
    os.close(read)
    check()


def test_exactly_one_source_of_a_token(plain):
    code, line = plain.refused(token=False)
    assert code == 2 and "--token-file" in line
    code, line = plain.refused("--token", plain.token)
    assert code == 2 and "more than one token" in line
    code, line = plain.refused(env={"POSTERN_TOKEN": plain.token})
    assert code == 2 and "more than one token" in line


@pytest.mark.parametrize(("token", "words"), [
    ("", "too weak"), ("short", "too weak"), ("a" * 64, "too weak"), ("0123456" * 8, "too weak"), ("x" * 600, "512"),
    ("with a space " + "0123456789abcdef" * 2, "Authorization"), ("0123456789abcdef\n0123456789abcdef\n", "Authorization"),
])
def test_a_token_that_cannot_serve_is_refused(plain, token, words):
    plain.write("token", token)
    code, line = plain.refused()
    assert code == 3 and words in line
    assert len(token) < 16 or token not in line


def test_the_token_file_is_read_with_care(plain):
    token = plain.folder / "token"
    token.chmod(0o644)
    plain.start()
    assert "others can read the token file" in plain.said()
    assert plain.stop() == 0
    token.chmod(0o660)
    code, line = plain.refused()
    assert code == 3 and "others can write the token file" in line and "chmod 600" in line
    token.unlink()
    code, line = plain.refused()
    assert code == 3 and "No such file" in line
    code, line = plain.refused("--token-fd", "77", token=False)
    assert code == 3 and "Bad file descriptor" in line


def test_the_life_of_a_token_ends(plain):
    plain.start("--token-expires", "1")
    answer = wait_for(lambda: (a := plain.get("/jobs")).status == 401 and a, 20, "expiry")
    assert "expired" in answer.body.decode() and answer.headers["www-authenticate"] == "Bearer"
    assert plain.stop() == 0
    plain.start("--token-expires", "0")
    assert plain.get("/jobs").status == 200
    assert plain.stop() == 0


# --- sockets and readiness --------------------------------------------------------------------------------------------


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=30)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(30)
        self.sock.connect(self.path)


def ask_unix(path, target, token=None):
    c = UnixConnection(path)
    c.request("GET", target, headers={"Authorization": f"Bearer {token}"} if token else {})
    status = c.getresponse().status
    c.close()
    return status


def test_the_ready_line_says_where(server):
    server.start()
    ready = server.ready
    assert list(ready) == ["address", "port", "socket", "run"]
    assert ready["address"] == "127.0.0.1" and ready["port"] > 0 and ready["socket"] is None and ready["run"]
    assert server.get("/healthz").status == 200
    assert server.stop() == 0


def test_sockets_serve_and_go(server):
    api, health = server.folder / "a.sock", server.folder / "h.sock"
    server.start("--socket", api, "--health-socket", health, port=False)
    assert server.ready["socket"] == str(api) and server.ready["port"] is None and server.ready["address"] is None
    assert ask_unix(api, "/jobs", server.token) == 200
    assert ask_unix(api, "/jobs") == 401
    assert ask_unix(health, "/healthz") == 200
    assert ask_unix(health, "/jobs", server.token) == 404
    other = Server(server.user, server.postern, server.user.folder(server.folder, "other"))
    code, line = other.refused("--socket", api, port=False)
    assert code == 5 and "another server uses it" in line
    assert ask_unix(api, "/healthz") == 200  # it was not taken away
    server.process.kill()
    server.process.wait()
    server.start("--socket", api, "--health-socket", health, port=False)  # what the dead one left is replaced
    assert server.stop() == 0
    assert not api.exists() and not health.exists()


def test_an_address_that_cannot_be_had(plain):
    plain.start()
    other = Server(plain.user, plain.postern, plain.user.folder(plain.folder, "other"))
    port = str(plain.ready["port"])
    code, line = other.refused("--port", port, port=False)
    assert code == 5 and f"127.0.0.1:{port}" in line and "Address already in use" in line and "0 for a free one" in line
    assert not other.state.exists()  # refused before anything is made
    code, line = other.refused("--bind-address", "192.0.2.1")
    assert code == 5 and "192.0.2.1" in line
    code, line = other.refused("--bind-address", "localhost")
    assert code == 2 and "IPv4 address" in line
    code, line = other.refused("--socket", "/" + "x" * 200, port=False)
    assert code == 2 and "a socket's path" in line
    file = plain.write("precious", "text")
    code, line = other.refused("--socket", file, port=False)
    assert code == 5 and file.read_text() == "text"


@pytest.mark.parametrize("abstract", [False, True])
def test_the_service_manager_is_told(plain, abstract):
    name = f"\0postern-test-{secrets.token_hex(8)}" if abstract else str(plain.folder / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind(name)
        if not abstract:
            os.chmod(name, 0o777)
        s.settimeout(30)
        plain.start(env={"NOTIFY_SOCKET": name.replace("\0", "@")})
        assert s.recv(100) == b"READY=1"
        plain.process.terminate()
        assert s.recv(100) == b"STOPPING=1"
        assert plain.ended() == 0


# --- help and manual --------------------------------------------------------------------------------------------------


def test_help_and_manual_agree(postern):
    help_text = subprocess.run([postern, "serve", "--help"], capture_output=True, text=True, check=True).stdout
    page = (ROOT / "docs/man/postern-serve.1").read_text()
    listed = re.findall(r"^  --([a-z-]+)", help_text, flags=re.M)
    assert len(listed) > 10
    options = page[page.index(".SH OPTIONS") : page.index(".SH CONFIGURATION")].replace("\\", "")
    assert re.findall(r"^\.TP\n\.BR --([a-z-]+)", options, flags=re.M) == listed
    for section in ("NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "CONFIGURATION", "SIGNALS", "EXIT STATUS", "FILES", "EXAMPLES", "BUGS"):
        assert f".SH {section}\n" in page
    for default in ("DEFAULT_DRAIN_SECONDS", "DEFAULT_TOKEN_SECONDS"):
        assert re.search(rf"\bdefault {LIMITS[default]}\b", help_text) and re.search(rf"\bdefault {LIMITS[default]}\b", page)
    codes = {int(n) for n in re.findall(r"\b(\d) [a-z]", help_text[help_text.index("Exit status") :])}
    assert {int(n) for n in re.findall(r"^(\d)\t", page, flags=re.M)} == codes


def test_the_manual_is_well_formed():
    done = subprocess.run(["man", "--warnings", "-l", "-Tutf8", ROOT / "docs/man/postern-serve.1"], capture_output=True, text=True, check=True,
                          env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "MANWIDTH": "100"})
    assert done.stderr == ""


def test_wrong_usage_is_one_line(plain):
    longest = [["--grace", str(24 * 3600 + 1)], ["--token-expires", str(366 * 24 * 3600 + 1)]]
    for options in (["--port", "70000"], ["--port", "x"], ["--grace", "-1"], *longest, ["--log", "loud"], ["argument"], ["--bogus"]):
        code, line = plain.refused(*options)
        assert code == 2 and line


def test_a_log_for_programs_is_json_line_by_line(plain):
    plain.start("--log", "json")
    assert plain.build(b"no archive", wait=60).status == 200
    assert plain.stop() == 0
    lines = [json.loads(line) for line in plain.said().splitlines()]
    assert len(lines) >= 2 and all(isinstance(line, dict) and line["message"] for line in lines), lines


def test_waits_are_told_and_end(server, bases):
    server.start(*bases)
    began = time.monotonic()
    answer = server.build(SLOW, wait=1)
    assert answer.status == 202 and 1 <= time.monotonic() - began < 15, answer
    assert answer.headers["preference-applied"] == "wait=1" and int(answer.headers["retry-after"]) > 0
    assert answer.headers["location"] == f"/jobs/{answer.json()['id']}"
    assert server.ask("DELETE", answer.headers["location"]).status in (200, 202)
    server.await_ended(answer.json()["id"])
    answer = server.build(SCRATCH, wait=60)
    assert answer.status == 200 and answer.headers["preference-applied"] == "wait=60" and "retry-after" not in answer.headers
    assert server.stop() == 0


def test_an_idempotency_key_outlives_the_server(plain):
    build = lambda query="tag=x": plain.build(b"no archive", 60, query, **{"Idempotency-Key": "k"})  # noqa: E731
    plain.start()
    job = build().json()
    assert plain.stop() == 0
    plain.start()
    assert build().json() == job
    assert build("tag=y").status == 409
    assert [other["id"] for other in plain.get("/jobs").json()["jobs"]] == [job["id"]]
    assert plain.stop() == 0


def test_a_retry_waits_until_it_is_known_what_becomes_of_the_first(plain):
    plain.start()
    body, headers = tar_of(SCRATCH), {"Authorization": f"Bearer {plain.token}", "Idempotency-Key": "k"}
    first = plain.connect()
    first.putrequest("POST", "/build?tag=x")
    for name, value in {**headers, "Content-Length": len(body)}.items():
        first.putheader(name, value)
    first.endheaders(body[:-100])
    wait_for(lambda: len(plain.jobs_on_disk()) == 1, 30, "the upload")
    retry = plain.build(body, **headers)
    assert retry.status == 503 and int(retry.headers["retry-after"]) > 0 and "still sending" in retry.json()["detail"]
    first.close()
    job = wait_for(lambda: (a := plain.build(body, **headers)).status != 503 and a, 30, "the end of the first").json()["id"]
    assert plain.await_ended(job)["state"] == "succeeded"
    assert plain.build(body, **headers).json()["id"] == job
    assert plain.stop() == 0


# --- draining and starting again --------------------------------------------------------------------------------------


def scratch_of(server):
    """What jobs left for the jail's ids, as root sees it."""
    return [str(path) for name in ("work", "probe") for path in server.state.glob(f"jobs/*/{name}")]


@pytest.fixture(scope="module")
def base_caches(base_image, postern, reachable):
    """Each user's store with the base image, made when it is first asked for."""
    made = {}

    def cache_of(user):
        if user.name not in made:
            made[user.name] = user.folder(reachable, "cache")
            added = user.run([postern, "base", "add", "debian-tcc", base_image, "--cache-dir", made[user.name]])
            assert added.returncode == 0, added.stderr
        return made[user.name]

    yield cache_of
    for folder in made.values():
        shutil.rmtree(folder)


@pytest.fixture
def bases(user, base_caches, workdir):
    """Options with which a build can RUN something."""
    config = workdir / "bases.yaml"
    config.write_text("bases: [debian-tcc]\n")
    return ["--cache-dir", base_caches(user), "--config", config]


def start_slow(server, files=SLOW):
    """A job whose RUN is under way; its id."""
    job = server.build(files).json()["id"]
    wait_for(lambda: b"STEP 2/2" in server.get(f"/jobs/{job}/log").body, 120, "the step that sleeps")
    return job


def test_draining_takes_no_new_job_and_lets_running_ones_end(server, bases):
    server.start(*bases, "--grace", "60")
    job = start_slow(server, {"Dockerfile": "FROM debian-tcc\nRUN sleep 3\n"})
    server.process.terminate()
    wait_for(lambda: "draining" in server.said(), 30, "draining")
    answer = server.build(SCRATCH)
    assert answer.status == 503 and int(answer.headers["retry-after"]) > 0 and answer.headers["content-type"] == "application/problem+json"
    assert server.get("/jobs").status == 200
    assert server.ended() == 0
    server.start(*bases)
    assert server.job(job)["state"] == "succeeded"
    assert server.stop() == 0


def test_after_the_grace_running_jobs_are_lost_and_cleaned_up_and_queued_ones_wait(server, bases):
    server.start(*bases, "--grace", "0")
    running = [start_slow(server) for _ in range(2)]
    queued = server.build(SCRATCH).json()
    assert queued["state"] == "queued"
    assert server.stop() == 0
    assert scratch_of(server) == []
    server.start(*bases)
    for job in running:
        view = server.job(job)
        assert view["state"] == "lost" and "server ended" in view["result"]["error"]
    assert server.await_ended(queued["id"])["state"] == "succeeded"
    assert server.stop() == 0


def test_a_second_signal_ends_at_once(server, bases, leak_check):
    server.start(*bases, "--grace", "1000")
    job = start_slow(server)
    server.process.terminate()
    wait_for(lambda: "draining" in server.said(), 30, "draining")
    assert server.stop(20) == 0
    leak_check.check(20)
    server.start(*bases)
    assert server.job(job)["state"] == "lost"
    wait_for(lambda: not scratch_of(server), 60, "cleaning")
    assert server.stop() == 0


def test_a_front_that_dies_while_draining_is_started_again(server, bases):
    server.start(*bases, "--grace", "1000")
    job = start_slow(server)
    server.process.terminate()
    wait_for(lambda: "draining" in server.said(), 30, "draining")
    server.kill("front")
    wait_for(lambda: "started again" in server.said(), 30, "another front")
    assert server.job(job)["state"] == "running"
    assert server.build(SCRATCH).status == 503
    assert server.stop() == 0


@pytest.mark.waits
def test_a_keeper_that_hangs_does_not_hold_the_end_up(plain):
    plain.start("--grace", "1000")
    plain.kill("keeper", signal.SIGSTOP)
    began = time.monotonic()
    plain.process.terminate()
    plain.process.send_signal(signal.SIGINT)  # two of a kind could become one
    assert plain.ended() == 0
    assert time.monotonic() - began > LIMITS["LIMIT_KEEPER_END_SECONDS"] - 1
    assert "keeper did not end" in plain.said()
    plain.start()
    assert plain.stop() == 0


@pytest.mark.waits
@pytest.mark.once
def test_after_the_grace_keeper_has_little_time(plain):
    plain.start("--grace", "1")
    plain.kill("keeper", signal.SIGSTOP)
    began = time.monotonic()
    assert plain.stop() == 0
    assert time.monotonic() - began > 1 + LIMITS["LIMIT_DRAIN_SLACK_SECONDS"] - 1
    assert "keeper did not end" in plain.said()


def test_whoever_reads_what_it_says_may_go(server):
    """Only its words are lost then: neither jobs nor, at the end, its socket and temporary folder stay."""
    folder, path = server.user.folder(server.folder, "tmp"), server.folder / "sock"
    read, write = os.pipe()
    server.process = server.user.popen(server.argv(["--socket", path], state=False), stdout=write, stderr=write, env={"TMPDIR": str(folder)})
    os.close(write)
    wait_for(lambda: os.read(read, 1000), 30, "the ready line")
    os.close(read)
    front = server.child("front")
    os.kill(front, signal.SIGKILL)  # which is to be told
    wait_for(lambda: server.child("front") != front, 30, "another front")
    assert ask_unix(path, "/jobs", server.token) == 200
    server.process.terminate()
    assert server.process.wait(60) == 0
    assert not path.exists() and os.listdir(folder) == []


def test_events_go_on_where_they_were_cut(server, bases):
    def resumed(event=None):
        """What comes until nothing new does, without the connection's end; all of it when the job has ended."""
        fields = [f"Last-Event-ID: {event.id}"] if event else []
        text = b""
        with Peer(server.ready["port"], request("GET", path, *fields, token=server.token, host="localhost"), 2) as peer:
            assert peer.head()[0] == 200
            with contextlib.suppress(TimeoutError):
                for chunk in peer.chunks():
                    text += chunk
        return events_of(text.decode())

    server.start(*bases, "--grace", "0")
    files = {"Dockerfile": "FROM debian-tcc\nRUN i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo line $i; done; sleep 300\n"}
    job = server.build(files).json()["id"]
    path = f"/jobs/{job}/events"
    wait_for(lambda: server.get(f"/jobs/{job}/log").body.endswith(b"line 3000\n"), 120, "the step that sleeps")
    whole = resumed()
    assert whole[0].name == "state" and whole[0].data["state"] == "running" and len(whole) >= 3
    for i, event in enumerate(whole):
        assert resumed(event) == whole[i + 1 :]
    assert server.stop() == 0
    server.start(*bases)
    after = events_of(server.get(path).body.decode())
    assert after[-1].data["state"] == "lost"
    log = lambda events: "".join(event.data for event in events if event.name == "log")  # noqa: E731
    for i, event in enumerate(whole):
        rest = events_of(server.get(path, headers={"Last-Event-ID": event.id}).body.decode())
        assert log(whole[: i + 1]) + log(rest) == log(after)
        assert [event.data for event in rest if event.name == "state"] == [after[-1].data]
    assert server.get(path, headers={"Last-Event-ID": after[-1].id}).status == 204
    assert server.stop() == 0


# --- jobs' ends -------------------------------------------------------------------------------------------------------


def test_a_job_that_takes_too_long_is_timed_out(server, bases):
    server.write("bases.yaml", "bases: [debian-tcc]\nlimits: { seconds: 5 }\n")
    server.start(*bases)
    job = start_slow(server)
    view = server.await_ended(job)
    assert view["state"] == "timed_out" and view["result"]["error"]
    assert server.jobs_on_disk()[job] == ["log"]
    assert server.stop() == 0


def test_queued_and_running_jobs_are_cancelled(server, bases):
    server.start(*bases)
    running = [start_slow(server) for _ in range(2)]
    queued = server.build(SLOW).json()["id"]
    assert server.job(queued)["state"] == "queued"
    for job in (queued, *running):
        assert server.ask("DELETE", f"/jobs/{job}").status == 200
        assert server.await_ended(job)["state"] == "cancelled"
        assert server.jobs_on_disk()[job] == ["log"]
        assert server.ask("DELETE", f"/jobs/{job}").status == 200  # again: nothing changes
        assert server.job(job)["state"] == "cancelled"
    wait_for(lambda: "postern-worker" not in children(server.process.pid), 30, "the workers' end")
    assert server.stop() == 0


def test_only_so_many_uploads_may_wait(plain):
    plain.start()
    uploads = []
    for _ in range(16):
        c = plain.connect()
        c.putrequest("POST", "/build?tag=x")
        c.putheader("Authorization", f"Bearer {plain.token}")
        c.putheader("Content-Length", "100000")
        c.endheaders(b"a part")
        uploads.append(c)
    wait_for(lambda: len(plain.jobs_on_disk()) == 16, 30, "the uploads")
    answer = plain.build(SCRATCH)
    assert answer.status == 429 and int(answer.headers["retry-after"]) > 0
    uploads.pop().close()
    wait_for(lambda: len(plain.jobs_on_disk()) == 15, 30, "the end of one")
    assert plain.build(SCRATCH, wait=60).json()["state"] == "succeeded"
    for c in uploads:
        c.close()
    assert plain.stop() == 0


def test_the_storage_of_a_run_bounds_uploads(server):
    server.start(*server.config("limits: { storage_bytes: 1000000 }\n"))
    answer = server.build(b"x" * 1100000)
    assert answer.status == 507 and answer.headers["content-type"] == "application/problem+json"
    answer = server.ask("POST", "/build?tag=x", iter([b"x" * 100000] * 11))  # chunked: its size is not known before
    assert answer.status == 507
    wait_for(lambda: server.jobs_on_disk() == {}, 30, "their end")
    assert server.build(b"x" * 900000, wait=60).json()["state"] == "failed"  # no archive, but taken
    assert server.stop() == 0


def test_a_full_storage_is_not_for_good(plain):
    plain.start(*plain.config("limits: { storage_bytes: 3000000 }\n"))
    jobs = []
    for _ in range(3):
        jobs.append(plain.build(b"no archive", wait=60).json()["id"])
        (plain.state / "jobs" / jobs[-1] / "log").write_bytes(b"x" * 1400000)
    assert plain.build(SCRATCH, wait=60).json()["state"] == "succeeded"
    left = [job["id"] for job in plain.get("/jobs").json()["jobs"]]
    assert jobs[0] not in left and jobs[2] in left
    assert plain.get(f"/jobs/{jobs[0]}/log").status == 404
    assert plain.stop() == 0


@pytest.mark.waits
def test_how_many_jobs_run_and_wait_is_configured(server, bases):
    server.write("bases.yaml", "bases: [debian-tcc]\nlimits: { jobs_running: 1, jobs_queued: 1 }\n")
    server.start(*bases)
    start_slow(server)
    queued = server.build(SCRATCH).json()
    assert queued["state"] == "queued"
    assert server.build(SCRATCH).status == 429
    assert server.ask("DELETE", f"/jobs/{queued['id']}").status == 200
    assert server.build(SCRATCH).json()["state"] == "queued"
    assert server.stop() == 0


def test_a_fault_in_the_configuration_has_a_place(plain):
    for text, words in (("engin: auto\n", ":1:1: unknown key \"engin\"; did you mean \"engine\"?"),
                        ("limits:\n  second: 5\n", ":2:3: unknown key \"second\"; did you mean \"seconds\"?"),
                        ("bases: [ok, -x]\n", ":1:13: '-x' is not a base image's name"),
                        ("bases: [" + ", ".join(f"b{n}" for n in range(17)) + "]\n", ":1:79: at most 16"),
                        ("limits: { jobs_queued: 100000 }\n", ":1:24: "), ("a: [\n", ":2:1: "), ("x: &a 1\ny: *a\n", ":1:")):
        code, line = plain.refused(*plain.config(text))
        assert code == 3 and f"config.yaml{words}" in line, line
    code, line = plain.refused("--config", plain.folder / "none.yaml")
    assert code == 3 and "none.yaml" in line


def test_a_configuration_that_may_not_be_read_is_named(plain):
    path = plain.write("config.yaml", "engine: auto\n")
    path.chmod(0)
    code, line = plain.refused("--config", path)
    assert code == 3 and f"{path}: " in line and "Permission denied" in line, line


def test_granted_images_that_are_not_there_are_warned_of(server, bases):
    server.write("bases.yaml", "bases: [debian-tcc, never-made]\n")
    server.start(*bases)
    assert "base image never-made is granted, but not there" in server.said() and "debian-tcc" not in server.said()
    assert "never-made" in server.build(SCRATCH, wait=60).json()["result"]["error"]
    assert server.stop() == 0


def test_documents_and_examples_of_the_configuration_agree(plain):
    page = (ROOT / "docs/man/postern-serve.1").read_text()
    page = page[page.index(".SH CONFIGURATION") : page.index(".SH SIGNALS")]
    source = (ROOT / "src/keeper/settings.c").read_text()
    known = set(re.findall(r'\{ "([a-z_]+)", LIMIT_', source)) | {"engine", "trust_dockerfiles", "docker_socket", "bases", "limits"}
    assert len(known) > 10
    assert set(re.findall(r"[a-z]+(?:_[a-z]+)+|engine|bases|limits|seconds|processes", page)) >= known
    for example in ROOT.glob("examples/**/postern.yaml"):
        plain.start("--config", example)
        assert plain.stop() == 0


# --- what keeper gave up ----------------------------------------------------------------------------------------------


def test_keeper_holds_only_what_it_needs(server):
    server.start()
    assert server.build(SCRATCH, wait=60).json()["state"] == "succeeded"  # and so it can do its work
    pid = server.child("keeper")
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line)
    assert {value for name, value in status.items() if name.startswith("Cap")} == {"0" * 16}
    assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2" and status["Groups"].split() == []
    assert os.listdir(f"/proc/{pid}/root/") == ["state"]
    assert "postern.db" in os.listdir(f"/proc/{pid}/root/state")
    for kind in ("net", "ipc", "mnt", "user", "uts"):
        assert os.readlink(f"/proc/{pid}/ns/{kind}") != os.readlink(f"/proc/self/ns/{kind}")
    mounts = Path(f"/proc/{pid}/mountinfo").read_text().splitlines()
    assert len(mounts) == 2 and all("nosuid" in line and "nodev" in line and "noexec" in line for line in mounts if " /state " in line)
    assert environ(pid) == b""
    assert server.stop() == 0


# --- the death of each process ----------------------------------------------------------------------------------------


def killed_whole(server):
    pids = [server.process.pid, *below(server.process.pid)]
    server.process.kill()
    server.process.wait()
    server.process.stdout.close()
    wait_for(lambda: not any(alive(pid) for pid in pids), 60, "end of all processes, the jail's included")


def test_the_whole_server_killed(server, bases):
    server.start(*bases)
    ended = server.build(SCRATCH, wait=60).json()
    running = [start_slow(server) for _ in range(2)]
    queued = server.build(SCRATCH).json()["id"]
    killed_whole(server)
    assert scratch_of(server) != []
    server.start(*bases)
    assert server.job(ended["id"]) == ended
    for job in running:
        assert server.job(job)["state"] == "lost"
    assert server.await_ended(queued)["state"] == "succeeded"
    wait_for(lambda: not scratch_of(server), 60, "cleaning")
    for job in running:
        assert server.jobs_on_disk()[job] == ["log"]
    assert b"STEP 2/2" in server.get(f"/jobs/{running[0]}/log").body
    assert server.stop() == 0


def test_folders_of_no_job_go_at_the_start(server, bases):
    server.start(*bases)
    start_slow(server)
    killed_whole(server)
    assert scratch_of(server) != []
    server.user.run(["/usr/bin/python3", "-c", SQLITE, server.state / "postern.db", "DELETE FROM job"], check=True)
    server.start(*bases)
    wait_for(lambda: os.listdir(server.state / "jobs") == [], 60, "cleaning")
    assert server.get("/jobs").json() == {"jobs": []}
    assert server.stop() == 0


def test_front_killed(server, bases):
    server.start(*bases)
    job = start_slow(server)
    waiting = server.connect()
    waiting.request("GET", f"/jobs/{job}?wait=100", headers={"Authorization": f"Bearer {server.token}"})
    upload = server.connect()
    upload.putrequest("POST", "/build?tag=x")
    upload.putheader("Authorization", f"Bearer {server.token}")
    upload.putheader("Content-Length", "1000")
    upload.endheaders(b"half")
    wait_for(lambda: len(server.jobs_on_disk()) == 2, 30, "the upload")
    server.kill("front")
    with pytest.raises((http.client.HTTPException, OSError)):
        waiting.getresponse()
    assert server.job(job)["state"] == "running"  # asked again
    assert list(server.jobs_on_disk()) == [job]  # half an upload is none
    assert "front ended (signal 9" in server.said()
    assert server.ask("DELETE", f"/jobs/{job}").status == 200
    server.await_state(job, "cancelled")
    assert server.stop() == 0


def test_a_front_that_keeps_dying_ends_the_server(plain):
    plain.start()
    for _ in range(11):
        pid = plain.child("front")
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda pid=pid: not alive(pid), 30, "front's end")
    assert plain.ended() == 1
    assert "front ended 11 times within a minute" in plain.said()


def test_keeper_killed(server, bases, leak_check):
    server.start(*bases)
    job = start_slow(server)
    server.kill("keeper")
    assert server.ended() == 1
    assert "keeper ended (signal 9" in server.said() and "the jobs it kept are in the state directory" in server.said()
    leak_check.check(20)  # no orphan: neither front nor the worker nor its jail
    server.start(*bases)
    assert server.job(job)["state"] == "lost"
    wait_for(lambda: not scratch_of(server), 60, "cleaning")
    assert server.stop() == 0


def test_keeper_killed_without_a_state_directory(plain):
    folder = plain.user.folder(plain.folder, "tmp")
    plain.start(state=False, env={"TMPDIR": str(folder)})
    plain.kill("keeper")
    assert plain.ended() == 1
    assert "the jobs it kept are gone" in plain.said() and "state directory" not in plain.said()
    assert os.listdir(folder) == []


def test_worker_killed(server, bases):
    server.start(*bases)
    job = start_slow(server)
    pids = below(server.child("worker"))
    assert pids
    server.kill("worker")
    view = server.await_ended(job)
    assert view["state"] == "lost" and "send it again" in view["result"]["error"] and view["artifacts"] == []
    wait_for(lambda: not any(alive(pid) for pid in pids), 60, "the jail's end")
    wait_for(lambda: server.jobs_on_disk()[job] == ["log"], 60, "cleaning")
    assert server.build(SCRATCH, wait=60).json()["state"] == "succeeded"
    assert server.stop() == 0


def test_jail_killed(server, bases):
    server.start(*bases)
    job = start_slow(server)
    worker = server.child("worker")
    # The jail's PID 1 and whatever else the worker has beside it: one after the other.
    for pid in [pid for pids in children(worker).values() for pid in pids]:
        os.kill(pid, signal.SIGKILL)
    view = server.await_ended(job)
    assert view["state"] in ("failed", "lost") and view["result"]["error"]
    wait_for(lambda: server.jobs_on_disk()[job] == ["log"], 60, "cleaning")
    assert server.build(SCRATCH, wait=60).json()["state"] == "succeeded"
    assert server.stop() == 0


# --- full disk --------------------------------------------------------------------------------------------------------


def test_a_full_disk_still_takes_the_ends_of_jobs(root_user, postern, reachable, leak_check):
    folder = root_user.folder(reachable, "disk")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "postern-test-disk", folder], check=True)
    server = Server(root_user, postern, folder)
    server.log = reachable / "disk-log"
    filler = folder / "filler"

    def fill():
        with open(filler, "ab", buffering=0) as f, contextlib.suppress(OSError):
            while True:
                f.write(b"x" * 4096)

    try:
        server.start()
        assert server.build(SCRATCH, wait=60).json()["state"] == "succeeded"
        running = server.build({"Dockerfile": "FROM scratch\nCOPY big /\n", "big": "x" * 2000000}).json()["id"]
        fill()
        view = server.await_ended(running)  # whatever its end is, it is recorded
        for _ in range(100):
            fill()
            answer = server.build(SCRATCH, wait=30)
            if "the disk is full" in server.said() and answer.status == 507:
                break
        assert answer.status == 507 and "disk" in answer.json()["title"] and "whoever runs the server" in answer.json()["hint"]
        assert server.job(running) == view
        filler.unlink()
        assert server.build(SCRATCH, wait=60).json()["state"] == "succeeded"
        assert server.stop() == 0
        server.start()
        assert server.job(running) == view
        assert server.stop() == 0
    finally:
        server.close()
        subprocess.run(["umount", folder], check=True)
