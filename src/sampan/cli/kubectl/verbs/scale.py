"""`sampan scale`: how many replicas, through the scale subresource."""

from __future__ import annotations

import argparse

from sampan.api.errors import StatusError
from sampan.cli.context import CommandError, Context
from sampan.cli.kubectl import flags, select, words, writing
from sampan.cli.kubectl.session import connect

EXAMPLES = """\
examples:
  sampan scale deployment web --replicas=5
  sampan scale deployment/web --current-replicas=2 --replicas=5"""


def configure(parser: argparse.ArgumentParser) -> None:
    flags.set_up(parser)
    flags.filenames(parser)
    flags.selector(parser, everything=True)
    flags.output(parser)
    flags.dry_run(parser)
    add = parser.add_argument
    add("--replicas", type=int, metavar="N", help="how many there shall be")
    add("--current-replicas", type=int, default=-1, metavar="N", help="only if there are so many now")
    add("--resource-version", default="", metavar="VERSION", help="only if the object is of this version")
    add("--timeout", default="0s", metavar="TIME", help=argparse.SUPPRESS)


async def run(options: argparse.Namespace, context: Context) -> int:
    if options.replicas is None:
        raise CommandError('error: required flag(s) "replicas" not set')
    if options.replicas < 0:
        raise CommandError("error: The --replicas=COUNT flag is required, and COUNT must be greater than or equal to 0")
    async with connect(options, context) as session:
        found = await select.targets(session, options.args)
        if not any(t.name for t in found) and not (options.selector or options.all):
            raise CommandError("error: resource(s) were provided, but no name was specified")
        listed = await select.objects(session, found, labels=options.selector)
        if not listed:
            raise CommandError("error: no objects passed to scale")
        failed = False
        for target, document in listed:
            path = target.resource.path(target.namespace, target.name, "scale")
            try:
                now = await session.read(path)
                replicas = (now.get("spec") or {}).get("replicas") or 0
                if options.current_replicas not in (-1, replicas):
                    raise CommandError(f"error: Expected replicas to be {options.current_replicas}, was {replicas}")
                changed = document
                if flags.check_dry_run(options) != "client":
                    body: dict[str, object] = {"spec": {"replicas": options.replicas}}
                    version = options.resource_version or (
                        now["metadata"].get("resourceVersion") if options.current_replicas != -1 else ""
                    )
                    if version:
                        body["metadata"] = {"resourceVersion": version}
                    await session.patch(path, body, "merge", writing.query(options))
                    changed = await session.read(target.path) if options.output else document
                writing.show(session, target, changed, "scaled")
            except StatusError as error:
                context.err(words.refusal(error))
                failed = True
        return 1 if failed else 0
