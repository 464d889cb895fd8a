# SPDX-License-Identifier: Apache-2.0
"""Authenticated GET /jobs/{id}: postern serve beside a bare libmicrohttpd, Go's net/http and Python's http.server.

Each answers the same JSON to the same request on kept-alive connections, after comparing the token in constant time, with
one thread on one processor (Go with GOMAXPROCS=1; Python with a thread per connection, which its lock makes one); wrk is on
another processor. `floor` is a loop of recv and send that looks at nothing: what the kernel alone costs. Rounds of all
servers alternate, and a ratio is that of one round. Beside the rate stands the processor time per request of all of a
server's processes, which other load on the machine and wrk's own limit disturb less.
"""
import contextlib
import os
import re
import subprocess
import sys
import tempfile

import peer

ROUNDS = peer.pick(9, 1)
CONNECTIONS = peer.pick([1, 16, 256], [16])
MHD_MODES = ["epoll", "turbo", "poll", "select"]


def build_peers(folder):
    """In `folder`; ends with an error when one cannot be built."""
    peer.need("gcc", "go", "wrk")
    for name in ("mhd", "floor"):
        libraries = ["-lmicrohttpd"] if name == "mhd" else []
        subprocess.run(["gcc", "-O2", "-o", f"{folder}/{name}", f"{peer.HERE}/peers/{name}.c", *libraries], check=True)
    subprocess.run(["go", "build", "-o", f"{folder}/go", f"{peer.HERE}/peers/server.go"], check=True, env=peer.go_environment())


def start_peers(stack, folder, mhd_modes):
    """Start every peer; gives pid and port by name."""
    commands = {f"libmicrohttpd {mode}": ([f"{folder}/mhd", mode], {}) for mode in mhd_modes}
    commands |= {
        "go": ([f"{folder}/go"], {"env": {**os.environ, "GOMAXPROCS": "1"}}),
        "python": ([sys.executable, f"{peer.HERE}/peers/server.py"], {"stderr": subprocess.DEVNULL}),
        "floor": ([f"{folder}/floor"], {}),
    }
    servers = {}
    for name, (argv, kwargs) in commands.items():
        port = peer.free_port()
        p = stack.enter_context(peer.process([*argv, str(port), peer.TOKEN, folder], cpu=peer.SERVER_CPU, **kwargs))
        peer.wait_port(port)
        servers[name] = (p.pid, port)
    return servers


def check(servers, path, body):
    """All give the same answer, and all but the floor refuse another token."""
    for name, (_, port) in servers.items():
        if peer.call(port, "GET", path) != (200, body):
            sys.exit(f"{name} gives another answer: the comparison would mean nothing")
        if name != "floor" and peer.call(port, "GET", path, token="wrong")[0] != 401:
            sys.exit(f"{name} takes any token: the comparison would mean nothing")


def wrk(pid, port, path, connections):
    """One round of a second; a failed response ends the benchmark."""
    argv = ["wrk", "-t1", f"-c{connections}", "-d1s", "--latency", "-H", f"Authorization: Bearer {peer.TOKEN}",
            f"http://127.0.0.1:{port}{path}"]
    before = peer.cpu_seconds(pid)
    out = subprocess.run(peer.pinned(argv, peer.CLIENT_CPU), check=True, capture_output=True, text=True).stdout
    return read_wrk(out, peer.cpu_seconds(pid) - before)


def read_wrk(out, cpu):
    """What wrk printed, and the processor time that the server used meanwhile."""
    if "Non-2xx" in out or "Socket errors" in out:
        sys.exit(f"not all requests succeeded:\n{out}")
    unit = {"us": 1, "ms": 1e3, "s": 1e6}
    p99 = re.search(r"^\s+99%\s+([\d.]+)(us|ms|s)", out, re.M)
    requests = int(re.search(r"(\d+) requests in", out)[1])
    if not requests:  # libmicrohttpd's epoll loses connections when many come at once
        return {"rps": 0.0, "p99_us": 0.0, "cpu_us": 0.0}
    return {"rps": float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1]), "p99_us": float(p99[1]) * unit[p99[2]],
            "cpu_us": cpu * 1e6 / requests}


def alternate(servers, path, connections, rounds):
    results = {name: [] for name in servers}
    for _ in range(rounds):
        for name, (pid, port) in servers.items():
            results[name].append(wrk(pid, port, path, connections))
    return results


def best_mode(servers, path, connections):
    """libmicrohttpd's fastest way to wait for so many connections, here and now."""
    modes = {name: s for name, s in servers.items() if name.startswith("libmicrohttpd")}
    rounds = alternate(modes, path, connections, peer.pick(3, 1))
    return max(rounds, key=lambda name: peer.median(r["rps"] for r in rounds[name]))


def report(rounds, connections, best, figures, ratios):
    rows = []
    for name, results in rounds.items():
        medians = {key: peer.median(r[key] for r in results) for key in results[0]}
        figures[f"{name}, {connections} connections"] = medians
        by_rate = peer.median(peer.paired(rounds, "postern", name, "rps"))
        by_cpu = peer.median(peer.paired(rounds, name, "postern", "cpu_us"))
        rows.append([name, f"{medians['rps']:.0f}", f"{medians['p99_us']:.0f}", f"{medians['cpu_us']:.2f}",
                     f"{by_rate:.2f}", f"{by_cpu:.2f}"])
    peer.table(f"GET /jobs/ID, {connections} connections, {len(rounds['postern'])} rounds of 1 s",
               ["server", "req/s", "p99 us", "CPU us/req", "postern's rate over it", "postern's rate per CPU time over it"], rows)
    what = f"GET /jobs/ID, {connections} connections"
    for other, goal in (("go", 3), ("python", None), (best, 0.8), ("floor", None)):
        label = {"go": "Go net/http", "python": "Python http.server", "floor": "the kernel alone"}.get(other, f"bare {other}")
        ratios.append(peer.ratio(f"{what}: requests/s", label, peer.paired(rounds, "postern", other, "rps"), goal))
        ratios.append(peer.ratio(f"{what}: requests per CPU time", label, peer.paired(rounds, other, "postern", "cpu_us"), steady=True))
        ratios.append(peer.ratio(f"{what}: p99", label, peer.paired(rounds, "postern", other, "p99_us")))


def main():
    figures, ratios = {}, []
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        build_peers(folder)
        pid, port = stack.enter_context(peer.serve(folder, cpu=peer.SERVER_CPU))
        path, body = peer.ended_job(port)
        with open(f"{folder}/body", "wb") as f:
            f.write(body)
        servers = start_peers(stack, folder, MHD_MODES)
        servers = {"postern": (pid, port), **servers}
        check(servers, path, body)
        for connections in CONNECTIONS:
            best = best_mode(servers, path, connections)
            chosen = {name: s for name, s in servers.items() if name == best or not name.startswith("libmicrohttpd")}
            report(alternate(chosen, path, connections, ROUNDS), connections, best, figures, ratios)
    peer.save("throughput", figures, ratios)


if __name__ == "__main__":
    main()
