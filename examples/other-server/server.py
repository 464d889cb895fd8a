#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""An API server that keeps the contract of api_servers with nothing but Python's standard library: --port, --token,
--bind-address, GET /healthz and /tools.json without authentication, a bearer token on everything else, logs on stderr, an end on
SIGTERM. Its one operation counts words."""
import argparse
import hmac
import json
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LIMIT_BODY = 1024 * 1024
TOOLS = {
    "tools": [
        {
            "name": "count",
            "description": "Count lines and words of the text in the request body",
            "method": "POST",
            "path": "/count",
        }
    ]
}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    token = ""

    def answer(self, status, content, **headers):
        body = (json.dumps(content) + "\n").encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json" if status < 400 else "application/problem+json")
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if status >= 400:
            self.close_connection = True
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def authenticated(self):
        presented = self.headers.get("Authorization", "")
        if hmac.compare_digest(presented.encode("utf-8", "replace"), b"Bearer " + self.token.encode()):
            return True
        self.answer(401, {"title": "No token, or not this run's"}, WWW_Authenticate="Bearer")
        return False

    def handle_expect_100(self):
        return True  # an interim 100 breaks the request behind OpenShell's proxy; clients go on without it

    def do_GET(self):
        if self.path == "/healthz":
            self.answer(200, {"status": "ok"})
        elif self.path == "/tools.json":
            self.answer(200, TOOLS)
        elif self.authenticated():
            self.answer(404, {"title": "No such path"})

    def do_POST(self):
        if not self.authenticated():
            return
        if self.path != "/count":
            self.answer(404, {"title": "No such path"})
            return
        try:
            length = int(self.headers.get("Content-Length", ""))
        except ValueError:
            self.answer(411, {"title": "Send a Content-Length"})
            return
        if not 0 <= length <= LIMIT_BODY:
            self.answer(413, {"title": "Too large"})
            return
        text = self.rfile.read(length).decode("utf-8", "replace")
        self.answer(200, {"lines": text.count("\n"), "words": len(text.split())})


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--token", required=True)
    parser.add_argument("--bind-address", default="127.0.0.1")
    options = parser.parse_args()
    Handler.token = options.token
    server = ThreadingHTTPServer((options.bind_address, options.port), Handler)
    # shutdown() waits for serve_forever() to return, so it has to be called from another thread.
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    print(f"listening on {options.bind_address}:{server.server_port}", file=sys.stderr, flush=True)
    server.serve_forever()
    server.server_close()
    print("ended", file=sys.stderr)


if __name__ == "__main__":
    main()
