# SPDX-License-Identifier: Apache-2.0
"""`postern probe` where much is possible, where nothing is, and in between: outside of any sandbox as root and as an ordinary user, in ours as
each of them, in a step of a build, in docker's container, in an empty root."""
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from api_driver import serving
from conftest import ROOT, wait_for
from sandboxes import FILES, Sandbox

EVERYTHING = "/usr, /lib, /lib64, /bin, /sbin, /etc, /proc, "
NETWORK = """\
network_policies:
  api:
    endpoints: [{ host: example.com, port: 80, protocol: rest, enforcement: enforce, rules: [{ allow: { method: GET, path: / } }] }]
    binaries: [{ path: /usr/bin/curl }]
"""


class Said:
    """What a probe has printed as JSON."""

    def __init__(self, text):
        said = json.loads(text)
        self.facts, self.attempts = said["facts"], said["attempts"]
        self.rows = {f"{a['group']}: {a['name']}": a for a in self.attempts}
        assert len(self.rows) == len(self.attempts)
        for a in self.attempts:
            assert a["state"] in ("possible", "refused", "absent", "untried") and (a["errno"] is None) == (a["text"] is None), a
            assert a["state"] == "possible" or a["errno"] or a["detail"], a

    def are(self, state):
        return {name for name, row in self.rows.items() if row["state"] == state}

    def answers(self, group):
        return {row["name"]: row["errno"] or row["detail"] for row in self.attempts if row["group"] == group}


@pytest.fixture(scope="module")
def probe(programs):
    return programs / "postern-probe"


# --- outside ----------------------------------------------------------------------------------------------------------


def outside(user, probe):
    """On a host made so that all can be possible: see there."""
    done = subprocess.run(
        ["unshare", "--mount", "--net", "--pid", "--fork", "--mount-proc", "--kill-child", sys.executable, ROOT / "tests" / "inside" / "busy_host.py",
         f"{user.uid}:{user.gid}", probe, "--json"],
        capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, timeout=280,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": user.home, "LANG": "C.UTF-8"})
    assert done.returncode == 0, (done.returncode, done.stderr, done.stdout[-2000:])
    return Said(done.stdout)


@pytest.fixture(scope="module")
def as_root(root_user, probe):
    return outside(root_user, probe)


@pytest.fixture(scope="module")
def as_user(ordinary_user, probe):
    return outside(ordinary_user, probe)


# What no test here can see possible, and why. (Where a machine can, it may.)
NOWHERE = {
    **{f"netlink: {name}": "gone from kernels years ago" for name in ("firewall", "ip6_fw", "dnrtmsg", "ecryptfs")},
    **{f"netlink: {name}": "a module that not every kernel has" for name in ("nflog", "iscsi", "scsitransport", "rdma", "crypto", "smc", "selinux", "xfrm",
                                                                             "connector", "netfilter")},
    **{f"sockets: {name}": "a module that not every kernel has" for name in ("bluetooth", "alg", "key", "can", "tipc", "vsock", "xdp")},
    "calls: x32 system calls": "most kernels are built without",
    "calls: 32-bit system calls": "some kernels are built without",
    "files: write modprobe's path": "a kernel without modules has none",
    "files: write sysrq-trigger": "a kernel may be built without",
    "files: write binfmt_misc": "a module that not every kernel has",
    "files: write uevent_helper": "a kernel may be built without",
    "files: write power state": "a virtual machine may have none",
    "files: write the root cgroup": "not where cgroups are of version 1",
    "files: read debugfs": "a kernel may be built without",
    "files: read kcore": "a kernel may be built without",
    "files: write irq affinity": "an architecture may be without",
    **{f"files: device {name}": "a machine may be without, or its cgroup keep it" for name in ("mem", "fuse", "kvm", "net/tun", "vhost-vsock", "loop-control",
                                                                                             "kmsg", "of a disk")},
    "files: TIOCLINUX": "it takes a virtual console, not a terminal of one's own",
}

# Beside what everybody may.
PRIVILEGED = {
    *(f"namespaces: {how} {kind}" for how in ("unshare", "clone") for kind in ("mount", "pid", "net", "ipc", "uts", "cgroup")), "namespaces: unshare time",
    *(f"namespaces: setns {kind}" for kind in ("mount", "pid", "net", "ipc", "uts", "cgroup", "net of process 1")),
    *(f"mounts: {name}" for name in ("mount", "bind mount", "umount2", "pivot_root", "chroot", "fsopen", "fsmount", "fspick",
                                     "open_tree of a copy", "move_mount", "mount_setattr")),
    *(f"processes: {name}" for name in ("ptrace of process 1", "signal to process 1", "memory of process 1 by /proc", "root of process 1 by /proc",
                                        "descriptors of process 1 by /proc", "environment of process 1 by /proc")),
    *(f"sockets: {name}" for name in ("inet raw", "inet6 raw", "packet raw", "packet datagram")),
    *(f"calls: {name}" for name in ("perf_event_open of the machine", "open_by_handle_at", "adjtimex")),
    *(f"files: {name}" for name in ("write core_pattern", "write the host's name", "write ip_forward", "write ping_group_range", "read kmsg",
                                                      "read the kernel's addresses", "mknod of a character device", "mknod of a block device")),
}


def test_each_attempt_is_possible_somewhere(as_root, as_user):
    seen = as_root.are("possible") | as_user.are("possible")
    assert set(as_root.rows) - seen - set(NOWHERE) == set()
    assert set(NOWHERE) <= set(as_root.rows)
    assert not as_root.are("untried") | as_user.are("untried")


def test_outside_an_ordinary_user_may_less(as_root, as_user):
    assert PRIVILEGED - as_root.are("possible") == set()
    assert PRIVILEGED & as_user.are("possible") == set()
    # A kernel's settings may keep these from ordinary users.
    others = {name for name in as_root.rows if name.startswith(("files: device", "netlink: ", "sockets: "))} | set(NOWHERE) | {
        f"calls: {name}" for name in ("bpf: a program", "bpf: a map", "perf_event_open of oneself", "userfaultfd", "io_uring_setup", "io_uring_enter",
                                      "io_uring_register")}
    assert as_root.are("possible") - as_user.are("possible") - others - PRIVILEGED == set()
    assert as_user.rows["mounts: mount"]["errno"] == "EPERM" and as_user.rows["mounts: mount in a user namespace"]["state"] == "possible"


def test_facts_outside(as_root, as_user, root_user, ordinary_user):
    for said, user in ((as_root, root_user), (as_user, ordinary_user)):
        assert (said.facts["uid"], said.facts["gid"]) == (str(user.uid), str(user.gid))
        assert (said.facts["seccomp filters"], said.facts["no_new_privs"]) == ("0", "0") and said.facts["seccomp mode"].startswith("0")
        assert said.facts["uid map"] == "0 0 4294967295"
        status = dict(line.split(":\t") for line in Path("/proc/self/status").read_text().splitlines() if ":\t" in line)
        assert said.facts["capabilities effective"].startswith("all") == (user.uid == 0 and int(status["CapEff"], 16) > 0)
    assert as_user.facts["capabilities effective"] == as_user.facts["capabilities ambient"] == "none"


def test_engines_outside(as_root, as_user):
    for said in (as_root, as_user):
        assert {f"engines: {program} build, chroot on {storage}" for program in ("podman", "buildah") for storage in ("vfs", "overlay")} <= said.are("possible")


# --- in our sandbox ---------------------------------------------------------------------------------------------------

IN_SANDBOX = {
    *(f"sockets: {name}" for name in ("unix", "inet stream", "inet datagram", "inet6 stream", "inet6 datagram")), "netlink: route",
    "files: device null", "network: the proxy",
}


@pytest.fixture
def inside(postern, user, workdir, probe, leak_check):
    """The probe's words in a sandbox of this user's, and its exit code."""
    sandbox = Sandbox(postern, user, workdir)
    sandbox.options = ["--dir", user.folder(workdir)]
    shutil.copy(probe, sandbox.options[1])

    def run(files=FILES.replace("read_only: [", "read_only: [" + EVERYTHING), *arguments):
        sandbox.write_policy(files + NETWORK)
        done = sandbox.run("/sandbox/postern-probe", "--json", *arguments)
        assert done.returncode in (0, 1), done.stderr
        return Said(done.stdout), done.returncode
    return run


def test_in_the_sandbox(inside):
    said, code = inside()
    assert said.are("possible") == IN_SANDBOX
    assert code == 0 and not said.are("untried")
    # Each call of OpenShell's list, as it says it there.
    assert set(said.answers("mounts").values()) == {"EPERM"}
    assert set(said.answers("namespaces").values()) - {"exit code 1"} == {"EPERM", "ENOSYS"}
    for name, answer in said.answers("namespaces").items():
        assert (answer == "ENOSYS") == name.startswith("clone3"), name
    by_filter = {name: answer for name, answer in said.answers("calls").items() if not name.endswith("system calls")}
    assert set(by_filter.values()) == {"EPERM"}
    assert {said.answers("calls")[name] for name in ("x32 system calls", "32-bit system calls")} == {"killed by SIGSYS"}
    assert {answer for name, answer in said.answers("netlink").items() if name != "route"} == {"EPERM"}
    sockets = said.answers("sockets")
    assert {sockets[name] for name in ("inet raw", "inet6 raw", "packet raw", "packet datagram", "vsock", "bluetooth")} == {"EPERM"}
    processes = said.answers("processes")
    assert {answer for name, answer in processes.items() if "/proc" not in name} == {"EPERM"}
    assert {answer for name, answer in processes.items() if "/proc" in name} <= {"EACCES", "EPERM"}
    files = said.answers("files")
    assert {files[name] for name in ("TIOCSTI", "TIOCLINUX", "set-user-id bit", "set-group-id bit", "mknod of a character device")} == {"EPERM"}
    network = said.answers("network")
    assert {network[name] for name in ("IPv4 by TCP", "IPv4 by UDP", "cloud metadata")} == {"ECONNREFUSED"}
    assert {network[name] for name in ("IPv6 by TCP", "IPv6 by UDP")} == {"ENETUNREACH"}
    assert network["DNS"] == "/etc/resolv.conf names no server" and said.rows["network: the proxy"]["detail"].endswith("403 Forbidden")
    assert "Operation not permitted" in said.rows["engines: buildah build, chroot on vfs"]["detail"]
    facts = said.facts
    assert facts["sandbox, as it looks"] == "postern's sandbox" and facts["no_new_privs"] == "1" and facts["seccomp mode"] == "2 (filter)"
    assert {facts[f"capabilities {name}"] for name in ("effective", "permitted", "inheritable", "bounding", "ambient")} == {"none"}
    assert int(facts["seccomp filters"]) >= 1 and int(facts["Landlock ABI"]) >= 1 and facts["supplementary groups"] == "0"
    assert facts["uid map"].split()[0::2] == facts["gid map"].split()[0::2] == ["1000", "1"]


def test_in_a_sandbox_without_proc(inside):
    """What it takes /proc to try is said to be untried, not refused; it is no more possible."""
    said, code = inside("version: 1\nfilesystem_policy: { include_workdir: true, read_write: [/dev/null] }\n")
    assert said.are("possible") <= IN_SANDBOX
    assert said.facts["seccomp mode"] == "2 (filter)" and code == (1 if said.are("untried") else 0)


# --- in a step of a build, in a container, in nothing -------------------------------------------------------------------


@pytest.mark.parametrize("who", ["root", "ordinary"])
def test_in_a_build(who, request, postern, reachable, probe, leak_check):
    """A build's steps are root in namespaces of their own, without any network: more is possible, and nothing that leads out."""
    user = request.getfixturevalue(f"{who}_user")
    context = reachable / f"probe-{who}"
    context.mkdir()
    (context / "Dockerfile").write_text('FROM scratch\nCOPY postern-probe /\nRUN ["/postern-probe", "--json"]\n')
    shutil.copy(probe, context)
    tar = subprocess.run(["tar", "c", "-C", context, "."], check=True, capture_output=True).stdout
    with serving(user, postern, reachable, {"engine": "buildah"}) as server:
        job = server.build(tar)
        log = server.job_log(job["id"]).decode()
    said = Said(log[log.index("\n{\n"): log.index("\n}\n") + 2])
    assert not {name for name in said.are("possible") if name.startswith(("network: ", "engines: ", "namespaces: setns net of"))}
    assert not {f"namespaces: {how} {kind}" for how in ("unshare", "clone") for kind in ("user", "user and all others")} & said.are("possible")
    assert not {name for name in said.are("possible") if name.startswith("files: write") and "one's own" not in name}
    calls = said.answers("calls")
    assert {name: calls[name] for name in ("bpf: a program", "keyctl", "io_uring_setup", "userfaultfd", "open_by_handle_at")
            if calls[name] not in ("EPERM", "ENOSYS")} == {}  # (The engine's own filter is on top of ours: ENOSYS, and EINVAL below.)
    assert {answer for name, answer in said.answers("netlink").items() if name != "route"} <= {"EPERM", "EINVAL"}
    assert said.rows["mounts: chroot"]["state"] == "possible"


def test_alone_in_a_container(dockerd, probe, leak_check):
    docker = ["docker", "-H", f"unix://{dockerd}"]
    run = lambda *command, **kwargs: subprocess.run([*docker, *command], capture_output=True, check=False, timeout=200, **kwargs)
    tar = subprocess.run(["tar", "c", "-C", probe.parent, probe.name], check=True, capture_output=True).stdout
    assert run("import", "-", "postern-probe", input=tar).returncode == 0
    done = run("run", "--rm", "--network", "none", "postern-probe", "/postern-probe", "--json", stdin=subprocess.DEVNULL)
    assert done.returncode in (0, 1), done.stderr
    said = Said(done.stdout)
    assert said.facts["sandbox, as it looks"] == "docker's container" and said.facts["seccomp mode"] == "2 (filter)"
    assert said.rows["mounts: chroot"]["state"] == "possible" and said.rows["mounts: mount"]["errno"] == "EPERM"
    assert {row["detail"] for row in said.attempts if row["group"] == "engines"} == {"not installed"}
    assert not {name for name in said.are("possible") if name.startswith("network: ")}


def test_in_an_empty_root(root_user, probe, workdir):
    """No /proc, no /dev, no folder to write, no program but itself: it says what it could not try."""
    shutil.copy(probe, workdir / "probe")
    done = subprocess.run(["unshare", "--mount", "sh", "-c", f"mount --bind -o ro {workdir} {workdir}; exec chroot {workdir} /probe --json"],
                          capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, timeout=200)
    said = Said(done.stdout)
    assert done.returncode == 1, done.stderr
    assert {"namespaces: setns net", "files: mknod of a character device", "calls: execveat of a memfd"} <= said.are("untried")
    assert "unknown" in said.facts["uid map"]


# --- what it leaves ---------------------------------------------------------------------------------------------------


LEAVES = """
set -e
for place in /run /dev/shm /var/lib; do mount -t tmpfs -o mode=1777 own $place; done
mkdir -m 755 /var/lib/containers; chmod 755 /run
look() { cat /proc/sys/kernel/hostname /proc/sys/kernel/core_pattern; find /run /dev/shm /var/lib "$1" | sort; }
where=$1; shift
look $where >$where.before; sort /proc/self/mountinfo >$where.mounts
"$@" >$where.said
look $where | cmp - $where.before
sort /proc/self/mountinfo | comm -13 $where.mounts -  # (Some may go, since others on this machine end theirs.)
"""


def test_it_leaves_nothing(user, root_user, probe, workdir, leak_check):
    """In mounts of its own, with nothing in the folders where engines leave things."""
    where = user.folder(workdir)
    done = root_user.run(["unshare", "--mount", "sh", "-c", LEAVES, "sh", where, "setpriv", "--reuid", str(user.uid), "--regid", str(user.gid), "--clear-groups",
                          probe, "--json"], cwd=where, env={"TMPDIR": str(where), "HOME": user.home})
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not Said((where.parent / f"{where.name}.said").read_text()).are("untried")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted(user, probe, workdir, leak_check, number):
    fakes = workdir / "fakes"
    fakes.mkdir()
    (fakes / "podman").write_text("#!/bin/sh\ntouch \"$TMPDIR/started\"; trap '' TERM INT HUP; setsid sleep 1000 & sleep 1000\n")
    (fakes / "podman").chmod(0o755)
    tmp = user.folder(workdir)
    process = user.popen([probe, "engines"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                         env={"TMPDIR": str(tmp), "PATH": f"{fakes}:/usr/bin:/bin"})
    wait_for(lambda: list(tmp.glob("*/started")), 100, "the engine's start")
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    assert (process.returncode, said) == (130, "postern probe: interrupted\n") and os.listdir(tmp) == []


@pytest.mark.waits
@pytest.mark.once
def test_what_takes_too_long(user, probe, workdir, leak_check):
    """LIMIT_PROBE_SECONDS and LIMIT_PROBE_ENGINE_SECONDS."""
    fakes = user.folder(workdir)
    for name in ("podman", "buildah", "newuidmap"):
        (fakes / name).write_text("#!/bin/sh\n[ ! -e \"$0.once\" ] || exit 1\n: >\"$0.once\"\nexec /usr/bin/sleep 1000\n")
        (fakes / name).chmod(0o755)
    (fakes / "buildah.once").touch()
    done = user.run([probe, "--json", "namespaces", "engines"], env={"PATH": f"{fakes}:/usr/bin:/bin"}, timeout=200)
    rows = Said(done.stdout).rows
    for name, seconds in (("namespaces: newuidmap", 10), ("engines: podman build, chroot on vfs", 60)):
        assert (rows[name]["state"], rows[name]["errno"], rows[name]["detail"]) == ("refused", "ETIMEDOUT", f"no end within {seconds} s")
    assert rows["engines: buildah build, chroot on vfs"]["detail"] == "exit code 1" and done.returncode == 0


def test_text(probe, postern):
    """For people: one line for each attempt, below its group; `postern probe` is the same program."""
    done = subprocess.run([postern, "probe", "sockets", "netlink"], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    at = lines.index("sockets")
    assert "  unix                                 possible" in lines[at:] and lines[lines.index("netlink") - 1] == ""
    assert all(line == line.rstrip() for line in lines)
    alone = subprocess.run([probe, "sockets", "netlink"], capture_output=True, text=True, check=True)
    assert alone.stdout == done.stdout
    headers = subprocess.run(["readelf", "-ld", probe], capture_output=True, text=True, check=True).stdout
    assert "LOAD" in headers and "INTERP" not in headers and "NEEDED" not in headers
