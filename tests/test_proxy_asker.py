# SPDX-License-Identifier: Apache-2.0
"""Whom the sandbox's proxy takes a request to be from: what the kernel says of every process that holds the connection, whatever the
processes say of themselves. As root and as an ordinary user."""
import contextlib
import fcntl
import os
import re
import shutil
import socket
import subprocess

import pytest

from sandboxes import CLIENT, FILES, PYTHON, Sandbox

# 9090: curl; 9091: the Python that /sandbox/listed is a copy of; 9092: a script. The interpreter itself is listed nowhere.
POLICY = FILES + """\
network_policies:
  curl:
    endpoints: [ { host: host.openshell.internal, port: 9090, protocol: rest, enforcement: enforce, access: full } ]
    binaries: [ { path: /usr/bin/curl } ]
  listed:
    endpoints: [ { host: host.openshell.internal, port: 9091, protocol: rest, enforcement: enforce, access: full } ]
    binaries: [ { path: /sandbox/listed } ]
  script:
    endpoints: [ { host: host.openshell.internal, port: 9092, protocol: rest, enforcement: enforce, access: full } ]
    binaries: [ { path: /sandbox/script } ]
"""
LISTED = "http://host.openshell.internal:9091/x"
ENV = ["--env", "PYTHONHOME=/usr"]


@pytest.fixture
def sandbox(postern, user, workdir, upstream, leak_check):
    made = Sandbox(postern, user, workdir)
    made.write_policy(POLICY)
    folder = user.folder(workdir, "dir")
    shutil.copy(PYTHON, folder / "listed")
    made.reach(upstream.port, 9090, 9091, 9092)
    made.options += [*ENV, "--dir", folder]
    return made


CURL = "curl -s -o /dev/null -w '%%{http_code}\n' http://host.openshell.internal:%d/x"


def test_a_listed_program_and_its_children(sandbox, upstream):
    run = f"/sandbox/listed -c 'import subprocess, sys; subprocess.run(sys.argv[1:])' {CURL % 9091}"
    assert sandbox.output(f"{CURL % 9090}; {CURL % 9091}; {run}").split() == ["200", "403", "200"]
    assert len(upstream.requests) == 2


def test_names_prove_nothing(sandbox, upstream):
    """A copy, a renamed program, argv[0], the process's own name, a symlink, a preloaded library, a script that is listed."""
    ask = "import urllib.request as r, sys\ntry: print(r.urlopen(sys.argv[1]).status)\nexcept r.HTTPError as e: print(e.code)\n"
    url = "http://host.openshell.internal:%d/x"
    name = "import ctypes; ctypes.CDLL(None).prctl(15, b'curl', 0, 0, 0)\n"
    (sandbox.options[-1] / "script").write_text(f"#!{PYTHON}\n{ask}")
    (sandbox.options[-1] / "script").chmod(0o755)
    script = (
        f"cp /usr/bin/curl /tmp/curl; /tmp/{CURL % 9090}\n"
        f"cp {PYTHON} curl; ./curl -c '{ask}' {url % 9090}\n"
        f"(exec -a /usr/bin/curl {PYTHON} -c \"$0\" {url % 9090})\n"
        f"{PYTHON} -c \"{name}$0\" {url % 9090}\n"
        f"ln -s {PYTHON} /tmp/listed; /tmp/listed -c \"$0\" {url % 9091}\n"
        f"LD_PRELOAD=/usr/lib/x86_64-linux-gnu/libcurl.so.4 {PYTHON} -c \"$0\" {url % 9090} 2>/dev/null\n"
        f"./script {url % 9092}\n"
    )
    done = sandbox.run("bash", "-c", script, ask)
    assert done.stdout.split() == ["403"] * 7, (done.stdout, done.stderr)
    assert upstream.requests == []


def test_an_executable_that_is_gone_or_replaced(sandbox, upstream):
    code = 'import os\nexec(sys.argv[1])\nsay(get("http://host.openshell.internal:9091/x")[0])'
    run = lambda how: sandbox.user.run(
        sandbox.command("/sandbox/listed", "-c", CLIENT + code, how)).stdout.split()
    assert run("pass") == ["200"]
    assert run("os.rename('/sandbox/listed', '/sandbox/moved')") == ["403"]
    assert run("os.rename('/sandbox/moved', '/sandbox/listed')") == []  # it cannot be started under its old name any more
    shutil.copy(PYTHON, sandbox.options[-1] / "listed")
    assert run("os.unlink('/sandbox/listed')") == ["403"]
    shutil.copy(PYTHON, sandbox.options[-1] / "listed")
    assert run(f"open('/sandbox/new', 'wb').write(open('{PYTHON}', 'rb').read()); os.rename('/sandbox/new', '/sandbox/listed')") == ["403"]
    assert len(upstream.requests) == 1


# Two processes side by side, neither the other's child: `one` is listed, `two` is not. They share a Unix socket.
PAIR = """
import array
def give(to, s): socket.send_fds(to, [b"x"], [s.fileno()])
def take(of):
    s = socket.socket(fileno=socket.recv_fds(of, 1, 1)[1][0]); s.settimeout(60); return Peer(s)
def wait(of): of.recv(1)
def tell(to): to.send(b"x")
URL, TO = "http://host.openshell.internal:9091/x", "host.openshell.internal:9091"
"""


def run_pair(sandbox, one, two):
    """What both said."""
    script = (
        "import os, socket, subprocess, sys\n"
        "a, b = socket.socketpair()\n"
        "start = lambda binary, code, s: subprocess.Popen([binary, '-c', code.replace('@FD@', str(s.fileno()))], pass_fds=[s.fileno()])\n"
        f"two = start({PYTHON!r}, sys.argv[2], b); one = start('/sandbox/listed', sys.argv[1], a); a.close(); b.close()\n"
        "one.wait(); two.wait()\n"
    )
    begin = CLIENT + PAIR + "other = socket.socket(fileno=@FD@)\n"
    done = sandbox.run(PYTHON, "-c", script, begin + one, begin + two)
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout.split()


def test_every_holder_counts(sandbox, upstream):
    one = 'p = Peer(); give(other, p.s); wait(other); p.send("GET %s HTTP/1.1\\r\\n\\r\\n" % URL); say(p.answer()[0]); tell(other)'
    keep = "p = take(other); {}; tell(other); wait(other)"
    assert run_pair(sandbox, one, keep.format("pass")) == ["403"]
    # Undumpable, nobody of its own user may look at it; the witness may.
    assert run_pair(sandbox, one, keep.format("import ctypes; ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)")) == ["403"]
    assert run_pair(sandbox, one, keep.format("p.s.close()")) == ["200"]
    assert len(upstream.requests) == 1


def test_the_strictest_holder_decides_how_a_tunnel_is_looked_at(sandbox, upstream):
    """One may have anything, the other only what it was allowed: what they hold together is looked into, and so no HTTP by its first bytes
    is refused."""
    sandbox.write_policy(FILES + f"""\
network_policies:
  anything:
    endpoints: [ {{ host: host.openshell.internal, port: 9090 }} ]
    binaries: [ {{ path: /usr/bin/sleep }} ]
  little:
    endpoints: [ {{ host: host.openshell.internal, port: 9090, protocol: rest, enforcement: enforce, rules: [ {{ allow: {{ method: GET, path: /ok }} }} ] }} ]
    binaries: [ {{ path: {PYTHON} }} ]
""")
    code = (
        'import subprocess; to = "host.openshell.internal:9090"\n'
        'for shared in (False, True):\n'
        '    p = Peer(); q = None\n'
        '    if shared: subprocess.run(["/bin/sh", "-c", "sleep 60 & until [ /proc/$!/exe -ef /usr/bin/sleep ]; do :; done"], pass_fds=[p.s.fileno()], stdout=-3, stderr=-3)\n'
        '    p.send("CONNECT %s HTTP/1.1\\r\\nHost: %s\\r\\n\\r\\n" % (to, to)); say(p.head()[0])\n'
        '    p.send("\\r\\nDELETE /x HTTP/1.1\\r\\nHost: %s\\r\\n\\r\\n" % to); say(p.head()[0])\n'
    )
    assert sandbox.python(code) == [200, 403, 200, 403]
    assert upstream.requests == []


def test_an_undumpable_process_is_named_once(sandbox, upstream):
    """It counts as a holder of every connection (an ssh-agent is one), which nobody would guess: that is said, with its program."""
    code = (
        'import ctypes, os, sys, time\n'
        'if not os.fork(): ctypes.CDLL(None).prctl(4, 0, 0, 0, 0); os.write(sys.stdout.fileno(), b"hidden\\n"); time.sleep(1000)\n'
    )
    script = f"{CURL % 9090}; {PYTHON} -c '{code.strip()}' | (read x; {CURL % 9090}; {CURL % 9090})"
    done = sandbox.script(script)
    assert done.stdout.split() == ["200", "403", "403"], done.stderr
    said = [line for line in done.stderr.splitlines() if "witness: " in line]
    assert len(said) == 1 and re.search(rf"warning: process \d+ in the sandbox, {PYTHON}, hides its open files ", said[0]), done.stderr
    assert len(upstream.requests) == 1


def test_a_socket_of_ipv6_that_speaks_ipv4(sandbox, upstream):
    """As Java makes them."""
    code = 'p = Peer(socket.socket(socket.AF_INET6)); p.s.connect(("::ffff:10.200.0.1", 3128)); p.send("GET %s HTTP/1.1\\r\\n\\r\\n" % sys.argv[1]); say(p.answer()[0])'
    for program, said in (("/sandbox/listed", "200\n"), (PYTHON, "403\n")):
        done = sandbox.run(program, "-c", CLIENT + code.replace("\\\\", "\\"), LISTED)
        assert done.stdout == said, done.stderr
    assert len(upstream.requests) == 1


def test_a_kernel_that_cannot_tell(programs):
    """Where tcp_diag is a module and not loaded, the kernel says of each socket that it is not there, as it does here of proxy's own,
    since there is no sandbox: witness does not start, and says what to do."""
    with contextlib.ExitStack() as stack:
        diag = stack.enter_context(socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 4))  # NETLINK_SOCK_DIAG
        channel = [stack.enter_context(s) for s in socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)][0]
        files = [stack.enter_context(open(path, "rb", 0)) for path in ("/proc/self/stat", "/proc/self/ns/user")]
        high = [fcntl.fcntl(f.fileno(), fcntl.F_DUPFD, 50) for f in (channel, files[0], diag, files[1], channel)]
        for fd in high:
            stack.callback(os.close, fd)
        become = " ".join(f"{3 + i}<&{fd}" for i, fd in enumerate(high))
        done = subprocess.run(["bash", "-c", f"exec {programs}/postern-witness {become}"], pass_fds=high, capture_output=True, text=True,
                              timeout=60, check=False)
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1 and "(modprobe tcp_diag, as root)" in done.stderr, done


def test_more_holders_than_can_be_looked_at(sandbox, upstream):
    """16 may share a connection; past that nobody is named, though every one is listed. Each request is looked at anew."""
    code = (
        'p = Peer()\n'
        'def share(n):\n'
        '    for _ in range(n):\n'
        '        if not os.fork(): time.sleep(1000)\n'
        '    p.send("GET %s HTTP/1.1\\r\\n\\r\\n" % sys.argv[1]); say(p.answer()[0])\n'
        'share(15); share(1)'
    )
    done = sandbox.run("/sandbox/listed", "-c", CLIENT + code, LISTED)
    assert done.stdout == "200\n403\n", done.stderr
    assert len(upstream.requests) == 1


def test_more_ancestors_than_can_be_looked_at(sandbox, upstream):
    """A listed program with 64 ancestors, and with 65."""
    code = (
        'def below(n):\n'
        '    if n == 0: return say(get(sys.argv[1])[0])\n'
        '    pid = os.fork()\n'
        '    if pid: return os.waitpid(pid, 0)\n'
        '    below(n - 1); os._exit(0)\n'
        'below(64); below(65)'
    )
    done = sandbox.run("/sandbox/listed", "-c", CLIENT + code, LISTED)
    assert done.stdout == "200\n403\n", done.stderr
    assert len(upstream.requests) == 1


def test_a_holder_hidden_in_a_thread_counts(sandbox, upstream):
    """A thread may leave its process's table of descriptors and keep a copy; and the process's first thread may end."""
    one = 'p = Peer(); give(other, p.s); wait(other); p.send("GET %s HTTP/1.1\\r\\n\\r\\n" % URL); say(p.answer()[0]); tell(other)'
    two = (
        "import ctypes, threading\n"
        "p = take(other); libc = ctypes.CDLL(None); apart = threading.Event(); closed = threading.Event()\n"
        "def thread():\n"
        "    libc.unshare(0x400); apart.set(); closed.wait(); tell(other); wait(other); os._exit(0)\n"
        "threading.Thread(target=thread).start(); apart.wait(); p.s.close(); closed.set()\n{}"
    )
    assert run_pair(sandbox, one, two.format("time.sleep(100)")) == ["403"]
    assert run_pair(sandbox, one, two.format("libc.syscall(60, 0)")) == ["403"]
    assert upstream.requests == []


def test_a_tunnel_that_was_handed_on(sandbox, upstream):
    """Who opened it does not speak for who uses it."""
    one = 'p = tunnel(TO); p.send("GET /1 HTTP/1.1\\r\\nHost: %s\\r\\n\\r\\n" % TO); say(p.answer()[0]); give(other, p.s); wait(other); p.s.close(); tell(other); wait(other)'
    two = 'p = take(other); tell(other); wait(other); p.send("GET /2 HTTP/1.1\\r\\nHost: %s\\r\\n\\r\\n" % TO); say(p.answer()[0]); tell(other)'
    assert run_pair(sandbox, one, two) == ["200", "403"]
    assert upstream.targets == ["/1"]


def test_exec_between_connect_and_request(sandbox, upstream):
    """It is the program that reads the answer that counts."""
    code = (
        'p = Peer(); p.s.set_inheritable(True)\n'
        f'after = "import socket\\ns = socket.socket(fileno=%d); s.settimeout(60)\\ns.sendall(b\'GET {LISTED} HTTP/1.1\\\\r\\\\n\\\\r\\\\n\')\\nprint(s.recv(99).split()[1].decode())" % p.s.fileno()\n'
        'os.execv(sys.argv[1], ["x", "-c", after])'
    )
    run = lambda first, second: sandbox.user.run(sandbox.command("/bin/sh", "-c", 'exec "$@"', "sh", first, "-c", CLIENT + code, second))
    done = run("/sandbox/listed", PYTHON)
    assert done.stdout == "403\n", done.stderr
    done = run(PYTHON, "/sandbox/listed")
    assert done.stdout == "200\n", done.stderr
    assert len(upstream.requests) == 1


def test_a_connection_that_nobody_holds(sandbox, upstream):
    """The asker is gone when its request is read: a listening socket of the same port, a listed program's, does not stand in for it."""
    code = (
        'def bound(port):\n'
        '    s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(("10.200.0.2", port)); return s\n'
        'say(get("http://host.openshell.internal:9091/here")[0])\n'
        'for port in range(5000, 5050):\n'
        '    s = bound(port); s.connect(("10.200.0.1", 3128)); l = bound(port); l.listen()\n'
        '    s.sendall(b"GET http://host.openshell.internal:9091/gone HTTP/1.1\\r\\n"); s.sendall(b"\\r\\n"); s.close()\n'
        'time.sleep(1); say(1)'
    )
    done = sandbox.run("/sandbox/listed", "-c", CLIENT + code)
    assert done.stdout == "200\n1\n", done.stderr
    # A look that came before the close may have found it; what is refused is what nobody holds.
    assert upstream.targets[0] == "/here" and len(upstream.targets) < 51


def test_nobody_changes_what_the_kernel_says(sandbox):
    """prctl(PR_SET_MM), which would replace /proc/self/exe."""
    code = "import ctypes; l = ctypes.CDLL(None, use_errno=True); fd = os.open('/usr/bin/curl', 0); say(l.prctl(35, 13, fd, 0, 0), ctypes.get_errno())"
    assert sandbox.python(code) == [-1, 1]


# By name for curl, by a wildcard for Python.
WILD = FILES + f"""\
network_policies:
  exact:
    endpoints: [ {{ host: api.corp.test, port: 9500, protocol: rest, enforcement: enforce, access: full }} ]
    binaries: [ {{ path: /usr/bin/curl }} ]
  wild:
    endpoints: [ {{ host: "*.corp.test", port: 9500, protocol: rest, enforcement: enforce, access: full }} ]
    binaries: [ {{ path: {PYTHON} }} ]
"""


def test_a_wildcard_leads_to_no_private_address(root_user, postern, tmp_path, leak_check):
    """Not even where another program's entry names the host: in a network whose names mean private addresses."""
    (tmp_path / "policy.yaml").write_text(WILD)
    (tmp_path / "hosts").write_text("127.0.0.1 localhost\n10.77.0.1 api.corp.test\n203.0.113.5 public.corp.test\n")
    ask = ('say([get("http://%s.corp.test:9500/" % name)[0] for name in ("api", "public")])\n'
           'p = Peer(); p.send("CONNECT api.corp.test:9500 HTTP/1.1\\r\\nHost: api.corp.test:9500\\r\\n\\r\\n"); say(p.answer()[2])')
    script = (
        "set -e; cd $0; ip link set lo up; ip addr add 10.77.0.1/32 dev lo; ip addr add 203.0.113.5/32 dev lo; mount --bind hosts /etc/hosts\n"
        "mkdir served; python3 -m http.server -d served 9500 >log 2>&1 & server=$!\n"
        "until curl -s -o /dev/null http://api.corp.test:9500/; do kill -0 $server; sleep 0.05; done\n"
        "trap 'kill $server' EXIT\n"
        f"in_sandbox() {{ {postern} sandbox --policy policy.yaml -- \"$@\"; }}\n"
        f"in_sandbox {CURL % 9500}; in_sandbox {PYTHON} -c \"$1\"\n"
    ).replace("http://host.openshell.internal:9500/x", "http://api.corp.test:9500/")
    done = root_user.run(["unshare", "-nm", "--propagation", "private", "bash", "-c", script, tmp_path, CLIENT + ask])
    assert done.returncode == 0, (done.stdout, done.stderr)
    by_name, by_wildcard, tunnel = done.stdout.splitlines()
    assert by_name == "200" and by_wildcard == "[403, 200]"
    assert "blocked: internal address" in tunnel
