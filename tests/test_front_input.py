# SPDX-License-Identifier: Apache-2.0
"""What postern-front reads: one buffer serves all connections, so that what one sent must never meet what another did."""
import os
import random
import re
from pathlib import Path

import pytest
from conftest import wait_for
from test_front import endless, many_descriptors, server, upload  # noqa: F401 (three of them are fixtures)
from wire import Peer, ask, request

BODY = random.Random(1).randbytes(700_001)  # several reads' worth, of no regular shape


def chunked(body, sizes=(1, 70_000, 300_000, 17)):
    out, at, n = b"", 0, 0
    while at < len(body):
        piece = body[at : at + sizes[n % len(sizes)]]
        out += f"{len(piece):x}\r\n".encode() + piece + b"\r\n"
        at, n = at + len(piece), n + 1
    return out + b"0\r\n\r\n"


def stored(server, job):  # noqa: F811
    return (server.folder / "state/jobs" / job / "context").read_bytes()


@pytest.mark.parametrize("cut", [1, 6, 25])
def test_halves_of_requests_do_not_mix(server, cut):  # noqa: F811
    kinds = {("GET", "/healthz"): 200, ("GET", "/nothing"): 404, ("POST", "/healthz"): 405, ("GET", "/jobs"): 401}
    requests = 3 * [request(method, path, token=None) for method, path in kinds]
    peers = [Peer(server.port, r[:cut]) for r in requests]
    for peer, r in zip(peers, requests):
        peer.send(r[cut : cut + 7])
    for peer, r in zip(peers, requests):
        peer.send(r[cut + 7 :])
    assert [p.answer().status for p in peers] == 3 * list(kinds.values())
    for peer in peers:
        peer.close()


def test_a_head_that_comes_byte_by_byte(server):  # noqa: F811
    with Peer(server.port) as slow, Peer(server.port) as other:
        for byte in request("GET", "/healthz", token=None):
            slow.send(bytes([byte]))
        other.send(request("GET", "/healthz", token=None))
        assert other.answer().status == 200 and slow.answer().status == 200


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_an_upload_is_stored_as_sent_and_what_follows_is_the_next_request(endless, framing):  # noqa: F811
    data = upload(BODY, "Prefer: wait=0")
    if framing == "chunked":
        data = upload(chunked(BODY), "Prefer: wait=0", "Transfer-Encoding: chunked")
    with Peer(endless.port, data + 2 * request("GET", "/jobs")) as peer:
        job = peer.answer().json["id"]
        assert stored(endless, job) == BODY
        for _ in range(2):
            assert [j["id"] for j in peer.answer().json["jobs"]] == [job]


def test_uploads_at_the_same_time_do_not_mix(endless):  # noqa: F811
    bodies = [random.Random(n).randbytes(200_000 + n) for n in range(6)]
    peers = [Peer(endless.port) for _ in bodies]
    data = [upload(body, "Prefer: wait=0") for body in bodies]
    for at in range(0, len(data[-1]), 9973):
        for peer, d in zip(peers, data):
            peer.send(d[at : at + 9973])
    for peer, body in zip(peers, bodies):
        assert stored(endless, peer.answer().json["id"]) == body
        peer.close()


def resident_kib(pid):
    return int(re.search(r"^Rss:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M)[1])


def test_a_connection_that_waits_holds_no_buffer(endless, many_descriptors):  # noqa: F811
    job = ask(endless.port, upload(b"x", "Prefer: wait=0")).json["id"]
    streams = 500
    before = resident_kib(endless.front)
    peers = [Peer(endless.port, request("GET", f"/jobs/{job}/events")) for _ in range(streams)]
    for peer in peers:
        assert peer.head()[0] == 200
    per_stream = (resident_kib(endless.front) - before) / streams
    for peer in peers:
        peer.close()
    wait_for(lambda: len(os.listdir(f"/proc/{endless.front}/fd")) < 100, what="streams closed")
    assert per_stream < 4, f"{per_stream} KiB per stream"
