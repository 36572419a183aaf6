"""`sampan image base`: a base image from the distribution's own packages, where no registry can be reached."""

from __future__ import annotations

import argparse

from sampan.cli.context import CommandError, Context
from sampan.cli.image.place import Place, short, size

NAME = "base"
ALIASES: tuple[str, ...] = ()
HELP = "make a base image from distribution packages, where no registry can be reached"
MAKES = True
EXAMPLES = """examples:
  sampan image base debian
  sampan image base debian --suite trixie --include ca-certificates,curl -t debian:trixie-curl"""


def configure(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("distribution", choices=("debian", "ubuntu"), help="debian or ubuntu")
    add("--suite", default="", metavar="NAME", help="release, such as bookworm (default: this machine's, else stable)")
    add("--include", default="", metavar="PACKAGE,...", help="packages besides the minimum")
    add("--mirror", default="", metavar="URL", help="where packages come from (default: as on this machine)")
    add("-t", "--tag", action="append", default=[], metavar="NAME", help="its names (default: debian:SUITE and others)")
    add("--again", action="store_true", help="make it again although it is here")


async def run(options: argparse.Namespace, context: Context, place: Place) -> int:
    from sampan.host.containers import ImageFailure
    from sampan.images.build import base
    from sampan.images.build.errors import BuildError

    wanted = base.Wanted(
        options.distribution,
        options.suite or base.suite_of_machine(options.distribution),
        tuple(part for part in options.include.split(",") if part),
        options.mirror,
        tuple(options.tag),
    )
    try:
        made = await base.make(place.store, wanted, context.err, again=options.again)
    except (BuildError, ImageFailure) as error:
        raise CommandError(str(error)) from error
    how = "is here" if made.before else "made"
    context.out(f"{how}: {', '.join(made.names)}: {short(made.id)}, {size(made.size)}")
    return 0
