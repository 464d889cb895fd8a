# SPDX-License-Identifier: Apache-2.0
"""Start to end of a sandbox that runs `true`: `postern sandbox` beside bubblewrap with the same namespaces.

Both make user, mount, pid, ipc, uts and network namespaces, a root with a read-only /usr, a new /proc, a small /dev and an
empty /tmp. postern's sandbox has more: proxy, dialer and witness (three processes that must be ready before the command
starts), Landlock, a system call filter, an /etc of its own, addresses and routes. `unshare` is the least there can be.
"""
import os
import resource
import subprocess
import tempfile
import time

import peer

ROUNDS = peer.pick(61, 3)
MOST_ADDED_MS = 10  # the goal
POLICY = """version: 1
filesystem_policy: { include_workdir: true, read_only: [/usr], read_write: [/dev/null] }
network_policies:
  build:
    endpoints:
      - { host: host.openshell.internal, port: 9090, protocol: rest, enforcement: enforce, rules: [ { allow: { method: GET, path: / } } ] }
    binaries: [{ path: /usr/bin/curl }]
"""


def commands(folder):
    policy = f"{folder}/policy.yaml"
    with open(policy, "w", encoding="ascii") as f:
        f.write(POLICY)
    links = [word for name in ("bin", "sbin", "lib", "lib64") if os.path.islink(f"/{name}")
             for word in ("--symlink", f"usr/{name}", f"/{name}")]
    return {
        "postern sandbox": [peer.POSTERN, "sandbox", "--policy", policy, "--dir", folder, "--", "/usr/bin/true"],
        "bwrap": ["bwrap", "--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-net",
                  "--die-with-parent", "--new-session", "--ro-bind", "/usr", "/usr", *links, "--proc", "/proc", "--dev", "/dev",
                  "--tmpfs", "/tmp", "--bind", folder, "/sandbox", "--chdir", "/sandbox", "--", "/usr/bin/true"],
        "unshare": ["unshare", "--user", "--map-root-user", "--net", "--ipc", "--uts", "--mount", "--pid", "--fork",
                    "--mount-proc", "/usr/bin/true"],
    }


def used():
    u = resource.getrusage(resource.RUSAGE_CHILDREN)
    return u.ru_utime + u.ru_stime


def timed(argv):
    cpu, begin = used(), time.monotonic()
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL, capture_output=True)
    return {"ms": (time.monotonic() - begin) * 1000, "cpu_ms": (used() - cpu) * 1000}


def main():
    peer.need("bwrap", "unshare")
    figures, ratios, rows = {}, [], []
    with tempfile.TemporaryDirectory() as folder:
        argvs = commands(folder)
        rounds = {name: [] for name in argvs}
        for n in range(ROUNDS + 1):
            for name, argv in argvs.items():
                result = timed(argv)
                if n:  # the first round only warms caches
                    rounds[name].append(result)
    for name, results in rounds.items():
        ms, cpu = (peer.median(r[key] for r in results) for key in ("ms", "cpu_ms"))
        added = peer.median(a["ms"] - b["ms"] for a, b in zip(rounds["postern sandbox"], results))
        over = peer.median(peer.paired(rounds, "postern sandbox", name, "ms"))
        figures[name] = {"ms": ms, "cpu_ms": cpu, "postern_adds_ms": added}
        rows.append([name, f"{ms:.1f}", f"{cpu:.1f}", f"{over:.2f}", f"{added:.1f}"])
    peer.table(f"Sandbox from start to end, {ROUNDS} rounds",
               ["command", "median ms", "CPU ms", "postern over it", "postern adds ms"], rows)
    for other in ("bwrap", "unshare"):
        ratios.append(peer.ratio("sandbox, start to end: time", other, peer.paired(rounds, "postern sandbox", other, "ms")))
    over = [a["ms"] / (b["ms"] + MOST_ADDED_MS) for a, b in zip(rounds["postern sandbox"], rounds["bwrap"])]
    ratios.append(peer.ratio("sandbox, start to end: time", f"bwrap and {MOST_ADDED_MS} ms", over, 1, at_most=True))
    peer.save("sandbox_start", figures, ratios)


if __name__ == "__main__":
    main()
