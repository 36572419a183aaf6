"""ResourceQuotas: what the objects of a namespace use. Admission adds at a write; here it is counted again."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import Any

from msgspec.structs import replace

from sampan.api import quota
from sampan.api.kinds import apps, batch, core
from sampan.api.kinds.kind import Kind
from sampan.api.types import core_v1
from sampan.client.cache import Key, meta
from sampan.client.client import Client
from sampan.client.discovery import discover
from sampan.client.metadata import PartialObjectMetadata
from sampan.controllers import pods
from sampan.controllers.settings import Settings
from sampan.runtime.actions import Action, Call, Plan, Requeue, UpdateStatus, View
from sampan.runtime.clock import rfc3339
from sampan.runtime.controller import Controller, Watch

AGAIN = 60.0
"""Seconds between counts of resources that are not followed, such as custom ones."""


class SecretMetadata(PartialObjectMetadata, frozen=True, kw_only=True, gc=False):
    """Secrets are counted, not read."""


FOLLOWED: tuple[Kind, ...] = (
    core.POD,
    core.SERVICE,
    core.PERSISTENT_VOLUME_CLAIM,
    core.CONFIG_MAP,
    core.REPLICATION_CONTROLLER,
    core.RESOURCE_QUOTA,
    apps.DEPLOYMENT,
    apps.REPLICA_SET,
    apps.STATEFUL_SET,
    apps.DAEMON_SET,
    batch.JOB,
    batch.CRON_JOB,
)
TYPES: dict[str, type[Any]] = {**{kind.resource: kind.type for kind in FOLLOWED}, "secrets": SecretMetadata}


def plan(object: core_v1.ResourceQuota, view: View) -> Plan:
    namespace = object.metadata.namespace or ""
    present: list[tuple[str, Any]] = []
    for resource in sorted(quota.resources_of(object.spec)):
        if resource in TYPES:
            present += [(resource, each) for each in view.within(TYPES[resource], namespace)]
        else:
            present += yield from _ask(resource, namespace)
            yield Requeue(AGAIN)
    used = quota.used(object.spec, present, rfc3339(view.now))
    status = core_v1.ResourceQuotaStatus(hard=object.spec.hard, used=used)
    if status != object.status:
        yield UpdateStatus(replace(object, status=status))


def _ask(resource: str, namespace: str) -> Generator[Action, Any, list[tuple[str, Any]]]:
    found = yield Call(lambda client: listed(client, resource, namespace))
    return [(resource, each) for each in found]


async def listed(client: Client, resource: str, namespace: str) -> Iterable[PartialObjectMetadata]:
    """Objects of a resource that nobody follows here; none when it is not served."""
    for kind in (await discover(client)).kinds:
        if kind.resource == resource and kind.namespaced and "list" in kind.verbs:
            return (await client.list(PartialObjectMetadata, namespace, kind=kind)).items
    return ()


# --- declaration


def _quotas_about(resource: str) -> Callable[[Any, View], Iterable[Key]]:
    def keys(object: Any, view: View) -> Iterable[Key]:
        namespace = meta(object).namespace or ""
        for each in view.within(core_v1.ResourceQuota, namespace):
            if resource in quota.resources_of(each.spec):
                yield namespace, each.metadata.name or ""

    return keys


def _never(old: Any, new: Any) -> bool:
    return False


def _resized(old: Any, new: Any) -> bool:
    return bool(old.spec != new.spec)


CHANGES: dict[str, Callable[[Any, Any], bool]] = {
    "pods": lambda old, new: pods.is_terminal(old) != pods.is_terminal(new) or old.spec != new.spec,
    "services": _resized,
    "persistentvolumeclaims": _resized,
}
"""By resource: which modifications change what is used; of others only their number counts."""


def _changed(old: core_v1.ResourceQuota, new: core_v1.ResourceQuota) -> bool:
    return old.spec != new.spec or new.status.hard != new.spec.hard


def declare(settings: Settings) -> Controller:
    return Controller(
        name="resourcequota-controller",
        primary=core_v1.ResourceQuota,
        plan=plan,
        changed=_changed,
        watches=(
            *(Watch(kind.type, _quotas_about(kind.resource), CHANGES.get(kind.resource, _never)) for kind in FOLLOWED),
            Watch(SecretMetadata, _quotas_about("secrets"), _never, core.SECRET),
        ),
    )
