# SPDX-License-Identifier: Apache-2.0
"""Build contexts, base images, and what is in the archive of an image that was built."""
import io
import json
import tarfile
from pathlib import Path


def tar_of(files, mode="w"):
    """A tar of {name: bytes | str | TarInfo-making function}."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode, format=tarfile.PAX_FORMAT) as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.mode = 0o644
            data = b""
            if callable(content):
                content(entry)
            else:
                data = content.encode() if isinstance(content, str) else content
                entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def link(target, kind=tarfile.SYMTYPE):
    def make(entry):
        entry.type, entry.linkname = kind, target

    return make


def node(kind, major=0, minor=0):
    def make(entry):
        entry.type, entry.devmajor, entry.devminor = kind, major, minor

    return make


def folder_of(mode=0o755):
    def make(entry):
        entry.type, entry.mode = tarfile.DIRTYPE, mode

    return make


def layers_of(archive):
    """All files of all layers of an OCI archive, as {(layer, name): bytes}; links as their targets."""
    files = {}
    with tarfile.open(archive) as tar:
        blobs = {m.name: tar.extractfile(m).read() for m in tar.getmembers() if m.isfile()}
    index = json.loads(blobs["index.json"])
    manifest = json.loads(blobs["blobs/" + index["manifests"][0]["digest"].replace(":", "/")])
    for number, layer in enumerate(manifest["layers"]):
        with tarfile.open(fileobj=io.BytesIO(blobs["blobs/" + layer["digest"].replace(":", "/")])) as tar:
            for member in tar.getmembers():
                files[number, member.name] = tar.extractfile(member).read() if member.isfile() else member.linkname.encode()
    files["config", ""] = blobs["blobs/" + manifest["config"]["digest"].replace(":", "/")]
    return files


def add_base(user, postern, tar, cache, name="debian-tcc"):
    made = user.run([postern, "base", "add", name, tar, "--cache-dir", cache])
    assert made.returncode == 0, made.stderr
    return Path(cache) / "bases"
