"""`sampan releases`: what an app was, release by release."""

from __future__ import annotations

import argparse
import time

from sampan.api import conditions, duration
from sampan.api.extra import releases
from sampan.api.extra.expansion import APP
from sampan.api.extra.releases import CAUSE, SUCCEEDED, Revision
from sampan.api.extra.sampan_v1 import App
from sampan.cli import apps
from sampan.cli.context import CommandError, Context
from sampan.cli.kubectl import flags
from sampan.cli.kubectl.session import connect
from sampan.client.client import Client

EXAMPLES = """\
examples:
  sampan releases guestbook
  sampan rollback guestbook 3"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.usage = "sampan releases APP"
    flags.set_up(parser)


async def history(client: Client, app: App) -> list[Revision]:
    labels = f"{APP}={app.metadata.name},{releases.KIND}"
    return releases.history((await client.list(Revision, app.metadata.namespace or "", labels=labels)).items)


async def run(options: argparse.Namespace, context: Context) -> int:
    if len(options.args) != 1:
        raise CommandError("error: name one app: sampan releases APP")
    async with connect(options, context) as session:
        client = apps.client_of(session)
        app = await apps.read(client, options.args[0], session.namespace)
        known = await history(client, app)
        if not known:
            context.out(f"{app.metadata.name} has no releases yet; `sampan deploy` makes the first")
            return 0
        rows = [("RELEASE", "IMAGE", "STATE", "AGE", "REASON")]
        rows += [row(app, each, time.time()) for each in known]
        widths = [max(len(line[at]) for line in rows) for at in range(len(rows[0]))]
        for line in rows:
            context.out("   ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
        return 0


def row(app: App, revision: Revision, now: float) -> tuple[str, str, str, str, str]:
    annotations = revision.metadata.annotations
    age = duration.since(revision.metadata.creationTimestamp, now)
    return str(revision.revision), releases.image(revision), state(app, revision), age, annotations.get(CAUSE, "")


def state(app: App, revision: Revision) -> str:
    """live, failed, coming (the newest); worked, never ready (older ones)."""
    if revision.revision != app.status.release:
        return "worked" if SUCCEEDED in revision.metadata.annotations else "never ready"
    ready = conditions.find(app.status.conditions, "PodsReady")
    if ready is not None and ready.status == "True":
        return "live"
    return "failed" if ready is not None and ready.reason == "ReleaseFailed" else "coming"
