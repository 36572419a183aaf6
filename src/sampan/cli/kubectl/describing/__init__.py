"""What `describe` says: one function per kind, from an object and what belongs to it to lines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from sampan.cli.kubectl.describing.tabs import Writer

Document = dict[str, Any]
Query = tuple[str, dict[str, str]]
"""A path and its parameters."""


class Describer(NamedTuple):
    """`needs` names the lists (or, with a path that ends in a name, objects) to fetch beside the events."""

    describe: Callable[[Writer, Document, Document], None]
    needs: Callable[[Document], dict[str, Query]] = lambda document: {}


def find(group: str, kind: str) -> Describer:
    """Imports only what the kind needs."""
    name = _NAMES.get((group, kind))
    if name is None:
        from sampan.cli.kubectl.describing import generic

        return Describer(generic.describe)
    import importlib

    module, function = name.split(".")
    found = importlib.import_module(f"sampan.cli.kubectl.describing.{module}")
    return Describer(getattr(found, function), _NEEDS.get((group, kind), lambda document: {}))


_NAMES: dict[tuple[str, str], str] = {
    ("", "Pod"): "pod.describe",
    ("", "Node"): "cluster.node",
    ("", "Namespace"): "cluster.namespace",
    ("", "ResourceQuota"): "cluster.quota",
    ("", "LimitRange"): "cluster.limitrange",
    ("", "Service"): "network.service",
    ("", "Endpoints"): "network.endpoints",
    ("", "ConfigMap"): "configuration.configmap",
    ("", "Secret"): "configuration.secret",
    ("", "ServiceAccount"): "configuration.serviceaccount",
    ("", "PersistentVolumeClaim"): "storage.claim",
    ("", "PersistentVolume"): "storage.volume",
    ("", "ReplicationController"): "workloads.replicaset",
    ("apps", "Deployment"): "workloads.deployment",
    ("apps", "ReplicaSet"): "workloads.replicaset",
    ("apps", "StatefulSet"): "workloads.statefulset",
    ("apps", "DaemonSet"): "workloads.daemonset",
    ("batch", "Job"): "workloads.job",
    ("batch", "CronJob"): "workloads.cronjob",
    ("networking.k8s.io", "Ingress"): "network.ingress",
    ("discovery.k8s.io", "EndpointSlice"): "network.endpointslice",
    ("scheduling.k8s.io", "PriorityClass"): "cluster.priorityclass",
    ("storage.k8s.io", "StorageClass"): "storage.storageclass",
    ("rbac.authorization.k8s.io", "Role"): "configuration.role",
    ("rbac.authorization.k8s.io", "ClusterRole"): "configuration.role",
    ("rbac.authorization.k8s.io", "RoleBinding"): "configuration.binding",
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"): "configuration.binding",
}


def _in(document: Document, prefix: str, plural: str) -> str:
    return f"{prefix}/namespaces/{document['metadata']['namespace']}/{plural}"


def _selected(document: Document) -> dict[str, str]:
    from sampan.cli.kubectl import pods

    return {"labelSelector": pods.selector_text(document) or ""}


def _pods(document: Document) -> dict[str, Query]:
    return {"pods": (_in(document, "/api/v1", "pods"), _selected(document))}


_NEEDS: dict[tuple[str, str], Callable[[Document], dict[str, Query]]] = {
    ("apps", "Deployment"): lambda d: {"replicasets": (_in(d, "/apis/apps/v1", "replicasets"), _selected(d))},
    ("apps", "ReplicaSet"): _pods,
    ("apps", "StatefulSet"): _pods,
    ("apps", "DaemonSet"): _pods,
    ("", "ReplicationController"): _pods,
    ("", "PersistentVolumeClaim"): lambda d: {"pods": (_in(d, "/api/v1", "pods"), {})},
    ("", "Service"): lambda d: {
        "slices": (
            _in(d, "/apis/discovery.k8s.io/v1", "endpointslices"),
            {"labelSelector": f"kubernetes.io/service-name={d['metadata']['name']}"},
        )
    },
    ("networking.k8s.io", "Ingress"): lambda d: {"slices": (_in(d, "/apis/discovery.k8s.io/v1", "endpointslices"), {})},
    ("", "Node"): lambda d: {
        "pods": ("/api/v1/pods", {"fieldSelector": f"spec.nodeName={d['metadata']['name']}"}),
        "lease": (f"/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{d['metadata']['name']}", {}),
    },
    ("", "Namespace"): lambda d: {
        "quotas": (f"/api/v1/namespaces/{d['metadata']['name']}/resourcequotas", {}),
        "limits": (f"/api/v1/namespaces/{d['metadata']['name']}/limitranges", {}),
    },
}
