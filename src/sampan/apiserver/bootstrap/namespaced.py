"""Roles and bindings in kube-system and kube-public: (namespace, name) -> rules, or -> (role, subjects)."""

from __future__ import annotations

from sampan.api.kinds.kind import Document
from sampan.apiserver.bootstrap.controllers import PREFIX
from sampan.apiserver.bootstrap.rules import EVENTS, READ, rule

SYSTEM = "kube-system"
PUBLIC = "kube-public"
_READER = "extension-apiserver-authentication-reader"
_LOCKING = "system::leader-locking-kube-"
_MANAGER, _SCHEDULER = "User system:kube-controller-manager", "User system:kube-scheduler"

ROLES: dict[tuple[str, str], tuple[Document, ...]] = {
    (SYSTEM, _READER): (rule(READ, "core", "configmaps", "extension-apiserver-authentication"),),
    (SYSTEM, f"{PREFIX}bootstrap-signer"): (rule(READ, "core", "secrets"),),
    (SYSTEM, f"{PREFIX}cloud-provider"): (rule(f"create {READ}", "core", "configmaps"),),
    (SYSTEM, f"{PREFIX}token-cleaner"): (rule(f"{READ} delete", "core", "secrets"), EVENTS),
    (SYSTEM, f"{_LOCKING}controller-manager"): (
        rule("watch", "core", "configmaps"),
        rule("get update", "core", "configmaps", "kube-controller-manager"),
    ),
    (SYSTEM, f"{_LOCKING}scheduler"): (
        rule("watch", "core", "configmaps"),
        rule("get update", "core", "configmaps", "kube-scheduler"),
    ),
    (PUBLIC, f"{PREFIX}bootstrap-signer"): (
        rule(READ, "core", "configmaps"),
        rule("update", "core", "configmaps", "cluster-info"),
        EVENTS,
    ),
}

BINDINGS: dict[tuple[str, str], tuple[str, tuple[str, ...]]] = {
    (SYSTEM, f"system::{_READER}"): (_READER, (_MANAGER, _SCHEDULER)),
    (SYSTEM, f"{_LOCKING}controller-manager"): (
        f"{_LOCKING}controller-manager",
        (_MANAGER, f"ServiceAccount {SYSTEM}/kube-controller-manager"),
    ),
    (SYSTEM, f"{_LOCKING}scheduler"): (
        f"{_LOCKING}scheduler",
        (_SCHEDULER, f"ServiceAccount {SYSTEM}/kube-scheduler"),
    ),
    (SYSTEM, f"{PREFIX}bootstrap-signer"): (
        f"{PREFIX}bootstrap-signer",
        (f"ServiceAccount {SYSTEM}/bootstrap-signer",),
    ),
    (SYSTEM, f"{PREFIX}cloud-provider"): (f"{PREFIX}cloud-provider", (f"ServiceAccount {SYSTEM}/cloud-provider",)),
    (SYSTEM, f"{PREFIX}token-cleaner"): (f"{PREFIX}token-cleaner", (f"ServiceAccount {SYSTEM}/token-cleaner",)),
    (PUBLIC, f"{PREFIX}bootstrap-signer"): (
        f"{PREFIX}bootstrap-signer",
        (f"ServiceAccount {SYSTEM}/bootstrap-signer",),
    ),
}
