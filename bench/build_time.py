# SPDX-License-Identifier: Apache-2.0
"""From POST /build to succeeded, beside the same engine (buildah, as root) called by hand: in the same namespaces, and in none.

By hand is: unpack the context, `buildah bud`, `buildah push` to an OCI archive, each time into an empty storage with the base image
in a read-only additional store, as a build of postern's has it. "The same namespaces" are made by unshare(1), with the same range
of ids. Ours begins with the first byte of the request and ends with the answer that says "succeeded". The demo's context.
"""
import ctypes
import io
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
import time

import peer

ROUNDS = peer.pick(11, 2)
FIRST_ID = 1879048192  # of the range that root's jails have
CONTEXT = os.path.join(peer.ROOT, "examples", "build", "context")

STORAGE = '[storage]\ndriver = "overlay"\ngraphroot = "{root}/storage"\nrunroot = "/dev/shm/postern-bench"\n[storage.options]\nadditionalimagestores = [{base}]\n'
BY_HAND = """set -e
cd {root}
mkdir context tmp
tar -xf {tar} -C context
buildah bud --isolation=chroot --network=host --pull-never --http-proxy=false --format=oci --force-rm --iidfile=iid --layers --tag=localhost/x:latest context
buildah push --quiet --format=oci "$(cat iid)" oci-archive:{root}/image.tar:localhost/x:latest
"""


def context_tar():
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name in sorted(os.listdir(CONTEXT)):
            tar.add(os.path.join(CONTEXT, name), arcname=name)
    return out.getvalue()


LIBC = ctypes.CDLL(None, use_errno=True)
NAMESPACES = 0x10000000 | 0x20000 | 0x20000000 | 0x8000000 | 0x4000000 | 0x40000000 | 0x2000000  # user, mount, pid, ipc, uts, net, cgroup


def called(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), "a namespace cannot be made")


def in_namespaces(argv, env):
    """Run a command in new namespaces, as root of the range of ids; its exit code."""
    ready, mapped = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        try:
            called(LIBC.unshare(NAMESPACES))
            os.write(ready[1], b".")
            os.read(mapped[0], 1)
            os.setresgid(0, 0, 0)
            os.setgroups([])
            os.setresuid(0, 0, 0)
            inner = os.fork()  # the first process of the new process namespace
            if inner == 0:
                called(LIBC.mount(b"none", b"/", None, 0x44000, None))  # private, with all below
                called(LIBC.mount(b"proc", b"/proc", b"proc", 0, None))
                for place in (b"/var/cache", b"/var/tmp", b"/dev/shm"):  # as in postern's jail
                    called(LIBC.mount(b"tmpfs", place, b"tmpfs", 0, None))
                os.execvpe(argv[0], argv, env)
            os._exit(os.waitstatus_to_exitcode(os.waitpid(inner, 0)[1]))
        finally:
            os._exit(99)
    os.read(ready[0], 1)
    for table in ("uid_map", "gid_map"):
        with open(f"/proc/{child}/{table}", "w", encoding="ascii") as f:
            f.write(f"0 {FIRST_ID} 65536")
    os.write(mapped[1], b".")
    for fd in (*ready, *mapped):
        os.close(fd)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def plainly(argv, env):
    return subprocess.run(argv, env=env, check=False).returncode


class ByHand:
    """Calls of the engine with an empty storage each, by `call`."""

    def __init__(self, folder, name, call, owner, tar):
        self.folder, self.call, self.owner, self.base, self.tar = os.path.join(folder, name), call, owner, None, tar
        os.mkdir(self.folder)
        self.env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "BUILDAH_ISOLATION": "chroot", "LC_ALL": "C.UTF-8"}

    def prepare(self):
        root = tempfile.mkdtemp(dir=self.folder)
        with open(f"{root}/storage.conf", "w", encoding="ascii") as f:
            f.write(STORAGE.format(root=root, base=f'"{self.base}"' if self.base else ""))
        os.mkdir(f"{root}/home")
        for path in (root, f"{root}/home"):
            os.chmod(path, 0o711)
            os.chown(path, self.owner, self.owner)
        return root

    def run(self, root, script):
        env = {**self.env, "CONTAINERS_STORAGE_CONF": f"{root}/storage.conf", "HOME": f"{root}/home", "TMPDIR": f"{root}/tmp"}
        if self.call(["/bin/sh", "-c", f"exec >{root}/said 2>&1 </dev/null\n{script}"], env):
            with open(f"{root}/said", encoding="utf-8") as f:
                raise SystemExit(f"by hand: {f.read()}")

    def timed(self):
        root = self.prepare()
        begin = time.monotonic()
        self.run(root, BY_HAND.format(root=root, tar=self.tar))
        ms = (time.monotonic() - begin) * 1000
        shutil.rmtree(root)
        shutil.rmtree("/dev/shm/postern-bench", ignore_errors=True)
        return {"ms": ms}


def import_base(by_hand, tar):
    """A storage with the base image in it, for by_hand's ids."""
    root = by_hand.prepare()
    by_hand.run(root, f"cd {root}; mkdir tmp; cp {tar} rootfs.tar; "
                      "printf 'FROM scratch\\nADD rootfs.tar /\\n' >Dockerfile; buildah bud --layers --tag localhost/debian-tcc .")
    by_hand.base = f"{root}/storage"
    shutil.rmtree("/dev/shm/postern-bench", ignore_errors=True)


def ours(port, data):
    begin = time.monotonic()
    status, body = peer.call(port, "POST", "/build?no_cache=true", data, Prefer="wait=300")
    ms = (time.monotonic() - begin) * 1000
    job = json.loads(body)
    if status != 200 or job["state"] != "succeeded":
        raise SystemExit(f"the build failed: {body}")
    return {"ms": ms, **{"stage " + " ".join(stage["name"].split()[-2:]): stage["seconds"] * 1000 for stage in job["result"]["stages"]}}


def main():
    peer.need("buildah")
    if os.geteuid() != 0:
        raise SystemExit("build_time: needs root, as the engine without a jail does")
    data = context_tar()
    rounds = {"postern": [], "by hand in the same namespaces": [], "by hand without": []}
    with tempfile.TemporaryDirectory(prefix="postern-bench-") as folder:
        os.chmod(folder, 0o711)
        tar = f"{folder}/context.tar"
        with open(tar, "wb") as f:
            f.write(data)
        name = peer.demo_base(f"{folder}/cache")
        hands = [ByHand(folder, "jailed", in_namespaces, FIRST_ID, tar), ByHand(folder, "free", plainly, 0, tar)]
        base = f"{folder}/rootfs.tar"
        shutil.copy(os.path.join(peer.BUILD, "demo", f"{name}.tar"), base)
        for by_hand in hands:
            import_base(by_hand, base)
        with peer.serve(folder, options=["--cache-dir", f"{folder}/cache"], bases=[name]) as (_, port):
            for n in range(ROUNDS + 1):
                results = [ours(port, data), *(by_hand.timed() for by_hand in hands)]
                for key, result in zip(rounds, results):
                    if n:  # the first round warms caches, and finds the engine
                        rounds[key].append(result)
    figures, ratios, rows = {}, [], []
    for key, results in rounds.items():
        figures[key] = {"ms": peer.median(r["ms"] for r in results)}
        added = peer.median(a["ms"] - b["ms"] for a, b in zip(rounds["postern"], results))
        over = peer.median(peer.paired(rounds, "postern", key, "ms"))
        rows.append([key, f"{figures[key]['ms']:.0f}", f"{over:.2f}", f"{added:.0f}"])
    figures["stages"] = {key[6:]: peer.median(r[key] for r in rounds["postern"]) for key in rounds["postern"][0] if key.startswith("stage ")}
    peer.table(f"The demo's image from POST /build to succeeded, {ROUNDS} rounds", ["how", "median ms", "postern over it", "postern adds ms"], rows)
    peer.table("postern's stages", ["stage", "median ms"], [[key, f"{ms:.0f}"] for key, ms in figures["stages"].items()])
    for other, goal in (("by hand in the same namespaces", 1.15), ("by hand without", None)):
        ratios.append(peer.ratio("build of the demo's image: time", f"buildah {other}", peer.paired(rounds, "postern", other, "ms"), goal, at_most=True))
    peer.save("build_time", figures, ratios)


if __name__ == "__main__":
    main()
