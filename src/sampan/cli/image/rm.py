"""`sampan image rm`: a name is taken away, and the image with its last one; an ID takes all names at once."""

from __future__ import annotations

import argparse

from sampan.cli.context import Context
from sampan.cli.image.place import Place, size

NAME = "rm"
ALIASES = ("remove",)
HELP = "forget images and what only they used"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="a name, or an ID or its beginning")


async def run(options: argparse.Namespace, context: Context, place: Place) -> int:
    from sampan.host.containers import ImageFailure
    from sampan.images import reference as references

    store = place.store
    failed = 0
    for name in options.images:
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
        context.out(kept if others else f"removed {name} ({size(freed)} freed)")
    return failed
