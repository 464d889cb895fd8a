# SPDX-License-Identifier: Apache-2.0
"""The command line as a person meets it: help, manual pages and completions say the same as the programs' own tables of options, errors
name what was probably meant, colours stay where they belong, and doctor says what to do."""
import json
import os
import pty
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from conftest import ROOT, User, wait_for

COMMANDS = ["run", "sandbox", "policy", "serve", "base", "probe", "doctor"]
MAN = ROOT / "docs" / "man"


def options_in_help(text):
    return set(re.findall(r"^ +(?:-\w, )?(--[a-z-]+)", text, re.M))


def options_in_man(name):
    text = (MAN / name).read_text().replace("\\-", "-").replace('"', "")
    section = text.split(".SH OPTIONS\n")[1].split("\n.SH ")[0]
    heads = re.findall(r"^\.TP\n(.*)", section, re.M)
    return {option for head in heads for option in re.findall(r"(--[a-z-]+)", head)}


def options_in_code(command):
    folder = "probe" if command == "probe" else "cmd"  # it is a program of its own
    source = (ROOT / "src" / folder / f"{command}.c").read_text()
    table = re.search(r"(?:struct option \w+|} rows)\[\] = \{(.*?)\n?\s*\};", source, re.S).group(1)
    return {"--" + name for name in re.findall(r'\{ "([a-z-]+)",', table)}


@pytest.fixture(scope="session")
def helps(postern):
    return {c: subprocess.run([postern, c, "--help"], capture_output=True, text=True, check=True).stdout for c in COMMANDS}


@pytest.mark.parametrize("command", COMMANDS)
def test_help_manual_and_code_have_the_same_options(helps, command):
    in_code = options_in_code(command)
    assert "--help" in in_code and len(in_code) >= 2
    assert options_in_help(helps[command]) == in_code
    assert options_in_man(f"postern-{command}.1") == in_code


@pytest.mark.parametrize("command", COMMANDS)
def test_help_fits_a_terminal(helps, command):
    lines = helps[command].splitlines()
    assert len(lines) <= 24 and max(map(len, lines)) <= 110


def test_overview(postern):
    text = subprocess.run([postern, "--help"], capture_output=True, text=True, check=True).stdout
    listed = dict(re.findall(r"^  ([a-z]+) +(.*)$", text, re.M))
    assert set(listed) == {*COMMANDS, "version"}
    manual = (MAN / "postern.1").read_text()
    assert all(summary in manual for summary in listed.values())


def test_version(postern):
    for word in ("--version", "version"):
        said = subprocess.run([postern, word], capture_output=True, text=True, check=True).stdout
        assert re.fullmatch(r"postern \d+\.\d+\.\d+\n", said)


@pytest.mark.parametrize("arguments,said", [
    (["srve"], "no command 'srve'; did you mean 'serve'"),
    (["xyzzy"], "no command 'xyzzy' ("),
    ([], "Usage: postern COMMAND"),
    (["base", "ad"], "`add NAME ROOTFS.tar`, `remove NAME` or `list`"),
    (["doctor", "what"], "takes no arguments"),
    (["probe", "network", "what"], "no group 'what'"),
    (["probe", "--what"], "`postern probe --help` says more"),
    (["sandbox", "--policy", "x"], "which command?"),
    (["policy"], "postern policy: no command '' (`postern policy --help` lists them)"),
    (["policy", "sett"], "postern policy: no command 'sett'; did you mean 'set'"),
    (["policy", "set"], "which file?"),
    (["policy", "set", "--what"], "`postern policy --help` says more"),
])
def test_wrong_usage(postern, arguments, said):
    result = subprocess.run([postern, *arguments], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert result.returncode == 2 and said in result.stderr and result.stdout == ""


@pytest.mark.parametrize("page", sorted(path.name for path in MAN.glob("*.1")))
def test_manual_page_is_well_formed(page):
    result = subprocess.run(["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", MAN / page], capture_output=True, check=False,
                            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}, text=True)
    assert result.returncode == 0 and result.stderr == ""
    sections = re.findall(r"^\.SH (.*)$", (MAN / page).read_text(), re.M)
    assert [s for s in sections if s in ("NAME", "SYNOPSIS", "DESCRIPTION", "EXIT STATUS", "EXAMPLES", "BUGS", "SEE ALSO")] == [
        "NAME", "SYNOPSIS", "DESCRIPTION", "EXIT STATUS", "EXAMPLES", "BUGS", "SEE ALSO"]


def test_exit_codes_of_run_are_those_of_the_code(helps):
    codes = dict(re.findall(r"(EXIT_\w+) =\s+(\d+)", (ROOT / "src" / "cmd" / "cmd.h").read_text()))
    used = set(re.findall(r"EXIT_\w+", (ROOT / "src" / "cmd" / "run.c").read_text())) - {"EXIT_OK"}
    wanted = {codes[name] for name in used}
    assert wanted == set(re.findall(r"^  (\d+) ", helps["run"], re.M))
    manual = (MAN / "postern-run.1").read_text().split(".SH EXIT STATUS")[1].split(".SH")[0]
    assert wanted == set(re.findall(r"^\.TP\n(\d+)$", manual, re.M))


def test_exit_codes_of_base_are_those_of_the_code(helps):
    codes = dict(re.findall(r"(EXIT_\w+) =\s+(\d+)", (ROOT / "src" / "cmd" / "cmd.h").read_text()))
    wanted = {codes[name] for name in re.findall(r"EXIT_\w+", (ROOT / "src" / "cmd" / "base.c").read_text())}
    said = helps["base"][helps["base"].index("Exit code:") :]
    assert set(re.findall(r"\b(\d+) \w", said)) == wanted
    manual = (MAN / "postern-base.1").read_text().split(".SH EXIT STATUS")[1].split(".SH")[0]
    assert set(re.findall(r"^(\d+)\t", manual, re.M)) == wanted


# --- completions ------------------------------------------------------------------------------------------------------


BASH = """source completions/postern.bash; COMP_WORDS=(postern {words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _postern postern
printf '%s\\n' "${{COMPREPLY[@]}}\""""
ZSH = """_describe() {{ print -l -- ${{(P)2}}; }}; _files() {{ print files; }}; _normal() {{ print another; }}
words=(postern {words}); CURRENT=$#words; source completions/_postern"""
FISH = "source completions/postern.fish; complete -C'postern {line}'"


def complete(shell, words, programs):
    script = {"bash": BASH, "zsh": ZSH, "fish": FISH}[shell].format(words=" ".join(words) or "''", line=" ".join(words))
    command = {"bash": ["bash", "--norc", "-c"], "zsh": ["zsh", "-f", "-c"], "fish": ["fish", "--no-config", "-c"]}[shell]
    result = subprocess.run([*command, script], capture_output=True, text=True, check=False, cwd=ROOT / "tools", stdin=subprocess.DEVNULL,
                            env={"PATH": f"{programs}:/usr/bin:/bin", "HOME": "/proc/none", "LC_ALL": "C.UTF-8"})
    assert result.returncode == 0, result.stderr
    return {re.split(r"[:\t]", line)[0] for line in result.stdout.splitlines() if line}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell, programs, helps):
    assert complete(shell, [], programs) >= {*COMMANDS, "version"}
    for command in COMMANDS:
        assert complete(shell, [command, "--"], programs) == options_in_help(helps[command])
        assert complete(shell, [command, "--h"], programs) >= {"--help"}
    assert not complete(shell, ["run", "harness.yaml", "--", "ls", "--"], programs) & {"--output", "--json"}


# --- colours ----------------------------------------------------------------------------------------------------------


def on_a_terminal(user, command, cwd, **environment):
    """Run with a terminal for stdout and stderr; what came out."""
    ours, theirs = pty.openpty()
    process = user.popen(command, cwd=cwd, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    out = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:
            break
        if not part:
            break
        out += part
    os.close(ours)
    process.wait(60)
    return out


def test_colours_only_on_terminals(user, workdir, postern, leak_check):
    shutil.copy(ROOT / "examples" / "build" / "policy.yaml", workdir / "policy.yaml")
    (workdir / "harness.yaml").write_text("policy: policy.yaml\ncommand: 'true'\n")
    command = [postern, "run", "harness.yaml"]
    assert b"\033[" in on_a_terminal(user, command, workdir)
    assert b"\033" not in on_a_terminal(user, command, workdir, NO_COLOR="1")
    assert "\033" not in user.run(command, cwd=workdir).stderr


# --- doctor -----------------------------------------------------------------------------------------------------------


def test_doctor_is_content(user, postern, leak_check):
    result = user.run([postern, "doctor", "--json"])
    findings = {f["name"]: f for f in json.loads(result.stdout)["findings"]}
    assert result.returncode == 0, result.stdout
    assert all(findings[name]["state"] == "works" for name in ("buildah", "podman", "user namespaces", "id range"))


WITHOUT_LANDLOCK = """
import ctypes, errno, os, sys
seccomp = ctypes.CDLL("libseccomp.so.2")
seccomp.seccomp_init.restype = ctypes.c_void_p
rules = ctypes.c_void_p(seccomp.seccomp_init(0x7fff0000))
for call in (444, 445, 446):
    assert seccomp.seccomp_rule_add(rules, 0x50000 | errno.EOPNOTSUPP, call, 0) == 0
assert seccomp.seccomp_load(rules) == 0
os.execv(sys.argv[1], sys.argv[1:])
"""


def test_doctor_and_server_agree_about_landlock(root_user, postern, reachable, leak_check):
    without = ["/usr/bin/python3", "-c", WITHOUT_LANDLOCK]
    doctor = root_user.run([*without, postern, "doctor"])
    assert doctor.returncode == 4 and "builds do not work here: mend what is marked NO" in doctor.stdout, doctor.stdout
    assert re.search("^NO  Landlock .*no Landlock: .* lsm=.*; `postern serve` does not start without it$", doctor.stdout, re.M), doctor.stdout
    server = root_user.run([*without, postern, "serve", "--port", "0", "--state-dir", reachable / "no-landlock"],
                           env={"POSTERN_TOKEN": "0123456789abcdefghijklmnopqrstuvwxyz"})
    assert server.returncode != 0 and "no Landlock" in server.stderr and "lsm=" in server.stderr, server


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_doctor_interrupted_leaves_nothing(user, workdir, postern, number, leak_check):
    """In the middle of a build, whose files belong to ids that are not the user's."""
    def building():
        return any(path.name == "storage" for path in folder.glob("postern-*/*/*/*"))

    folder = user.folder(workdir, "tmp")
    process = user.popen([postern, "doctor"], env={"TMPDIR": str(folder)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for(building, 60, "a build")
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130 and said.startswith("postern doctor: interrupted (") and said.count("\n") == 1
    assert list(folder.iterdir()) == []


class Stranger(User):
    """Somebody without a name, a home, or a range of ids."""

    def __init__(self):  # pylint: disable=super-init-not-called
        self.name, self.uid, self.gid, self.home = "54321", 54321, 54321, "/proc/none"


def test_without_a_range_of_ids(root_user, reachable, postern, leak_check):
    """The sandbox works, builds do not, and doctor says why and what to do."""
    stranger = Stranger()
    folder = stranger.folder(reachable)
    result = stranger.run([postern, "doctor"])
    assert result.returncode == 4
    advice = re.search(r"^NO  id range .*as root: apt-get install uidmap; usermod --add-subuids (\d+)-(\d+) --add-subgids \1-\2 54321$",
                       result.stdout, re.M)
    assert advice, result.stdout
    # A range that is nobody else's.
    first, last = map(int, advice.groups())
    assert last - first == 65535
    for table in ("/etc/subuid", "/etc/subgid"):
        for line in Path(table).read_text().splitlines():
            start, count = map(int, line.split(":")[1:])
            assert start + count <= first or last < start, line
    shutil.copy(ROOT / "examples" / "build" / "policy.yaml", folder / "policy.yaml")
    (folder / "harness.yaml").write_text("policy: policy.yaml\ncommand: echo from the sandbox\n")
    result = stranger.run([postern, "run", "harness.yaml", "-o", "out"], cwd=folder)
    assert result.returncode == 0 and result.stdout == "from the sandbox\n", result.stderr
