"""`sampan cordon` and `sampan uncordon`: whether a node takes new pods."""

from __future__ import annotations

import argparse

from sampan.cli.context import CommandError, Context
from sampan.cli.kubectl import flags, writing
from sampan.cli.kubectl.session import Session, connect

EXAMPLES = """\
examples:
  sampan cordon n1
  sampan uncordon n1"""


def configure(parser: argparse.ArgumentParser) -> None:
    flags.set_up(parser)
    flags.selector(parser)
    flags.dry_run(parser)


async def run(options: argparse.Namespace, context: Context) -> int:
    async with connect(options, context) as session:
        for name in await chosen(session):
            await mark(session, name, cordoned=options.verb == "cordon")
    return 0


async def chosen(session: Session) -> list[str]:
    """The nodes that the arguments or the selector name."""
    names = [word.removeprefix("node/").removeprefix("nodes/") for word in session.options.args]
    if bool(names) == bool(session.options.selector):
        raise CommandError(f"error: USAGE: {session.options.verb} NODE, or with a selector, not both")
    if names:
        return names
    listed = await session.read("/api/v1/nodes", {"labelSelector": session.options.selector})
    return [item["metadata"]["name"] for item in listed.get("items") or ()]


async def mark(session: Session, name: str, *, cordoned: bool) -> None:
    path = f"/api/v1/nodes/{name}"
    node = await session.read(path)
    word = "cordoned" if cordoned else "uncordoned"
    if bool((node.get("spec") or {}).get("unschedulable")) is cordoned:
        session.context.out(f"node/{name} already {word}{writing.dry_suffix(session.options)}")
        return
    if flags.check_dry_run(session.options) != "client":
        patch = {"spec": {"unschedulable": True if cordoned else None}}
        await session.patch(path, patch, "strategic", writing.query(session.options))
    session.context.out(f"node/{name} {word}{writing.dry_suffix(session.options)}")
