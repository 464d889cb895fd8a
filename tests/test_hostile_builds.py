# SPDX-License-Identifier: Apache-2.0
"""Builds that attack the host, through the real server, with each engine, as root and as an ordinary user.

Each folder of tests/hostile-builds holds one attack, or several that do not get in each other's way: `Dockerfile`, or `Dockerfile.NAME`
for one build each, whatever belongs to the context, and `expect.yaml`:

  about:    what is tried
  state:    how the job must end (failed)
  error:    a pattern that must be in the result's error
  refused:  names whose line in the log must be "NAME: refused…" (see common/try and common/attack.c)
  says:     {NAME: text}, other lines that the log must have as "NAME: text"
  log:      patterns that the log must have; not_log: those it must not
  query:    parameters of POST /build; answer: the status when it is to be refused at once
  links:    {NAME: target}, symbolic links of the context; bases: false for a build that starts from nothing
  files:    {NAME: NAME of hostile_host.Host's}, archives of the host that are in the context, too
  limits:   limits of the server beside the usual ones below
  variants: {NAME: {any of these}}, of one Dockerfile.NAME
  slow:     true when only .ci/run shall do it

Whatever it expects, no build may read, write or reach anything of hostile_host.Host, steer a terminal, or leave anything."""
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from api_driver import Server, serving
from conftest import BUILD, ROOT, descendants, wait_for, weakened
from contexts import add_base, layers_of, tar_of
from hostile_host import Host, OwnNetwork

FOLDER = ROOT / "tests" / "hostile-builds"
LIMITS = {"seconds": 90, "memory_bytes": 512 << 20, "processes": 200, "file_bytes": 64 << 20, "storage_bytes": 192 << 20,
          "log_bytes": 256 << 10, "context_entries": 5000}
EVERYTHING = [(who, engine) for who in ("root", "ordinary") for engine in ("buildah", "podman")]
# A refusal; not a complaint about the call's arguments, which the kernel makes when it would do it.
REFUSED = re.compile(r".*: refused( \((EPERM|EACCES|ENOSYS|EROFS|ENOENT|ENETUNREACH|EADDRNOTAVAIL|ENODEV|ETXTBSY|ENXIO|ECONNREFUSED|"
                     r"ESRCH|EAFNOSUPPORT|EPROTONOSUPPORT)\))?$")
USUAL = [("root", "buildah"), ("ordinary", "podman")]


class Case:
    def __init__(self, folder, dockerfile):
        self.folder, self.dockerfile = folder, dockerfile
        self.variant = dockerfile.name.removeprefix("Dockerfile").replace(".", "/")
        self.name = folder.name + self.variant
        self.expect = {"state": "failed", "refused": [], "says": {}, "log": [], "not_log": [], "query": {}, "links": {}, "limits": {},
                       "files": {}, **yaml.safe_load((folder / "expect.yaml").read_text())}
        self.expect.update(self.expect.get("variants", {}).get(self.variant.removeprefix("/"), {}))

    def context(self, words):
        files = {}
        for path in sorted(self.folder.rglob("*")):
            if path.is_file() and path.name != "expect.yaml" and not path.name.startswith("Dockerfile."):
                files[str(path.relative_to(self.folder))] = _fill(path.read_text(), words)
        if "Dockerfile" not in self.expect["links"]:
            files["Dockerfile"] = _fill(self.dockerfile.read_text(), words)
        for name, source in self.expect["files"].items():
            files[name] = Path(words["HOST"], source).read_bytes()
        for name, target in self.expect["links"].items():
            files[name] = _link(_fill(target, words))
        return tar_of(files)


def _fill(text, words):
    for word, value in words.items():
        text = text.replace(f"@{word}@", value)
    return text


def _link(target):
    def make(entry):
        entry.type, entry.linkname = b"2", target

    return make


def _cases():
    found = []
    for folder in sorted(path.parent for path in FOLDER.glob("*/expect.yaml")):
        found += [Case(folder, path) for path in sorted(folder.glob("Dockerfile*"))]
    return found


CASES = _cases()


@pytest.fixture(scope="module")
def box(base_image, reachable):
    """A small base image: busybox and the attacks' tools."""
    folder = reachable / "box"
    for name in ("bin", "tmp", "etc", "proc", "mnt", "root"):
        (folder / name).mkdir(parents=True)
    subprocess.run(["tar", "xf", base_image, "-C", folder, "--wildcards", "./bin/busybox", "./usr/bin/busybox"], check=False, stderr=subprocess.DEVNULL)
    busybox = next(path for path in (folder / "bin/busybox", folder / "usr/bin/busybox") if path.exists())
    for name in subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split():
        link = folder / "bin" / name
        if not link.exists():
            link.symlink_to("busybox")
    subprocess.run(["gcc", "-D_GNU_SOURCE", "-O1", "-static", "-o", folder / "bin/attack", FOLDER / "common/attack.c"], check=True)
    shutil.copy(FOLDER / "common/try", folder / "bin/try")
    (folder / "bin/try").chmod(0o755)
    (folder / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\nsomebody:x:1000:1000::/:/bin/sh\n")
    tar = reachable / "box.tar"
    subprocess.run(["tar", "cf", tar, "-C", folder, "--owner=0", "--group=0", "."], check=True)
    shutil.rmtree(folder)
    return tar


class Field:
    """Where one user's builds attack one user's host; servers are started as they are needed."""

    def __init__(self, user, programs, box, reachable):
        self.user, self.programs, self.reachable = user, programs, reachable
        self.network = OwnNetwork()
        self.network.__enter__()
        self.host = Host(user, reachable)
        self.cache = user.folder(reachable, "cache")
        add_base(user, str(programs / "postern"), box, self.cache, "box")
        self.servers = {}

    def server(self, engine, limits):
        key = (engine, *sorted(limits.items()))
        if key not in self.servers:
            config = {"engine": engine, "bases": ["box"], "limits": {**LIMITS, **limits}}
            self.servers[key] = Server(self.user, str(self.programs / "postern"), self.reachable, config, self.cache, env=self.host.environment)
        return self.servers[key]

    def close(self):
        for server in self.servers.values():
            server.close()
        self.host.close()
        self.user.run([self.programs / "postern-worker", "--clean", self.cache / "bases" / "box" / "storage"])
        shutil.rmtree(self.cache)
        self.network.__exit__()


@pytest.fixture(scope="module")
def fields(request, programs, box, reachable):
    made = {}

    def field(who):
        if who not in made:
            for other in list(made):  # one network at a time
                made.pop(other).close()
            made[who] = Field(request.getfixturevalue(f"{who}_user"), programs, box, reachable)
        return made[who]

    yield field
    for one in made.values():
        one.close()


def attack(field, engine, case):
    """Run one case; the list of what is wrong. An engine with chroot isolation (buildah 1.28) may end a step before it has passed on all
    that the step printed; only such silence is a reason to try again."""
    for _ in range(3):
        faults, silence = _attack_once(field, engine, case)
        if faults or not silence:
            break
    return faults + silence


def _attack_once(field, engine, case):
    server, expect, host = field.server(engine, case.expect["limits"]), case.expect, field.host
    processes = set(descendants())
    query = {"tag": "hostile", "no_cache": "true"} | {key: _fill(value, host.words) for key, value in expect["query"].items()}
    answer = server.post(case.context(host.words), query, wait=0)
    if "answer" in expect:
        faults = [] if answer.status == expect["answer"] else [f"answered {answer.status} {answer.body!r}"]
        return faults + host.faults(), []
    if answer.status not in (200, 202):
        return [f"answered {answer.status} {answer.body!r}"] + host.faults(), []
    job = server.wait(answer.json()["id"])
    log = server.job_log(job["id"])
    text = log.decode()
    faults, silence = _check_expected(expect, job, text)
    left = [log, json.dumps(job).encode(), server.get(f"/jobs/{job['id']}/events").body, server.said().encode()]
    if job["state"] == "succeeded":
        archive = field.reachable / "hostile-image.tar"
        archive.write_bytes(server.artifact(job))
        left += layers_of(archive).values()
        archive.unlink()
    faults += ["what a build left has the host's secret in it" for piece in left if host.secret.encode() in piece]
    faults += [f"the log has the byte {byte:#x}" for byte in set(log) if byte < 32 and byte not in b"\n\t" or byte == 127]
    if re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", " ".join(_texts(job))):
        faults.append(f"the result would steer a terminal: {job}")
    allowed = {"log"} | ({"artifacts"} if job["state"] == "succeeded" else set())
    faults += [f"the job left {name}" for name in server.kept(job["id"]) - allowed]
    try:
        wait_for(lambda: set(descendants()) <= processes, 10, "end of all processes")
    except AssertionError:
        faults.append(f"processes are left: {[line for pid, line in descendants().items() if pid not in processes]}")
    faults += host.faults()
    return faults + ([f"the log: {text[-3000:]}"] if faults else []), silence


def _texts(value):
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    return sum((_texts(one) for one in value), []) if isinstance(value, list) else []


def _check_expected(expect, job, log):
    """What is wrong, and what has not been said."""
    faults, silence, result = [], [], job.get("result") or {}
    if job["state"] != expect["state"]:
        faults.append(f"ended as {job['state']}: {result}")
    if not re.search(expect.get("error", ""), result.get("error", "")):
        faults.append(f"not its error: {result}")
    lines = log.splitlines()
    for name in expect["refused"]:
        said = [line for line in lines if line.startswith(f"{name}: ")]
        faults += [f"not refused: {line}" for line in said if not REFUSED.match(line)]
        silence += [] if said else [f"nothing said of {name}"]
    silence += [f"not said: {name}: {text}" for name, text in expect["says"].items() if f"{name}: {text}" not in lines]
    silence += [f"the log lacks {pattern}" for pattern in expect["log"] if not re.search(pattern, log, re.M)]
    return faults + [f"the log has {pattern}" for pattern in expect["not_log"] if re.search(pattern, log, re.M)], silence


QUERIES = """dockerfile=../../x dockerfile=/etc/shadow dockerfile=-f dockerfile=a/../../x target=--privileged target=a%20b target=a%0ab
    platform=--volume=/:/host platform=windows/amd64 build_arg=--volume=/:/host build_arg=CANARY build_arg=-A=b tag=../../host
    tag=x@sha256:aaaa tag=--help tag=oci-archive:/tmp/x tag=x%1b%5b2J output=../../etc/shadow output=/proc/../../etc/shadow volume=/:/host
    isolation=oci network=host security_opt=x secret=id=x,src=/etc/shadow""".split()


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_becomes_no_option(fields, query):
    field = fields("root")
    answer = field.server("buildah", {}).post({"Dockerfile": "FROM box\n"}, query)
    assert answer.status == 422, answer.body
    assert not field.host.faults()


def _selection():
    """All by all users and engines; a folder's variants by both users and both engines, but not by each pair of them."""
    for who, engine in EVERYTHING:
        for number, case in enumerate(CASES):
            usual = [USUAL[number % 2]] if case.variant else USUAL
            slow = case.expect.get("slow") or (who, engine) not in usual
            if (who, engine) in USUAL or not case.variant:
                yield pytest.param(who, engine, case, id=f"{who}-{engine}-{case.name}", marks=[pytest.mark.slow] if slow else [])


@pytest.mark.parametrize("who,engine,case", _selection())
def test_a_hostile_build_reaches_nothing(fields, who, engine, case):
    faults = attack(fields(who), engine, case)
    assert not faults, "\n".join(faults)


# --- builds beside and after each other ----------------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["root", pytest.param("ordinary", marks=pytest.mark.slow)])
def test_builds_at_once_do_not_see_each_other(fields, who):
    field = fields(who)
    server = field.server("buildah", {})
    one = server.begin({"Dockerfile": "FROM box\nRUN attack outside sh -c 'touch /tmp/of-one /run/of-one /dev/shm/of-one /job/of-one; "
                                      "sleep 54321 & until [ -e /job/stop ]; do sleep 0.1; [ $((i=i+1)) -lt 80 ] || exit 0; done'\n"})
    server.until_running(one, "2/2")
    other = server.build({"Dockerfile": "FROM box\nRUN attack outside sh -c 'ps -ef; touch /job/stop; find /job /stores /tmp /run /dev/shm "
                                        "-name \"*one*\"; cat /proc/*/cmdline /proc/net/unix /proc/self/mountinfo; echo; echo all seen; "
                                        "sleep 0.5; kill -9 -1'\n"})
    log = server.job_log(other["id"]).decode()
    assert other["state"] == "failed" and "all seen" in log, log
    assert "54321" not in log and "of-one" not in log and one not in log, log
    assert server.wait(one)["state"] == "succeeded", server.job_log(one)
    assert not field.host.faults()


POISON = ("for d in /stores/* /usr/bin /postern-builder; do find $d -xdev \\( -type f -o -type d \\) | head -n 400 | while read -r f; do "
          "chmod 777 $f && echo changed $f; touch $f/planted && echo planted $f; echo x >>$f && echo written $f; done; done 2>/dev/null; echo tried")


@pytest.mark.parametrize("who", ["root", pytest.param("ordinary", marks=pytest.mark.slow)])
def test_bases_and_earlier_builds_stay_as_they_were(fields, who):
    field = fields(who)
    server = field.server("buildah", {})
    # buildah may end a step before it has passed on all that the step printed: only such silence is a reason to try again.
    whole = {"Dockerfile": "FROM box\nRUN cat /bin/attack /bin/try /etc/passwd | sha256sum; ls -ln /bin | sha256sum; sleep 1\n"}

    def sums():
        found = []
        for _ in range(3):
            found = re.findall(b"^[0-9a-f]{64}", server.job_log(server.succeed(whole, "no_cache=true")["id"]), re.M)
            if len(found) == 2:
                break
        return found

    before = sums()
    job = server.succeed({"Dockerfile": f"FROM box\nRUN attack outside sh -c '{POISON}; sleep 0.5'\n"})
    log = server.job_log(job["id"]).decode()
    assert "tried" in log and not re.search("^(changed|planted|written)", log, re.M), log
    assert len(before) == 2 and sums() == before


@pytest.mark.slow
@pytest.mark.parametrize("disk, command, error", [
    # A disk can be full of files long before it is full of bytes.
    ("nr_inodes=20000", "for i in 1 2 3 4 5 6 7 8 9; do attack many 2300 && mv /many /m$i; done; sleep 3", "no more files fit on the host's disk"),
    ("size=256m", "head -c 256000000 /dev/zero >/big; sleep 3; rm /big", "no space is left on the host's disk"),
    ("size=256m", "head -c 246000000 /dev/zero >/big; sleep 3; rm /big", None),
], ids=["files", "bytes", "room enough"])
def test_a_build_leaves_room_for_others(root_user, programs, box, reachable, disk, command, error):
    """The twentieth part of a small disk."""
    folder = reachable / "small-disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"{disk},mode=755", "small", folder], check=True)
    field = Field(root_user, programs, box, reachable)
    try:
        with serving(root_user, str(programs / "postern"), folder, {"engine": "buildah", "bases": ["box"]}, field.cache) as server:
            job = server.build({"Dockerfile": f"FROM box\nRUN {command}\n"})
        assert (job["result"].get("error"), job["state"]) == (error, "failed" if error else "succeeded"), job
    finally:
        field.close()
        subprocess.run(["umount", folder], check=True)
        folder.rmdir()


# --- what a planted weakness does ---------------------------------------------------------------------------------------

# A worker that was built without one wall (src/jail/weak.c), and what has to be noticed of it by which attack.
WEAKNESSES = [
    ("none", "chroot-twice", None),
    ("network", "add-url/loopback", "GET /secret"),
    ("network", "network", "not refused: abstract:host"),
    ("ipc", "network", "not refused: shm"),
    ("root", "chroot-twice", "the host's files changed"),
    ("root", "mount-bind/link", "has the host's secret in it"),
    ("proc", "chroot-twice", "the log has sleep 100000"),
    ("read-only", "chroot-twice", "not refused: base"),
    ("seccomp", "kernel", "not refused: userns"),
    ("ids", "kernel", "not refused: rewrite:core"),
    ("limits", "processes/count", "ended as succeeded"),
    ("limits", "memory/one", "ended as succeeded"),
]


@pytest.fixture(scope="module")
def weak_programs(programs, reachable):
    return weakened(programs, reachable / "weak", "postern-worker")


def _weaknesses():
    for number, (wall, name, noticed) in enumerate(WEAKNESSES):
        yield pytest.param(wall, name, noticed, id=f"{wall}-{name}", marks=[pytest.mark.slow] if number > 1 else [])


@pytest.mark.parametrize("wall,name,noticed", _weaknesses())
def test_a_wall_that_is_missing_is_noticed(weak_programs, root_user, box, reachable, wall, name, noticed):
    (weak_programs / "postern-worker.weakness").write_text(f"{wall}\n")
    field = Field(root_user, weak_programs, box, reachable)
    try:
        said = "\n".join(attack(field, "buildah", next(case for case in CASES if case.name == name)))
    finally:
        field.close()
    assert noticed in said if noticed else not said, said


def test_what_is_installed_has_all_walls(programs):
    assert b"weak_load" in (BUILD / "weak-worker").read_bytes()
    for program in programs.iterdir():
        assert b"weak_load" not in program.read_bytes(), program
