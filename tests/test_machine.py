# SPDX-License-Identifier: Apache-2.0
"""What depends on the kernel and on a machine's set-up, on Debian 12's own kernel in a virtual machine (tests/machine): limits by cgroups
that are delegated, engines, sandboxes on file systems that can and cannot map owners, on a root of their own, and with a limit on memory."""
import json
import os
import re
import subprocess

import pytest

from conftest import BUILD, ROOT

pytestmark = [pytest.mark.slow, pytest.mark.once]
CHECKS = ["kernel", "cgroup-root", "cgroup-user", "doctor", "run-root", "run-user", "run-on-overlay", "rootfs-root", "rootfs-user", "memory-root", "memory-user",
          "build", "cores", "left-in-cgroups"]


@pytest.fixture(scope="module")
def machine(root_user, ordinary_user):
    """{check: (exit code, what it said)}"""
    folder = BUILD / "machine"
    folder.mkdir(exist_ok=True)
    script = (ROOT / "tests" / "machine" / "checks").read_text()
    for name, value in {"BUILD": BUILD, "USER": ordinary_user.name}.items():
        script = script.replace(f"@{name}@", str(value))
    (folder / "checks").write_text(script)
    done = subprocess.run([ROOT / "tests" / "machine" / "boot", folder, folder / "checks"], capture_output=True, text=True, errors="replace",
                          stdin=subprocess.DEVNULL, check=False)
    said, found = done.stdout.replace("\r", ""), {}
    for text, name, code in re.findall(r"(.*?)CHECK (\S+) (\d+) \(\d+ s\)\n", said, re.S):
        found[name] = int(code), text
    assert sorted(found) == sorted(CHECKS), (said, done.stderr)
    return found


@pytest.mark.seconds(600)
@pytest.mark.parametrize("check", CHECKS)
def test_on_debians_kernel(machine, check):
    code, said = machine[check]
    assert code == 0, said


def test_it_is_another_kernel_with_less(machine):
    """Not the one that the tests run on: else nothing of this would be worth anything."""
    assert "6.1." in machine["kernel"][1] and os.uname().release not in machine["kernel"][1]
    findings = {f["name"]: f for f in json.loads(machine["doctor"][1])["findings"]}
    assert findings["Landlock"]["detail"] == "ABI 2"
    assert findings["cgroup"]["state"] == "works" and "by cgroups v2" in findings["cgroup"]["detail"]
    assert {findings[name]["state"] for name in ("buildah", "podman", "user namespaces", "id range")} == {"works"}


def test_a_build_has_the_limits_of_its_settings(machine):
    assert re.search(r"limits: 4294967296 513 $", machine["build"][1], re.M), machine["build"][1]
