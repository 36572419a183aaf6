"""`sampan image`: the images of the node; load archives, list, remove."""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sampan.cli import cluster_options
from sampan.cli.context import CommandError, Context
from sampan.host.containers import Image, ImageFailure
from sampan.images import archive
from sampan.images import reference as references
from sampan.images.store import ImageStore

EXAMPLES = "sampan image load web.tar\ndocker save web:1 | sampan image load -\nsampan image rm web:1"
FORMATS = ("json", "yaml", "name")


def configure(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    load = verbs.add_parser("load", help="take docker or OCI archives (or OCI layouts) into the node's store")
    load.add_argument("files", nargs="+", metavar="FILE", help="an archive, or - for standard input")
    load.add_argument("--tag", default="", help="the name of an image whose archive has none")
    listing = verbs.add_parser("ls", aliases=["list"], help="the images that are there")
    listing.add_argument("-o", "--output", choices=FORMATS, help="json, yaml, or names only")
    remove = verbs.add_parser("rm", aliases=["remove"], help="forget images and what only they used")
    remove.add_argument("images", nargs="+", metavar="IMAGE", help="a name, or an ID or its beginning")
    for each in (load, listing, remove):
        cluster_options.add(each)


async def run(options: argparse.Namespace, context: Context) -> int:
    cluster = cluster_options.read(options)
    directory = cluster.data_dir / "images"
    if os.geteuid() != 0:
        raise CommandError("not root: the node's images belong to root; run it with sudo")
    if options.verb != "load" and not directory.is_dir():
        raise CommandError(f"cluster {cluster.name} has no images yet; `sampan image load FILE` brings one")
    store = ImageStore(str(directory))
    try:
        if options.verb == "load":
            return await _load(store, options.files, options.tag, context)
        if options.verb in ("ls", "list"):
            return await _list(store, options.output, context)
        return await _remove(store, options.images, context)
    finally:
        store.close()


async def _load(store: ImageStore, files: Sequence[str], tag: str, context: Context) -> int:
    for file in files:
        if file != "-" and not Path(file).exists():
            raise CommandError(f"{file}: there is no such file")
        try:
            images = await archive.load(store, "/dev/stdin" if file == "-" else file, tag)
        except (ImageFailure, OSError) as error:
            raise CommandError(str(error)) from error
        for image in images:
            context.out(f"loaded {', '.join(image.references) or image.id}")
    return 0


async def _list(store: ImageStore, output: str | None, context: Context) -> int:
    images = sorted(await store.images(), key=lambda image: image.references or (image.id,))
    if output == "name":
        for image in images:
            context.out("\n".join(image.references or (image.id,)))
    elif output == "json":
        context.out(json.dumps([_document(image) for image in images], indent=2))
    elif output == "yaml":
        import yaml

        context.out(yaml.safe_dump([_document(image) for image in images], sort_keys=False).rstrip())
    else:
        rows = [("IMAGE", "ID", "SIZE", "USED")]
        rows += [row for image in images for row in _rows(image)]
        widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
        for row in rows:
            context.out("   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
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
    short = image.id.removeprefix("sha256:")[:12]
    return [(name, short, _size(image.size), used) for name in image.references or ("<none>",)]


def _size(count: int) -> str:
    size, units = float(count), ["GB", "MB", "kB", "B"]
    while size >= 1000 and len(units) > 1:
        size /= 1000
        units.pop()
    return f"{size:.4g}{units[-1]}"


async def _remove(store: ImageStore, names: Sequence[str], context: Context) -> int:
    """A name is taken away, and the image with its last one; an ID takes all names at once."""
    failed = 0
    for name in names:
        try:
            image = await store.image(name)
            if image is None:
                context.err(f"{name}: there is no such image; `sampan image ls` shows what is there")
                failed = 1
                continue
            by_id = image.id.removeprefix("sha256:").startswith(name.removeprefix("sha256:"))
            others = [] if by_id else [each for each in image.references if each != str(references.parse(name))]
            freed = await (store.untag(name) if others else store.remove(image.id))
        except ImageFailure as error:
            context.err(f"{name}: {error}")
            failed = 1
            continue
        kept = f"untagged {name}; the image stays as {', '.join(others)}"
        context.out(kept if others else f"removed {name} ({_size(freed)} freed)")
    return failed
