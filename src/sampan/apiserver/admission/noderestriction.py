"""NodeRestriction: a node writes its own Node, its own pods' status and tokens for accounts of its own pods."""

from __future__ import annotations

from sampan.api.defaults.document import each, given, section
from sampan.api.errors import not_found_error, show
from sampan.api.kinds.kind import Document
from sampan.api.types import core_v1, storage_v1
from sampan.apiserver.admission.base import MIRROR, Plugin, is_mirror, metadata, refuse, text
from sampan.apiserver.authn import users
from sampan.apiserver.authz import references
from sampan.apiserver.contracts import Admission, Attributes, Authorizer, View

LEASES = "kube-node-lease"
RESTRICTED = "node-restriction.kubernetes.io"
_OWN_LABELS = frozenset(
    (
        "beta.kubernetes.io/arch",
        "beta.kubernetes.io/instance-type",
        "beta.kubernetes.io/os",
        "failure-domain.beta.kubernetes.io/region",
        "failure-domain.beta.kubernetes.io/zone",
        "kubernetes.io/arch",
        "kubernetes.io/hostname",
        "kubernetes.io/os",
        "node.kubernetes.io/instance-type",
        "topology.kubernetes.io/region",
        "topology.kubernetes.io/zone",
    )
)
_OWN_PREFIXES = ("kubelet.kubernetes.io", "node.kubernetes.io")
_MIRROR_BANS = (
    ("serviceaccounts", "a service account"),
    ("secrets", "secrets"),
    ("configmaps", "configmaps"),
    ("persistentvolumeclaims", "persistentvolumeclaims"),
    ("resourceclaims", "resourceclaims"),
)


class NodeRestriction(Plugin):
    name = "NodeRestriction"
    handles = (
        "nodes",
        "pods",
        "persistentvolumeclaims",
        "serviceaccounts",
        "leases.coordination.k8s.io",
        "csinodes.storage.k8s.io",
    )

    def __init__(self, view: View, authorize: Authorizer) -> None:
        self._view = view
        self._authorize = authorize

    def validate(self, admission: Admission) -> None:
        user = admission.attributes.user
        if users.NODES not in user.groups:
            return
        node = users.node_name(user)
        if not node:
            raise refuse(admission, f"could not determine node from user {show(user.name)}")
        match admission.kind.plural:
            case "nodes":
                self._node(admission, node)
            case "pods":
                self._pod(admission, node)
            case "persistentvolumeclaims":
                _claim(admission, node)
            case "serviceaccounts":
                self._token(admission, node)
            case "leases":
                _lease(admission, node)
            case "csinodes":
                _named_as_node(admission, node, "can only access CSINode with the same name as the requesting node")

    # --- pods

    def _pod(self, admission: Admission, node: str) -> None:
        match admission.attributes.subresource:
            case "":
                self._whole_pod(admission, node)
            case "status":
                _pod_status(admission, node)
            case "eviction":
                self._eviction(admission, node)
            case other:
                why = f"unexpected pod subresource {show(other)}, only 'status' and 'eviction' are allowed"
                raise refuse(admission, why)

    def _whole_pod(self, admission: Admission, node: str) -> None:
        me = f"node {show(node)} can only"
        if admission.operation == "DELETE":
            if _node_of(admission.old) != node:
                raise refuse(admission, f"{me} delete pods with spec.nodeName set to itself")
            return
        pod = admission.document
        if admission.operation != "CREATE" or pod is None:
            why = f"unexpected operation {show(admission.operation)}, {me} create and delete mirror pods"
            raise refuse(admission, why)
        if not is_mirror(pod):
            why = f"pod does not have {show(MIRROR)} annotation, {me} create mirror pods"
            raise refuse(admission, why)
        if _node_of(pod) != node:
            raise refuse(admission, f"{me} create pods with spec.nodeName set to itself")
        self._mirror_owner(admission, pod, node)
        found = {plural for plural, _ in references.of_document(pod)}
        for plural, word in _MIRROR_BANS:
            if plural in found:
                raise refuse(admission, f"node {show(node)} can not create pods that reference {word}")

    def _mirror_owner(self, admission: Admission, pod: Document, node: str) -> None:
        owners = list(each(metadata(pod), "ownerReferences"))
        me, own = f"node {show(node)} can only create pods with", "owner reference set to itself"
        if len(owners) > 1:
            raise refuse(admission, f"{me} a single {own}")
        owner = owners[0] if owners else {}
        if (owner.get("apiVersion"), owner.get("kind"), owner.get("name")) != ("v1", "Node", node):
            raise refuse(admission, f"{me} an {own}")
        if owner.get("controller") is not True:
            raise refuse(admission, f"{me} a controller {own}")
        if owner.get("blockOwnerDeletion"):
            raise refuse(admission, f"node {show(node)} must not set blockOwnerDeletion on an owner reference")
        found = self._view.get(core_v1.Node, node)
        if found is None:
            raise not_found_error("nodes", "", node)
        if found.metadata.uid != owner.get("uid"):
            why = f"node {node} UID mismatch: expected {owner.get('uid')} got {found.metadata.uid}"
            raise refuse(admission, why)

    def _eviction(self, admission: Admission, node: str) -> None:
        name = admission.attributes.name or text(metadata(admission.document or {}), "name")
        if not name:
            raise refuse(admission, "could not determine pod from request data")
        pod = self._view.get(core_v1.Pod, name, admission.attributes.namespace)
        if pod is None:
            raise not_found_error("pods", "", name)
        if pod.spec.nodeName != node:
            raise refuse(admission, f"node {node} can only evict pods with spec.nodeName set to itself")

    # --- nodes

    def _node(self, admission: Admission, node: str) -> None:
        if admission.attributes.subresource not in ("", "status"):
            why = f"node {show(node)} may not use the subresource {show(admission.attributes.subresource)} of nodes"
            raise refuse(admission, why)
        document, old = admission.document, admission.old
        name = admission.attributes.name or text(metadata(document or {}), "name")
        if name != node:
            raise refuse(admission, f"node {show(node)} is not allowed to modify node {show(name)}")
        if admission.operation == "CREATE" and document is not None:
            self._new_node(admission, document, node)
        elif admission.operation == "UPDATE" and document is not None and old is not None:
            _changed_node(admission, document, old, node)

    def _new_node(self, admission: Admission, document: Document, node: str) -> None:
        me = f"node {show(node)} is not allowed to"
        if section(document, "spec").get("configSource") is not None:
            raise refuse(admission, f"{me} create pods with a non-nil configSource")
        if metadata(document).get("ownerReferences"):
            raise refuse(admission, f"{me} set ownerReferences")
        forbidden = _forbidden(_labels(document), {})
        if forbidden:
            raise refuse(admission, f"{me} set the following labels: {', '.join(forbidden)}")

    # --- tokens

    def _token(self, admission: Admission, node: str) -> None:
        request = admission.document
        if admission.operation != "CREATE" or admission.attributes.subresource != "token" or request is None:
            return
        spec = section(request, "spec")
        ref = given(spec, "boundObjectRef")
        if ref is None or ref.get("apiVersion") != "v1" or ref.get("kind") != "Pod" or not ref.get("name"):
            raise refuse(admission, "node requested token not bound to a pod")
        uid = text(ref, "uid")
        if not uid:
            raise refuse(admission, "node requested token with a pod binding without a uid")
        pod = self._view.get(core_v1.Pod, text(ref, "name"), admission.attributes.namespace)
        if pod is None:
            raise not_found_error("pods", "", text(ref, "name"))
        if uid != pod.metadata.uid:
            raise refuse(
                admission,
                f"the UID in the bound object reference ({uid}) does not match the UID in record. "
                "The object might have been deleted and then recreated",
            )
        if pod.spec.nodeName != node:
            raise refuse(admission, "node requested token bound to a pod scheduled on a different node")
        self._audiences(admission, spec.get("audiences") or [], pod)

    def _audiences(self, admission: Admission, audiences: list[str], pod: core_v1.Pod) -> None:
        """A node asks for the audiences that the pod's volumes name, or those that it has been given by a role."""
        if len(audiences) > 1:
            raise refuse(admission, "node may only request 0 or 1 audiences")
        audience = audiences[0] if audiences else ""
        tokens = [s.serviceAccountToken for v in pod.spec.volumes if v.projected for s in v.projected.sources]
        named = {token.audience or "" for token in tokens if token is not None}
        for volume in pod.spec.volumes:
            driver = self._view.get(storage_v1.CSIDriver, volume.csi.driver) if volume.csi is not None else None
            named |= {asked.audience for asked in driver.spec.tokenRequests} if driver is not None else set()
        if audience in named or not audience:
            return
        attributes = Attributes(
            admission.attributes.user,
            "request-serviceaccounts-token-audience",
            "",
            True,
            "",
            "v1",
            audience,
            namespace=admission.attributes.namespace,
            name=admission.attributes.name,
        )
        if not self._authorize(attributes).allowed:
            raise refuse(admission, f"audience {show(audience)} not found in pod spec volume")


def _node_of(pod: Document | None) -> str:
    return text(given(pod or {}, "spec") or {}, "nodeName")


def _pod_status(admission: Admission, node: str) -> None:
    me = f"node {show(node)}"
    pod, old = admission.document, admission.old
    if admission.operation != "UPDATE" or pod is None or old is None:
        raise refuse(admission, f"{me} can only update pod status")
    if _node_of(old) != node:
        why = "can only update pod status for pods with spec.nodeName set to itself"
        raise refuse(admission, f"{me} {why}")
    if _labels(pod) != _labels(old):
        raise refuse(admission, f"{me} cannot update labels through pod status")
    claims = [(given(each, "status") or {}).get("resourceClaimStatuses") or [] for each in (pod, old)]
    if claims[0] != claims[1]:
        raise refuse(admission, f"{me} cannot update resource claim statuses")


def _changed_node(admission: Admission, document: Document, old: Document, node: str) -> None:
    me = f"node {show(node)} is not allowed to"
    spec, before = section(document, "spec"), given(old, "spec") or {}
    source = spec.get("configSource")
    if source is not None and source != before.get("configSource"):
        raise refuse(admission, f"{me} update configSource to a new non-nil configSource")
    # Its own taints would let a node draw pods to itself that nobody wants there.
    if (spec.get("taints") or []) != (before.get("taints") or []):
        raise refuse(admission, f"{me} modify taints")
    # An owner that does not exist would have the node deleted, and made anew with labels of its choice.
    if (metadata(document).get("ownerReferences") or []) != (metadata(old).get("ownerReferences") or []):
        raise refuse(admission, f"{me} modify ownerReferences")
    forbidden = _forbidden(_labels(document), _labels(old))
    if forbidden:
        raise refuse(admission, f"{me} modify labels: {', '.join(forbidden)}")


def _labels(document: Document) -> Document:
    return given(metadata(document), "labels") or {}


def _forbidden(new: Document, old: Document) -> list[str]:
    """Changed labels that are not a node's to change."""
    changed = {key for key in new.keys() | old.keys() if new.get(key) != old.get(key)}
    return sorted(key for key in changed if not _is_own(key))


def _is_own(label: str) -> bool:
    prefix = label.rpartition("/")[0]
    if prefix == RESTRICTED or prefix.endswith(f".{RESTRICTED}"):
        return False
    kubernetes = any(prefix == d or prefix.endswith(f".{d}") for d in ("kubernetes.io", "k8s.io"))
    if not kubernetes or label in _OWN_LABELS:
        return True
    return any(prefix == own or prefix.endswith(f".{own}") for own in _OWN_PREFIXES)


def _claim(admission: Admission, node: str) -> None:
    """Of a claim a node tells the size and conditions that it sees."""
    if admission.attributes.subresource != "status" or admission.operation != "UPDATE":
        raise refuse(admission, "may only update PVC status")
    if _without_sizes(admission.document) != _without_sizes(admission.old):
        why = f"node {show(node)} is not allowed to update fields other than status.quantity and status.conditions"
        raise refuse(admission, why)


def _without_sizes(claim: Document | None) -> Document:
    claim = claim or {}
    told = ("allocatedResourceStatuses", "allocatedResources", "capacity", "conditions")
    status = {key: value for key, value in (given(claim, "status") or {}).items() if key not in told}
    kept = {key: value for key, value in metadata(claim).items() if key not in ("managedFields", "resourceVersion")}
    return {**claim, "metadata": kept, "status": status}


def _lease(admission: Admission, node: str) -> None:
    if admission.attributes.namespace != LEASES:
        raise refuse(admission, f'can only access leases in the "{LEASES}" system namespace')
    _named_as_node(admission, node, "can only access node lease with the same name as the requesting node")


def _named_as_node(admission: Admission, node: str, why: str) -> None:
    name = admission.attributes.name or text(metadata(admission.document or {}), "name")
    if name != node:
        raise refuse(admission, why)
