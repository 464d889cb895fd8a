# SPDX-License-Identifier: Apache-2.0
"""What differs on purpose: different.list, read and applied. Called by replay.py. A difference is recognised by what was asked, what
was recorded and what was seen, all three, so that cases that nobody has listed are recognised, too, and nothing else is let through."""
import fnmatch
import json
import re
from pathlib import Path

import yaml

HERE = Path(__file__).resolve().parent
LIST = HERE / "different.list"
CONTAINER = "10.200.0.1"


# --- what was asked ---------------------------------------------------------------------------------------------------


class Asked:
    """A request, taken apart as far as the kinds need it."""

    def __init__(self, case):
        self.case, self.inside = case, case["via"] == "connect"
        sent = case["raw"] if case.get("raw") is not None else "".join(part for part, _ in case.get("parts", []))
        if not sent:
            lines = [f"{case['method']} {case.get('url') or case['target']} HTTP/1.1", *(": ".join(pair) for pair in case["headers"])]
            sent = "\r\n".join(lines) + "\r\n\r\n" + (case.get("body") or "")
        self.head = sent.split("\r\n\r\n")[0]
        lines = self.head.split("\r\n")
        self.method, self.target, self.version = (lines[0].split(" ") + ["", ""])[:3]
        self.fields = [(name.strip().lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines[1:])]
        self.connect = (case["via"] != "forward" and case.get("connect")) or ""
        self.authority = self.target.split("://", 1)[1].split("/")[0].split("?")[0] if "://" in self.target else ""

    def has(self, name, text):
        return any(field == name and text in value.lower() for field, value in self.fields)

    def endpoint(self):
        """Host and port that were asked for."""
        host, port = re.fullmatch(r"(.*?)(?::([0-9]*))?", self.connect or self.authority, re.S).groups()
        return host.lower().strip("[]"), port or "80"


def odd_authority(text):
    """Whether this is more, or less, than a host and a plain port."""
    host, _, port = text.rpartition(":") if re.search(r":[^\]]*$", text) else (text, "", "80")
    named = re.fullmatch(r"\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._*-]+", host)
    return not named or not re.fullmatch(r"[1-9][0-9]{0,4}", port) or int(port) > 65535


# --- the kinds --------------------------------------------------------------------------------------------------------

# By name: what was asked, what was recorded, what was seen (as agree.judge puts it, and how many answers there were).
KINDS = {
    "container-address": lambda a, want, got: a.endpoint()[0] == CONTAINER and want["outcome"] == "allow"
    and got["outcome"] in ("deny", "unreachable"),
    "connect-inside": lambda a, want, got: a.inside and a.method == "CONNECT" and got["outcome"] in ("deny", "reject"),
    "authority": lambda a, want, got: got["status"] == 400 and any(map(odd_authority, filter(None, (a.connect, a.authority)))),
    "userinfo-inside": lambda a, want, got: got["status"] == 400 and a.inside and ("@" in a.authority or a.has("host", "@")),
    "host-dot-inside": lambda a, want, got: got.get("error") == "request_authority_mismatch" and a.inside and a.has("host", ".:"),
    "raw-bytes": lambda a, want, got: not a.target.isascii() and want["status"] == got["status"] == 400
    and got.get("error") == "malformed_request",
    "version": lambda a, want, got: got["status"] == 505 and want["outcome"] == "reject" and a.version not in ("HTTP/1.0", "HTTP/1.1"),
    "placeholder": lambda a, want, got: got.get("error") == "credential_injection_failed" and (
        "openshell:resolve:env:" in a.head and want.get("error") == "credential_unavailable"
        or "openshell:resolve:env:" in (a.case.get("body") or "") and want["outcome"] == "reject" and want["status"] is None),
    "empty-query": lambda a, want, got: a.inside and want.get("upstream_path") == f"{got.get('upstream_path')}?",
    "query-nul": lambda a, want, got: "%00" in a.target.partition("?")[2] and got["status"] == 400,
    "absolute-inside": lambda a, want, got: a.inside and "://" in want.get("upstream_path", "")
    and origin_form(want["upstream_path"]) == got.get("upstream_path"),
    "absolute-elsewhere": lambda a, want, got: a.inside and a.authority and want["status"] is None
    and got.get("error") == "request_authority_mismatch",
    "at-once": lambda a, want, got: want["outcome"] == "pending" and got["outcome"] in ("reject", "deny") and got["status"] in (400, 403),
    "h2c": lambda a, want, got: a.has("upgrade", "h2c") and "h2c" in want.get("detail", "") and got["outcome"] == "allow",
    "long-head": lambda a, want, got: want["status"] == 431 and 8192 < max(len(a.head), len(a.case.get("connect_raw") or "")) <= 16384
    and got["status"] != 431,
    "close-inside": lambda a, want, got: a.inside and (a.version == "HTTP/1.0" or a.has("connection", "close"))
    and got["answers"] == 1 < len(want.get("responses", [])) and got["outcome"] == want["outcome"],
    "not-http": lambda a, want, got: want["status"] is None and "raw_response" in want and got["status"] == 502,
}


def origin_form(target):
    rest = re.sub(r"^[^:]*://[^/?]*", "", target)
    return rest if rest.startswith("/") else f"/{rest}"


# --- the list ---------------------------------------------------------------------------------------------------------


class Entry:
    """A line of the list: KIND, what it is about, the reason; `used` when it was about something."""

    def __init__(self, line):
        self.line, self.used = line, False
        self.kind, rest = line.split(" ", 1)
        self.drop = ""
        if self.kind == "refused":
            self.drop, rest = rest.split(" ", 1)
        if rest.startswith("/"):
            self.pattern, self.reason = re.fullmatch(r"/(.*?)/ (.+)", rest).groups()
        else:
            self.pattern, self.reason = rest.split(" ", 1)


class Purposes:
    def __init__(self, path=LIST):
        lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
        self.entries = [Entry(line) for line in lines]
        # A case is listed by its id: the case of that id in this folder, not in every folder.
        listed = {key for entry in self.of("case") for key in entry.pattern.split(",")}
        ours = (json.loads(line) for line in (HERE / "cases.jsonl").read_text().splitlines())
        self.cases = {case["id"]: case for case in ours if case["id"] in listed}
        unknown = [entry.line for entry in self.of("kind") if entry.pattern not in KINDS] + sorted(listed - {*self.cases})
        if unknown:
            raise ValueError(f"{path.name}: no such kind, or case: {unknown[0]}")

    def of(self, kind):
        return [entry for entry in self.entries if entry.kind == kind]

    def _reason(self, entry):
        entry.used = True
        return entry.reason

    def listed(self, case):
        """The entry that names this very case, which then has to differ."""
        if self.cases.get(case["id"]) != case:
            return None
        return next((entry for entry in self.of("case") if case["id"] in entry.pattern.split(",")), None)

    def of_case(self, case, got, seen, dropped):
        """Why this case, which differs, is meant to, or ""."""
        asked, want = Asked(case), {"status": None, **case["expect"]}
        got = {**got, "answers": sum(response["status"] >= 200 for response in seen.get("responses", []))}
        entry = self.listed(case)
        if entry:
            return self._reason(entry)
        for entry in self.of("kind"):
            if KINDS[entry.pattern](asked, want, got):
                return self._reason(entry)
        for entry in self.of("form"):
            if case.get(entry.pattern):
                return self._reason(entry)
        for one in dropped:
            if one.touches(*asked.endpoint()):
                return one.entry.reason
        return ""

    def of_refusal(self, message):
        """The entry for what the loader says of a line that it refuses on purpose, or None."""
        for entry in self.of("refused"):
            if re.search(entry.pattern, message):
                entry.used = True
                return entry
        return None

    def of_acceptance(self, recorded):
        """Why a policy that was refused with these words is accepted here, or ""."""
        return next((self._reason(entry) for entry in self.of("accepted") if re.search(entry.pattern, recorded)), "")

    def stale(self):
        return [entry.line for entry in self.entries if not entry.used]


# --- policies without what the loader refuses -------------------------------------------------------------------------


class Dropped:
    """What was left out of a policy, and whom that concerns."""

    def __init__(self, entry, endpoints):
        self.entry, self.endpoints = entry, endpoints

    def touches(self, host, port):
        return any(
            fnmatch.fnmatchcase(host, name.lower()) and (not ports or port in ports) for name, ports in self.endpoints
        )


def pairs(node):
    return {key.value: value for key, value in node.value} if isinstance(node, yaml.MappingNode) else {}


def endpoint_of(node):
    fields = pairs(node)
    listed = [fields["port"]] if "port" in fields else []
    if isinstance(fields.get("ports"), yaml.SequenceNode):
        listed = fields["ports"].value
    name = fields["host"].value if isinstance(fields.get("host"), yaml.ScalarNode) else "*"
    return name or "*", {port.value for port in listed}


def way_to(node, line, column):
    """[(container, index)] from the root to what stands at this place."""
    at, way = (line - 1, column - 1), []
    while isinstance(node, yaml.CollectionNode):
        starts = [(one[0] if isinstance(one, tuple) else one).start_mark for one in node.value]
        before = [number for number, mark in enumerate(starts) if (mark.line, mark.column) <= at]
        if not before:
            break
        way.append((node, before[-1]))
        one = node.value[before[-1]]
        node = one[1] if isinstance(one, tuple) else one
    return way


def without(text, line, column, entry):
    """The policy without what is refused at this place (entry.drop: how much of it), and what was left out; None when there is nothing
    to leave out."""
    try:
        root = yaml.compose(text)
    except yaml.YAMLError:
        return None
    way = way_to(root, line, column)
    key_of = [container.value[index][0].value if isinstance(container, yaml.MappingNode) else "" for container, index in way]
    endpoints = {"endpoint": [endpoint_of(container.value[index]) for (container, index), above in zip(way[1:], key_of) if above == "endpoints"]}
    if "binaries" in key_of:
        entries = pairs(way[1][0].value[way[1][1]][1]).get("endpoints")
        endpoints["item"] = endpoints["field"] = [endpoint_of(one) for one in entries.value] if entries else []
    if entry.drop == "version":
        values = [pair for pair in root.value if pair[0].value != "version"]
        root.value = [*values, (yaml.ScalarNode("tag:yaml.org,2002:str", "version"), yaml.ScalarNode("tag:yaml.org,2002:int", "1"))]
    elif entry.drop == "anchor":
        root = untied(root)
    elif not cut(way, key_of, entry.drop):
        return None
    elif entry.drop == "endpoint" and not endpoints["endpoint"]:
        endpoints["endpoint"] = [("*", set())]  # it was a field outside of all endpoints
    return yaml.serialize(root, width=10000), Dropped(entry, endpoints.get(entry.drop, []))


def cut(way, key_of, what):
    """Takes the endpoint, the item, the field, or the first of two equal fields, out of its container."""
    for number in reversed(range(len(way))):
        container, index = way[number]
        mapping = isinstance(container, yaml.MappingNode)
        if what == "first" and mapping:
            same = [one for one, pair in enumerate(container.value) if pair[0].value == key_of[number]]
            del container.value[same[0]]
            return len(same) > 1
        wanted = {"field": mapping, "item": not mapping, "endpoint": number > 0 and key_of[number - 1] == "endpoints"}.get(what)
        if wanted:
            del container.value[index]
            return True
    return what == "endpoint" and cut(way, key_of, "field")


def untied(node):
    """A tree in which no node is twice, so that it is written without anchors."""
    if isinstance(node, yaml.MappingNode):
        return yaml.MappingNode(node.tag, [(untied(key), untied(value)) for key, value in node.value], flow_style=node.flow_style)
    if isinstance(node, yaml.SequenceNode):
        return yaml.SequenceNode(node.tag, [untied(one) for one in node.value], flow_style=node.flow_style)
    return yaml.ScalarNode(node.tag, node.value, style=node.style)
