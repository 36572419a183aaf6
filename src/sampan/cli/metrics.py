"""`sampan metrics`: the figures that pods show to Prometheus (prometheus.io/scrape), as they were last read."""

from __future__ import annotations

import argparse
import itertools
import re
import time
from collections.abc import Mapping

import msgspec

from sampan.cli import monitoring
from sampan.cli.context import CommandError, Context
from sampan.cli.kubectl import flags
from sampan.cli.kubectl.printing.table import Columns
from sampan.cli.kubectl.session import connect, seconds

EXAMPLES = """\
examples:
  sampan metrics                                       which figures there are
  sampan metrics http_requests_total                   each series: its last value, and its change a second
  sampan metrics 'http_requests_total{code="500"}'
  sampan metrics up --since 1h --points                every point"""

_QUERY = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)?(?:\{(.*)\})?")
_MATCHER = re.compile(r'\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*"([^"]*)"\s*(?:,|$)')


class _Line(msgspec.Struct):
    name: str
    labels: Mapping[str, str]
    points: tuple[tuple[int, float | None], ...]


class _Name(msgspec.Struct):
    name: str
    series: int


class _Answer(msgspec.Struct):
    series: tuple[_Line, ...] = ()
    names: tuple[_Name, ...] = ()


def configure(parser: argparse.ArgumentParser) -> None:
    parser.usage = 'sampan metrics [NAME[{LABEL="VALUE",...}]]'
    flags.set_up(parser)
    flags.all_namespaces(parser)
    add = parser.add_argument
    add("--since", default="5m", metavar="DURATION", help="how far to look back")
    add("--limit", type=int, default=100, metavar="N", help="how many series to show")
    add("--points", action="store_true", help="every point, not the last alone")


async def run(options: argparse.Namespace, context: Context) -> int:
    if len(options.args) > 1:
        raise CommandError("error: ask for one name at a time: sampan metrics NAME")
    name, labels = parse(options.args[0] if options.args else "")
    async with connect(options, context) as session:
        if name and not options.all_namespaces:
            labels.setdefault("namespace", session.namespace)
        given = [f"{key}={value}" for key, value in labels.items()]
        query = {"name": name, "label": given, "since": seconds(options.since), "limit": options.limit}
        answers = await monitoring.ask(session, "series", query, _Answer)
    names = [each for answer in answers for each in answer.names]
    lines = [each for answer in answers for each in answer.series]
    if not names and not lines:
        raise CommandError(
            f"no figures{f' called {name}' if name else ''}: pods show them when they are annotated"
            ' prometheus.io/scrape: "true", and prometheus.io/port (docs/monitor.md)'
        )
    rows = [["NAME", "SERIES"], *([each.name, str(each.series)] for each in names)] if names else _rows(lines, options)
    for line in Columns().lines(rows):
        context.out(line)
    return 0


def parse(text: str) -> tuple[str, dict[str, str]]:
    """`name{label="value"}`. Raises CommandError."""
    match = _QUERY.fullmatch(text.strip())
    if match is None:
        raise CommandError(f'error: {text!r}: ask as NAME or NAME{{LABEL="VALUE"}}')
    inside, labels, at = match[2] or "", {}, 0
    while at < len(inside.rstrip()):
        one = _MATCHER.match(inside, at)
        if one is None:
            raise CommandError(f'error: {inside[at:]!r}: labels are asked for as LABEL="VALUE"')
        labels[one[1]] = one[2]
        at = one.end()
    return match[1] or "", labels


def _rows(lines: list[_Line], options: argparse.Namespace) -> list[list[str]]:
    if options.points:
        return [
            ["TIME", "VALUE", "SERIES"],
            *([_clock(at), _number(value), _shown(line)] for line in lines for at, value in line.points),
        ]
    head = ["VALUE", "PER SECOND", "AGE", "SERIES"]
    return [head, *([_number(line.points[-1][1]), _rate(line), _age(line), _shown(line)] for line in lines)]


def _shown(line: _Line) -> str:
    labels = ",".join(f'{key}="{value}"' for key, value in sorted(line.labels.items()))
    return f"{line.name}{{{labels}}}"


def _rate(line: _Line) -> str:
    """Of counters, which only grow, as Prometheus names them; a value below the one before began anew."""
    if not line.name.endswith(("_total", "_count", "_sum", "_bucket")) or len(line.points) < 2:
        return ""
    known = [(at, value) for at, value in line.points if value is not None]
    grown = sum(b - a if b >= a else b for (_, a), (_, b) in itertools.pairwise(known))
    took = (known[-1][0] - known[0][0]) / 1000 if known else 0.0
    return f"{grown / took:.3g}" if took else ""


def _number(value: float | None) -> str:
    return "NaN" if value is None else f"{value:.10g}"


def _clock(at: int) -> str:
    return time.strftime("%H:%M:%S", time.localtime(at / 1000))


def _age(line: _Line) -> str:
    return f"{max(0, int(time.time() - line.points[-1][0] / 1000))}s"
