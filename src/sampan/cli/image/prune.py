"""`sampan image prune`: what nothing needs any more."""

from __future__ import annotations

import argparse

from sampan.cli.context import Context
from sampan.cli.image.place import Place, size

NAME = "prune"
ALIASES: tuple[str, ...] = ()
HELP = "remove images without a name, and what nothing needs any more"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cache", action="store_true", help="the build cache and its cache mounts, too")


async def run(options: argparse.Namespace, context: Context, place: Place) -> int:
    from sampan.host.containers import ImageFailure
    from sampan.images.build.cache import Cache
    from sampan.images.build.workshop import Workshop

    store = place.store
    freed = 0
    removed = 0
    if options.cache:
        entries = await store.call(lambda: Cache(store).prune(entries=0))
        workshop = Workshop(place.cluster.name, f"{store.root_directory}/build", "")
        freed += await store.call(workshop.forget_mounts)
        context.out(f"forgot {entries} steps of builds")
    for image in await store.images():
        if image.references or image.digests:
            continue
        try:
            freed += await store.remove(image.id)
        except ImageFailure:  # a container runs on it
            context.err(f"{image.id} is in use")
            continue
        removed += 1
    freed += await store.collect()
    context.out(f"removed {removed} image{'s' if removed != 1 else ''} ({size(freed)} freed)")
    return 0
