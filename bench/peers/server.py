# SPDX-License-Identifier: Apache-2.0
"""Python's http.server, threaded, checking the token and answering one job: server.py PORT TOKEN FOLDER."""
import hmac
import http.server
import sys

PORT, TOKEN, FOLDER = int(sys.argv[1]), "Bearer " + sys.argv[2], sys.argv[3]
with open(f"{FOLDER}/body", "rb") as f:
    BODY = f.read()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one write; without it each answer waits 40 ms for the client's acknowledgement

    def do_GET(self):
        if not hmac.compare_digest(self.headers.get("Authorization", ""), TOKEN):
            self.send_response(401)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY)

    def log_message(self, *args):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", PORT), Handler).serve_forever()
