# SPDX-License-Identifier: Apache-2.0
"""Requests with bytes changed at random, against a live server: front answers or closes, never dies, and serves on."""

import contextlib
import os
import random
import re

import pytest
from test_front import kit, served, upload
from wire import Peer, ask, request

JOB = "/jobs/j0123456789abcdefghjk"
CHUNKS = b"5;a=b\r\nhello\r\n1\r\n!\r\n0\r\nX-Sum: 1\r\n\r\n"
VALID = [
    request("GET", "/jobs?limit=3"),
    request("GET", "/", token=None),
    request("HEAD", "/openapi.json"),
    request("DELETE", JOB),
    request("GET", f"{JOB}/log?tail=3&follow=1", "Range: bytes=0-9"),
    request("GET", f"{JOB}/events", "Last-Event-ID: 10-2"),
    request("GET", f"{JOB}/artifacts/image.tar", 'If-Range: "x"', "Range: bytes=-5", 'If-None-Match: "a", W/"b"'),
    request("GET", "http://x/jobs", "Connection: keep-alive, x", version="1.0"),
    upload(b"hello", "Prefer: wait=0", "Idempotency-Key: k", "Content-Type: application/x-tar", "Expect: 100-continue"),
    upload(CHUNKS, "Transfer-Encoding: chunked", "Prefer: wait=0"),
]
# fmt: off
TOKENS = [b"\r\n", b"\n", b"\r", b"\0", b" ", b":", b",", b";", b"%", b"%00", b"/", b"?", b"#", b"..", b"\xff", b"chunked", b"Content-Length: 5\r\n",
          b"Transfer-Encoding: chunked\r\n", b"Host: y\r\n", b"HTTP/1.1", b"0\r\n\r\n", b"ffffffffffffffff", b"-1", b"9" * 25, b"a" * 9000]
# fmt: on


def mutate(rng, data):
    data = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 3, 8))):
        at, n = rng.randrange(len(data) + 1), rng.choice((0, 1, 1, 4, 40))
        kind = rng.randrange(6)
        if kind == 0 and at < len(data):
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            data[at : at + n] = rng.choice(TOKENS)
        elif kind == 2:
            data[at : at + n] = b""
        elif kind == 3:
            data[at:at] = data[max(0, at - 50) : at]
        elif kind == 4:
            data[at:] = rng.choice(VALID)[rng.randrange(100) :]
        else:
            data[at : at + n] = rng.randbytes(n)
    return bytes(data)


def send(port, rng, data):
    """What came back; a client that stays to the end must not wait for ever."""
    with Peer(port) as peer, contextlib.suppress(ConnectionError):
        cut = rng.randrange(len(data) + 1)
        peer.send(data[:cut])
        peer.send(data[cut:])
        leave = rng.randrange(10)
        if leave == 0:
            peer.reset()
        elif leave > 1:
            peer.finish()
            return peer.file.read()
    return b""


@pytest.mark.parametrize("count", [8000, pytest.param(30000, marks=pytest.mark.slow)])
def test_changed_requests_do_no_harm(tmp_path, count):
    seed = int(os.environ.get("MUTATION_SEED", random.randrange(1 << 32)))
    rng = random.Random(seed)
    print(f"MUTATION_SEED={seed}")
    with served(tmp_path, program=kit(tmp_path / "kit", worker="exit 0")) as server:
        statuses = {}
        for _ in range(count):
            data = b"".join(mutate(rng, rng.choice(VALID)) for _ in range(rng.choice((1, 1, 1, 3))))
            got = send(server.port, rng, data)
            assert not got or got.startswith(b"HTTP/1.1 "), data
            for status in re.findall(rb"^HTTP/1.1 (\d\d\d) ", got, re.M):
                statuses[status] = statuses.get(status, 0) + 1
        print(statuses)
        assert not set(statuses) & {b"100", b"500"}
        assert {b"200", b"202", b"400", b"401", b"404", b"422"} <= set(
            statuses
        ), "the requests were not changed in many ways"
        server.check_nothing_left(jobs=256)
        assert ask(server.port, upload(b"x", "Prefer: wait=0")).status in (202, 429)
