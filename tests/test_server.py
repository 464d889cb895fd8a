# SPDX-License-Identifier: Apache-2.0
"""The API server as a client sees it, with real curl: documents, tokens, methods, uploads, jobs, drain, restart."""
import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import time

import pytest

from conftest import BUILD, wait_for
from limits import LIMITS
from processes import below, child, children
from serve_driver import TOKEN, running

@pytest.fixture
def server(tmp_path):
    with running(tmp_path) as s:
        yield s


def curl(*args, token=TOKEN):
    """Status, headers (lower case) and body of one request."""
    auth = ["-H", f"Authorization: Bearer {token}"] if token else []
    out = subprocess.run(["curl", "-s", "-i", "-m", "30", *auth, *args], capture_output=True, check=True).stdout
    head, _, body = out.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    return int(lines[0].split()[1]), {k.lower(): v.strip() for k, _, v in (x.partition(":") for x in lines[1:])}, body


def start(url, *args, data=b"not an archive"):
    return curl("--data-binary", data.decode(), *args, f"{url}/build?tag=x")


def test_what_needs_no_token(server):
    url = server.url
    assert curl(f"{url}/healthz", token=None)[2] == b'{"status":"ok"}\n'
    assert b"POST /build" in curl(f"{url}/", token=None)[2]
    assert f"U={url}".encode() in curl(f"{url}/", token=None)[2]
    assert json.loads(curl(f"{url}/openapi.json", token=None)[2])["openapi"].startswith("3.1")
    assert "build" in curl(f"{url}/tools.json", token=None)[2].decode()


@pytest.mark.parametrize("token", [None, "wrong", TOKEN[:-1], TOKEN + TOKEN, "x" * 600])
def test_other_tokens_are_refused(server, token):
    status, headers, body = curl(f"{server.url}/jobs", token=token)
    assert status == 401 and headers["www-authenticate"] == "Bearer"
    assert "API_TOKEN" in json.loads(body)["hint"]
    assert TOKEN not in body.decode()


def test_as_many_connections_wait_to_be_accepted(server):
    port = server.port
    said = subprocess.run(["ss", "-ltnH", f"sport = :{port}"], capture_output=True, text=True, check=True).stdout
    assert said.split()[2] == str(LIMITS["LIMIT_ACCEPT_QUEUE"]), said


def test_a_token_expires(tmp_path):
    with running(tmp_path, "--token-expires", "10", "--token-file", str(tmp_path / "token")) as s:
        url = s.url
        assert curl(f"{url}/jobs")[0] == 200
        wait_for(lambda: curl(f"{url}/jobs")[0] == 401, 30, "its end")
        assert "expired" in curl(f"{url}/jobs")[2].decode()


def test_guessing_is_slowed_down(server):
    many = [f"{server.url}/healthz"] * 400
    out = subprocess.run(["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}\n", *sum((["-o", "/dev/null", u] for u in many), [])],
                         capture_output=True, text=True, check=True).stdout
    assert "429" in out and "200" in out
    assert curl(f"{server.url}/jobs")[0] == 200


def test_unknown_paths_and_methods(server):
    url = server.url
    status, _, body = curl(f"{url}/biuld")
    assert status == 404 and "/build" in json.loads(body)["hint"]
    status, headers, _ = curl("-X", "PUT", f"{url}/jobs")
    assert status == 405 and headers["allow"] == "GET, HEAD"
    status, _, body = curl("--data-binary", "x", f"{url}/build?tga=x")
    assert status == 422 and "tag" in body.decode()
    assert curl(f"{url}/jobs/j0123456789abcdefghjk")[0] == 404


def test_a_json_body_is_told_what_is_wanted(server):
    status, _, body = curl("-H", "Content-Type: application/json", "-H", "Prefer: wait=60", "-d", "{}", f"{server.url}/build")
    assert status == 200 and "make one by: tar" in json.loads(body)["result"]["error"]


def test_a_job_lives_and_is_seen(server):
    url = server.url
    status, _, body = start(url, "-H", "Prefer: wait=20")
    job = json.loads(body)
    assert status == 200 and job["state"] == "failed"
    assert json.loads(curl(f"{url}/jobs")[2])["jobs"][0]["id"] == job["id"]
    assert json.loads(curl(f"{url}/jobs/{job['id']}")[2]) == job
    assert curl(f"{url}/jobs/{job['id']}/log")[0] == 200
    events = curl(f"{url}/jobs/{job['id']}/events")[2].decode()
    assert "event: state" in events and '"failed"' in events
    assert curl(f"{url}/jobs/{job['id']}/artifacts/image.tar")[0] == 404
    assert curl("-X", "DELETE", f"{url}/jobs/{job['id']}")[0] == 200


def test_a_real_image_is_built_and_a_file_comes_out_of_it(server, tmp_path):
    url = server.url
    context = tmp_path / "context"
    context.mkdir()
    (context / "Dockerfile").write_text("FROM scratch\nCOPY hello.txt /hello.txt\n")
    (context / "hello.txt").write_text("from the image\n")
    archive = tmp_path / "context.tar"
    subprocess.run(["tar", "cf", archive, "-C", context, "."], check=True)
    status, _, body = curl("-H", "Prefer: wait=60", "--data-binary", f"@{archive}", f"{url}/build?tag=hello&output=/hello.txt")
    job = json.loads(body)
    assert status == 200 and job["state"] == "succeeded", body
    assert job["result"]["digest"].startswith("sha256:") and job["result"]["contained"]
    assert curl(f"{url}/jobs/{job['id']}/artifacts/hello.txt")[2] == b"from the image\n"
    assert b"STEP 2/2" in curl(f"{url}/jobs/{job['id']}/log")[2]
    _, headers, part = curl("-H", "Range: bytes=257-261", f"{url}/jobs/{job['id']}/artifacts/image.tar")
    assert part == b"ustar" and headers["content-range"].startswith("bytes 257-261/")
    assert sorted(os.listdir(tmp_path / "state/jobs" / job["id"])) == ["artifacts", "log"]  # no scratch, no context


def test_an_idempotency_key_finds_its_job(server):
    url = server.url
    key = ["-H", "Idempotency-Key: k1"]
    first = json.loads(start(url, *key)[2])
    assert json.loads(start(url, *key)[2])["id"] == first["id"]
    status, _, _ = curl(*key, "--data-binary", "x", f"{url}/build?tag=other")
    assert status == 409


def raw(port, data, wait=10.0):
    """What comes back for these bytes, until the server closes or is silent; wait: seconds for the first of it."""
    with socket.create_connection(("127.0.0.1", port)) as s:
        s.settimeout(wait)
        s.sendall(data)
        got = b""
        with contextlib.suppress(socket.timeout):
            while piece := s.recv(65536):
                got += piece
                s.settimeout(0.5)
        return got


def test_bytes_that_are_not_http_get_an_answer(server):
    assert raw(server.port, b"hello\r\n\r\n").startswith(b"HTTP/1.1 400")
    assert raw(server.port, b"GET / HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 400")
    assert raw(server.port, b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 600 + b"\r\n").startswith(b"HTTP/1.1 431")
    assert raw(server.port, b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n").startswith(b"HTTP/1.1 414")
    both = b"POST /build HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert raw(server.port, both).startswith(b"HTTP/1.1 400")


def test_expect_is_never_answered_with_100(server):
    head = f"POST /build?tag=x HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nExpect: 100-continue\r\nPrefer: wait=0\r\nContent-Length: 3\r\n\r\n"
    assert raw(server.port, head.encode(), wait=1.0) == b""
    assert raw(server.port, head.encode() + b"abc").startswith(b"HTTP/1.1 202")


def test_requests_in_one_piece_are_answered_in_turn(server):
    one = f"GET /jobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode()
    assert raw(server.port, one * 3).count(b"HTTP/1.1 200 OK") == 3


def test_an_upload_that_is_cut_off_leaves_nothing(server, tmp_path):
    url = server.url
    with socket.create_connection(("127.0.0.1", server.port)) as s:
        s.sendall(f"POST /build?tag=x HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 1000\r\n\r\nabc".encode())
        wait_for(lambda: len(os.listdir(tmp_path / "state/jobs")) == 1, 30, "the upload")
    wait_for(lambda: os.listdir(tmp_path / "state/jobs") == [], 30, "its end")
    assert json.loads(curl(f"{url}/jobs")[2])["jobs"] == []


def test_jobs_survive_a_restart_and_a_kill(tmp_path):
    with running(tmp_path) as s:
        url = s.url
        first = json.loads(start(url)[2])
    with running(tmp_path) as s:
        p, url = s.process, s.url
        assert json.loads(curl(f"{url}/jobs/{first['id']}")[2])["state"] == "failed"
        p.kill()
        p.wait()
    with running(tmp_path) as s:
        url = s.url
        assert json.loads(curl(f"{url}/jobs/{first['id']}")[2])["state"] == "failed"


def test_front_is_started_again(server):
    p, url = server.process, server.url
    job = json.loads(start(url)[2])
    os.kill(child(p.pid, "postern-front"), signal.SIGKILL)
    for _ in range(50):
        time.sleep(0.1)
        with contextlib.suppress(subprocess.CalledProcessError):
            if curl(f"{url}/jobs/{job['id']}")[0] == 200:
                return
    pytest.fail("no answer after front was killed")


def test_the_server_ends_with_its_keeper(server, tmp_path):
    p = server.process
    os.kill(child(p.pid, "postern-keeper"), signal.SIGKILL)
    assert p.wait(10) == 1
    assert "keeper ended (signal 9" in (tmp_path / "log").read_text()


def test_a_keeper_that_is_seen_to_end_after_its_front_is_named(tmp_path):
    """One that ends closes its channels first; here it takes a while from that to its end."""
    kit = tmp_path / "kit"
    kit.mkdir()
    for program in os.listdir(BUILD):
        if program.startswith("postern-") and os.path.isfile(f"{BUILD}/{program}"):
            (kit / program).symlink_to(os.path.abspath(f"{BUILD}/{program}"))
    shutil.copy(f"{BUILD}/postern", kit)
    real = (kit / "postern-keeper").readlink()
    (kit / "postern-keeper").unlink()
    (kit / "postern-keeper").write_text(f"#!/bin/sh\n{real} \"$1\" &\nexec 3>&-\nwait $!\nsleep 0.5\nexit 7\n")
    (kit / "postern-keeper").chmod(0o755)
    with running(tmp_path, program=str(kit / "postern")) as s:
        p, url = s.process, s.url
        assert curl(f"{url}/healthz")[0] == 200  # front is there, and waits
        os.kill(child(child(p.pid, "postern-keeper"), "postern-keeper"), signal.SIGKILL)
        assert p.wait(30) == 1
    said = (tmp_path / "log").read_text()
    assert "keeper ended (exit 7)" in said and "front" not in said


def test_sigterm_drains(server):
    p = server.process
    p.terminate()
    assert p.wait(10) == 0


def test_the_token_is_not_in_argv_or_environment(tmp_path):
    with running(tmp_path, "--token", TOKEN) as s:
        p, url = s.process, s.url
        assert curl(f"{url}/jobs")[0] == 200
        assert TOKEN not in open(f"/proc/{p.pid}/cmdline", encoding="latin-1").read()
    with running(tmp_path, env={"POSTERN_TOKEN": TOKEN}) as s:
        p, url = s.process, s.url
        assert curl(f"{url}/jobs")[0] == 200
        for pid in [p.pid, *below(p.pid)]:
            assert TOKEN not in open(f"/proc/{pid}/environ", encoding="latin-1").read()


def test_faults_at_the_start_are_named(tmp_path):
    def serve(*args):
        r = subprocess.run([f"{BUILD}/postern", "serve", *args], capture_output=True, text=True, timeout=20, check=False,
                           env={k: v for k, v in os.environ.items() if k != "POSTERN_TOKEN"})
        return r.returncode, r.stderr

    token = tmp_path / "token"
    token.write_text(TOKEN)
    code, said = serve()
    assert code == 2 and "--token-file" in said
    config = tmp_path / "c.yaml"
    config.write_text("engine: crio\n")
    code, said = serve("--token-file", str(token), "--config", str(config))
    assert code == 3 and "c.yaml:1:9" in said
    with running(tmp_path) as s:
        code, said = serve("--token-file", str(token), "--port", str(s.port))
        assert code == 5 and "Address already in use" in said
        code, said = serve("--token-file", str(token), "--state-dir", str(tmp_path / "state"))
        assert code == 6 and "another server" in said


def check_confined(front):
    status = open(f"/proc/{front}/status", encoding="ascii").read()
    for rights in ("CapPrm", "CapEff", "CapInh", "CapAmb"):
        assert f"{rights}:\t0000000000000000" in status
    assert "NoNewPrivs:\t1" in status and "Seccomp:\t2" in status and "Seccomp_filters:\t1" in status
    assert os.listdir(f"/proc/{front}/root/") == []
    limits = open(f"/proc/{front}/limits", encoding="ascii").read()
    assert re.search(rf"^Max file size +{LIMITS['LIMIT_UPLOAD_BYTES']} ", limits, re.M), limits
    for kind in ("net", "user", "ipc", "mnt"):
        assert os.readlink(f"/proc/{front}/ns/{kind}") != os.readlink(f"/proc/self/ns/{kind}")


@pytest.mark.once
@pytest.mark.parametrize("how", ["", "-H 'Transfer-Encoding: chunked'"], ids=["length", "chunks"])
def test_an_upload_is_never_in_memory(server, tmp_path, how):
    context = tmp_path / "context"
    with context.open("wb") as f:
        f.truncate(300 << 20)
    front = child(server.process.pid, "postern-front")

    def most():
        return int(re.search(r"VmHWM:\s+(\d+)", open(f"/proc/{front}/status", encoding="ascii").read())[1])
    before = most()
    done = subprocess.run(["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "-H", f"Authorization: Bearer {TOKEN}", "-H", "Expect:", "-H", "Prefer: wait=0",
                           *shlex.split(how), "-T", context, "-X", "POST", f"{server.url}/build"], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout == "202", done
    assert most() - before < 4096  # KiB


def test_front_holds_only_what_it_needs(server):
    p, url = server.process, server.url
    assert curl(f"{url}/healthz")[0] == 200  # it serves, so it has dropped everything
    check_confined(child(p.pid, "postern-front"))
    uid = {name: int(re.search(r"^Uid:\t(\d+)", open(f"/proc/{pids[0]}/status", encoding="ascii").read(), re.M)[1])
           for name, pids in children(p.pid).items()}
    assert uid["postern-keeper"] == os.getuid()  # its files are whose the server is
    assert (uid["postern-front"] == os.getuid()) == (os.getuid() != 0)  # no root's
