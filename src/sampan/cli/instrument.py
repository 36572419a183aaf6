"""`sampan instrument`: OpenTelemetry's packages, which containers get that ask for traces by annotation."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from sampan.cli import cluster_options
from sampan.cli.context import CommandError, Context
from sampan.monitor.instrument import packages

EXAMPLES = """\
examples:
  sampan instrument                            whether the packages are on this machine
  sampan instrument python                     fetch them now, not when the first container asks
  sampan instrument python --wheels ./wheels   without a network, from a directory of wheels"""

ANNOTATE = 'instrumentation.opentelemetry.io/inject-python: "true"'


def configure(parser: argparse.ArgumentParser) -> None:
    parser.usage = "sampan instrument [python] [--wheels DIRECTORY]"
    add = parser.add_argument
    add("language", nargs="?", default="", choices=["", "python"], help="whose packages are fetched")
    add("--wheels", default="", metavar="DIRECTORY", help="take them from here alone")
    add("--show", action="store_true", help="print the packages' names and versions, for pip download")
    cluster_options.add(parser)


async def run(options: argparse.Namespace, context: Context) -> int:
    if options.show:
        for each in packages.REQUIREMENTS:
            context.out(each)
        return 0
    have = packages.Packages(cluster_options.read(options).data_dir / "instrument")
    if options.language and not have.ready():
        if os.geteuid() != 0:
            raise CommandError("error: not root: the packages are kept beside the cluster's state; run it with sudo")
        if options.wheels and not Path(options.wheels).is_dir():
            raise CommandError(f"error: {options.wheels}: there is no such directory")
        context.err(f"fetching OpenTelemetry {packages.RELEASE} for Python {packages.LOWEST} and later")
        try:
            await have.prepare(options.wheels)
        except packages.Missing as error:
            raise CommandError(f"error: {error}") from error
    if have.ready():
        context.out(f"python   ready   OpenTelemetry {packages.RELEASE} in {have.directory}")
    else:
        context.out("python   not fetched yet: the first container that asks brings it, or sampan instrument python")
    context.err(f"a pod asks with the annotation {ANNOTATE}")
    return 0
