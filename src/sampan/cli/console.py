"""`sampan console`: where the web console is, and a token to sign in with. Opens nothing by itself."""

from __future__ import annotations

import argparse

from sampan.api.errors import StatusError
from sampan.cli.context import CommandError, Context
from sampan.cli.kubectl import config, flags
from sampan.cli.kubectl.session import Document, Session, connect, seconds
from sampan.dashboard import access
from sampan.dashboard.assets import ROOT

EXAMPLES = """\
examples:
  sampan console
  sampan console --duration 8h
  sampan console --service-account viewer -n staging"""


def configure(parser: argparse.ArgumentParser) -> None:
    flags.set_up(parser)
    parser.add_argument(
        "--service-account", default="", metavar="NAME", help="sign in as this account of the namespace, not as admin"
    )
    parser.add_argument("--duration", default="1h", metavar="TIME", help="how long the token lasts (default: 1h)")


async def run(options: argparse.Namespace, context: Context) -> int:
    lifetime = int(seconds(options.duration))
    if lifetime < access.SHORTEST:
        raise CommandError(f"error: --duration {options.duration} is too short: 10m is the least")
    async with connect(options, context) as session:
        server = config.target(options, context.environ).server
        await _is_served(session, server)

        async def create(path: str, document: Document) -> Document:
            return await session.write("POST", path, document)

        account, namespace = options.service_account, session.namespace
        if not account:
            account, namespace = access.ACCOUNT, access.NAMESPACE
            try:
                await access.ensure_account(create)
            except StatusError as error:
                raise CommandError(
                    f"error: {error}\nto sign in with an account that exists: sampan console --service-account NAME"
                ) from error
        token, until = await access.make_token(create, namespace, account, lifetime)
    context.out(f"{server.rstrip('/')}{ROOT}/")
    context.err(f"token of {namespace}/{account}, until {until}:")
    context.out(token)
    return 0


async def _is_served(session: Session, server: str) -> None:
    try:
        response = await session.raw("GET", f"{ROOT}/")
        await response.read()
    except StatusError as error:
        raise CommandError(f"error: {server} serves no console: it is Sampan's own, others do not have it") from error
