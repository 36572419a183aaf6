"""What a pod refers to, and a volume: the objects that a node needs to run it."""

from __future__ import annotations

from collections.abc import Iterator

from sampan.api import codec
from sampan.api.kinds import core
from sampan.api.kinds.kind import Document
from sampan.api.types import core_v1

_WITH_SECRET = ("cephfs", "flexVolume", "iscsi", "rbd", "scaleIO", "storageos")
_CSI_SECRETS = ("controllerExpandSecretRef", "nodeExpandSecretRef", "nodePublishSecretRef", "nodeStageSecretRef")
MIRROR = "kubernetes.io/config.mirror"


def of_pod(pod: core_v1.Pod) -> Iterator[tuple[str, str]]:
    """(plural, name) of every object in the pod's namespace that it refers to."""
    spec = pod.spec
    if spec.serviceAccountName:
        yield "serviceaccounts", spec.serviceAccountName
    for secret in spec.imagePullSecrets:
        yield "secrets", secret.name or ""
    for container in (*spec.containers, *spec.initContainers):
        yield from _of_environment(container)
    for ephemeral in spec.ephemeralContainers:
        yield from _of_environment(ephemeral)
    for volume in spec.volumes:
        yield from _of_volume(volume, pod.metadata.name or "")
    for claim in spec.resourceClaims:
        if claim.resourceClaimName:
            yield "resourceclaims", claim.resourceClaimName
    for made in pod.status.resourceClaimStatuses:
        if made.resourceClaimName:
            yield "resourceclaims", made.resourceClaimName


def _of_environment(container: core_v1.Container | core_v1.EphemeralContainer) -> Iterator[tuple[str, str]]:
    for variable in container.env:
        source = variable.valueFrom
        if source is not None and source.secretKeyRef is not None:
            yield "secrets", source.secretKeyRef.name or ""
        if source is not None and source.configMapKeyRef is not None:
            yield "configmaps", source.configMapKeyRef.name or ""
    for bundle in container.envFrom:
        if bundle.secretRef is not None:
            yield "secrets", bundle.secretRef.name or ""
        if bundle.configMapRef is not None:
            yield "configmaps", bundle.configMapRef.name or ""


def _of_volume(volume: core_v1.Volume, pod: str) -> Iterator[tuple[str, str]]:
    if volume.secret is not None:
        yield "secrets", volume.secret.secretName or ""
    if volume.configMap is not None:
        yield "configmaps", volume.configMap.name or ""
    if volume.persistentVolumeClaim is not None:
        yield "persistentvolumeclaims", volume.persistentVolumeClaim.claimName
    if volume.ephemeral is not None:
        yield "persistentvolumeclaims", f"{pod}-{volume.name}"
    if volume.azureFile is not None:
        yield "secrets", volume.azureFile.secretName
    if volume.csi is not None and volume.csi.nodePublishSecretRef is not None:
        yield "secrets", volume.csi.nodePublishSecretRef.name or ""
    for kind in _WITH_SECRET:
        reference = getattr(getattr(volume, kind), "secretRef", None)
        if reference is not None:
            yield "secrets", reference.name or ""
    for source in volume.projected.sources if volume.projected is not None else ():
        if source.secret is not None:
            yield "secrets", source.secret.name or ""
        if source.configMap is not None:
            yield "configmaps", source.configMap.name or ""


def secrets_of_volume(volume: core_v1.PersistentVolume) -> Iterator[tuple[str, str]]:
    """(namespace, name) of the Secrets that a persistent volume refers to."""
    claim = volume.spec.claimRef
    home = (claim.namespace if claim is not None else None) or ""
    azure = volume.spec.azureFile
    if azure is not None:
        yield azure.secretNamespace or home, azure.secretName
    references = [getattr(getattr(volume.spec, kind), "secretRef", None) for kind in _WITH_SECRET]
    if volume.spec.csi is not None:
        references += [getattr(volume.spec.csi, name) for name in _CSI_SECRETS]
    for reference in references:
        if reference is not None:
            yield reference.namespace or home, reference.name or ""


def of_document(pod: Document) -> Iterator[tuple[str, str]]:
    """`of_pod` of a document that its type can be decoded from."""
    return of_pod(codec.decode(core.POD, pod))
