"""`sampan replace`: objects as the manifest says, whole."""

from __future__ import annotations

import argparse

from sampan.api.errors import StatusError
from sampan.cli.context import Context
from sampan.cli.kubectl import flags, manifests, select, words, writing
from sampan.cli.kubectl.select import Target
from sampan.cli.kubectl.session import Session, connect, seconds
from sampan.cli.kubectl.verbs import delete

EXAMPLES = """\
examples:
  sampan replace -f web.yaml
  sampan replace --force -f web.yaml"""


def configure(parser: argparse.ArgumentParser) -> None:
    flags.set_up(parser)
    flags.filenames(parser)
    flags.output(parser)
    flags.dry_run(parser)
    flags.field_manager(parser, "kubectl-replace")
    add = parser.add_argument
    add("--force", action="store_true", help="delete first, then create")
    add("--save-config", action="store_true", help="remember the manifest for a later apply")
    add("--subresource", default="", metavar="NAME", help="replace this part of the object")
    add("--validate", default="strict", metavar="strict|warn|ignore", help="what unknown fields cause")
    add("--grace-period", type=int, default=-1, metavar="SECONDS", help="with --force: time to end")
    add("--timeout", default="0s", metavar="TIME", help="with --force: how long to wait")


async def run(options: argparse.Namespace, context: Context) -> int:
    async with connect(options, context) as session:
        failed = False
        for manifest in manifests.read(options, context):
            try:
                target = await select.of_manifest(session, manifest)
                if options.save_config:
                    writing.remember(manifest.document)
                await (_force if options.force else _replace)(session, target)
            except StatusError as error:
                context.err(words.refusal(error, f'error when replacing "{manifest.source}"'))
                failed = True
        return 1 if failed else 0


async def _replace(session: Session, target: Target) -> None:
    changed = target.document or {}
    if flags.check_dry_run(session.options) != "client":
        path = target.resource.path(target.namespace, target.name, session.options.subresource)
        query = writing.query(session.options, validate=session.options.validate)
        changed = await session.write("PUT", path, target.document, query)
    writing.show(session, target, changed, "replaced")


async def _force(session: Session, target: Target) -> None:
    options = session.options
    body: dict[str, object] = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
    body |= {"gracePeriodSeconds": options.grace_period} if options.grace_period >= 0 else {}
    try:
        gone = await session.write("DELETE", target.path, body)
    except StatusError as error:
        if error.code != 404:
            raise
    else:
        session.context.out(f'{target.resource.display} "{target.name}" deleted from {target.namespace} namespace')
        uid = (gone.get("metadata") or {}).get("uid") or (gone.get("details") or {}).get("uid") or ""
        await delete.gone(session, target, uid, seconds(options.timeout))
    made = await session.write("POST", target.resource.path(target.namespace), target.document)
    writing.show(session, target, made, "replaced")
