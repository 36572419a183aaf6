"""`sampan api-versions`: the groups and versions that the server serves."""

from __future__ import annotations

import argparse

from sampan.cli.context import Context
from sampan.cli.kubectl import flags
from sampan.cli.kubectl.session import connect


def configure(parser: argparse.ArgumentParser) -> None:
    flags.set_up(parser)


async def run(options: argparse.Namespace, context: Context) -> int:
    async with connect(options, context) as session:
        known = await session.resources()
    for version in sorted({each.api_version for each in known}):
        context.out(version)
    return 0
