# SPDX-License-Identifier: Apache-2.0
"""HTTP/1.1 as front speaks it, byte by byte: framing, what could be read in two ways, old clients, HEAD, ranges, tags."""
import re
import subprocess

import pytest
from test_bad_requests import ID, nothing_left, paths, server  # noqa: F401 (fixtures)
from test_front import finished_job, upload
from wire import Peer, ask, events_of, request


@pytest.mark.parametrize(
    "fields, applied",
    [
        ([], None),
        (["Prefer: respond-async"], None),
        (["Prefer: wait=60"], "wait=60"),
        (["Prefer: wait=60, wait=3"], "wait=60"),
        (["Prefer: respond-async", "Prefer: wait=60"], "wait=60"),
        (["Prefer: Wait=60"], "wait=60"),
        (['Prefer: wait="60"'], "wait=60"),
        (["Prefer: wait = 60;foo=bar"], "wait=60"),
        (["Prefer: wait=300"], "wait=300"),
        (["Prefer: wait=" + "9" * 100], "wait=300"),
        (["Prefer: wait=+60"], None),
        (["Prefer: wait=-1"], None),
        (["Prefer: wait=0x10"], None),
        (["Prefer: wait"], None),
        (["Prefer: wait=, wait=60"], None),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_preference_is_understood_or_is_as_none(server, fields, applied):
    answer = ask(server.port, upload(b"no archive", *fields), timeout=90)
    assert answer.status == 200 and answer.fields.get("preference-applied") == applied


# --- framing ----------------------------------------------------------------------------------------------------------


def chunked(data, *fields):
    return upload(data, "Transfer-Encoding: chunked", "Prefer: wait=0", *fields)


@pytest.mark.parametrize(
    "data",
    [
        b"3\r\nabc\r\n0\r\n\r\n",
        b"3;name=value\r\nabc\r\n0;x\r\n\r\n",
        b"003\r\nabc\r\n000\r\n\r\n",
        b"A\r\n0123456789\r\n0\r\n\r\n",
        b"1\r\na\r\n" * 3000 + b"0\r\n\r\n",
        b"0\r\n\r\n",
        b"3\r\nabc\r\n0\r\nX-Sum: 1\r\nY: 2\r\n\r\n",
    ],
    ids=range(7),
)
def test_chunks_are_read_however_they_are_cut(server, data):
    with Peer(server.port, chunked(data) + request("GET", "/jobs")) as peer:
        assert peer.answer().status == 202 and peer.answer().status == 200
    head = len(chunked(data)) - len(data)
    with Peer(server.port, chunked(data)[:head]) as peer:
        for i in range(0, min(len(data), 60)):
            peer.send(data[i : i + 1])
        peer.send(data[60:])
        assert peer.answer().status == 202


@pytest.mark.parametrize(
    "data",
    [
        b"g\r\n",
        b"\r\n",
        b"-1\r\n",
        b"+1\r\na",
        b"0x1\r\na",
        b" 1\r\na",
        b"1 \r\na",
        b"1\na\n0\n\n",
        b"1\r\nab\r\n",
        b"1\r\na0\r\n\r\n",
        b"1\r\na\n0\r\n\r\n",
        b"8000000000000000\r\n",
        b"11111111111111111\r\n",
        b"1;" + b"x" * 300 + b"\r\n",
        b"1;\x00\r\na",
        b"0\r\nContent-Length: 3\r\n\r\n",
        b"0\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"0\r\nAuthorization: x\r\n\r\n",
        b"0\r\nno colon\r\n\r\n",
        b"0\r\n folded: x\r\n\r\n",
        b"0\r\nX: a\nb\r\n\r\n",
        b"1\r\na\r\n0\r\nX: y\r\r\n",
    ],
    ids=range(22),
)
def test_chunks_that_are_wrong(server, data):
    with Peer(server.port, chunked(data + b"GET /jobs HTTP/1.1\r\nHost: x\r\n\r\n")) as peer:
        answer = peer.answer()
        assert answer.status == 400 and answer.json["detail"] and answer.fields["connection"] == "close"
        assert peer.ended()


def test_trailers_have_a_limit(server):
    assert ask(server.port, chunked(b"0\r\n" + b"X: yyyyyyyyyy\r\n" * 1000)).status == 431


SMUGGLED = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize(
    "data",
    [
        upload(b"0\r\n\r\n", "Content-Length: 5", "Transfer-Encoding: chunked"),
        upload(b"0\r\n\r\n", "Transfer-Encoding: chunked", "Content-Length: 5"),
        upload(b"abc", "Content-Length: 3", "Content-Length: 3"),
        upload(b"abc", "Content-Length: 3", "Content-Length: 0"),
        upload(b"abc", "Content-Length: 3, 3"),
        upload(b"abc", "Content-Length: +3"),
        upload(b"abc", "Content-Length: 0x3"),
        upload(b"abc", "Content-Length: -3"),
        upload(b"abc", "Content-Length: 3 3"),
        upload(b"abc", "Content-Length:"),
        upload(b"abc", "Content-Length: 99999999999999999999"),
        upload(b"abc", "Content-Length : 3"),
        upload(b"abc", "Content-Length: 3\x00"),
        upload(b"abc", "X: y", " Content-Length: 3"),
        upload(b"0\r\n\r\n", "Transfer-Encoding: chunked, chunked"),
        upload(b"0\r\n\r\n", "Transfer-Encoding: identity, chunked"),
        upload(b"0\r\n\r\n", "Transfer-Encoding: xchunked"),
        upload(b"0\r\n\r\n", "Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
        upload(b"0\r\n\r\n", "Transfer-Encoding: chunked;x=y"),
        upload(b"0\r\n\r\n", "Transfer-Encoding:\x0bchunked"),
        upload(b"0\r\n\r\n", "Transfer-Encoding: gzip, chunked"),
        upload(b"0\r\n\r\n", "Transfer-Encoding: chunked, gzip"),
        upload(b"0\r\n\r\n", "Transfer-Encoding: chunked", version="1.0"),
        upload(b"abc", "Connection: content-length", "Content-Length: 3"),
        request("GET", "/jobs").replace(b"\r\n", b"\n"),
        request("GET", "/jobs").replace(b"\r\nAuth", b"\nAuth"),
        request("GET", "/jobs").replace(b"\r\nAuth", b"\rAuth"),
        request("GET", "/jobs", "X: a\r\n b"),
        request("GET", "/jobs", "X: a\r\n\tb"),
        request("GET", "/jobs", "X: a\x00b"),
        request("GET", "/jobs", "X\x00: a"),
        request("GET", "/jobs", "X : a"),
        request("GET", "/jobs", "X"),
        request("GET", "/jobs", ": a"),
        request("GET", "/jobs", "X: a\x7f"),
        request("GET", "/jobs", "X: \x01"),
        b"\r\n" + request("GET", "/jobs"),
        b" " + request("GET", "/jobs"),
        b"\x00" + request("GET", "/jobs"),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 500,
        request("GET", "/jobs\x00"),
        request("GET", "/jobs\x7f"),
        request("GET", "/jobs#x"),
        request("GET", "/jobs x"),
        request("GET", ""),
        request("GET", "jobs"),
        request("G\x01T", "/jobs"),
        request("", "/jobs"),
        request("GET ", "/jobs"),
        request("GET\t", "/jobs"),
        request("GET", "/jobs", version="2.0"),
        request("GET", "/jobs", version="1.10"),
        request("GET", "/jobs", version="1"),
        request("GET", "/jobs", version="0.9"),
        request("GET", "/jobs", host=None),
        request("GET", "/jobs", "Host: x"),
        request("GET", "/jobs", host="a b"),
        request("GET", "/jobs", host="x:0"),
        request("GET", "/jobs", host="x/y"),
        request("GET", "/jobs", host="u@x"),
        request("GET", "/jobs", host="x:y"),
        request("GET", "/jobs", host="[::1"),
        request("GET", "http://y/jobs"),
        request("GET", "http://x:81/jobs"),
        request("GET", "http:///jobs"),
        request("GET", "http://x", host="y"),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
    ids=range(67),
)
def test_what_could_be_read_in_two_ways_is_refused(server, data):
    with Peer(server.port, data + SMUGGLED.encode()) as peer:
        answer = peer.answer()
        version = re.search(rb"HTTP/(\d\.\d)\r\n", data)
        unknown = b"gzip, chunked" in data or b"identity, chunked" in data
        assert answer.status == (501 if unknown else 505 if version and version[1] not in (b"1.0", b"1.1") else 400)
        assert answer.json["detail"]
        if (
            answer.fields.get("connection") != "close"
        ):  # the request was well framed: what followed is a request of its own
            assert peer.answer().status == 404
        else:
            assert peer.ended()


def test_a_head_has_a_limit(server):
    with Peer(server.port, request("GET", "/jobs", "X: " + "y" * 15000)) as peer:
        assert peer.answer().status == 200
    for data in (
        request("GET", "/jobs", "X: " + "y" * 17000),
        request("GET", "/jobs", *["X: y"] * 513),
        b"GET /jobs HTTP/1.1\r\nX: " + b"y" * 30000,
    ):
        assert ask(server.port, data).status == 431
    for data in (request("GET", "/jobs?" + "x" * 8200), b"GET /" + b"x" * 40000):
        assert ask(server.port, data).status == 414


def test_many_requests_in_one_piece(server):
    with Peer(server.port, request("GET", "/jobs?limit=1") * 2000 + request("GET", "/jobs", "X\x00: y")) as peer:
        assert all(peer.answer().status == 200 for _ in range(2000))
        assert peer.answer().status == 400 and peer.ended()
    mixed = (
        request("GET", "/jobs")
        + upload(b"abc", "Prefer: wait=0")
        + chunked(b"3\r\nabc\r\n0\r\n\r\n")
        + request("HEAD", "/jobs")
        + request("GET", "/nothing")
    )
    with Peer(server.port, mixed * 4) as peer:
        for _ in range(4):
            assert [peer.answer(m).status for m in ("GET", "POST", "POST", "HEAD", "GET")] == [200, 202, 202, 200, 404]


def test_old_clients(server):
    job = finished_job(server, b"line\n" * 5)
    with Peer(server.port, request("GET", "/jobs", version="1.0", host=None)) as peer:
        assert peer.answer().fields["connection"] == "close" and peer.ended()
    assert b"U=http://HOST:PORT " in ask(server.port, request("GET", "/", version="1.0", host=None)).body
    with Peer(server.port, request("GET", "/jobs", "Connection: keep-alive", version="1.0") * 2) as peer:
        assert [peer.answer().fields["connection"] for _ in range(2)] == ["keep-alive"] * 2
    with Peer(server.port, request("GET", f"{job}/log?follow=1", "Connection: keep-alive", version="1.0")) as peer:
        answer = peer.answer()  # no chunks: it would not know them
        assert answer.body == b"line\n" * 5 and "transfer-encoding" not in answer.fields
    with Peer(server.port, request("GET", "/jobs", "Connection: close") * 2) as peer:
        assert peer.answer().fields["connection"] == "close" and peer.ended()


def test_expect_is_read_and_never_answered_by_itself(server):
    data = upload(b"abc", "Expect: 100-continue", "Prefer: wait=0")
    with Peer(server.port, data[:-3]) as peer:
        peer.socket.settimeout(0.3)
        with pytest.raises(TimeoutError):
            peer.socket.recv(1)
        peer.socket.settimeout(30)
        peer.send(b"abc")
        assert peer.answer().status == 202
    with Peer(server.port, upload(b"abc", "Expect: 100-continue", token=None)[:-3]) as peer:
        assert peer.answer().status == 401  # without waiting for the body


# --- HEAD and ranges --------------------------------------------------------------------------------------------------


def test_head_says_what_get_does(server, paths):
    job = finished_job(server, b"line\n" * 10)
    for path, allowed in paths.items():
        if "GET" not in allowed:
            continue
        for target in (
            path,
            path.replace(f"/jobs/{ID}", job),
            path.replace(f"/jobs/{ID}", job) + "?follow=1" * path.endswith("log"),
        ):
            get, head = ask(server.port, request("GET", target)), ask(server.port, request("HEAD", target), "HEAD")
            for fields in (get.fields, head.fields):
                fields.pop("date")
            assert (head.status, head.fields) == (get.status, get.fields), target


@pytest.mark.parametrize(
    "value, first, last",
    [
        ("bytes=0-0", 0, 0),
        ("bytes=0-", 0, 99),
        ("bytes=10-19", 10, 19),
        ("bytes=90-1000", 90, 99),
        ("bytes=-1", 99, 99),
        ("bytes=-1000", 0, 99),
        ("BYTES=5-5", 5, 5),
        ("bytes=99-99999999999999999999999", 99, 99),
    ],
)
def test_a_range_is_served(server, value, first, last):
    content = bytes(range(100))
    answer = ask(server.port, request("GET", f"{finished_job(server, content)}/log", f"Range: {value}"))
    assert answer.status == 206 and answer.body == content[first : last + 1]
    assert answer.fields["content-range"] == f"bytes {first}-{last}/100"


@pytest.mark.parametrize("value", ["bytes=100-", "bytes=100-200", "bytes=-0", "bytes=99999999999999999999999-"])
def test_a_range_beyond_the_end(server, value):
    answer = ask(server.port, request("GET", f"{finished_job(server, bytes(100))}/log", f"Range: {value}"))
    assert answer.status == 416 and answer.fields["content-range"] == "bytes */100"


@pytest.mark.parametrize(
    "value",
    [
        "bytes=0-1,3-4",
        "bytes=5-4",
        "bytes=-",
        "bytes=",
        "bytes",
        "lines=1-2",
        "bytes=a-b",
        "bytes=0-0x",
        "bytes= 0-1",
        "bytes=" + "0" * 100 + "1-2",
    ],
)
def test_a_range_that_is_not_understood_is_as_none(server, value):
    answer = ask(server.port, request("GET", f"{finished_job(server, bytes(100))}/log", f"Range: {value}"))
    assert answer.status == 200 and answer.body == bytes(100) and answer.fields["accept-ranges"] == "bytes"


def test_a_range_of_nothing_and_of_a_head(server):
    assert ask(server.port, request("GET", f"{finished_job(server)}/log", "Range: bytes=0-0")).status == 416
    answer = ask(server.port, request("HEAD", f"{finished_job(server, bytes(100))}/log", "Range: bytes=0-0"), "HEAD")
    assert answer.status == 200 and answer.fields["content-length"] == "100"


def test_the_tail_of_a_log(server):
    job = finished_job(server, b"".join(b"%d\n" % i for i in range(1000)))
    assert ask(server.port, request("GET", f"{job}/log?tail=2")).body == b"998\n999\n"
    assert len(ask(server.port, request("GET", f"{job}/log?tail=10000")).body) == 3890
    assert ask(server.port, request("GET", f"{job}/log?tail=1&follow=1")).body == b"999\n"
    job = finished_job(server, b"x" * (3 << 20))  # one line without an end: no more than the last MiB is looked at
    assert len(ask(server.port, request("GET", f"{job}/log?tail=1")).body) == 1 << 20


def test_artifacts_are_not_sent_twice(server, tmp_path):
    context = tmp_path / "context"
    context.mkdir()
    (context / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /log\n")
    archive = subprocess.run(["tar", "c", "-C", context, "."], check=True, capture_output=True).stdout
    job = ask(server.port, request("POST", "/build?output=/log", "Prefer: wait=100", body=archive)).json
    assert job["state"] == "succeeded", job
    get = lambda *fields: ask(server.port, request("GET", f"/jobs/{job['id']}/artifacts/log", *fields))  # noqa: E731
    whole = get()
    tag = whole.fields["etag"]
    assert (
        whole.status == 200
        and whole.body == b"FROM scratch\nCOPY Dockerfile /log\n"
        and tag == f'"{job["id"]}-{len(whole.body)}"'
    )
    for value in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        answer = get(f"If-None-Match: {value}")
        assert answer.status == 304 and answer.fields["etag"] == tag and "content-length" not in answer.fields
    others = ", ".join(f'"other-{i}"' for i in range(100))
    for fields in ((f"If-None-Match: {others}, {tag}",), (f"If-None-Match: {others}", f"If-None-Match: {tag}")):
        assert get(*fields).status == 304
    for value in ('"other"', others, f'"{job["id"]}"', "", f'"{tag[1:-1]}0"'):
        assert get(f"If-None-Match: {value}").status == 200
    assert get("Range: bytes=0-3", f"If-Range: {tag}").body == b"FROM"
    for value in ('"other"', '"' + "x" * 100 + '"', tag + " " * 100 + tag, f"W/{tag}", ""):
        answer = get("Range: bytes=0-3", f"If-Range: {value}")
        assert answer.status == 200 and answer.body == whole.body
    head = ask(server.port, request("HEAD", f"/jobs/{job['id']}/artifacts/log"), "HEAD")
    assert head.fields["etag"] == tag and head.fields["content-length"] == str(len(whole.body))


def test_events_resume_and_know_when_there_is_no_more(server):
    job = finished_job(server, b"".join(b"line %d\n" % i for i in range(10000)) + b"an end without a newline")
    events = lambda *fields: ask(server.port, request("GET", f"{job}/events", *fields))  # noqa: E731
    whole = events_of(events().body.decode())
    assert len(whole) >= 6 and whole[-1].name == "state" and whole[-1].data["state"] == "failed"
    log = "".join(event.data for event in whole if event.name == "log")
    assert log.encode() == ask(server.port, request("GET", f"{job}/log")).body
    for i, event in enumerate(whole[:-1]):
        assert events_of(events(f"Last-Event-ID: {event.id}").body.decode()) == whole[i + 1 :]
    assert events(f"Last-Event-ID: {whole[-1].id}").status == 204
    offset, changes = map(int, whole[-1].id.split("-"))
    beyond = [f"0-{changes + 1}", "0-999", f"{offset}-{changes + 1}", f"{offset + 1}-{changes}", f"{offset + 1}-0"]
    for odd in ("x", "1", "-1", "99999999999999999999-1", "1-" + "9" * 30, "x" * 200, *beyond):
        assert events_of(events(f"Last-Event-ID: {odd}").body.decode()) == whole, odd


@pytest.mark.parametrize(
    "log, text",
    [
        ("✓" * 8000, "✓" * 8000),  # no line's end in it, and pieces that end inside a character
        ("é" + "😀" * 9000 + "\n", "é" + "😀" * 9000 + "\n"),
        (b"\xe2\x9c\x93\xff\xe2\x9c\x93\xe2\x9c\n", "✓\ufffd✓\ufffd\ufffd\n"),
        (b"\xff" * 40000 + b"\xe2", "\ufffd" * 40001),
        (b"\x00" * 40000, "\0" * 40000),
    ],
    ids=["three bytes", "four bytes", "single wrong bytes", "wrong bytes only", "controls"],
)
def test_events_keep_every_character_of_a_log(server, log, text):
    job = finished_job(server, log if isinstance(log, bytes) else log.encode())
    events = events_of(ask(server.port, request("GET", f"{job}/events")).body.decode())
    assert "".join(event.data for event in events if event.name == "log") == text
