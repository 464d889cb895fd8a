# SPDX-License-Identifier: Apache-2.0
"""The processes below another one, as /proc has them."""
import contextlib
from pathlib import Path


def alive(pid):
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat[stat.rindex(")") + 2] != "Z"


def children(pid):
    """{name: [pid, …]} of the processes that pid has started and that are alive."""
    found = {}
    with contextlib.suppress(OSError):
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            with contextlib.suppress(OSError):
                if alive(child):
                    found.setdefault(Path(f"/proc/{child}/comm").read_text().strip(), []).append(int(child))
    return found


def child(pid, name):
    """The first of pid's processes of that name, or None."""
    return children(pid).get(name, [None])[0]


def below(pid):
    """All processes below pid."""
    found = []
    for pids in children(pid).values():
        for one in pids:
            found += [one, *below(one)]
    return found
