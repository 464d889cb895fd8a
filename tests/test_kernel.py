# SPDX-License-Identifier: Apache-2.0
"""What the project relies on in the kernel: tests/kernel/, each program as root and as an ordinary user."""
import shutil

import pytest
from conftest import BUILD, ROOT

SOURCES = sorted(path.stem for path in (ROOT / "tests" / "kernel").glob("*.c"))


@pytest.mark.parametrize("name", SOURCES)
def test_the_kernel(user, reachable, name):
    program = reachable / f"kernel_{name}"
    shutil.copy(BUILD / "tests" / "kernel" / program.name, program)
    done = user.run([program], timeout=60)
    assert done.returncode == 0 and done.stdout.startswith("holds: ") and done.stdout.count("\n") == 1, done
