# SPDX-License-Identifier: Apache-2.0
"""Starting: `postern serve` until /healthz answers, beside Go's and Python's servers; `postern --version` beside `true`; and
for each program its size and the shared libraries that it loads.
"""
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

import peer

ROUNDS = peer.pick(31, 2)


def until_healthy(argv, port, log, **kwargs):
    """Milliseconds until the first answer, whatever its status."""
    begin = time.monotonic()
    with peer.process(argv, stdout=log, stderr=log, stdin=subprocess.DEVNULL, **kwargs) as p:
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz").close()
                break
            except urllib.error.HTTPError:
                break
            except (urllib.error.URLError, ConnectionError):
                if p.poll() is not None:
                    sys.exit(f"{argv[0]} ended instead of starting")
        return (time.monotonic() - begin) * 1000


def run_to_end(argv):
    begin = time.monotonic()
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    return (time.monotonic() - begin) * 1000


def commands(folder, port):
    token = f"{folder}/token"
    with open(token, "w", encoding="ascii") as f:
        f.write(peer.TOKEN)
    os.chmod(token, 0o600)
    with open(f"{folder}/body", "w", encoding="ascii") as f:
        f.write("{}")
    subprocess.run(["go", "build", "-o", f"{folder}/go", f"{peer.HERE}/peers/server.go"], check=True, env=peer.go_environment())
    arguments = [str(port), peer.TOKEN, folder]
    return {
        "postern serve": [peer.POSTERN, "serve", "--port", str(port), "--token-file", token, "--state-dir", f"{folder}/state"],
        "Go net/http": [f"{folder}/go", *arguments],
        "Python http.server": [sys.executable, f"{peer.HERE}/peers/server.py", *arguments],
    }


def programs():
    """Size in KiB and number of shared libraries of each of postern's programs."""
    result = {}
    for name in sorted(os.listdir(peer.BUILD)):
        path = os.path.join(peer.BUILD, name)
        if not (name == "postern" or name.startswith("postern-")) or not os.path.isfile(path) or not os.access(path, os.X_OK):
            continue
        stripped = f"{peer.RESULTS}/stripped"
        subprocess.run(["strip", "-o", stripped, path], check=True)
        out = subprocess.run(["ldd", path], capture_output=True, text=True, check=False).stdout
        result[name] = {"stripped_kib": os.path.getsize(stripped) // 1024, "libraries": out.count("=>")}
        os.unlink(stripped)
    return result


def measure():
    once = {"postern --version": [peer.POSTERN, "--version"], "true": [shutil.which("true")]}
    with tempfile.TemporaryDirectory() as folder, open(f"{folder}/log", "w", encoding="utf-8") as log:
        port = peer.free_port()
        servers = commands(folder, port)
        rounds = {name: [] for name in [*servers, *once]}
        for n in range(ROUNDS + 1):
            results = {name: until_healthy(argv, port, log) for name, argv in servers.items()}
            results |= {name: run_to_end(argv) for name, argv in once.items()}
            for name, ms in results.items():
                if n:  # the first round only warms caches
                    rounds[name].append({"ms": ms})
    return rounds


def main():
    peer.need("go", "strip", "ldd")
    os.makedirs(peer.RESULTS, exist_ok=True)
    rounds, parts = measure(), programs()
    figures = {name: peer.median(r["ms"] for r in results) for name, results in rounds.items()}
    peer.table(f"Start in ms, median of {ROUNDS}: a server until it answers, a command until it ends", ["what", "ms"],
               [[name, f"{ms:.1f}"] for name, ms in figures.items()])
    peer.table("Programs, without symbols", ["program", "KiB", "shared libraries"],
               [[name, p["stripped_kib"], p["libraries"]] for name, p in parts.items()])
    pairs = [("postern serve", "Go net/http"), ("postern serve", "Python http.server"), ("postern --version", "true")]
    what = {"postern serve": "`postern serve` until /healthz answers: time", "postern --version": "`postern --version`: time"}
    peer.save("start", {"ms": figures, "programs": parts},
              [peer.ratio(what[ours], other, peer.paired(rounds, ours, other, "ms")) for ours, other in pairs])


if __name__ == "__main__":
    main()
