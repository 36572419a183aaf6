"""Images made of nothing, byte by byte: layers, configurations, manifests, archives."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import platform
import tarfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sampan.images import documents

ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
Change = Callable[[tarfile.TarInfo], None]


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def entry(name: str, kind: bytes = tarfile.REGTYPE, **fields: Any) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    info.mode = 0o755 if kind == tarfile.DIRTYPE else 0o644
    for key, value in fields.items():
        setattr(info, key, value)
    return info


def folder(name: str, **fields: Any) -> tarfile.TarInfo:
    return entry(name, tarfile.DIRTYPE, **fields)


def link(name: str, target: str, *, hard: bool = False) -> tarfile.TarInfo:
    return entry(name, tarfile.LNKTYPE if hard else tarfile.SYMTYPE, linkname=target)


def layer(*members: tarfile.TarInfo | tuple[str, bytes] | tuple[tarfile.TarInfo, bytes]) -> bytes:
    """A layer's archive: entries without content, or (name or entry, content)."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for member in members:
            info, content = member if isinstance(member, tuple) else (member, b"")
            info = entry(info) if isinstance(info, str) else info
            if info.isreg():
                info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


@dataclass
class Made:
    """One image; `blobs` has everything by digest, `manifest` is the manifest's."""

    layers: list[bytes]
    manifest: str = ""
    config: str = ""
    blobs: dict[str, bytes] = field(default_factory=dict)

    def put(self, data: bytes) -> str:
        self.blobs[digest(data)] = data
        return digest(data)


def image(*layers: bytes, compress: bool = True, architecture: str = ARCHITECTURE, **config: Any) -> Made:
    made = Made(list(layers))
    parts = []
    for data in layers:
        packed = gzip.compress(data, mtime=0) if compress else data
        kind = documents.LAYER_GZIP if compress else documents.LAYER
        parts.append({"mediaType": kind, "digest": made.put(packed), "size": len(packed)})
    document = {
        "architecture": architecture,
        "os": "linux",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [digest(data) for data in layers]},
    }
    data = json.dumps(document).encode()
    made.config = made.put(data)
    manifest = {
        "schemaVersion": 2,
        "mediaType": documents.MANIFEST,
        "config": {"mediaType": documents.CONFIG, "digest": made.config, "size": len(data)},
        "layers": parts,
    }
    made.manifest = made.put(json.dumps(manifest).encode())
    return made


def index(*images: tuple[Made, str], **fields: Any) -> bytes:
    """An index of (image, architecture)."""
    manifests = [
        {
            "mediaType": documents.MANIFEST,
            "digest": made.manifest,
            "size": len(made.blobs[made.manifest]),
            "platform": {"os": "linux", "architecture": architecture},
        }
        for made, architecture in images
    ]
    return json.dumps({"schemaVersion": 2, "mediaType": documents.INDEX, "manifests": manifests, **fields}).encode()


def tar(files: Iterable[tuple[str, bytes]]) -> bytes:
    return layer(*files)


def docker_files(made: Made, *names: str) -> dict[str, bytes]:
    files = {f"{at}/layer.tar": data for at, data in enumerate(made.layers)}
    saved = [{"Config": "config.json", "RepoTags": list(names) or None, "Layers": list(files)}]
    return {**files, "config.json": made.blobs[made.config], "manifest.json": json.dumps(saved).encode()}


def oci_files(made: Made, name: str = "", top: list[dict[str, Any]] | None = None) -> dict[str, bytes]:
    notes = {documents.IMAGE_NAME: name} if name else {}
    size = len(made.blobs[made.manifest])
    single = [{"mediaType": documents.MANIFEST, "digest": made.manifest, "size": size, "annotations": notes}]
    files = {f"blobs/sha256/{name[7:]}": data for name, data in made.blobs.items()}
    files["index.json"] = json.dumps({"schemaVersion": 2, "manifests": top or single}).encode()
    files["oci-layout"] = b'{"imageLayoutVersion": "1.0.0"}'
    return files


def write(path: Path, files: dict[str, bytes]) -> Path:
    path.write_bytes(tar(files.items()))
    return path


def spread(path: Path, files: dict[str, bytes]) -> Path:
    """The same as a directory."""
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def listing(root: str | Path) -> dict[str, str]:
    """What is below a directory: path -> kind and content."""
    found = {}
    for directory, names, files in os.walk(root):
        for name in (*names, *files):
            path = Path(directory, name)
            relative = str(path.relative_to(root))
            if path.is_symlink():
                found[relative] = f"-> {os.readlink(path)}"
            elif path.is_dir():
                found[relative] = "directory"
            elif path.is_file():
                found[relative] = path.read_bytes().decode(errors="replace")
            else:
                found[relative] = "special"
    return found
