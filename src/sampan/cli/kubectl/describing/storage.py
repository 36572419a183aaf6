"""PersistentVolumeClaims, PersistentVolumes and StorageClasses."""

from __future__ import annotations

from typing import Any

from sampan.cli.kubectl.describing import common
from sampan.cli.kubectl.describing.tabs import Writer

Document = dict[str, Any]

_MODES = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}


def _modes(modes: list[str] | None) -> str:
    return ",".join(_MODES.get(mode, mode) for mode in modes or ())


def claim(write: Writer, document: Document, found: Document) -> None:
    meta, spec, status = document["metadata"], document["spec"], document.get("status") or {}
    write(0, f"Name:\t{meta['name']}")
    write(0, f"Namespace:\t{meta['namespace']}")
    write(0, f"StorageClass:\t{spec.get('storageClassName') or ''}")
    phase = status.get("phase", "")
    if meta.get("deletionTimestamp"):
        phase = f"Terminating (lasts {common.age(meta['deletionTimestamp'])})"
    write(0, f"Status:\t{phase}")
    write(0, f"Volume:\t{spec.get('volumeName') or ''}")
    common.pairs(write, "Labels", meta.get("labels"))
    common.notes(write, meta.get("annotations"))
    write(0, f"Finalizers:\t[{' '.join(meta.get('finalizers') or ())}]")
    write(0, f"Capacity:\t{(status.get('capacity') or {}).get('storage', '')}")
    write(0, f"Access Modes:\t{_modes(status.get('accessModes') if status.get('capacity') else None)}")
    if spec.get("volumeMode"):
        write(0, f"VolumeMode:\t{spec['volumeMode']}")
    users = sorted(
        pod["metadata"]["name"]
        for pod in found["pods"]
        for volume in pod["spec"].get("volumes") or ()
        if (volume.get("persistentVolumeClaim") or {}).get("claimName") == meta["name"]
    )
    for at, name in enumerate(users or [common.NONE]):
        write(0, f"{'Used By:' if not at else ''}\t{name}")
    common.events(write, found["events"])


def volume(write: Writer, document: Document, found: Document) -> None:
    meta, spec, status = document["metadata"], document["spec"], document.get("status") or {}
    write(0, f"Name:\t{meta['name']}")
    common.pairs(write, "Labels", meta.get("labels"))
    common.notes(write, meta.get("annotations"))
    write(0, f"Finalizers:\t[{' '.join(meta.get('finalizers') or ())}]")
    write(0, f"StorageClass:\t{spec.get('storageClassName') or ''}")
    write(0, f"Status:\t{status.get('phase', '')}")
    holder = spec.get("claimRef")
    claim_name = f"{holder.get('namespace')}/{holder.get('name')}" if holder else ""
    write(0, f"Claim:\t{claim_name}")
    write(0, f"Reclaim Policy:\t{spec.get('persistentVolumeReclaimPolicy', '')}")
    write(0, f"Access Modes:\t{_modes(spec.get('accessModes'))}")
    if spec.get("volumeMode"):
        write(0, f"VolumeMode:\t{spec['volumeMode']}")
    write(0, f"Capacity:\t{(spec.get('capacity') or {}).get('storage', '')}")
    _affinity(write, spec.get("nodeAffinity"))
    write(0, f"Message:\t{status.get('message', '')}")
    write(0, "Source:")
    source = next((key for key in ("hostPath", "local", "nfs", "csi", "iscsi", "fc") if key in spec), "")
    if source:
        write(2, f"Type:\t{source[0].upper()}{source[1:]}")
        for key, value in (spec[source] or {}).items():
            write(2, f"{key[0].upper()}{key[1:]}:\t{value}")
    common.events(write, found["events"])


def _affinity(write: Writer, affinity: Document | None) -> None:
    required = (affinity or {}).get("required")
    if not required:
        write(0, f"Node Affinity:\t{common.NONE}")
        return
    write(0, "Node Affinity:")
    write(1, "Required Terms:")
    for at, term in enumerate(required.get("nodeSelectorTerms") or ()):
        for number, each in enumerate(term.get("matchExpressions") or ()):
            title = f"Term {at}:" if not number else ""
            values = ", ".join(each.get("values") or ())
            write(2, f"{title}\t{each['key']} {each['operator'].lower()} [{values}]")


def storageclass(write: Writer, document: Document, found: Document) -> None:
    meta = document["metadata"]
    write(0, f"Name:\t{meta['name']}")
    default = (meta.get("annotations") or {}).get("storageclass.kubernetes.io/is-default-class") == "true"
    write(0, f"IsDefaultClass:\t{'Yes' if default else 'No'}")
    annotations = ",".join(f"{key}={value}" for key, value in sorted((meta.get("annotations") or {}).items()))
    write(0, f"Annotations:\t{annotations or common.NONE}")
    write(0, f"Provisioner:\t{document['provisioner']}")
    write(0, f"Parameters:\t{common.label_text(document.get('parameters'))}")
    expansion = document.get("allowVolumeExpansion")
    write(0, f"AllowVolumeExpansion:\t{'<unset>' if expansion is None else expansion}")
    options = document.get("mountOptions") or ()
    write(0, f"MountOptions:\t{common.NONE}" if not options else "MountOptions:")
    for option in options:
        write(1, option)
    write(0, f"ReclaimPolicy:\t{document.get('reclaimPolicy', '')}")
    write(0, f"VolumeBindingMode:\t{document.get('volumeBindingMode', '')}")
    common.events(write, found["events"])
