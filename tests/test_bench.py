# SPDX-License-Identifier: Apache-2.0
"""The benchmarks run, with the least that exercises them: that they do not rot, not what they measure."""
import importlib.machinery
import importlib.util
import json
import os
import subprocess

import pytest

from conftest import BUILD, ROOT

RUN = ROOT / "bench" / "run"


def run(*args, **kwargs):
    return subprocess.run([RUN, "--quick", *args], capture_output=True, text=True, timeout=280, check=False, **kwargs)


def names():
    return sorted(p.stem for p in (ROOT / "bench").glob("*.py") if p.stem != "peer")


@pytest.mark.slow
@pytest.mark.once
@pytest.mark.parametrize("name", names())
def test_a_benchmark_gives_its_ratios(name, tmp_path):
    out = tmp_path / "result.json"
    result = run("--json", out, BUILD, name)
    assert result.returncode == 0, result.stdout + result.stderr
    data = json.loads(out.read_text())
    assert list(data) == [name] and data[name]["figures"] and data[name]["ratios"]
    for ratio in data[name]["ratios"]:
        assert ratio["what"] and ratio["against"]
        assert ratio["ratio"] > 0 or "per open event stream" in ratio["what"]
        assert ("goal" in ratio) == ("met" in ratio)
        assert ratio["what"] in result.stdout


def test_every_benchmark_is_one_that_is_run():
    text = " ".join(run("--help").stdout.split())
    for name in names():
        assert name in text, f"bench/run does not know {name}"


def test_an_unknown_benchmark_is_an_error():
    assert run(BUILD, "nothing").returncode == 2


def test_a_part_that_is_missing_is_an_error(tmp_path):
    for program in ("python3", "env", "unshare", "taskset"):  # all but bwrap
        os.symlink(f"/usr/bin/{program}", tmp_path / program)
    result = run(BUILD, "sandbox_start", env={"PATH": str(tmp_path)})
    assert result.returncode != 0
    assert "bwrap is missing" in result.stderr and "no result from sandbox_start" in result.stderr


def module():
    loader = importlib.machinery.SourceFileLoader("bench_run", str(RUN))
    spec = importlib.util.spec_from_loader("bench_run", loader)
    loaded = importlib.util.module_from_spec(spec)
    loader.exec_module(loaded)
    return loaded


def test_a_busy_machine_leaves_out_what_it_disturbs(tmp_path):
    bench_run = module()
    bench_run.DOCUMENT = tmp_path / "figures.md"
    line = {"against": "other", "ratio": 2.0, "low": 1.5, "high": 2.5}
    results = {"x": {"ratios": [{"what": "a rate", "steady": False, "goal": "≥ 3", "met": False, **line},
                                {"what": "some memory", "steady": True, **line}]}}
    bench_run.write_docs(results, disturbed=False)
    text = bench_run.DOCUMENT.read_text()
    assert "| a rate | other | 2.00 | 1.50 to 2.50 | ≥ 3: missed |" in text and "| some memory |" in text and "busy" not in text
    bench_run.write_docs(results, disturbed=True)
    text = bench_run.DOCUMENT.read_text()
    assert "a rate" not in text and "| some memory |" in text and "busy" in text


def test_the_document_is_of_the_form_that_is_written_now():
    bench_run = module()
    with open(bench_run.DOCUMENT, encoding="utf-8") as f:
        text = f.read()
    assert text.startswith(bench_run.HEAD)
