"""The Node authorizer: a node reads what its pods refer to and writes about itself, nothing else.

Refusals have upstream's words. A reference that was found once is tried again first, so that a node's repeated
reads cost one look-up instead of a search through the namespace's pods.
"""

from __future__ import annotations

import msgspec

from sampan.api.types import core_v1, storage_v1
from sampan.api.types.rbac_v1 import PolicyRule
from sampan.apiserver.authn import users
from sampan.apiserver.authn.cache import Bounded
from sampan.apiserver.authz import references
from sampan.apiserver.authz.rules import Compiled
from sampan.apiserver.bootstrap.roles import NODE
from sampan.apiserver.contracts import Attributes, Decision, View

REMEMBERED = 16384
"""Objects of which we know the pod that justified a node's reading them."""
ANSWERS = 1024
"""Kinds of request that the rules have answered."""

_ALLOWED = Decision(True)
_NO = Decision(False)
LEASES = "kube-node-lease"


class NodeAuthorizer:
    """Decides for members of system:nodes whose name says which node they are; no opinion on everyone else."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._rules = tuple(Compiled(rule) for rule in msgspec.convert(NODE, tuple[PolicyRule, ...]))
        self._answers: Bounded[tuple[str, str, str, str], bool] = Bounded(ANSWERS)
        self._witnesses: Bounded[tuple[str, str, str, str], str] = Bounded(REMEMBERED)

    def __call__(self, attributes: Attributes) -> Decision:
        if users.NODES not in attributes.user.groups or not attributes.user.name.startswith(users.NODE_PREFIX):
            return _NO
        node = users.node_name(attributes.user)
        if not node:
            return Decision(False, f'unknown node for user "{attributes.user.name}"')
        if attributes.is_resource:
            decision = self._special(node, attributes)
            if decision is not None:
                return decision
        return _ALLOWED if self._by_rules(attributes) else _NO

    def _by_rules(self, attributes: Attributes) -> bool:
        """By the rules that all nodes have; none of them names objects or paths, so few answers stand for all."""
        key = (attributes.verb, attributes.group, attributes.resource, attributes.subresource)
        answer = self._answers.get(key)
        if answer is None:
            answer = any(rule.allows(attributes) for rule in self._rules)
            self._answers.put(key, answer)
        return answer

    def _special(self, node: str, attributes: Attributes) -> Decision | None:
        """The resources that are divided further; None for those that the rules decide alone."""
        match (attributes.group, attributes.resource):
            case ("", "secrets" | "configmaps"):
                return self._read(node, attributes)
            case ("", "persistentvolumeclaims"):
                return self._claim(node, attributes)
            case ("", "serviceaccounts"):
                return self._account(node, attributes)
            case (
                ("", "persistentvolumes")
                | ("storage.k8s.io", "volumeattachments")
                | (
                    "resource.k8s.io",
                    "resourceclaims",
                )
            ):
                return self._get(node, attributes)
            case ("coordination.k8s.io", "leases"):
                return _lease(node, attributes)
            case ("storage.k8s.io", "csinodes"):
                return _csi_node(node, attributes)
            case ("", "nodes"):
                return _node(node, attributes)
        return None

    def _read(self, node: str, attributes: Attributes) -> Decision:
        if attributes.verb not in ("get", "list", "watch"):
            return Decision(False, "can only read resources of this type")
        if attributes.subresource:
            return Decision(False, "cannot read subresource")
        if not attributes.namespace:
            return Decision(False, "can only read namespaced object of this type")
        return self._related(node, attributes)

    def _get(self, node: str, attributes: Attributes) -> Decision:
        if attributes.verb != "get":
            return Decision(False, "can only get individual resources of this type")
        if attributes.subresource:
            return Decision(False, "cannot get subresource")
        return self._related(node, attributes)

    def _claim(self, node: str, attributes: Attributes) -> Decision:
        if attributes.subresource != "status":
            return self._get(node, attributes)
        if attributes.verb not in ("get", "update", "patch"):
            return Decision(False, "can only get/update/patch this type")
        return self._related(node, attributes)

    def _account(self, node: str, attributes: Attributes) -> Decision:
        if attributes.verb == "get" and not attributes.subresource:
            return self._related(node, attributes)
        if attributes.verb != "create" or not attributes.name:
            return Decision(False, "can only create tokens for individual service accounts")
        if attributes.subresource != "token":
            return Decision(False, "can only create token subresource of service account")
        return self._related(node, attributes)

    # --- whether something belongs to a node

    def _related(self, node: str, attributes: Attributes) -> Decision:
        name, namespace = attributes.name, attributes.namespace
        if not name:
            return Decision(False, "No Object name found")
        match attributes.resource:
            case "volumeattachments":
                attachment = self._view.get(storage_v1.VolumeAttachment, name)
                related = attachment is not None and attachment.spec.nodeName == node
            case "persistentvolumes":
                related = self._volume(node, name)
            case "secrets":
                related = self._refers(node, "secrets", namespace, name) or self._secret_of_volume(
                    node, namespace, name
                )
            case resource:
                related = self._refers(node, resource, namespace, name)
        if related:
            return _ALLOWED
        return Decision(False, f"no relationship found between node '{node}' and this object")

    def _refers(self, node: str, plural: str, namespace: str, name: str) -> bool:
        """Whether a pod of the node refers to the object."""
        key = (node, plural, namespace, name)
        witness = self._witnesses.get(key)
        if witness is not None:
            pod = self._view.get(core_v1.Pod, witness, namespace)
            if pod is not None and _needs(pod, node, plural, name):
                return True
        for pod in self._view.list(core_v1.Pod, namespace):
            if _needs(pod, node, plural, name):
                self._witnesses.put(key, pod.metadata.name or "")
                return True
        return False

    def _volume(self, node: str, name: str) -> bool:
        volume = self._view.get(core_v1.PersistentVolume, name)
        claim = volume.spec.claimRef if volume is not None else None
        if claim is None:
            return False
        return self._refers(node, "persistentvolumeclaims", claim.namespace or "", claim.name or "")

    def _secret_of_volume(self, node: str, namespace: str, name: str) -> bool:
        return any(
            (namespace, name) in references.secrets_of_volume(volume) and self._volume(node, volume.metadata.name or "")
            for volume in self._view.list(core_v1.PersistentVolume)
        )


def _needs(pod: core_v1.Pod, node: str, plural: str, name: str) -> bool:
    if pod.spec.nodeName != node or references.MIRROR in pod.metadata.annotations:
        return False
    return (plural, name) in references.of_pod(pod)


def _lease(node: str, attributes: Attributes) -> Decision:
    if attributes.verb not in ("get", "create", "update", "patch", "delete"):
        return Decision(False, "can only get, create, update, patch, or delete a node lease")
    if attributes.namespace != LEASES:
        return Decision(False, f'can only access leases in the "{LEASES}" system namespace')
    if attributes.verb != "create" and attributes.name != node:
        return Decision(False, "can only access node lease with the same name as the requesting node")
    return _ALLOWED


def _csi_node(node: str, attributes: Attributes) -> Decision:
    if attributes.verb not in ("get", "create", "update", "patch", "delete"):
        return Decision(False, "can only get, create, update, patch, or delete a CSINode")
    if attributes.subresource:
        return Decision(False, "cannot authorize CSINode subresources")
    if attributes.verb != "create" and attributes.name != node:
        return Decision(False, "can only access CSINode with the same name as the requesting node")
    return _ALLOWED


def _node(node: str, attributes: Attributes) -> Decision | None:
    """A node reads its own Node; admission holds it to writing no other."""
    if attributes.subresource or attributes.verb not in ("get", "list", "watch"):
        return None
    if attributes.name == node:
        return _ALLOWED
    if not attributes.name:
        return Decision(False, f"node '{node}' cannot read all nodes, only its own Node object")
    return Decision(False, f"node '{node}' cannot read '{attributes.name}', only its own Node object")
