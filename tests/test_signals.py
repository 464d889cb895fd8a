# SPDX-License-Identifier: Apache-2.0
"""Signals for all of a server's processes at once, and several of them; what a policy accepts but does not mean is said."""
import os
import signal
import time

import pytest

from serve_driver import SCRATCH, Server

LOOSE = """\
version: 1
filesystem_policy: { include_workdir: true }
network_policies:
  api:
    endpoints:
      - { host: host.openshell.internal, port: 9090, protocol: rest, rules: [{ allow: { method: GET, path: / } }] }
    binaries: [{ path: /usr/bin/curl }]
"""


@pytest.fixture
def server(user, postern, workdir, leak_check):
    made = Server(user, postern, workdir)
    yield made
    made.close()


def test_a_signal_for_the_whole_group_drains(server):
    for sig in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        server.start(start_new_session=True)
        assert server.build(SCRATCH, wait=60).json()["state"] == "succeeded"
        os.killpg(server.process.pid, sig)
        assert server.ended() == 0, server.said()
    assert "keeper ended" not in server.said()


def test_asked_twice_it_leaves_no_temporary_folder(server):
    for pause in (0, 0.001, 0.01, 0.02, 0.05, 0.1):
        temporary = server.user.folder(server.folder, "tmp")
        server.start(state=False, env={"TMPDIR": str(temporary)})
        server.process.terminate()
        time.sleep(pause)
        server.process.terminate()
        assert server.ended() == 0, server.said()
        assert not list(temporary.iterdir()), pause


@pytest.mark.parametrize("command", ["sandbox", "run"])
def test_a_policy_that_lets_everything_pass_is_said_to(user, postern, workdir, leak_check, command):
    policy, harness = workdir / "policy.yaml", workdir / "harness.yaml"
    policy.write_text(LOOSE)
    harness.write_text("policy: policy.yaml\ncommand: 'true'\n")
    arguments = ["--policy", "policy.yaml", "--", "true"] if command == "sandbox" else ["harness.yaml", "-o", "out"]
    done = user.run([postern, command, *arguments], cwd=workdir)
    assert done.returncode == 0, done.stderr
    assert f"postern {command}: warning: " in done.stderr and "policy.yaml:6:" in done.stderr
    assert "everything is allowed; write enforcement: enforce" in done.stderr
    policy.write_text(LOOSE.replace("protocol: rest", "protocol: rest, enforcement: enforce"))
    done = user.run([postern, command, *[word.replace("out", "out2") for word in arguments]], cwd=workdir)
    assert done.returncode == 0 and "warning" not in done.stderr, done.stderr
