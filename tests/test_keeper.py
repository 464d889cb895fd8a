# SPDX-License-Identifier: Apache-2.0
"""keeper alone: peers that flood it, do not read, or say what they must not; and what it gave up before it served."""
import os
import shutil
import socket
import time

import pytest

from channel import enumeration
from conftest import wait_for
from keeper_driver import SETTINGS, STATES, Keeper
from limits import LIMITS

PROBLEMS = {name: number for number, name in enumerate(enumeration("src/api/problem.h", "problem"))}


@pytest.fixture
def keeper(user, programs, workdir, leak_check):
    k = Keeper(user, programs, workdir)
    yield k
    k.close()


@pytest.fixture
def plain(ordinary_user, programs, reachable, leak_check):
    folder = ordinary_user.folder(reachable)
    k = Keeper(ordinary_user, programs, folder)
    yield k
    k.close()
    shutil.rmtree(folder)


def create(front, seq=1, upload=0):
    front.send("MESSAGE_JOB_CREATE", "build", "{}", "", upload, seq=seq)
    _, fields, fds, _ = front.await_message("MESSAGE_JOB_CREATED")
    for fd in fds:
        os.close(fd)
    assert fields[0] == 0, fields
    return fields[2]


def flood(peer, name, *fields):
    """Send until nothing more is taken; how many were."""
    peer.sock.settimeout(0.5)
    count = 0
    try:
        while count < 100000:
            peer.send(name, *fields, seq=count + 1)
            count += 1
    except TimeoutError:
        pass
    return count


def test_a_burst_of_questions_is_answered_in_order(plain):
    front, _ = plain.front()
    asked = answered = 0
    front.sock.setblocking(False)
    # Much more than the kernel holds: first without reading, then both at once.
    while answered < 3000:
        try:
            while asked < 3000:
                front.send("MESSAGE_AUTH_CHECK", b"wrong", seq=asked + 1)
                asked += 1
        except BlockingIOError:
            pass
        name, fields, _, seq = front.receive()
        front.sock.setblocking(False)
        answered += 1
        assert name == "MESSAGE_AUTH_RESULT" and seq == answered and fields[0] != 0


def test_a_front_that_does_not_read_is_ended_and_holds_nobody_up(plain):
    front, pid = plain.front()
    assert flood(front, "MESSAGE_AUTH_CHECK", b"wrong") < 100000  # keeper stops hearing it
    began = time.monotonic()
    plain.supervisor.send("MESSAGE_WORKER_EXITED", 7, 0)  # it hears others
    name, fields, _, _ = plain.supervisor.await_message("MESSAGE_FRONT_KILL", 30)
    assert fields == [pid] and 5 < time.monotonic() - began < 25
    assert "front has not read" in plain.said()
    second, _ = plain.front()
    second.send("MESSAGE_AUTH_CHECK", b"wrong", seq=1)
    assert second.await_message("MESSAGE_AUTH_RESULT")[3] == 1


def test_changes_of_jobs_never_wait_for_front(plain):
    front, pid = plain.front()
    create(front)
    _, worker = plain.worker()
    for number in range(2000):  # many more than a channel and a backlog hold; front reads none of them
        worker.send("MESSAGE_JOB_STAGE", f"stage {number}")
    worker.send("MESSAGE_JOB_RESULT", 4, "{}")
    plain.supervisor.send("MESSAGE_DRAIN", 60000)
    plain.supervisor.send("MESSAGE_WORKER_EXITED", 4242, 0)
    assert plain.supervisor.receive()[0] == "MESSAGE_DRAINED"
    # It is not ended for that: it hears of the newest state from the table.
    assert front.await_message("MESSAGE_JOB_CHANGED")
    assert "front has not read" not in plain.said()


@pytest.mark.parametrize("case", ["not its own", "unknown", "short", "with a descriptor"])
def test_a_front_that_says_what_it_must_not_is_ended(plain, case):
    front, pid = plain.front()
    if case == "not its own":
        front.send("MESSAGE_DRAIN", 0)
    elif case == "unknown":
        front.sock.send(b"\xff" * 16)
    elif case == "short":
        front.sock.send(front.encode("MESSAGE_JOB_CANCEL", "j0")[:-3])
    else:
        front.send("MESSAGE_JOB_CANCEL", "j0", fds=[0])
    assert plain.supervisor.await_message("MESSAGE_FRONT_KILL")[1] == [pid]
    assert "front sent what it must not" in plain.said()
    assert front.receive() is None
    again, _ = plain.front()
    assert create(again)


def test_a_worker_that_says_what_it_must_not_is_killed_and_its_job_lost(plain):
    front, _ = plain.front()
    job = create(front)
    _, worker = plain.worker()
    worker.send("MESSAGE_AUTH_CHECK", b"a token")
    assert plain.supervisor.await_message("MESSAGE_WORKER_KILL")[1] == [4242]
    plain.supervisor.send("MESSAGE_WORKER_EXITED", 4242, 9)
    wait_for(lambda: f"job {job} lost" in plain.said(), 30, "lost")


def test_a_worker_that_does_not_hear_is_killed(plain):
    front, _ = plain.front()
    job = create(front)
    plain.worker()  # which never reads again
    front.send("MESSAGE_JOB_CANCEL", job, seq=5)
    assert front.await_message("MESSAGE_JOB_REPLY")[1][0] == 0
    assert plain.supervisor.await_message("MESSAGE_WORKER_KILL")[1] == [4242]
    plain.supervisor.send("MESSAGE_WORKER_EXITED", 4242, 9)
    wait_for(lambda: f"job {job} cancelled" in plain.said(), 30, "cancelled")


def test_a_worker_that_cannot_be_started_fails_its_job(plain):
    front, _ = plain.front()
    job = create(front)
    _, (name,), fds, seq = plain.supervisor.await_message("MESSAGE_WORKER_SPAWN")
    socket.socket(fileno=fds[0]).close()
    assert name == job
    plain.supervisor.send("MESSAGE_WORKER_STARTED", job, 0, seq=seq)
    wait_for(lambda: f"job {job} failed" in plain.said(), 30, "failed")


def test_keeper_ends_with_its_supervisor(plain):
    plain.supervisor.close()
    assert plain.process.wait(30) == 0
    assert (plain.state / "postern.db").exists() and not (plain.state / "postern.db-wal").exists()


def end_job(keeper, worker, state=5):
    worker.send("MESSAGE_JOB_RESULT", state, "{}")
    keeper.supervisor.send("MESSAGE_WORKER_EXITED", 4242, 0)
    worker.close()


def test_the_job_that_ended_longest_ago_makes_room(plain):
    front, _ = plain.front()
    jobs = []
    for _ in range(LIMITS["LIMIT_JOBS_PER_RUN"] + 1):
        jobs.append(create(front))
        end_job(plain, plain.worker()[1])
    wait_for(lambda: plain.said().count(" failed\n") == len(jobs), 30, "the last one's end")
    assert sorted(os.listdir(plain.state / "jobs")) == sorted(jobs[1:])
    front.send("MESSAGE_JOB_OPEN", jobs[0], "", seq=1)
    assert front.await_message("MESSAGE_JOB_OPENED")[1][0] == PROBLEMS["PROBLEM_NO_SUCH_JOB"]
    front.send("MESSAGE_JOB_OPEN", jobs[1], "", seq=2)
    _, fields, fds, _ = front.await_message("MESSAGE_JOB_OPENED")
    assert fields[0] == 0 and len(fds) == 1
    os.close(fds[0])


def test_only_so_many_uploads_may_wait(plain):
    front, _ = plain.front()
    jobs = [create(front, upload=1) for _ in range(SETTINGS["jobs_queued"])]
    front.send("MESSAGE_JOB_CREATE", "build", "{}", "", 1, seq=7)
    assert front.await_message("MESSAGE_JOB_CREATED")[1][0] == PROBLEMS["PROBLEM_QUEUE_FULL"]
    front.send("MESSAGE_JOB_ABANDON", jobs[3])
    assert create(front, upload=1)


def test_an_idempotency_key_is_found_again_and_not_for_another_request(plain):
    front, _ = plain.front()

    def ask(arguments="{}"):
        front.send("MESSAGE_JOB_CREATE", "build", arguments, "key", 1, seq=1)
        _, fields, fds, _ = front.await_message("MESSAGE_JOB_CREATED")
        for fd in fds:
            os.close(fd)
        return fields[0], fields[2], fields[3], len(fds)

    job = ask()[1]
    other = (PROBLEMS["PROBLEM_KEY_REUSED"], "", 0, 0)
    # What is still uploading may yet come to nothing, so nobody is told that it is a job.
    assert ask() == (PROBLEMS["PROBLEM_OVERLOADED"], "", 0, 0) and ask('{"tag":"other"}') == other
    front.send("MESSAGE_JOB_ABANDON", job)
    problem, again, found, fds = ask()
    assert (problem, found, fds) == (0, 0, 1) and again != job
    front.send("MESSAGE_JOB_COMMIT", again, 0, seq=2)
    assert front.await_message("MESSAGE_JOB_REPLY")[1][0] == 0
    assert ask() == (0, again, 1, 0) and ask('{"tag":"other"}') == other


def test_an_upload_that_is_whole_when_draining_has_begun_is_no_job(plain):
    front, _ = plain.front()
    upload = create(front, upload=1)
    create(front)
    plain.worker()
    plain.supervisor.send("MESSAGE_DRAIN", 60000)
    wait_for(lambda: "draining" in plain.said(), 30, "draining")
    front.send("MESSAGE_JOB_COMMIT", upload, 0, seq=4)
    assert front.await_message("MESSAGE_JOB_REPLY")[1][0] == PROBLEMS["PROBLEM_DRAINING"]
    assert upload not in os.listdir(plain.state / "jobs")


def test_jobs_that_have_ended_make_room_for_uploads_that_need_it(plain):
    front, _ = plain.front()
    jobs = [create(front) for _ in range(3)]
    for job in jobs[:2]:
        end_job(plain, plain.worker()[1])
        wait_for(lambda job=job: f"job {job} failed" in plain.said(), 30, "its end")
    plain.worker()  # the third one goes on
    quarter = SETTINGS["storage_bytes"] // 4
    for job in jobs:
        os.truncate(plain.state / "jobs" / job / "log", quarter)
    front.send("MESSAGE_JOB_CREATE", "build", "{}", "", 1, seq=1)
    _, fields, (fd,), _ = front.await_message("MESSAGE_JOB_CREATED")
    assert fields[0] == 0 and fields[4] == 3 * quarter
    os.truncate(fd, quarter)
    front.send("MESSAGE_JOB_COMMIT", fields[2], quarter, seq=2)  # just what there was
    assert front.await_message("MESSAGE_JOB_REPLY")[1][0] == 0
    front.send("MESSAGE_JOB_CREATE", "build", "{}", "", 1, seq=3)
    _, fields, (more,), _ = front.await_message("MESSAGE_JOB_CREATED")
    assert fields[4] == 2 * quarter
    assert set(jobs) < set(os.listdir(plain.state / "jobs"))  # none is forgotten before the room is needed
    os.truncate(more, 1)
    wait_for(lambda: jobs[0] not in os.listdir(plain.state / "jobs"), 30, "the one that ended first")
    os.truncate(more, quarter + 1)
    wait_for(lambda: jobs[1] not in os.listdir(plain.state / "jobs"), 30, "the next")
    assert jobs[2] in os.listdir(plain.state / "jobs") and fields[2] in os.listdir(plain.state / "jobs")
    for each in (fd, more):
        os.close(each)


@pytest.mark.waits
@pytest.mark.once
def test_a_worker_that_is_overdue_is_stopped_and_then_killed(ordinary_user, programs, reachable, monkeypatch, leak_check):
    monkeypatch.setitem(SETTINGS, "job_seconds", 1)
    folder = ordinary_user.folder(reachable)
    keeper = Keeper(ordinary_user, programs, folder)
    front, _ = keeper.front()
    job = create(front)
    _, worker = keeper.worker()
    began = time.monotonic()
    state = worker.await_message("MESSAGE_JOB_STOP", 90)[1][0]
    stopped = time.monotonic()
    assert STATES[state] == "timed_out" and stopped - began > LIMITS["LIMIT_JOB_OVERDUE_SECONDS"]
    assert keeper.supervisor.await_message("MESSAGE_WORKER_KILL", 60)[1] == [4242]
    assert time.monotonic() - stopped > LIMITS["LIMIT_JOB_STOP_SECONDS"] - 1
    keeper.supervisor.send("MESSAGE_WORKER_EXITED", 4242, 9)
    wait_for(lambda: f"job {job} timed_out" in keeper.said(), 30, "its end")
    keeper.close()
    shutil.rmtree(folder)


def test_uploads_stay_within_the_storage_of_the_run(plain):
    front, pid = plain.front()

    def upload(seq):
        front.send("MESSAGE_JOB_CREATE", "build", "{}", "", 1, seq=seq)
        _, fields, fds, _ = front.await_message("MESSAGE_JOB_CREATED")
        return fields, fds[0] if fds else None

    total = SETTINGS["storage_bytes"]
    first, a = upload(1)
    second, b = upload(2)
    assert first[0] == second[0] == 0 and first[4] == second[4] == total
    os.truncate(a, total - 1000)
    third, c = upload(3)
    assert third[4] == 1000
    os.truncate(b, 5000)  # within its own bound, but not together with the first: the newest is dropped, and then the next
    wait_for(lambda: sorted(os.listdir(plain.state / "jobs")) == [first[2]], 30, "the others' end")
    front.send("MESSAGE_JOB_COMMIT", second[2], 5000, seq=4)
    assert front.await_message("MESSAGE_JOB_REPLY")[1][0] == PROBLEMS["PROBLEM_STORAGE_FULL"]
    os.truncate(a, total)
    fields, none = upload(5)
    assert fields[0] == PROBLEMS["PROBLEM_STORAGE_FULL"] and none is None
    os.truncate(a, total + 1)  # no honest front does
    assert plain.supervisor.await_message("MESSAGE_FRONT_KILL")[1] == [pid]
    wait_for(lambda: os.listdir(plain.state / "jobs") == [], 30, "the end of its upload")
    for fd in (a, b, c):
        os.close(fd)
