"""`sampan rollback`: an app as it was in an older release. Going back is a release, too."""

from __future__ import annotations

import argparse

from sampan.api import codec
from sampan.api.extra import releases
from sampan.api.kinds.sampan import APP as KIND
from sampan.cli import apps
from sampan.cli.context import CommandError, Context
from sampan.cli.kubectl import flags
from sampan.cli.kubectl.session import connect, seconds
from sampan.cli.releases import history

EXAMPLES = """\
examples:
  sampan rollback guestbook       to the last release that worked
  sampan rollback guestbook 3     to release 3"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.usage = "sampan rollback APP [RELEASE]"
    flags.set_up(parser)
    parser.add_argument("--no-wait", action="store_true", help="do not follow the rollout")
    parser.add_argument("--timeout", default="5m", metavar="TIME", help="how long to follow; 0: to the end")


async def run(options: argparse.Namespace, context: Context) -> int:
    if not 1 <= len(options.args) <= 2 or (len(options.args) == 2 and not options.args[1].isdecimal()):
        raise CommandError("error: name an app, and a release's number if you like: sampan rollback APP [RELEASE]")
    wanted = int(options.args[1]) if len(options.args) == 2 else None
    async with connect(options, context) as session:
        client = apps.client_of(session)
        app = await apps.read(client, options.args[0], session.namespace)
        try:
            target = releases.target(await history(client, app), app.status.release, wanted)
        except LookupError as error:
            raise CommandError(f"error: {app.metadata.name}: {error.args[0]}") from error
        document = codec.document(app)
        spec = releases.restored(app, target)
        if spec == document["spec"] or target.revision == app.status.release:
            context.out(f"{app.metadata.name} is at release {target.revision} already")
            return 0
        document["spec"] = spec
        document["metadata"].setdefault("annotations", {})[releases.CAUSE] = f"rollback to release {target.revision}"
        document |= {"apiVersion": KIND.api_version, "kind": KIND.name}
        changed = await apps.replace(client, app, document)
        context.out(f"{app.metadata.name} goes back to release {target.revision}: {releases.image(target)}")
        if options.no_wait:
            return 0
        return await apps.follow(client, changed, context, timeout=seconds(options.timeout))
