"""label and annotate: keys set and removed on metadata, and the words about it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, NamedTuple

from sampan.api.errors import StatusError
from sampan.cli.context import CommandError, Context
from sampan.cli.kubectl import flags, select, words, writing
from sampan.cli.kubectl.select import Target
from sampan.cli.kubectl.session import Session, connect

Document = dict[str, Any]


class Changes(NamedTuple):
    wanted: dict[str, str]
    removed: list[str]


class Field(NamedTuple):
    """`labels`, with the words `labeled`, `not labeled`, `unlabeled`."""

    name: str
    singular: str
    done: str


def configure(parser: argparse.ArgumentParser, name: str) -> None:
    flags.set_up(parser)
    flags.filenames(parser)
    flags.selector(parser, everything=True, fields=True)
    flags.all_namespaces(parser)
    flags.output(parser)
    flags.dry_run(parser)
    flags.field_manager(parser, f"kubectl-{name}")
    add = parser.add_argument
    add("--overwrite", action="store_true", help="change keys that have another value")
    add("--list", action="store_true", help="show what is there")
    add("--resource-version", default="", metavar="VERSION", help="only if the object is of this version")
    add("--local", action="store_true", help=argparse.SUPPRESS)


def split(arguments: Sequence[str]) -> tuple[list[str], Changes]:
    """The words that name objects, and the changes: `key=value` and `key-`."""
    wanted: dict[str, str] = {}
    removed: list[str] = []
    rest: list[str] = []
    for word in arguments:
        key, equals, value = word.partition("=")
        if equals:
            wanted[key] = value
        elif word.endswith("-") and rest:
            removed.append(word[:-1])
        else:
            rest.append(word)
    both = sorted(wanted.keys() & set(removed))
    if both:
        raise CommandError(f"error: can not both modify and remove a label in the same command: {', '.join(both)}")
    return rest, Changes(wanted, removed)


async def run(options: argparse.Namespace, context: Context, field: Field) -> int:
    names, changes = split(options.args)
    if not (changes.wanted or changes.removed or options.list):
        raise CommandError(f"error: at least one {field.singular} update is required")
    async with connect(options, context) as session:
        found = await select.targets(session, names, all_namespaces=options.all_namespaces)
        if not options.filename and not any(t.name for t in found) and not (options.selector or options.all):
            raise CommandError(
                "error: one or more resources must be specified as <resource> <name> or <resource>/<name>"
            )
        listed = await select.objects(session, found, labels=options.selector, fields=options.field_selector)
        if not listed:
            context.err("No resources found")
        failed = False
        for target, document in listed:
            try:
                await _one(session, target, document, changes, field, many=len(listed) > 1)
            except StatusError as error:
                context.err(words.refusal(error))
                failed = True
        return 1 if failed else 0


async def _one(
    session: Session, target: Target, document: Document, changes: Changes, field: Field, *, many: bool
) -> None:
    options = session.options
    now: dict[str, str] = (document.get("metadata") or {}).get(field.name) or {}
    if options.list:
        _list(session, target, now, field, many=many)
        return
    taken = [key for key, value in changes.wanted.items() if key in now and now[key] != value]
    if taken and not options.overwrite:
        problems = [f"'{key}' already has a value ({now[key]}), and --overwrite is false" for key in taken]
        if field.name == "annotations":
            problems = [f"--overwrite is false but found the following declared annotation(s): {_pairs(taken, now)}"]
        raise CommandError("error: " + "; ".join(problems))
    for key in changes.removed:
        if key not in now:
            session.context.out(f'{field.singular} "{key}" not found.')
    patch: dict[str, str | None] = {key: value for key, value in changes.wanted.items() if now.get(key) != value}
    patch |= {key: None for key in changes.removed if key in now}
    if not patch:
        # kubectl looks whether the object's text is another: a map that was not there and is empty now makes it so.
        same = field.name == "labels" and not (changes.removed and not now)
        done = f"not {field.done}" if same else field.done
        writing.show(session, target, document, done)
        return
    done = f"un{field.done}" if field.name == "labels" and not changes.wanted else field.done
    body: Document = {"metadata": {field.name: patch}}
    if options.resource_version:
        body["metadata"]["resourceVersion"] = options.resource_version
    if flags.check_dry_run(options) == "client":
        kept = {key: value for key, value in {**now, **patch}.items() if value is not None}
        changed = {**document, "metadata": {**document["metadata"], field.name: kept}}
    else:
        changed = await session.patch(target.path, body, "merge", writing.query(options))
    writing.show(session, target, changed, done)


def _pairs(keys: Sequence[str], now: dict[str, str]) -> str:
    return ", ".join(f"'{key}' already has a value ({now[key]})" for key in keys)


def _list(session: Session, target: Target, now: dict[str, str], field: Field, *, many: bool) -> None:
    indent = ""
    if many:
        session.context.out(
            f"Listing {field.name} for {target.resource.kind}.{target.resource.api_version}/{target.name}:"
        )
        indent = " "
    for key, value in sorted(now.items()):
        session.context.out(f"{indent}{key}={value}")
