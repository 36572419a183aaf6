"""Rules of Jobs and CronJobs."""

from __future__ import annotations

import zoneinfo
from functools import lru_cache

import msgspec

from sampan.api import names, selectors
from sampan.api.errors import FieldError, duplicate, invalid, not_supported, required
from sampan.api.types import batch_v1
from sampan.api.validation import checks, cron, pod
from sampan.api.validation.checks import Errors, choice, not_negative
from sampan.api.validation.meta import IMMUTABLE

MAX_PARALLELISM = 100_000
_MODES = ("Indexed", "NonIndexed")
_ACTIONS = ("Count", "FailIndex", "FailJob", "Ignore")
_STATUSES = ("False", "True", "Unknown")


def validate_job(obj: batch_v1.Job) -> list[FieldError]:
    errors: Errors = []
    spec = obj.spec
    if spec.selector is None:
        errors.append(required("spec.selector"))
    else:
        checks.label_selector(errors, spec.selector, "spec.selector")
        try:
            selector = selectors.label_selector(spec.selector)
        except selectors.SelectorError:
            return errors
        checks.template_labels(errors, selector, spec.template.metadata.labels, "spec.template.metadata.labels")
    job_spec(errors, spec, "spec")
    return errors


def job_spec(errors: Errors, spec: batch_v1.JobSpec, path: str) -> None:
    for member in (
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    ):
        not_negative(errors, getattr(spec, member), f"{path}.{member}")
    choice(errors, spec.completionMode, _MODES, f"{path}.completionMode")
    indexed = spec.completionMode == "Indexed"
    if indexed and spec.completions is None:
        errors.append(required(f"{path}.completions", "when completion mode is Indexed"))
    if indexed and (spec.parallelism or 0) > MAX_PARALLELISM:
        text = f"must be less than or equal to {MAX_PARALLELISM} when completion mode is Indexed"
        errors.append(invalid(f"{path}.parallelism", spec.parallelism, text))
    for member in ("backoffLimitPerIndex", "maxFailedIndexes"):
        if getattr(spec, member) is not None and not indexed:
            text = "requires indexed completion mode"
            errors.append(invalid(f"{path}.{member}", getattr(spec, member), text))
    choice(errors, spec.podReplacementPolicy, ("Failed", "TerminatingOrFailed"), f"{path}.podReplacementPolicy")
    pod.template_spec(errors, spec.template, f"{path}.template")
    _restart(errors, spec, path)
    if spec.podFailurePolicy is not None:
        _failure_policy(errors, spec, spec.podFailurePolicy, f"{path}.podFailurePolicy")
    if spec.successPolicy is not None:
        if not indexed:
            text = "requires indexed completion mode"
            errors.append(invalid(f"{path}.successPolicy", spec.successPolicy, text))
        if not spec.successPolicy.rules:
            text = "at least one rules must be specified when the successPolicy is specified"
            errors.append(required(f"{path}.successPolicy.rules", text))


def _restart(errors: Errors, spec: batch_v1.JobSpec, path: str) -> None:
    policy = spec.template.spec.restartPolicy
    where = f"{path}.template.spec.restartPolicy"
    if policy in (None, "", "Always"):
        errors.append(required(where, 'valid values: "OnFailure", "Never"'))
    elif policy not in ("OnFailure", "Never"):
        errors.append(not_supported(where, policy, ("OnFailure", "Never")))
    elif spec.podFailurePolicy is not None and policy != "Never":
        text = 'only "Never" is supported when podFailurePolicy is specified'
        errors.append(invalid(where, policy, text))


def _failure_policy(errors: Errors, spec: batch_v1.JobSpec, policy: batch_v1.PodFailurePolicy, path: str) -> None:
    if len(policy.rules) > 20:
        errors.append(FieldError("FieldValueTooMany", f"{path}.rules", len(policy.rules), "must have at most 20 items"))
    known = {c.name for c in (*spec.template.spec.containers, *spec.template.spec.initContainers)}
    for at, rule in enumerate(policy.rules):
        below = f"{path}.rules[{at}]"
        choice(errors, rule.action, _ACTIONS, f"{below}.action", needed=True)
        if rule.onExitCodes is not None and rule.onPodConditions:
            errors.append(invalid(below, rule, "specifying both OnExitCodes and OnPodConditions is not supported"))
        elif rule.onExitCodes is not None:
            _exit_codes(errors, rule.onExitCodes, known, f"{below}.onExitCodes")
        elif not rule.onPodConditions:
            errors.append(invalid(below, rule, "specifying one of OnExitCodes and OnPodConditions is required"))
        for index, pattern in enumerate(rule.onPodConditions):
            where = f"{below}.onPodConditions[{index}]"
            checks.named(errors, pattern.type, f"{where}.type", names.qualified_name)
            choice(errors, pattern.status, _STATUSES, f"{where}.status", needed=True)


def _exit_codes(
    errors: Errors, wanted: batch_v1.PodFailurePolicyOnExitCodesRequirement, known: set[str], path: str
) -> None:
    choice(errors, wanted.operator, ("In", "NotIn"), f"{path}.operator", needed=True)
    if wanted.containerName is not None and wanted.containerName not in known:
        text = "must be one of the container or initContainer names in the pod template"
        errors.append(invalid(f"{path}.containerName", wanted.containerName, text))
    if not wanted.values:
        errors.append(invalid(f"{path}.values", wanted.values, "at least one value is required"))
    elif len(wanted.values) > 255:
        errors.append(
            FieldError("FieldValueTooMany", f"{path}.values", len(wanted.values), "must have at most 255 items")
        )
    for at, code in enumerate(wanted.values):
        if wanted.operator == "In" and code == 0:
            errors.append(invalid(f"{path}.values[{at}]", code, "must not be 0 for the In operator"))
        if code in wanted.values[:at]:
            errors.append(duplicate(f"{path}.values[{at}]", code))
    if any(a > b for a, b in zip(wanted.values, wanted.values[1:], strict=False)):
        errors.append(invalid(f"{path}.values", wanted.values, "must be ordered"))


def validate_job_update(new: batch_v1.Job, old: batch_v1.Job) -> list[FieldError]:
    errors: Errors = []
    now, was = new.spec, old.spec
    if now.completionMode == "Indexed" == was.completionMode and now.completions != was.completions:
        if now.completions != now.parallelism or was.completions != was.parallelism:
            text = "can only be modified in tandem with spec.parallelism"
            errors.append(invalid("spec.completions", now.completions, text))
    elif now.completions != was.completions:
        errors.append(invalid("spec.completions", now.completions, IMMUTABLE))
    for member in (
        "selector",
        "completionMode",
        "podFailurePolicy",
        "backoffLimitPerIndex",
        "managedBy",
        "successPolicy",
        "manualSelector",
    ):
        checks.unchanged(errors, getattr(now, member), getattr(was, member), f"spec.{member}")
    if was.suspend and old.status.startTime is None:
        template = was.template
        placed = msgspec.structs.replace(
            template,
            metadata=now.template.metadata,
            spec=msgspec.structs.replace(
                template.spec,
                nodeSelector=now.template.spec.nodeSelector,
                affinity=now.template.spec.affinity,
                tolerations=now.template.spec.tolerations,
                schedulingGates=now.template.spec.schedulingGates,
            ),
        )
        checks.unchanged(errors, now.template, placed, "spec.template")
    else:
        checks.unchanged(errors, now.template, was.template, "spec.template")
    return errors


# --- CronJob ----------------------------------------------------------------------------------------------------------


def validate_cron_job(obj: batch_v1.CronJob) -> list[FieldError]:
    errors: Errors = []
    spec = obj.spec
    if not spec.schedule:
        errors.append(required("spec.schedule"))
    else:
        _schedule(errors, spec.schedule, spec.timeZone)
    not_negative(errors, spec.startingDeadlineSeconds, "spec.startingDeadlineSeconds")
    if spec.timeZone is not None:
        _time_zone(errors, spec.timeZone)
    choice(errors, spec.concurrencyPolicy, ("Allow", "Forbid", "Replace"), "spec.concurrencyPolicy", needed=True)
    not_negative(errors, spec.successfulJobsHistoryLimit, "spec.successfulJobsHistoryLimit")
    not_negative(errors, spec.failedJobsHistoryLimit, "spec.failedJobsHistoryLimit")
    template = spec.jobTemplate
    job_spec(errors, template.spec, "spec.jobTemplate.spec")
    if template.spec.manualSelector:
        errors.append(not_supported("spec.jobTemplate.spec.manualSelector", True, ("nil", "false")))
    if template.spec.selector is not None:
        errors.append(
            invalid("spec.jobTemplate.spec.selector", template.spec.selector, "`selector` will be auto-generated")
        )
    return errors


def _time_zone(errors: Errors, text: str) -> None:
    if not text:
        errors.append(invalid("spec.timeZone", text, "timeZone must be nil or non-empty string"))
    elif text.lower() == "local":
        text_ = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"
        errors.append(invalid("spec.timeZone", text, text_))
    elif not _known_zone(text):
        errors.append(invalid("spec.timeZone", text, f"unknown time zone {text}"))


@lru_cache(maxsize=256)
def _known_zone(text: str) -> bool:
    try:
        zoneinfo.ZoneInfo(text)
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
        return False
    return True


def _schedule(errors: Errors, text: str, zone: str | None) -> None:
    if "TZ" in text:
        word = "cannot use both timeZone field and TZ or CRON_TZ in schedule"
        if zone is None:
            word = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
        errors.append(invalid("spec.schedule", text, word))
    elif problem := cron.problem(text):
        errors.append(invalid("spec.schedule", text, problem))
