"""Which objects a command speaks of: `pod web`, `pods/web deploy/api`, `pods,svc -l app=x`, `all`, -f."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, NamedTuple

from sampan.cli.context import CommandError
from sampan.cli.kubectl import manifests
from sampan.cli.kubectl.resources import Resource
from sampan.cli.kubectl.session import Session

Document = dict[str, Any]

RESOURCE_NEEDED = (
    'You must specify the type of resource to {verb}. Use "sampan api-resources" for a complete list of '
    "supported resources."
)


class Target(NamedTuple):
    """One object by name, or, without a name, all that a selection finds. `document` is what a manifest said."""

    resource: Resource
    namespace: str
    name: str = ""
    document: Document | None = None
    source: str = ""

    @property
    def path(self) -> str:
        return self.resource.path(self.namespace, self.name)

    @property
    def display(self) -> str:
        """`deployment.apps/web`"""
        return f"{self.resource.display}/{self.name}"


async def targets(session: Session, words: Sequence[str], *, all_namespaces: bool = False) -> list[Target]:
    """What the words and -f of a command line name. Raises CommandError."""
    options = session.options
    if getattr(options, "filename", None):
        if words:
            raise CommandError(
                "error: when paths, URLs, or stdin is provided as input, you may not specify a resource by "
                "arguments as well"
            )
        return [await of_manifest(session, each) for each in manifests.read(options, session.context)]
    if not words:
        raise CommandError("error: " + RESOURCE_NEEDED.format(verb=options.verb))
    known = await session.resources()
    namespace = "" if all_namespaces else session.namespace
    if any("/" in word for word in words):
        found = []
        for word in words:
            type_, slash, name = word.partition("/")
            if not slash:
                raise CommandError(
                    "error: there is no need to specify a resource type as a separate argument when passing "
                    f"arguments in resource/name form (e.g. '{_prog(options)} resource/<resource_name>' instead of "
                    f"'{_prog(options)} resource resource/<resource_name>'"
                )
            if not type_ or not name or "/" in name:
                raise CommandError("error: arguments in resource/name form must have a single resource and name")
            resource = known.find(type_)
            found.append(Target(resource, namespace if resource.namespaced else "", name))
        return _checked(found, all_namespaces)
    resources = known.expand(words[0])
    names = words[1:]
    if names:
        found = [Target(r, namespace if r.namespaced else "", name) for r in resources for name in names]
        return _checked(found, all_namespaces)
    return [Target(r, namespace if r.namespaced else "") for r in resources]


def _checked(found: list[Target], all_namespaces: bool) -> list[Target]:
    if all_namespaces and any(t.resource.namespaced for t in found):
        raise CommandError("error: a resource cannot be retrieved by name across all namespaces")
    return found


async def of_manifest(session: Session, manifest: manifests.Manifest, *, fill: bool = True) -> Target:
    """Where a manifest's object lives. Its namespace must agree with --namespace; `fill` writes it into the object."""
    document = manifest.document
    resource = (await session.resources()).of(document, manifest.source)
    meta = manifests.meta(document)
    namespace = ""
    if resource.namespaced:
        namespace = meta.get("namespace") or session.namespace
        if session.given_namespace and namespace != session.given_namespace:
            raise CommandError(
                f'error: the namespace from the provided object "{namespace}" does not match the namespace '
                f"\"{session.given_namespace}\". You must pass '--namespace={namespace}' to perform this operation."
            )
        if fill or session.given_namespace:
            meta["namespace"] = namespace
    return Target(resource, namespace, meta.get("name") or "", document, manifest.source)


async def objects(
    session: Session, found: Sequence[Target], *, labels: str = "", fields: str = ""
) -> list[tuple[Target, Document]]:
    """Each object itself, those of selections included; each with a target that has its name."""
    made: list[tuple[Target, Document]] = []
    for target in found:
        if target.name:
            made.append((target, await session.read(target.path)))
            continue
        query = {"labelSelector": labels, "fieldSelector": fields}
        async for page in session.pages(target.path, query):
            for item in page.get("items") or ():
                item.setdefault("apiVersion", target.resource.api_version)
                item.setdefault("kind", target.resource.kind)
                made.append((named(target, item), item))
    return made


def named(target: Target, document: Document) -> Target:
    """The target of one object that a selection found."""
    meta = document.get("metadata") or {}
    return target._replace(namespace=meta.get("namespace") or "", name=meta.get("name") or "")


def _prog(options: argparse.Namespace) -> str:
    return f"sampan {options.verb}"
