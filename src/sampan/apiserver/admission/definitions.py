"""Tells who writes a CustomResourceDefinition which of its rules nobody will check."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sampan.apiserver.admission.base import Plugin, is_plain
from sampan.apiserver.contracts import Admission

RULES = "x-kubernetes-validations"


class DefinitionWarnings(Plugin):
    name = "CustomResourceDefinitionWarnings"
    handles = ("customresourcedefinitions.apiextensions.k8s.io",)

    def validate(self, admission: Admission) -> None:
        document = admission.document
        if document is None or not is_plain(admission) or document == admission.old:
            return
        for index, version in enumerate((document.get("spec") or {}).get("versions") or ()):
            path = f"spec.versions[{index}].schema.openAPIV3Schema"
            found = next(_ruled((version.get("schema") or {}).get("openAPIV3Schema"), path), "")
            if found:
                admission.warnings.append(f"{found}.{RULES}: this server does not evaluate rules in CEL")


def _ruled(schema: Any, path: str) -> Iterator[str]:
    """Places that have such rules."""
    if not isinstance(schema, dict):
        return
    if schema.get(RULES):
        yield path
    for name, below in (schema.get("properties") or {}).items():
        yield from _ruled(below, f"{path}.properties[{name}]")
    for keyword in ("items", "additionalProperties"):
        yield from _ruled(schema.get(keyword), f"{path}.{keyword}")
