# SPDX-License-Identifier: Apache-2.0
"""`postern sandbox --explain-denials`: what it prints, merged into the policy as it says, makes what was denied pass, and nothing else."""
import shutil

import pytest
import yaml

from sandboxes import CLIENT, FILES, PYTHON, Sandbox

POLICY = FILES + f"""\
network_policies:
  api:
    endpoints:
      - host: host.openshell.internal
        port: 9090
        protocol: rest
        enforcement: enforce
        rules: [ {{ allow: {{ method: GET, path: /listed }} }}, {{ allow: {{ method: GET, path: "/no*" }} }} ]
        deny_rules: [ {{ method: GET, path: /not }} ]
      - host: host.openshell.internal
        port: 9091
        path: /some/**
        protocol: rest
        enforcement: enforce
        access: full
      - {{ host: host.openshell.internal, port: 9091, path: /other/**, protocol: rest, enforcement: enforce, access: read-only }}
    binaries: [ {{ path: {PYTHON} }} ]
"""
NONE = FILES.replace("read_only: [", "read_only: [/usr, /lib, /lib64, /etc, ") + "network_policies: {}\n"


def merge(policy, more):
    """As the explanation says: mappings by key, lists by appending, endpoints with the same host and port as one."""
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(policy.get(key), dict):
            merge(policy[key], value)
        elif key == "endpoints" and key in policy:
            for endpoint in value:
                same = [e for e in policy[key] if (e.get("host"), e.get("port")) == (endpoint.get("host"), endpoint.get("port"))]
                merge(same[0], endpoint) if same else policy[key].append(endpoint)
        elif isinstance(value, list):
            policy[key] = policy.get(key, []) + value
        else:
            policy[key] = value
    return policy


def explanation(stderr):
    """The additions, and the comments."""
    text = stderr[stderr.index("# "):]
    return [document for document in yaml.safe_load_all(text) if document], [line for line in text.splitlines() if line.startswith("# ")]


@pytest.fixture
def sandbox(postern, user, workdir, upstream, leak_check):
    made = Sandbox(postern, user, workdir)
    folder = user.folder(workdir, "dir")
    shutil.copy(PYTHON, folder / "a*b [c]")
    made.reach(upstream.port, 9090, 9091)
    made.options += ["--env", "PYTHONHOME=/usr", "--explain-denials", "--dir", folder]
    return made


def statuses(sandbox, program, *requests):
    """Of requests: METHOD PORT PATH, with CONNECT in front through a tunnel."""
    code = (
        'for request in sys.argv[1:]:\n'
        '    words = request.split(" "); to = "host.openshell.internal:" + words[-2]; p = Peer()\n'
        '    if words[0] == "CONNECT":\n'
        '        p.send("CONNECT %s HTTP/1.1\\r\\nHost: %s\\r\\n\\r\\n" % (to, to)); got = p.head()\n'
        '        if got[0] != 200: say(got[0]); continue\n'
        '        p.send("%s %s HTTP/1.1\\r\\nHost: %s\\r\\n\\r\\n" % (words[1], words[-1], to))\n'
        '    else: p.send("%s http://%s%s HTTP/1.1\\r\\n\\r\\n" % (words[0], to, words[-1]))\n'
        '    say(p.answer(words[-3] == "HEAD" and p.rest.startswith(b"HTTP/1.1 200"))[0])'
    )
    done = sandbox.run(program, "-c", CLIENT + code, *requests)
    assert done.returncode == 0, (done.stdout, done.stderr)
    return [int(line) for line in done.stdout.split()], done.stderr


COPY = "/sandbox/a*b [c]"
CASES = [
    (NONE, PYTHON, "GET 9090 /x"),                   # no network at all
    (NONE, PYTHON, "CONNECT GET 9090 /x"),
    (POLICY, PYTHON, "GET 9090 /unlisted?secret"),   # no rule
    (POLICY, PYTHON, "CONNECT GET 9090 /unlisted"),
    (POLICY, PYTHON, "DELETE 9090 /listed"),
    (POLICY, PYTHON, "PURGE 9090 /listed"),
    (POLICY, PYTHON, "GET 9090 /star*{a,b}[c]\\d\"e%20%C3%A9"),
    (POLICY, PYTHON, "GET 9091 /elsewhere"),         # no path
    (POLICY, PYTHON, "CONNECT GET 9091 /elsewhere"),
    (POLICY, COPY, "GET 9090 /listed"),              # another program, whose path has a star
    (POLICY, COPY, "CONNECT GET 9090 /listed"),
    (POLICY, PYTHON, "GET 9090 /encoded%2Fslash"),   # 400
    (POLICY, PYTHON, "CONNECT GET 9090 /encoded%2Fslash"),
    (POLICY, PYTHON, "GET 9091 /some/encoded%2Fslash"),
]


@pytest.mark.parametrize("policy, program, request_", CASES, ids=[f"{i}-{case[2].split(' ')[0]}" for i, case in enumerate(CASES)])
def test_the_addition_is_enough(sandbox, upstream, policy, program, request_):
    sandbox.write_policy(policy)
    first, said = statuses(sandbox, program, request_, request_)
    assert first in ([403, 403], [400, 400]) and upstream.requests == []
    additions, comments = explanation(said)
    assert len(additions) == 1 and comments[0] == "# 2 denied, in 1 ways; the least that would allow each:" and "secret" not in said
    sandbox.write_policy(yaml.safe_dump(merge(yaml.safe_load(policy), additions[0])))
    again, said = statuses(sandbox, program, request_)
    assert again == [200], said
    assert said.endswith("# 0 denied, in 0 ways\n")
    # And no more than enough: not for another path, method, port.
    if "CONNECT" not in request_:
        others, _ = statuses(sandbox, program, "PATCH 9090 /listed", "GET 9090 /unlisted/x", "GET 9091 /unlisted/x")
        assert others == [403] * 3


def test_what_no_rule_can_change(sandbox):
    """Each with its reason; a deny rule by its line, and without it the request passes."""
    sandbox.write_policy(POLICY)
    shutil.copy(PYTHON, sandbox.options[-1] / "gone")
    code = 'say(get(BASE + "/not")[0]); say(get("http://127.0.0.1:9090/x")[0]); say(get(BASE + "/listed?%zz")[0]); say(get("http://localhost:1/")[0])'
    done = sandbox.run(PYTHON, "-c", CLIENT + code)
    assert done.stdout.split() == ["403", "403", "400", "403"]
    additions, comments = explanation(done.stderr)
    text = "\n".join(comments)
    assert "narrow or take away the one of `api` at line 11" in text and "the request itself has to be another" in text
    # The loopback addresses are unknown to the policy: with it, they are still never reached.
    for addition in additions:
        sandbox.write_policy(yaml.safe_dump(merge(yaml.safe_load(POLICY), addition)))
    done = sandbox.run(PYTHON, "-c", CLIENT + 'say(get("http://localhost:1/")[0])')
    assert done.stdout == "403\n" and "are never reached" in explanation(done.stderr)[1][-1], done.stderr
    sandbox.write_policy(POLICY.replace("        deny_rules: [ { method: GET, path: /not } ]\n", ""))
    assert statuses(sandbox, PYTHON, "GET 9090 /not")[0] == [200]
    sandbox.write_policy(POLICY)
    run = 'import os; os.unlink("/sandbox/gone")\n' + CLIENT + 'say(get(BASE + "/listed")[0])'
    done = sandbox.run("/sandbox/gone", "-c", run)
    assert done.stdout == "403\n" and "the program's file is gone" in explanation(done.stderr)[1][-1], done.stderr


def test_nothing_wider_than_what_was_asked(sandbox):
    """A method that a rule would take for all of them; a program that an entry for calls does not list."""
    sandbox.write_policy(POLICY + """\
  calls:
    endpoints: [ { host: host.openshell.internal, port: 9092, protocol: mcp, enforcement: enforce, rules: [ { allow: { method: tools/call, tool: safe } } ] } ]
    binaries: [ { path: /usr/bin/curl } ]
""")
    (denied, other), said = statuses(sandbox, PYTHON, "* 9090 /x", "POST 9092 /mcp")
    additions, comments = explanation(said)
    assert (denied, other) == (403, 403) and "a rule with the method * is about all methods" in "\n".join(comments)
    assert additions == [{"network_policies": {"calls": {"binaries": [{"path": PYTHON}]}}}]


def test_bounded_and_clean(sandbox):
    """64 are told apart; nothing but visible lines reaches the terminal, whatever a program is called."""
    sandbox.write_policy(POLICY)
    code = 'for i in range(80): get(BASE + "/%d" % i)\n'
    done = sandbox.run(PYTHON, "-c", CLIENT + code)
    additions, comments = explanation(done.stderr)
    assert len(additions) == 64 and comments[0].startswith("# 80 denied, in 64 and more ways; ")
    assert comments[-1] == "# 16 others are not told apart: past 64 ways"
    policy = yaml.safe_load(POLICY)
    for addition in additions:
        merge(policy, addition)
    sandbox.write_policy(yaml.safe_dump(policy))
    assert statuses(sandbox, PYTHON, *(f"GET 9090 /{i}" for i in range(64)))[0] == [200] * 64
    done = sandbox.run("bash", "-c", f"cp {PYTHON} $'x\\e[2J\\n# y'; ./x* -c \"$0\"", CLIENT + 'get(BASE + "/x")')
    assert "\x1b" not in done.stderr and "by /sandbox/x\\x1b[2J\\x0a# y: " in done.stderr


def test_with_everything_else_failing(sandbox):
    """The command's exit code stays; a command that cannot be started has nothing to explain."""
    sandbox.write_policy(POLICY)
    done = sandbox.run("sh", "-c", "exit 7")
    assert done.returncode == 7 and done.stderr.endswith("# 0 denied, in 0 ways\n")


WILD = FILES + f"""\
network_policies:
  wild:
    endpoints: [ {{ host: "*.corp.test", port: 9500, protocol: rest, enforcement: enforce, access: full }} ]
    binaries: [ {{ path: {PYTHON} }} ]
  pinned:
    endpoints:
      - {{ host: "**.lab.test", port: 9500, protocol: rest, enforcement: enforce, access: full, allowed_ips: [ 10.78.0.0/16 ] }}
    binaries: [ {{ path: {PYTHON} }} ]
"""


@pytest.mark.parametrize("host", ["api.corp.test", "api.lab.test"])
def test_addresses(root_user, postern, tmp_path, leak_check, host):
    """A wildcard that leads to a private address; allowed_ips that do not hold the address. In a network where names mean such addresses."""
    (tmp_path / "hosts").write_text("127.0.0.1 localhost\n10.77.0.1 api.corp.test api.lab.test\n")
    code = 'say(get("http://%s:9500/?secret" % sys.argv[1])[0])\np = Peer(); at = sys.argv[1] + ":9500"\n' \
           'p.send("CONNECT %s HTTP/1.1\\r\\nHost: %s\\r\\n\\r\\n" % (at, at)); say(p.head()[0])'
    script = (
        "set -e; cd $0; ip link set lo up; ip addr add 10.77.0.1/32 dev lo; mount --bind hosts /etc/hosts\n"
        "mkdir -p served; python3 -m http.server -d served 9500 >log 2>&1 & server=$!\n"
        "until curl -s -o /dev/null http://api.corp.test:9500/; do kill -0 $server; sleep 0.05; done\n"
        "trap 'kill $server' EXIT\n"
        f"{postern} sandbox --policy policy.yaml --explain-denials -- {PYTHON} -c \"$1\" {host}\n"
    )
    run = lambda: root_user.run(["unshare", "-nm", "--propagation", "private", "bash", "-c", script, tmp_path, CLIENT + code])
    policy = yaml.safe_load(WILD)
    (tmp_path / "policy.yaml").write_text(WILD)
    done = run()
    assert done.stdout.split() == ["403", "403"], (done.stdout, done.stderr)
    additions, comments = explanation(done.stderr)
    assert len(additions) == 2 and "secret" not in done.stderr, done.stderr
    if host == "api.lab.test":
        assert additions[0]["network_policies"]["pinned"]["endpoints"] == [{"host": "**.lab.test", "port": 9500, "allowed_ips": ["10.77.0.1"]}]
    (tmp_path / "policy.yaml").write_text(yaml.safe_dump(merge(policy, additions[0])))
    done = run()
    assert done.stdout.split() == ["200", "200"], (done.stdout, done.stderr)


def test_calls_in_bodies(sandbox):
    """A rule by path would allow every call: what is named instead are the calls, and the log's engine is theirs."""
    sandbox.write_policy(FILES + f"""\
network_policies:
  tools:
    endpoints: [ {{ host: host.openshell.internal, port: 9091, protocol: mcp, enforcement: enforce, rules: [ {{ allow: {{ method: ping }} }} ] }} ]
    binaries: [ {{ path: {PYTHON} }} ]
""")
    code = (
        'def call(method, **more):\n'
        '    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, **more})\n'
        '    say(ask("POST http://host.openshell.internal:9091/mcp HTTP/1.1\\r\\nContent-Type: application/json\\r\\nContent-Length: %d\\r\\n\\r\\n%s" % (len(body), body))[0])\n'
        'call("ping"); call("tools/call", params={"name": "danger", "arguments": {"secret": 1}})'
    )
    log = sandbox.folder / "log"
    done = sandbox.run(PYTHON, "-c", CLIENT + code, options=["--log", log])
    assert done.stdout == "200\n403\n", done.stderr
    additions, comments = explanation(done.stderr)
    assert additions == [] and comments[-1] == "# it takes a rule of `tools` at line 5 for each call in its body: tools/call of tool danger"
    assert [line.partition("engine:")[2].partition("]")[0] for line in log.read_text().splitlines()] == ["l7-mcp", "l7-mcp"]
    assert "secret" not in done.stderr + log.read_text()
