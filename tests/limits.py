# SPDX-License-Identifier: Apache-2.0
"""The product's limits, as src/base/limit.h has them: LIMITS["LIMIT_JOBS_PER_RUN"]."""
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def _read():
    text = re.sub(r"/\*.*?\*/", "", (ROOT / "src/base/limit.h").read_text(), flags=re.S).replace("\\\n", " ")
    found = {}
    for name, value in re.findall(r"^#define (\w+)[ \t]+(\S.*)$", text, re.M):
        found[name] = eval(re.sub(r"(?<=\d)ull\b", "", value), {"__builtins__": {}}, found)  # figures, and names of those before
    return found


LIMITS = _read()
