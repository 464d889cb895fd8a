# SPDX-License-Identifier: Apache-2.0
"""`postern sandbox` with a real shell and curl inside, as root and as an ordinary user: what can be seen, reached and gained,
and that nothing is left however it ends."""
import os
import re
import signal
import socket
import subprocess
import threading
import time

import pytest

from conftest import descendants, free_port, wait_for
from sandboxes import Sandbox, Upstream

POLICY = """\
version: 1
filesystem_policy: {{ include_workdir: true, read_write: [/dev/null], read_only: [/dev/zero] }}
network_policies:
  api:
    endpoints:
      - host: host.openshell.internal
        port: {port}
        protocol: rest
        enforcement: enforce
        rules:
          - allow: {{ method: GET, path: /allowed }}
          - allow: {{ method: POST, path: /allowed }}
    binaries: [{{ path: /usr/bin/curl }}]
"""


@pytest.fixture
def sandbox(postern, user, workdir):
    made = Sandbox(postern, user, workdir)
    made.write_policy(POLICY.format(port=9090))
    return made


@pytest.fixture
def server():
    made = Upstream()
    yield made
    made.close()


# --- what it is given -------------------------------------------------------------------------------------------------


def test_exit_codes_and_streams_pass(sandbox, leak_check):
    assert sandbox.script("exit 0").returncode == 0
    assert sandbox.script("exit 42").returncode == 42
    assert sandbox.script("kill -9 $$").returncode == 128 + 9
    done = sandbox.script("cat; echo err >&2", stdin=None, input="in\n")
    assert (done.stdout, done.stderr) == ("in\n", "err\n")


def test_what_cannot_be_executed_is_named(sandbox, leak_check):
    done = sandbox.run("no-such-program")
    assert done.returncode == 127 and "no-such-program" in done.stderr
    done = sandbox.run("/usr/bin")
    assert done.returncode == 126 and "/usr/bin" in done.stderr


def test_usage_and_policy_errors(sandbox, leak_check):
    run = lambda *arguments: sandbox.user.run([sandbox.postern, "sandbox", *arguments])
    assert run("--help").returncode == 0 and len(run("--help").stdout.splitlines()) <= 24
    for wrong in ([], ["--policy", sandbox.policy], ["--", "true"], ["--policy"], ["--nonsense", "--", "true"]):
        done = run(*wrong)
        assert done.returncode == 2 and done.stderr, wrong
    done = run("--policy", sandbox.folder / "absent.yaml", "--", "true")
    assert done.returncode == 3 and "absent.yaml" in done.stderr
    sandbox.write_policy("version: 1\nnetwork_policies:\n  a: { endpoints: [{ host: x, colour: red }] }\n")
    done = sandbox.run("true")
    assert done.returncode == 3
    assert re.search(r"policy\.yaml:3:\d+: .*colour", done.stderr), done.stderr


@pytest.mark.parametrize("options, says", [
    (["--dir", "/no/such/folder"], "/no/such/folder: No such file"), (["--dir", "/etc/passwd"], "/etc/passwd: not a folder"),
    *((["--server", f"9090={address}"], "an address is") for address in (
        "foo", "unix:relative", "unix:/" + "x" * 107, "127.0.0.1", "127.0.0.1:0", "127.0.0.1:99999", "127.0.0.1:80x", ":80", "[]:80", "::1:80", "[127.0.0.1]:80",
        "localhost:80")),
    (["--server", "9090=127.0.0.1:1", "--server", "9090=127.0.0.1:2"], "9090 is given twice"),
    (["--credential", "T-K=h:80"], "letters, digits and _"), (["--credential", "N" * 129 + "=h:80"], "at most 128"),
    (["--credential", "LINES=h:80"], "credential LINES: its value has a line's end"), (["--credential", "UNSET=h:80"], "UNSET: that has to be set"),
    (["--credential", "LONG=h:80"], "longer than 8192"), (["--credential", "TOKEN=" + "h" * 254 + ":80"], "too long"),
    (["--credential", "TOKEN=h:80/" + "p" * 1024], "too long"),
    ([f"--credential=BIG{i}=h:80" for i in range(9)], "longer than 65536 bytes together"),
])
def test_what_is_given_wrongly_is_said_in_one_line(sandbox, options, says, leak_check):
    env = {"T-K": "x", "N" * 129: "x", "LINES": "top\nsecret", "LONG": "x" * 8193, "TOKEN": "x", **{f"BIG{i}": "x" * 8000 for i in range(9)}}
    done = sandbox.run("true", options=options, env=env)
    assert done.returncode == 2 and says in done.stderr and done.stderr.count("\n") == 1 and "secret" not in done.stderr, done.stderr


def test_addresses_that_are_taken(sandbox, leak_check):
    options = [f"--server={9000 + i}={address}" for i, address in enumerate(("unix:/" + "x" * 106, "127.0.0.1:65535", "[::1]:1"))]
    assert sandbox.run("true", options=options).returncode == 0


def test_how_much_may_be_given(sandbox, leak_check):
    given = {
        "servers": (64, lambda n: f"--server={9000 + n}=127.0.0.1:1"), "variables": (128, lambda n: f"--env=V{n}=x"),
        "credentials": (64, lambda n: f"--credential=C{n}=host.openshell.internal:9090"),
    }
    env = ["env", *(f"C{n}=secret" for n in range(65))]
    for what, (most, option) in given.items():
        run = lambda n: sandbox.user.run([*env, *sandbox.command("true", options=[option(i) for i in range(n)])])
        assert run(most).returncode == 0, what
        done = run(most + 1)
        assert done.returncode == 2 and f"too many {what}" in done.stderr, (what, done.stderr)


def test_environment(sandbox, leak_check):
    os.environ["POSTERN_TEST_STRAY"] = "1"
    try:
        lines = sandbox.output("env", options=["--env", "EXTRA=a b", "--env", "LANG=C"]).splitlines()
    finally:
        del os.environ["POSTERN_TEST_STRAY"]
    env = dict(line.split("=", 1) for line in lines)
    proxy = "http://10.200.0.1:3128"
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "grpc_proxy"):
        assert env.pop(name) == proxy
    assert env.pop("NO_PROXY") == env.pop("no_proxy") == "127.0.0.1,localhost,::1"
    assert env.pop("NODE_USE_ENV_PROXY") == env.pop("OPENSHELL_SANDBOX") == "1"
    for name in ("NODE_EXTRA_CA_CERTS", "DENO_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO"):
        assert env.pop(name).startswith("/etc/openshell-tls/")
    assert (env.pop("EXTRA"), env.pop("LANG"), env.pop("USER"), env.pop("HOME")) == ("a b", "C", "sandbox", "/sandbox")
    assert set(env) <= {"PATH", "PWD", "SHELL", "TERM", "_", "SHLVL", "OLDPWD"}, env


def test_the_working_folder_is_the_hosts(sandbox, leak_check):
    folder = sandbox.user.folder(sandbox.folder)
    (folder / "in").write_text("from the host\n")
    (folder / "in").chmod(0o644)
    done = sandbox.script("pwd; cat in; echo mine >out; mkdir d", options=["--dir", folder])
    assert (done.returncode, done.stdout) == (0, "/sandbox\nfrom the host\n"), done.stderr
    for name in ("out", "d"):
        assert (folder / name).stat().st_uid == sandbox.user.uid
    assert (folder / "out").read_text() == "mine\n"


def test_without_a_folder_it_has_an_empty_one_of_its_own(sandbox, leak_check):
    assert sandbox.output("ls -A; echo x >x && cat x") == "x\n"
    assert sandbox.output("ls -A /sandbox /tmp") == "/sandbox:\n\n/tmp:\n"


# --- what it cannot see -----------------------------------------------------------------------------------------------


def test_files_outside_the_policy_are_not_there(sandbox, leak_check):
    secret = sandbox.folder / "secret"
    secret.write_text("s")
    secret.chmod(0o644)
    gone = ["/root", "/home", "/var", "/boot", "/srv", "/mnt", "/opt", "/sys", "/etc/shadow", "/etc/ssh", secret, sandbox.policy]
    out = sandbox.output(" ".join(f"test -e {path} && echo {path};" for path in gone) + " true")
    # A container's host mounts /sys and the rest; here what a policy does not list does not exist at all.
    assert out.split() in ([], ["/var"]), out
    assert sandbox.output("ls -A /var/log 2>/dev/null; ls -A /run 2>/dev/null; true") == ""
    assert "root:x:0:0:root:/:" in sandbox.output("cat /etc/passwd")


def test_host_processes_are_invisible(sandbox, leak_check):
    lines = sandbox.output("cd /proc; for p in [0-9]*; do tr '\\0' ' ' <$p/cmdline 2>/dev/null; echo; done").split("\n")
    text = "\n".join(lines)
    assert "jail-init" in text and "pytest" not in text and "postern" not in text, text
    assert sandbox.script("cat /proc/1/environ").returncode != 0
    assert sandbox.script("ls /proc/1/fd").returncode != 0
    assert sandbox.script("kill -9 1; sleep 0.1").returncode == 0


def test_read_only_means_read_only(sandbox, leak_check):
    out = sandbox.output(
        "for f in /usr/x /etc/x /x /proc/sys/kernel/hostname /dev/x /etc/passwd; do (echo x >$f) 2>/dev/null && echo $f; done;"
        "echo ok >/tmp/x; cat /tmp/x"
    )
    assert out == "ok\n"


def test_hosts_sockets_cannot_be_reached(sandbox, leak_check):
    path = str(sandbox.folder / "socket")
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as abstract:
        listener.bind(path)
        listener.listen()
        os.chmod(path, 0o777)
        abstract.bind("\0postern-test-abstract")
        abstract.listen()
        connect = (
            "import socket,sys\n"
            "s=socket.socket(socket.AF_UNIX)\n"
            "try: s.connect(sys.argv[1].replace('@','\\0'))\n"
            "except OSError as e: print(e.errno)\n"
            "else: print('connected')\n"
        )
        for target, errno in ((path, 2), ("@postern-test-abstract", 111)):
            done = sandbox.run("/usr/bin/python3", "-c", connect, target)
            assert done.stdout.strip() == str(errno), (target, done.stdout, done.stderr)
    assert sandbox.script("test -S /run/docker.sock").returncode == 1


# --- what it cannot gain ----------------------------------------------------------------------------------------------


def test_no_rights(sandbox, leak_check):
    status = sandbox.output("cat /proc/self/status")
    field = lambda name: re.search(rf"^{name}:[ \t]*(.*)$", status, re.MULTILINE).group(1)
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(field(name), 16) == 0, name
    assert field("NoNewPrivs") == "1" and field("Seccomp") == "2" and field("Groups").split() in ([], ["1000"])
    assert field("Uid").split() == ["1000"] * 4 and field("Gid").split() == ["1000"] * 4
    # As root on the host it is not the host's root either.
    outside = sandbox.output("cat /proc/self/uid_map").split()
    assert outside[0] == "1000" and outside[2] == "1"


@pytest.mark.parametrize("kind", ["U", "n", "m", "p", "i", "u", "C"])
def test_no_new_namespaces(sandbox, kind, leak_check):
    done = sandbox.script(f"unshare -{kind} true")
    assert done.returncode == 1 and "Operation not permitted" in done.stderr


def test_no_setuid_and_no_tracing(sandbox, leak_check):
    # The bit cannot be set (tests/test_sandbox_calls.py), and those that are set mean nothing.
    done = sandbox.script("su -c id root </dev/null")
    assert done.returncode != 0 and "uid=0" not in done.stdout
    trace = "import ctypes; l=ctypes.CDLL(None,use_errno=True); print(l.ptrace(0,0,0,0), ctypes.get_errno())"
    assert sandbox.run("/usr/bin/python3", "-c", trace).stdout.split() == ["-1", "1"]


def test_typing_into_the_terminal_is_refused(sandbox, leak_check):
    code = (
        "import fcntl,os,pty\n"
        "try: fcntl.ioctl(0, 0x5412, b'x')\n"
        "except OSError as e: print(e.errno)\n"
    )
    assert sandbox.run("/usr/bin/python3", "-c", code).stdout.split()[0] == "1"


@pytest.mark.parametrize("stream", ["stdin", "stdout", "stderr"])
def test_a_folder_for_input_or_output_is_refused(sandbox, stream, leak_check):
    """All of the host would be within its reach: by fchdir(), a daemon's socket; for the folder's owner, modes and names of files."""
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    for flags in (os.O_RDONLY | os.O_DIRECTORY, os.O_PATH):
        folder = os.open("/", flags)
        try:
            done = sandbox.run("true", **{**streams, stream: folder})
        finally:
            os.close(folder)
        assert done.returncode == 125
        says = {"stdin": "standard input is a folder", "stdout": "standard output is a folder"}
        assert stream == "stderr" or (says[stream] in done.stderr and done.stderr.count("\n") == 1), done.stderr


# --- the network ------------------------------------------------------------------------------------------------------


def test_direct_connections_are_refused_at_once(sandbox, server, leak_check):
    code = (
        "import socket,sys,time\n"
        "for host, port in [a.rsplit(':', 1) for a in sys.argv[1:]]:\n"
        "    family = socket.AF_INET6 if ':' in host else socket.AF_INET\n"
        "    s, began = socket.socket(family), time.monotonic()\n"
        "    try: s.connect((host, int(port)))\n"
        "    except OSError as e: print(host, e.errno, time.monotonic() - began < 1)\n"
        "    else: print(host, 'connected')\n"
    )
    targets = {
        "1.1.1.1:443": 111, "169.254.169.254:80": 111, f"127.0.0.1:{server.port}": 111, "10.200.0.1:22": 111,
        "10.200.0.2:80": 111, "172.17.0.1:80": 111, "2001:db8::1:80": 101,
    }
    out = sandbox.run("/usr/bin/python3", "-c", code, *targets).stdout.splitlines()
    assert out == [f"{target.rsplit(':', 1)[0]} {errno} True" for target, errno in targets.items()]
    # Neither can names be asked for, nor packets be sent.
    assert sandbox.script("getent hosts example.com").returncode != 0
    assert "10.200.0.1" in sandbox.output("getent hosts host.openshell.internal")
    udp = "import socket; s=socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.sendto(b'x', ('1.1.1.1', 53)); print('sent')"
    sandbox.run("/usr/bin/python3", "-c", udp)  # accepted by the loopback, and gone: nobody else is there
    for kind in ("AF_PACKET, socket.SOCK_RAW", "AF_INET, socket.SOCK_RAW, 1", "AF_NETLINK, socket.SOCK_RAW, 9", "AF_VSOCK, socket.SOCK_STREAM"):
        code = f"import socket\ntry: socket.socket(socket.{kind})\nexcept OSError as e: print(e.errno)\nelse: print('made')"
        assert sandbox.run("/usr/bin/python3", "-c", code).stdout == "1\n", kind


def test_the_proxy_is_the_way_out(sandbox, server, leak_check):
    options = ["--server", f"9090=127.0.0.1:{server.port}"]
    base = "http://host.openshell.internal:9090"
    assert sandbox.output(f"curl -sS {base}/allowed", options=options) == "hello\n"
    assert sandbox.output(f"head -c 3000000 /dev/zero | curl -sS --data-binary @- {base}/allowed", options=options) == "hello\n"
    assert len(server.requests[-1].body) == 3000000
    asked = len(server.requests)
    done = sandbox.script(f"curl -sS -w '%{{http_code}}' {base}/forbidden", options=options)
    assert done.stdout.endswith("403") and '"error":"policy_denied"' in done.stdout
    done = sandbox.script(f"curl -sS -w '%{{http_code}}' -X DELETE {base}/allowed", options=options)
    assert done.stdout.endswith("403")
    done = sandbox.script("curl -sS -w '%{http_code}' http://example.com/", options=options)
    assert done.stdout.endswith("403")
    done = sandbox.script("curl -sS -w '%{http_code}' http://10.200.0.1:9090/allowed", options=options)
    assert done.stdout.endswith("403")
    # Another program is not the one that the policy names.
    other = (
        "import urllib.request,urllib.error\n"
        f"try: urllib.request.urlopen('{base}/allowed')\n"
        "except urllib.error.HTTPError as e: print(e.code)\n"
    )
    assert sandbox.run("/usr/bin/python3", "-c", other, options=options).stdout == "403\n"
    assert sandbox.script(f"cp /usr/bin/curl /tmp/curl; /tmp/curl -s -w '%{{http_code}}' {base}/allowed", options=options).stdout.endswith("403")
    assert len(server.requests) == asked


def test_a_server_behind_a_unix_socket(sandbox, leak_check):
    path = sandbox.folder / "api.socket"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        path.chmod(0o777)

        def serve():
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nunix\n")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        out = sandbox.output("curl -sS http://host.openshell.internal:9090/allowed", options=["--server", f"9090=unix:{path}"])
        assert out == "unix\n"
        thread.join(5)


def test_a_credential_never_crosses(sandbox, server, leak_check):
    secret = "tOp-" + "s3cret" * 4
    other = free_port()
    sandbox.write_policy(POLICY.format(port=9090) + POLICY.format(port=other).split("network_policies:\n")[1].replace("api:", "other:"))
    options = [
        "--server", f"9090=127.0.0.1:{server.port}", "--server", f"{other}=127.0.0.1:{server.port}",
        "--credential", "API_TOKEN=host.openshell.internal:9090/allowed",
    ]
    run = lambda text: sandbox.script(text, options=options, env={"API_TOKEN": secret})
    done = run("echo $API_TOKEN; env; cat /proc/*/environ /proc/*/cmdline 2>/dev/null | tr '\\0' '\\n'")
    assert done.stdout.startswith("openshell:resolve:env:API_TOKEN\n") and secret not in done.stdout
    done = run('curl -sS -H "Authorization: Bearer $API_TOKEN" http://host.openshell.internal:9090/allowed')
    assert done.stdout == "hello\n", (done.stdout, done.stderr)
    assert server.requests[-1].get("Authorization") == "Bearer " + secret
    asked = len(server.requests)
    done = run(f'curl -sS -w "%{{http_code}}" -H "Authorization: Bearer $API_TOKEN" http://host.openshell.internal:{other}/allowed')
    assert done.stdout.endswith("403") and "credential" in done.stdout
    assert len(server.requests) == asked


# --- its end ----------------------------------------------------------------------------------------------------------


def start_and_wait(sandbox, script, **kwargs):
    process = sandbox.user.popen(sandbox.command("sh", "-c", script), stdout=subprocess.PIPE, text=True, **kwargs)
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("sent, code", [(signal.SIGTERM, 7), (signal.SIGINT, 8), (signal.SIGQUIT, 9), (signal.SIGUSR1, 10), (signal.SIGUSR2, 11), (signal.SIGCONT, 12)])
def test_signals_pass(sandbox, sent, code, leak_check):
    traps = "trap 'exit 7' TERM; trap 'exit 8' INT; trap 'exit 9' QUIT; trap 'exit 10' USR1; trap 'exit 11' USR2; trap 'exit 12' CONT;"
    process = start_and_wait(sandbox, traps + "echo ready; while :; do sleep 0.05; done")
    process.send_signal(sent)
    assert process.wait(10) == code
    process.stdout.close()


def test_a_signal_that_is_not_handled_ends_the_command(sandbox, leak_check):
    process = start_and_wait(sandbox, "echo ready; exec sleep 1000")
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 128 + signal.SIGTERM
    process.stdout.close()


def test_whoever_is_left_alone_is_reaped(sandbox):
    """By PID 1, while the command goes on."""
    script = 'for i in 1 2 3 4 5; do (sleep 0.2 & sleep 0.1 & exit 0); done; sleep 1; for p in /proc/[0-9]*; do read -r _ _ state _ <$p/stat; echo $state; done | grep -c Z; true'
    assert sandbox.output(script) == "0\n"


def test_background_processes_end_with_the_command(sandbox, leak_check):
    began = time.monotonic()
    done = sandbox.script("(trap '' TERM HUP INT; exec sleep 1000) & (setsid sleep 1000 &) ; exit 5", stdout=subprocess.DEVNULL)
    assert done.returncode == 5 and time.monotonic() - began < 10


def test_nothing_is_left_when_the_supervisor_is_killed(sandbox, leak_check):
    process = start_and_wait(sandbox, "sleep 1000 & (setsid sleep 1000 &) ; echo ready; sleep 1000")
    assert len(descendants()) >= 5  # supervisor, three helpers, PID 1 and the sleeping
    process.kill()
    process.wait()
    process.stdout.close()
    leak_check.check(5)


@pytest.mark.parametrize("helper", ["postern-proxy", "postern-dialer", "postern-witness"])
def test_a_helper_that_dies_ends_the_sandbox(sandbox, helper, leak_check):
    process = start_and_wait(sandbox, "echo ready; sleep 1000", stderr=subprocess.PIPE)
    pid = wait_for(lambda: next((pid for pid, line in descendants().items() if line.split(" ")[0].endswith(helper)), None), 5, helper)
    os.kill(pid, signal.SIGKILL)
    assert process.wait(10) == 125
    assert helper in process.stderr.read()
    process.stdout.close()
    process.stderr.close()


def test_the_helpers_hold_nothing_they_should_not(sandbox, leak_check):
    process = start_and_wait(sandbox, "echo ready; sleep 1000")
    for pid, line in descendants().items():
        name = line.split(" ")[0].rsplit("/", 1)[-1]
        if name not in ("postern-proxy", "postern-dialer", "postern-witness"):
            continue
        with open(f"/proc/{pid}/status", encoding="ascii") as file:
            status = file.read()
        environ = open(f"/proc/{pid}/environ", "rb").read() if os.getuid() == 0 else b""
        assert environ == b"", name
        effective = int(re.search(r"^CapEff:\s*(\w+)$", status, re.MULTILINE).group(1), 16)
        # Witness alone may look into the sandbox's processes.
        assert effective & ~((1 << 19) if name == "postern-witness" else 0) == 0, (name, hex(effective))
        assert "NoNewPrivs:\t1" in status, name
    process.kill()
    process.wait()
    process.stdout.close()


def test_many_at_once(sandbox, leak_check):
    began = [sandbox.user.popen(sandbox.command("sh", "-c", f"exit {code}")) for code in range(8)]
    assert [process.wait(60) for process in began] == list(range(8))
