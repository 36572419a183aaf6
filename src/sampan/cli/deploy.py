"""`sampan deploy`: from a folder or an image to a published application, in six steps."""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sampan.api import codec
from sampan.api.errors import StatusError
from sampan.api.extra.sampan_v1 import App
from sampan.api.extra.validation import INSTRUMENTS, TYPES
from sampan.api.kinds.sampan import APP as KIND
from sampan.cli import apps, building, export, published
from sampan.cli.context import CommandError, Context
from sampan.cli.kubectl import flags
from sampan.cli.kubectl.printing.structured import as_yaml
from sampan.cli.kubectl.session import Session, connect, seconds
from sampan.client.client import Client
from sampan.config import DATA_ROOT
from sampan.delivery import guess

Document = dict[str, Any]

FILES = ("app.yaml", "app.yml", "sampan.yaml")
"""Where a folder may describe its App."""

EXAMPLES = """\
examples:
  sampan deploy
  sampan deploy ./guestbook --port 8000 --need db=mariadb
  sampan deploy --image nginx:1.29 --name web --port 80 --replicas 3
  sampan deploy --image web:2 --name web --dry-run"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.usage = "sampan deploy [DIRECTORY | --image NAME] [FLAGS]"
    flags.set_up(parser)
    add = parser.add_argument
    add("--image", default="", metavar="NAME", help="deploy this image instead of building one")
    add("--git", default="", metavar="URL[#REF]", help="build this repository; with --image: what it was built from")
    add("--name", default="", metavar="NAME", help="the app's name (else: app.yaml's, the folder's, the image's)")
    add("--type", default="", choices=["", *TYPES], metavar="TYPE", help=" | ".join(TYPES))
    add("--port", type=int, metavar="PORT", help="where the app listens")
    add("--health", metavar="PATH", help="what answers 2xx when the app can serve, such as /healthz")
    add("--host", metavar="HOST", help="where it is published; - for nowhere (else: NAME.localhost)")
    add("--env", action="append", default=[], metavar="K=V", help="environment; K- removes; may be given again")
    add("--secret", action="append", default=[], metavar="K", help="environment whose value is made up once")
    add("--volume", action="append", default=[], metavar="PATH[:SIZE]", help="a directory that stays")
    add("--need", action="append", default=[], metavar="NAME=APP", help="another app: NAME_HOST, NAME_PORT")
    add("--replicas", type=int, metavar="N", help="how many pods")
    add("--schedule", metavar="CRON", help="when it runs (type cron)")
    add("--instrument", default="", choices=["", *INSTRUMENTS], metavar="LANGUAGE", help="trace it: python, or none")
    add("--command", dest="command_", metavar="WORDS", help="what to run instead of the image's own command")
    add("-m", "--message", default="", metavar="TEXT", help="why; `sampan releases` shows it")
    add("--build-only", action="store_true", help="only build the image, and print its name")
    add("--dry-run", action="store_true", help="only print the App")
    add("--no-wait", action="store_true", help="do not follow the steps")
    add("--timeout", default="5m", metavar="TIME", help="how long to follow; 0: to the end")
    add("--data-root", type=Path, default=DATA_ROOT, help=argparse.SUPPRESS)


async def run(options: argparse.Namespace, context: Context) -> int:
    if len(options.args) > 1 or (options.args and options.git and not options.image):
        raise CommandError("error: name one folder, or a repository (--git)")
    folder = Path(options.args[0] if options.args else ".")
    described_here = bool(options.args) or not (options.image or options.git)
    if described_here and not folder.is_dir():
        raise CommandError(f"error: {folder}: there is no such folder")
    base, source = described(folder) if described_here else (None, "")
    name = _name(options, base, folder)
    if options.build_only:
        return await _build_only(options, folder, name, context)
    async with connect(options, context) as session:
        client = apps.client_of(session)
        ours = await apps.knows_apps(client)
        there = await apps.find(client, name, session.namespace) if ours else None
        document = _start(base, there, name, session.namespace)
        _apply_flags(document["spec"], options)
        await _image(document, options, folder, context, source, there)
        _guess(document, options, context, there)
        app = export.checked(document, source or f"the App {name}")
        if options.dry_run:
            context.out(as_yaml(codec.document(app) | {"apiVersion": KIND.api_version, "kind": KIND.name}).rstrip())
            return 0
        if not ours:
            return await _elsewhere(session, client, app, context)
        written = await _write(client, app, there, options.message)
        context.err(f"app {name} {'changed' if there is not None else 'made'} in namespace {session.namespace}")
        if options.no_wait:
            return 0
        proof = published.proof(options, context)
        code = await apps.follow(client, written, context, timeout=seconds(options.timeout), proof=proof)
        if code == 0 and there is None:
            _hint(options, folder, name, context)
        return code


async def _build_only(options: argparse.Namespace, folder: Path, name: str, context: Context) -> int:
    if options.image or options.git:
        raise CommandError("error: --build-only builds a folder: leave out --image and --git")
    context.out(await building.build(_local(options, context), folder, name, context))
    return 0


def _hint(options: argparse.Namespace, folder: Path, name: str, context: Context) -> None:
    """After the first time: what makes the next ones shorter."""
    if options.image or building.local(options, context) is None:
        return
    if options.git:
        context.err(f"every push deploys after: sampan webhook {name}")
    elif (folder / ".git").exists():
        context.err(f"git push deploys after: sampan remote {name}")


def described(folder: Path) -> tuple[Document | None, str]:
    """The App that a folder describes, and in which file; None without one."""
    from sampan.api import yaml

    for file in (folder / each for each in FILES):
        if not file.is_file():
            continue
        try:
            document, _ = yaml.load(file.read_bytes())
        except yaml.YAMLError as error:
            raise CommandError(f"error: {file}: {error}") from error
        if isinstance(document, dict) and document.get("kind") == KIND.name:
            return document, str(file)
    return None, ""


def _name(options: argparse.Namespace, base: Document | None, folder: Path) -> str:
    found = options.name or ((base or {}).get("metadata") or {}).get("name")
    if options.git:
        found = found or guess.app_name(
            options.git.partition("#")[0].rstrip("/").removesuffix(".git").rpartition("/")[2]
        )
    found = found or (guess.of_image(options.image) if options.image else guess.app_name(folder.resolve().name))
    if not found:
        raise CommandError("error: nothing gives the app a name; say --name NAME")
    return str(found)


def _start(base: Document | None, there: App | None, name: str, namespace: str) -> Document:
    """What the folder says; else what is deployed; else nothing."""
    if base is not None:
        document = {**base, "spec": dict(base.get("spec") or {})}
    elif there is not None:
        spec = {key: value for key, value in codec.document(there.spec).items() if value not in ([], {}, None)}
        document = {"metadata": {}, "spec": spec}
    else:
        document = {"metadata": {}, "spec": {}}
    document |= {"apiVersion": KIND.api_version, "kind": KIND.name}
    document["metadata"] = {**(document.get("metadata") or {}), "name": name, "namespace": namespace}
    return document


def _apply_flags(spec: Document, options: argparse.Namespace) -> None:
    for key, value in (
        ("type", options.type or None),
        ("port", options.port),
        ("health", options.health),
        ("schedule", options.schedule),
        ("instrument", options.instrument or None),
        ("replicas", options.replicas),
    ):
        if value is not None:
            spec[key] = value
    if options.replicas is not None:
        spec.pop("scale", None)
    if options.host is not None:
        spec["host"] = None if options.host == "-" else options.host
    if options.command_:
        import shlex

        spec["command"] = shlex.split(options.command_)
    if options.env:
        spec["env"] = _environment(spec.get("env") or {}, options.env)
    if options.secret:
        spec["secrets"] = list(dict.fromkeys([*(spec.get("secrets") or ()), *options.secret]))
    if options.volume:
        pairs = [text.partition(":") for text in options.volume]
        added = [{"path": path, **({"size": size} if size else {})} for path, _, size in pairs]
        spec["volumes"] = _together(spec.get("volumes") or (), added, "path")
    if options.need:
        pairs = [text.partition("=") for text in options.need]
        spec["needs"] = _together(spec.get("needs") or (), [{"name": n, "app": a or n} for n, _, a in pairs], "name")


def _environment(env: Document, given: Iterable[str]) -> Document:
    made = dict(env)
    for text in given:
        key, equals, value = text.partition("=")
        if equals:
            made[key] = value
        elif text.endswith("-"):
            made.pop(text[:-1], None)
        else:
            raise CommandError(f"error: --env {text}: write {text}=VALUE, or {text}- to remove it")
    return made


def _together(old: Iterable[Document], new: list[Document], key: str) -> list[Document]:
    """`new` in the places of those old ones that have the same key."""
    given = {each[key]: each for each in new}
    kept = [{**each, **given.pop(each[key], {})} if each.get(key) in given else each for each in old]
    return [*kept, *given.values()]


async def _image(
    document: Document, options: argparse.Namespace, folder: Path, context: Context, source: str, there: App | None
) -> None:
    """Decide what runs: the image that was named, or the one that is built from the folder or the repository."""
    spec = document["spec"]
    if options.image:
        spec["source"] = {"image": options.image, **({"git": _git(options)} if options.git else {})}
        return
    given = dict(spec.get("source") or {})
    if given.get("image") and not given.get("path") and not given.get("git") and not options.git:
        if source or there is not None:
            return
    if options.git:
        given = {"git": _git(options)}
    cluster = _local(options, context)
    where = {"git": given["git"]} if given.get("git") else {"path": given.get("path") or "."}
    if options.dry_run:
        spec["source"] = where
        return
    name = document["metadata"]["name"]
    if given.get("git"):
        with building.cloned(str(given["git"].get("url") or ""), str(given["git"].get("ref") or "")) as root:
            image = await building.build(cluster, root, name, context)
    else:
        image = await building.build(cluster, folder / where["path"], name, context)
    spec["source"] = {**where, "image": image}


def _git(options: argparse.Namespace) -> Document:
    url, _, ref = options.git.partition("#")
    return {"url": url, **({"ref": ref} if ref else {})}


def _local(options: argparse.Namespace, context: Context) -> building.Local:
    cluster = building.local(options, context)
    if cluster is None:
        raise CommandError(
            f"error: images are built on the machine of the cluster, and {building.elsewhere(options, context)}; "
            "or build and push the image, then deploy it with --image"
        )
    return cluster


def _guess(document: Document, options: argparse.Namespace, context: Context, there: App | None) -> None:
    """Fill in what nobody has decided, and say so. An app that is deployed has been decided."""
    spec, name = document["spec"], document["metadata"]["name"]
    if there is not None:
        deployed = codec.document(there.spec)
        spec |= {field: deployed[field] for field in guess.FIELDS if field not in spec and field in deployed}
        return
    image = (spec.get("source") or {}).get("image") or ""
    declared = building.declared(building.local(options, context), image) if image else building.Declared()
    made = guess.guess(
        spec,
        name=name,
        ports=declared.ports,
        volumes=declared.volumes,
        command=declared.command,
        env=declared.env,
        known_image=declared.known and not options.port,
    )
    spec |= made.spec
    if not options.name:
        context.err(f"guessed: the name {name} (--name)")
    for text in made.said:
        context.err(f"guessed: {text}")


async def _write(client: Client, app: App, there: App | None, message: str) -> App:
    document = codec.document(app) | {"apiVersion": KIND.api_version, "kind": KIND.name}
    metadata = document["metadata"]
    annotations = dict(metadata.get("annotations") or {})
    if message:
        from sampan.api.extra.releases import CAUSE

        annotations[CAUSE] = message
    if there is None:
        document["metadata"] = {**metadata, "annotations": annotations}
        response = await client.raw("POST", KIND.path(app.metadata.namespace or ""), None, codec.encode(document))
        written: App = codec.decode(KIND, codec.parse(await response.read(), codec.JSON))
        return written
    kept = codec.document(there.metadata)
    kept["annotations"] = {**(kept.get("annotations") or {}), **annotations}
    kept["labels"] = {**(kept.get("labels") or {}), **(metadata.get("labels") or {})}
    document["metadata"] = kept
    return await apps.replace(client, there, document)


async def _elsewhere(session: Session, client: Client, app: App, context: Context) -> int:
    """Another Kubernetes knows no apps: what this one stands for is applied there, object by object."""
    from sampan.cli import main

    context.err("this cluster knows no apps (sampan.dev/v1): the objects that the app stands for are applied instead")
    options = session.options
    try:
        made = await export.documents(app, await apps.needed_services(client, app), client)
    except StatusError as error:
        raise CommandError(f"error: {error}") from error
    handle, path = tempfile.mkstemp(suffix=".yaml", prefix="sampan-")
    try:
        with os.fdopen(handle, "w") as file:
            file.write(export.text(made))
        words = ["-f", path, *_connection(options)]
        parser, module = main.parser_of(main.find("apply"))
        code: int = await module.run(parser.parse_args(words), context)  # type: ignore[attr-defined]
    finally:
        os.unlink(path)
    if code or options.no_wait:
        return code
    return await apps.follow_foreign(client, app, context, timeout=seconds(options.timeout))


_CONNECTION = (
    *("namespace", "context", "cluster", "user", "kubeconfig", "server", "token", "certificate_authority"),
    *("client_certificate", "client_key", "tls_server_name", "as_"),
)


def _connection(options: argparse.Namespace) -> list[str]:
    """The connection's flags again, for another command."""
    words = []
    for name in _CONNECTION:
        value = getattr(options, name, None)
        if value:
            words += [f"--{name.rstrip('_').replace('_', '-')}={value}"]
    return [*words, "--insecure-skip-tls-verify"] if options.insecure_skip_tls_verify else words
