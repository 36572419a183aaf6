"""`sampan wait`: until objects are in a state: a condition, a value, there, or gone."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

from sampan.api.errors import StatusError
from sampan.cli.context import CommandError, Context
from sampan.cli.kubectl import flags, select, writing
from sampan.cli.kubectl.select import Target
from sampan.cli.kubectl.session import Session, connect, seconds

Document = dict[str, Any]
Holds = Callable[[Document], bool]

EXAMPLES = """\
examples:
  sampan wait --for=condition=Ready pod/web --timeout=60s
  sampan wait --for=jsonpath='{.status.phase}'=Running pods -l app=web
  sampan wait --for=delete pod/web"""

WEEK = 7 * 24 * 3600.0


def configure(parser: argparse.ArgumentParser) -> None:
    flags.set_up(parser)
    flags.filenames(parser)
    flags.selector(parser, everything=True, fields=True)
    flags.all_namespaces(parser)
    flags.output(parser)
    add = parser.add_argument
    add(
        "--for",
        dest="for_",
        default="",
        metavar="WHAT",
        help="condition=NAME[=VALUE], jsonpath='{PATH}'[=VALUE], create or delete",
    )
    add("--timeout", default="30s", metavar="TIME", help="how long; 0: look once; negative: a week")


async def run(options: argparse.Namespace, context: Context) -> int:
    what = options.for_.lower()
    limit = seconds(options.timeout)
    limit = WEEK if limit < 0 else limit
    holds = None if what in ("delete", "create") else condition(options.for_)
    async with connect(options, context) as session:
        try:
            async with asyncio.timeout(max(limit, 0.001) if what == "create" else None):
                found = await _find(session, create=what == "create")
        except TimeoutError:
            raise CommandError(f"error: timed out waiting for the condition on {' '.join(options.args)}") from None
        if not found:
            if what == "delete":
                return 0
            raise CommandError("error: no matching resources found")
        if what == "create":
            for target in found:
                _tell(session, target, {})
            return 0
        waits = [_gone(session, t, limit) if holds is None else _until(session, t, holds, limit) for t in found]
        outcomes = await asyncio.gather(*waits)
        for error in filter(None, outcomes):
            context.err(error)
        return 1 if any(outcomes) else 0


def condition(text: str) -> Holds:
    """`condition=Ready=true` or `jsonpath={.status.phase}=Running`. Raises CommandError."""
    kind, _, rest = text.partition("=")
    if kind.lower() == "condition" and rest:
        name, _, value = rest.partition("=")
        return lambda document: _has_condition(document, name.lower(), (value or "true").lower())
    if kind.lower() == "jsonpath" and rest:
        return _path(rest)
    raise CommandError(f'error: unrecognized condition: "{text}"')


def _has_condition(document: Document, name: str, value: str) -> bool:
    status = document.get("status") or {}
    observed = status.get("observedGeneration")
    if observed is not None and observed < (document["metadata"].get("generation") or 0):
        return False
    return any(
        each["type"].lower() == name and each["status"].lower() == value for each in status.get("conditions") or ()
    )


def _path(text: str) -> Holds:
    from sampan.cli.kubectl.printing import columns, jsonpath

    path, wanted = text, None
    end = text.rfind("}=")
    if end >= 0:
        path, wanted = text[: end + 1], text[end + 2 :].strip("'\"")
    elif not text.endswith("}"):
        path, _, wanted = text.partition("=")
    template = columns.template(path)

    def holds(document: Document) -> bool:
        values = template.values(document)
        if wanted is None:
            return bool(values)
        return len(values) == 1 and jsonpath.show(values[0]) == wanted

    return holds


async def _find(session: Session, *, create: bool) -> list[Target]:
    options = session.options
    targets = await select.targets(session, options.args, all_namespaces=options.all_namespaces)
    found: list[Target] = []
    for target in targets:
        if create:
            await _there(session, target)
        if target.name:
            found.append(target)
        else:
            listed = await select.objects(session, [target], labels=options.selector, fields=options.field_selector)
            found += [each for each, _ in listed]
    return found


async def _there(session: Session, target: Target) -> None:
    """Until there is such an object, or any when a selection is meant."""
    options = session.options
    collection = target.resource.path(target.namespace)
    query = {"labelSelector": options.selector, "fieldSelector": options.field_selector}
    if target.name:
        query["fieldSelector"] = f"metadata.name={target.name}"
    while True:
        listed = await session.read(collection, query)
        if listed.get("items"):
            return
        version = (listed.get("metadata") or {}).get("resourceVersion") or ""
        async with aclosing(session.watch(collection, {**query, "resourceVersion": version})) as events:
            async for event in events:
                if event["type"] in ("ADDED", "MODIFIED"):
                    return


def _tell(session: Session, target: Target, document: Document) -> None:
    writing.show(session, target, document, "condition met")


async def _until(session: Session, target: Target, holds: Holds, limit: float) -> str:
    """The same, and say so."""
    problem = await until(session, target, holds, limit)
    if not problem:
        _tell(session, target, {})
    return problem


async def until(session: Session, target: Target, holds: Holds, limit: float) -> str:
    """What to complain about, "" when the condition came."""
    try:
        if limit == 0:
            document = await session.read(target.path)
            if not holds(document):
                return f"error: condition not met for {target.resource.plural}/{target.name}"
        else:
            async with asyncio.timeout(limit):
                await _watched(session, target, holds)
    except TimeoutError:
        return _late(target)
    except StatusError as error:
        from sampan.cli.kubectl import words

        return words.refusal(error)
    return ""


def _late(target: Target) -> str:
    return f"error: timed out waiting for the condition on {target.resource.plural}/{target.name}"


async def _watched(session: Session, target: Target, holds: Holds) -> Document:
    collection = target.resource.path(target.namespace)
    query = {"fieldSelector": f"metadata.name={target.name}"}
    while True:
        document = await session.read(target.path)
        if holds(document):
            return document
        version = document["metadata"].get("resourceVersion") or ""
        try:
            async with aclosing(session.watch(collection, {**query, "resourceVersion": version})) as events:
                async for event in events:
                    if event["type"] == "MODIFIED" and holds(event["object"]):
                        return dict(event["object"])
                    if event["type"] == "DELETED":
                        break
        except StatusError as error:
            if error.code != 410:
                raise


async def _gone(session: Session, target: Target, limit: float) -> str:
    from sampan.cli.kubectl.verbs import delete

    try:
        document = await session.read(target.path)
        if limit == 0:
            return _late(target)
        await delete.gone(session, target, document["metadata"].get("uid") or "", limit)
    except StatusError as error:
        if error.code != 404:
            raise
        return ""
    except CommandError as error:
        return str(error)
    _tell(session, target, document)
    return ""
