# SPDX-License-Identifier: Apache-2.0
"""Programs that are not what they were: the file behind each executable's path is remembered when it first asks, and other content under
that path is nobody's for as long as the sandbox lives. As root and as an ordinary user."""
import json
import shutil

import pytest

from sandboxes import CLIENT, FILES, PYTHON, Sandbox

POLICY = FILES + """\
network_policies:
  curl:
    endpoints: [ { host: host.openshell.internal, port: 9090, protocol: rest, enforcement: enforce, access: full } ]
    binaries: [ { path: /usr/bin/curl } ]
  listed:
    endpoints: [ { host: host.openshell.internal, port: 9091, protocol: rest, enforcement: enforce, access: full } ]
    binaries: [ { path: /sandbox/listed }, { path: "/sandbox/bin/*" } ]
"""
VIOLATION = "Binary integrity violation: /sandbox/listed executable changed"
ASK = """ask() { "$@" -s -o /dev/null -w '%{http_code}\\n' http://host.openshell.internal:9091/x; }
why() { "$@" -s -v --proxytunnel http://host.openshell.internal:9091/x 2>/dev/null; echo; }
"""


@pytest.fixture
def sandbox(postern, user, workdir, upstream, leak_check):
    made = Sandbox(postern, user, workdir)
    made.write_policy(POLICY)
    folder = user.folder(workdir, "dir")
    shutil.copy("/usr/bin/curl", folder / "listed")
    (folder / "listed").chmod(0o777)
    made.reach(upstream.port, 9090, 9091)
    made.options += ["--env", "PYTHONHOME=/usr", "--dir", folder]
    return made


@pytest.mark.parametrize("how", ["rename", "write", "link", "unlink"])
def test_a_program_that_changed(sandbox, upstream, how):
    """Replaced by another file, overwritten, overwritten under another name of the same file, made anew: refused as OpenShell refuses it,
    and allowed again when it is what it was. Other programs are not concerned."""
    change = {
        "rename": "cp listed new; echo >>new; mv new listed",
        "write": "echo >>listed",
        "link": "ln listed other; ask ./listed; echo >>other",
        "unlink": "cp listed new; echo >>new; rm listed; cp new listed",
    }[how]
    done = sandbox.script(ASK + f"ask ./listed; {change}; ask ./listed; ask ./listed\n"
                          "curl -s -o /dev/null -w '%{http_code}\\n' http://host.openshell.internal:9090/x\n"
                          "./listed -s -o /dev/null -w '%{http_code}\\n' http://host.openshell.internal:9090/x\n"
                          "cp /usr/bin/curl listed; ask ./listed\n")
    first = ["200", "200"] if how == "link" else ["200"]
    assert done.stdout.split() == [*first, "403", "403", "200", "403", "200"], done.stderr
    denied = [line for line in done.stderr.splitlines() if "by /sandbox/listed: a program's file is not the one that was executed first" in line]
    assert len(denied) == 3, done.stderr


def test_what_is_said_of_it(sandbox):
    """OpenShell's own words: of the program itself, and of an ancestor, whose change counts for what it started, too."""
    script = ASK + (
        f"ask ./listed; cp {PYTHON} new; mv new listed\n"
        "cat >/tmp/tunnel.py; ./listed /tmp/tunnel.py\n"
        'run="import subprocess, sys; subprocess.run(sys.argv[1:])"\n'
        "./listed -c \"$run\" curl -s -w '%{http_code}\\n' http://host.openshell.internal:9090/x\n"
        f"./listed -c \"$run\" {PYTHON} /tmp/tunnel.py\n"
    )
    code = CLIENT + 'p = Peer(); p.send("CONNECT %s HTTP/1.1\\r\\nHost: %s\\r\\n\\r\\n" % (AT, AT)); say(p.answer())\n'
    done = sandbox.script(script, stdin=None, input=code)
    allowed, itself, forward, ancestor = done.stdout.splitlines()
    assert allowed == "200"
    assert json.loads(itself)[0] == 403 and json.loads(json.loads(itself)[2]) == {
        "error": "policy_denied", "detail": "CONNECT host.openshell.internal:9090 not permitted by policy",
        "reason": f"binary integrity check failed: {VIOLATION}"}
    assert forward == '{"detail":"GET host.openshell.internal:9090/x not permitted by policy","error":"policy_denied"}403'
    assert json.loads(json.loads(ancestor)[2])["reason"] == f"ancestor integrity check failed for /sandbox/listed: {VIOLATION}"


def test_a_file_that_only_looks_different(sandbox, upstream):
    """Touched, linked, moved away and back, copied over itself: the content is what counts."""
    done = sandbox.script(ASK + (
        "ask ./listed; touch listed; ask ./listed; ln listed other; ask ./listed; chmod 700 listed; ask ./listed\n"
        "mv listed away; mv away listed; ask ./listed; cp listed new; mv new listed; ask ./listed\n"
    ))
    assert done.stdout.split() == ["200"] * 6, done.stderr


def test_in_a_folder_of_memory(sandbox, upstream):
    """/sandbox without --dir, and files that change as fast as they can, with as many bytes: within a tick of the kernel's clock."""
    sandbox.options = sandbox.options[:-2]
    done = sandbox.script(ASK + (
        "mkdir bin; for i in 1 2 3 4 5 6 7 8; do cp /usr/bin/curl bin/$i; echo a >>bin/$i; ask bin/$i; cp /usr/bin/curl bin/$i; echo b >>bin/$i; ask bin/$i; done"
    ))
    assert done.stdout.split() == ["200", "403"] * 8, done.stderr


def test_while_it_runs(sandbox, upstream):
    """The kernel lets nobody write a file that is executed; where it did, the next request would be refused."""
    shutil.copy(PYTHON, sandbox.options[-1] / "listed")
    code = (
        'say(get("http://host.openshell.internal:9091/x")[0])\n'
        'try: open("/sandbox/listed", "ab").write(b"x"); written = True\n'
        'except OSError as e: written = False\n'
        'say([written, get("http://host.openshell.internal:9091/x")[0]])'
    )
    done = sandbox.run("/sandbox/listed", "-c", CLIENT + code)
    first, (written, second) = [json.loads(line) for line in done.stdout.splitlines()]
    assert first == 200 and second == (403 if written else 200), done.stderr


def test_one_that_cannot_be_looked_into(sandbox, upstream):
    """Past 1 GiB, or unreadable, it proves nothing; as an ancestor it neither helps nor harms."""
    curl = "-s -o /dev/null -w '%%{http_code}\\n' http://host.openshell.internal:909%d/x"
    done = sandbox.script(
        f"mkdir bin; cp {PYTHON} bin/large; truncate -s 1073741825 bin/large; cp /usr/bin/curl bin/closed; chmod 111 bin/closed\n"
        "cp /usr/bin/curl bin/large-curl; truncate -s 1073741825 bin/large-curl\n"
        f"cp /usr/bin/curl bin/small; bin/large-curl {curl % 1}; bin/closed {curl % 1}; bin/small {curl % 1}\n"
        'run="import subprocess, sys; subprocess.run(sys.argv[1:])"\n'
        f"bin/large -c \"$run\" curl {curl % 1}; bin/large -c \"$run\" curl {curl % 0}\n"
    )
    assert done.stdout.split() == ["403", "403", "200", "403", "200"], done.stderr
    assert "by (too large): " in done.stderr


def test_a_large_program_holds_up_no_other(sandbox, upstream):
    """While a program is hashed for the first time, which takes seconds, the requests of others are answered at once, of those that are
    known and of those that are not."""
    shutil.copy(PYTHON, sandbox.options[-1] / "listed")
    code = (
        'import subprocess\n'
        'small = ["/sandbox/small", "-s", "-o", "/dev/null", "-w", "%{http_code}", "http://host.openshell.internal:9091/x"]\n'
        'def timed(what):\n'
        '    start = time.monotonic(); got = what(); return [got, time.monotonic() - start]\n'
        'ours = lambda: get("http://host.openshell.internal:9091/x")[0]\n'
        'say(ours()); large = subprocess.Popen(["/sandbox/bin/large", "-s", "-o", "/dev/null", "-w", "%{http_code} %{time_total}", "http://host.openshell.internal:9091/x"], stdout=subprocess.PIPE, text=True)\n'
        'time.sleep(0.3); say([timed(ours) for _ in range(20)], timed(lambda: subprocess.run(small, stdout=subprocess.PIPE, text=True).stdout)); say(large.communicate()[0].split())'
    )
    sandbox.output("mkdir bin; cp /usr/bin/curl bin/large; truncate -s 600M bin/large; cp /usr/bin/curl small")
    done = sandbox.run("/sandbox/listed", "-c", CLIENT + code)
    first, known, unknown, large = [json.loads(line) for line in done.stdout.splitlines()]
    assert first == 200 and large[0] == "200"
    assert [code for code, _ in known] == [200] * 20 and unknown[0] == "200"  # it is allowed through its ancestor
    seconds = float(large[1])
    assert seconds > 10 * max(time for _, time in known) and seconds > 3 * unknown[1], (known, unknown, large)
