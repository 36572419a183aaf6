"""`sampan annotate`: annotations set, changed and removed."""

from __future__ import annotations

import argparse

from sampan.cli.context import Context
from sampan.cli.kubectl import changing

EXAMPLES = """\
examples:
  sampan annotate pod web note='who did this'
  sampan annotate pod web note-"""

FIELD = changing.Field("annotations", "annotation", "annotated")


def configure(parser: argparse.ArgumentParser) -> None:
    changing.configure(parser, "annotate")


async def run(options: argparse.Namespace, context: Context) -> int:
    return await changing.run(options, context, FIELD)
