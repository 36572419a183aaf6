"""Kinds of core/v1."""

from __future__ import annotations

from sampan.api import strategy
from sampan.api.columns import common
from sampan.api.columns import core as core_columns
from sampan.api.columns import pods as pod_columns
from sampan.api.columns import workloads as workload_columns
from sampan.api.defaults import core as core_defaults
from sampan.api.defaults import pods, services
from sampan.api.kinds.kind import SCALE, STATUS, Kind, Subresource
from sampan.api.types import core_v1
from sampan.api.validation import apps as apps_rules
from sampan.api.validation import claim as claim_rules
from sampan.api.validation import config as config_rules
from sampan.api.validation import networking as networking_rules
from sampan.api.validation import node as node_rules
from sampan.api.validation import persistent_volume as persistent_volume_rules
from sampan.api.validation import pod as pod_rules
from sampan.api.validation import pod_update as pod_update_rules
from sampan.api.validation import quota as quota_rules
from sampan.api.validation import service as service_rules

CONNECT = ("create", "get")
EVENT_FIELDS = (
    "involvedObject.apiVersion",
    "involvedObject.fieldPath",
    "involvedObject.kind",
    "involvedObject.name",
    "involvedObject.namespace",
    "involvedObject.resourceVersion",
    "involvedObject.uid",
    "reason",
    "reportingComponent",
    "source",
    "type",
)
POD_FIELDS = (
    "spec.hostNetwork",
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "status.nominatedNodeName",
    "status.phase",
    "status.podIP",
)
PROXY = ("create", "delete", "get", "patch", "update")

BINDING = Kind(
    core_v1.Binding,
    "",
    "v1",
    "bindings",
    verbs=("create",),
    stored=False,
    validate=pod_rules.binding,
)
COMPONENT_STATUS = Kind(
    core_v1.ComponentStatus,
    "",
    "v1",
    "componentstatuses",
    ("cs",),
    namespaced=False,
    verbs=("get", "list"),
    stored=False,
    columns=core_columns.COMPONENT_STATUS,
)
CONFIG_MAP = Kind(
    core_v1.ConfigMap,
    "",
    "v1",
    "configmaps",
    ("cm",),
    columns=core_columns.CONFIG_MAP,
    validate=config_rules.validate_config_map,
    validate_update=config_rules.validate_config_map_update,
)
ENDPOINTS = Kind(
    core_v1.Endpoints,
    "",
    "v1",
    "endpoints",
    ("ep",),
    default=core_defaults.default_endpoints,
    columns=core_columns.ENDPOINTS,
    validate=networking_rules.validate_endpoints,
)
EVENT = Kind(
    core_v1.Event,
    "",
    "v1",
    "events",
    ("ev",),
    columns=core_columns.EVENT,
    selectable=EVENT_FIELDS,
    validate=node_rules.validate_event,
)
LIMIT_RANGE = Kind(
    core_v1.LimitRange,
    "",
    "v1",
    "limitranges",
    ("limits",),
    default=core_defaults.default_limit_range,
    columns=common.NAME_AND_CREATED,
    validate=quota_rules.validate_limit_range,
)
NAMESPACE = Kind(
    core_v1.Namespace,
    "",
    "v1",
    "namespaces",
    ("ns",),
    namespaced=False,
    verbs=("create", "delete", "get", "list", "patch", "update", "watch"),
    subresources=(Subresource("finalize", ("update",)), STATUS),
    default=core_defaults.default_namespace,
    prepare_create=strategy.create_namespace,
    prepare_update=strategy.update_namespace,
    columns=core_columns.NAMESPACE,
    selectable=("status.phase",),
    validate=node_rules.validate_namespace,
)
NODE = Kind(
    core_v1.Node,
    "",
    "v1",
    "nodes",
    ("no",),
    namespaced=False,
    subresources=(Subresource("proxy", PROXY, kind="NodeProxyOptions"), STATUS),
    default=core_defaults.default_node,
    prepare_update=strategy.keep_status,
    columns=core_columns.NODE,
    selectable=("spec.unschedulable",),
    validate=node_rules.validate_node,
    validate_update=node_rules.validate_node_update,
)
PERSISTENT_VOLUME_CLAIM = Kind(
    core_v1.PersistentVolumeClaim,
    "",
    "v1",
    "persistentvolumeclaims",
    ("pvc",),
    subresources=(STATUS,),
    default=core_defaults.default_persistent_volume_claim,
    prepare_create=strategy.create_pending,
    prepare_update=strategy.keep_status,
    columns=core_columns.PERSISTENT_VOLUME_CLAIM,
    validate=claim_rules.validate_persistent_volume_claim,
    validate_update=claim_rules.validate_persistent_volume_claim_update,
)
PERSISTENT_VOLUME = Kind(
    core_v1.PersistentVolume,
    "",
    "v1",
    "persistentvolumes",
    ("pv",),
    namespaced=False,
    subresources=(STATUS,),
    default=core_defaults.default_persistent_volume,
    prepare_create=strategy.create_pending,
    prepare_update=strategy.keep_status,
    columns=core_columns.PERSISTENT_VOLUME,
    validate=persistent_volume_rules.validate_persistent_volume,
    validate_update=persistent_volume_rules.validate_persistent_volume_update,
)
POD = Kind(
    core_v1.Pod,
    "",
    "v1",
    "pods",
    ("po",),
    categories=("all",),
    subresources=(
        Subresource("attach", CONNECT, kind="PodAttachOptions"),
        Subresource("binding", ("create",), kind="Binding"),
        Subresource("ephemeralcontainers"),
        Subresource("eviction", ("create",), kind="Eviction", group="policy", version="v1"),
        Subresource("exec", CONNECT, kind="PodExecOptions"),
        Subresource("log", ("get",)),
        Subresource("portforward", CONNECT, kind="PodPortForwardOptions"),
        Subresource("proxy", PROXY, kind="PodProxyOptions"),
        Subresource("resize"),
        STATUS,
    ),
    default=pods.default_pod,
    prepare_create=strategy.create_pod,
    prepare_update=strategy.keep_status,
    columns=pod_columns.POD,
    selectable=POD_FIELDS,
    validate=pod_rules.validate_pod,
    validate_update=pod_update_rules.validate_pod_update,
)
POD_TEMPLATE = Kind(
    core_v1.PodTemplate,
    "",
    "v1",
    "podtemplates",
    default=core_defaults.default_pod_template,
    columns=pod_columns.POD_TEMPLATE,
    validate=pod_rules.validate_pod_template,
)
REPLICATION_CONTROLLER = Kind(
    core_v1.ReplicationController,
    "",
    "v1",
    "replicationcontrollers",
    ("rc",),
    categories=("all",),
    subresources=(SCALE, STATUS),
    default=core_defaults.default_replication_controller,
    columns=workload_columns.REPLICATION_CONTROLLER,
    selectable=("status.replicas",),
    prepare_create=strategy.drop_status,
    prepare_update=strategy.keep_status,
    validate=apps_rules.validate_replication_controller,
)
RESOURCE_QUOTA = Kind(
    core_v1.ResourceQuota,
    "",
    "v1",
    "resourcequotas",
    ("quota",),
    subresources=(STATUS,),
    columns=core_columns.RESOURCE_QUOTA,
    prepare_create=strategy.drop_status,
    prepare_update=strategy.keep_status,
    validate=quota_rules.validate_resource_quota,
    validate_update=quota_rules.validate_resource_quota_update,
)
SECRET = Kind(
    core_v1.Secret,
    "",
    "v1",
    "secrets",
    default=core_defaults.default_secret,
    columns=core_columns.SECRET,
    selectable=("type",),
    validate=config_rules.validate_secret,
    validate_update=config_rules.validate_secret_update,
)
SERVICE_ACCOUNT = Kind(
    core_v1.ServiceAccount,
    "",
    "v1",
    "serviceaccounts",
    ("sa",),
    subresources=(Subresource("token", ("create",), kind="TokenRequest", group="authentication.k8s.io", version="v1"),),
    columns=core_columns.SERVICE_ACCOUNT,
)
SERVICE = Kind(
    core_v1.Service,
    "",
    "v1",
    "services",
    ("svc",),
    categories=("all",),
    subresources=(Subresource("proxy", PROXY, kind="ServiceProxyOptions"), STATUS),
    default=services.default_service,
    prepare_create=strategy.drop_status,
    prepare_update=strategy.update_service,
    columns=core_columns.SERVICE,
    selectable=("spec.clusterIP", "spec.type"),
    validate=service_rules.validate_service,
    validate_update=service_rules.validate_service_update,
)

KINDS = (
    BINDING,
    COMPONENT_STATUS,
    CONFIG_MAP,
    ENDPOINTS,
    EVENT,
    LIMIT_RANGE,
    NAMESPACE,
    NODE,
    PERSISTENT_VOLUME_CLAIM,
    PERSISTENT_VOLUME,
    POD,
    POD_TEMPLATE,
    REPLICATION_CONTROLLER,
    RESOURCE_QUOTA,
    SECRET,
    SERVICE_ACCOUNT,
    SERVICE,
)
