"""`sampan rollout`: follow, restart, pause, resume, undo a rollout, and look at its revisions."""

from __future__ import annotations

import argparse
import asyncio
import time
from contextlib import aclosing
from typing import Any

from sampan.api.errors import StatusError
from sampan.cli.context import CommandError, Context
from sampan.cli.kubectl import flags, revisions, rollouts, select, words, writing
from sampan.cli.kubectl.select import Target
from sampan.cli.kubectl.session import Session, connect, seconds

Document = dict[str, Any]

EXAMPLES = """\
examples:
  sampan rollout status deployment/web
  sampan rollout restart deployment/web
  sampan rollout history deployment/web --revision=2
  sampan rollout undo deployment/web --to-revision=1"""

RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"


def _common(parser: argparse.ArgumentParser) -> None:
    flags.set_up(parser)
    flags.filenames(parser)
    flags.selector(parser)


def _status_flags(parser: argparse.ArgumentParser) -> None:
    _common(parser)
    parser.add_argument("-w", "--watch", action="store_true", default=True, help="follow until it has ended (default)")
    parser.add_argument("--timeout", default="0s", metavar="TIME", help="how long to follow; 0: to the end")
    parser.add_argument("--revision", type=int, default=0, metavar="N", help="end when another revision is rolled out")


def _change_flags(parser: argparse.ArgumentParser) -> None:
    _common(parser)
    flags.output(parser)
    flags.dry_run(parser)
    flags.field_manager(parser, "kubectl-rollout")
    parser.add_argument("--to-revision", type=int, default=0, metavar="N", help="undo: back to this one; 0: the last")


def _history_flags(parser: argparse.ArgumentParser) -> None:
    _common(parser)
    flags.output(parser)
    parser.add_argument("--revision", type=int, default=0, metavar="N", help="show this one's pod template")


MEMBERS = {
    "status": _status_flags,
    "restart": _change_flags,
    "pause": _change_flags,
    "resume": _change_flags,
    "undo": _change_flags,
    "history": _history_flags,
}


def configure(parser: argparse.ArgumentParser) -> None:
    flags.set_up_group(parser, MEMBERS)


async def run(options: argparse.Namespace, context: Context) -> int:
    async with connect(options, context) as session:
        found = await select.targets(session, options.args)
        if not any(t.name for t in found) and not options.selector:
            raise CommandError("error: required resource not specified")
        listed = await select.objects(session, found, labels=options.selector)
        failed = False
        for target, document in listed:
            try:
                failed = await _ACTIONS[options.member](session, target, document) or failed
            except StatusError as error:
                context.err(words.refusal(error))
                failed = True
        return 1 if failed else 0


def _check(target: Target, document: Document, what: str, kinds: tuple[str, ...] = rollouts.KINDS) -> None:
    if document["kind"] not in kinds:
        raise CommandError(f'error: {target.resource.plural} "{target.name}" {what} is not supported')


# --- status ---


async def _status(session: Session, target: Target, document: Document) -> bool:
    if document["kind"] not in rollouts.KINDS:
        raise CommandError(f"error: no status viewer has been implemented for {document['kind']}")
    limit = seconds(session.options.timeout)
    try:
        async with asyncio.timeout(limit or None):
            return await _follow(session, target, document)
    except TimeoutError:
        raise CommandError("error: timed out waiting for the condition") from None


async def _follow(session: Session, target: Target, document: Document) -> bool:
    """True when the rollout failed. Each sentence is said once."""
    said = ""
    collection = target.resource.path(target.namespace)
    query = {"fieldSelector": f"metadata.name={target.name}"}
    while True:
        progress = rollouts.status(document)
        if progress.failed:
            session.context.err(progress.message)
            return True
        if progress.message != said:
            said = progress.message
            session.context.out(said)
            session.context.stdout.flush()
        if progress.done or not session.options.watch:
            return False
        document = await _next(session, target, collection, query, document)


async def _next(session: Session, target: Target, path: str, query: dict[str, str], document: Document) -> Document:
    """The object after its next change."""
    version = document["metadata"].get("resourceVersion") or ""
    try:
        async with aclosing(session.watch(path, {**query, "resourceVersion": version})) as events:
            async for event in events:
                if event["type"] == "DELETED":
                    raise CommandError("error: object has been deleted")
                if event["type"] in ("ADDED", "MODIFIED"):
                    return {"kind": target.resource.kind, "apiVersion": target.resource.api_version, **event["object"]}
    except StatusError as error:
        if error.code != 410:
            raise
    return await session.read(target.path)


# --- changes ---


async def _restart(session: Session, target: Target, document: Document) -> bool:
    _check(target, document, "restarting")
    if document["spec"].get("paused"):
        raise CommandError(
            f'error: {target.resource.plural}.{target.resource.group} "{target.name}" can\'t restart paused deployment '
            "(run rollout resume first)"
        )
    now = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    stamp = f"{now[:-2]}:{now[-2:]}" if not now.endswith("+0000") else f"{now[:-5]}Z"
    annotations = {"annotations": {RESTARTED_AT: stamp}}
    await _patch(session, target, document, {"spec": {"template": {"metadata": annotations}}}, "restarted")
    return False


async def _pause(session: Session, target: Target, document: Document) -> bool:
    _check(target, document, "pausing", ("Deployment",))
    if document["spec"].get("paused"):
        raise CommandError(f'error: {target.resource.full_name} "{target.name}" is already paused')
    await _patch(session, target, document, {"spec": {"paused": True}}, "paused")
    return False


async def _resume(session: Session, target: Target, document: Document) -> bool:
    _check(target, document, "resuming", ("Deployment",))
    if not document["spec"].get("paused"):
        raise CommandError(f'error: {target.resource.full_name} "{target.name}" is not paused')
    await _patch(session, target, document, {"spec": {"paused": None}}, "resumed")
    return False


async def _patch(session: Session, target: Target, document: Document, patch: Document, done: str) -> None:
    changed = document
    if flags.check_dry_run(session.options) != "client":
        changed = await session.patch(target.path, patch, "strategic", writing.query(session.options))
    writing.show(session, target, changed, done)


async def _undo(session: Session, target: Target, document: Document) -> bool:
    _check(target, document, "rolling back")
    if document["spec"].get("paused"):
        raise CommandError(
            "error: you cannot rollback a paused deployment; resume it first with "
            f"'sampan rollout resume {target.display}'"
        )
    known = await revisions.of(session, target, document)
    wanted = session.options.to_revision
    if wanted == 0:
        if len(known) < 2:
            raise CommandError(f'error: no rollout history found for {target.resource.singular} "{target.name}"')
        chosen = known[-2]
    else:
        chosen = revisions.find(known, wanted)
    if chosen is known[-1] and document["kind"] == "Deployment":
        session.context.out(
            f"{target.display} skipped rollback (current template already matches revision {chosen.number})"
        )
        return False
    changed = document
    if flags.check_dry_run(session.options) != "client":
        patch, how = revisions.back(document, chosen)
        changed = await session.patch(target.path, patch, how, writing.query(session.options))
    writing.show(session, target, changed, "rolled back")
    return False


# --- history ---


async def _history(session: Session, target: Target, document: Document) -> bool:
    _check(target, document, "history viewing")
    known = await revisions.of(session, target, document)
    options, out = session.options, session.context.out
    if options.revision:
        chosen = revisions.find(known, options.revision, "unable to find the specified revision")
        if options.output:
            writing.show(session, target, chosen.source, "")
            return False
        out(f"{target.display} with revision #{options.revision}")
        session.context.stdout.write(revisions.template_text(chosen))
        return False
    out(f"{target.display} ")
    for line in revisions.table(known):
        out(line)
    out("")
    return False


_ACTIONS = {
    "status": _status,
    "restart": _restart,
    "pause": _pause,
    "resume": _resume,
    "undo": _undo,
    "history": _history,
}
