"""Every kind that the server serves, in the order in which discovery lists their groups."""

from __future__ import annotations

from sampan.api.kinds import (
    admissionregistration,
    apiextensions,
    apiregistration,
    apps,
    authentication,
    authorization,
    autoscaling,
    batch,
    certificates,
    coordination,
    core,
    discovery,
    events,
    flowcontrol,
    networking,
    node,
    policy,
    rbac,
    resource,
    sampan,
    scheduling,
    storage,
)
from sampan.api.kinds.kind import Kind

ALL: tuple[Kind, ...] = (
    *core.KINDS,
    *apiregistration.KINDS,
    *apps.KINDS,
    *events.KINDS,
    *authentication.KINDS,
    *authorization.KINDS,
    *autoscaling.KINDS,
    *batch.KINDS,
    *certificates.KINDS,
    *networking.KINDS,
    *policy.KINDS,
    *rbac.KINDS,
    *storage.KINDS,
    *admissionregistration.KINDS,
    *apiextensions.KINDS,
    *scheduling.KINDS,
    *coordination.KINDS,
    *node.KINDS,
    *discovery.KINDS,
    *resource.KINDS,
    *flowcontrol.KINDS,
    *sampan.KINDS,
)
