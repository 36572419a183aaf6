"""`sampan image ls`: the images that are there."""

from __future__ import annotations

import argparse
import json
import time
from typing import TYPE_CHECKING, Any

from sampan.cli.context import Context
from sampan.cli.image.place import Place, short, size, table

if TYPE_CHECKING:
    from sampan.host.containers import Image

NAME = "ls"
ALIASES = ("list",)
HELP = "the images that are there"
FORMATS = ("json", "yaml", "name")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-o", "--output", choices=FORMATS, help="json, yaml, or names only")


async def run(options: argparse.Namespace, context: Context, place: Place) -> int:
    images = sorted(await place.store.images(), key=lambda image: image.references or (image.id,))
    if options.output == "name":
        for image in images:
            context.out("\n".join(image.references or (image.id,)))
    elif options.output == "json":
        context.out(json.dumps([_document(image) for image in images], indent=2))
    elif options.output == "yaml":
        import yaml

        context.out(yaml.safe_dump([_document(image) for image in images], sort_keys=False).rstrip())
    else:
        context.out(table([("IMAGE", "ID", "SIZE", "USED"), *(row for image in images for row in _rows(image))]))
    return 0


def _document(image: Image) -> dict[str, Any]:
    return {
        "id": image.id,
        "references": list(image.references),
        "digests": list(image.digests),
        "size": image.size,
        "usedAt": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(image.used_at)),
    }


def _rows(image: Image) -> list[tuple[str, str, str, str]]:
    used = time.strftime("%Y-%m-%d %H:%M", time.localtime(image.used_at))
    return [(name, short(image.id), size(image.size), used) for name in image.references or ("<none>",)]
