"""Which names a definition gets among the others of its group, told in its status. Pure.

Source: Kubernetes' documentation of CustomResourceDefinitionStatus.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from sampan.api import conditions
from sampan.api.types.apiextensions_v1 import (
    CustomResourceDefinition,
    CustomResourceDefinitionCondition,
    CustomResourceDefinitionNames,
    CustomResourceDefinitionStatus,
)

Condition = CustomResourceDefinitionCondition
_NOT_YET = "not all names are accepted"


class _Taken:
    """The names that other definitions of a group hold."""

    def __init__(self, others: Iterable[CustomResourceDefinitionNames]) -> None:
        self.resources: set[str] = set()
        self.kinds: set[str] = set()
        for names in others:
            self.resources |= {names.plural, names.singular or "", *names.shortNames} - {""}
            self.kinds |= {names.kind, names.listKind or ""} - {""}


def judge(
    definition: CustomResourceDefinition, others: Iterable[CustomResourceDefinition], problems: Iterable[str], now: str
) -> CustomResourceDefinitionStatus:
    """The status that a definition should have; `problems` say why its schemas cannot be served, `now` is RFC 3339."""
    status = definition.status
    group = [
        other.status.acceptedNames
        for other in others
        if other.spec.group == definition.spec.group and other.metadata.name != definition.metadata.name
    ]
    accepted, refused = _accept(definition, _Taken(names for names in group if names is not None))
    found = status.conditions
    if refused:
        reason, message = refused
        found = conditions.put(found, _condition("NamesAccepted", False, reason, message), now)
        if not conditions.is_true(found, "Established"):
            found = conditions.put(found, _condition("Established", False, "NotAccepted", _NOT_YET), now)
    else:
        found = conditions.put(found, _condition("NamesAccepted", True, "NoConflicts", "no conflicts found"), now)
        if not conditions.is_true(found, "Established"):
            text = "the initial names have been accepted"
            found = conditions.put(found, _condition("Established", True, "InitialNamesAccepted", text), now)
    listed = tuple(problems)
    if listed:
        found = conditions.put(found, _condition("NonStructuralSchema", True, "Violations", "; ".join(listed)), now)
    else:
        found = conditions.remove(found, "NonStructuralSchema")
    return msgspec.structs.replace(status, acceptedNames=accepted, conditions=found)


def _accept(
    definition: CustomResourceDefinition, taken: _Taken
) -> tuple[CustomResourceDefinitionNames, tuple[str, str] | None]:
    """The names that are free; those that are not stay what they were. And why, as (reason, message)."""
    wanted = definition.spec.names
    had = definition.status.acceptedNames or CustomResourceDefinitionNames()
    made, refused = wanted, None
    for name, reason in (("plural", "PluralConflict"), ("singular", "SingularConflict")):
        value = getattr(wanted, name)
        if value in taken.resources:
            made = msgspec.structs.replace(made, **{name: getattr(had, name)})
            refused = (reason, f'"{value}" is already in use')
    short = [name for name in wanted.shortNames if name in taken.resources]
    if short:
        made = msgspec.structs.replace(made, shortNames=had.shortNames)
        refused = ("ShortNamesConflict", f'"{short[0]}" is already in use')
    for name, reason in (("kind", "KindConflict"), ("listKind", "ListKindConflict")):
        value = getattr(wanted, name)
        if value in taken.kinds:
            made = msgspec.structs.replace(made, **{name: getattr(had, name)})
            refused = (reason, f'"{value}" is already in use')
    return made, refused


def _condition(type: str, value: bool, reason: str, message: str) -> Condition:
    return Condition(type=type, status="True" if value else "False", reason=reason, message=message)


def terminating(status: CustomResourceDefinitionStatus, running: bool, message: str, now: str) -> tuple[Condition, ...]:
    """Conditions of a definition whose objects are deleted, or have been (`running` False)."""
    reason = "InstanceDeletionInProgress" if running else "InstanceDeletionCompleted"
    return conditions.put(status.conditions, _condition("Terminating", running, reason, message), now)
