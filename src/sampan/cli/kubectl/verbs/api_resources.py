"""`sampan api-resources`: everything that the server serves."""

from __future__ import annotations

import argparse

from sampan.cli.context import CommandError, Context
from sampan.cli.kubectl import flags
from sampan.cli.kubectl.printing.table import Columns
from sampan.cli.kubectl.resources import Resource
from sampan.cli.kubectl.session import connect

EXAMPLES = """\
examples:
  sampan api-resources
  sampan api-resources --namespaced=true -o name
  sampan api-resources --api-group=apps -o wide"""


def configure(parser: argparse.ArgumentParser) -> None:
    flags.set_up(parser)
    add = parser.add_argument
    add("-o", "--output", default="", metavar="wide|name", help="more columns, or names alone")
    add("--no-headers", action="store_true", help="leave out the headers")
    add(
        "--namespaced",
        action="store_true",
        default=True,
        help="only what lives in namespaces, or (=false) what does not",
    )
    add("--api-group", default=None, metavar="GROUP", help="only of this group")
    add("--verbs", default="", metavar="VERB,...", help="only what supports all of these")
    add("--categories", default="", metavar="NAME,...", help="only what is in all of these")
    add("--sort-by", default="", metavar="name|kind", help="order by this")
    add("--cached", action="store_true", help=argparse.SUPPRESS)


async def run(options: argparse.Namespace, context: Context) -> int:
    if options.output not in ("", "wide", "name"):
        raise CommandError(f"error: --output {options.output} is not available")
    async with connect(options, context) as session:
        known = await session.resources()
    chosen = [each for each in known.preferred if _wanted(each, options)]
    if options.sort_by:
        chosen.sort(key=lambda r: r.kind if options.sort_by == "kind" else r.plural)
    else:
        chosen.sort(key=lambda r: (r.group, r.plural))
    if options.output == "name":
        for each in chosen:
            context.out(each.full_name)
        return 0
    wide = options.output == "wide"
    rows = [] if options.no_headers else [["NAME", "SHORTNAMES", "APIVERSION", "NAMESPACED", "KIND"]]
    if wide and rows:
        rows[0] += ["VERBS", "CATEGORIES"]
    for each in chosen:
        row = [each.plural, ",".join(each.short), each.api_version, str(each.namespaced).lower(), each.kind]
        rows.append([*row, *((",".join(sorted(each.verbs)), ",".join(each.categories)) if wide else ())])
    for line in Columns().lines(rows):
        context.out(line)
    return 0


def _wanted(each: Resource, options: argparse.Namespace) -> bool:
    if "namespaced" in options.given and each.namespaced is not options.namespaced:
        return False
    if options.api_group is not None and each.group != options.api_group:
        return False
    if not set(filter(None, options.verbs.split(","))) <= set(each.verbs):
        return False
    return bool(each.verbs) and set(filter(None, options.categories.split(","))) <= set(each.categories)
