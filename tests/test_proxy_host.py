# SPDX-License-Identifier: Apache-2.0
"""`postern sandbox --host-address`: host.openshell.internal is the whole host, as in OpenShell, by OpenShell's rules about addresses. In
the network that the recordings of tests/conformance were made in, as root and as an ordinary user."""
import json

import pytest

from conformance import replay
from sandboxes import FILES, PYTHON, Sandbox

POLICY = FILES + f"""\
network_policies:
  api:
    endpoints:
      - {{ host: HOST, ports: [2379, 8080, 9090, 9091, 9999], protocol: rest, enforcement: enforce, rules: [ {{ allow: {{ method: GET, path: /open }} }} ] }}
    binaries: [ {{ path: {PYTHON} }} ]
"""
NAME = "host.openshell.internal"
GET = f'say(*(get("http://{NAME}:%s/%s" % tuple(a.split("/")))[::2] for a in sys.argv[1:]))'


@pytest.fixture(scope="module")
def world(root_user, reachable):
    processes = replay.Processes()
    try:
        yield replay.World(replay.HERE / "world", reachable / "world", processes)
    finally:
        processes.end()


class Inhabitant:
    """A user, in that network."""

    def __init__(self, user, world, root):
        self.user, self.root = user, root
        self.enter = [*world.enter[:-1], "--setuid", user.uid, "--setgid", user.gid, "--"]

    def run(self, command, **kwargs):
        return self.root.run([*self.enter, *command], env={"HOME": self.user.home, "USER": self.user.name}, **kwargs)


@pytest.fixture
def sandbox(world, postern, user, root_user, workdir, leak_check):
    made = Sandbox(postern, Inhabitant(user, world, root_user), workdir)
    made.write_policy(POLICY.replace("HOST", NAME))
    return made


def asked(sandbox, *what):
    """For each PORT/PATH the port of the host that answered, or what the proxy did."""
    return [json.loads(body).get("port") or json.loads(body)["error"] for _, body in sandbox.python(GET, *what)]


@pytest.mark.parametrize("address", [replay.GATEWAY, "fd00:77::1"])
def test_every_port_that_the_policy_allows(sandbox, address):
    sandbox.options += ["--host-address", address]
    assert asked(sandbox, "9090/open", "9091/open", "8080/open", "9999/open", "9090/other", "9092/open", "2379/open") == [
        9090, 9091, 8080, "upstream_unreachable", "policy_denied", "policy_denied", "ssrf_denied"]


def test_a_server_wins_for_its_port(sandbox):
    sandbox.options += ["--server=9090=127.0.0.1:9095", "--server=9999=127.0.0.1:9096", "--host-address", replay.GATEWAY]
    assert asked(sandbox, "9090/open", "9091/open", "9999/open") == [9095, 9091, 9096]


def test_without_it_only_servers(sandbox):
    sandbox.options.append("--server=9090=127.0.0.1:9095")
    assert asked(sandbox, "9090/open", "9091/open") == [9095, "upstream_unreachable"]


@pytest.mark.parametrize("policy, seen", [
    (POLICY.replace("HOST", '"*.openshell.internal"'), "GET {}:9091 blocked: internal address"),
    (POLICY.replace("HOST", NAME + ", allowed_ips: [10.0.0.0/8]"), "GET {}:9091 blocked: allowed_ips check failed"),
    (POLICY.replace("HOST", NAME + ", allowed_ips: [172.17.0.0/16]"), 9091),
], ids=["wildcard", "not listed", "listed"])
def test_what_an_address_has_to_be_by_the_policy(sandbox, policy, seen):
    """As if the name had been resolved to it; a server is the operator's own word."""
    sandbox.write_policy(policy)
    sandbox.options += ["--server=9090=127.0.0.1:9095", "--host-address", replay.GATEWAY]
    server, host = (json.loads(body) for _, body in sandbox.python(GET, "9090/open", "9091/open"))
    assert server["port"] == 9095 and (host.get("port") or host["detail"]) == (seen if isinstance(seen, int) else seen.format(NAME))


@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "0.0.0.0", "::", "169.254.77.1", "fe80::1", "localhost",
                                     "172.17.0.1:80", "[fd00:77::1]", "", "224.0.0.1", "255.255.255.255", "ff02::1", "::ffff:0:127.0.0.1"])
def test_an_address_that_no_policy_opens(sandbox, address):
    done = sandbox.run("true", options=["--host-address", address])
    assert done.returncode == 2 and done.stderr.startswith("postern sandbox: --host-address takes an IPv4 or IPv6 address"), done
    assert done.stderr.count("\n") == 1


def test_given_twice(sandbox):
    done = sandbox.run("true", options=["--host-address", replay.GATEWAY] * 2)
    assert done.returncode == 2 and "--host-address is given twice" in done.stderr
