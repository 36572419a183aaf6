"""`sampan version`: of this program and of the server."""

from __future__ import annotations

import argparse

from sampan.cli.context import Context
from sampan.cli.kubectl import flags
from sampan.cli.kubectl.session import connect

EXAMPLES = """\
examples:
  sampan version
  sampan version --client
  sampan version -o yaml"""


def configure(parser: argparse.ArgumentParser) -> None:
    flags.set_up(parser)
    parser.add_argument("--client", action="store_true", help="of this program alone")
    parser.add_argument("-o", "--output", default="", metavar="json|yaml", help="everything that is known")


async def run(options: argparse.Namespace, context: Context) -> int:
    from sampan.config import VERSION

    document: dict[str, object] = {"clientVersion": {"gitVersion": VERSION, "major": "1", "minor": "37"}}
    if not options.client:
        async with connect(options, context) as session:
            document["serverVersion"] = await session.read("/version")
    if options.output:
        from sampan.cli.kubectl.printing import structured

        write = structured.as_json if options.output == "json" else structured.as_yaml
        context.stdout.write(write(document))
        return 0
    for title, key in (("Client", "clientVersion"), ("Server", "serverVersion")):
        found = document.get(key)
        if isinstance(found, dict):
            context.out(f"{title} Version: {found['gitVersion']}")
    return 0
