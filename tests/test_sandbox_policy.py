# SPDX-License-Identifier: Apache-2.0
"""The policy changed under a running sandbox: SIGHUP to `postern sandbox` reads the file again. As root and as an ordinary user."""
import select
import signal
import socket
import time

import pytest

from sandboxes import CLIENT, FILES, PYTHON, sandbox_with

POLICY = FILES + f"""\
network_policies:
  api:
    endpoints: [ {{ host: host.openshell.internal, port: 9090, protocol: rest, enforcement: enforce, rules: [ {{ allow: {{ method: GET, path: /one }} }} ] }} ]
    binaries: [ {{ path: {PYTHON} }} ]
"""
TWO = POLICY.replace("/one", "/two")
TAKEN = "postern sandbox: requests are decided by {} as it is now\n"


class Running:
    """A sandbox whose command asks for what it is told, on one connection as long as that lives."""

    CODE = CLIENT + (
        'p = None\n'
        'for line in sys.stdin:\n'
        '    host, path = line.split()\n'
        '    if not p: p = Peer()\n'
        '    p.send("GET http://%s%s HTTP/1.1\\r\\n\\r\\n" % (host, path)); got = p.answer(); say(got[0])\n'
        '    if got[0] != 200: p = None\n'
    )

    def __init__(self, sandbox):
        self.sandbox = sandbox
        self.process = sandbox.user.popen(sandbox.command(PYTHON, "-c", self.CODE), stdin=-1, stdout=-1, stderr=-1, text=True)
        assert self.get("/one") == 200 and self.get("/two") == 403

    def get(self, path, host="host.openshell.internal:9090"):
        self.process.stdin.write(f"{host} {path}\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def reload(self, policy):
        """The line that is said."""
        self.sandbox.write_policy(policy)
        self.process.send_signal(signal.SIGHUP)
        while "postern sandbox: " not in (line := self.process.stderr.readline()):
            assert line, "it has ended"
        return line

    def end(self):
        _, said = self.process.communicate(timeout=60)
        assert self.process.returncode == 0, said


sandbox = sandbox_with(POLICY, 9090, 9091)


def test_another_policy(sandbox):
    """Proxy and dialer both: a path, another port, and back; on the same connection, too."""
    running = Running(sandbox)
    taken = TAKEN.format(sandbox.policy)
    assert running.reload(TWO) == taken
    assert running.get("/two") == 200 and running.get("/one") == 403
    other = "host.openshell.internal:9091"
    assert running.get("/two", other) == 403
    assert running.reload(TWO.replace("port: 9090", "ports: [9090, 9091]")) == taken
    assert running.get("/two", other) == 200
    assert running.reload(POLICY) == taken
    assert [running.get("/one"), running.get("/two"), running.get("/two", other)] == [200, 403, 403]
    running.end()


@pytest.mark.parametrize("policy, said", [
    (POLICY.replace("api:", "api: ["), "{}:6:5: "),
    (POLICY.replace("enforcement", "enforcements"), "{}:5:79: unknown"),
    (TWO.replace("read_only: [/dev/zero]", "read_only: [/dev/zero, /srv]"), "{}: filesystem_policy cannot change while a sandbox runs"),
    (TWO.replace("include_workdir: true", "include_workdir: false"), "{}: filesystem_policy cannot change while a sandbox runs"),
    (TWO + "landlock: { compatibility: hard_requirement }\n", "{}: landlock cannot change while a sandbox runs"),
    (TWO + "process: { run_as_user: '4711' }\n", "{}: process cannot change while a sandbox runs"),
    (FILES, "{}: whether there are any network_policies cannot change while a sandbox runs"),
    (None, "{}: cannot read it: No such file or directory"),
], ids=["yaml", "key", "paths", "workdir", "landlock", "process", "network", "gone"])
def test_one_that_cannot_be_had(sandbox, policy, said):
    """Malformed, or for another sandbox: one line, and all is as it was; and the next one is taken."""
    running = Running(sandbox)
    if policy is None:
        write, sandbox.write_policy = sandbox.write_policy, lambda _text: sandbox.policy.unlink()
    line = running.reload(policy)
    assert line.startswith("postern sandbox: " + said.format(sandbox.policy)) and line.endswith("; the policy stays as it was\n")
    assert running.get("/one") == 200 and running.get("/two") == 403
    if policy is None:
        sandbox.write_policy = write
    assert running.reload(TWO) == TAKEN.format(sandbox.policy)
    assert running.get("/two") == 200
    running.end()


@pytest.mark.parametrize("place", ["inside", "a link inside", "a link to the inside"])
def test_a_file_that_the_sandbox_can_write(sandbox, user, workdir, place):
    """What it makes of its own policy, or puts in its place, is not read."""
    folder = user.folder(workdir, "dir")
    outside = sandbox.policy
    sandbox.policy = folder / "policy.yaml"
    if place == "a link inside":
        sandbox.policy.symlink_to(outside)
    else:
        sandbox.write_policy(POLICY)
    if place == "a link to the inside":
        outside.unlink()
        outside.symlink_to(sandbox.policy)
        sandbox.policy = outside
    sandbox.options += ["--dir", folder]
    running = Running(sandbox)
    assert running.reload(TWO) == (f"postern sandbox: {sandbox.policy}: the sandbox can write to it, so that it is not read; "
                                   "keep it elsewhere; the policy stays as it was\n")
    assert running.get("/one") == 200 and running.get("/two") == 403
    running.end()


def test_a_request_that_is_being_connected(sandbox):
    """It was allowed by the policy before, and nobody has answered yet: it is decided again, by the new one."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as busy:
        full = [socket.socket() for _ in range(2)]
        for s in full:
            s.setblocking(False)
            s.connect_ex(busy.getsockname())
        sandbox.reach(busy.getsockname()[1], 9092)
        more = POLICY.replace("port: 9090", "ports: [9090, 9092]")
        sandbox.write_policy(more)
        running = Running(sandbox)
        running.process.stdin.write("host.openshell.internal:9092 /one\n")
        running.process.stdin.flush()
        assert not select.select([running.process.stdout], [], [], 1)[0]
        running.reload(POLICY)
        assert int(running.process.stdout.readline()) == 403
        running.end()
        for s in full:
            s.close()


def test_while_requests_are_under_way(sandbox, upstream):
    """Each is decided by the one or the other, whole: what both allow is never refused, what neither allows never passes."""
    both = POLICY.replace("path: /one }", "path: /always }").replace("rules: [", "rules: [ { allow: { method: GET, path: /@ } },")
    sandbox.write_policy(both.replace("/@", "/one"))
    code = (
        'import threading; seen = {}\n'
        'def run(path):\n'
        '    while time.monotonic() < end: seen.setdefault(path, set()).add(get(BASE + path)[0])\n'
        'end = time.monotonic() + 4; threads = [threading.Thread(target=run, args=(path,)) for path in ("/always", "/one", "/two", "/never")]\n'
        'say(1); [t.start() for t in threads]; [t.join() for t in threads]; say({path: sorted(codes) for path, codes in seen.items()})'
    )
    process = sandbox.user.popen(sandbox.command(PYTHON, "-c", CLIENT + code), stdin=-3, stdout=-1, stderr=-1, text=True)
    assert process.stdout.readline() == "1\n"
    for i in range(40):
        sandbox.write_policy(both.replace("/@", "/one" if i % 2 else "/two"))
        process.send_signal(signal.SIGHUP)
        time.sleep(0.07)
        while "postern sandbox: requests are decided by" not in process.stderr.readline():
            pass
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert out == '{"/always": [200], "/one": [200, 403], "/two": [200, 403], "/never": [403]}\n', (out, err)
    assert "/never" not in upstream.targets
