"""Every namespace has a service account named default."""

from __future__ import annotations

from collections.abc import Iterable

from sampan.api.types import core_v1, meta_v1
from sampan.client.cache import Key
from sampan.controllers.settings import Settings
from sampan.runtime.actions import Create, Plan, View
from sampan.runtime.controller import Controller, Watch

NAME = "default"


def plan(namespace: core_v1.Namespace, view: View) -> Plan:
    if namespace.metadata.deletionTimestamp is not None or namespace.status.phase == "Terminating":
        return
    name = namespace.metadata.name or ""
    if view.get(core_v1.ServiceAccount, NAME, name) is None:
        yield Create(core_v1.ServiceAccount(metadata=meta_v1.ObjectMeta(name=NAME, namespace=name)))


def _namespace(account: core_v1.ServiceAccount, view: View) -> Iterable[Key]:
    return (("", account.metadata.namespace or ""),) if account.metadata.name == NAME else ()


def declare(settings: Settings) -> Controller:
    return Controller(
        name="service-account-controller",
        primary=core_v1.Namespace,
        plan=plan,
        watches=(Watch(core_v1.ServiceAccount, _namespace),),
    )
