"""`sampan create`: objects from files, or of a few kinds from flags."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from sampan.api.errors import StatusError
from sampan.cli.context import CommandError, Context
from sampan.cli.kubectl import flags, manifests, select, words, writing
from sampan.cli.kubectl.session import connect
from sampan.cli.kubectl.verbs import create_kinds

Document = dict[str, Any]

EXAMPLES = """\
examples:
  sampan create -f web.yaml
  sampan create deployment web --image=nginx --replicas=3
  sampan create configmap settings --from-literal=color=blue --from-file=settings.ini
  sampan create namespace staging"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Without a kind among the arguments it is `create -f`."""
    flags.set_up(parser)
    flags.filenames(parser)
    flags.selector(parser)
    flags.output(parser)
    flags.dry_run(parser)
    flags.field_manager(parser, "kubectl-create")
    parser.add_argument("--save-config", action="store_true", help="remember the manifest for a later apply")
    parser.add_argument("--edit", action="store_true", help="edit the objects before they are created")
    parser.add_argument("--validate", default="strict", metavar="strict|warn|ignore", help="what unknown fields cause")
    plain = parser.parse_args

    def parse(argv: Sequence[str] | None = None, namespace: Any = None) -> argparse.Namespace:
        words = list(argv or ())
        kind = next((word for word in words if word in create_kinds.KINDS), "")
        if not kind or "-f" in words or any(word.startswith("--filename") for word in words):
            return plain(words)
        return create_kinds.parse(parser.prog, kind, words)

    setattr(parser, "parse_args", parse)  # noqa: B010 - of this one instance


async def run(options: argparse.Namespace, context: Context) -> int:
    # Before connecting: `--user` of a role binding is whom it is for, and no user of the kubeconfig.
    made = manifests.Manifest(options.make(options), "") if getattr(options, "make", None) else None
    async with connect(options, context) as session:
        if made is not None:
            return await _create(session, [made], made_here=True)
        if not options.filename:
            raise CommandError("error: must specify one of -f and -k")
        found = manifests.read(options, context)
        if options.edit:
            from sampan.cli.kubectl.verbs import edit

            found = edit.edited(found, context)
        return await _create(session, found)


async def _create(session: Any, found: Sequence[manifests.Manifest], *, made_here: bool = False) -> int:
    options = session.options
    failed = False
    for manifest in found:
        try:
            target = await select.of_manifest(session, manifest, fill=not made_here)
            document = manifest.document
            if options.save_config:
                writing.remember(document)
            dry = flags.check_dry_run(options)
            if dry != "client":
                query = writing.query(options, validate=getattr(options, "validate", ""))
                path = target.resource.path(target.namespace)
                document = await session.write("POST", path, document, query)
            writing.show(session, target, document, "created")
        except StatusError as error:
            prefix = "failed to create " + target.resource.singular if made_here else ""
            if not made_here:
                prefix = f'error when creating "{manifest.source}"'
            session.context.err(_refused(error, prefix, made_here=made_here))
            failed = True
    return 1 if failed else 0


def _refused(error: StatusError, prefix: str, *, made_here: bool) -> str:
    if made_here:
        return f"error: {prefix}: {error.status.message}"
    return words.refusal(error, prefix)
