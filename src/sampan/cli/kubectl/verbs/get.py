"""`sampan get`: objects as tables, or whole."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import Any

from sampan.api.errors import StatusError
from sampan.cli.context import CommandError, Context
from sampan.cli.kubectl import flags, select, words
from sampan.cli.kubectl.printing import choose
from sampan.cli.kubectl.printing.table import ACCEPT, TablePrinter, generic
from sampan.cli.kubectl.select import Target
from sampan.cli.kubectl.session import Session, connect

Document = dict[str, Any]

EXAMPLES = """\
examples:
  sampan get pods -o wide
  sampan get deployment/web service/web -o yaml
  sampan get pods -l app=web -w
  sampan get pods -A --sort-by=.metadata.creationTimestamp
  sampan get pods -o jsonpath='{.items[*].metadata.name}'"""


def configure(parser: argparse.ArgumentParser) -> None:
    flags.set_up(parser)
    flags.output(parser, f"one of {choose.FORMATS.replace(',', '|')}")
    flags.filenames(parser)
    flags.selector(parser, fields=True)
    flags.all_namespaces(parser)
    add = parser.add_argument
    add("-w", "--watch", action="store_true", help="go on with what changes")
    add("--watch-only", action="store_true", help="show only what changes from now on")
    add("--output-watch-events", action="store_true", help="also show the type of each event")
    add("--sort-by", default="", metavar="PATH", help="order by this JSONPath expression")
    add("--show-labels", action="store_true", help="show all labels in a column")
    add("-L", "--label-columns", action="append", default=[], metavar="KEY", help="show these labels in columns")
    add("--show-kind", action="store_true", help="show each object's kind before its name")
    add("--no-headers", action="store_true", help="leave out the headers")
    add("--ignore-not-found", action="store_true", help="no error for objects that do not exist")
    add("--chunk-size", type=int, default=500, metavar="N", help="how many objects a request lists; 0: all")
    add("--subresource", default="", metavar="NAME", help="a part of the object: status or scale")
    add("--raw", default="", metavar="PATH", help="print what the server answers at this path")
    add("--server-print", action="store_true", default=True, help=argparse.SUPPRESS)


async def run(options: argparse.Namespace, context: Context) -> int:
    async with connect(options, context) as session:
        if options.raw:
            context.stdout.write(await session.text(options.raw))
            return 0
        found = await select.targets(session, options.args, all_namespaces=options.all_namespaces)
        if options.selector and any(target.name for target in found):
            raise CommandError("error: name cannot be provided when a selector is specified")
        printer = choose.printer(options)
        if options.watch or options.watch_only:
            from sampan.cli.kubectl.verbs import get_watch

            return await get_watch.run(session, found, printer)
        if printer is not None:
            return await _whole(session, found, printer)
        return await _tables(session, found)


def query(options: argparse.Namespace) -> dict[str, str]:
    return {"labelSelector": options.selector, "fieldSelector": options.field_selector}


def table_printer(session: Session, target: Target, *, kinds: bool) -> TablePrinter:
    options = session.options
    return TablePrinter(
        session.context.stdout,
        wide=options.output == "wide",
        headers=not options.no_headers,
        namespaces=options.all_namespaces and target.resource.namespaced,
        labels=options.show_labels,
        label_columns=[key for keys in options.label_columns for key in keys.split(",")],
        kind=target.resource.display if kinds else "",
    )


# --- tables ---


async def _tables(session: Session, found: Sequence[Target]) -> int:
    """Targets of one type in a row share a table; tables of several types are apart by an empty line."""
    options = session.options
    kinds = options.show_kind or len({target.resource for target in found}) > 1
    errors: list[StatusError] = []
    shown = False
    groups: list[tuple[Target, Document]] = []
    for target in found:
        try:
            table = await _table(session, target)
        except StatusError as error:
            if not (error.code == 404 and options.ignore_not_found and target.name):
                errors.append(error)
            continue
        if groups and groups[-1][0].resource == target.resource:
            groups[-1][1]["rows"] = [*(groups[-1][1].get("rows") or ()), *(table.get("rows") or ())]
        else:
            groups.append((target, table))
    for target, table in groups:
        rows = table.get("rows") or ()
        if not rows:
            continue
        if options.sort_by:
            table["rows"] = ordered(rows, options.sort_by)
        if shown:
            session.context.out("")
        table_printer(session, target, kinds=kinds).show(table)
        shown = True
    for refused in errors:
        session.context.err(words.refusal(refused))
    if not shown and not errors and not options.ignore_not_found:
        session.context.err(nothing(session, found))
    return 1 if errors else 0


async def _table(session: Session, target: Target) -> Document:
    options = session.options
    path = target.resource.path(target.namespace, target.name, options.subresource)
    include = {"includeObject": "Object"} if options.sort_by else {}
    if target.name:
        return as_table(await session.read(path, include, {"accept": ACCEPT}))
    whole: Document = {}
    async for page in session.pages(path, {**query(options), **include}, {"accept": ACCEPT}, options.chunk_size):
        table = as_table(page)
        if not whole:
            whole = table
        else:
            whole["rows"] = [*(whole.get("rows") or ()), *(table.get("rows") or ())]
    return whole


def as_table(answer: Document) -> Document:
    return answer if answer.get("kind") == "Table" else generic(answer, time.time())


def nothing(session: Session, found: Sequence[Target]) -> str:
    if session.options.all_namespaces or not any(target.resource.namespaced for target in found):
        return "No resources found"
    return f"No resources found in {session.namespace} namespace."


def ordered(rows: Sequence[Document], path: str) -> list[Document]:
    """By what the path finds in each row's object; those where it finds nothing come first."""
    from sampan.cli.kubectl.printing import columns

    template = columns.template(path)
    keyed = [(_key(template.values(row.get("object") or row)), row) for row in rows]
    if keyed and all(key == (0,) for key, _ in keyed):
        raise CommandError(f"error: couldn't find any field with path {path!r} in the list of objects")
    return [row for _, row in sorted(keyed, key=lambda each: each[0])]


def _key(values: list[Any]) -> tuple[Any, ...]:
    value = values[0] if values else None
    if isinstance(value, bool | int | float):
        return (1, value, "")
    if isinstance(value, str):
        amount = _amount(value)
        return (1, amount, "") if amount is not None else (2, 0, value)
    return (0,) if value is None else (3, 0, str(value))


def _amount(text: str) -> int | None:
    """Quantities are compared by their amount."""
    from sampan.api import quantity

    try:
        return quantity.nano(text)
    except ValueError:
        return None


# --- whole objects ---


async def _whole(session: Session, found: Sequence[Target], printer: choose.Printer) -> int:
    options = session.options
    items: list[Document] = []
    errors: list[StatusError] = []
    for target in found:
        path = target.resource.path(target.namespace, target.name, options.subresource)
        try:
            if target.name:
                items.append(await session.read(path))
            else:
                async for page in session.pages(path, query(options), size=options.chunk_size):
                    items += [typed(item, target) for item in page.get("items") or ()]
        except StatusError as error:
            if not (error.code == 404 and options.ignore_not_found and target.name):
                errors.append(error)
    if options.sort_by:
        items = ordered(items, options.sort_by)
    single = len(found) == 1 and bool(found[0].name)
    if items and (single or options.output == "name"):
        for item in items:
            session.context.stdout.write(printer(item))
    elif not errors and not (single and options.ignore_not_found):
        if items or options.output != "name":
            whole = {"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""}, "items": items}
            session.context.stdout.write(printer(whole))
    elif items:
        whole = {"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""}, "items": items}
        session.context.stdout.write(printer(whole))
    for refused in errors:
        session.context.err(words.refusal(refused))
    return 1 if errors else 0


def typed(item: Document, target: Target) -> Document:
    """Items of lists do not repeat their type."""
    return {"apiVersion": target.resource.api_version, "kind": target.resource.kind, **item}
