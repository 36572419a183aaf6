"""`sampan image inspect`: everything about images, as JSON."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from sampan.cli.context import CommandError, Context
from sampan.cli.image.place import Place

if TYPE_CHECKING:
    from sampan.images.store import ImageStore, Record

NAME = "inspect"
ALIASES: tuple[str, ...] = ()
HELP = "everything about images: configuration, layers, history"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="a name, or an ID or its beginning")


async def run(options: argparse.Namespace, context: Context, place: Place) -> int:
    found = []
    for name in options.images:
        found.append(document(place.store, found_record(place.store, name)))
    context.out(json.dumps(found, indent=2))
    return 0


def found_record(store: ImageStore, name: str) -> Record:
    from sampan.host.containers import ImageFailure

    try:
        record = store.find(name)
    except ImageFailure as error:
        raise CommandError(str(error)) from error
    if record is None:
        raise CommandError(f"{name}: there is no such image; `sampan image ls` shows what is there")
    return record


def document(store: ImageStore, record: Record) -> dict[str, Any]:
    from sampan.images.build import base_image

    whole = dict(base_image.configuration(store, record))
    manifest: dict[str, Any] = json.loads(store.content.read(record.manifest))
    return {
        "id": record.id,
        "digest": record.manifest,
        "references": list(record.names),
        "digests": list(record.digests),
        "size": record.size,
        "created": whole.get("created", ""),
        "architecture": whole.get("architecture", ""),
        "os": whole.get("os", ""),
        "config": whole.get("config") or {},
        "layers": [
            {"digest": blob["digest"], "diffID": diff_id, "size": blob["size"], "mediaType": blob["mediaType"]}
            for blob, diff_id in zip(manifest["layers"], record.layers, strict=True)
        ],
        "annotations": manifest.get("annotations") or {},
        "history": whole.get("history") or [],
    }
