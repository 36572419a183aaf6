"""`sampan describe`: one object for people, with what belongs to it and its events."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from sampan.api.errors import StatusError
from sampan.cli.context import Context
from sampan.cli.kubectl import describing, flags, select, words
from sampan.cli.kubectl.describing.tabs import Writer
from sampan.cli.kubectl.select import Target
from sampan.cli.kubectl.session import Session, connect

Document = dict[str, Any]

EXAMPLES = """\
examples:
  sampan describe pod web
  sampan describe pods -l app=web
  sampan describe node"""


def configure(parser: argparse.ArgumentParser) -> None:
    flags.set_up(parser)
    flags.filenames(parser)
    flags.selector(parser)
    flags.all_namespaces(parser)
    parser.add_argument("--show-events", action="store_true", default=True, help="show events (default)")
    parser.add_argument("--chunk-size", type=int, default=500, help=argparse.SUPPRESS)


async def run(options: argparse.Namespace, context: Context) -> int:
    async with connect(options, context) as session:
        found = await select.targets(session, options.args, all_namespaces=options.all_namespaces)
        listed: list[tuple[Target, Document]] = []
        errors: list[StatusError] = []
        for target in found:
            try:
                listed += await _objects(session, target)
            except StatusError as error:
                errors.append(error)
        for at, (target, document) in enumerate(listed):
            context.stdout.write(("\n\n" if at else "") + await describe(session, target, document))
        if not listed and not errors:
            from sampan.cli.kubectl.verbs import get

            context.err(get.nothing(session, found))
        for refused in errors:
            context.err(words.refusal(refused))
        return 1 if errors else 0


async def _objects(session: Session, target: Target) -> Sequence[tuple[Target, Document]]:
    """By name; when there is none of that name, all whose names begin so."""
    try:
        return await select.objects(session, [target], labels=session.options.selector)
    except StatusError as error:
        if error.code != 404 or not target.name:
            raise
        listed = await select.objects(session, [target._replace(name="")])
        found = [each for each in listed if each[0].name.startswith(target.name)]
        if not found:
            raise
        return found


async def describe(session: Session, target: Target, document: Document) -> str:
    describer = describing.find(target.resource.group, target.resource.kind)
    found: Document = {}
    for name, (path, query) in describer.needs(document).items():
        try:
            answer = await session.read(path, query)
        except StatusError:
            # What may not be read, or is not there, is left out; the object itself is what was asked for.
            answer = {"items": []} if name != "lease" else {}
        found[name] = answer.get("items") if "items" in answer else answer
    found["events"] = await _events(session, document) if session.options.show_events else []
    write = Writer()
    describer.describe(write, document, found)
    return write.text()


async def _events(session: Session, document: Document) -> list[Document]:
    meta = document["metadata"]
    terms = {
        "involvedObject.name": meta.get("name", ""),
        "involvedObject.namespace": meta.get("namespace", ""),
        "involvedObject.kind": document.get("kind", ""),
        "involvedObject.uid": meta.get("uid", "") if document.get("kind") != "Node" else "",
    }
    selector = ",".join(f"{field}={value}" for field, value in terms.items() if value)
    path = f"/api/v1/namespaces/{meta['namespace']}/events" if meta.get("namespace") else "/api/v1/events"
    try:
        return list((await session.read(path, {"fieldSelector": selector})).get("items") or [])
    except StatusError:
        return []
