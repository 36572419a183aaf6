"""`sampan trace`: the call chain of a request, the traces that there are, and which service calls which."""

from __future__ import annotations

import argparse
import shutil
import time
from typing import Any

import msgspec

from sampan.cli import monitoring
from sampan.cli.context import CommandError, Context
from sampan.cli.kubectl import flags
from sampan.cli.kubectl.printing.table import Columns
from sampan.cli.kubectl.session import Session, connect, seconds
from sampan.monitor import chains
from sampan.monitor.chains import Edge, Summary
from sampan.monitor.spans import Span

EXAMPLES = """\
examples:
  sampan trace guestbook            the newest request that this app took part in, as a waterfall
  sampan trace guestbook --list     its newest requests, a line each
  sampan trace --id 4bf92f35        this very request
  sampan trace --map                which service calls which, and how long that takes"""

HINT = (
    "no traces{of}: requests that come through an Ingress are traced; programs in Python send traces when their pods"
    ' have the annotation instrumentation.opentelemetry.io/inject-python: "true" (of an app: --instrument python),'
    " others when OTEL_EXPORTER_OTLP_ENDPOINT leads to this node (docs/monitor.md tells the address)"
)


class _Traces(msgspec.Struct):
    traces: tuple[Summary, ...] = ()


class _Spans(msgspec.Struct):
    spans: tuple[Span, ...] = ()


class _Map(msgspec.Struct):
    edges: tuple[Edge, ...] = ()


def configure(parser: argparse.ArgumentParser) -> None:
    parser.usage = "sampan trace [APP | SERVICE] [--list | --id ID | --map]"
    flags.set_up(parser)
    flags.all_namespaces(parser)
    add = parser.add_argument
    add("--list", action="store_true", help="the newest traces, a line each")
    add("--id", default="", metavar="ID", help="the trace of this ID, or of its beginning")
    add("--map", action="store_true", help="which service calls which")
    add("--limit", type=int, default=20, metavar="N", help="how many traces --list shows")
    add("--slowest", action="store_true", help="the slowest of the newest traces, instead of the newest")
    add("--since", default="1h", metavar="DURATION", help="how far --map looks back")


async def run(options: argparse.Namespace, context: Context) -> int:
    if len(options.args) > 1:
        raise CommandError("error: name one app or service: sampan trace NAME")
    name = options.args[0].rpartition("/")[2] if options.args else ""
    async with connect(options, context) as session:
        if options.map:
            return await _map(session, context, options)
        if options.id:
            return await _trace(session, context, options.id)
        found = await _recent(session, options, name)
        if not found:
            raise CommandError(HINT.format(of=f" of {name}" if name else ""))
        if options.list or not name:
            return _list(context, found)
        chosen = max(found, key=lambda each: each.duration) if options.slowest else found[0]
        return await _trace(session, context, chosen.trace)


async def _recent(session: Session, options: argparse.Namespace, name: str) -> list[Summary]:
    query: dict[str, Any] = {"limit": max(1, min(options.limit, 500)), "service": [name] if name else []}
    if not options.all_namespaces:
        query["namespace"] = session.namespace
    answers = await monitoring.ask(session, "traces", query, _Traces)
    found = {each.trace: each for answer in answers for each in answer.traces}
    return sorted(found.values(), key=lambda each: -each.start)[: options.limit]


def _list(context: Context, found: list[Summary]) -> int:
    rows = [["TRACE", "AGE", "DURATION", "SPANS", "ERRORS", "REQUEST", "SERVICES"]]
    for each in found:
        request = f"{each.service} {each.name}".strip()
        row = [each.trace[:12], _age(each.start), chains.duration(each.duration), str(each.spans), str(each.errors)]
        rows.append([*row, request[:60], " ".join(each.services)])
    for line in Columns().lines(rows):
        context.out(line)
    return 0


async def _trace(session: Session, context: Context, id: str) -> int:
    answers = await monitoring.ask(session, f"traces/{id.lower()}", {}, _Spans)
    spans = [span for answer in answers for span in answer.spans]
    if not spans:
        raise CommandError(f"no trace {id}: it is not known, or so old that it gave way to newer ones")
    told = chains.summary(spans)
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(told.start / 1e9))
    failed = f", {told.errors} failed" if told.errors else ""
    context.out(
        f"trace {told.trace}  {when}\n"
        f"{_count(told.spans, 'span')} of {_count(len(told.services), 'service')}"
        f" in {chains.duration(told.duration)}{failed}\n"
    )
    for line in chains.waterfall(spans, max(60, shutil.get_terminal_size((110, 24)).columns)):
        context.out(line)
    return 0


async def _map(session: Session, context: Context, options: argparse.Namespace) -> int:
    answers = await monitoring.ask(session, "map", {"since": seconds(options.since)}, _Map)
    edges = [edge for answer in answers for edge in answer.edges]
    if not edges:
        raise CommandError(HINT.format(of=""))
    rows = [["CALLER", "CALLS", "COUNT", "ERRORS", "MEDIAN", "95%"]]
    for edge in edges:
        times = [chains.duration(edge.median), chains.duration(edge.slow)]
        rows.append([edge.caller or "(outside)", edge.callee, str(edge.calls), str(edge.errors), *times])
    for line in Columns().lines(rows):
        context.out(line)
    return 0


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _age(start: int) -> str:
    passed = max(0.0, time.time() - start / 1e9)
    for size, letter in ((86400, "d"), (3600, "h"), (60, "m")):
        if passed >= 2 * size:
            return f"{int(passed // size)}{letter}"
    return f"{int(passed)}s"
