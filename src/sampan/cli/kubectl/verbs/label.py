"""`sampan label`: labels set, changed and removed."""

from __future__ import annotations

import argparse

from sampan.cli.context import Context
from sampan.cli.kubectl import changing

EXAMPLES = """\
examples:
  sampan label pod web tier=front
  sampan label pod web tier=back --overwrite
  sampan label pod web tier-
  sampan label pods --all checked=yes"""

FIELD = changing.Field("labels", "label", "labeled")


def configure(parser: argparse.ArgumentParser) -> None:
    changing.configure(parser, "label")


async def run(options: argparse.Namespace, context: Context) -> int:
    return await changing.run(options, context, FIELD)
