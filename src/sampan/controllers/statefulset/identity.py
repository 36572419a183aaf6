"""What makes one pod of a StatefulSet that very one: name, host, labels, claims. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from sampan.api.kinds import apps, core
from sampan.api.types import apps_v1, core_v1, meta_v1
from sampan.controllers import owners, revisions

POD_NAME = "statefulset.kubernetes.io/pod-name"
POD_INDEX = "apps.kubernetes.io/pod-index"


def name(owner: apps_v1.StatefulSet, ordinal: int) -> str:
    return f"{owner.metadata.name}-{ordinal}"


def ordinal_of(owner: apps_v1.StatefulSet, pod: core_v1.Pod) -> int | None:
    """None for a pod whose name is not one of this set's."""
    parent, _, number = (pod.metadata.name or "").rpartition("-")
    mine = parent == owner.metadata.name and number.isascii() and number.isdigit()
    return int(number) if mine and number == str(int(number)) else None


def start_of(owner: apps_v1.StatefulSet) -> int:
    return (owner.spec.ordinals.start or 0) if owner.spec.ordinals else 0


def revision_of(pod: core_v1.Pod) -> str:
    """The name of the pod's ControllerRevision."""
    return pod.metadata.labels.get(revisions.HASH, "")


def pod(owner: apps_v1.StatefulSet, ordinal: int, revision: apps_v1.ControllerRevision) -> core_v1.Pod:
    template = revisions.template_of(revision)
    metadata, spec = template.metadata or meta_v1.ObjectMeta(), template.spec or core_v1.PodSpec()
    made = core_v1.Pod(
        metadata=meta_v1.ObjectMeta(
            name=name(owner, ordinal),
            namespace=owner.metadata.namespace,
            labels={**metadata.labels, revisions.HASH: revision.metadata.name or ""},
            annotations=metadata.annotations,
            finalizers=metadata.finalizers,
            ownerReferences=(owners.reference(owner, apps.STATEFUL_SET),),
        ),
        spec=replace(
            spec,
            hostname=name(owner, ordinal),
            subdomain=owner.spec.serviceName,
            volumes=_volumes(owner, ordinal, spec),
        ),
    )
    return identified(owner, made)


def identified(owner: apps_v1.StatefulSet, pod: core_v1.Pod) -> core_v1.Pod:
    """The pod with the labels by which it is found; the very same one when it has them."""
    wanted = {POD_NAME: pod.metadata.name or "", POD_INDEX: str(ordinal_of(owner, pod))}
    if wanted.items() <= pod.metadata.labels.items():
        return pod
    return replace(pod, metadata=replace(pod.metadata, labels={**pod.metadata.labels, **wanted}))


def _volumes(owner: apps_v1.StatefulSet, ordinal: int, spec: core_v1.PodSpec) -> tuple[core_v1.Volume, ...]:
    """A claim's volume takes the place of one of the same name in the template."""
    claimed = {
        template.metadata.name or "": core_v1.Volume(
            name=template.metadata.name or "",
            persistentVolumeClaim=core_v1.PersistentVolumeClaimVolumeSource(
                claimName=claim_name(owner, template, ordinal)
            ),
        )
        for template in owner.spec.volumeClaimTemplates
    }
    return (*claimed.values(), *(each for each in spec.volumes if each.name not in claimed))


# --- claims


def claim_name(owner: apps_v1.StatefulSet, template: core_v1.PersistentVolumeClaim, ordinal: int) -> str:
    return f"{template.metadata.name}-{owner.metadata.name}-{ordinal}"


def claims(owner: apps_v1.StatefulSet, ordinal: int) -> Iterator[core_v1.PersistentVolumeClaim]:
    """The claims of one pod, as they are made for it."""
    for template in owner.spec.volumeClaimTemplates:
        yield replace(
            template,
            metadata=meta_v1.ObjectMeta(
                name=claim_name(owner, template, ordinal),
                namespace=owner.metadata.namespace,
                labels={**template.metadata.labels, **owner.spec.selector.matchLabels},
                annotations=template.metadata.annotations,
            ),
            status=core_v1.PersistentVolumeClaimStatus(),
        )


def claim_owners(
    owner: apps_v1.StatefulSet, claim: core_v1.PersistentVolumeClaim, pod: core_v1.Pod | None, *, condemned: bool
) -> tuple[meta_v1.OwnerReference, ...]:
    """Owners that persistentVolumeClaimRetentionPolicy gives a claim, besides those that others gave it.

    Deleted with the set: owned by the set. Deleted when scaled down: owned by the pod that is going.
    """
    policy = owner.spec.persistentVolumeClaimRetentionPolicy
    set_uid, pod_uid = owner.metadata.uid, pod.metadata.uid if pod is not None else None
    kept = [
        each
        for each in claim.metadata.ownerReferences
        if each.uid not in (set_uid, pod_uid) and not (each.kind == "Pod" and each.name == (pod and pod.metadata.name))
    ]
    wanted = []
    scaled = policy is not None and policy.whenScaled == "Delete" and condemned
    if policy is not None and policy.whenDeleted == "Delete" and not scaled:
        wanted.append(_plain(owners.reference(owner, apps.STATEFUL_SET)))
    if scaled and pod is not None:
        wanted.append(_plain(owners.reference(pod, core.POD)))
    return (*kept, *wanted)


def _plain(reference: meta_v1.OwnerReference) -> meta_v1.OwnerReference:
    """An owner that is no controller: a claim has none."""
    return replace(reference, controller=None, blockOwnerDeletion=None)
