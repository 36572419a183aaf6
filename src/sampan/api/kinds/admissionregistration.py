"""Kinds of admissionregistration.k8s.io/v1."""

from __future__ import annotations

from sampan.api import strategy
from sampan.api.columns import cluster as cluster_columns
from sampan.api.defaults import cluster
from sampan.api.kinds.kind import STATUS, Kind
from sampan.api.types import admissionregistration_v1
from sampan.api.validation import webhooks as webhook_rules

MUTATING_ADMISSION_POLICY = Kind(
    admissionregistration_v1.MutatingAdmissionPolicy,
    "admissionregistration.k8s.io",
    "v1",
    "mutatingadmissionpolicies",
    categories=("api-extensions",),
    namespaced=False,
    default=cluster.default_admission_policy,
    columns=cluster_columns.MUTATING_ADMISSION_POLICY,
)
MUTATING_ADMISSION_POLICY_BINDING = Kind(
    admissionregistration_v1.MutatingAdmissionPolicyBinding,
    "admissionregistration.k8s.io",
    "v1",
    "mutatingadmissionpolicybindings",
    categories=("api-extensions",),
    namespaced=False,
    default=cluster.default_admission_policy_binding,
    columns=cluster_columns.ADMISSION_POLICY_BINDING,
)
MUTATING_WEBHOOK_CONFIGURATION = Kind(
    admissionregistration_v1.MutatingWebhookConfiguration,
    "admissionregistration.k8s.io",
    "v1",
    "mutatingwebhookconfigurations",
    categories=("api-extensions",),
    namespaced=False,
    default=cluster.default_mutating_webhooks,
    validate=webhook_rules.validate,
    columns=cluster_columns.WEBHOOK_CONFIGURATION,
)
VALIDATING_ADMISSION_POLICY = Kind(
    admissionregistration_v1.ValidatingAdmissionPolicy,
    "admissionregistration.k8s.io",
    "v1",
    "validatingadmissionpolicies",
    categories=("api-extensions",),
    namespaced=False,
    subresources=(STATUS,),
    default=cluster.default_admission_policy,
    columns=cluster_columns.VALIDATING_ADMISSION_POLICY,
    prepare_create=strategy.drop_status,
    prepare_update=strategy.keep_status,
)
VALIDATING_ADMISSION_POLICY_BINDING = Kind(
    admissionregistration_v1.ValidatingAdmissionPolicyBinding,
    "admissionregistration.k8s.io",
    "v1",
    "validatingadmissionpolicybindings",
    categories=("api-extensions",),
    namespaced=False,
    default=cluster.default_admission_policy_binding,
    columns=cluster_columns.ADMISSION_POLICY_BINDING,
)
VALIDATING_WEBHOOK_CONFIGURATION = Kind(
    admissionregistration_v1.ValidatingWebhookConfiguration,
    "admissionregistration.k8s.io",
    "v1",
    "validatingwebhookconfigurations",
    categories=("api-extensions",),
    namespaced=False,
    default=cluster.default_validating_webhooks,
    validate=webhook_rules.validate,
    columns=cluster_columns.WEBHOOK_CONFIGURATION,
)

KINDS = (
    MUTATING_ADMISSION_POLICY,
    MUTATING_ADMISSION_POLICY_BINDING,
    MUTATING_WEBHOOK_CONFIGURATION,
    VALIDATING_ADMISSION_POLICY,
    VALIDATING_ADMISSION_POLICY_BINDING,
    VALIDATING_WEBHOOK_CONFIGURATION,
)
