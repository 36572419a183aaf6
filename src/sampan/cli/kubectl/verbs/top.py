"""`sampan top`: what nodes, pods and their containers use, as metrics.k8s.io tells it."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from typing import Any

from sampan.api import quantity
from sampan.cli.context import CommandError, Context
from sampan.cli.kubectl import flags
from sampan.cli.kubectl.printing.table import Columns
from sampan.cli.kubectl.session import Session, connect

EXAMPLES = """\
examples:
  sampan top nodes
  sampan top pods --containers
  sampan top pods -A --sort-by=cpu
  sampan top pod -l app=web --sum"""

METRICS = "/apis/metrics.k8s.io/v1beta1"
Document = dict[str, Any]
_PODS = ("pod", "pods", "po")
_NODES = ("node", "nodes", "no")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.usage = "sampan top pods [NAME] | nodes [NAME]"
    flags.set_up(parser)
    flags.selector(parser, fields=True)
    flags.all_namespaces(parser)
    add = parser.add_argument
    add("--containers", action="store_true", help="each container of the pods by itself")
    add("--sort-by", default="", metavar="cpu|memory", help="the most first")
    add("--sum", action="store_true", help="the sum of all pods below them")
    add("--no-headers", action="store_true", help="leave out the headers")
    add("--show-capacity", action="store_true", help="percent of the nodes' capacity, not of what pods may have")


async def run(options: argparse.Namespace, context: Context) -> int:
    what, *names = options.args or [""]
    if what not in (*_PODS, *_NODES) or len(names) > 1:
        raise CommandError("error: say what to look at: sampan top pods [NAME], or sampan top nodes [NAME]")
    if options.sort_by not in ("", "cpu", "memory"):
        raise CommandError("Error: --sort-by accepts only cpu or memory")
    name = names[0] if names else ""
    if name and options.selector:
        raise CommandError("error: only one of NAME or selector can be provided")
    async with connect(options, context) as session:
        rows = await (_pods(session, options, name) if what in _PODS else _nodes(session, options, name))
        if not rows:
            where = "" if what in _NODES or options.all_namespaces else f" in {session.namespace} namespace"
            context.err(f"No resources found{where}." if where else "No resources found")
            return 0
    for line in Columns().lines(rows):
        context.out(line)
    return 0


async def _read(session: Session, path: str, options: argparse.Namespace, name: str) -> list[Document]:
    if name:
        return [await session.read(f"{path}/{name}")]
    query = {"labelSelector": options.selector, "fieldSelector": options.field_selector}
    return list((await session.read(path, query)).get("items") or ())


# --- pods ---


async def _pods(session: Session, options: argparse.Namespace, name: str) -> list[list[str]]:
    everywhere = options.all_namespaces and not name
    path = f"{METRICS}/pods" if everywhere else f"{METRICS}/namespaces/{session.namespace}/pods"
    pods = _sorted(await _read(session, path, options, name), options.sort_by, _used)
    if not pods:
        return []
    own = ["POD", "NAME"] if options.containers else ["NAME"]
    head = [*(["NAMESPACE"] if everywhere else []), *own, "CPU(cores)", "MEMORY(bytes)"]
    rows = [] if options.no_headers else [head]
    for pod in pods:
        meta = pod["metadata"]
        start = [meta["namespace"], meta["name"]] if everywhere else [meta["name"]]
        if options.containers:
            for each in _sorted(pod.get("containers") or (), options.sort_by, lambda one: one["usage"]):
                rows.append([*start, each["name"], *_cells(each["usage"])])
        else:
            rows.append([*start, *_cells(_used(pod))])
    if options.sum:
        empty = [""] * (len(head) - 2)
        rows.append([*empty, "________", "________"])
        rows.append([*empty, *_cells(_total(_used(pod) for pod in pods))])
    return rows


def _used(pod: Document) -> Mapping[str, str]:
    return _total(each["usage"] for each in pod.get("containers") or ())


def _total(usages: Iterable[Mapping[str, str]]) -> dict[str, str]:
    listed = list(usages)
    return {name: quantity.add("0", *(each.get(name, "0") for each in listed)) for name in ("cpu", "memory")}


def _cells(usage: Mapping[str, str]) -> list[str]:
    return [f"{quantity.milli(usage['cpu'])}m", f"{quantity.value(usage['memory']) >> 20}Mi"]


def _sorted(found: Iterable[Document], by: str, usage: Any) -> list[Document]:
    """As kubectl: the most first, else by namespace and name."""
    listed = list(found)
    if by:
        return sorted(listed, key=lambda each: -quantity.nano(usage(each).get(by, "0")))
    return sorted(listed, key=_name)


def _name(each: Document) -> tuple[str, str]:
    meta = each.get("metadata") or {"name": each.get("name")}
    return str(meta.get("namespace") or ""), str(meta["name"])


# --- nodes ---


async def _nodes(session: Session, options: argparse.Namespace, name: str) -> list[list[str]]:
    found = await _read(session, f"{METRICS}/nodes", options, name)
    nodes = _sorted(found, options.sort_by, lambda each: each["usage"])
    share = "capacity" if options.show_capacity else "allocatable"
    listed = await session.read("/api/v1/nodes")
    has = {each["metadata"]["name"]: (each.get("status") or {}).get(share) or {} for each in listed.get("items") or ()}
    head = ["NAME", "CPU(cores)", "CPU(%)", "MEMORY(bytes)", "MEMORY(%)"]
    rows = [] if options.no_headers or not nodes else [head]
    for each in nodes:
        own = each["metadata"]["name"]
        cpu, memory = _cells(each["usage"])
        whole = has.get(own) or {}
        rows.append([own, cpu, _percent(each, whole, "cpu"), memory, _percent(each, whole, "memory")])
    return rows


def _percent(node: Document, whole: Mapping[str, str], name: str) -> str:
    given = quantity.milli(whole[name]) if name in whole else 0
    return f"{quantity.milli(node['usage'][name]) * 100 // given}%" if given else "<unknown>"
