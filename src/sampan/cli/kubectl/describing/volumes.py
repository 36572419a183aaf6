"""Volumes of pods, by the fields that their sources have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sampan.cli.kubectl.describing import common
from sampan.cli.kubectl.describing.tabs import Writer

Document = dict[str, Any]

_KNOWN: dict[str, tuple[str, tuple[tuple[str, str], ...]]] = {
    "emptyDir": (
        "EmptyDir (a temporary directory that shares a pod's lifetime)",
        (("Medium", "medium"), ("SizeLimit", "sizeLimit")),
    ),
    "hostPath": ("HostPath (bare host directory volume)", (("Path", "path"), ("HostPathType", "type"))),
    "persistentVolumeClaim": (
        "PersistentVolumeClaim (a reference to a PersistentVolumeClaim in the same namespace)",
        (("ClaimName", "claimName"), ("ReadOnly", "readOnly")),
    ),
    "secret": (
        "Secret (a volume populated by a Secret)",
        (("SecretName", "secretName"), ("Optional", "optional")),
    ),
    "configMap": ("ConfigMap (a volume populated by a ConfigMap)", (("Name", "name"), ("Optional", "optional"))),
    "nfs": (
        "NFS (an NFS mount that lasts the lifetime of a pod)",
        (("Server", "server"), ("Path", "path"), ("ReadOnly", "readOnly")),
    ),
    "csi": (
        "CSI (a Container Storage Interface (CSI) volume source)",
        (("Driver", "driver"), ("FSType", "fsType"), ("ReadOnly", "readOnly")),
    ),
    "image": ("Image (a container image or OCI artifact)", (("Reference", "reference"), ("PullPolicy", "pullPolicy"))),
}
_BOOLEANS = ("readOnly", "optional")


def describe(write: Writer, volumes: Sequence[Document], level: int) -> None:
    if not volumes:
        if level:
            write(level, f"Volumes:\t{common.NONE}")
        return
    write(level, "Volumes:")
    for volume in volumes:
        write(level + (1 if level == 0 else 0), f"{' ' * (0 if level == 0 else 1)}{volume['name']}:")
        for line in _lines(volume):
            write(level, f"{'    ' if level == 0 else '  '}{line}")


def _lines(volume: Document) -> list[str]:
    if "projected" in volume:
        return _projected(volume["projected"])
    if "downwardAPI" in volume:
        return ["Type:\tDownwardAPI (a volume populated by information about the pod)", "Items:", *_items(volume)]
    for name, (kind, fields) in _KNOWN.items():
        if name in volume:
            source = volume[name] or {}
            return [f"Type:\t{kind}", *(f"{title}:\t{_value(source, field)}" for title, field in fields)]
    source_name = next((key for key in volume if key != "name"), "")
    return [f"Type:\t{source_name or '<unknown>'}"]


def _value(source: Document, field: str) -> str:
    value = source.get(field)
    if field in _BOOLEANS:
        return str(bool(value)).lower()
    if field == "sizeLimit":
        return str(value) if value is not None else "<unset>"
    return "" if value is None else str(value)


def _items(volume: Document) -> list[str]:
    return [
        f"  {item.get('fieldRef', {}).get('fieldPath', '')} -> {item['path']}"
        for item in volume["downwardAPI"].get("items") or ()
    ]


def _projected(projected: Document) -> list[str]:
    found = ["Type:\tProjected (a volume that contains injected data from multiple sources)"]
    for source in projected.get("sources") or ():
        if "secret" in source:
            found.append(f"SecretName:\t{source['secret'].get('name', '')}")
            found.append(f"SecretOptionalName:\t{_optional(source['secret'])}")
        elif "downwardAPI" in source:
            found.append("DownwardAPI:\ttrue")
        elif "configMap" in source:
            found.append(f"ConfigMapName:\t{source['configMap'].get('name', '')}")
            found.append(f"Optional:\t{str(bool(source['configMap'].get('optional'))).lower()}")
        elif "serviceAccountToken" in source:
            found.append(f"TokenExpirationSeconds:\t{source['serviceAccountToken'].get('expirationSeconds', 3600)}")
    return found


def _optional(source: Document) -> str:
    value = source.get("optional")
    return "<nil>" if value is None else str(value).lower()
