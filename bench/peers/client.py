# SPDX-License-Identifier: Apache-2.0
"""The client of passage.py, which runs inside the sandbox: a line of JSON on standard input says what to do, one on standard
output what came of it. Everything goes to HOST:PORT; `via` is how a request says where it is meant for: "direct" (a path), "forward"
(the whole URL), "connect" (a tunnel first, then paths).
"""
import gc
import json
import os
import socket
import subprocess
import sys
import time

HOST = "10.200.0.1"
held = []


def read_head(s):
    """A response's head, and what of its body has come with it."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = s.recv(65536)
        if not piece:
            raise OSError(f"closed after {data!r}")
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    if int(head.split(b" ", 2)[1]) not in (200, 202):
        raise OSError(f"refused: {data!r}")
    return head, body


def length_of(head):
    return int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])


def connect(port, via, authority):
    s = socket.create_connection((HOST, port))
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if via == "connect":
        s.sendall(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode())
        read_head(s)
    return s


def request(method, via, authority, path, more=""):
    target = f"http://{authority}{path}" if via == "forward" else path
    return f"{method} {target} HTTP/1.1\r\nHost: {authority}\r\n{more}\r\n".encode()


def drain(s, head, begun):
    """Read the rest of a body."""
    left = length_of(head) - len(begun)
    buffer = bytearray(1 << 20)
    while left:
        n = s.recv_into(buffer, min(left, len(buffer)), socket.MSG_TRUNC)  # TCP: read and thrown away, no copy
        if not n:
            raise OSError(f"{left} bytes missing")
        left -= n


def latency(port, via, authority, path, requests, more=""):
    """Microseconds of each request, one after the other on one connection."""
    times, asked = [], request("GET", via, authority, path, more)
    with connect(port, via, authority) as s:
        gc.disable()
        for _ in range(requests):
            begin = time.perf_counter_ns()
            s.sendall(asked)
            data = s.recv(65536)
            end = data.find(b"\r\n\r\n")
            if end < 0 or not data.startswith(b"HTTP/1.1 200 "):
                raise OSError(f"no whole head, or refused: {data!r}")
            left = length_of(data[:end]) - (len(data) - end - 4)
            while left:
                left -= len(s.recv(left))
            times.append((time.perf_counter_ns() - begin) / 1000)
        gc.enable()
    times.sort()
    return {"p50_us": times[len(times) // 2], "p99_us": times[len(times) * 99 // 100]}


def download(port, via, authority, path, **_):
    with connect(port, via, authority) as s:
        begin = time.monotonic()
        s.sendall(request("GET", via, authority, path))
        drain(s, *read_head(s))
        return {"seconds": time.monotonic() - begin}


def upload(port, via, authority, path, size):
    with connect(port, via, authority) as s, open("upload", "rb") as source:
        begin, sent = time.monotonic(), 0
        s.sendall(request("POST", via, authority, path, f"Content-Length: {size}\r\n"))
        while sent < size:
            sent += os.sendfile(s.fileno(), source.fileno(), sent, size - sent)
        drain(s, *read_head(s))
        return {"seconds": time.monotonic() - begin}


def hold(port, via, authority, path, connections, whole):
    """Connections that stay: idle after a request (whole), or with an answer under way."""
    for _ in range(connections):
        held.append(connect(port, via, authority))
        held[-1].sendall(request("GET", via, authority, path))
    for s in held:
        answer = read_head(s)  # HAProxy keeps the beginning of one back for 200 ms, in the hope of more
        if whole:
            drain(s, *answer)
    return {}


def release():
    while held:
        held.pop().close()
    return {}


def run(argv):
    return {"output": subprocess.run(argv, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL).stdout}


if __name__ == "__main__":
    os.sched_setaffinity(0, {int(sys.argv[1])})
    for line in sys.stdin:
        what = json.loads(line)
        print(json.dumps(globals()[what.pop("do")](**what)), flush=True)
