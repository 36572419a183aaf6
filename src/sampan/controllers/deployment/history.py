"""Old revisions: kept for rollbacks up to revisionHistoryLimit."""

from __future__ import annotations

from sampan.api.types import apps_v1
from sampan.controllers.deployment.revision import number
from sampan.controllers.deployment.sets import Sets, size
from sampan.runtime.actions import Delete, Plan

NO_LIMIT = 2**31 - 1


def clean(deployment: apps_v1.Deployment, sets: Sets) -> Plan:
    limit = deployment.spec.revisionHistoryLimit
    if limit is None or limit == NO_LIMIT:
        return
    kept = sorted((old for old in sets.old if old.metadata.deletionTimestamp is None), key=number)
    for old in kept[: max(0, len(kept) - limit)]:
        if _is_empty(old):
            yield Delete(old)


def _is_empty(old: apps_v1.ReplicaSet) -> bool:
    observed = old.status
    current = (observed.observedGeneration or 0) >= (old.metadata.generation or 0)
    return not observed.replicas and size(old) == 0 and current
