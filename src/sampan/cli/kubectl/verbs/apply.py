"""`sampan apply`: bring objects to what a manifest says; what it said before and no longer says is removed."""

from __future__ import annotations

import argparse
import json
from typing import Any

from sampan.api.errors import StatusError
from sampan.cli.context import CommandError, Context
from sampan.cli.kubectl import flags, manifests, select, threeway, words, writing
from sampan.cli.kubectl.select import Target
from sampan.cli.kubectl.session import Session, connect

Document = dict[str, Any]

EXAMPLES = """\
examples:
  sampan apply -f web.yaml
  sampan apply -f manifests/ -R
  cat web.yaml | sampan apply -f - --server-side"""

ATTEMPTS = 5
"""How often an object that changes under our hands is read and patched again."""


def configure(parser: argparse.ArgumentParser) -> None:
    flags.set_up(parser)
    flags.filenames(parser)
    flags.selector(parser)
    flags.output(parser)
    flags.dry_run(parser)
    add = parser.add_argument
    add("--server-side", action="store_true", help="let the server merge, field by field, by owner")
    add("--force-conflicts", action="store_true", help="with --server-side: take fields from other owners")
    add("--field-manager", default="", metavar="NAME", help="who is said to own the fields")
    add("--validate", default="strict", metavar="strict|warn|ignore", help="what unknown fields cause")
    add("--overwrite", action="store_true", default=True, help="overwrite what others changed of the manifest's fields")
    add("--force", action="store_true", help="delete and create again what cannot be patched")
    add("--wait", action="store_true", help=argparse.SUPPRESS)


async def run(options: argparse.Namespace, context: Context) -> int:
    if options.args:
        raise CommandError(
            f"error: Unexpected args: [{' '.join(options.args)}]\nSee 'sampan apply -h' for help and examples"
        )
    if options.force_conflicts and not options.server_side:
        raise CommandError("error: --force-conflicts only works with --server-side")
    dry = flags.check_dry_run(options)
    if dry == "client" and options.server_side:
        raise CommandError(
            "error: --dry-run=client doesn't work with --server-side (did you mean --dry-run=server instead?)"
        )
    options.field_manager = options.field_manager or ("kubectl" if options.server_side else "kubectl-client-side-apply")
    async with connect(options, context) as session:
        failed = False
        for manifest in _chosen(manifests.read(options, context), options):
            try:
                target = await select.of_manifest(session, manifest)
                if not target.name:
                    raise CommandError("error: resource name may not be empty")
                await (_server_side(session, target) if options.server_side else _client_side(session, target))
            except StatusError as error:
                context.err(_refused(error, manifest))
                failed = True
        return 1 if failed else 0


def _chosen(found: list[manifests.Manifest], options: argparse.Namespace) -> list[manifests.Manifest]:
    if not options.selector:
        return found
    from sampan.api import selectors

    selector = selectors.labels(options.selector)
    return [each for each in found if selector.matches(manifests.meta(each.document).get("labels") or {})]


def _refused(error: StatusError, manifest: manifests.Manifest) -> str:
    if error.code == 415:
        return f"Server-side apply not available on the server: ({error.status.message})"
    if error.status.reason == "Invalid" or (error.code == 409 and "conflict" in (error.status.message or "").lower()):
        return words.refusal(error)
    return words.refusal(error, f'error when applying "{manifest.source}"')


# --- the server merges ---


async def _server_side(session: Session, target: Target) -> None:
    options = session.options
    query = {**writing.query(options, validate=options.validate), "force": "true" if options.force_conflicts else ""}
    document = await session.patch(target.path, target.document, "apply", query)
    writing.show(session, target, document, "serverside-applied")


# --- we merge ---


async def _client_side(session: Session, target: Target) -> None:
    document = target.document
    assert document is not None
    writing.remember(document)
    for attempt in range(1, ATTEMPTS + 1):
        live = await _live(session, target)
        if live is None:
            made = document
            if session.options.dry_run != "client":
                query = writing.query(session.options, validate=session.options.validate)
                made = await session.write("POST", target.resource.path(target.namespace), document, query)
            writing.show(session, target, made, "created")
            return
        try:
            await _patch(session, target, live)
            return
        except StatusError as error:
            if error.code == 409 and attempt < ATTEMPTS:
                continue
            if session.options.force and error.code in (409, 422):
                await _again(session, target)
                return
            raise


async def _live(session: Session, target: Target) -> Document | None:
    try:
        return await session.read(target.path)
    except StatusError as error:
        if error.code == 404:
            return None
        raise


async def _patch(session: Session, target: Target, live: Document) -> None:
    document = target.document
    assert document is not None
    annotations = (live.get("metadata") or {}).get("annotations") or {}
    last = annotations.get(writing.LAST_APPLIED)
    if last is None:
        session.context.err(
            f"Warning: resource {target.resource.full_name}/{target.name} is missing the {writing.LAST_APPLIED} "
            "annotation which is required by kubectl apply. kubectl apply should only be used on resources created "
            "declaratively by either kubectl create --save-config or kubectl apply. The missing annotation will be "
            "patched automatically."
        )
    original = json.loads(last) if last else {}
    patch, how = threeway.patch(target.resource, original, document, live)
    if not patch:
        writing.show(session, target, live, "unchanged")
        return
    if session.options.dry_run == "client":
        writing.show(session, target, threeway.applied(target.resource, live, patch, how), "configured")
        return
    if last is None:
        # Nothing says what was there before: the live object must still be the one that was compared.
        patch.setdefault("metadata", {})["resourceVersion"] = live["metadata"].get("resourceVersion")
    query = writing.query(session.options, validate=session.options.validate)
    changed = await session.patch(target.path, patch, how, query)
    same = changed["metadata"].get("resourceVersion") == live["metadata"].get("resourceVersion")
    unchanged = same and session.options.dry_run != "server"
    writing.show(session, target, changed, "unchanged" if unchanged else "configured")


async def _again(session: Session, target: Target) -> None:
    from sampan.cli.kubectl.verbs import delete

    await session.write("DELETE", target.path, {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0})
    await delete.gone(session, target, "", 30.0)
    made = await session.write("POST", target.resource.path(target.namespace), target.document)
    writing.show(session, target, made, "configured")
