"""`sampan image load`: archives into the node's store."""

from __future__ import annotations

import argparse
from pathlib import Path

from sampan.cli.context import CommandError, Context
from sampan.cli.image.place import Place

NAME = "load"
ALIASES: tuple[str, ...] = ()
HELP = "take docker or OCI archives (or OCI layouts) into the node's store"
MAKES = True


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", metavar="FILE", help="an archive, or - for standard input")
    parser.add_argument("--tag", default="", help="the name of an image whose archive has none")


async def run(options: argparse.Namespace, context: Context, place: Place) -> int:
    from sampan.host.containers import ImageFailure
    from sampan.images import archive

    for file in options.files:
        if file != "-" and not Path(file).exists():
            raise CommandError(f"{file}: there is no such file")
        try:
            images = await archive.load(place.store, "/dev/stdin" if file == "-" else file, options.tag)
        except (ImageFailure, OSError) as error:
            raise CommandError(str(error)) from error
        for image in images:
            context.out(f"loaded {', '.join(image.references) or image.id}")
    return 0
