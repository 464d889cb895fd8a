# SPDX-License-Identifier: Apache-2.0
"""Whether what a client saw is what was recorded (README.md, "What agreeing means"). Called by replay.py; knows no lists: what
differs on purpose is purpose.py's."""
import json
import re


def of_proxy(response):
    """Whether the proxy answered this itself."""
    names = {name.lower() for name, _ in response["headers"]}
    if response["status"] < 400 or "x-up" in names:
        return False
    # The answer to HEAD has a body, there and here, which no client reads.
    return not response["body"] and names >= {"content-type", "content-length"} or '"error":' in response["body"]


def judge(seen):
    """The outcome in the recording's words, and what belongs to it."""
    if "connect_error" in seen:
        return {"outcome": "unreachable", "errno": seen["connect_error"]}
    responses = [r for r in seen["responses"] if r["status"] >= 200]
    if seen.get("connect") and seen["connect"]["status"] != 200:
        responses = [seen["connect"]]
    if "connect" in seen and not seen["connect"]:
        return {"outcome": "reject", "status": None}
    if not responses:
        if seen.get("extra"):
            return {"outcome": "allow", "status": None, "extra": seen["extra"]}
        return {"outcome": "pending" if seen.get("after") == "open" else "reject", "status": None}
    return judge_response(responses[0])


def judge_response(first):
    result = {"status": first["status"]}
    if of_proxy(first):
        body = json.loads(first["body"]) if first["body"].startswith("{") else {}
        result["outcome"] = {403: "deny", 502: "unreachable"}.get(first["status"], "reject")
        result |= {key: body[key] for key in ("error", "detail", "policy", "rule", "layer", "protocol", "reason") if key in body}
        named = [value for name, value in first["headers"] if name.lower() == "x-openshell-policy"]
        return result | ({"x_openshell_policy": named[0]} if named else {})
    result["outcome"] = "allow"
    if first["body"].startswith('{"up"'):
        up = json.loads(first["body"])
        result |= {"upstream_path": up["p"], "upstream_method": up["m"], "upstream_body_len": up["len"], "upstream_ip": up["local"]}
        result["leftover"] = up["leftover"]
    return result


WORLDS_CA = {"corpus CA", "conformance-ca"}  # what signs the servers' certificates: the recording's, and world/make-run's
COMPARED = {
    "allow": ("status", "upstream_path", "upstream_method", "upstream_body_len"),
    "deny": ("status", "error", "detail", "policy", "rule", "layer", "protocol", "reason", "x_openshell_policy"),
    "reject": ("status", "error"), "pending": (), "unreachable": ("errno",),
}


def same(key, want, got):
    """What was recorded, or what is ours in its place for every case: a refusal that is said where the real one closes without a word,
    and no command lines in the reason, which are a process's own word."""
    if key == "status" and want is None:
        return got in (None, 400, 413, 431, 501, 502, 505)
    if key == "reason" and got:
        want = re.sub(r"cmdline: \[[^]]*\]", "cmdline: []", want)
    return want == got


def difference(case, seen):
    """Where what was seen is not what was recorded; "" when it agrees."""
    want, got = {"status": None, **case["expect"]}, judge(seen)
    # A connection that is closed without a word there gets 502 here when it was the server's fault.
    silent = want["outcome"] == "reject" and want["status"] is None and got["outcome"] == "unreachable"
    if got["outcome"] != want["outcome"] and not silent:
        return f"{want['outcome']} {want['status']} was recorded, seen {json.dumps(got)[:300]}"
    for key in COMPARED[want["outcome"]]:
        if key in want and not same(key, want[key], got.get(key)):
            return f"{key}: {want[key]!r} was recorded, seen {got.get(key)!r}"
    if got.get("leftover") and got["leftover"] != want.get("upstream_leftover"):
        return f"bytes went upstream that nobody had looked at: {got['leftover']!r}"
    return tls_difference(want.get("tls"), seen.get("tls")) or more_differences(want, seen)


def tls_difference(want, got):
    """Whether the proxy looked inside, which is who issued the certificate that the client saw; and the protocol agreed on."""
    if not want:
        return ""
    if not got:
        return "no TLS inside the tunnel"
    if want["alpn"] != got["alpn"]:
        return f"ALPN: {want['alpn']!r} was recorded, seen {got['alpn']!r}"
    if want["issuer"] and WORLDS_CA.isdisjoint(want["issuer"]) != WORLDS_CA.isdisjoint(got["issuer"] or []):
        return f"the certificate's issuer: {want['issuer']!r} was recorded, seen {got['issuer']!r}"
    return ""


def more_differences(want, seen):
    """The later ones of several answers."""
    answers = [judge_response(r) for r in seen["responses"] if r["status"] >= 200]
    for number, later in enumerate(want.get("responses", [])):
        if number == len(answers):
            return f"{len(want['responses'])} answers were recorded, seen {number}"
        for key in ("outcome", *COMPARED[later["outcome"]]):
            if key in later and not same(key, later[key], answers[number].get(key)):
                return f"answer {number + 1}, {key}: {later[key]!r} was recorded, seen {answers[number].get(key)!r}"
    return ""
