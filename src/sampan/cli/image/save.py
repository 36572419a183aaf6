"""`sampan image save`: images into an archive that docker, podman and skopeo read."""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile

from sampan.cli.context import CommandError, Context
from sampan.cli.image.place import Place

NAME = "save"
ALIASES: tuple[str, ...] = ()
HELP = "write images to an archive that docker, podman and skopeo read"
EXAMPLES = "examples:\n  sampan image save -o web.tar web:1\n  sampan image save web:1 | ssh other docker load"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="names, or IDs")
    parser.add_argument("-o", "--output", metavar="FILE", default="-", help="a file (default: standard output)")


async def run(options: argparse.Namespace, context: Context, place: Place) -> int:
    from sampan.host.containers import ImageFailure
    from sampan.images import archive

    if options.output == "-" and context.stdout.isatty():
        raise CommandError("an archive is nothing for a terminal; name a file with -o FILE")
    try:
        if options.output != "-":
            await archive.save(place.store, options.images, options.output)
            context.err(f"saved {', '.join(options.images)} to {options.output}")
            return 0
        with tempfile.TemporaryDirectory(dir=place.store.root_directory) as directory:
            path = f"{directory}/archive"
            await archive.save(place.store, options.images, path)
            with open(path, "rb") as file:  # noqa: ASYNC230  nothing else waits
                shutil.copyfileobj(file, context.stdout.buffer, 1 << 20)
    except ImageFailure as error:
        raise CommandError(f"{error}; `sampan image ls` shows what is there") from error
    except OSError as error:
        raise CommandError(f"cannot write {options.output}: {os.strerror(error.errno or 0).lower()}") from error
    return 0
