"""Kinds of rbac.authorization.k8s.io/v1."""

from __future__ import annotations

from sampan.api.columns import cluster as cluster_columns
from sampan.api.columns import common
from sampan.api.defaults import cluster
from sampan.api.kinds.kind import Kind
from sampan.api.types import rbac_v1
from sampan.api.validation import rbac as rbac_rules

CLUSTER_ROLE_BINDING = Kind(
    rbac_v1.ClusterRoleBinding,
    "rbac.authorization.k8s.io",
    "v1",
    "clusterrolebindings",
    namespaced=False,
    default=cluster.default_role_binding,
    columns=cluster_columns.ROLE_BINDING,
    validate=rbac_rules.validate_cluster_role_binding,
    validate_update=rbac_rules.validate_binding_update,
)
CLUSTER_ROLE = Kind(
    rbac_v1.ClusterRole,
    "rbac.authorization.k8s.io",
    "v1",
    "clusterroles",
    namespaced=False,
    columns=common.NAME_AND_CREATED,
    validate=rbac_rules.validate_cluster_role,
)
ROLE_BINDING = Kind(
    rbac_v1.RoleBinding,
    "rbac.authorization.k8s.io",
    "v1",
    "rolebindings",
    default=cluster.default_role_binding,
    columns=cluster_columns.ROLE_BINDING,
    validate=rbac_rules.validate_role_binding,
    validate_update=rbac_rules.validate_binding_update,
)
ROLE = Kind(
    rbac_v1.Role,
    "rbac.authorization.k8s.io",
    "v1",
    "roles",
    columns=common.NAME_AND_CREATED,
    validate=rbac_rules.validate_role,
)

KINDS = (
    CLUSTER_ROLE_BINDING,
    CLUSTER_ROLE,
    ROLE_BINDING,
    ROLE,
)
