# SPDX-License-Identifier: Apache-2.0
"""Bytes per second in and out: an upload (POST /build) and a download (a job's log) beside libmicrohttpd and Go.

The peers write what they get into an unnamed file in the same folder, and send a file of the same size; the servers have
one processor, the client another. The client's own cost is kept small (sendfile out, and in without a copy), so that what is
measured is the server. What postern does with an upload afterwards (a job that fails, since zeros are no archive) is not timed.
"""
import contextlib
import json
import os
import socket
import sys
import tempfile
import time

import peer
import throughput
from peers import client

ROUNDS = peer.pick(9, 1)
BYTES = peer.pick(128, 4) << 20
OTHERS = ["libmicrohttpd bulk", "go"]


def request(port, method, path, more=""):
    s = socket.create_connection(("127.0.0.1", port))
    s.sendall((f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
               f"Authorization: Bearer {peer.TOKEN}\r\n{more}\r\n").encode())
    return s


def download(port, path):
    with request(port, "GET", path) as s:
        head, begun = client.read_head(s)
        if client.length_of(head) != BYTES:
            sys.exit(f"{path}: {head!r}")
        client.drain(s, head, begun)


def upload(port, path, source):
    with request(port, "POST", path, f"Content-Length: {BYTES}\r\nPrefer: wait=0\r\n") as s:
        sent = 0
        while sent < BYTES:
            sent += os.sendfile(s.fileno(), source, sent, BYTES - sent)
        _, rest = client.read_head(s)
        while piece := s.recv(65536):
            rest += piece
    return rest


def timed(pid, do):
    cpu, begin = peer.cpu_seconds(pid), time.monotonic()
    answer = do()
    mib = BYTES / (1 << 20)
    result = {"mib_per_s": mib / (time.monotonic() - begin)}
    result["cpu_ms_per_mib"] = (peer.cpu_seconds(pid) - cpu) * 1000 / mib
    return result, answer


def one_round(servers, log_path, source, rounds):
    for name, (pid, port) in servers.items():
        ours = name == "postern"
        result, _ = timed(pid, lambda: download(port, log_path if ours else "/file"))
        rounds["download"][name].append(result)
    for name, (pid, port) in servers.items():
        ours = name == "postern"
        result, answer = timed(pid, lambda: upload(port, "/build?tag=bench", source))
        rounds["upload"][name].append(result)
        if ours:
            peer.call(port, "GET", f"/jobs/{json.loads(answer)['id']}?wait=60")


def report(direction, rounds, figures, ratios):
    rows = []
    for name, results in rounds.items():
        speed, cpu = (peer.median(r[key] for r in results) for key in ("mib_per_s", "cpu_ms_per_mib"))
        figures[f"{direction}, {name}"] = {"mib_per_s": speed, "cpu_ms_per_mib": cpu}
        by_rate = peer.median(peer.paired(rounds, "postern", name, "mib_per_s"))
        by_cpu = peer.median(peer.paired(rounds, name, "postern", "cpu_ms_per_mib") or [0])
        rows.append([name, f"{speed:.0f}", f"{cpu:.3f}", f"{by_rate:.2f}", f"{by_cpu:.2f}"])
    peer.table(f"{direction} of {BYTES >> 20} MiB, {len(rounds['postern'])} rounds",
               ["server", "MiB/s", "CPU ms/MiB", "postern's rate over it", "postern's rate per CPU time over it"], rows)
    for name in OTHERS:
        label = "Go net/http" if name == "go" else "bare libmicrohttpd"
        ratios.append(peer.ratio(f"{direction}: bytes/s", label, peer.paired(rounds, "postern", name, "mib_per_s")))
        # A round that is too short for the clock of processor time says nothing.
        if cpu := [value for value in peer.paired(rounds, name, "postern", "cpu_ms_per_mib") if value]:
            ratios.append(peer.ratio(f"{direction}: bytes per CPU time", label, cpu, steady=True))


def main():
    figures, ratios = {}, []
    os.sched_setaffinity(0, {peer.CLIENT_CPU} & os.sched_getaffinity(0) or os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        throughput.build_peers(folder)
        pid, port = stack.enter_context(peer.serve(folder, cpu=peer.SERVER_CPU))
        path, body = peer.ended_job(port)
        with open(f"{folder}/body", "wb") as f:
            f.write(body)
        # A log as long as what the peers send: the server opens it anew for each request.
        for name in ("download", f"state{path}/log"):
            with open(f"{folder}/{name}", "wb") as f:
                f.write(b"0" * BYTES)
        servers = throughput.start_peers(stack, folder, ["bulk"])
        servers = {"postern": (pid, port), **{name: servers[name] for name in OTHERS}}
        rounds = {direction: {name: [] for name in servers} for direction in ("download", "upload")}
        source = stack.enter_context(open(f"{folder}/download", "rb"))
        for _ in range(ROUNDS):
            one_round(servers, f"{path}/log", source.fileno(), rounds)
    for direction, results in rounds.items():
        report(direction, results, figures, ratios)
    peer.save("transfer", figures, ratios)


if __name__ == "__main__":
    main()
