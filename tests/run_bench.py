# SPDX-License-Identifier: Apache-2.0
"""What the tests of `postern run` share: a policy, a server whose faults are its arguments, and a folder to run a harness in."""
import json
import os
import textwrap

from conftest import free_port

POLICY = """
version: 1
filesystem_policy: { include_workdir: true, read_write: [/dev/null] }
network_policies:
  api:
    endpoints:
      - { host: host.openshell.internal, port: PORT, protocol: rest, enforcement: enforce,
          rules: [{ allow: { method: GET, path: "/**" } }, { allow: { method: POST, path: "/**" } }] }
    binaries: [{ path: /usr/bin/curl }]
"""

# A server whose faults are its arguments.
SERVER = '''#!/usr/bin/python3
import argparse, http.server, os, signal, subprocess, sys, threading, time
p = argparse.ArgumentParser()
p.add_argument("--port", type=int); p.add_argument("--token"); p.add_argument("--bind-address")
p.add_argument("--die-after", type=float); p.add_argument("--sick", action="store_true")
p.add_argument("--stubborn", action="store_true"); p.add_argument("--leave-child", action="store_true")
p.add_argument("--die-at-once", action="store_true")
o = p.parse_args()
order = open(os.environ["ORDER"], "a", buffering=1) if "ORDER" in os.environ else open(os.devnull, "w")
order.write("server starts\\n")
if o.die_at_once:
    sys.exit("cannot find my configuration")
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/healthz":
            code = 503 if o.sick else 200
        else:
            code = 200 if self.headers.get("Authorization") == "Bearer " + o.token else 401
        order.write("server got %s\\n" % self.path) if self.path != "/healthz" else None
        body = b"answer\\n"
        self.send_response(code); self.send_header("Content-Length", str(len(body))); self.end_headers(); self.wfile.write(body)
s = http.server.ThreadingHTTPServer((o.bind_address, o.port), H)
def end(*_):
    if not o.stubborn:
        threading.Thread(target=s.shutdown).start()
signal.signal(signal.SIGTERM, end)
if o.leave_child:
    subprocess.Popen(["/bin/sleep", "987"], start_new_session=True)
if o.die_after is not None:
    def die():
        time.sleep(o.die_after); print("the last words of \\x1b[31mthe server", file=sys.stderr, flush=True); os._exit(3)
    threading.Thread(target=die, daemon=True).start()
s.serve_forever(); s.server_close(); order.write("server ends\\n")
'''

CURL = 'curl -sS --fail -H "Authorization: Bearer $API_TOKEN" "$API_URL/hello"'


class Bench:
    """A folder with a policy, a server and scripts, and a way to run a harness in it."""

    def __init__(self, user, folder, postern):
        self.user, self.folder, self.postern = user, folder / "a folder", postern
        self.folder.mkdir()
        if os.getuid() == 0:
            os.chown(self.folder, user.uid, user.gid)
        self.port = free_port()
        self.order = self.folder / "order"
        self.write("policy.yaml", POLICY.replace("PORT", str(self.port)))
        self.script("server.py", SERVER)
        self.script("pre.sh", '#!/bin/sh\necho "pre-script $A" >>"$ORDER"\n')
        self.script("post.sh", '#!/bin/sh\necho "post-script" >>"$ORDER"\n')

    def write(self, name, text):
        path = self.folder / name
        path.write_text(text)
        if os.getuid() == 0:
            os.chown(path, self.user.uid, self.user.gid)
        return path

    def script(self, name, text):
        self.write(name, text).chmod(0o755)

    def harness(self, server="", extra="", port=None, script="server.py"):
        self.write("harness.yaml", textwrap.dedent(f"""\
            policy: policy.yaml
            api_servers:
              - name: api
                script: {script}
                args: [{server}]
                port: {self.port if port is None else port}
                env: {{ ORDER: "{self.order}" }}
            env: {{ runner: {{ ORDER: "{self.order}", A: "from the harness" }}, sandbox: {{ GREETING: hello }} }}
            pre_script: pre.sh
            post_script: post.sh
            """) + textwrap.dedent(extra))

    def command(self, shell, *options):
        command = [self.postern, "run", "harness.yaml", "--output", "out", *options]
        return command + ["--", "/bin/sh", "-c", shell] if shell else command

    def run(self, shell, *options, **kwargs):
        return self.user.run(self.command(shell, *options), cwd=self.folder, **kwargs)

    def popen(self, shell, *options, **kwargs):
        return self.user.popen(self.command(shell, *options), cwd=self.folder, **kwargs)

    def record(self):
        return json.loads((self.folder / "out" / "run.json").read_text())

    def steps(self):
        return [(step["name"], step["state"]) for step in self.record()["steps"]]

    def lines(self):
        return self.order.read_text().splitlines() if self.order.exists() else []
