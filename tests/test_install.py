# SPDX-License-Identifier: Apache-2.0
"""tools/deps on a bare machine; make, make install, and the demo with what was installed, from a fresh clone in a folder with a space in
its name."""
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from conftest import ROOT

ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/proc/none", "LANG": "C.UTF-8"}


def make(clone, *arguments):
    return subprocess.run(["make", "-j2", *arguments], cwd=clone, env=ENVIRONMENT, text=True, stdin=subprocess.DEVNULL, check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=280)


@pytest.fixture(scope="module")
def clone(reachable):
    folder = reachable / "a clone"
    shutil.copytree(ROOT, folder, ignore=lambda where, names: [
        name for name in names if Path(where) == ROOT and (name.startswith("build") or name in (".git", ".postern"))])
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def installed(clone, reachable):
    result = make(clone)
    assert result.returncode == 0, result.stdout
    said = result.stdout.splitlines()
    assert said[0] == "Building postern" and len(said) == 2, result.stdout
    (clone / "meson.build").touch()
    again = make(clone)
    assert again.returncode == 0 and again.stdout == ""  # configured anew, without a word of it
    folder = reachable / "installed"
    result = make(clone, "install", f"DESTDIR={folder}", "prefix=/usr")
    assert result.returncode == 0 and result.stdout == "", result.stdout
    yield folder
    shutil.rmtree(folder)


@pytest.mark.slow
@pytest.mark.once
def test_what_is_installed(installed):
    names = {str(path.relative_to(installed)) for path in installed.rglob("*") if path.is_file()}
    assert {"usr/bin/postern", "usr/libexec/postern/postern-keeper", "usr/share/man/man1/postern-run.1",
            "usr/share/bash-completion/completions/postern", "usr/share/zsh/site-functions/_postern",
            "usr/share/fish/vendor_completions.d/postern.fish"} <= names


@pytest.mark.slow
@pytest.mark.once
def test_demo_with_what_is_installed(installed, clone, user, workdir, base_image, leak_check):
    """Nothing of the build folder is there to be found instead."""
    for part in ("tools", "examples"):
        shutil.copytree(clone / part, workdir / part)
    (workdir / "build" / "demo").mkdir(parents=True)
    shutil.copy(base_image, workdir / "build" / "demo" / "debian-tcc.tar")
    if os.getuid() == 0:
        subprocess.run(["chown", "-R", f"{user.uid}:{user.gid}", workdir], check=True)
    result = user.run([workdir / "tools" / "demo", "build", installed / "usr" / "bin" / "postern"], cwd=workdir, timeout=280,
                      env={"XDG_CACHE_HOME": str(workdir / "cache")})
    assert result.returncode == 0 and "==> The agent is done" in result.stdout, result.stderr


# --- tools/deps, before a machine of its own ----------------------------------------------------------------------------


FAKES = {
    "dpkg-query": 'echo asked >>"$FAKES/asked"; [ ! -e "$FAKES/installed" ] || echo "ii "',
    "apt-get": 'echo "Reading package lists..."; for i in 1 2 3; do echo "Unpacking libthing$i"; done; sleep 1.5; '
               'case "$*" in *install*) touch "$FAKES/installed" ;; esac; echo "E: the end"; exit "${APT_EXIT-0}"',
    "sudo": 'echo "sudo $*" >>"$FAKES/sudo-asked"; [ "$1" = -v ] || exec "$@"',
}


@pytest.fixture
def bare_machine(workdir, user):
    """Debian's tools as a machine with nothing installed has them."""
    folder = workdir / "fakes"
    folder.mkdir()
    for name, script in FAKES.items():
        (folder / name).write_text("#!/bin/sh\n" + script + "\n")
        (folder / name).chmod(0o755)
    shutil.copy(ROOT / "tools" / "deps", workdir / "deps")
    subprocess.run(["chown", "-R", f"{user.uid}:{user.gid}", workdir], check=True)

    def run(*arguments, sudo=True, **environment):
        if not sudo:
            (folder / "sudo").unlink()
        path = f"{folder}:/usr/bin:/bin" if sudo else f"{folder}:{workdir / 'few'}"
        if not sudo:
            (workdir / "few").mkdir()
            for tool in ("sh", "id", "env", "mktemp", "rm", "tail", "cut", "sleep", "touch", "cat"):
                (workdir / "few" / tool).symlink_to(shutil.which(tool))
        return user.run([workdir / "deps", *arguments], env={"PATH": path, "FAKES": str(folder), **environment})
    run.folder = folder
    return run


def test_what_is_missing_is_installed(bare_machine, user):
    result = bare_machine("build", "demo")
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("Installing from Debian's packages: meson ninja-build ") and "buildah" in result.stdout
    assert "libthing" not in result.stdout and "\033" not in result.stdout  # no terminal here
    assert (bare_machine.folder / "sudo-asked").exists() == (user.uid != 0)
    again = bare_machine("build", "demo")
    assert again.returncode == 0 and again.stdout == ""


def test_packages_that_cannot_be_installed(bare_machine):
    result = bare_machine("build", APT_EXIT="100")
    assert result.returncode == 1 and "E: the end" in result.stderr and "apt-get update failed" in result.stderr


def test_packages_and_neither_root_nor_sudo(bare_machine, user):
    result = bare_machine("build", sudo=False)
    assert result.returncode == (0 if user.uid == 0 else 1), result.stderr
    assert user.uid == 0 or "neither root nor sudo is at hand" in result.stderr
