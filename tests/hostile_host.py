# SPDX-License-Identifier: Apache-2.0
"""A host with canaries in every corner, for builds that try to reach it: each holds one secret text, whose appearance anywhere in
what a build leaves is a fault, and notices when it is touched."""
import ctypes
import hashlib
import http.server
import io
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
import threading

IMAGE = "localhost/postern-host-image:latest"
LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.shmat.restype = ctypes.c_void_p
CLONE_NEWNET, IPC_CREAT, IPC_RMID = 0x40000000, 0o1000, 0
ADDRESSES = ("169.254.169.254", "10.200.0.1")  # the clouds' metadata server; a sandbox's proxy

ADD_KEY = """
import ctypes, sys
text = sys.argv[1].encode()
key = ctypes.CDLL(None).syscall(248, b"user", b"description-" + text, text, len(text), -4)
sys.exit(key < 0)
"""


class OwnNetwork:
    """This thread, and the programs it starts, in a network of their own with addresses that a cloud's machine would have."""

    def __enter__(self):
        self.before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        if os.getuid() == 0:
            assert LIBC.unshare(CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
            subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
            for address in ADDRESSES:
                subprocess.run(["ip", "addr", "add", f"{address}/32", "dev", "lo"], check=True)

    def __exit__(self, *_):
        if os.getuid() == 0:
            assert LIBC.setns(self.before, CLONE_NEWNET) == 0
        os.close(self.before)


class Host:
    """One user's view of the host. Give `environment` to the server; `faults()` tells what has been touched since the last call."""

    def __init__(self, user, reachable):
        self.user = user
        self.secret = f"canary{secrets.token_hex(12)}"
        self.folder = user.folder(reachable, "host")
        self.touched, self._close = [], []
        (self.folder / "secret").write_text(self.secret)
        (self.folder / "dropbox").mkdir()
        self._listen_web()
        self._listen_unix(str(self.folder / "docker.sock"))
        self._listen_unix("\0" + str(self.folder))
        self._listen_names()
        self._make_images()
        self._make_home()
        self._make_memory()
        self.process = user.popen(["sh", "-c", 'exec sleep "$0"', "100000"], env={"CANARY": self.secret})
        self._close += [self.process.wait, self.process.kill]
        added = user.run([sys.executable, "-c", ADD_KEY, self.secret])
        assert added.returncode == 0, added.stderr
        for path in [self.folder, *self.folder.rglob("*")]:
            if not path.is_symlink():
                path.chmod(0o777)
                shutil.chown(path, user.uid, user.gid)
        self.words = {"HOST": str(self.folder), "PORT": str(self.port), "SHM": str(self.key), "PID": str(self.process.pid)}
        self._seen = self._look()

    def close(self):
        for step in reversed(self._close):
            step()
        shutil.rmtree(self.folder, ignore_errors=True)

    # --- what listens ---

    def _serve(self, sock):
        def run():
            while True:
                try:
                    peer, _ = sock.accept()
                except OSError:
                    return
                self.touched.append(f"a connection to {sock.getsockname()!r}")
                with peer:
                    try:
                        peer.sendall(self.secret.encode())
                    except OSError:
                        pass

        threading.Thread(target=run, daemon=True).start()
        self._close.append(sock.close)

    def _listen_unix(self, name):
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(name)
        sock.listen()
        self._serve(sock)

    def _listen_web(self):
        host = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                host.touched.append(f"GET {self.path} at {self.server.server_address}")
                self.send_response(200)
                self.end_headers()
                self.wfile.write(host.secret.encode())

            do_HEAD = do_POST = do_CONNECT = do_GET

            def log_message(self, *_):
                pass

        class Six(http.server.ThreadingHTTPServer):
            address_family = socket.AF_INET6

        first = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = first.server_port
        servers = [first, Six(("::1", self.port), Handler)]
        if os.getuid() == 0:
            servers += [http.server.ThreadingHTTPServer((address, 80), Handler) for address in ADDRESSES]
        for server in servers:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            self._close += [server.server_close, server.shutdown]

    def _listen_names(self):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind(("127.0.0.1", 53 if os.getuid() == 0 else 0))

        def run():
            while True:
                try:
                    question = sock.recv(512)
                except OSError:
                    return
                if not question:
                    return
                self.touched.append("a question to the name server")

        threading.Thread(target=run, daemon=True).start()
        self._close.append(sock.close)

    # --- what lies about ---

    def _make_images(self):
        """One image that holds the secret, as every kind of archive, and in the user's own containers-storage."""
        layer = _tar({"secret": self.secret.encode()})
        config = json.dumps({"architecture": "amd64", "os": "linux", "config": {"Env": [f"C={self.secret}"]},
                             "rootfs": {"type": "layers", "diff_ids": [f"sha256:{_sha256(layer)}"]}}).encode()
        manifest = json.dumps([{"Config": "config.json", "RepoTags": [IMAGE], "Layers": ["layer.tar"]}]).encode()
        archive = self.folder / "docker.tar"
        archive.write_bytes(_tar({"manifest.json": manifest, "config.json": config, "layer.tar": layer}))
        shutil.chown(self.folder / "secret", self.user.uid, self.user.gid)
        self.home = self.folder / "home"
        self.home.mkdir()
        shutil.chown(self.home, self.user.uid, self.user.gid)
        # The store of root is the machine's; that of a user is below the home which the server is given.
        self.store_environment = {"HOME": str(self.home)}
        for target in (f"oci-archive:{self.folder}/oci.tar:x", f"oci:{self.folder}/layout:x", f"dir:{self.folder}/dir",
                       f"containers-storage:{IMAGE}"):
            done = self.user.run(["skopeo", "--insecure-policy", "copy", "-q", f"docker-archive:{archive}", target],
                                 env=self.store_environment)
            assert done.returncode == 0, done.stderr
        self._close.append(lambda: self.user.run(["buildah", "rmi", "-f", IMAGE], env=self.store_environment))

    def _make_home(self):
        """Files that an engine would read from its user's home, or because a variable says so."""
        conf = self.home / ".config" / "containers"
        conf.mkdir(parents=True)
        auth = json.dumps({"auths": {f"127.0.0.1:{self.port}": {"auth": self.secret}}})
        (self.home / ".docker").mkdir()
        (self.home / ".docker" / "config.json").write_text(auth)
        (conf / "auth.json").write_text(auth)
        hook = self.folder / "hook"
        hook.write_text(f"#!/bin/sh\ntouch {self.folder}/dropbox/hook\n")
        (conf / "hooks").mkdir()
        (conf / "hooks" / "all.json").write_text(
            json.dumps({"version": "1.0.0", "hook": {"path": str(hook)}, "when": {"always": True}, "stages": ["prestart", "createRuntime"]}))
        (conf / "containers.conf").write_text(
            f'[containers]\nenv = ["FROM_CONF={self.secret}"]\nvolumes = ["{self.folder}:/from-conf"]\n'
            f'default_mounts = ["{self.folder}:/from-conf"]\n[engine]\nhooks_dir = ["{conf}/hooks"]\n')
        (conf / "registries.conf").write_text(
            f'unqualified-search-registries = ["127.0.0.1:{self.port}"]\n[[registry]]\nlocation = "127.0.0.1:{self.port}"\ninsecure = true\n')
        (conf / "mounts.conf").write_text(f"{self.folder}:/from-conf\n")
        (self.home / ".netrc").write_text(f"machine 127.0.0.1 login x password {self.secret}\n")
        proxy, sock = f"http://127.0.0.1:{self.port}", f"unix://{self.folder}/docker.sock"
        self.environment = {
            "HOME": str(self.home), "CANARY": self.secret, "SSH_AUTH_SOCK": f"{self.folder}/docker.sock", "DOCKER_HOST": sock,
            "CONTAINER_HOST": sock, "http_proxy": proxy, "HTTPS_PROXY": proxy, "ALL_PROXY": proxy, "DOCKER_CONFIG": f"{self.home}/.docker",
            "REGISTRY_AUTH_FILE": f"{conf}/auth.json", "CONTAINERS_CONF": f"{conf}/containers.conf", "BUILDAH_FORMAT": "docker",
            "CONTAINERS_REGISTRIES_CONF": f"{conf}/registries.conf", "STORAGE_OPTS": f"imagestore={self.folder}", "NO_PROXY": "",
            "XDG_CONFIG_HOME": f"{self.home}/.config", "BASH_ENV": f"{self.folder}/hook", "ENV": f"{self.folder}/hook",
        }

    def _make_memory(self):
        self.key = secrets.randbelow(2**30) + 1
        number = LIBC.shmget(self.key, 4096, IPC_CREAT | 0o666)
        assert number >= 0
        at = LIBC.shmat(number, None, 0)
        ctypes.memmove(at, self.secret.encode() + b"\0", len(self.secret) + 1)
        LIBC.shmdt(ctypes.c_void_p(at))
        queue = LIBC.msgget(self.key, IPC_CREAT | 0o666)
        assert queue >= 0
        self._close += [lambda: LIBC.shmctl(number, IPC_RMID, None), lambda: LIBC.msgctl(queue, IPC_RMID, None)]

    # --- the check ---

    def _look(self):
        seen = {}
        for folder, names, files in os.walk(self.folder):
            if folder == str(self.home):
                names[:] = [name for name in names if name not in (".local", ".cache")]  # engines of the host's write there
            for name in names + files:
                st = os.lstat(os.path.join(folder, name))
                seen[os.path.join(folder, name)] = (st.st_mode, st.st_uid, st.st_gid, st.st_size, st.st_mtime_ns)
        return {"files": seen, "hostname": socket.gethostname(), "core_pattern": _read("/proc/sys/kernel/core_pattern"),
                "mounts": [mount for mount in (line.split(" ")[4] for line in _read("/proc/self/mountinfo").splitlines()) if not _others(mount)]}

    def faults(self):
        now, found = self._look(), list(self.touched)
        self.touched.clear()
        found += [f"the host's {what} changed: {_difference(self._seen[what], now[what])}" for what in now if now[what] != self._seen[what]]
        if self.process.poll() is not None:
            found.append("a process of the host was killed")
        self._seen = now
        return found


def _difference(before, after):
    if isinstance(before, dict):
        return sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))
    return f"{before!r} -> {after!r}"


def _others(mount):
    """Of other tests: of another run's on this machine, of the tests' dockerd, of an engine of the host's by which a Host fills root's store."""
    own = tempfile.gettempdir()
    return ((mount.startswith("/tmp/pt-") and not mount.startswith(own)) or mount.startswith(f"{own}/d-")
            or mount == "/var/lib/containers/storage/overlay")


def _read(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def _sha256(data):
    return hashlib.sha256(data).hexdigest()


def _tar(files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return out.getvalue()
