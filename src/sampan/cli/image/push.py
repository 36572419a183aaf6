"""`sampan image push`: an image to a registry; to the cluster's own it is a matter of names."""

from __future__ import annotations

import argparse

from sampan.cli.context import CommandError, Context
from sampan.cli.image.inspect import found_record
from sampan.cli.image.place import Place, connect
from sampan.cli.image.pull import credentials

NAME = "push"
ALIASES: tuple[str, ...] = ()
HELP = "send an image to the registry in its name"
EXAMPLES = "examples:\n  sampan image tag web:1 localhost:5000/web:1\n  sampan image push localhost:5000/web:1"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="such as localhost:5000/team/web:1")
    parser.add_argument("--user", metavar="NAME:PASSWORD", default="", help="credentials (or SAMPAN_REGISTRY_USER)")


async def run(options: argparse.Namespace, context: Context, place: Place) -> int:
    from sampan.host.containers import ImageFailure
    from sampan.images import reference as references
    from sampan.images.registry.push import Pusher

    pusher = Pusher(connect)
    for name in options.images:
        record = found_record(place.store, name)
        try:
            reference = references.parse(name)
            pushed = await pusher.push(record, reference, place.store, credentials(options.user, context))
        except ImageFailure as error:
            raise CommandError(str(error)) from error
        context.out(f"pushed {name}: {pushed.digest} ({pushed.sent} of {pushed.blobs} blobs sent)")
    return 0
