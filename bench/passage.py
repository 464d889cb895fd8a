# SPDX-License-Identifier: Apache-2.0
"""What the way out of the sandbox costs: through its proxy, through HAProxy (Debian's) with the same rules, and direct.

One client inside one sandbox does all of it, in alternating rounds; all listen at 10.200.0.1 in the sandbox's network namespace: the
sandbox's proxy, HAProxy and the server behind them (peers/origin.c), which both reach on the host's loopback. The proxies have one
processor (of postern's that is proxy, dialer, witness: the whole sandbox but its command), client and server the other.

What is alike: the same requests (a whole URL, as clients send it to a proxy) on kept-alive connections, one thread, no log, the same
number of rules on method and path, of which the last is the one that holds; all else is denied. HAProxy has them as it is told such
things, `http-request allow if` one by one.

What is not: postern does more for each request. It asks the kernel and /proc who holds the connection at that moment, and which
programs those are; it parses, decides and writes heads anew; and for each that could have a credential ("with Authorization"), another
process, which has these, connects to the server anew. HAProxy has its connections to the server kept alive and shared between its
clients (http-reuse always), and sends on the target as it came; "server anew" is HAProxy told to connect for each request, too. Who asks
costs by how many processes, threads and open files a sandbox has: here those of a small one. On the other hand rules here differ
in how their paths begin, which postern looks up; those that begin alike it tries one by one, as HAProxy tries all (with patterns in
files it would look up, too). HTTP in a tunnel (CONNECT), which HAProxy does not decide by, is measured beside direct only.

What is added is the time of a request less that of a direct one in the same round. As the yardstick of the task has it: OpenShell's
own proxy adds 6.8 ms, and does 132 requests per second on one connection.
"""
import contextlib
import ctypes
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile

import peer
import throughput

ROUNDS = peer.pick(9, 1)
REQUESTS = peer.pick(1000, 20)  # one after the other, per round
BYTES = peer.pick(256, 4) << 20
CONNECTIONS = 16  # for requests per second
HELD = peer.pick(500, 20)  # connections, for memory
RULES = [1, 10, 100, 1000]
COMMON = 10  # rules, for all but requests per second
OWN = ("postern-proxy", "postern-dialer", "postern-witness")  # and dialer's resolver below it
ADDRESS = "10.200.0.1"
PORTS = {rules: 9000 + i for i, rules in enumerate(RULES)}
LIBC = ctypes.CDLL(None, use_errno=True)
NEW_NETWORK = 0x40000000

POLICY = """version: 1
filesystem_policy: {{ include_workdir: true, read_only: [/usr], read_write: [/dev/null] }}
network_policies:
  bench:
    endpoints:
{}
    binaries: [ {{ path: "/usr/bin/python3*" }}, {{ path: /usr/bin/wrk }} ]
"""
ENDPOINT = "      - {{ host: host.openshell.internal, port: {}, protocol: rest, enforcement: enforce, rules: [ {} ] }}"
HAPROXY = """global
    nbthread 1
    maxconn {maxconn}
defaults
    mode http
    timeout connect 10s
    timeout client 60s
    timeout server 60s
    http-reuse always
backend kept
    server origin 127.0.0.1:{origin}
backend anew
    option http-server-close
    http-reuse never
    server origin 127.0.0.1:{origin}
"""
FRONTEND = """frontend {backend}-{rules}
    bind fd@{fd}
    http-request deny unless {{ url_beg http://{authority}/ }}
{allow}
    http-request deny
    default_backend {backend}
"""
HAPROXY_WAYS = {"HAProxy": ("kept", RULES), "HAProxy, server anew": ("anew", [COMMON])}  # to the server, and how many rules


def rules_of(number):
    """Methods and the path that each begins with; the last is a GET, and from ten on the last but one a POST."""
    return [("POST" if i % 10 == 8 else "GET", f"/repo-{i}/") for i in range(number)]


def authority_of(rules):
    return f"host.openshell.internal:{PORTS[rules]}"


def policy():
    endpoints = []
    for number in RULES:
        allow = ", ".join(f"{{ allow: {{ method: {method}, path: {path}** }} }}" for method, path in rules_of(number))
        endpoints.append(ENDPOINT.format(PORTS[number], allow))
    return POLICY.format("\n".join(endpoints))


def haproxy_config(listeners, origin):
    frontends = []
    for (name, number), listener in listeners.items():
        allow = "\n".join(f"    http-request allow if {{ method {method} }} {{ path_beg {path} }}" for method, path in rules_of(number))
        frontends.append(FRONTEND.format(backend=HAPROXY_WAYS[name][0], rules=number, fd=listener.fileno(), authority=authority_of(number),
                                         allow=allow))
    return HAPROXY.format(maxconn=HELD + 100, origin=origin) + "".join(frontends)


# --- processes --------------------------------------------------------------------------------------------------------


def listener_in(pid):
    """A socket that listens in a process's network namespace."""
    with open("/proc/self/ns/net", "rb") as own, open(f"/proc/{pid}/ns/net", "rb") as other:
        if LIBC.setns(other.fileno(), NEW_NETWORK) < 0:
            sys.exit(f"passage: needs root: {os.strerror(ctypes.get_errno())}")
        try:
            return socket.create_server((ADDRESS, 0), backlog=1024)
        finally:
            LIBC.setns(own.fileno(), NEW_NETWORK)


class Client:
    """The client inside the sandbox."""

    def __init__(self, stack, folder, origin):
        with open(f"{folder}/policy.yaml", "w", encoding="ascii") as f:
            f.write(policy())
        os.mkdir(f"{folder}/work")
        for name in ("client.py", "forward.lua"):
            shutil.copy(f"{peer.HERE}/peers/{name}", f"{folder}/work")
        with open(f"{folder}/work/upload", "wb") as f:
            f.truncate(BYTES)
        servers = [word for port in PORTS.values() for word in ("--server", f"{port}=127.0.0.1:{origin}")]
        cpu = peer.CLIENT_CPU if peer.CLIENT_CPU in os.sched_getaffinity(0) else 0
        self.log = stack.enter_context(open(f"{folder}/log", "w+", encoding="utf-8"))  # that those who left cannot be told who they are
        argv = [peer.POSTERN, "sandbox", "--policy", f"{folder}/policy.yaml", "--dir", f"{folder}/work", *servers, "--",
                "/usr/bin/python3", "client.py", str(cpu)]
        self.process = stack.enter_context(peer.process(argv, cpu=peer.SERVER_CPU, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True))
        self("release")  # it is there

    def __call__(self, do, **what):
        self.process.stdin.write(json.dumps({"do": do, **what}) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            self.log.seek(0)
            sys.exit(f"passage: the client in the sandbox ended: {self.log.read()[-2000:]}")
        return json.loads(answer)

    def pid(self):
        return next(p for p in peer.descendants(self.process.pid) if peer.name_of(p).startswith("python3"))


class Servers:
    """Where each is, and what of it is counted."""

    def __init__(self, stack, folder):
        subprocess.run(["gcc", "-O2", "-o", f"{folder}/origin", f"{peer.HERE}/peers/origin.c"], check=True)
        outside = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=1024))
        origin = outside.getsockname()[1]
        self.client = Client(stack, folder, origin)
        direct = stack.enter_context(listener_in(self.client.pid()))
        listeners = {(name, rules): stack.enter_context(listener_in(self.client.pid()))
                     for name, (_, numbers) in HAPROXY_WAYS.items() for rules in numbers}
        fds = [outside.fileno(), direct.fileno()]
        stack.enter_context(peer.process([f"{folder}/origin", str(BYTES), *map(str, fds)], cpu=peer.CLIENT_CPU, pass_fds=fds))
        with open(f"{folder}/haproxy.cfg", "w", encoding="ascii") as f:
            f.write(haproxy_config(listeners, origin))
        haproxy = stack.enter_context(peer.process(["haproxy", "-db", "-q", "-f", f"{folder}/haproxy.cfg"], cpu=peer.SERVER_CPU,
                                                   pass_fds=[listener.fileno() for listener in listeners.values()]))
        helpers = [p for p in peer.descendants(self.client.process.pid) if peer.name_of(p) in OWN]
        self.ports = {key: listener.getsockname()[1] for key, listener in listeners.items()}
        for rules in RULES:
            self.ports |= {("postern", rules): 3128, ("direct", rules): direct.getsockname()[1]}
        self.pids = {"postern": helpers, "HAProxy": [haproxy.pid], "direct": []}

    def ask(self, name, do, rules=COMMON, via="forward", **what):
        """Have the client do something by way of one of them."""
        via = "direct" if name == "direct" else via
        return self.client(do, port=self.ports[name, rules], via=via, authority=authority_of(rules), **what)

    def wrk(self, name, rules):
        target = rules_of(rules)[-1][1] + "small"
        if name != "direct":
            target = f"http://{authority_of(rules)}{target}"
        before = self.cpu_seconds(name)
        output = self.client("run", argv=["wrk", "-t1", f"-c{CONNECTIONS}", "-d1s", "--latency", "-s", "forward.lua",
                                          f"http://{ADDRESS}:{self.ports[name, rules]}", "--", target, authority_of(rules)])["output"]
        return throughput.read_wrk(output, self.cpu_seconds(name) - before)

    def cpu_seconds(self, name):
        return sum(peer.cpu_seconds(pid) for pid in self.pids[name])

    def kib(self, name, key):
        return sum(m[key] for pid in self.pids[name] for m in peer.memory_kib(pid).values())


# --- what is measured -------------------------------------------------------------------------------------------------


def added(rounds, name, key):
    return [a[key] - b[key] for a, b in zip(rounds[name], rounds["direct"])]


def measure_latency(servers, figures, ratios):
    ways = {"direct": ("direct", "direct", ""), **{name: (name, "forward", "") for name in ("postern", *HAPROXY_WAYS)},
            "postern, CONNECT": ("postern", "connect", ""), "postern, with Authorization": ("postern", "forward", "Authorization: Bearer x\r\n")}
    path, rounds, rows = rules_of(COMMON)[-1][1] + "small", {name: [] for name in ways}, []
    for n in range(ROUNDS + 1):
        for name, (server, via, more) in ways.items():
            result = servers.ask(server, "latency", via=via, path=path, requests=REQUESTS, more=more)
            if n:  # the first round warms caches, and has programs hashed
                rounds[name].append(result)
    for name, results in rounds.items():
        figures[f"latency, {name}"] = line = {key: peer.median(r[key] for r in results) for key in ("p50_us", "p99_us")}
        line |= {f"added_{key}": peer.median(added(rounds, name, key)) for key in ("p50_us", "p99_us")}
        rows.append([name, *(f"{line[key]:.1f}" for key in ("p50_us", "p99_us", "added_p50_us", "added_p99_us"))])
    peer.table(f"A request on a kept-alive connection, us, {ROUNDS} rounds of {REQUESTS}", ["way", "median", "p99", "added", "added to p99"], rows)
    for key, what, goal in (("p50_us", "median", 1), ("p99_us", "p99", None)):
        for own, request, other, at_most in (("postern", "a request", "HAProxy", goal),
                                             ("postern, with Authorization", "a request with Authorization", "HAProxy", None),
                                             ("postern, with Authorization", "a request with Authorization", "HAProxy, server anew", None)):
            pairs = [a / b for a, b in zip(added(rounds, own, key), added(rounds, other, key)) if a > 0 and b > 0]
            if pairs:
                ratios.append(peer.ratio(f"through the proxy, {request}: what is added to the {what}", other, pairs, at_most, at_most=True))
        for name in ("postern", "postern, CONNECT"):
            form = "in a tunnel" if "CONNECT" in name else "forwarded"
            ratios.append(peer.ratio(f"through the proxy, a request {form}: {what}", "direct", peer.paired(rounds, name, "direct", key)))


def measure_rate(servers, figures, ratios):
    rounds = {(name, rules): [] for rules in RULES for name in ("postern", "HAProxy")} | {("direct", COMMON): []}
    for _ in range(ROUNDS):
        for name, rules in rounds:
            rounds[name, rules].append(servers.wrk(name, rules))
    rows = []
    for (name, rules), results in rounds.items():
        figures[f"rate, {name}, {rules} rules"] = line = {key: peer.median(r[key] for r in results) for key in results[0]}
        rows.append([name, rules if name != "direct" else "", f"{line['rps']:.0f}", f"{line['cpu_us']:.1f}"])
    peer.table(f"Requests per second, {CONNECTIONS} connections, {ROUNDS} rounds of 1 s", ["way", "rules", "req/s", "CPU us/req"], rows)
    for rules in RULES:
        what, ours, other = f"through the proxy, {rules} rules", ("postern", rules), ("HAProxy", rules)
        ratios.append(peer.ratio(f"{what}: requests/s", "HAProxy", peer.paired(rounds, ours, other, "rps")))
        ratios.append(peer.ratio(f"{what}: requests per CPU time", "HAProxy", peer.paired(rounds, other, ours, "cpu_us"), steady=True))
    ratios.append(peer.ratio("through the proxy, 1000 rules: requests/s", "postern with 10",
                             peer.paired(rounds, ("postern", 1000), ("postern", 10), "rps"), 0.9))


def measure_bulk(servers, figures, ratios):
    rules = rules_of(COMMON)
    paths, names = {"download": rules[-1][1] + "bulk", "upload": rules[-2][1] + "bulk"}, ("postern", "HAProxy", "direct")
    rounds = {direction: {name: [] for name in names} for direction in paths}
    for _ in range(ROUNDS):
        for direction, path in paths.items():
            for name in names:
                result = servers.ask(name, direction, path=path, size=BYTES)
                rounds[direction][name].append({"gb_per_s": BYTES / 1e9 / result["seconds"]})
    rows = []
    for direction, results in rounds.items():
        for name in names:
            figures[f"{direction}, {name}"] = speed = peer.median(r["gb_per_s"] for r in results[name])
            rows.append([f"{direction}, {name}", f"{speed:.2f}"])
        for other in names[1:]:
            ratios.append(peer.ratio(f"through the proxy, {direction}: bytes/s", other, peer.paired(results, "postern", other, "gb_per_s")))
    peer.table(f"{BYTES >> 20} MiB, {ROUNDS} rounds", ["way", "GB/s"], rows)


def measure_memory(servers, figures, ratios):
    path, rows, costs = rules_of(COMMON)[-1][1], [], {}
    for name in ("postern", "HAProxy"):
        whole, before = servers.kib(name, "pss"), servers.kib(name, "anonymous")
        for kind, end in (("idle", "small"), ("active", "held")):
            servers.ask(name, "hold", path=path + end, connections=HELD, whole=kind == "idle")
            costs[name, kind] = max((servers.kib(name, "anonymous") - before) / HELD, 0.01)
            servers.client("release")
        figures[f"memory, {name}"] = {"before_kib": whole, **{f"kib_per_{kind}": costs[name, kind] for kind in ("idle", "active")}}
        rows.append([name, whole, *(f"{costs[name, kind]:.2f}" for kind in ("idle", "active"))])
    peer.table(f"Memory (PSS) in KiB, with {HELD} connections", ["way", "without any", "per idle one", "per active one"], rows)
    for kind in ("idle", "active"):
        ratios.append(peer.ratio(f"through the proxy, memory (PSS) per {kind} connection, of {HELD}", "HAProxy",
                                 [costs["postern", kind] / costs["HAProxy", kind]], steady=True))
    ratios.append(peer.ratio("memory (PSS) of proxy, dialer and witness without a connection", "HAProxy",
                             [figures["memory, postern"]["before_kib"] / figures["memory, HAProxy"]["before_kib"]], steady=True))


def main():
    peer.need("gcc", "haproxy", "wrk")
    figures, ratios = {}, []
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        servers = Servers(stack, folder)
        for measure in (measure_memory, measure_latency, measure_rate, measure_bulk):
            measure(servers, figures, ratios)
    peer.save("passage", figures, ratios)


if __name__ == "__main__":
    main()
