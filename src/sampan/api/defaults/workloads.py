"""Defaults of apps/v1 and batch/v1."""

from __future__ import annotations

from sampan.api.defaults.core import default_persistent_volume_claim
from sampan.api.defaults.document import Document, each, fill, given, section
from sampan.api.defaults.pods import default_template


def _fill_pointer(document: Document, key: str, value: int | bool) -> None:
    """Set what is absent; 0 and false are choices."""
    if document.get(key) is None:
        document[key] = value


def default_deployment(deployment: Document) -> None:
    spec = section(deployment, "spec")
    default_template(section(spec, "template"))
    _fill_pointer(spec, "replicas", 1)
    strategy = section(spec, "strategy")
    fill(strategy, "type", "RollingUpdate")
    if strategy.get("type") == "RollingUpdate":
        rolling = section(strategy, "rollingUpdate")
        fill(rolling, "maxUnavailable", "25%")
        fill(rolling, "maxSurge", "25%")
    _fill_pointer(spec, "revisionHistoryLimit", 10)
    _fill_pointer(spec, "progressDeadlineSeconds", 600)


def default_replica_set(replica_set: Document) -> None:
    spec = section(replica_set, "spec")
    default_template(section(spec, "template"))
    _fill_pointer(spec, "replicas", 1)


def default_daemon_set(daemon_set: Document) -> None:
    spec = section(daemon_set, "spec")
    default_template(section(spec, "template"))
    strategy = section(spec, "updateStrategy")
    fill(strategy, "type", "RollingUpdate")
    if strategy.get("type") == "RollingUpdate":
        rolling = section(strategy, "rollingUpdate")
        fill(rolling, "maxUnavailable", 1)
        fill(rolling, "maxSurge", 0)
    _fill_pointer(spec, "revisionHistoryLimit", 10)


def default_stateful_set(stateful_set: Document) -> None:
    spec = section(stateful_set, "spec")
    default_template(section(spec, "template"))
    fill(spec, "podManagementPolicy", "OrderedReady")
    strategy = section(spec, "updateStrategy")
    fill(strategy, "type", "RollingUpdate")
    if strategy.get("type") == "RollingUpdate":
        _fill_pointer(section(strategy, "rollingUpdate"), "partition", 0)
    retention = section(spec, "persistentVolumeClaimRetentionPolicy")
    fill(retention, "whenDeleted", "Retain")
    fill(retention, "whenScaled", "Retain")
    _fill_pointer(spec, "replicas", 1)
    _fill_pointer(spec, "revisionHistoryLimit", 10)
    for claim in each(spec, "volumeClaimTemplates"):
        fill(claim, "apiVersion", "v1")
        fill(claim, "kind", "PersistentVolumeClaim")
        default_persistent_volume_claim(claim)


def default_job(job: Document) -> None:
    spec = section(job, "spec")
    template = section(spec, "template")
    default_template(template)
    if spec.get("completions") is None and spec.get("parallelism") is None:
        spec["completions"] = spec["parallelism"] = 1
    _fill_pointer(spec, "parallelism", 1)
    _fill_pointer(spec, "backoffLimit", 6 if spec.get("backoffLimitPerIndex") is None else 2**31 - 1)
    labels = given(given(template, "metadata") or {}, "labels")
    metadata = section(job, "metadata")
    if labels and not metadata.get("labels"):
        metadata["labels"] = dict(labels)
    fill(spec, "completionMode", "NonIndexed")
    _fill_pointer(spec, "suspend", False)
    _default_failure_policy(spec)
    fill(spec, "podReplacementPolicy", "Failed" if given(spec, "podFailurePolicy") else "TerminatingOrFailed")


def _default_failure_policy(spec: Document) -> None:
    for rule in each(given(spec, "podFailurePolicy") or {}, "rules"):
        for pattern in each(rule, "onPodConditions"):
            fill(pattern, "status", "True")


def default_cron_job(cron_job: Document) -> None:
    spec = section(cron_job, "spec")
    template = section(section(spec, "jobTemplate"), "spec")
    default_template(section(template, "template"))
    _default_failure_policy(template)
    fill(spec, "concurrencyPolicy", "Allow")
    _fill_pointer(spec, "suspend", False)
    _fill_pointer(spec, "successfulJobsHistoryLimit", 3)
    _fill_pointer(spec, "failedJobsHistoryLimit", 1)
