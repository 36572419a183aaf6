"""`sampan image pull`: an image from a registry into the node's store."""

from __future__ import annotations

import argparse

from sampan.cli.context import CommandError, Context
from sampan.cli.image.place import Place, short, size

NAME = "pull"
ALIASES: tuple[str, ...] = ()
HELP = "bring an image from a registry"
MAKES = True


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="such as nginx:1.29 or localhost:5000/team/web:1")
    parser.add_argument("--user", metavar="NAME:PASSWORD", default="", help="credentials (or SAMPAN_REGISTRY_USER)")


def credentials(text: str, context: Context) -> list[tuple[str, str]]:
    given = text or context.environ.get("SAMPAN_REGISTRY_USER", "")
    if not given:
        return []
    name, colon, password = given.partition(":")
    if not colon:
        raise CommandError("credentials are NAME:PASSWORD")
    return [(name, password)]


async def run(options: argparse.Namespace, context: Context, place: Place) -> int:
    from sampan.host.containers import ImageFailure

    for name in options.images:
        try:
            image = await place.store.pull(name, credentials(options.user, context))
        except ImageFailure as error:
            raise CommandError(str(error)) from error
        context.out(f"pulled {name}: {short(image.id)}, {size(image.size)}")
    return 0
