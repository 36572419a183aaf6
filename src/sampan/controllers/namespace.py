"""Namespaces that are being deleted lose their content, pods first, and then themselves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace

from sampan.api.errors import StatusError
from sampan.api.kinds.kind import Kind
from sampan.api.types import core_v1
from sampan.client.cache import Key, meta
from sampan.client.client import Client
from sampan.client.discovery import Discovered, discover
from sampan.client.metadata import PartialObjectMetadata
from sampan.controllers.settings import Settings
from sampan.runtime.actions import Action, Call, Plan, Requeue, Update, UpdateStatus, View
from sampan.runtime.clock import rfc3339
from sampan.runtime.controller import Controller, Watch

FINALIZER = "kubernetes"

FINE = {
    "NamespaceDeletionDiscoveryFailure": ("ResourcesDiscovered", "All resources successfully discovered"),
    "NamespaceDeletionGroupVersionParsingFailure": (
        "ParsedGroupVersions",
        "All legacy kube types successfully parsed",
    ),
    "NamespaceDeletionContentFailure": (
        "ContentDeleted",
        "All content successfully deleted, may be waiting on finalization",
    ),
    "NamespaceContentRemaining": ("ContentRemoved", "All content successfully removed"),
    "NamespaceFinalizersRemaining": ("ContentHasNoFinalizers", "All content-preserving finalizers finished"),
}


@dataclass(slots=True)
class Findings:
    """What one pass over the content met."""

    discovery: str = ""
    failures: list[str] = field(default_factory=list)
    remaining: Counter[str] = field(default_factory=Counter)
    finalizers: Counter[str] = field(default_factory=Counter)
    grace: float = 0.0

    @property
    def empty(self) -> bool:
        return not (self.discovery or self.failures or self.remaining)


def plan(namespace: core_v1.Namespace, view: View) -> Plan:
    if namespace.metadata.deletionTimestamp is None or FINALIZER not in namespace.spec.finalizers:
        return
    findings = yield from _empty(namespace.metadata.name or "")
    conditions = _conditions(namespace, findings, view.now)
    if conditions != namespace.status.conditions:
        status = replace(namespace.status, phase="Terminating", conditions=conditions)
        namespace = yield UpdateStatus(replace(namespace, status=status))
    if not findings.empty:
        # Pods end by themselves; what waits for finalizers of others is looked at again before long.
        yield Requeue(min(15.0, findings.grace / 2 + 1) if findings.grace else 5.0)
        return
    finalizers = tuple(each for each in namespace.spec.finalizers if each != FINALIZER)
    yield Update(replace(namespace, spec=replace(namespace.spec, finalizers=finalizers)), "finalize")


def _empty(namespace: str) -> Generator[Action, Any, Findings]:
    findings = Findings()
    served: Discovered = yield Call(discover)
    if served.stale:
        findings.discovery = f"Discovery failed for some groups, {len(served.stale)} failing: {', '.join(served.stale)}"
    kinds = [each for each in served.kinds if each.namespaced and {"list", "delete"} <= set(each.verbs)]
    kinds.sort(key=lambda each: (each.group, each.plural) != ("", "pods"))
    for kind in kinds:
        yield from _empty_kind(namespace, kind, findings)
        # What serves the pods (secrets, network policies, service accounts) stays until the last of them is gone.
        if (kind.group, kind.plural) == ("", "pods") and findings.remaining:
            break
    return findings


def _empty_kind(namespace: str, kind: Kind, findings: Findings) -> Generator[Action, Any, None]:
    try:
        items: Sequence[PartialObjectMetadata] = yield Call(lambda client: clear(client, kind, namespace))
    except StatusError as error:
        if error.code not in (404, 405):
            findings.failures.append(f"{kind.resource}: {error}")
        return
    for item in items:
        findings.remaining[kind.resource] += 1
        findings.finalizers.update(meta(item).finalizers)
        findings.grace = max(findings.grace, float(meta(item).deletionGracePeriodSeconds or 0))


async def clear(client: Client, kind: Kind, namespace: str) -> Sequence[PartialObjectMetadata]:
    """Ask for the deletion of everything of one kind; returns what is still there afterwards."""
    there = (await client.list(PartialObjectMetadata, namespace, kind=kind)).items
    if not there:
        return ()
    if "deletecollection" in kind.verbs:
        await client.delete_collection(PartialObjectMetadata, namespace, propagation="Background", kind=kind)
    else:
        for each in there:
            await _delete(client, kind, each)
    return (await client.list(PartialObjectMetadata, namespace, kind=kind)).items


async def _delete(client: Client, kind: Kind, object: PartialObjectMetadata) -> None:
    metadata = object.metadata
    try:
        await client.delete(
            PartialObjectMetadata,
            metadata.name or "",
            metadata.namespace or "",
            propagation="Background",
            uid=metadata.uid,
            kind=kind,
        )
    except StatusError as error:
        if error.code not in (404, 409):
            raise


def _conditions(namespace: core_v1.Namespace, findings: Findings, now: float) -> tuple[core_v1.NamespaceCondition, ...]:
    bad: dict[str, tuple[str, str]] = {}
    if findings.discovery:
        bad["NamespaceDeletionDiscoveryFailure"] = ("DiscoveryFailed", findings.discovery)
    if findings.failures:
        text = (
            f"Failed to delete all resource types, {len(findings.failures)} remaining: {'; '.join(findings.failures)}"
        )
        bad["NamespaceDeletionContentFailure"] = ("ContentDeletionFailed", text)
    if findings.remaining:
        # The trailing dot of core resources is upstream's: group and resource joined by one.
        listed = ", ".join(
            f"{name if '.' in name else name + '.'} has {count} resource instances"
            for name, count in sorted(findings.remaining.items())
        )
        bad["NamespaceContentRemaining"] = ("SomeResourcesRemain", f"Some resources are remaining: {listed}")
    if findings.finalizers:
        listed = ", ".join(
            f"{name} in {count} resource instances" for name, count in sorted(findings.finalizers.items())
        )
        text = f"Some content in the namespace has finalizers remaining: {listed}"
        bad["NamespaceFinalizersRemaining"] = ("SomeFinalizersRemain", text)
    before = {each.type: each for each in namespace.status.conditions}
    made = []
    for type, fine in FINE.items():
        status, (reason, message) = ("True", bad[type]) if type in bad else ("False", fine)
        old = before.pop(type, None)
        if old is not None and (old.status, old.reason, old.message) == (status, reason, message):
            made.append(old)
            continue
        since = old.lastTransitionTime if old is not None and old.status == status else rfc3339(now)
        made.append(
            core_v1.NamespaceCondition(
                type=type, status=status, reason=reason, message=message, lastTransitionTime=since
            )
        )
    return (*before.values(), *made)


def _ends(old: core_v1.Namespace, new: core_v1.Namespace) -> bool:
    return new.metadata.deletionTimestamp is not None


def _namespace_of_last(pod: core_v1.Pod, view: View) -> Iterable[Key]:
    """The end of a namespace goes on as soon as its last pod is gone."""
    name = pod.metadata.namespace or ""
    namespace = view.get(core_v1.Namespace, name)
    waits = namespace is not None and namespace.metadata.deletionTimestamp is not None
    return (("", name),) if waits and not view.within(core_v1.Pod, name) else ()


def declare(settings: Settings) -> Controller:
    return Controller(
        name="namespace-controller",
        primary=core_v1.Namespace,
        plan=plan,
        changed=_ends,
        watches=(Watch(core_v1.Pod, _namespace_of_last, lambda old, new: False),),
        workers=4,
    )
