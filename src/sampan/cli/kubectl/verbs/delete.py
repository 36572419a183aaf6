"""`sampan delete`: by name, by selection or by file, and wait until they are gone."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any

from sampan.api.errors import StatusError
from sampan.cli.context import CommandError, Context
from sampan.cli.kubectl import flags, select, words, writing
from sampan.cli.kubectl.select import Target
from sampan.cli.kubectl.session import Session, connect, seconds

Document = dict[str, Any]

EXAMPLES = """\
examples:
  sampan delete pod web
  sampan delete -f web.yaml --ignore-not-found
  sampan delete pods,services -l app=web
  sampan delete pod web --now"""


def configure(parser: argparse.ArgumentParser) -> None:
    flags.set_up(parser)
    flags.filenames(parser)
    flags.selector(parser, everything=True, fields=True)
    flags.all_namespaces(parser)
    flags.dry_run(parser)
    add = parser.add_argument
    add("-o", "--output", default="", metavar="name", help="`name` prints type/name alone")
    add("--grace-period", type=int, default=-1, metavar="SECONDS", help="time to end; -1: what the object says")
    add("--now", action="store_true", help="the same as --grace-period=1")
    add("--force", action="store_true", help="with --grace-period=0: forget the object at once")
    add(
        "--cascade",
        default="background",
        const="background",
        action=flags.OptionalValue,
        metavar="HOW",
        help="background, foreground or orphan: what becomes of what it owns",
    )
    add("--ignore-not-found", action="store_true", help="no error for what does not exist")
    add("--wait", action="store_true", default=True, help="wait until it is gone (default)")
    add("--timeout", default="0s", metavar="TIME", help="how long to wait; 0: for ever")
    add("-i", "--interactive", action="store_true", help="ask first")


async def run(options: argparse.Namespace, context: Context) -> int:
    if options.cascade not in ("background", "foreground", "orphan"):
        raise CommandError(
            f'error: invalid cascade value ({options.cascade}). Must be "background", "foreground", or "orphan".'
        )
    if options.output not in ("", "name"):
        raise CommandError(f"error: unexpected -o output mode: {options.output}. We only support '-o name'")
    if options.now and options.grace_period != -1:
        raise CommandError("error: --now and --grace-period cannot be specified together")
    grace = 1 if options.now else options.grace_period
    if grace == 0 and not options.force:
        # Nobody may be left running unseen by accident.
        grace = 1
    if options.force and grace < 0:
        grace = 0
    async with connect(options, context) as session:
        found = await select.targets(session, options.args, all_namespaces=options.all_namespaces)
        if not options.filename and not any(target.name for target in found):
            if not (options.selector or options.all or options.field_selector):
                raise CommandError("error: resource(s) were provided, but no name was specified")
        return await _delete(session, found, grace)


async def _delete(session: Session, found: Sequence[Target], grace: int) -> int:
    options, context = session.options, session.context
    failed = False
    waiting: list[tuple[Target, str]] = []
    deleted = 0
    if options.force and grace == 0:
        context.err(
            "Warning: Immediate deletion does not wait for confirmation that the running resource has been "
            "terminated. The resource may continue to run on the cluster indefinitely."
        )
    expanded = await _expand(session, found)
    if options.interactive and expanded and not _agreed(session, expanded):
        return 0
    for target in expanded:
        try:
            uid = await _one(session, target, grace)
        except StatusError as error:
            if error.code == 404 and (options.ignore_not_found or not any(t.name for t in found)):
                continue
            prefix = f'error when deleting "{target.source}"' if target.source else ""
            context.err(words.refusal(error, prefix))
            failed = True
            continue
        deleted += 1
        if uid is not None:
            waiting.append((target, uid))
    if not deleted and not failed and not options.ignore_not_found:
        context.out("No resources found")
    if options.wait and flags.check_dry_run(options) == "none":
        limit = seconds(options.timeout)
        await asyncio.gather(*(gone(session, target, uid, limit) for target, uid in waiting))
    return 1 if failed else 0


async def _expand(session: Session, found: Sequence[Target]) -> list[Target]:
    options = session.options
    made: list[Target] = []
    for target in found:
        if target.name:
            made.append(target)
        else:
            listed = await select.objects(session, [target], labels=options.selector, fields=options.field_selector)
            made += [each for each, _ in listed]
    return made


def _agreed(session: Session, found: Sequence[Target]) -> bool:
    session.context.out(f"You are about to delete the following {len(found)} resource(s):")
    for target in found:
        session.context.out(target.display)
    session.context.stdout.write("Do you want to continue? (y/N): ")
    session.context.stdout.flush()
    agreed = session.context.stdin.readline().strip().lower() in ("y", "yes")
    if not agreed:
        session.context.out("deletion is cancelled")
    return agreed


async def _one(session: Session, target: Target, grace: int) -> str | None:
    """The uid of what still has to go; None when it is gone already."""
    options = session.options
    dry = flags.check_dry_run(options)
    answer: Document = {}
    if dry == "client":
        await session.read(target.path)
    else:
        body: Document = {"apiVersion": "v1", "kind": "DeleteOptions"}
        body["propagationPolicy"] = options.cascade.capitalize()
        if grace >= 0:
            body["gracePeriodSeconds"] = grace
        if dry == "server":
            body["dryRun"] = ["All"]
        answer = await session.write("DELETE", target.path, body)
    _tell(session, target, forced=options.force and grace == 0)
    if answer.get("kind") == "Status":
        return (answer.get("details") or {}).get("uid") or ""
    return (answer.get("metadata") or {}).get("uid") or ""


def _tell(session: Session, target: Target, *, forced: bool) -> None:
    options = session.options
    if options.output == "name":
        session.context.out(target.display)
        return
    done = "force deleted" if forced else "deleted"
    where = f" from {target.namespace} namespace" if target.resource.namespaced and target.namespace else ""
    session.context.out(f'{target.resource.display} "{target.name}" {done}{where}{writing.dry_suffix(options)}')


async def gone(session: Session, target: Target, uid: str, limit: float) -> None:
    """Returns when there is no such object any more, or another of the name. Raises CommandError after `limit`."""
    try:
        async with asyncio.timeout(limit or None):
            while not await _gone(session, target, uid):
                pass
    except TimeoutError:
        raise CommandError(
            f"error: timed out waiting for the condition on {target.resource.plural}/{target.name}"
        ) from None
    except StatusError as error:
        if error.code not in (403, 405):
            raise  # who may delete need not be allowed to look: then there is nothing to wait for


async def _gone(session: Session, target: Target, uid: str) -> bool:
    """One look and one watch; False when the watch ended first."""
    collection = target.resource.path(target.namespace)
    query = {"fieldSelector": f"metadata.name={target.name}"}
    listed = await session.read(collection, query)
    items = listed.get("items") or ()
    if not any(not uid or item["metadata"].get("uid") == uid for item in items):
        return True
    version = (listed.get("metadata") or {}).get("resourceVersion") or ""
    try:
        async with aclosing(session.watch(collection, {**query, "resourceVersion": version})) as events:
            async for event in events:
                same = not uid or event["object"]["metadata"].get("uid") == uid
                if event["type"] == "DELETED" and same:
                    return True
    except StatusError as error:
        if error.code != 410:
            raise
    return False
