"""Make an image of a directory: one layer, reproducible, without running anything."""

from __future__ import annotations

import io
import os
import platform
import tarfile
from collections.abc import Mapping
from typing import Any

import msgspec

from sampan.host.containers import Image
from sampan.images import archive, documents
from sampan.images import reference as references
from sampan.images.content import Content, Writer
from sampan.images.layers import diff_id
from sampan.images.store import ImageStore

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


async def from_directory(store: ImageStore, directory: str, name: str, config: Mapping[str, Any]) -> Image:
    """An image whose only layer is the directory's content and whose `config` is as in the OCI image specification
    (Entrypoint, Cmd, Env, User, WorkingDir, ...). The same content gives the same image: times are left out, and
    everything belongs to root.
    """
    async with store.adding():
        manifest = await store.call(lambda: _make(store.content, directory, config))
        return await store.add(manifest, [str(references.parse(name))])


def _make(content: Content, directory: str, config: Mapping[str, Any]) -> str:
    layer = pack(content, directory)
    with content.open(layer) as stream:
        diff = diff_id(stream)
    machine = platform.machine()
    document = {
        "architecture": _ARCHITECTURES.get(machine, machine),
        "os": "linux",
        "config": dict(config),
        "rootfs": {"type": "layers", "diff_ids": [diff]},
    }
    configuration = content.put(msgspec.json.encode(document, order="sorted"))
    return archive.put_manifest(content, configuration, [(documents.LAYER, layer)])


def pack(content: Content, directory: str) -> str:
    """Store a directory as a layer; returns the blob's digest."""
    with content.writer() as writer:
        with tarfile.open(fileobj=_Sink(writer), mode="w|", format=tarfile.PAX_FORMAT) as layer:
            for path, names, files in os.walk(directory):
                names.sort()
                links = [name for name in names if os.path.islink(f"{path}/{name}")]
                for name in sorted((*files, *links)):
                    _add(layer, f"{path}/{name}", directory)
                names[:] = [name for name in names if name not in links]
                for name in names:
                    _add(layer, f"{path}/{name}", directory)
        return writer.commit()


def _add(layer: tarfile.TarFile, path: str, directory: str) -> None:
    member = layer.gettarinfo(path, os.path.relpath(path, directory))
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mtime = 0
    if member.isreg():
        with open(path, "rb") as file:
            layer.addfile(member, file)
    else:
        layer.addfile(member)


class _Sink(io.RawIOBase):
    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    def write(self, data: Any) -> int:
        self._writer.write(bytes(data))
        return len(data)
