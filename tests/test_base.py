# SPDX-License-Identifier: Apache-2.0
"""`postern base`: what comes in, what is replaced, what is refused, and what builds see of it."""
import json
import os
import signal
import subprocess
import time

import pytest

from api_driver import serving
from conftest import wait_for
from contexts import tar_of

CONFIG = {"engine": "buildah", "bases": ["small"]}


def root_fs(text):
    return tar_of({"who": text, "etc/passwd": "root:x:0:0::/:/bin/sh\n"})


@pytest.fixture
def base(user, postern, workdir):
    """Calls `postern base` with a cache of its own; `base.put(bytes)` makes a file that it may read."""

    def call(*args):
        return user.run([postern, "base", *args, "--cache-dir", workdir / "cache"])

    def put(data):
        path = workdir / "rootfs.tar"
        path.write_bytes(data)
        path.chmod(0o644)
        return path

    call.put, call.cache = put, workdir / "cache"
    yield call
    for name in ("small", "other"):
        call("remove", name)
    left = [str(path) for path in call.cache.rglob("*") if path != call.cache / "bases"] if call.cache.exists() else []
    assert left == []


def who(api):
    job = api.succeed({"Dockerfile": "FROM small\nCOPY Dockerfile /x\n"}, {"output": "/who"})
    return api.artifact(job, "who").decode()


def test_images_come_are_replaced_and_go(user, postern, workdir, base, leak_check):
    assert base("list").stdout == ""
    done = base("add", "small", base.put(root_fs("first")))
    assert (done.returncode, done.stdout) == (0, "made\n"), done.stderr
    assert base("add", "small", base.put(root_fs("first"))).stdout == "present\n"
    listed = json.loads(base("list").stdout)
    assert listed["name"] == "small" and listed["image_id"].startswith("sha256:") and listed["size"] > 0
    with serving(user, postern, workdir, CONFIG, base.cache) as api:
        assert who(api) == "first"
        assert base("add", "small", base.put(root_fs("second"))).stdout == "made\n"
        assert who(api) == "second"
        assert base("remove", "small").returncode == 0
        result = api.fail({"Dockerfile": "FROM small\n"})
        assert "base image small is granted, but not there; `postern base add small ROOTFS.tar` makes it" in result["error"]
    assert base("list").stdout == ""
    done = base("remove", "small")
    assert done.returncode == 1 and "there is no base image small" in done.stderr


@pytest.mark.parametrize("name", ["", "A", "a/b", "..", ".new", "-x", "a b", "a" * 65])
def test_a_bad_name_is_refused(base, name):
    done = base("add", "--", name, base.put(root_fs("x")))
    assert done.returncode in (1, 2) and done.stderr, done


@pytest.mark.parametrize("data", [b"", b"no tar at all", os.urandom(5000)], ids=["empty", "text", "random"])
def test_what_is_no_root_file_system_is_refused(base, data):
    done = base("add", "small", base.put(data))
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and "tar" in done.stderr, done
    assert base("list").stdout == ""


def test_a_file_that_is_not_there_is_told(base):
    done = base("add", "small", "/none/rootfs.tar")
    assert done.returncode == 1 and "/none/rootfs.tar: No such file" in done.stderr


def test_a_list_that_cannot_be_read_is_an_error(user, postern, workdir, leak_check):
    def listed(cache):
        done = user.run([postern, "base", "list", "--cache-dir", cache])
        assert done.stdout == "" and done.stderr.count("\n") == (done.returncode != 0)
        return done.returncode, done.stderr

    assert listed(workdir / "none") == (0, "")
    (workdir / "file").write_text("no folder")
    assert listed(workdir / "file") == (1, f"postern base: {workdir}/file/bases: Not a directory\n")
    closed = user.folder(workdir, "closed")
    (closed / "bases" / "small" / "base.json").mkdir(parents=True)
    code, said = listed(closed)
    assert code == 1 and f"{closed}/bases/small/base.json: " in said
    if user.uid:
        closed.chmod(0)
        assert listed(closed) == (1, f"postern base: {closed}/bases: Permission denied\n")
        closed.chmod(0o700)


def test_an_import_that_is_interrupted_leaves_nothing(user, postern, workdir, base, leak_check):
    tar = base.put(root_fs("x"))
    process = user.popen([postern, "base", "add", "small", tar, "--cache-dir", base.cache], stderr=subprocess.PIPE, text=True)
    wait_for(lambda: base.cache.exists() and len(list(base.cache.glob("bases/.*/*"))) > 0, 60, "the import")
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130 and said == "postern base: interrupted (Interrupt)\n"
    assert list(base.cache.rglob("*")) == [base.cache / "bases"]
    assert base("add", "small", tar).stdout == "made\n"


def test_an_image_is_not_replaced_under_a_build(user, postern, workdir, base, programs):
    """The lock is what keeps it: a build holds it shared, so `remove` waits."""
    base("add", "small", base.put(root_fs("x")))
    holder = user.popen(["flock", "--shared", base.cache / "bases" / "small", "sleep", "2"])
    time.sleep(0.5)
    began = time.monotonic()
    assert base("remove", "small").returncode == 0
    assert time.monotonic() - began > 1
    assert holder.wait(10) == 0
