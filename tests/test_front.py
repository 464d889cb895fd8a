# SPDX-License-Identifier: Apache-2.0
"""postern-front in trouble: full disks, clients that stop, too many of them, the server's end, its limits."""

import contextlib
import os
import resource
import shutil
import signal
import socket
import sqlite3
import subprocess
import threading
import time
from pathlib import Path

import pytest
from conftest import BUILD, wait_for
from keeper_driver import STATES
from limits import LIMITS
from processes import child
from serve_driver import Server, running
from wire import Peer, ask, events_of, request

SECOND = 0.05  # what a second of front's limits lasts in `hurried`


def kit(folder, **scripts):
    """The built programs in a folder of their own, with shell scripts in place of some; gives the path of `postern`."""
    folder.mkdir()
    for program in BUILD.glob("postern*"):
        name = program.name.removeprefix("postern-")
        if program.is_dir() or program.suffix:
            continue
        if name in scripts:
            (folder / program.name).write_text(f"#!/bin/sh\n{scripts[name]}\n")
            (folder / program.name).chmod(0o755)
        elif name == "postern":
            shutil.copy(program, folder)  # it finds the others beside itself
        else:
            (folder / program.name).symlink_to(program)
    return folder / "postern"


class Watched(Server):
    """A server with what must be as before when a test is over."""

    def watch(self):
        self.front = child(self.process.pid, "postern-front")
        ask(self.port, request("GET", "/healthz", token=None))
        self.fds = wait_for(self.idle_fds, what="an idle front")

    def open_fds(self):
        return len(os.listdir(f"/proc/{self.front}/fd"))

    def idle_fds(self):
        first = self.open_fds()
        time.sleep(0.1)
        return first if first == self.open_fds() else 0

    def jobs(self):
        return os.listdir(self.folder / "state/jobs")

    def check_nothing_left(self, jobs=0):
        wait_for(lambda: self.open_fds() <= self.fds, what="front's descriptors closed")
        wait_for(lambda: len(self.jobs()) <= jobs, what="jobs given up")
        assert child(self.process.pid, "postern-front") == self.front, "front has been started again"
        assert ask(self.port, request("GET", "/jobs")).status == 200

    def end_at_once(self):
        for sig in signal.SIGTERM, signal.SIGINT:  # two of a kind could become one
            self.process.send_signal(sig)


@contextlib.contextmanager
def served(folder, *options, **popen):
    with running(folder, *options, kind=Watched, **popen) as s:
        s.watch()
        yield s


@pytest.fixture
def server(tmp_path):
    with served(tmp_path) as s:
        yield s
        s.check_nothing_left(jobs=len(s.jobs()))


@pytest.fixture
def hurried(tmp_path):
    """A server whose front counts a second as SECOND, so that its limits in seconds can be reached."""
    front = f'exec {BUILD}/postern-front "$1" {int(SECOND * 1000)}'
    with served(tmp_path, program=kit(tmp_path / "kit", front=front)) as s:
        yield s
        s.check_nothing_left(jobs=len(s.jobs()))


@pytest.fixture
def endless(tmp_path):
    """A server whose jobs never end by themselves."""
    with served(tmp_path, "--grace", "1", program=kit(tmp_path / "kit", worker="exec sleep 1000")) as s:
        yield s
        s.end_at_once()


@pytest.fixture
def hurried_endless(tmp_path):
    """Both of these."""
    front = f'exec {BUILD}/postern-front "$1" {int(SECOND * 1000)}'
    with served(tmp_path, program=kit(tmp_path / "kit", front=front, worker="exec sleep 1000")) as s:
        yield s
        s.end_at_once()


def upload(body=b"no archive", *fields, **kwargs):
    return request("POST", "/build?tag=x", *fields, body=body, **kwargs)


def finished_job(server, log=b""):
    """A job that has ended, with this log; gives its path in the API."""
    job = ask(server.port, upload(b"no archive", "Prefer: wait=60")).json["id"]
    path = server.folder / "state/jobs" / job / "log"
    path.write_bytes(log)
    return f"/jobs/{job}"


def end_workers(server, n):
    for _ in range(n):
        worker = wait_for(lambda: child(server.process.pid, "sleep"), what="a worker")
        os.kill(worker, signal.SIGKILL)
        wait_for(lambda worker=worker: not os.path.exists(f"/proc/{worker}"), what="its end")


# --- full disks -------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path):
    """A server whose state directory is on a disk of 8 MiB."""
    state = tmp_path / "state"
    state.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m,mode=700", "tmpfs", state], check=True)
    try:
        with served(tmp_path) as s:
            yield s
    finally:
        subprocess.run(["umount", "-l", state], check=True)


def test_a_disk_that_fills_is_told_and_all_is_given_back(small_disk):
    body = b"x" * (30 << 20)
    chunked = b"".join(b"%x\r\n%s\r\n" % (1 << 20, body[: 1 << 20]) for _ in range(30)) + b"0\r\n\r\n"
    for data in (upload(body), upload(chunked, "Transfer-Encoding: chunked")):
        answer = ask(small_disk.port, data)  # sends all of it before it reads, as plain clients do
        assert answer.status == 507 and answer.fields["connection"] == "close"
        small_disk.check_nothing_left()
    assert ask(small_disk.port, upload(b"x" * (1 << 20))).status == 200  # there is room again


def test_a_disk_that_is_full_takes_no_job(small_disk):
    filler = small_disk.folder / "state/filler"
    with open(filler, "wb") as f, contextlib.suppress(OSError):
        while True:
            f.write(b"x" * 65536)
            f.flush()
    # keeper has something in reserve for the jobs that are there, which may do for one more
    assert 507 in [ask(small_disk.port, upload()).status for _ in range(2)]
    filler.unlink()
    assert ask(small_disk.port, upload()).status == 200


# --- clients that stop ------------------------------------------------------------------------------------------------


def test_a_client_that_only_listens_any_more_gets_its_answer(server):
    job = finished_job(server, b"line\n" * 10)
    with Peer(server.port, request("GET", "/jobs") * 3) as peer:
        peer.finish()
        assert [peer.answer().status for _ in range(3)] == [200] * 3 and peer.ended()
    with Peer(server.port, request("GET", f"{job}/log?follow=1")) as peer:
        peer.finish()
        assert peer.answer().body == b"line\n" * 10 and peer.ended()
    log = b"line\n" * (8 << 20)  # more than goes out at once
    job = finished_job(server, log)
    for path in ("log", "log?follow=1"):
        with Peer(server.port, request("GET", f"{job}/{path}")) as peer:
            peer.finish()
            assert peer.answer().body == log and peer.ended()
    with Peer(server.port, upload(b"no archive")) as peer:
        peer.finish()
        assert peer.answer().status in (200, 202)


def test_a_client_that_only_listens_any_more_is_not_waited_for_and_is_told(endless):
    with Peer(endless.port, upload(b"x", "Prefer: wait=300")) as peer:
        peer.finish()
        answer = peer.answer()
        assert answer.status == 202 and "preference-applied" not in answer.fields and peer.ended()
    job = f"/jobs/{answer.json['id']}"
    with Peer(endless.port, request("GET", f"{job}?wait=300")) as peer:
        peer.finish()
        assert peer.answer().status == 200 and peer.ended()
    wait_for(lambda: ask(endless.port, request("GET", job)).json["state"] == "running", what="the job running")
    (endless.folder / f"state{job}/log").write_bytes(b"line\n")
    for path in ("log?follow=1", "events"):
        with Peer(endless.port, request("GET", f"{job}/{path}")) as peer:
            peer.head()
            chunks = peer.chunks()
            while b"line" not in next(chunks):
                pass
            peer.finish()
            with pytest.raises(AssertionError, match="ended inside"):  # it goes on, but not for this one
                list(chunks)


@pytest.mark.parametrize("data", [b"GET /jobs HTT", request("GET", "/jobs")[:-2], upload(b"x" * 100)[:-1]])
def test_a_request_that_ends_too_early_is_refused(server, data):
    with Peer(server.port, data) as peer:
        peer.finish()
        answer = peer.answer()
        assert answer.status == 400 and "ended inside" in answer.json["detail"] and peer.ended()
    server.check_nothing_left()


def test_a_waiting_client_that_goes_holds_nothing(endless):
    job = ask(endless.port, upload(b"x", "Prefer: wait=0")).json["id"]
    for target in (f"/jobs/{job}?wait=300", f"/jobs/{job}/log?follow=1", f"/jobs/{job}/events"):
        for leave in (Peer.close, Peer.reset):
            peer = Peer(endless.port, request("GET", target))
            wait_for(lambda: endless.open_fds() > endless.fds, what="the connection")
            time.sleep(0.1)
            leave(peer)
            endless.check_nothing_left(jobs=1)


def test_a_download_that_is_given_up_holds_nothing(server):
    job = finished_job(server, b"x" * (40 << 20))
    for leave in (Peer.close, Peer.reset):
        with Peer(server.port, request("GET", f"{job}/log")) as peer:
            peer.head()
            assert peer.file.read(65536)
            leave(peer)
        server.check_nothing_left(jobs=1)


def test_what_a_refused_client_still_sends_is_read_for_a_while(server):
    body = b"x" * (20 << 20)
    answer = ask(server.port, upload(body, token="wrong token"))
    assert answer.status == 401


# --- limits in seconds ------------------------------------------------------------------------------------------------


def ends_after(seconds, began):
    """Whether about that many of front's seconds have gone."""
    gone = (time.monotonic() - began) / SECOND
    return seconds * 0.9 <= gone


def test_a_head_that_dribbles_in_is_given_up(hurried):
    with Peer(hurried.port, b"GET /jobs HTTP/1.1\r\n") as peer:
        began = time.monotonic()
        stop = threading.Event()

        def dribble():
            with contextlib.suppress(OSError):
                while not stop.wait(SECOND):
                    peer.send(b"A: b\r\n")

        thread = threading.Thread(target=dribble)
        thread.start()
        answer = peer.answer()
        stop.set()
        thread.join()
        assert answer.status == 408 and ends_after(30, began)


@pytest.mark.waits
def test_a_connection_on_which_nothing_comes_is_closed(hurried):
    began = time.monotonic()
    with Peer(hurried.port) as peer:
        assert peer.ended() and ends_after(30, began)
    with Peer(hurried.port, request("GET", "/jobs")) as peer:
        began = time.monotonic()
        assert peer.answer().status == 200
        assert peer.ended() and ends_after(120, began)
    with Peer(
        hurried.port, request("GET", "/jobs") + b"GET /jobs"
    ) as peer:  # the second has a head's time, not an idle one's
        began = time.monotonic()
        assert peer.answer().status == 200 and peer.answer().status == 408
        assert ends_after(30, began) and not ends_after(100, began)


def test_a_body_that_stalls_is_given_up_and_one_that_dribbles_is_not(hurried):
    with Peer(hurried.port, upload(b"x" * 100)[:-60]) as peer:
        for _ in range(3):
            time.sleep(40 * SECOND)
            peer.send(b"x")
        began = time.monotonic()
        assert peer.answer().status == 408 and ends_after(60, began)
    hurried.check_nothing_left()


@pytest.mark.waits
def test_a_download_that_is_not_read_is_given_up(hurried):
    job = finished_job(hurried, b"x" * (40 << 20))
    for target in (f"{job}/log", f"{job}/log?follow=1"):
        began = time.monotonic()
        with Peer(hurried.port, request("GET", target)):
            wait_for(lambda: hurried.open_fds() > hurried.fds, what="the connection")
            wait_for(lambda: hurried.open_fds() <= hurried.fds, 60, "the connection given up")
            assert ends_after(120, began)


def queued(port, peer):
    """Bytes that the kernel holds between the two ends of a connection."""
    ends = {f":{p:04X}" for p in (port, peer.socket.getsockname()[1])}
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(int(n, 16) for row in rows if {row[1][-5:], row[2][-5:]} == ends for n in row[4].split(":"))


def block(log, port, peer):
    """Let a log grow until its follower takes no more of it: front then has some that it cannot send, but not much."""
    more = 2 << 20
    while True:
        with open(log, "ab") as f:
            f.write((b"x" * 1023 + b"\n") * (more >> 10))
        try:
            wait_for(lambda: queued(port, peer) >= log.stat().st_size, 2, "all of it sent")
        except AssertionError:
            return
        more = 128 << 10


@pytest.mark.waits
def test_a_stream_that_is_not_read_is_given_up_though_more_comes(hurried_endless):
    s = hurried_endless
    for path in ("log?follow=1", "events"):
        job = ask(s.port, upload(b"x", "Prefer: wait=0")).json["id"]
        log = s.folder / f"state/jobs/{job}/log"
        wait_for(log.exists, what="the log")
        with Peer(s.port, request("GET", f"/jobs/{job}/{path}")) as peer:
            peer.head()
            began = time.monotonic()
            block(log, s.port, peer)
            blocked = time.monotonic()
            while s.open_fds() > s.fds:
                assert not ends_after(1000, blocked), "it is held for ever"
                with open(log, "ab") as f:
                    f.write(b"x")
                time.sleep(SECOND)
            assert ends_after(120, began)


def test_a_keeper_that_does_not_answer_is_waited_for_so_long(hurried):
    keeper = child(hurried.process.pid, "postern-keeper")
    with Peer(hurried.port, request("GET", "/jobs")) as peer:
        assert peer.answer().status == 200
        os.kill(keeper, signal.SIGSTOP)
        try:
            began = time.monotonic()
            peer.send(upload(b"x"))
            assert peer.answer().status == 503 and ends_after(30, began)
            assert ask(hurried.port, request("GET", "/healthz", token=None)).status == 200
        finally:
            os.kill(keeper, signal.SIGCONT)
    hurried.check_nothing_left()  # what keeper made of it late is given up


def test_a_wait_ends_with_what_there_is(hurried_endless):
    s = hurried_endless
    began = time.monotonic()
    answer = ask(s.port, upload(b"x"))  # 20 s, when nothing else is said
    assert answer.status == 202 and ends_after(20, began) and answer.fields["location"].startswith("/jobs/")
    job = answer.json["id"]
    began = time.monotonic()
    answer = ask(s.port, request("GET", f"/jobs/{job}?wait=60"))
    assert answer.status == 200 and answer.json["state"] == "running" and ends_after(60, began)
    assert ask(s.port, request("GET", f"/jobs/{job}?wait=301")).status == 422
    with Peer(s.port, request("GET", f"/jobs/{job}/events")) as peer:  # 15 s without anything new
        peer.head()
        began = time.monotonic()
        assert any(b"still here" in chunk and ends_after(14, began) for chunk in peer.chunks())
    with Peer(s.port, request("GET", f"/jobs/{job}?wait=300")) as peer, Peer(
        s.port, upload(b"x", "Prefer: wait=100000")
    ) as other:
        wait_for(lambda: len(s.jobs()) == 2, what="the second job")
        end_workers(s, 2)
        assert peer.answer().json["state"] == other.answer().json["state"] == "lost"


def test_a_job_that_does_not_end_at_once_is_being_cancelled(hurried_endless):
    s = hurried_endless
    job = ask(s.port, upload(b"x", "Prefer: wait=0")).json["id"]
    wait_for(lambda: ask(s.port, request("GET", f"/jobs/{job}")).json["state"] == "running", what="the job running")
    began = time.monotonic()
    answer = ask(s.port, request("DELETE", f"/jobs/{job}"))
    assert answer.status == 202 and answer.json["state"] == "running" and ends_after(5, began)
    assert int(answer.fields["retry-after"]) > 0 and "location" not in answer.fields
    end_workers(s, 1)
    assert ask(s.port, request("GET", f"/jobs/{job}?wait=300")).json["state"] == "cancelled"
    assert ask(s.port, request("DELETE", f"/jobs/{job}")).status == 200


def test_a_stream_goes_on_for_as_long_as_its_job(hurried_endless):
    s = hurried_endless
    quiet, chatty = (ask(s.port, upload(b"x", "Prefer: wait=0")).json["id"] for _ in range(2))
    began, said = time.monotonic(), b""
    with contextlib.ExitStack() as stack:
        logs, events = (
            [stack.enter_context(Peer(s.port, request("GET", f"/jobs/{job}/{path}"))) for job in (quiet, chatty)]
            for path in ("log?follow=1", "events")
        )
        while not ends_after(60, began):  # twice what front waits for keeper
            with open(s.folder / f"state/jobs/{chatty}/log", "ab") as log:
                log.write(b"line\n")
            said += b"line\n"
            time.sleep(SECOND)
        end_workers(s, 2)
        assert [peer.answer().body for peer in logs] == [b"", said]
        for peer, log in zip(events, (b"", said)):
            found = events_of(peer.answer().body.decode())
            assert "".join(e.data for e in found if e.name == "log") == log.decode()
            assert found[-1].name == "state" and found[-1].data["state"] == "lost"


def test_lingering_ends(hurried):
    with Peer(hurried.port, upload(b"x" * 1000, token=None)[:-10]) as peer:
        began = time.monotonic()
        assert peer.answer().status == 401 and peer.ended()
        wait_for(lambda: hurried.open_fds() <= hurried.fds, what="the connection's end")
        assert ends_after(10, began)


def test_lingering_has_a_limit_in_bytes(server):
    with Peer(server.port, upload(b"x", "Content-Length: 2000000000", token=None)) as peer:
        assert peer.answer().status == 401
        piece, sent = b"x" * (1 << 20), 0
        with pytest.raises(OSError):
            while sent < 200 << 20:
                peer.send(piece)
                sent += len(piece)
        assert sent >= 60 << 20


# --- many clients -----------------------------------------------------------------------------------------------------


def test_too_many_connections_are_told_so(tmp_path):
    few = 264  # descriptors: enough for 36 connections

    def limit():
        resource.setrlimit(resource.RLIMIT_NOFILE, (few, few))

    health = tmp_path / "health"
    with served(tmp_path, "--health-socket", str(health), preexec_fn=limit) as s, contextlib.ExitStack() as stack:
        most = (few - 64 - 2 * 64) // 2
        peers = [stack.enter_context(Peer(s.port, request("GET", "/jobs"))) for _ in range(most)]
        assert all(p.answer().status == 200 for p in peers)
        refused = [stack.enter_context(Peer(s.port, request("GET", "/jobs"))) for _ in range(64)]
        assert all(p.answer().status == 503 for p in refused)
        late = stack.enter_context(Peer(s.port, request("GET", "/jobs")))  # not even refused yet
        code = [
            "curl",
            "-s",
            "-m",
            "10",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
            "--unix-socket",
            health,
            "http://x/healthz",
        ]
        assert subprocess.run(code, capture_output=True, check=True).stdout == b"200"
        for p in refused + peers[:1]:
            p.close()
        assert late.answer().status in (200, 503)
        late.close()
        wait_for(lambda: ask(s.port, request("GET", "/jobs")).status == 200, what="room again")
        for p in peers:
            p.close()
        s.check_nothing_left()


def test_answers_that_nobody_reads_have_a_size(tmp_path):
    with served(tmp_path, "--socket", str(tmp_path / "socket")) as s, contextlib.ExitStack() as stack:
        log = (b"x" * 1023 + b"\n") * 1024
        job = finished_job(s, log)
        for _ in range(12):
            finished_job(s)
        everything = request("GET", "/jobs?limit=256")  # longer than what is always answered
        assert len(ask(s.port, everything).body) > 4096
        for i in range(280):  # half of them are enough if each takes as much as a stream can have
            client = stack.enter_context(socket.socket(socket.AF_UNIX))
            client.connect(str(tmp_path / "socket"))
            client.sendall(request("GET", f"{job}/log?follow=1" if i % 2 else f"{job}/events"))
        wait_for(lambda: ask(s.port, everything).status == 503, 60, "so much unread")
        for path in ("/healthz", job, "/jobs?limit=1"):
            assert ask(s.port, request("GET", path)).status == 200
        assert ask(s.port, request("GET", f"{job}/log?follow=1")).body == log
        stack.close()
        wait_for(lambda: ask(s.port, everything).status == 200, what="an answer again")
        s.check_nothing_left(jobs=13)


@pytest.fixture
def many_descriptors():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 16384), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_four_thousand_connections_at_once(server, many_descriptors):
    with contextlib.ExitStack() as stack:
        peers = [stack.enter_context(Peer(server.port)) for _ in range(4096)]
        for p in peers:  # each asks keeper about its token, all at about the same time
            p.send(request("GET", "/jobs"))
        assert all(p.answer().status == 200 for p in peers)
        assert ask(server.port, request("GET", "/jobs")).status == 503


def test_a_greedy_client_does_not_starve_another(server):
    job = finished_job(server, b"x" * (40 << 20))
    many = request("GET", "/jobs?limit=256") * 5000
    stop = threading.Event()

    def flood():
        while not stop.is_set():
            with contextlib.suppress(OSError, AssertionError), Peer(server.port, many[: 1 << 19]) as peer:
                for _ in range(1000):
                    peer.answer()

    def download():
        while not stop.is_set():
            with contextlib.suppress(OSError, AssertionError):
                ask(server.port, request("GET", f"{job}/log?follow=1"))

    threads = [threading.Thread(target=t) for t in [flood] * 4 + [download] * 2]
    for t in threads:
        t.start()
    try:
        with Peer(server.port) as peer:
            for _ in range(100):
                began = time.monotonic()
                peer.send(request("GET", "/jobs"))
                assert peer.answer().status == 200
                assert time.monotonic() - began < 3
    finally:
        stop.set()
        for t in threads:
            t.join()


def test_questions_that_keeper_does_not_read_have_a_number(server):
    keeper = child(server.process.pid, "postern-keeper")
    os.kill(keeper, signal.SIGSTOP)
    try:
        for _ in range(4096 + 1000):  # what the channel holds, and then what front keeps
            with Peer(server.port, request("GET", "/jobs")) as peer:
                pass
        with Peer(server.port, request("GET", "/jobs")) as peer:
            began = time.monotonic()
            assert peer.answer().status == 503
            assert time.monotonic() - began < 25  # at once, not when the time for an answer is over
    finally:
        os.kill(keeper, signal.SIGCONT)
    wait_for(lambda: ask(server.port, request("GET", "/jobs")).status == 200, what="keeper caught up")


@pytest.mark.waits
def test_a_front_that_takes_no_answers_is_replaced(tmp_path):
    with served(tmp_path) as s, contextlib.ExitStack() as stack:
        peers = [stack.enter_context(Peer(s.port, request("GET", "/jobs"))) for _ in range(16)]
        assert all(p.answer().status == 200 for p in peers)
        keeper = child(s.process.pid, "postern-keeper")
        os.kill(keeper, signal.SIGSTOP)
        for p in peers:
            p.send(upload(b"xy")[:-1])
        time.sleep(0.5)
        for _ in range(400):  # what the channel holds in questions has more answers than it holds: these have two
            stack.enter_context(Peer(s.port, request("GET", "/jobs")))
        time.sleep(0.5)
        os.kill(s.front, signal.SIGSTOP)
        os.kill(keeper, signal.SIGCONT)
        wait_for(
            lambda: "has not read an answer" in (tmp_path / "log").read_text(), seconds=30, what="keeper's word on it"
        )
        wait_for(lambda: child(s.process.pid, "postern-front") not in (None, s.front), what="another front")
        wait_for(lambda: not s.jobs(), what="the uploads given up")
        assert ask(s.port, request("GET", "/jobs")).status == 200


# --- the server's end -------------------------------------------------------------------------------------------------


def test_what_is_being_answered_is_finished_at_the_end(endless):
    job = f"/jobs/{ask(endless.port, upload(b'x', 'Prefer: wait=0')).json['id']}"
    (endless.folder / "state" / job[1:] / "log").write_bytes(b"x" * (30 << 20))
    with contextlib.ExitStack() as stack:
        download, waiting, follower, events, idle = (
            stack.enter_context(Peer(endless.port, request("GET", target)))
            for target in (f"{job}/log", f"{job}?wait=300", f"{job}/log?follow=1", f"{job}/events", "/jobs")
        )
        sending = stack.enter_context(Peer(endless.port, upload(b"x" * 100)[:-10]))
        assert idle.answer().status == 200
        assert download.head()[0] == 200 and len(download.file.read(1 << 20)) == 1 << 20
        wait_for(lambda: len(endless.jobs()) == 2, what="the upload begun")
        endless.end_at_once()
        assert idle.ended()
        assert len(download.file.read()) == 29 << 20
        answer = waiting.answer()
        assert answer.status == 200 and answer.json["state"] == "running" and answer.fields["connection"] == "close"
        assert follower.answer().body.startswith(b"xxx")  # a stream that is cut ends as a stream does
        assert b"event: state" in events.answer().body
        assert sending.answer().status == 503
        assert endless.process.wait(20) == 0


def test_after_the_grace_workers_have_as_long_to_stop_as_at_other_times(endless):
    """keeper ends the one that does not, and records what became of its job, before the server ends."""
    job = ask(endless.port, upload(b"x", "Prefer: wait=0")).json["id"]
    worker = wait_for(lambda: child(endless.process.pid, "sleep"), what="the worker")
    began = time.monotonic()
    endless.process.terminate()
    wait_for(lambda: not os.path.exists(f"/proc/{worker}"), LIMITS["LIMIT_DRAIN_SLACK_SECONDS"] + 10, "the worker's end")
    assert time.monotonic() - began > 1 + LIMITS["LIMIT_JOB_STOP_SECONDS"] - 0.5
    assert endless.process.wait(20) == 0
    with contextlib.closing(sqlite3.connect(endless.folder / "state/postern.db")) as store:
        assert store.execute("SELECT state FROM job WHERE id = ?", (job,)).fetchone() == (STATES.index("lost"),)


def test_the_end_is_not_held_up_by_a_client_that_does_not_read(server):
    job = finished_job(server, b"x" * (40 << 20))
    with Peer(server.port, request("GET", f"{job}/log")) as peer:
        peer.head()
        began = time.monotonic()
        server.process.terminate()
        assert server.process.wait(20) == 0
        assert time.monotonic() - began < 10
    server.check_nothing_left = lambda **_: None  # it has ended
