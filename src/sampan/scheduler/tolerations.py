"""Taints and who tolerates them."""

from __future__ import annotations

from collections.abc import Sequence

from sampan.api.types import core_v1

HARD = ("NoSchedule", "NoExecute")
SOFT = ("PreferNoSchedule",)


def tolerates(tolerations: Sequence[core_v1.Toleration], key: str, value: str, effect: str) -> bool:
    return any(_matches(toleration, key, value, effect) for toleration in tolerations)


def _matches(toleration: core_v1.Toleration, key: str, value: str, effect: str) -> bool:
    if toleration.effect and toleration.effect != effect:
        return False
    if toleration.key and toleration.key != key:
        return False
    operator, wanted = toleration.operator or "Equal", toleration.value or ""
    if operator == "Exists":
        return True
    if operator == "Equal":
        return bool(toleration.key) and wanted == value
    if operator in ("Lt", "Gt"):
        try:
            actual, bound = int(value), int(wanted)
        except ValueError:
            return False
        return actual < bound if operator == "Lt" else actual > bound
    return False
