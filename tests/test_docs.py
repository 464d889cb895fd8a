# SPDX-License-Identifier: Apache-2.0
"""What the documentation shows is what happens: the guide's blocks are run, README's excerpt has the shape of a real one, the examples
load, and every file that a page names is there."""
import re
import shutil
import subprocess

import pytest

from conftest import ROOT
from test_demo import demo  # noqa: F401 pylint: disable=unused-import  (a fixture)

PAGES = ["README.md", *(str(path.relative_to(ROOT)) for path in sorted((ROOT / "docs").glob("*.md")))]


def guide_blocks():
    text = (ROOT / "docs" / "guide.md").read_text()
    return {name: block for name, block in re.findall(r"^```(?:sh|yaml) (\S+)\n(.*?)^```$", text, re.M | re.S)}


@pytest.fixture
def guide_folder(user, workdir, programs):
    for name, block in guide_blocks().items():
        if name.endswith(".yaml"):
            (workdir / name).write_text(block)
    (workdir / "project").mkdir()
    (workdir / "project" / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    subprocess.run(["chown", "-R", f"{user.uid}:{user.gid}", workdir], check=True)

    def run(name):
        return user.run(["/bin/sh", "-euc", guide_blocks()[name]], cwd=workdir,
                        timeout=200, env={"PATH": f"{programs}:/usr/bin:/bin", "GREETING": "Hello", "XDG_CACHE_HOME": str(workdir / "cache")})
    return run


def test_guide_has_no_block_that_is_not_run():
    text = (ROOT / "docs" / "guide.md").read_text()
    assert text.count("```") == 2 * len(guide_blocks()) == 14


@pytest.mark.parametrize("block,said", [
    ("doctor", r"builds work here"),
    ("run", r"Hello, sandbox\. openshell:resolve:env:API_TOKEN\n.*\"state\": ?\"succeeded\""),
    ("serve", r"\"state\": ?\"succeeded\""),
    ("sandbox", r"^Dockerfile\n$"),
])
def test_guide(guide_folder, leak_check, block, said):
    result = guide_folder(block)
    assert result.returncode == 0 and re.search(said, result.stdout), result.stdout + result.stderr


@pytest.mark.slow
def test_readme_shows_what_the_demo_prints(demo, workdir):  # noqa: F811 pylint: disable=redefined-outer-name
    tool = ROOT / "tools" / "readme-demo"
    output = workdir / "output"
    output.write_text(demo.output)
    real = subprocess.run([tool, "--shape", output], check=True, capture_output=True, text=True).stdout
    shown = subprocess.run([tool, "--shape", ROOT / "README.md"], check=True, capture_output=True, text=True).stdout
    assert shown == real, "run tools/readme-demo BUILD, and look at what it changed"


def test_readme_is_about_a_screen():
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 65


def test_example_for_a_real_agent(user, workdir, postern, leak_check):
    """Everything but the agent itself: the harness loads, the server answers, and the model is reached through the proxy only."""
    shutil.copytree(ROOT / "examples", workdir / "examples")
    command = ('printf "%s " "$ANTHROPIC_API_KEY"; curl -sS -o page -w "%{http_code}\\n" "$API_URL/" && grep -c POST page && ls repo; '
               "curl -sS https://api.anthropic.com/ || true")
    result = user.run([postern, "run", workdir / "examples" / "agent" / "harness.yaml", "-o", workdir / "out", "--", "/bin/sh", "-c", command],
                      env={"ANTHROPIC_API_KEY": "a-key", "AGENT_REPO": str(workdir / "examples" / "build")})
    assert result.returncode == 0, result.stderr
    assert re.match(r"a-key 200\n[1-9]\d*\nagent.sh\n", result.stdout), result.stdout
    assert "403" in result.stderr  # curl is not among the programs that may reach the model


@pytest.mark.parametrize("page", PAGES)
def test_files_that_are_named_exist(page):
    text = (ROOT / page).read_text()
    named = set(re.findall(r"`((?:src|tests|tools|examples|docs|bench|\.ci)/[\w./-]+)", text))
    for path in named - {"docs/adr", "docs/findings"}:
        assert (ROOT / path.rstrip("/.")).exists(), f"{page} names {path}"


def test_every_package_has_its_reason():
    sets = re.findall(r'^\w+="([^"]*)"$', (ROOT / "tools" / "deps").read_text(), re.M)
    packages = set(" ".join(sets).split())
    assert len(packages) > 30
    page = (ROOT / "docs" / "dependencies.md").read_text()
    assert not {package for package in packages if f"`{package}`" not in page}


def test_what_is_linked_is_what_the_page_says(programs):
    page = (ROOT / "docs" / "dependencies.md").read_text()
    table = dict(re.findall(r"^\| \w+ \(`(\w+)-dev`\) \| ([^|]*) \|", page, re.M))
    said = {library: set(re.findall(r"[a-z]+", users.replace(", inside the jail", ""))) for library, users in table.items()}
    said.pop("libcmocka")
    linked = {library: set() for library in said}
    for program in programs.iterdir():
        needed = subprocess.run(["readelf", "-d", program], check=True, capture_output=True, text=True).stdout
        for name in re.findall(r"NEEDED.*\[(lib[a-z]+\d?)", needed):
            if name not in ("libc", "libm", "libasan", "libubsan", "libgcc", "libpthread"):
                name = {"libcrypto": "libssl", "libnettle": "nettle"}.get(name, name)  # packages' names
                linked[name.rstrip("3") + ("3" if name == "libsqlite3" else "")].add(program.name.removeprefix("postern-"))
    assert linked == said
