"""`sampan events`: what happened, in order."""

from __future__ import annotations

import argparse
from contextlib import aclosing
from typing import Any

from sampan.cli.context import Context
from sampan.cli.kubectl import flags
from sampan.cli.kubectl.describing import common
from sampan.cli.kubectl.printing import choose
from sampan.cli.kubectl.printing.table import Columns
from sampan.cli.kubectl.session import Session, connect

Document = dict[str, Any]

EXAMPLES = """\
examples:
  sampan events
  sampan events --for=pod/web --watch
  sampan events -A --types=Warning"""


def configure(parser: argparse.ArgumentParser) -> None:
    flags.set_up(parser)
    flags.all_namespaces(parser)
    flags.output(parser)
    add = parser.add_argument
    add("--for", dest="for_", default="", metavar="TYPE/NAME", help="about this object")
    add("--types", default="", metavar="TYPE,...", help="Normal or Warning")
    add("-w", "--watch", action="store_true", help="go on with what happens")
    add("--no-headers", action="store_true", help="leave out the headers")


async def run(options: argparse.Namespace, context: Context) -> int:
    async with connect(options, context) as session:
        query = {"fieldSelector": await _selector(session)}
        path = "/api/v1/events" if options.all_namespaces else f"/api/v1/namespaces/{session.namespace}/events"
        listed = await session.read(path, query)
        found = [each for each in listed.get("items") or () if _wanted(each, options)]
        found.sort(key=_when)
        printer = choose.printer(options)
        if printer is not None:
            context.stdout.write(printer({"apiVersion": "v1", "kind": "List", "metadata": {}, "items": found}))
            return 0
        if not found and not options.watch:
            context.err(
                "No events found." if options.all_namespaces else f"No events found in {session.namespace} namespace."
            )
            return 0
        columns = Columns()
        rows = [] if options.no_headers else [_header(options)]
        _print(context, columns, [*rows, *(_row(each, options) for each in found)])
        if options.watch:
            version = (listed.get("metadata") or {}).get("resourceVersion") or ""
            async with aclosing(session.watch(path, {**query, "resourceVersion": version})) as events:
                async for event in events:
                    if event["type"] in ("ADDED", "MODIFIED") and _wanted(event["object"], options):
                        _print(context, columns, [_row(event["object"], options)])
        return 0


async def _selector(session: Session) -> str:
    if not session.options.for_:
        return ""
    word, _, name = session.options.for_.partition("/")
    resource = (await session.resources()).find(word)
    return f"involvedObject.kind={resource.kind},involvedObject.name={name}"


def _wanted(event: Document, options: argparse.Namespace) -> bool:
    types = [each.lower() for each in options.types.split(",") if each]
    return not types or (event.get("type") or "").lower() in types


def _when(event: Document) -> str:
    return str(
        (event.get("series") or {}).get("lastObservedTime")
        or event.get("lastTimestamp")
        or event.get("eventTime")
        or ""
    )


def _header(options: argparse.Namespace) -> list[str]:
    return [*(["NAMESPACE"] if options.all_namespaces else []), "LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"]


def _row(event: Document, options: argparse.Namespace) -> list[str]:
    about = event.get("involvedObject") or {}
    first = event.get("firstTimestamp") or event.get("eventTime")
    count = event.get("count") or 0
    seen = f"{common.age(_when(event))} (x{count} over {common.age(first)})" if count > 1 else common.age(first)
    return [
        *([event["metadata"].get("namespace", "")] if options.all_namespaces else []),
        seen,
        event.get("type") or "",
        event.get("reason") or "",
        f"{about.get('kind', '')}/{about.get('name', '')}",
        (event.get("message") or "").strip(),
    ]


def _print(context: Context, columns: Columns, rows: list[list[str]]) -> None:
    for line in columns.lines(rows):
        context.out(line)
    context.stdout.flush()
