# SPDX-License-Identifier: Apache-2.0
"""Requests that are wrong, odd or hostile: each gets a clear answer (wire.py checks its form), does no harm, and leaves
nothing behind. test_http.py has those whose framing is wrong."""

import contextlib
import json
import os
import signal
import socket
import time

import pytest
from conftest import wait_for
from test_front import finished_job, served, upload
from processes import child
from serve_driver import TOKEN
from test_server import check_confined, curl
from wire import Peer, ask, request

ID = "j0123456789abcdefghjk"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("server")
    with served(folder, "--health-socket", str(folder / "health")) as s:
        yield s


@pytest.fixture(autouse=True)
def nothing_left(server):
    yield
    wait_for(lambda: server.open_fds() <= server.fds, what="front's descriptors closed")

    def settled():
        jobs = ask(server.port, request("GET", "/jobs?limit=256")).json["jobs"]
        return all(job.get("ended") for job in jobs) and set(server.jobs()) == {job["id"] for job in jobs}

    wait_for(settled, 60, "jobs ended and unfinished uploads given up")
    server.check_nothing_left(jobs=len(server.jobs()))


@pytest.fixture(scope="module")
def paths(server):
    """What /openapi.json says there is: {path: {methods}}."""
    api = json.loads(curl(f"http://127.0.0.1:{server.port}/openapi.json", token=None)[2])
    found = {}
    for path, methods in api["paths"].items():
        allowed = {m.upper() for m in methods if m in ("get", "post", "put", "patch", "delete")}
        found[path.replace("{id}", ID).replace("{name}", "image.tar")] = allowed | (
            {"HEAD"} if "GET" in allowed else set()
        )
    assert len(found) >= 8
    return found


# --- tokens -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [
        (),
        ("Authorization: Bearer wrong",),
        (f"Authorization: Bearer {TOKEN[:-1]}",),
        (f"Authorization: Bearer {TOKEN}x",),
        (f"Authorization: Bearer {TOKEN.upper()}",),
        (f"Authorization: Bearer {TOKEN}", f"Authorization: Bearer {TOKEN}"),
        (f"Authorization: Bearer {TOKEN}", "Authorization: Bearer wrong"),
        (f"Authorization: Bearer {TOKEN}, Bearer {TOKEN}",),
        (f"Authorization: Basic {TOKEN}",),
        (f"Authorization: {TOKEN}",),
        ("Authorization: Bearer",),
        ("Authorization:",),
        ("Authorization: Bearer " + "x" * 512,),
        ("Authorization: Bearer " + "x" * 513,),
        (f"Proxy-Authorization: Bearer {TOKEN}",),
        (f"Cookie: token={TOKEN}",),
    ],
    ids=range(16),
)
def test_a_token_that_is_not_right_is_refused_and_the_connection_stays(server, fields):
    with Peer(server.port) as peer:
        for target, method in (("/jobs", "GET"), (f"/jobs/{ID}", "DELETE"), (f"/jobs/{ID}/log", "HEAD")):
            peer.send(request(method, target, *fields, token=None))
            assert peer.answer(method).status == 401
        peer.send(request("GET", "/jobs"))
        assert peer.answer().status == 200
    assert ask(server.port, upload(b"x", *fields, token=None)).status == 401


def test_a_token_in_the_query_is_no_token(server):
    assert ask(server.port, request("GET", f"/jobs?token={TOKEN}", token=None)).status == 401


def test_the_scheme_has_no_case_and_white_space_is_no_part(server):
    for value in (f"bearer {TOKEN}", f"BEARER {TOKEN}  ", f"\tBearer {TOKEN}\t"):
        assert ask(server.port, request("GET", "/jobs", f"Authorization: {value}", token=None)).status == 200


def test_another_token_on_the_same_connection_is_looked_at_anew(server):
    with Peer(server.port) as peer:
        for token, status in ((TOKEN, 200), ("wrong" * 10, 401), (TOKEN, 200), (None, 401)):
            peer.send(request("GET", "/jobs", token=token))
            assert peer.answer().status == status


# --- paths and methods ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "target",
    [
        "/nothing",
        "/jobs/",
        "//jobs",
        "/Jobs",
        "/jobs/../jobs",
        "/%6aobs",
        "/jobs%00",
        "/jobs;a=b",
        "/jobs/x/y",
        "/jobs//log",
        "/.",
        "/build/x",
        "/jobs/" + "a" * 4000,
        f"/jobs/{ID}/artifacts/..%2f..%2fpostern.db",
        f"/jobs/{ID}/artifacts/",
        "/~",
        "*",
    ],
)
def test_a_path_that_is_not_there(server, target):
    answer = ask(server.port, request("OPTIONS" if target == "*" else "GET", target))
    assert answer.status == 404 and "GET /" in answer.json["hint"]


@pytest.mark.parametrize(
    "target", [f"/jobs/{ID}", "/jobs/x", f"/jobs/{ID}/log", f"/jobs/{ID}/events", f"/jobs/{ID}/artifacts/postern.db"]
)
def test_a_job_that_is_not_there(server, target):
    answer = ask(server.port, request("GET", target))
    assert answer.status == 404 and answer.json["type"].endswith("no-such-job") and "GET /jobs" in answer.json["hint"]


def test_files_that_are_no_artifacts_are_not_served(server):
    job = finished_job(server)
    for name in ("log", "context", "..", ".", "image.tar", "%2e%2e", "x" * 65, "x" * 3000):
        assert ask(server.port, request("GET", f"{job}/artifacts/{name}")).status == 404


def test_every_other_method_is_refused_with_those_there_are(server, paths):
    for path, allowed in paths.items():
        for method in (
            "GET",
            "HEAD",
            "POST",
            "PUT",
            "PATCH",
            "DELETE",
            "OPTIONS",
            "TRACE",
            "get",
            "GETS",
            "X!#$%&'*+-.^_`|~1",
        ):
            if method in allowed:
                continue
            answer = ask(server.port, request(method, path), method)
            assert answer.status == 405, (method, path)
            assert set(answer.fields["allow"].split(", ")) == allowed
        time.sleep(0.1)  # these count as requests without a token


def test_no_proxy(server):
    for data in (
        request("CONNECT", "example.com:443", host="example.com:443"),
        request("GET", "http://example.com/jobs", host="localhost"),
        request("GET", "https://x/jobs"),
        request("GET", "http://x@x/jobs"),
        request("GET", "ftp://x/jobs"),
    ):
        assert ask(server.port, data).status in (400, 404)
    # but a request to this server may well be in a proxy's form
    assert ask(server.port, request("GET", "http://x/jobs")).status == 200
    assert ask(server.port, request("GET", "HTTP://X:80/jobs?limit=1")).status == 200
    assert ask(server.port, request("GET", "http://x", token=None)).body.startswith(b"postern")


# --- parameters -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "target, said",
    [
        ("/jobs?limt=3", "limit"),
        ("/jobs?limit=3&limit=4", "more than"),
        ("/jobs?limit=", "integer"),
        ("/jobs?limit=0", "integer"),
        ("/jobs?limit=257", "integer"),
        ("/jobs?limit=99999999999999999999", "integer"),
        ("/jobs?limit=1%", "percent"),
        ("/jobs?limit=%zz", "percent"),
        ("/jobs?%00=1", "percent"),
        ("/jobs?=1", "takes no"),
        ("/jobs?" + "&".join("a%d=1" % i for i in range(65)), ""),
        ("/healthz?x=1", "takes no"),
        (f"/jobs/{ID}?wait=-1", "integer"),
        (f"/jobs/{ID}/log?follow=maybe", "true or false"),
    ],
)
def test_a_query_that_is_wrong(server, target, said):
    answer = ask(server.port, request("GET", target))
    assert answer.status == 422 and said in answer.json["detail"] + answer.json["hint"], answer.body


@pytest.mark.parametrize(
    "query",
    [
        "tag=UPPER",
        "tag=",
        "tag=a%20b",
        "tag=a/../b",
        "tag=" + "a" * 129,
        "dockerfile=../x",
        "dockerfile=/etc/passwd",
        "output=../../etc",
        "build_arg=x",
        "build_arg=" + "A" * 2100 + "=1",
        "platform=windows",
        "no_cache=2",
        "tga=x",
        "&".join(["build_arg=A=1"] * 33),
        "tag=%ff%fe",
        "tag=a%0ab",
    ],
)
def test_build_parameters_that_are_wrong_start_no_job(server, query):
    answer = ask(server.port, request("POST", f"/build?{query}", body=b"x"))
    assert answer.status == 422 and answer.json["detail"]


@pytest.mark.parametrize("key", ["", "a b", "x" * 129, "x" * 6000, "\u00e9"])
def test_an_idempotency_key_that_is_wrong(server, key):
    assert ask(server.port, upload(b"x", f"Idempotency-Key: {key}")).status == 422


def test_the_longest_of_everything_is_taken(server):
    least = "/build?tag=x" + "&build_arg=A=" * 4
    for spare in (0, -1):  # the longest target, and a byte more
        room = (8192 - spare - len(least)) // 4 - 3
        target = least.replace("&build_arg=A=", "&build_arg=A=" + '"' * room)  # doubles in JSON
        target += '"' * (8192 - spare - len(target))
        answer = ask(server.port, request("POST", target, "Idempotency-Key: " + "k" * 128, "Prefer: wait=0", body=b"x"))
        assert answer.status == (414 if spare else 202)


def test_the_parameter_at_fault_is_named(server):
    for data, parameter in (
        (request("GET", "/jobs?limit=0"), "limit"),
        (request("GET", "/jobs?limt=1"), "limt"),
        (request("GET", "/jobs?limit=%zz"), None),
        (upload(b"x", "Idempotency-Key: a b"), "Idempotency-Key"),
        (request("GET", "/nothing"), None),
    ):
        assert ask(server.port, data).json.get("parameter") == parameter


@pytest.mark.parametrize(
    "field",
    ["Idempotency-Key: a", "Content-Type: text/plain", "Range: bytes=0-1", "Last-Event-ID: 1-1", 'If-Range: "x"'],
)
def test_a_field_that_must_be_single_is_not_doubled(server, field):
    assert ask(server.port, upload(b"x", field, field)).status == 400


# --- bodies -----------------------------------------------------------------------------------------------------------

JSON_BODIES = {
    "empty": b"{}",
    "malformed": b'{"tag": ',
    "deep": b"[" * 100000,
    "duplicate": b'{"tag": "a", "tag": "b"}',
    "huge": b'"' + b"x" * (4 << 20) + b'"',
    "not UTF-8": b'{"tag": "\xff"}',
}


@pytest.mark.parametrize("body", JSON_BODIES.values(), ids=JSON_BODIES.keys())
def test_json_is_not_what_a_build_takes(server, body):
    for fields in ([], ["Content-Type: application/json"], ["Content-Type: application/x-tar"]):
        answer = ask(server.port, upload(body, "Prefer: wait=60", *fields), timeout=90)
        assert answer.status == 200 and answer.json["state"] == "failed"
        error = answer.json["result"]["error"]
        assert "not a tar archive" in error and "make one by: tar" in error


def test_a_body_must_be_there_and_not_too_large(server):
    assert ask(server.port, request("POST", "/build")).status == 411
    assert ask(server.port, upload(b"x", f"Content-Length: {(2 << 30) + 1}")).status == 413
    assert ask(server.port, upload(b"x", f"Content-Length: {(1 << 63) - 1}")).status == 413
    assert ask(server.port, upload(b"80000001\r\nx", "Transfer-Encoding: chunked")).status == 413
    assert ask(server.port, upload(b"1\r\nx\r\n80000000\r\nx", "Transfer-Encoding: chunked")).status == 413


def test_a_body_longer_than_announced_is_the_next_request(server):
    with Peer(server.port, upload(b"abcGARBAGE", "Content-Length: 3", "Prefer: wait=0")) as peer:
        assert peer.answer().status == 202
        peer.finish()
        assert peer.answer().status == 400 and peer.ended()


def test_a_body_that_nobody_asked_for(server):
    for target, status in (("/jobs", 200), ("/healthz", 200), (f"/jobs/{ID}", 404)):
        with Peer(server.port, request("GET", target, body=b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")) as peer:
            answer = peer.answer()
            assert answer.status == status and answer.fields["connection"] == "close" and peer.ended()
        assert ask(server.port, request("GET", target, "Content-Length: 0")).status == status


def test_a_client_that_goes_in_the_middle_of_its_upload(server):
    for leave in (Peer.close, Peer.reset):
        for sent in (0, 1, 100000):
            jobs = len(server.jobs())
            peer = Peer(server.port, upload(b"x" * 200000)[: -200000 + sent])
            wait_for(lambda jobs=jobs: len(server.jobs()) > jobs, what="the upload begun")
            leave(peer)
            wait_for(lambda jobs=jobs: len(server.jobs()) == jobs, what="the upload given up")


def test_uploads_have_a_number(server):
    with contextlib.ExitStack() as stack:
        jobs = len(server.jobs())
        peers = [stack.enter_context(Peer(server.port, upload(b"xy")[:-1])) for _ in range(16)]
        wait_for(lambda: len(server.jobs()) == jobs + 16, what="sixteen uploads")
        answer = ask(server.port, upload(b"x"))
        assert answer.status == 429 and answer.json["type"].endswith("queue-full")
        peers[0].close()
        wait_for(lambda: len(server.jobs()) == jobs + 15, what="room")
        assert ask(server.port, upload(b"x", "Prefer: wait=0")).status == 202
    wait_for(lambda: len(server.jobs()) == jobs + 1, what="the others given up")


def test_a_retry_is_not_held_against_a_client_that_sends_it_whole(server):
    body = b"x" * (3 << 20)
    first = ask(server.port, upload(body, "Idempotency-Key: once", "Prefer: wait=60"))
    with Peer(server.port, upload(body, "Idempotency-Key: once", "Prefer: wait=60") + request("GET", "/jobs")) as peer:
        assert peer.answer().json["id"] == first.json["id"] and peer.answer().status == 200
    with Peer(server.port, upload(body, "Idempotency-Key: once")[:-10]) as peer:
        peer.finish()
        assert peer.answer().status == 400
    assert ask(server.port, request("POST", "/build?tag=other", "Idempotency-Key: once", body=body)).status == 409


def test_one_that_gives_up_asking_does_not_give_up_the_job_of_another(server):
    jobs = len(server.jobs())
    keeper = child(server.process.pid, "postern-keeper")
    with Peer(server.port, upload(b"xy", "Idempotency-Key: shared", "Prefer: wait=0")[:-1]) as first:
        wait_for(lambda: len(server.jobs()) > jobs, what="the upload begun")
        other = Peer(server.port, request("GET", "/jobs"))
        assert other.answer().status == 200
        os.kill(keeper, signal.SIGSTOP)
        try:
            fds = server.open_fds()
            other.send(upload(b"xy", "Idempotency-Key: shared"))
            time.sleep(0.2)
            other.reset()
            wait_for(lambda: server.open_fds() < fds, what="the other one gone")
        finally:
            os.kill(keeper, signal.SIGCONT)
        time.sleep(0.2)
        first.send(b"y")
        assert first.answer().status == 202


def test_a_list_has_a_usual_length(server):
    for _ in range(25):
        finished_job(server)
    assert len(ask(server.port, request("GET", "/jobs")).json["jobs"]) == 20
    assert len(ask(server.port, request("GET", "/jobs?limit=3")).json["jobs"]) == 3
    assert len(ask(server.port, request("GET", "/jobs?limit=256")).json["jobs"]) >= 25


# --- too many requests ------------------------------------------------------------------------------------------------


def test_requests_without_a_token_have_a_rate_and_others_do_not_feel_it(server):
    health = socket.socket(socket.AF_UNIX)
    health.connect(str(server.folder / "health"))
    for data in (
        request("GET", "/healthz", token=None),
        request("GET", "/jobs", token=None),
        request("GET", "/jobs", token="guess" * 10),
        request("GET", "/nothing"),
        request("PUT", "/jobs"),
    ):
        statuses = []
        with Peer(server.port) as peer:
            for _ in range(300):
                peer.send(data)
                statuses.append(peer.answer().status)
        assert statuses.count(429) > 50, statuses
        assert ask(server.port, request("GET", "/jobs")).status == 200
        health.sendall(request("GET", "/healthz", token=None))
        assert health.recv(4096).startswith(b"HTTP/1.1 200")
    health.sendall(request("GET", "/jobs"))
    assert health.recv(4096).startswith(b"HTTP/1.1 404")  # that socket answers nothing else
    health.close()
    time.sleep(2.2)  # what Retry-After says
    assert ask(server.port, request("GET", "/healthz", token=None)).status == 200


def test_front_is_the_same_as_at_the_start(server):
    assert os.path.exists(f"/proc/{server.front}")
    assert "started again" not in (server.folder / "log").read_text()


def test_an_ordinary_users_server_answers_the_same(ordinary_user, reachable, postern):
    folder = ordinary_user.folder(reachable)
    who = {"user": ordinary_user.uid, "group": ordinary_user.gid, "extra_groups": []}
    with served(folder, env={"POSTERN_TOKEN": TOKEN}, program=postern, **who) as s:
        assert ask(s.port, upload(b"x", token="wrong" * 10)).status == 401
        assert ask(s.port, request("GET", "/nothing")).status == 404
        assert ask(s.port, request("GET", "/jobs", "X: a\x00b")).status == 400
        with Peer(s.port, upload(b"x" * 100)[:-1]) as peer:
            peer.finish()
            assert peer.answer().status == 400
        check_confined(s.front)
        s.check_nothing_left()
