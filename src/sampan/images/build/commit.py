"""The last state of a build as an image: configuration and manifest, names in the store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from sampan.images import documents
from sampan.images import reference as references
from sampan.images.build import graph
from sampan.images.build.state import State, stamp
from sampan.images.store import ImageStore

BASE_NAME = "org.opencontainers.image.base.name"


def configuration(state: State, epoch: int) -> bytes:
    """The same state gives the same bytes."""
    arguments = graph.platform_arguments()
    document: dict[str, Any] = {
        "created": stamp(epoch),
        "architecture": arguments["TARGETARCH"],
        "os": "linux",
        "config": dict(state.config),
        "rootfs": {"type": "layers", "diff_ids": list(state.chain)},
        "history": [dict(entry) for entry in state.history],
    }
    if arguments["TARGETVARIANT"]:
        document["variant"] = arguments["TARGETVARIANT"]
    return msgspec.json.encode(document, order="sorted")


def manifest(state: State, config_digest: str, config_size: int) -> bytes:
    annotations = {BASE_NAME: state.base} if state.base else {}
    document: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": documents.MANIFEST,
        "config": {"mediaType": documents.CONFIG, "digest": config_digest, "size": config_size},
        "layers": [
            {"mediaType": layer.media_type or documents.LAYER, "digest": layer.digest, "size": layer.size}
            for layer in state.layers
        ],
    }
    if annotations:
        document["annotations"] = annotations
    return msgspec.json.encode(document, order="sorted")


async def image(store: ImageStore, state: State, names: Sequence[str], epoch: int) -> tuple[str, str]:
    """Make the image; returns (ID, manifest's digest). Nothing is written when it is there with all its names."""
    config = configuration(state, epoch)
    id = _digest(config)
    body = manifest(state, id, len(config))
    digest = _digest(body)
    wanted = [str(references.parse(name)) for name in names]
    record = store.find(id)
    if record is not None and record.manifest == digest and set(wanted) <= set(record.names):
        return id, digest

    def put() -> None:
        store.content.put(config, id)
        store.content.put(body, digest)

    await store.call(put)
    await store.add(digest, wanted)
    return id, digest


def _digest(data: bytes) -> str:
    import hashlib

    return f"sha256:{hashlib.sha256(data).hexdigest()}"
