"""`sampan set`: image, env and resources of a workload's containers."""

from __future__ import annotations

import argparse
from typing import Any

from sampan.cli.context import CommandError, Context
from sampan.cli.kubectl import flags, select, writing
from sampan.cli.kubectl.session import connect

Document = dict[str, Any]

EXAMPLES = """\
examples:
  sampan set image deployment/web web=nginx:1.27
  sampan set env deployment/web LEVEL=debug OLD-
  sampan set resources deployment/web --requests=cpu=100m --limits=memory=256Mi"""


def _common(parser: argparse.ArgumentParser) -> None:
    flags.set_up(parser)
    flags.filenames(parser)
    flags.selector(parser, everything=True)
    flags.output(parser)
    flags.dry_run(parser)
    flags.field_manager(parser, "kubectl-set")


def _env_flags(parser: argparse.ArgumentParser) -> None:
    _common(parser)
    parser.add_argument("-c", "--containers", default="*", metavar="NAME", help="only this container")
    parser.add_argument("--list", action="store_true", help="show the environment")


def _resources_flags(parser: argparse.ArgumentParser) -> None:
    _common(parser)
    parser.add_argument("-c", "--containers", default="*", metavar="NAME", help="only this container")
    parser.add_argument("--requests", default="", metavar="NAME=AMOUNT,...")
    parser.add_argument("--limits", default="", metavar="NAME=AMOUNT,...")


MEMBERS = {"image": _common, "env": _env_flags, "resources": _resources_flags}


def configure(parser: argparse.ArgumentParser) -> None:
    flags.set_up_group(parser, MEMBERS)


async def run(options: argparse.Namespace, context: Context) -> int:
    names = [word for word in options.args if "=" not in word and not word.endswith("-")]
    changes = [word for word in options.args if word not in names]
    done = {"image": "image updated", "env": "env updated", "resources": "resource requirements updated"}
    async with connect(options, context) as session:
        found = await select.targets(session, names)
        for target, document in await select.objects(session, found, labels=options.selector):
            spec = _pod_spec(document)
            if options.member == "env" and options.list:
                _list(context, f"{target.resource.kind} {target.name}", spec)
                continue
            containers = _ACTIONS[options.member](spec, changes, options)
            if not containers:
                continue
            patch = _patch(document, containers)
            if flags.check_dry_run(options) != "client":
                document = await session.patch(target.path, patch, "strategic", writing.query(options))
            writing.show(session, target, document, done[options.member])
    return 0


def _pod_spec(document: Document) -> Document:
    spec = document.get("spec") or {}
    if document["kind"] == "Pod":
        return dict(spec)
    if document["kind"] == "CronJob":
        spec = (spec.get("jobTemplate") or {}).get("spec") or {}
    if "template" not in spec:
        raise CommandError(f"error: {document['kind']}/{document['metadata']['name']} has no pod template")
    return dict(spec["template"].get("spec") or {})


def _patch(document: Document, containers: Document) -> Document:
    if document["kind"] == "Pod":
        return {"spec": containers}
    template = {"template": {"spec": containers}}
    return {"spec": {"jobTemplate": {"spec": template}}} if document["kind"] == "CronJob" else {"spec": template}


def _lists(spec: Document) -> list[tuple[str, Document]]:
    return [(part, c) for part in ("containers", "initContainers") for c in spec.get(part) or ()]


def _image(spec: Document, changes: list[str], options: argparse.Namespace) -> Document:
    found: dict[str, list[Document]] = {}
    if not changes:
        raise CommandError("error: at least one image update is required")
    for change in changes:
        name, _, image = change.partition("=")
        matching = [(part, c) for part, c in _lists(spec) if name in ("*", c["name"])]
        if not matching:
            raise CommandError(f'error: unable to find container named "{name}"')
        for part, container in matching:
            if container.get("image") != image:
                found.setdefault(part, []).append({"name": container["name"], "image": image})
    return dict(found)


def _env(spec: Document, changes: list[str], options: argparse.Namespace) -> Document:
    found: list[Document] = []
    for container in spec.get("containers") or ():
        if options.containers not in ("*", container["name"]):
            continue
        env: list[Document] = []
        for change in changes:
            name, equals, value = change.partition("=")
            if equals:
                env.append({"name": name, "value": value})
            else:
                env.append({"name": name.removesuffix("-"), "$patch": "delete"})
        found.append({"name": container["name"], "env": env})
    return {"containers": found} if found and changes else {}


def _resources(spec: Document, changes: list[str], options: argparse.Namespace) -> Document:
    wanted = {
        part: dict(pair.split("=", 1) for pair in text.split(","))
        for part, text in (("requests", options.requests), ("limits", options.limits))
        if text
    }
    if not wanted:
        raise CommandError(
            "error: you must specify an update to requests or limits (in the form of --requests/--limits)"
        )
    found = [
        {"name": c["name"], "resources": wanted}
        for c in spec.get("containers") or ()
        if options.containers in ("*", c["name"])
    ]
    return {"containers": found} if found else {}


def _list(context: Context, name: str, spec: Document) -> None:
    for container in spec.get("containers") or ():
        context.out(f"# {name}, container {container['name']}")
        for variable in container.get("env") or ():
            if "valueFrom" in variable:
                source = next(iter(variable["valueFrom"]))
                context.out(f"# {variable['name']} from {source}")
            else:
                context.out(f"{variable['name']}={variable.get('value', '')}")


_ACTIONS = {"image": _image, "env": _env, "resources": _resources}
