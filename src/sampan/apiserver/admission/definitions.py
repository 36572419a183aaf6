"""Tells who writes rules in CEL that nobody here evaluates them: of definitions, and whole admission policies."""

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


class PolicyWarnings(Plugin):
    name = "AdmissionPolicyWarnings"
    handles = (
        "validatingadmissionpolicies.admissionregistration.k8s.io",
        "mutatingadmissionpolicies.admissionregistration.k8s.io",
    )

    def validate(self, admission: Admission) -> None:
        if is_plain(admission) and admission.operation == "CREATE":
            admission.warnings.append("this server evaluates no CEL: the policy is kept and has no effect")


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
