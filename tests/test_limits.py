# SPDX-License-Identifier: Apache-2.0
"""Every limit of the product is reached by a test: one that names it, or one that tests/limits.list names; or the list says why by none."""
import re

from conftest import ROOT
from limits import LIMITS


def listed():
    """{limit: (file, function) | reason}"""
    found = {}
    for line in (ROOT / "tests/limits.list").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        name, where = line.split(" ", 1)
        assert name not in found, name
        found[name] = where[2:] if where.startswith("- ") else tuple(where.split("::"))
    return found


def named():
    """The limits that tests name."""
    words = set()
    for file in [*ROOT.glob("src/*/*_test.c"), *ROOT.glob("tests/test_*.py")]:
        words |= set(re.findall(r"[A-Z_]+", file.read_text()))
    return words & set(LIMITS)


def test_each_is_named_or_listed():
    assert set(listed()) == set(LIMITS) - named()


def test_the_tests_that_are_listed_are_there():
    for name, where in listed().items():
        if isinstance(where, str):
            assert len(where.split()) > 4, name
            continue
        file, function = where
        assert re.search(rf"^(def {function}\(|static void {function}\(void \*\*)", (ROOT / file).read_text(), re.M), (name, where)
