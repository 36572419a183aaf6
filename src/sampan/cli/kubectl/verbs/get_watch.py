"""`sampan get -w`: what is there, then every change until interrupted."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from typing import Any

from sampan.cli.context import CommandError
from sampan.cli.kubectl.printing.choose import Printer
from sampan.cli.kubectl.printing.table import ACCEPT, TablePrinter
from sampan.cli.kubectl.select import Target
from sampan.cli.kubectl.session import Session
from sampan.cli.kubectl.verbs import get

Document = dict[str, Any]


async def run(session: Session, found: Sequence[Target], printer: Printer | None) -> int:
    options = session.options
    if len(found) != 1:
        raise CommandError("error: you may only specify a single resource type with --watch")
    target = found[0]
    query = get.query(options)
    if target.name:
        await session.read(target.path)
        query["fieldSelector"] = f"metadata.name={target.name}"
    path = target.resource.path(target.namespace)
    headers = {"accept": ACCEPT} if printer is None else {}
    table = get.table_printer(session, target, kinds=options.show_kind)
    first = await session.read(path, query, headers)
    if not options.watch_only:
        _show_first(session, target, first, table, printer)
    version = (first.get("metadata") or {}).get("resourceVersion") or ""
    stream = session.watch(path, {**query, "resourceVersion": version}, headers)
    async with aclosing(stream) as events:
        async for event in events:
            if event["type"] != "BOOKMARK":
                _show(session, target, event, table, printer)
    return 0


def _show_first(
    session: Session, target: Target, first: Document, table: TablePrinter, printer: Printer | None
) -> None:
    if printer is None:
        made = get.as_table(first)
        if made.get("rows"):
            table.show(made, "ADDED" if session.options.output_watch_events else "")
        return
    for item in first.get("items") or ():
        _show(session, target, {"type": "ADDED", "object": item}, table, printer)


def _show(session: Session, target: Target, event: Document, table: TablePrinter, printer: Printer | None) -> None:
    options = session.options
    if printer is None:
        table.show(get.as_table(event["object"]), event["type"] if options.output_watch_events else "")
        return
    document = get.typed(event["object"], target)
    if options.output_watch_events:
        document = {"type": event["type"], "object": document}
    separator = "---\n" if options.output == "yaml" else ""
    session.context.stdout.write(separator + printer(document))
    session.context.stdout.flush()
