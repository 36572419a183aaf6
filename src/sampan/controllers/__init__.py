"""Controllers, one file or folder each. `ALL` is what kube-controller-manager runs; `manager.Manager` runs it."""

from __future__ import annotations

from collections.abc import Callable

from sampan.controllers import (
    app,
    certificates,
    clusterroleaggregation,
    cronjob,
    daemonset,
    deployment,
    disruption,
    endpoints,
    endpointslice,
    endpointslicemirroring,
    garbagecollector,
    horizontalpodautoscaler,
    job,
    loadbalancer,
    namespace,
    nodeipam,
    nodelifecycle,
    podgc,
    replicaset,
    replicationcontroller,
    resourcequota,
    rootca,
    serviceaccount,
    statefulset,
    tainteviction,
    ttlafterfinished,
    volumes,
)
from sampan.controllers.settings import Settings
from sampan.runtime.controller import Declaration

Declare = Callable[[Settings], Declaration]

ALL: tuple[Declare, ...] = (
    serviceaccount.declare,
    rootca.declare,
    namespace.declare,
    garbagecollector.declare,
    nodeipam.declare,
    nodelifecycle.declare,
    tainteviction.declare,
    podgc.declare,
    clusterroleaggregation.declare,
    certificates.declare_approving,
    certificates.declare_signing,
    certificates.declare_cleaning,
    endpoints.declare,
    endpointslice.declare,
    endpointslicemirroring.declare,
    loadbalancer.declare,
    replicationcontroller.declare,
    replicaset.declare,
    deployment.declare,
    daemonset.declare,
    statefulset.declare,
    disruption.declare,
    horizontalpodautoscaler.declare,
    resourcequota.declare,
    job.declare,
    cronjob.declare,
    ttlafterfinished.declare,
    *volumes.DECLARATIONS,
    app.declare,
)
