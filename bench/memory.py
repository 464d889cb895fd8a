# SPDX-License-Identifier: Apache-2.0
"""Memory of the server's own processes, idle and with 1,000 open event streams on one running job; what a stream costs.

Proportional set size (PSS) counts a page that n processes share as 1/n for each; resident set size (RSS) counts it for each.
The job that keeps the streams open sleeps in its jail; its worker and what runs in the jail are not counted. Beside it Go's
net/http with as many open responses, since there is one goroutine with its buffers per stream; it sends nothing on them.
"""
import contextlib
import io
import json
import os
import resource
import socket
import subprocess
import sys
import tarfile
import tempfile
import time

import peer

STREAMS = peer.pick(1000, 20)
OWN = ("postern", "postern-keeper", "postern-front")


def sleeping_context():
    """A context whose build sleeps, so that its event streams stay open."""
    dockerfile = b"FROM debian-tcc\nRUN sleep 300\n"
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as t:
        info = tarfile.TarInfo("Dockerfile")
        info.size = len(dockerfile)
        t.addfile(info, io.BytesIO(dockerfile))
    return out.getvalue()


def start_job(port):
    """A job that runs and goes on running; its path."""
    job = json.loads(peer.call(port, "POST", "/build?tag=sleep", sleeping_context(), Prefer="wait=0")[1])
    path, end = f"/jobs/{job['id']}", time.monotonic() + 60
    while time.monotonic() < end:
        state = json.loads(peer.call(port, "GET", path)[1])
        if state["state"] == "running" and "sleep" in peer.call(port, "GET", f"{path}/log")[1].decode():
            return path
        if state["state"] not in ("queued", "running"):
            sys.exit(f"the job that should sleep ended: {state}")
        time.sleep(0.1)
    sys.exit("the job that should sleep never ran")


def open_streams(stack, port, path):
    head = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {peer.TOKEN}\r\n\r\n".encode()
    for _ in range(STREAMS):
        s = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        s.sendall(head)
        if not s.recv(4096).startswith(b"HTTP/1.1 200"):
            sys.exit("an event stream was refused")


def total(memory, key):
    return sum(m[key] for m in memory.values())


def measure_postern(folder):
    cache = f"{folder}/cache"
    base = peer.demo_base(cache)
    with contextlib.ExitStack() as stack, peer.serve(folder, options=["--cache-dir", cache], bases=[base]) as (pid, port):
        peer.ended_job(port)  # what is touched only by the first request does not count as a stream's
        idle = own(pid)
        path = start_job(port)
        open_streams(stack, port, f"{path}/events")
        front = next(p for p in peer.descendants(pid) if peer.name_of(p) == "postern-front")
        time.sleep(peer.pick(1, 0.2))
        cpu, seconds = peer.cpu_seconds(front), peer.pick(5, 0.5)
        time.sleep(seconds)
        cpu = (peer.cpu_seconds(front) - cpu) / seconds
        streaming = own(pid)
        peer.call(port, "DELETE", path)
    return idle, streaming, cpu


def own(pid):
    return {name: m for name, m in peer.memory_kib(pid).items() if name in OWN}


def measure_go(folder):
    peer.need("go")
    source = f"{peer.HERE}/peers/streams.go"
    subprocess.run(["go", "build", "-o", f"{folder}/streams", source], check=True, env=peer.go_environment())
    port = peer.free_port()
    with contextlib.ExitStack() as stack, peer.process([f"{folder}/streams", str(port)]) as p:
        peer.wait_port(port)
        idle = peer.memory_kib(p.pid)
        open_streams(stack, port, "/events")
        time.sleep(peer.pick(1, 0.2))
        return idle, peer.memory_kib(p.pid)


def main():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))
    with tempfile.TemporaryDirectory() as folder:
        idle, streaming, cpu = measure_postern(folder)
        go_idle, go_streaming = measure_go(folder)
    idle["all"], streaming["all"] = ({key: total(m, key) for key in ("pss", "rss")} for m in (idle, streaming))
    (go_idle,), (go_streaming,) = go_idle.values(), go_streaming.values()
    rows, figures = [], {"front_cpu_with_streams": cpu}
    for name, before, after in [*((n, idle[n], streaming[n]) for n in idle), ("Go net/http", go_idle, go_streaming)]:
        per_stream = (after["pss"] - before["pss"]) / STREAMS
        figures[name] = {"idle_kib": before, "streams_kib": after, "kib_per_stream": per_stream}
        rows.append([name, before["pss"], before["rss"], after["pss"], after["rss"], f"{per_stream:.2f}"])
    peer.table(f"Memory in KiB, idle and with {STREAMS} event streams (front then uses {cpu * 100:.1f} % of a processor)",
               ["process", "idle PSS", "idle RSS", "streams PSS", "streams RSS", "PSS per stream"], rows)
    per_stream = figures["all"]["kib_per_stream"] / max(figures["Go net/http"]["kib_per_stream"], 0.01)
    ratios = {f"memory (PSS) per open event stream, of {STREAMS}": per_stream,
              "memory (PSS) of all server processes, idle": idle["all"]["pss"] / go_idle["pss"],
              f"memory (PSS) of all server processes, {STREAMS} event streams": streaming["all"]["pss"] / go_streaming["pss"]}
    peer.save("memory", figures, [peer.ratio(what, "Go net/http", [value], steady=True) for what, value in ratios.items()])


if __name__ == "__main__":
    main()
