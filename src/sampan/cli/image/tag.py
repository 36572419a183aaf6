"""`sampan image tag`: one more name for an image."""

from __future__ import annotations

import argparse

from sampan.cli.context import CommandError, Context
from sampan.cli.image.place import Place

NAME = "tag"
ALIASES: tuple[str, ...] = ()
HELP = "give an image one more name, taken from the image that had it"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("image", metavar="IMAGE", help="a name, or an ID or its beginning")
    parser.add_argument("names", nargs="+", metavar="NAME", help="such as web:2 or localhost:5000/team/web:2")


async def run(options: argparse.Namespace, context: Context, place: Place) -> int:
    from sampan.host.containers import ImageFailure

    try:
        for name in options.names:
            await place.store.tag(options.image, name)
            context.out(f"tagged {name}")
    except ImageFailure as error:
        raise CommandError(f"{error}; `sampan image ls` shows what is there") from error
    return 0
