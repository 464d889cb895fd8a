# SPDX-License-Identifier: Apache-2.0
"""What the benchmarks share: starting postern and its peers, processor time, memory, and ratios with their spread."""
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
BUILD = os.path.abspath(os.environ.get("POSTERN_BUILD", os.path.join(ROOT, "build")))
POSTERN = os.path.join(BUILD, "postern")
RESULTS = os.path.join(BUILD, "bench")
TOKEN = "bench-" + os.urandom(24).hex()
QUICK = bool(os.environ.get("BENCH_QUICK"))  # the least that exercises everything; its figures mean nothing
SERVER_CPU, CLIENT_CPU = 0, 1


def pick(full, quick):
    return quick if QUICK else full


def need(*programs):
    """End with an error when a program is missing: a comparison that is left out would pass for one that was made."""
    for program in programs:
        if not shutil.which(program):
            sys.exit(f"{program} is missing: tools/deps bench installs it")


def pinned(argv, cpu):
    """The command on one processor; on a machine that has only one, that one."""
    need("taskset")
    return ["taskset", "-c", str(cpu if cpu in os.sched_getaffinity(0) else 0), *argv]


# --- processes --------------------------------------------------------------------------------------------------------


def go_environment(**more):
    return {**os.environ, "GO111MODULE": "off", "GOFLAGS": "", "GOCACHE": os.path.join(RESULTS, "go-cache"), **more}


@contextlib.contextmanager
def process(argv, cpu=None, **kwargs):
    """A program that lives for the block, on one processor when one is given, ended by its own id."""
    p = subprocess.Popen(argv if cpu is None else pinned(argv, cpu), **kwargs)
    try:
        yield p
    finally:
        if p.poll() is None:
            p.send_signal(signal.SIGTERM)
            try:
                p.wait(15)
            except subprocess.TimeoutExpired:
                p.kill()
                p.wait()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_port(port, seconds=20):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.002)
    sys.exit(f"nothing listens on port {port}")


@contextlib.contextmanager
def serve(folder, cpu=None, options=(), bases=()):
    """A `postern serve` with a state and a cache of its own; gives its pid and port."""
    token_file, config, port = f"{folder}/token", f"{folder}/postern.yaml", free_port()
    with open(token_file, "w", encoding="ascii") as f:
        f.write(TOKEN)
    os.chmod(token_file, 0o600)
    with open(config, "w", encoding="ascii") as f:
        f.write(f"bases: [{', '.join(bases)}]\n")
    argv = [POSTERN, "serve", "--port", str(port), "--token-file", token_file, "--state-dir", f"{folder}/state",
            "--config", config, *options]
    with open(f"{folder}/serve.log", "a", encoding="utf-8") as log:
        with process(argv, cpu=cpu, stdout=log, stderr=log, stdin=subprocess.DEVNULL) as p:
            wait_port(port)
            yield p.pid, port


def demo_base(cache):
    """Add the demo's base image to a cache folder and give its name."""
    tar = os.path.join(BUILD, "demo", "debian-tcc.tar")
    subprocess.run([os.path.join(ROOT, "tools", "make-base"), tar], check=True, stdin=subprocess.DEVNULL)
    subprocess.run([POSTERN, "base", "add", "--cache-dir", cache, "debian-tcc", tar], check=True, stdout=subprocess.DEVNULL)
    return "debian-tcc"


def call(port, method, path, data=None, token=TOKEN, **headers):
    """One request; its status and its body."""
    headers = {"Authorization": f"Bearer {token}", **{k.replace("_", "-"): v for k, v in headers.items()}}
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data=data, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request) as r:
            return r.status, r.read()
    except urllib.error.HTTPError as e:
        return e.code, e.read()


def ended_job(port):
    """Start a job that fails at once (its context is no archive); its path and its JSON when it has ended."""
    job = json.loads(call(port, "POST", "/build?tag=bench", b"not a tar", Prefer="wait=20")[1])
    path = f"/jobs/{job['id']}"
    call(port, "GET", f"{path}?wait=20")
    return path, call(port, "GET", path)[1]


def descendants(pid):
    """pid and all processes below it."""
    found = [pid]
    for p in found:
        try:
            with open(f"/proc/{p}/task/{p}/children", encoding="ascii") as f:
                found += [int(c) for c in f.read().split()]
        except OSError:
            pass
    return found


def name_of(pid):
    with open(f"/proc/{pid}/comm", encoding="ascii") as f:
        return f.read().strip()


def cpu_seconds(pid):
    """Processor time that a process and all below it have used, in the program and in the kernel."""
    ticks = 0
    for p in descendants(pid):
        try:
            with open(f"/proc/{p}/stat", encoding="ascii", errors="replace") as f:
                fields = f.read().rpartition(")")[2].split()
        except OSError:
            continue
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def memory_kib(pid):
    """Proportional and resident set size of each process of a tree, and what of the first is its own, in KiB, by name."""
    result = {}
    for p in descendants(pid):
        try:
            name = name_of(p)
            with open(f"/proc/{p}/smaps_rollup", encoding="ascii") as f:
                text = f.read()
        except OSError:
            continue
        entry = result.setdefault(name, {"pss": 0, "rss": 0, "anonymous": 0})
        for key, label in (("pss", "Pss"), ("rss", "Rss"), ("anonymous", "Pss_Anon")):
            entry[key] += int(re.search(rf"^{label}:\s+(\d+)", text, re.M)[1])
    return result


# --- figures ----------------------------------------------------------------------------------------------------------


def median(values):
    return statistics.median(values)


def ratio(what, against, values, goal=None, at_most=False, steady=False):
    """One line of the summary: values are the ratios of single rounds; their median counts, the quartiles are its spread.

    steady: it holds on a busy machine, too (memory, processor time; not rates and times).
    """
    values = sorted(values)
    low, _, high = statistics.quantiles(values, n=4) if len(values) > 1 else values * 3
    line = {"what": what, "against": against, "ratio": median(values), "low": low, "high": high, "steady": steady}
    if goal is not None:
        met = line["ratio"] <= goal if at_most else line["ratio"] >= goal
        line |= {"goal": ("≤ " if at_most else "≥ ") + f"{goal:g}", "met": met}
    return line


def paired(rounds, ours, other, key):
    """postern's figure over the other's, round by round: what disturbs one round disturbs both."""
    return [a[key] / b[key] for a, b in zip(rounds[ours], rounds[other]) if b[key]]


def save(name, figures, ratios):
    """Keep a benchmark's result for bench/run."""
    os.makedirs(RESULTS, exist_ok=True)
    with open(os.path.join(RESULTS, name + ".json"), "w", encoding="utf-8") as f:
        json.dump({"figures": figures, "ratios": ratios}, f, indent=1, sort_keys=True)
        f.write("\n")


def table(title, columns, rows):
    print(f"\n{title}")
    widths = [max(len(str(r[i])) for r in [columns, *rows]) for i in range(len(columns))]
    for r in [columns, *rows]:
        print("  " + "  ".join(str(c).ljust(w) if i == 0 else str(c).rjust(w) for i, (c, w) in enumerate(zip(r, widths))))
    sys.stdout.flush()
