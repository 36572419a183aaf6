"""Kinds of networking.k8s.io/v1."""

from __future__ import annotations

from sampan.api import strategy
from sampan.api.columns import cluster as cluster_columns
from sampan.api.defaults import cluster
from sampan.api.kinds.kind import STATUS, Kind
from sampan.api.types import networking_v1
from sampan.api.validation import networking as networking_rules

INGRESS_CLASS = Kind(
    networking_v1.IngressClass,
    "networking.k8s.io",
    "v1",
    "ingressclasses",
    namespaced=False,
    default=cluster.default_ingress_class,
    columns=cluster_columns.INGRESS_CLASS,
    validate=networking_rules.validate_ingress_class,
    validate_update=networking_rules.validate_ingress_class_update,
)
INGRESS = Kind(
    networking_v1.Ingress,
    "networking.k8s.io",
    "v1",
    "ingresses",
    ("ing",),
    subresources=(STATUS,),
    columns=cluster_columns.INGRESS,
    prepare_create=strategy.drop_status,
    prepare_update=strategy.keep_status,
    validate=networking_rules.validate_ingress,
)
IP_ADDRESS = Kind(
    networking_v1.IPAddress,
    "networking.k8s.io",
    "v1",
    "ipaddresses",
    ("ip",),
    namespaced=False,
    columns=cluster_columns.IP_ADDRESS,
    validate=networking_rules.validate_ip_address,
    validate_update=networking_rules.validate_ip_address_update,
)
NETWORK_POLICY = Kind(
    networking_v1.NetworkPolicy,
    "networking.k8s.io",
    "v1",
    "networkpolicies",
    ("netpol",),
    default=cluster.default_network_policy,
    columns=cluster_columns.NETWORK_POLICY,
    validate=networking_rules.validate_network_policy,
)
SERVICE_CIDR = Kind(
    networking_v1.ServiceCIDR,
    "networking.k8s.io",
    "v1",
    "servicecidrs",
    namespaced=False,
    subresources=(STATUS,),
    columns=cluster_columns.SERVICE_CIDR,
    prepare_create=strategy.drop_status,
    prepare_update=strategy.keep_status,
    validate=networking_rules.validate_service_cidr,
)

KINDS = (
    INGRESS_CLASS,
    INGRESS,
    IP_ADDRESS,
    NETWORK_POLICY,
    SERVICE_CIDR,
)
