"""`sampan image`: images built, loaded, listed, moved and removed. One module per verb; order is that of help."""

from __future__ import annotations

import argparse

from sampan.cli import cluster_options
from sampan.cli.context import Context
from sampan.cli.image import base, build, history, inspect, load, ls, prune, pull, push, rm, save, tag
from sampan.cli.image.place import opened

VERBS = (build, ls, inspect, history, tag, push, pull, save, load, rm, prune, base)
"""Each has NAME, ALIASES, HELP, `configure(parser)` and `run(options, context, place) -> int`."""

EXAMPLES = """examples:
  sampan image build -t web:1 .
  sampan image build --show .
  sampan image history web:1
  docker save web:1 | sampan image load -
  sampan image rm web:1"""


def configure(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for verb in VERBS:
        made = verbs.add_parser(
            verb.NAME,
            aliases=verb.ALIASES,
            help=verb.HELP,
            description=verb.HELP,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            epilog=getattr(verb, "EXAMPLES", None),
        )
        verb.configure(made)
        cluster_options.add(made)
        made.set_defaults(module=verb)


async def run(options: argparse.Namespace, context: Context) -> int:
    verb = options.module
    early = getattr(verb, "early", None)
    if early is not None:
        code: int | None = early(options, context)
        if code is not None:
            return code
    with opened(cluster_options.read(options), make=getattr(verb, "MAKES", False)) as place:
        answer: int = await verb.run(options, context, place)
        return answer
