"""Ephemeral volumes of pods: a claim that is made for one pod and goes with it."""

from __future__ import annotations

from collections.abc import Iterable

from sampan.api.kinds import core
from sampan.api.types import core_v1, meta_v1
from sampan.client.cache import Key
from sampan.controllers import owners, pods
from sampan.controllers.settings import Settings
from sampan.controllers.volumes.words import Claim
from sampan.runtime.actions import Create, Emit, Plan, View
from sampan.runtime.controller import Controller, Watch


def plan(pod: core_v1.Pod, view: View) -> Plan:
    if not pods.is_active(pod):
        return
    for volume in pod.spec.volumes:
        template = volume.ephemeral.volumeClaimTemplate if volume.ephemeral is not None else None
        if template is None:
            continue
        name, namespace = f"{pod.metadata.name}-{volume.name}", pod.metadata.namespace or ""
        present = view.get(Claim, name, namespace)
        if present is None:
            metadata = meta_v1.ObjectMeta(
                name=name,
                namespace=namespace,
                labels=template.metadata.labels if template.metadata else {},
                annotations=template.metadata.annotations if template.metadata else {},
                ownerReferences=(owners.reference(pod, core.POD),),
            )
            yield Create(Claim(metadata=metadata, spec=template.spec))
        elif not any(each.uid == pod.metadata.uid for each in present.metadata.ownerReferences):
            message = f"PVC {namespace}/{name} was not created for pod {namespace}/{pod.metadata.name}"
            yield Emit(pod, "Warning", "FailedScheduling", message)


def _pod_of(claim: Claim, view: View) -> Iterable[Key]:
    above = owners.controller_of(claim)
    return ((claim.metadata.namespace or "", above.name),) if above is not None and above.kind == "Pod" else ()


def declare(settings: Settings) -> Controller:
    return Controller(
        name="ephemeral-volume-controller",
        primary=core_v1.Pod,
        plan=plan,
        changed=lambda old, new: False,
        watches=(Watch(Claim, _pod_of, lambda old, new: False),),
    )
