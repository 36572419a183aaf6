"""`sampan export`: the plain Kubernetes objects that an app stands for, for any other cluster."""

from __future__ import annotations

import argparse
import base64
import secrets
from typing import Any

from sampan.api import codec
from sampan.api.errors import StatusError
from sampan.api.extra.expansion import child, expand
from sampan.api.extra.sampan_v1 import App
from sampan.api.kinds.sampan import APP as KIND
from sampan.api.types import core_v1
from sampan.cli import apps
from sampan.cli.context import CommandError, Context
from sampan.cli.kubectl import flags
from sampan.cli.kubectl.printing.structured import as_yaml
from sampan.cli.kubectl.session import connect
from sampan.client.client import Client

Document = dict[str, Any]

EXAMPLES = """\
examples:
  sampan export guestbook > guestbook.yaml
  sampan export guestbook | kubectl --context elsewhere apply -f -
  sampan export -f app.yaml"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.usage = "sampan export APP | -f FILE"
    flags.set_up(parser)
    parser.add_argument("-f", "--filename", default="", metavar="FILE", help="an App in a file; asks no cluster")


async def run(options: argparse.Namespace, context: Context) -> int:
    if options.filename:
        app = of_file(options.filename)
        context.out(text(await documents(app, {}, None)))
        return 0
    if len(options.args) != 1:
        raise CommandError("error: name one app: sampan export APP")
    async with connect(options, context) as session:
        client = apps.client_of(session)
        app = await apps.read(client, options.args[0], session.namespace)
        context.out(text(await documents(app, await apps.needed(client, app), client)))
        return 0


def of_file(file: str) -> App:
    """The App of a file, checked and with its defaults. Raises CommandError."""
    from pathlib import Path

    from sampan.api import yaml

    try:
        document, _ = yaml.load(Path(file).read_bytes())
    except OSError as error:
        raise CommandError(f"error: {file}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise CommandError(f"error: {file}: {error}") from error
    if not isinstance(document, dict) or document.get("kind") != KIND.name:
        raise CommandError(f"error: {file} holds no App (apiVersion: sampan.dev/v1, kind: App)")
    return checked(document, file)


def checked(document: Document, source: str) -> App:
    """A document as an App with its defaults. Raises CommandError with every field that is wrong."""
    try:
        KIND.default(document)
        codec.normalize(KIND, document)
        app: App = codec.decode(KIND, document)
    except (StatusError, ValueError) as error:
        raise CommandError(f"error: {source}: {error}") from error
    wrong = [*codec.unknown_fields(KIND, document)]
    errors = [f"unknown field {each}" for each in wrong] + [f"{each.field}: {each.body}" for each in KIND.validate(app)]
    if errors:
        raise CommandError("\n".join([f"error: {source} is no valid App:", *(f"  {each}" for each in errors)]))
    return app


async def documents(app: App, needed: dict[str, App], client: Client | None) -> list[Document]:
    """What the app stands for; made-up values are those that the cluster has, or new ones."""
    if not app.spec.source.image:
        raise CommandError(f"error: {app.metadata.name} has no image yet; `sampan deploy` builds it")
    made = expand(app, needed)
    for document in made:
        if document["kind"] == "Secret":
            document["stringData"] = await _values(app, client)
    return made


async def _values(app: App, client: Client | None) -> dict[str, str]:
    known: dict[str, str] = {}
    if client is not None:
        try:
            there = await client.get(core_v1.Secret, child(app, "secret"), app.metadata.namespace or "default")
            known = {name: base64.b64decode(value).decode(errors="replace") for name, value in there.data.items()}
        except StatusError as error:
            if error.code != 404:
                raise
    return {name: known.get(name) or secrets.token_urlsafe(24) for name in app.spec.secrets}


def text(made: list[Document]) -> str:
    return "---\n".join(as_yaml(document) for document in made).rstrip()
