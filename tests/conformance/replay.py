# SPDX-License-Identifier: Apache-2.0
"""Replays a folder of recordings (README.md) through `postern sandbox`: the world of the recording in namespaces of its own, each
policy's cases by the recorded client inside a real sandbox, each row of validation by starting one. Called by run; agree.py compares,
purpose.py knows what differs on purpose."""
import collections
import concurrent.futures
import contextlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from . import agree, purpose

HERE = Path(__file__).resolve().parent
PORTS = [80, 2379, 6443, 8080, *range(9090, 9100), 10250]
TLS_PORTS = [8443, 443]
GATEWAY = "172.17.0.1"  # what host.openshell.internal was
WORLD = ("make-run", "enter", "up.py", "client.py", "hosts")
WORLD_SECONDS = 30  # for its servers to listen
SANDBOX_SECONDS = 250  # for all cases of a policy
END_SECONDS = 5  # for a sandbox to end by itself
CLIENTS = 24  # cases asked at the same time inside one sandbox
DROPS_MAX = 64  # lines left out of one policy
EXIT_POLICY, EXIT_SANDBOX = 3, 125  # of postern sandbox: the policy is malformed; the root or the network cannot be made
PLACE = re.compile(r"^postern sandbox: .*?policy\.yaml:(\d+):(\d+): (.*)$", re.M)


class Failed(Exception):
    """Nothing can be said of the folder: what is wrong, and what to do."""


class Result:
    """What became of a case or a row: state is agree, differ, purpose or quirk."""

    def __init__(self, group, row, state, text=""):
        self.group, self.id, self.state, self.text = group, row["id"], state, text
        target = row.get("raw") or row.get("url") or row.get("target") or ""
        self.asked = f"{row['via']} {json.dumps(target)[:160]}" if "via" in row else row.get("constraint", "")

    def lines(self):
        return f"{self.group} {self.id}: {self.text}\n    {self.asked}"


# --- processes that end with this one ---------------------------------------------------------------------------------


class Processes:
    """What was started: in sessions of its own, so that a Ctrl-C reaches this process alone, which then ends them."""

    def __init__(self):
        self.lock, self.running, self.ending = threading.Lock(), set(), False

    def start(self, command, **options):
        with self.lock:
            if self.ending:
                raise Failed("interrupted")
            process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", "--", *map(str, command)], stdin=subprocess.DEVNULL, start_new_session=True, **options
            )
            self.running.add(process)
        return process

    def stop(self, process):
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        with self.lock:
            self.running.discard(process)

    def run(self, command, seconds):
        """Exit code and what was printed, output and errors apart."""
        process = self.start(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace")
        try:
            out, err = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired as late:
            raise Failed(f"a sandbox was not done after {seconds} s") from late
        finally:
            self.stop(process)
        return process.returncode, out, err

    def end(self):
        with self.lock:
            self.ending, left = True, list(self.running)
        for process in left:
            self.stop(process)


# --- the world of the recording ---------------------------------------------------------------------------------------


class World:
    """Its addresses, names and servers; `enter` is the beginning of a command line that runs the rest inside."""

    def __init__(self, source, folder, processes):
        missing = [name for name in WORLD if not (source / name).is_file()]
        if missing:
            raise Failed(f"{source} has no {missing[0]}: a world has {', '.join(WORLD)}; without {source.name}/, that of {HERE} is used")
        self.folder, self.processes = folder, processes
        shutil.copytree(source, folder, ignore=shutil.ignore_patterns("run"))
        self.log = folder / "log"
        made = subprocess.run([folder / "make-run"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if made.returncode:
            raise Failed(f"world/make-run failed: {made.stdout}{made.stderr}".rstrip())
        ports = [*map(str, PORTS), *(f"s{port}" for port in TLS_PORTS)]
        with self.log.open("wb") as log:
            self.servers = processes.start([folder / "enter", "/usr/bin/python3", folder / "up.py", *ports], stdout=log, stderr=log)
        self.enter = [
            "nsenter", f"--net=/proc/{self.servers.pid}/ns/net", f"--mount=/proc/{self.servers.pid}/ns/mnt", f"--wd={folder}", "--",
        ]
        self._wait()

    def _wait(self):
        end = time.monotonic() + WORLD_SECONDS
        while not self._listening():
            if self.servers.poll() is not None:
                raise Failed(f"the world's servers ended: {self.log.read_text()[-1000:].strip() or 'without a word'}")
            if time.monotonic() > end:
                raise Failed(f"the world's servers did not all listen after {WORLD_SECONDS} s: {self.log.read_text()[-1000:]}")
            time.sleep(0.02)

    def _listening(self):
        """Whether the servers are, and not what enter runs before them, nor this machine's own."""
        with contextlib.suppress(OSError):
            if not Path(f"/proc/{self.servers.pid}/cmdline").read_bytes().startswith(b"/usr/bin/python3\0"):
                return False
            sockets = Path(f"/proc/{self.servers.pid}/net/tcp6").read_text()
            return all(re.search(rf":{port:04X} 0+:0000 0A", sockets) for port in PORTS + TLS_PORTS)
        return False


# --- cases ------------------------------------------------------------------------------------------------------------


def launch(case, tail):
    """The shell command that makes the request as the recording did."""
    how = case.get("launch") or {}
    command = how.get("cmd", f"{how.get('exec', '@BIN@')} @TAIL@")
    return command.replace("@BIN@", case["binary"]).replace("@TAIL@", tail).replace("@DIR@", "/sandbox")


def curl_tail(case, number):
    how = ["-s", "-S", "-m", "6", "-o", f"/sandbox/{number}.body", "-w", "'%{http_code} %{http_connect}'", "-x", "http://10.200.0.1:3128"]
    if case["via"] == "connect":
        how.append("--proxytunnel")
    return " ".join([*how, case["url"], f">/sandbox/{number}.codes 2>/sandbox/{number}.err"])


def curl_result(folder, number):
    status, connect = (int(code) for code in (folder / f"{number}.codes").read_text().split())
    body = folder / f"{number}.body"
    text = body.read_text() if body.exists() else ""
    headers = [["X-Up", "1"]] if '"up":' in text.replace(" ", "") else []
    response = {"status": status or connect, "headers": headers, "body": text}
    return {"responses": [response] if response["status"] else [], "after": "eof"}


class Script:
    """The cases of a policy as what a shell inside the sandbox runs, and what came of it."""

    def __init__(self, cases, folder):
        self.folder, self.groups = folder, collections.defaultdict(list)
        self.curls, lines = {}, []
        for number, case in enumerate(cases):
            if case.get("tool") == "curl":
                self.curls[number] = case
                lines.append(launch(case, curl_tail(case, number)))
            else:
                self.groups[json.dumps([case["binary"], case.get("launch")])].append(case)
        for number, group in enumerate(self.groups.values()):
            (folder / f"{number}.in").write_text(json.dumps(group).replace("@DIR@", "/sandbox"))
            lines.append(launch(group[0], f"/sandbox/client.py /sandbox/{number}.in /sandbox/{number}.out"))
        (folder / "script").write_text("\n".join(lines) + "\n")

    def seen(self):
        """What the client saw, by id."""
        seen = {case["id"]: curl_result(self.folder, number) for number, case in self.curls.items()}
        for number in range(len(self.groups)):
            seen |= {one["id"]: one for one in json.loads((self.folder / f"{number}.out").read_text())}
        return seen


# --- the replay -------------------------------------------------------------------------------------------------------


class Replay:
    """A folder, read. `results()` asks everything; `stale` are the lines of the list that were about nothing."""

    def __init__(self, folder, build, jobs, only=()):
        self.source, self.build, self.jobs = folder, build, jobs
        self.purposes, self.processes, self.numbers = purpose.Purposes(), Processes(), iter(range(1 << 30))
        self.cases = self._rows("cases.jsonl", ("id", "policy", "via", "binary", "method", "target", "headers", "expect"))
        self.rows = self._rows("validation.jsonl", ("id", "file", "result"))
        everything = self.cases + self.rows
        if not everything:
            raise Failed(f"{folder} holds no case and no row of validation: a folder has cases.jsonl with policies/, or validation.jsonl")
        ids = collections.Counter(row["id"] for row in everything)
        if max(ids.values()) > 1:
            raise Failed(f"{folder}: {ids.most_common(1)[0][0]} is there twice")
        unknown = [one for one in only if one not in ids]
        if unknown:
            raise Failed(f"{folder} has no {unknown[0]!r}")
        self.whole = not only and folder.samefile(HERE)
        if only:
            self.cases = [case for case in self.cases if case["id"] in only]
            self.rows = [row for row in self.rows if row["id"] in only]

    def _rows(self, name, needed):
        path, rows = self.source / name, []
        lines = path.read_text().split("\n") if path.exists() else []
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                rows.append(json.loads(line))
                missing = [key for key in needed if key not in rows[-1]]
            except (ValueError, TypeError) as e:
                raise Failed(f"{path}:{number}: not a JSON object: {e}") from e
            if missing:
                raise Failed(f"{path}:{number}: no {missing[0]!r}")
            policy = self.source / (rows[-1].get("file") or f"policies/{rows[-1].get('policy')}.yaml")
            if not policy.is_file():
                raise Failed(f"{path}:{number}: its policy {policy} is missing")
        return rows

    @property
    def stale(self):
        return self.purposes.stale() if self.whole else []

    def results(self):
        with tempfile.TemporaryDirectory(prefix="postern-conformance-") as folder:
            os.chmod(folder, 0o755)  # the sandbox's user looks into it
            self.folder = Path(folder)
            try:
                programs = self.folder / "programs"
                programs.mkdir(mode=0o755)
                for program in self.build.glob("postern*"):
                    if program.is_file() and os.access(program, os.X_OK):
                        shutil.copy(program, programs / program.name)
                self.postern = programs / "postern"
                own = self.source / "world"
                self.world = World(own if own.is_dir() else HERE / "world", self.folder / "world", self.processes)
                yield from self._all()
            finally:
                self.processes.end()

    def _all(self):
        policies = collections.defaultdict(list)
        for case in self.cases:
            policies[case["policy"]].append(case)
        # Those with most cases first, so that the last one to end is a short one.
        largest = sorted(policies, key=lambda name: -len(policies[name]))
        with concurrent.futures.ThreadPoolExecutor(self.jobs) as pool:
            asked = {name: pool.submit(self._policy, name, policies[name]) for name in largest}
            rows = [pool.submit(self._validation, row) for row in self.rows]
            try:
                for name in sorted(policies):
                    yield from asked[name].result()
                for row in rows:
                    yield row.result()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                self.processes.end()
                raise

    def _sandbox(self, policy, folder, command):
        (folder / "policy.yaml").write_text(policy)
        return self.processes.run(
            [*self.world.enter, self.postern, "sandbox", "--policy", folder / "policy.yaml", "--dir", folder, "--env", "PYTHONHOME=/usr",
             "--host-address", GATEWAY, "--env", f"PAR={CLIENTS}", "--", *command], SANDBOX_SECONDS,
        )

    def _place(self):
        folder = self.folder / str(next(self.numbers))
        folder.mkdir(mode=0o755)
        return folder

    def _policy(self, name, cases):
        quirks = [Result(name, case, "quirk", case["quirk"]) for case in cases if "quirk" in case]
        cases = [case for case in cases if "quirk" not in case]
        if not cases:
            return quirks
        folder, dropped = self._place(), []
        shutil.copytree(self.world.folder / "run" / "bin", folder / "bin", symlinks=True)
        shutil.copy(self.world.folder / "client.py", folder)
        script = Script(cases, folder)
        text = (self.source / "policies" / f"{name}.yaml").read_text().replace("@DIR@", "/sandbox")
        for _ in range(DROPS_MAX):
            try:
                code, out, err = self._sandbox(text, folder, ["/bin/sh", "/sandbox/script"])
            except Failed as e:
                return quirks + [Result(name, case, "differ", str(e)) for case in cases]
            less = self._without(text, code, err)
            if not less:
                break
            text = less[0]
            dropped.append(less[1])
        said = [line for line in err.splitlines() if "postern" in line and "warning: " not in line]
        try:
            seen = script.seen()
        except (OSError, ValueError):
            said = said or [(out + err).strip() or "no word"]
            seen = {}
        if said:
            return quirks + [Result(name, case, "differ", f"the sandbox failed, exit code {code}: {' '.join(said)}") for case in cases]
        return quirks + [self._judge(name, case, seen[case["id"]], dropped) for case in cases]

    def _without(self, text, code, err):
        """The policy without what the loader refuses in it on purpose; None when that is not why it failed."""
        place = PLACE.search(err) if code in (EXIT_POLICY, EXIT_SANDBOX) else None
        entry = place and self.purposes.of_refusal(place[3])
        return entry and purpose.without(text, int(place[1]), int(place[2]), entry)

    def _judge(self, name, case, seen, dropped):
        differs, got = agree.difference(case, seen), agree.judge(seen)
        if not differs:
            if self.purposes.listed(case):
                return Result(name, case, "differ", "listed as different on purpose, but agrees; take it off the list")
            return Result(name, case, "agree")
        reason = self.purposes.of_case(case, got, seen, dropped)
        return Result(name, case, "purpose", f"{reason}: {differs}") if reason else Result(name, case, "differ", differs)

    def _validation(self, row):
        """Whether a sandbox with this policy starts; the command may be missing from it."""
        text = (self.source / row["file"]).read_bytes().decode("utf-8", "surrogateescape")
        folder = self._place()
        code, out, err = self._sandbox(text, folder, ["/usr/bin/true"])
        refused = code not in (0, 126, 127)
        accepted_there = row["result"].startswith("accepted")
        said = PLACE.search(err)
        if refused and not said:
            return Result("validation", row, "differ", f"refused without a place (exit code {code}): {(err or out).strip()[-400:]}")
        if refused != accepted_there:
            return Result("validation", row, "agree")
        if refused:
            entry = said and self.purposes.of_refusal(said[3])
            reason = entry and entry.reason
            text = f"accepted there, refused here: {err.strip()[-400:]}"
        else:
            reason = self.purposes.of_acceptance(row.get("message", ""))
            text = f"refused there ({row.get('message', '')}), accepted here"
        return Result("validation", row, "purpose" if reason else "differ", f"{reason}: {text}" if reason else text)
