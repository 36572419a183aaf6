"""`sampan patch`: a patch from the command line or a file."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from sampan.api.errors import StatusError
from sampan.cli.context import CommandError, Context
from sampan.cli.kubectl import flags, select, threeway, words, writing
from sampan.cli.kubectl.session import connect

Document = dict[str, Any]

EXAMPLES = """\
examples:
  sampan patch node n1 -p '{"spec":{"unschedulable":true}}'
  sampan patch deployment web --type=json -p '[{"op":"replace","path":"/spec/replicas","value":3}]'"""


def configure(parser: argparse.ArgumentParser) -> None:
    flags.set_up(parser)
    flags.filenames(parser)
    flags.output(parser)
    flags.dry_run(parser)
    flags.field_manager(parser, "kubectl-patch")
    add = parser.add_argument
    add("-p", "--patch", default="", metavar="TEXT", help="the patch, JSON or YAML")
    add("--patch-file", default="", metavar="FILE", help="a file with the patch")
    add("--type", default="strategic", metavar="json|merge|strategic", help="what kind of patch it is")
    add("--subresource", default="", metavar="NAME", help="patch this part of the object: status or scale")


async def run(options: argparse.Namespace, context: Context) -> int:
    from sampan.api import yaml

    if options.type not in ("json", "merge", "strategic"):
        raise CommandError(f"error: --type must be one of [json merge strategic], not {options.type!r}")
    text = Path(options.patch_file).read_text() if options.patch_file else options.patch
    if not text:
        raise CommandError("error: must specify --patch or --patch-file containing the contents of the patch")
    try:
        patch, _ = yaml.load(text)
    except yaml.YAMLError as error:
        raise CommandError(f"error: unable to parse {text!r}: {error}") from error
    async with connect(options, context) as session:
        found = await select.targets(session, options.args)
        if not any(target.name for target in found):
            raise CommandError("error: resource(s) were provided, but no name was specified")
        failed = False
        for target in found:
            try:
                path = target.resource.path(target.namespace, target.name, options.subresource)
                before = await session.read(path)
                if flags.check_dry_run(options) == "client":
                    changed = threeway.applied(target.resource, before, patch, options.type)
                else:
                    changed = await session.patch(path, patch, options.type, writing.query(options))
                same = changed["metadata"].get("resourceVersion") == before["metadata"].get("resourceVersion")
                done = "patched (no change)" if same and options.dry_run == "none" else "patched"
                writing.show(session, target, changed, done)
            except StatusError as error:
                context.err(words.refusal(error))
                failed = True
        return 1 if failed else 0
