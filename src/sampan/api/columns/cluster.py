"""Columns of the kinds that configure a cluster: RBAC, networking, storage, extension, flow control and the like."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sampan.api import duration
from sampan.api.columns.common import (
    AGE,
    NAME,
    NONE,
    UNKNOWN,
    UNSET,
    condition,
    first,
    selector_or_none,
)
from sampan.api.columns.workloads import available
from sampan.api.kinds.kind import Column
from sampan.api.types import certificates_v1, discovery_v1, flowcontrol_v1, networking_v1, resource_v1


def _count(name: str, cell: Any) -> Column:
    return Column(name, lambda object, now: cell(object), type="integer")


# --- RBAC


def _subjects(kind: str) -> Any:
    def cell(object: Any, now: float) -> str:
        names = [
            f"{subject.namespace}/{subject.name}" if kind == "ServiceAccount" else subject.name
            for subject in object.subjects
            if subject.kind == kind
        ]
        return ", ".join(names)

    return cell


ROLE_BINDING = (
    NAME,
    Column("Role", lambda object, now: f"{object.roleRef.kind}/{object.roleRef.name}"),
    AGE,
    Column("Users", _subjects("User"), priority=1),
    Column("Groups", _subjects("Group"), priority=1),
    Column("ServiceAccounts", _subjects("ServiceAccount"), priority=1),
)


# --- networking


def _hosts(object: networking_v1.Ingress, now: float) -> str:
    return first([rule.host for rule in (object.spec.rules if object.spec else ()) if rule.host]) or "*"


def _address(object: networking_v1.Ingress, now: float) -> str:
    balancer = object.status.loadBalancer if object.status else None
    return ",".join(point.ip or point.hostname or "" for point in (balancer.ingress if balancer else ()))


INGRESS = (
    NAME,
    Column("Class", lambda object, now: object.spec.ingressClassName or NONE),
    Column("Hosts", _hosts),
    Column("Address", _address),
    Column("Ports", lambda object, now: "80, 443" if object.spec.tls else "80"),
    AGE,
)


def _parameters(object: networking_v1.IngressClass, now: float) -> str:
    given = object.spec.parameters if object.spec else None
    if given is None:
        return NONE
    return f"{given.kind}{'.' + given.apiGroup if given.apiGroup else ''}/{given.name}"


INGRESS_CLASS = (
    NAME,
    Column("Controller", lambda object, now: object.spec.controller or ""),
    Column("Parameters", _parameters),
    AGE,
)
NETWORK_POLICY = (NAME, Column("Pod-Selector", lambda object, now: selector_or_none(object.spec.podSelector)), AGE)


def _parent(object: networking_v1.IPAddress, now: float) -> str:
    parent = object.spec.parentRef
    kind = f"{parent.resource}{'.' + parent.group if parent.group else ''}"
    return "/".join(part for part in (kind, parent.namespace, parent.name) if part) or NONE


IP_ADDRESS = (NAME, Column("ParentRef", _parent))
SERVICE_CIDR = (NAME, Column("CIDRs", lambda object, now: ",".join(object.spec.cidrs)), AGE)


def _slice_ports(object: discovery_v1.EndpointSlice, now: float) -> str:
    return first(["*" if port.port is None else str(port.port) for port in object.ports]) or UNSET


def _slice_endpoints(object: discovery_v1.EndpointSlice, now: float) -> str:
    return first([address for endpoint in object.endpoints for address in endpoint.addresses]) or UNSET


ENDPOINT_SLICE = (
    NAME,
    Column("AddressType", lambda object, now: object.addressType),
    Column("Ports", _slice_ports),
    Column("Endpoints", _slice_endpoints),
    AGE,
)


# --- storage


STORAGE_CLASS = (
    NAME,
    Column("Provisioner", lambda object, now: object.provisioner),
    Column("ReclaimPolicy", lambda object, now: object.reclaimPolicy or "Delete"),
    Column("VolumeBindingMode", lambda object, now: object.volumeBindingMode or "Immediate"),
    Column("AllowVolumeExpansion", lambda object, now: bool(object.allowVolumeExpansion), type="boolean"),
    AGE,
)
VOLUME_ATTRIBUTES_CLASS = (NAME, Column("DriverName", lambda object, now: object.driverName), AGE)
VOLUME_ATTACHMENT = (
    NAME,
    Column("Attacher", lambda object, now: object.spec.attacher),
    Column("PV", lambda object, now: object.spec.source.persistentVolumeName or ""),
    Column("Node", lambda object, now: object.spec.nodeName),
    Column("Attached", lambda object, now: bool(object.status.attached), type="boolean"),
    AGE,
)


def _audiences(object: Any, now: float) -> str:
    return ",".join(request.audience for request in object.spec.tokenRequests) or UNSET


CSI_DRIVER = (
    NAME,
    Column("AttachRequired", lambda object, now: object.spec.attachRequired is not False, type="boolean"),
    Column("PodInfoOnMount", lambda object, now: bool(object.spec.podInfoOnMount), type="boolean"),
    Column("StorageCapacity", lambda object, now: bool(object.spec.storageCapacity), type="boolean"),
    Column("TokenRequests", _audiences),
    Column("RequiresRepublish", lambda object, now: bool(object.spec.requiresRepublish), type="boolean"),
    Column("Modes", lambda object, now: ",".join(object.spec.volumeLifecycleModes) or NONE),
    AGE,
)
CSI_NODE = (NAME, _count("Drivers", lambda object: len(object.spec.drivers)), AGE)
CSI_STORAGE_CAPACITY = (
    NAME,
    Column("StorageClassName", lambda object, now: object.storageClassName),
    Column("Capacity", lambda object, now: object.capacity or UNSET),
)


# --- scheduling, coordination, nodes, certificates


PRIORITY_CLASS = (
    NAME,
    _count("Value", lambda object: object.value or 0),
    Column("Global-Default", lambda object, now: bool(object.globalDefault), type="boolean"),
    AGE,
    Column("PreemptionPolicy", lambda object, now: object.preemptionPolicy or "PreemptLowerPriority"),
)
LEASE = (NAME, Column("Holder", lambda object, now: (object.spec and object.spec.holderIdentity) or ""), AGE)
RUNTIME_CLASS = (NAME, Column("Handler", lambda object, now: object.handler), AGE)


def _csr_condition(object: certificates_v1.CertificateSigningRequest, now: float) -> str:
    """`Pending`, or what was decided, with `Issued` once there is a certificate."""
    types = {found.type for found in object.status.conditions}
    words = ["Denied" if "Denied" in types else "Approved" if "Approved" in types else "Pending"]
    if "Failed" in types:
        words.append("Failed")
    return ",".join([*words, *(["Issued"] if object.status.certificate else [])])


def _requested(object: certificates_v1.CertificateSigningRequest, now: float) -> str:
    seconds = object.spec.expirationSeconds
    return NONE if seconds is None else duration.human(seconds)


CERTIFICATE_SIGNING_REQUEST = (
    NAME,
    AGE,
    Column("SignerName", lambda object, now: object.spec.signerName or NONE),
    Column("Requestor", lambda object, now: object.spec.username or ""),
    Column("RequestedDuration", _requested),
    Column("Condition", _csr_condition),
)


# --- extension


WEBHOOK_CONFIGURATION = (NAME, _count("Webhooks", lambda object: len(object.webhooks)), AGE)


def _param_kind(object: Any, now: float) -> str:
    kind = object.spec.paramKind if object.spec else None
    return f"{kind.apiVersion}/{kind.kind}" if kind else UNSET


def _param_ref(object: Any, now: float) -> str:
    ref = object.spec.paramRef if object.spec else None
    if ref is None:
        return UNSET
    return f"{ref.namespace}/{ref.name or '*'}" if ref.namespace else ref.name or "*"


VALIDATING_ADMISSION_POLICY = (
    NAME,
    _count("Validations", lambda object: len(object.spec.validations)),
    Column("ParamKind", _param_kind),
    AGE,
)
MUTATING_ADMISSION_POLICY = (
    NAME,
    _count("Mutations", lambda object: len(object.spec.mutations)),
    Column("ParamKind", _param_kind),
    AGE,
)
ADMISSION_POLICY_BINDING = (
    NAME,
    Column("PolicyName", lambda object, now: object.spec.policyName or ""),
    Column("ParamRef", _param_ref),
    AGE,
)


def _service(object: Any, now: float) -> str:
    service = object.spec.service
    return f"{service.namespace}/{service.name}" if service else "Local"


API_SERVICE = (
    NAME,
    Column("Service", _service),
    Column("Available", lambda object, now: available(object.status.conditions)),
    AGE,
)


# --- flow control


def _distinguisher(object: flowcontrol_v1.FlowSchema, now: float) -> str:
    method = object.spec.distinguisherMethod
    return method.type if method else NONE


def _missing_level(object: flowcontrol_v1.FlowSchema, now: float) -> str:
    found = condition(object.status.conditions, "Dangling")
    return found.status or "?" if found else "?"


FLOW_SCHEMA = (
    NAME,
    Column("PriorityLevel", lambda object, now: object.spec.priorityLevelConfiguration.name),
    _count("MatchingPrecedence", lambda object: object.spec.matchingPrecedence or 0),
    Column("DistinguisherMethod", _distinguisher),
    AGE,
    Column("MissingPL", _missing_level),
)


def _queuing(field: str) -> Any:
    def cell(object: flowcontrol_v1.PriorityLevelConfiguration, now: float) -> str:
        limited = object.spec.limited
        queuing = limited.limitResponse.queuing if limited and limited.limitResponse else None
        return NONE if queuing is None else str(getattr(queuing, field) or 0)

    return cell


def _shares(object: flowcontrol_v1.PriorityLevelConfiguration, now: float) -> str:
    part = object.spec.limited or object.spec.exempt
    return NONE if part is None else str(part.nominalConcurrencyShares or 0)


PRIORITY_LEVEL_CONFIGURATION = (
    NAME,
    Column("Type", lambda object, now: object.spec.type),
    Column("NominalConcurrencyShares", _shares),
    Column("Queues", _queuing("queues")),
    Column("HandSize", _queuing("handSize")),
    Column("QueueLengthLimit", _queuing("queueLengthLimit")),
    AGE,
)


# --- devices


def _claim_state(object: resource_v1.ResourceClaim, now: float) -> str:
    """`pending`, `allocated` or `allocated,reserved`, with `deleted` first when it goes."""
    allocation = object.status.allocation if object.status else None
    words: Iterable[str | bool] = (
        bool(object.metadata.deletionTimestamp) and "deleted",
        (allocation is not None and "allocated") or "pending",
        bool(object.status and object.status.reservedFor) and "reserved",
    )
    return ",".join(word for word in words if isinstance(word, str))


RESOURCE_CLAIM = (NAME, Column("State", _claim_state), AGE)
RESOURCE_SLICE = (
    NAME,
    Column("Node", lambda object, now: object.spec.nodeName or UNSET),
    Column("Driver", lambda object, now: object.spec.driver),
    Column("Pool", lambda object, now: object.spec.pool.name if object.spec.pool else UNKNOWN),
    AGE,
)
