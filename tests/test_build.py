# SPDX-License-Identifier: Apache-2.0
"""POST /build through the real server, with each engine, as root and as an ordinary user: every argument, the result, every failure."""
import gzip
import hashlib
import json
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
import time

import pytest

from api_driver import serving
from conftest import ROOT, descendants, wait_for
from contexts import add_base, folder_of, layers_of, link, node, tar_of

HELLO = {"Dockerfile": "FROM scratch\nCOPY hello.txt /hello.txt\n", "hello.txt": "hello\n"}


def base_cache(user, postern, base_image, reachable, made={}):
    """The user's folder of base images, with the demo's; made once."""
    if user.name not in made:
        made[user.name] = user.folder(reachable, "cache")
        add_base(user, postern, base_image, made[user.name])
    return made[user.name]


@pytest.fixture
def cache(user, postern, base_image, reachable):
    return base_cache(user, postern, base_image, reachable)


# Each user and each engine in `make test`, all four pairs in .ci/run.
PAIRS = [pytest.param(("root", "buildah"), id="root-buildah"), pytest.param(("ordinary", "podman"), id="ordinary-podman"),
         pytest.param(("root", "podman"), id="root-podman", marks=pytest.mark.slow),
         pytest.param(("ordinary", "buildah"), id="ordinary-buildah", marks=pytest.mark.slow)]


@pytest.fixture(scope="module", params=PAIRS)
def api(request, postern, reachable):
    """A server with the demo's base granted, shared by tests: as each user, with each engine."""
    who, engine = request.param
    user = request.getfixturevalue(f"{who}_user")
    folder = base_cache(user, postern, request.getfixturevalue("base_image"), reachable)
    with serving(user, postern, reachable, {"engine": engine, "bases": ["debian-tcc"]}, folder) as server:
        server.engine = engine
        yield server


@pytest.fixture(scope="module")
def shared(root_user, postern, reachable):
    """One server for requests that start no build."""
    with serving(root_user, postern, reachable, {"engine": "buildah"}) as server:
        yield server


def run_in_base(*commands):
    return {"Dockerfile": "FROM debian-tcc\n" + "".join(f"RUN {command}\n" for command in commands)}


# --- contexts ---------------------------------------------------------------------------------------------------------


def test_a_context_is_known_by_its_first_bytes(api):
    plain = tar_of(HELLO)
    packed = [plain, gzip.compress(plain), subprocess.run(["zstd", "-q"], input=plain, capture_output=True, check=True).stdout]
    for data, kind in zip(packed, ("application/json", "application/x-www-form-urlencoded", "application/gzip")):
        job = api.succeed(data, {"output": "/hello.txt"}, "-H", f"Content-Type: {kind}")
        assert api.artifact(job, "hello.txt") == b"hello\n"


def test_a_context_arrives_in_chunks(api):
    data = tar_of({**HELLO, "large": os.urandom(3 << 20)})
    job = api.succeed(data, {}, "-H", "Transfer-Encoding: chunked")
    assert job["result"]["layers"] == 1


BAD_CONTEXTS = {
    "empty": (b"", "the body is empty", 0),
    "text": (b"FROM scratch\n", "not a tar archive", 0),
    "zip": (b"PK\3\4" + bytes(600), "not a tar archive", 0),
    "zeros": (bytes(10240), "the archive is empty", 0),
    "cut gzip": (gzip.compress(tar_of({"f": os.urandom(9999)}))[:5000], "ends early", 0),
    "absolute": (tar_of({"/etc/x": b""}), "is absolute", 0),
    "dots": (tar_of({"a/../../x": b""}), "leaves the context by '..'", 0),
    "symlink": (tar_of({"l": link("/tmp"), "l/x": b""}), "goes through a symbolic link", 0),
    "hard link": (tar_of({"l": link("/etc/passwd", tarfile.LNKTYPE)}), "absolute", 0),
    "device": (tar_of({"null": node(tarfile.CHRTYPE, 1, 3)}), "is a device", 0),
    "pipe": (tar_of({"p": node(tarfile.FIFOTYPE)}), "is a named pipe", 0),
    "deep": (tar_of({"/".join("d" * 65): b""}), "deeper than 64", 0),
    "no Dockerfile": (tar_of({"Makefile": b""}), "neither Dockerfile nor Containerfile", 0),
    "folder": (tar_of({"Dockerfile": folder_of()}), "is not a file", 0),
    "escapes": (tar_of({"\x1b[31m/../x": b""}), "leaves the context", 0),
}


@pytest.mark.parametrize("name", BAD_CONTEXTS)
def test_a_bad_context_is_told(api, name):
    data, words, _ = BAD_CONTEXTS[name]
    result = api.fail(data, {"tag": "x"})
    assert words in result["error"] and "\x1b" not in result["error"]


def test_limits_of_contexts(user, postern, cache, workdir):
    limits = {"context_bytes": 1 << 20, "context_entries": 50, "file_bytes": 1 << 20}
    with serving(user, postern, workdir, {"engine": "buildah", "limits": limits}, cache) as api:
        bomb = gzip.compress(tar_of({f"f{n}": bytes(600 << 10) for n in range(2)}))
        assert len(bomb) < 8192 and "larger than 1048576 bytes unpacked" in api.fail(bomb)["error"]
        assert "more than 50 entries" in api.fail({f"f{n}": b"" for n in range(51)})["error"]
        assert "'f' is larger than 1048576 bytes" in api.fail({"f": bytes((1 << 20) + 1)})["error"]


# --- arguments --------------------------------------------------------------------------------------------------------


def test_a_tag_is_below_the_runs_own_prefix(api):
    tag = api.succeed(HELLO, {"tag": "app/web:1.0"})["result"]["tag"]
    prefix, name = tag.rsplit("app/web", 1)
    assert re.fullmatch(r"localhost/r[0-9a-z]+/", prefix) and name == ":1.0"
    assert api.succeed(HELLO, {"tag": "plain"})["result"]["tag"] == f"{prefix}plain:latest"
    # Sent again as the result said it; a foreign one is only a name below one's own.
    assert api.succeed(HELLO, {"tag": tag})["result"]["tag"] == tag
    assert api.succeed(HELLO, {"tag": "localhost/other/x"})["result"]["tag"] == f"{prefix}localhost/other/x:latest"
    untagged = api.succeed(HELLO)
    assert untagged["result"]["tag"].startswith(f"{prefix}{untagged['id']}")


@pytest.mark.parametrize("tag", ["", "A", "a:", "a::b", "a b", "-a", "../a", "/a", "a/", "a@sha256:" + 64 * "0", "host:5000/a", "a:b/c",
                                 "a:-b", "a" * 129, "é", "a\n", "oci-archive:/x", "docker://a"])
def test_a_bad_tag_is_refused(shared, tag):
    answer = shared.post(HELLO, {"tag": tag})
    assert answer.status == 422 and "tag" in answer.json()["detail"], answer.body


@pytest.mark.parametrize("query", ["dockerfile=/etc/passwd", "dockerfile=../x", "dockerfile=a/../../x", "dockerfile=-", "dockerfile=", "target=-x",
                                   "target=", "build_arg=X", "build_arg=-X=1", "build_arg==1", "build_arg=1X=2", "platform=windows/amd64",
                                   "platform=linux", "platform=--x", "no_cache=yes", "output=", "output=../../etc/passwd", "output=a%00b", "output=-",
                                   "tag=a&tag=b", "volume=/:/host", "network=host", "secret=x", "dockerfile=a%0ab"])
def test_other_arguments_are_refused(shared, query):
    answer = shared.post(HELLO, query)
    assert answer.status == 422 and answer.json()["hint"], answer.body


def test_dockerfile_target_and_build_args(api):
    context = {
        "docker/app": "FROM debian-tcc AS first\nARG A=none\nARG B\nRUN echo \"$A|$B\" >/args\n"
                      "FROM first AS second\nRUN echo second >/args\n",
    }
    query = {"dockerfile": "docker/app", "target": "first", "build_arg": ["A=--squash -v /:/host", "B=a=b,c d"], "output": "/args"}
    job = api.succeed(context, query)
    assert api.artifact(job, "args") == b"--squash -v /:/host|a=b,c d\n"
    job = api.succeed(context, {"dockerfile": "docker/app", "output": "args"})
    assert api.artifact(job, "args") == b"second\n"
    result = api.fail(context, {"dockerfile": "docker/app", "target": "third"})
    assert "third" in result["error"]
    assert "no 'docker/none'" in api.fail(context, {"dockerfile": "docker/none"})["error"]


def test_a_dockerfile_that_is_a_link_is_found_as_if_the_context_were_the_root(api):
    """Wherever an engine would look for it."""
    for target in ("/docker/app", "../docker/app", "docker/app"):
        job = api.succeed({"Dockerfile": link(target), "docker/app": "FROM scratch\nCOPY hello /file\n", "hello": target}, {"output": "/file"})
        assert api.artifact(job, "file").decode() == target
    result = api.fail({"Dockerfile": link("/docker/app"), "docker/app": "FROM scratch\nCOBY x /\n"})
    assert result["error"].startswith("Dockerfile, line 2: unknown instruction 'COBY'")


@pytest.mark.parametrize("engine", ["buildah", "podman"])
def test_nothing_of_the_servers_environment_reaches_the_engine(user, postern, cache, workdir, engine):
    context = run_in_base('env >/env; echo "$SECRET_OF_HOST" >>/env; cat /proc/self/environ >>/env')
    context["Dockerfile"] = context["Dockerfile"].replace("RUN", "ARG SECRET_OF_HOST\nARG http_proxy\nRUN")
    env = {"SECRET_OF_HOST": "mellon-1", "HTTP_PROXY": "http://mellon-2:1", "http_proxy": "http://mellon-2:1", "BUILDAH_ISOLATION": "mellon-3",
           "CONTAINERS_CONF": "/mellon-4", "STORAGE_DRIVER": "mellon-5", "REGISTRY_AUTH_FILE": "/mellon-6", "XDG_CONFIG_HOME": "/mellon-7"}
    # Nor does an engine read what its user has set up at home.
    home = user.folder(workdir, "home")
    (home / ".config" / "containers").mkdir(parents=True)
    for name in ("containers.conf", "storage.conf", "registries.conf", "policy.json", "mounts.conf"):
        (home / ".config" / "containers" / name).write_text("mellon-8 = [")
    for path in [home, *home.rglob("*")]:
        shutil.chown(path, user.uid, user.gid)
    config = {"engine": engine, "bases": ["debian-tcc"]}
    with serving(user, postern, workdir, config, cache, env={**env, "HOME": str(home), "XDG_RUNTIME_DIR": "/mellon-9"}) as api:
        job = api.succeed(context, {"output": "/env"})
        said = api.artifact(job, "env") + api.job_log(job["id"]) + api.artifact(job)
        assert b"PATH=" in said and b"mellon" not in said


def test_a_platform_is_the_hosts_or_refused(api):
    assert api.succeed(HELLO, {"platform": "linux/amd64"})["result"]["layers"] == 1
    assert "linux/amd64/v3" in api.fail(HELLO, {"platform": "linux/amd64/v3"})["error"]
    result = api.fail(HELLO, {"platform": "linux/s390x"})
    assert "linux/s390x" in result["error"] and "only linux/" in result["error"] and "platform" in result["hint"]


def test_no_cache_runs_every_step_again(api):
    context = run_in_base("cat /proc/sys/kernel/random/uuid >/id")
    jobs = [api.succeed(context, {"output": "/id", **more}) for more in ({}, {}, {"no_cache": "true"})]
    ids = [api.artifact(job, "id") for job in jobs]
    assert ids[0] == ids[1] != ids[2]
    assert len({job["result"]["layers"] for job in jobs}) == 1  # the image is of the same layers either way


def test_one_file_out_of_the_image(api):
    context = run_in_base("mkdir -p /a/b && echo inside >/a/b/file && ln -s /a/b/file /link && ln -s ../../../../../a/b /a/up && ln -s /etc/shadow /shadow"
                          " && mkfifo /pipe || true", "chmod 000 /a/b/file; echo x >'/a/b/odd name+~'")
    for path, name in {"/a/b/file": "file", "a/b/file": "file", "/link": "link", "/a/up/file": "file", "/a/b/odd name+~": "odd_name__"}.items():
        job = api.succeed(context, {"output": path})
        assert api.artifact(job, name) in (b"inside\n", b"x\n"), path
        assert {a["name"] for a in job["artifacts"]} == {"image.tar", name}
    for path, words in {"/none": "has no file", "/a": "is not a file", "/shadow": "has no file", "/a/b/file/x": "has no file"}.items():
        result = api.fail(context, {"output": path})
        assert words in result["error"] and result["hint"], result


# --- the result -------------------------------------------------------------------------------------------------------


def skopeo_inspect(path, *args):
    done = subprocess.run(["skopeo", "inspect", *args, f"oci-archive:{path}"], capture_output=True, check=True)
    return done.stdout


@pytest.fixture
def store():
    """Options of a storage of the test's own, outside of any jail (podman takes no long path)."""
    folder = tempfile.mkdtemp(prefix="t-")
    yield ["--root", f"{folder}/root", "--runroot", f"{folder}/run", "--storage-driver", "vfs"]
    shutil.rmtree(folder)


def test_the_image_is_whole_and_what_the_result_says(api, tmp_path, store):
    context = {**{name: (ROOT / "examples/build/context" / name).read_bytes() for name in ("Dockerfile", "hello.c")}}
    job = api.succeed(context, {"tag": "demo:1"})
    result, image = job["result"], api.artifact(job)
    path = tmp_path / "image.tar"
    path.write_bytes(image)
    manifest = skopeo_inspect(path, "--raw")
    assert result["digest"] == "sha256:" + hashlib.sha256(manifest).hexdigest()
    parsed = json.loads(manifest)
    assert result["image_id"] == parsed["config"]["digest"]
    assert result["layers"] == len(parsed["layers"]) == 1
    assert result["size"] == sum(part["size"] for part in [parsed["config"], *parsed["layers"]])
    version = subprocess.run([api.engine, "--version"], capture_output=True, text=True, check=True).stdout.split()[2]
    assert (result["engine"], result["engine_version"], result["contained"]) == (api.engine, version, True)
    stages = [stage["name"] for stage in result["stages"]]
    assert stages[0] == "unpacking the context" and stages[-1] == "writing the image archive"
    assert any("RUN /image/hello" in stage for stage in stages) and all(stage["seconds"] >= 0 for stage in result["stages"])
    # In parts, as a client with a bad connection fetches it.
    url = f"/jobs/{job['id']}/artifacts/image.tar"
    middle = len(image) // 2
    ranges = [f"bytes=0-{middle - 1}", f"bytes={middle}-"]
    assert b"".join(api.get(url, "-H", f"Range: {r}").body for r in ranges) == image
    assert api.get(url, "-H", "Range: bytes=-100").body == image[-100:]
    # By other engines than the one that made it: their own storage, outside of any jail.
    pulled = subprocess.run(["podman", *store, "pull", "-q", f"oci-archive:{path}"], capture_output=True, text=True, check=True)
    assert pulled.stdout.strip() == result["image_id"].removeprefix("sha256:")
    mounted = subprocess.run(["buildah", *store, "from", pulled.stdout.strip()], capture_output=True, text=True, check=True).stdout.strip()
    ran = subprocess.run(["buildah", *store, "run", "--isolation", "chroot", mounted, "/hello"], capture_output=True, text=True, check=True)
    assert "compiled on the other side of the gate" in ran.stdout
    subprocess.run(["buildah", *store, "rm", mounted], capture_output=True, check=True)


def test_both_engines_make_the_same_of_a_build(user, postern, cache, workdir):
    context = {"Dockerfile": "FROM debian-tcc AS one\nARG X=1\nRUN mkdir /d && echo $X >/d/f && chown 12:34 /d/f && chmod 4755 /d/f && ln -s f /d/l\n"
                             "FROM scratch\nCOPY --from=one /d /d\nCOPY own /own\nENV A=b\nLABEL c=d\nUSER 7\nWORKDIR /d\nCMD [\"x\"]\n",
               "own": "own\n"}
    files, results = [], []
    for engine in ("buildah", "podman"):
        with serving(user, postern, workdir, {"engine": engine, "bases": ["debian-tcc"]}, cache) as api:
            job = api.succeed(context, {"build_arg": "X=2", "tag": "same"})
            (workdir / "image.tar").write_bytes(api.artifact(job))
            content = layers_of(workdir / "image.tar")
            config = json.loads(content.pop(("config", "")))
            config["config"].pop("Labels", None)  # holds the engine's own version
            files.append(({name: data for (_, name), data in content.items()}, config["config"]))
            results.append((sorted(job["result"]), job["result"]["layers"], [s["name"] for s in job["result"]["stages"]]))
    assert files[0] == files[1] and results[0] == results[1]
    assert files[0][0]["d/f"] == b"2\n"


def test_an_earlier_image_of_the_run_can_be_built_upon(api):
    first = api.succeed(run_in_base("echo first >/first"), {"tag": "first:1"})["result"]["tag"]
    job = api.succeed({"Dockerfile": f"FROM {first}\nRUN cat /first /first >/both\n"}, {"output": "/both"})
    assert api.artifact(job, "both") == b"first\nfirst\n"


@pytest.mark.slow
@pytest.mark.once
@pytest.mark.parametrize("who,engine", [("root", "buildah"), ("ordinary", "podman")])
def test_an_image_of_many_layers_is_built_again(request, postern, workdir, who, engine):
    """Its layers lie in the store of the first build, by names that are longer than the kernel takes that many of."""
    user, steps = request.getfixturevalue(f"{who}_user"), "".join(f"COPY same /same{n}\n" for n in range(51))
    context = {"Dockerfile": f"FROM scratch\n{steps}COPY own /own\n", "same": "same\n"}
    with serving(user, postern, workdir, {"engine": engine}) as api:
        for own in ("one\n", "two\n"):
            job = api.succeed({**context, "own": own}, {"output": "/own"})
            assert api.artifact(job, "own") == own.encode() and job["result"]["layers"] == 52


# --- failures ---------------------------------------------------------------------------------------------------------


def test_a_failed_step_is_told(api):
    # An engine copies a step's two outputs one beside the other, and may stop before it has copied all: pauses keep order and end.
    context = run_in_base("echo fine", 'for i in $(seq 30); do echo "line $i"; done; sleep 1; echo last >&2; sleep 1; exit 42')
    result = api.fail(context)
    assert result["step"].startswith("RUN for i in") and result["exit_code"] == 42 and result["line"] == 3
    assert result["last_lines"] == [f"line {n}" for n in range(12, 31)] + ["last"]
    assert result["engine"] == api.engine and result["stages"]
    # Lines that begin as the engine's own last word does are the step's, too.
    result = api.fail(run_in_base("echo Error: no module x; echo error: not compiled; sleep 1; exit 3"))
    assert result["last_lines"] == ["Error: no module x", "error: not compiled"] and result["exit_code"] == 3


DOCKERFILES = {
    "FROM debian-tcc\n\nRUNN x\n": ("line 3: unknown instruction 'RUNN'; did you mean RUN", 3),
    "RUN x\n": ("line 1: RUN before the first FROM", 1),
    "# nothing\n": ("no FROM", None),
    "": ("no FROM", None),
    "FROM debian-tcc\nENV A\n": ("line 2: expected ENV NAME=VALUE", 2),
    "FROM debian-tcc\n# c\nSHELL x\n": ("JSON form", 3),
    "FROM debian-tcc\nRUN a \\\n b\n": ("exit status 127", 2),
    "FROM debian-tcc\nCOPY none /\n": ("no such file", 2),
    "FROM debian-tcc AS a\nRUN true\nFROM debian-tcc\nRUN true\nRUN exit 9\n": ("exit status 9", 5),
    "\0\1\2": ("unknown instruction", 1),
}


@pytest.mark.parametrize("text", DOCKERFILES)
def test_a_bad_dockerfile_is_told_by_line(api, text):
    words, line = DOCKERFILES[text]
    result = api.fail({"Dockerfile": text})
    assert words in result["error"] and result.get("line") == line, result


@pytest.mark.parametrize("name", ["nosuch", "registry.invalid/library/debian:12", "127.0.0.1:5000/x", "oci-archive:/etc/passwd"])
def test_an_unknown_image_is_told_with_those_that_are_granted(api, name):
    result = api.fail({"Dockerfile": f"FROM {name}\nRUN true\n"})
    assert result["step"] == f"FROM {name}" and result["line"] == 1, result
    assert "(debian-tcc)" in result["hint"], result
    result = api.fail({"Dockerfile": f"FROM debian-tcc\nCOPY --from={name} / /\n"})
    assert result["line"] == 2 and "(debian-tcc)" in result["hint"], result


@pytest.mark.parametrize("step", ["COPY <<EOF /x", "ADD <<EOF /x", "RUN <<EOF"])
def test_here_documents_are_what_these_engines_do_not_know(api, step):
    result = api.fail({"Dockerfile": f"FROM debian-tcc\n{step}\necho hello\nEOF\n"})
    assert "here-documents" in result["hint"], result


def test_escapes_are_made_plain_in_log_and_result(api):
    line = r"\033[31mred\033[0m\007 \033]0;title\007 \302\233x \342\200\256rtl one\rtwo \377"
    job = api.build(run_in_base(f"printf '{line}\\n'; sleep 1; exit 5"))
    log = api.job_log(job["id"])
    for text in (log.decode(), json.dumps(job["result"], ensure_ascii=False)):
        assert "red" in text and "two" in text
        assert not any(c < " " and c not in "\n\t" or "\x7f" <= c < "\xa0" or c in "\u202e\u2066" for c in text), text


def test_endless_output_is_cut_and_the_build_goes_on(user, postern, cache, workdir):
    config = {"engine": "buildah", "bases": ["debian-tcc"], "limits": {"log_bytes": 1 << 20}}
    with serving(user, postern, workdir, config, cache) as api:
        job = api.succeed(run_in_base("yes 0123456789abcde | head -c 104857600; echo done >/done"), {"output": "/done"})
        log = api.job_log(job["id"])
        assert log.endswith(b"[the log was cut here, at 1048576 bytes]\n") and len(log) < (1 << 20) + 100


def test_a_build_that_never_ends_is_ended(user, postern, cache, workdir, leak_check):
    config = {"engine": "buildah", "bases": ["debian-tcc"], "limits": {"seconds": 3}}
    with serving(user, postern, workdir, config, cache) as api:
        result = api.fail(run_in_base("echo begun; while true; do sleep 1; done"), state="timed_out")
        assert "longer than" in result["error"] and any("RUN echo begun" in stage["name"] for stage in result["stages"])
        assert clean_after(api, leak_check)


def clean_after(api, leak_check):
    """No process but the server's own, no mount, no file in the run's folders beside logs."""
    wait_for(lambda: not [line for pid, line in descendants().items() if pid not in leak_check.processes
                          and ("worker" in line or "builder" in line or "buildah" in line or "sleep" in line)], 10, "the end of all processes")
    assert stores_of(api) == []
    assert {entry.name for job in (api.state / "jobs").iterdir() for entry in job.iterdir()} <= {"log"}
    return not leak_check.found()["mounts"]


def test_nothing_is_left_of_a_cancelled_build(user, postern, cache, workdir, leak_check):
    with serving(user, postern, workdir, {"engine": "buildah", "bases": ["debian-tcc"]}, cache) as api:
        job = api.begin(run_in_base("dd if=/dev/zero of=/big bs=1M count=20; (sleep 987 &); setsid sleep 986 & sleep 985"))
        api.until_running(job, "2/2 RUN")
        wait_for(lambda: sum("sleep 98" in line for line in descendants().values()) >= 3, 30, "the sleepers")
        assert api.curl("-X", "DELETE", f"{api.url}/jobs/{job}").status in (200, 202)
        assert api.wait(job, 30)["state"] == "cancelled"
        assert clean_after(api, leak_check)


@pytest.mark.slow
def test_what_a_run_stores_is_counted_and_makes_room(user, postern, cache, workdir):
    config = {"engine": "buildah", "bases": ["debian-tcc"], "limits": {"storage_bytes": 96 << 20}}
    too_much = run_in_base("dd if=/dev/zero of=/big bs=1M count=200; sleep 60")
    with serving(user, postern, workdir, config, cache) as api:
        result = api.fail(too_much)
        assert "stores more than its 100663296 bytes" in result["error"] and "smaller" in result["hint"]
        # Many small ones add up, however quick each is: those that were built again make room, and the others stay.
        api.succeed({"Dockerfile": "FROM scratch\nCOPY own /own\n", "own": "own\n"}, {"tag": "own"})
        for n in range(7):
            api.succeed({"Dockerfile": "FROM scratch\nCOPY big /big\n", "big": os.urandom(9 << 20)}, {"tag": "big"})
        stores = stores_of(api)
        assert len(stores) == 7 and sum(int(name.split("-")[2]) for name in stores) < (48 + 10) << 20, stores
        job = api.succeed({"Dockerfile": "FROM own\nCOPY more /more\n", "more": "more\n"}, {"output": "/own"})
        assert api.artifact(job, "own") == b"own\n"
        # What takes more than is left frees all of it for the next time.
        assert "has made room: build again" in api.fail(too_much)["hint"] and stores_of(api) == []
        result = api.fail({"Dockerfile": "FROM own\nCOPY more /more\n", "more": "more\n"})
        assert "the oldest make room" in result["hint"], result


def stores_of(api):
    """The names of what builds have kept for later ones."""
    return [entry.name for stores in (api.state / "storage").glob("stores-*") for entry in stores.iterdir()]


# --- engines ----------------------------------------------------------------------------------------------------------


def test_the_first_engine_that_works_is_used(user, postern, workdir):
    with serving(user, postern, workdir, {"engine": "auto"}) as api:
        assert api.succeed(HELLO)["result"]["engine"] == "buildah"
        assert (api.state / "storage" / "engine").read_text().startswith("buildah 1.")
        assert api.succeed(HELLO)["result"]["engine_version"]


def without(*programs):
    """A command's beginning that hides programs from it."""
    hide = " && ".join(f"mount --bind /dev/null /usr/bin/{name}" for name in programs)
    return ["unshare", "--mount", "sh", "-c", f'{hide} && exec "$@"', "sh"]


@pytest.mark.parametrize("engine,hidden,words", [
    ("buildah", ["buildah"], "install the package buildah"), ("podman", ["podman"], "install the package podman"),
    ("auto", ["buildah", "podman"], "no engine works on this host. buildah: /usr/bin/buildah is not installed"),
    ("docker", ["docker"], "install the package docker.io"), ("docker", ["skopeo"], "install the package skopeo")])
def test_an_engine_that_is_missing_is_told_at_start_and_by_jobs(root_user, postern, reachable, engine, hidden, words):
    with serving(root_user, postern, reachable, {"engine": engine, "trust_dockerfiles": True}, prefix=without(*hidden)) as api:
        assert "builds fail until" in api.said() and "postern doctor" in api.said()
        assert words in api.fail(HELLO)["error"]


def test_another_engine_is_taken_when_the_first_is_missing(root_user, postern, reachable):
    with serving(root_user, postern, reachable, {"engine": "auto"}, prefix=without("buildah")) as api:
        assert api.said() == ""
        assert api.succeed(HELLO)["result"]["engine"] == "podman"


def findings(done):
    return {finding["name"]: finding for finding in json.loads(done.stdout)["findings"]}


def test_doctor_says_which_engine_is_missing(root_user, postern):
    done = root_user.run([*without("buildah"), postern, "doctor", "--json"])
    found = findings(done)
    assert done.returncode == 0 and found["podman"]["state"] == "works" and "in the jail" in found["podman"]["detail"]
    assert found["buildah"]["state"] == "missing" and "install the package buildah" in found["buildah"]["detail"]
    done = root_user.run([*without("buildah", "podman"), postern, "doctor"])
    assert done.returncode == 4 and "no engine works here" in done.stdout


def test_doctor_says_when_user_namespaces_are_off(root_user, postern):
    off = ["unshare", "--user", "--map-root-user", "sh", "-c", 'echo 0 >/proc/sys/user/max_user_namespaces && exec "$@"', "sh"]
    done = root_user.run([*off, postern, "doctor", "--json"])
    found = findings(done)
    assert done.returncode == 4 and "max_user_namespaces" in found["user namespaces"]["detail"]
    assert {found[name]["state"] for name in ("buildah", "podman", "user namespaces")} == {"missing"}


def test_doctor_says_how_limits_are_kept_without_a_cgroup(user, postern):
    found = findings(user.run([postern, "doctor", "--json"]))
    assert "rlimits" in found["cgroup"]["detail"] and "watchdog" in found["cgroup"]["detail"]


def test_doctor_tries_a_dockerd(root_user, postern, dockerd):
    found = findings(root_user.run([postern, "doctor", "--json", "--docker-socket", dockerd]))["docker"]
    assert found["state"] == "different" and "built a two-line image" in found["detail"] and "trust_dockerfiles" in found["detail"]
    found = findings(root_user.run([postern, "doctor", "--json", "--docker-socket", "/none"]))["docker"]
    assert "no dockerd at /none" in found["detail"]


@pytest.fixture
def docker_api(root_user, postern, reachable, dockerd, base_image):
    """A server with a dockerd that has the demo's base, and nothing else."""
    if left_in(dockerd) == ([], ""):
        docker(dockerd, "import", str(base_image), "debian-tcc")
    assert left_in(dockerd) == (["debian-tcc"], "")
    config = {"engine": "docker", "trust_dockerfiles": True, "docker_socket": dockerd}
    with serving(root_user, postern, reachable, config) as server:
        yield server


def docker(sock, *args, **kwargs):
    done = subprocess.run(["/usr/bin/docker", "-H", f"unix://{sock}", *args], capture_output=True, text=True, check=False, **kwargs)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def left_in(sock):
    """All images, and containers and volumes, of a dockerd."""
    names = docker(sock, "image", "ls", "--all", "--format", "{{.Repository}}").split()
    return sorted(names), docker(sock, "ps", "-aq") + docker(sock, "volume", "ls", "-q")


def test_a_dockerd_builds_when_dockerfiles_are_trusted(docker_api, dockerd, tmp_path, store):
    context = {name: (ROOT / "examples/build/context" / name).read_bytes() for name in ("Dockerfile", "hello.c")}
    job = docker_api.succeed(context, {"tag": "demo:1", "output": "/hello", "platform": "linux/amd64", "no_cache": "true"})
    result, path = job["result"], tmp_path / "image.tar"
    path.write_bytes(docker_api.artifact(job))
    manifest = skopeo_inspect(path, "--raw")
    assert result["digest"] == "sha256:" + hashlib.sha256(manifest).hexdigest()
    assert result["image_id"] == json.loads(manifest)["config"]["digest"]
    assert (result["engine"], result["contained"], result["layers"]) == ("docker", False, 1)
    assert result["engine_version"].startswith("20.10") and result["size"] > 1000
    stages = [stage["name"] for stage in result["stages"]]
    assert stages[0] == "unpacking the context" and any("RUN /image/hello" in name for name in stages) and "reading the output file" in stages
    assert docker_api.artifact(job, "hello")[:4] == b"\x7fELF"
    pulled = subprocess.run(["podman", *store, "pull", "-q", f"oci-archive:{path}"], capture_output=True, text=True, check=True)
    assert pulled.stdout.strip() == result["image_id"].removeprefix("sha256:")
    assert left_in(dockerd) == (["debian-tcc"], "")


@pytest.mark.slow
def test_a_dockerd_that_fails_a_build_is_told_as_by_other_engines(docker_api, dockerd):
    result = docker_api.fail(run_in_base("echo fine", "for i in $(seq 30); do echo line $i; done; sleep 1; exit 42"))
    assert result["exit_code"] == 42 and result["step"].startswith("RUN for i") and result["line"] == 3
    assert result["last_lines"][-2:] == ["line 29", "line 30"] and len(result["last_lines"]) == 20
    result = docker_api.fail({"Dockerfile": "FROM nosuch\nRUN x\n"})
    assert result["step"] == "FROM nosuch" and "no such image" in result["hint"]
    assert "line 1: RUN before" in docker_api.fail({"Dockerfile": "RUN x\n"})["error"]
    assert "leaves the context" in docker_api.fail({"../x": b""})["error"]
    assert "has no file '/none'" in docker_api.fail(run_in_base("true"), {"output": "/none"})["error"]
    assert "is not a file" in docker_api.fail(run_in_base("true"), {"output": "/etc"})["error"]
    # A step has no network but lo. The container that the file is read from has a volume.
    context = run_in_base("cut -d: -f1 /proc/net/dev >/net")
    context["Dockerfile"] += "VOLUME /data\n"
    job = docker_api.succeed(context, {"output": "/net"})
    assert docker_api.artifact(job, "net").split()[-1] == b"lo"
    assert left_in(dockerd) == (["debian-tcc"], "")


def test_a_dockerd_stops_with_its_job(docker_api, dockerd):
    job = docker_api.begin(run_in_base("sleep 600"))
    wait_for(lambda: docker(dockerd, "ps", "-q"), 60, "the step's container")
    docker_api.curl("-X", "DELETE", f"{docker_api.url}/jobs/{job}")
    assert docker_api.wait(job, 60)["state"] == "cancelled"
    wait_for(lambda: left_in(dockerd) == (["debian-tcc"], ""), 30, "the container's end")


def test_a_dockerd_keeps_what_is_not_of_the_build(docker_api, dockerd):
    """Whatever ids its steps print: named images, what others built before, and what they have built upon."""
    top = docker(dockerd, "build", "-q", "-", input="FROM debian-tcc\nENV A=1\nENV B=1\n", env={"DOCKER_BUILDKIT": "0"})
    before = set(docker(dockerd, "image", "ls", "--all", "--quiet").split())
    assert len(before) == 3
    time.sleep(1.1)
    lines = "; ".join(f"echo ' ---> {name}'" for name in sorted(before))
    job = docker_api.succeed({"Dockerfile": f"FROM debian-tcc AS first\nENV A=1\nRUN {lines}; sleep 1\nFROM scratch\nCOPY --from=first /bin/sh /sh\n"})
    assert b" ---> " + min(before).encode() in docker_api.job_log(job["id"])
    assert set(docker(dockerd, "image", "ls", "--all", "--quiet").split()) == before
    docker(dockerd, "rmi", top)


def test_a_dockerd_needs_its_switch(root_user, postern, reachable):
    with pytest.raises(AssertionError, match="trust_dockerfiles: true"):
        with serving(root_user, postern, reachable, {"engine": "docker"}):
            pass


def test_a_missing_dockerd_is_told(root_user, postern, reachable):
    config = {"engine": "docker", "trust_dockerfiles": True, "docker_socket": "/none/docker.sock"}
    with serving(root_user, postern, reachable, config) as api:
        result = api.fail(HELLO)
        assert result["error"] == "there is no dockerd that answers" and "/none/docker.sock" in result["hint"]
