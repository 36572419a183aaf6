"""The pod that a word means: its own name, or one of those behind `deployment/web`, `service/web`, ..."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

from sampan.cli.context import CommandError
from sampan.cli.kubectl import select
from sampan.cli.kubectl.select import Target
from sampan.cli.kubectl.session import Session

Document = dict[str, Any]

DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"


async def of_word(session: Session, word: str, *, wait: float = 60.0) -> Document:
    """One pod. Of several behind a controller the one that is ready, or has run longest, comes first."""
    type_, slash, name = word.rpartition("/")
    if not slash or type_ in ("pod", "pods", "po"):
        return await session.read(_path(session.namespace, name or word))
    target = (await select.targets(session, [word]))[0]
    document = await session.read(target.path)
    found = await behind(session, target, document, wait=wait)
    return found[0]


async def behind(session: Session, target: Target, document: Document, *, wait: float = 0.0) -> list[Document]:
    """The pods that an object selects, the best first. Waits for the first. Raises CommandError."""
    labels = selector_text(document)
    if labels is None:
        raise CommandError(
            f"error: cannot attach to {target.resource.kind} {target.name}: "
            f"selector for {target.resource.plural} is unknown"
        )
    path, query = _path(target.namespace), {"labelSelector": labels}
    listed = await session.read(path, query)
    found: list[Document] = listed.get("items") or []
    if not found and wait > 0:
        version = (listed.get("metadata") or {}).get("resourceVersion") or ""
        found = await _first(session, path, {**query, "resourceVersion": version}, wait)
    if not found:
        raise CommandError(f"error: no pods found for {target.display}")
    return sorted(found, key=_rank)


async def _first(session: Session, path: str, query: dict[str, str], wait: float) -> list[Document]:
    """The first pod that comes within so many seconds."""
    try:
        async with asyncio.timeout(wait), aclosing(session.watch(path, query)) as events:
            async for event in events:
                if event["type"] in ("ADDED", "MODIFIED"):
                    return [event["object"]]
    except TimeoutError:
        return []
    return []


def selector_text(document: Document) -> str | None:
    """The label selector of a workload or service as text."""
    selector = (document.get("spec") or {}).get("selector")
    if not isinstance(selector, dict) or not selector:
        return None
    if "matchLabels" not in selector and "matchExpressions" not in selector:
        return ",".join(f"{key}={value}" for key, value in selector.items())
    parts = [f"{key}={value}" for key, value in (selector.get("matchLabels") or {}).items()]
    for each in selector.get("matchExpressions") or ():
        key, values = each["key"], ",".join(each.get("values") or ())
        match each["operator"]:
            case "In":
                parts.append(f"{key} in ({values})")
            case "NotIn":
                parts.append(f"{key} notin ({values})")
            case "Exists":
                parts.append(key)
            case "DoesNotExist":
                parts.append(f"!{key}")
    return ",".join(parts)


def _rank(pod: Document) -> tuple[Any, ...]:
    status = pod.get("status") or {}
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions") or ())
    phase = {"Running": 0, "Unknown": 1, "Pending": 2}.get(status.get("phase") or "", 3)
    return (
        not (pod.get("spec") or {}).get("nodeName"),
        phase,
        not ready,
        pod["metadata"].get("creationTimestamp") or "",
    )


def _path(namespace: str, name: str = "", part: str = "") -> str:
    return "/".join(filter(None, (f"/api/v1/namespaces/{namespace}/pods", name, part)))


def path(pod: Document, part: str = "") -> str:
    return _path(pod["metadata"]["namespace"], pod["metadata"]["name"], part)


def containers(pod: Document) -> list[tuple[str, str]]:
    """(name, kind) with kind "", "init" or "ephem", in the order in which people see them."""
    spec = pod.get("spec") or {}
    return [
        *((c["name"], "") for c in spec.get("containers") or ()),
        *((c["name"], "init") for c in spec.get("initContainers") or ()),
        *((c["name"], "ephem") for c in spec.get("ephemeralContainers") or ()),
    ]


def container(session: Session, pod: Document, name: str = "", *, quiet: bool = False) -> str:
    """The container that is meant; says on standard error which one it took when there are several."""
    known = containers(pod)
    if name:
        if name not in [each for each, _ in known]:
            raise CommandError(f"error: container {name} not found in pod {pod['metadata']['name']}")
        return name
    wanted = (pod["metadata"].get("annotations") or {}).get(DEFAULT_CONTAINER)
    if wanted and any(each == wanted for each, _ in known):
        return str(wanted)
    if len(known) > 1 and not quiet:
        shown = ", ".join(each + (f" ({kind})" if kind else "") for each, kind in known)
        session.context.err(f'Defaulted container "{known[0][0]}" out of: {shown}')
    return known[0][0]
