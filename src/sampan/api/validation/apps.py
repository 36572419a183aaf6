"""Rules of workloads: Deployments, ReplicaSets, StatefulSets, DaemonSets, ReplicationControllers, revisions."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from sampan.api import names, selectors
from sampan.api.errors import FieldError, forbidden, invalid, not_supported, required
from sampan.api.types import apps_v1, core_v1, meta_v1
from sampan.api.validation import checks, claim, pod
from sampan.api.validation.checks import Errors, choice, not_negative
from sampan.api.validation.meta import IMMUTABLE

_ONLY_ALWAYS = ("Always",)


def _selector(errors: Errors, wanted: meta_v1.LabelSelector, path: str, needed: str) -> None:
    checks.label_selector(errors, wanted, path)
    if not wanted.matchLabels and not wanted.matchExpressions:
        errors.append(invalid(path, wanted, needed))


def _template(
    errors: Errors, template: core_v1.PodTemplateSpec, wanted: meta_v1.LabelSelector, path: str, kind: str
) -> None:
    """The pods of a workload: selected by it, restarted always."""
    try:
        selector = selectors.label_selector(wanted)
    except selectors.SelectorError:
        errors.append(invalid("spec.selector", wanted, "invalid label selector"))
    else:
        if not selector.empty:
            checks.template_labels(errors, selector, template.metadata.labels, f"{path}.metadata.labels")
    pod.template_spec(errors, template, path)
    _always(errors, template, path, kind)


def _always(errors: Errors, template: core_v1.PodTemplateSpec, path: str, kind: str) -> None:
    policy = template.spec.restartPolicy
    if policy not in (None, "Always"):
        errors.append(not_supported(f"{path}.spec.restartPolicy", policy, _ONLY_ALWAYS))
    if template.spec.activeDeadlineSeconds is not None:
        text = f"activeDeadlineSeconds in {kind} is not Supported"
        errors.append(forbidden(f"{path}.spec.activeDeadlineSeconds", text))


def _selector_kept(errors: Errors, new: meta_v1.LabelSelector, old: meta_v1.LabelSelector) -> None:
    if new != old:
        errors.append(invalid("spec.selector", new, IMMUTABLE))


# --- Deployment -------------------------------------------------------------------------------------------------------


def validate_deployment(obj: apps_v1.Deployment) -> list[FieldError]:
    errors: Errors = []
    spec = obj.spec
    not_negative(errors, spec.replicas, "spec.replicas")
    _selector(errors, spec.selector, "spec.selector", "empty selector is invalid for deployment")
    _template(errors, spec.template, spec.selector, "spec.template", "ReplicaSet")
    _strategy(errors, spec.strategy)
    not_negative(errors, spec.minReadySeconds, "spec.minReadySeconds")
    not_negative(errors, spec.revisionHistoryLimit, "spec.revisionHistoryLimit")
    deadline = spec.progressDeadlineSeconds
    if deadline is not None:
        not_negative(errors, deadline, "spec.progressDeadlineSeconds")
        if deadline <= (spec.minReadySeconds or 0):
            errors.append(invalid("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds"))
    return errors


def validate_deployment_update(new: apps_v1.Deployment, old: apps_v1.Deployment) -> list[FieldError]:
    errors: Errors = []
    _selector_kept(errors, new.spec.selector, old.spec.selector)
    return errors


def _strategy(errors: Errors, strategy: apps_v1.DeploymentStrategy) -> None:
    path = "spec.strategy"
    if strategy.type == "Recreate":
        if strategy.rollingUpdate is not None:
            text = "may not be specified when strategy `type` is 'Recreate'"
            errors.append(forbidden(f"{path}.rollingUpdate", text))
    elif strategy.type == "RollingUpdate":
        if strategy.rollingUpdate is None:
            errors.append(required(f"{path}.rollingUpdate", "this should be defaulted and never be nil"))
        else:
            _rolling(errors, strategy.rollingUpdate, f"{path}.rollingUpdate")
    else:
        errors.append(not_supported(path, strategy, ("Recreate", "RollingUpdate")))


def _rolling(errors: Errors, rolling: apps_v1.RollingUpdateDeployment, path: str) -> None:
    checks.int_or_percent(errors, rolling.maxUnavailable, f"{path}.maxUnavailable")
    checks.int_or_percent(errors, rolling.maxSurge, f"{path}.maxSurge")
    if _is_zero(rolling.maxUnavailable) and _is_zero(rolling.maxSurge):
        text = "may not be 0 when `maxSurge` is 0"
        errors.append(invalid(f"{path}.maxUnavailable", rolling.maxUnavailable, text))
    checks.at_most_100(errors, rolling.maxUnavailable, f"{path}.maxUnavailable")


def _is_zero(value: int | str | None) -> bool:
    return value is None or value == 0 or checks.percent(value) == 0


# --- ReplicaSet and ReplicationController -----------------------------------------------------------------------------


def validate_replica_set(obj: apps_v1.ReplicaSet) -> list[FieldError]:
    errors: Errors = []
    spec = obj.spec
    not_negative(errors, spec.replicas, "spec.replicas")
    not_negative(errors, spec.minReadySeconds, "spec.minReadySeconds")
    _selector(errors, spec.selector, "spec.selector", "empty selector is invalid for deployment")
    if spec.template is None:
        errors.append(required("spec.template"))
    else:
        _template(errors, spec.template, spec.selector, "spec.template", "ReplicaSet")
    return errors


def validate_replica_set_update(new: apps_v1.ReplicaSet, old: apps_v1.ReplicaSet) -> list[FieldError]:
    errors: Errors = []
    _selector_kept(errors, new.spec.selector, old.spec.selector)
    return errors


def validate_replication_controller(obj: core_v1.ReplicationController) -> list[FieldError]:
    errors: Errors = []
    spec = obj.spec
    not_negative(errors, spec.minReadySeconds, "spec.minReadySeconds")
    if not spec.selector:
        errors.append(required("spec.selector"))
    not_negative(errors, spec.replicas, "spec.replicas")
    if spec.template is None:
        errors.append(required("spec.template"))
        return errors
    labels: Mapping[str, str] = spec.template.metadata.labels
    if spec.selector:
        checks.template_labels(errors, selectors.of_map(spec.selector), labels, "spec.template.metadata.labels")
    pod.template_spec(errors, spec.template, "spec.template")
    _always(errors, spec.template, "spec.template", "ReplicationController")
    return errors


# --- StatefulSet ------------------------------------------------------------------------------------------------------

_STATEFUL_UPDATES = (
    "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', "
    "'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
)


def validate_stateful_set(obj: apps_v1.StatefulSet) -> list[FieldError]:
    errors: Errors = []
    spec = obj.spec
    choice(errors, spec.podManagementPolicy, ("OrderedReady", "Parallel"), "spec.podManagementPolicy", needed=True)
    strategy = spec.updateStrategy
    choice(errors, strategy.type, ("OnDelete", "RollingUpdate"), "spec.updateStrategy.type", needed=True)
    rolling = strategy.rollingUpdate
    if rolling is not None and strategy.type == "OnDelete":
        text = "only allowed for updateStrategy 'RollingUpdate'"
        errors.append(invalid("spec.updateStrategy.rollingUpdate", rolling, text))
    elif rolling is not None:
        path = "spec.updateStrategy.rollingUpdate"
        not_negative(errors, rolling.partition, f"{path}.partition")
        if rolling.maxUnavailable is not None:
            checks.int_or_percent(errors, rolling.maxUnavailable, f"{path}.maxUnavailable")
            if _is_zero(rolling.maxUnavailable):
                errors.append(invalid(f"{path}.maxUnavailable", rolling.maxUnavailable, "cannot be 0"))
            checks.at_most_100(errors, rolling.maxUnavailable, f"{path}.maxUnavailable")
    retention = spec.persistentVolumeClaimRetentionPolicy
    if retention is not None:
        for member in ("whenDeleted", "whenScaled"):
            where = f"spec.persistentVolumeClaimRetentionPolicy.{member}"
            choice(errors, getattr(retention, member), ("Delete", "Retain"), where, needed=True)
    not_negative(errors, spec.replicas, "spec.replicas")
    not_negative(errors, spec.minReadySeconds, "spec.minReadySeconds")
    not_negative(errors, spec.revisionHistoryLimit, "spec.revisionHistoryLimit")
    if spec.ordinals is not None:
        not_negative(errors, spec.ordinals.start, "spec.ordinals.start")
    if spec.serviceName:
        checks.named(errors, spec.serviceName, "spec.serviceName", names.dns_subdomain)
    _selector(errors, spec.selector, "spec.selector", "empty selector is invalid for statefulset")
    _template(errors, _with_claims(spec), spec.selector, "spec.template", "StatefulSet")
    for at, template in enumerate(spec.volumeClaimTemplates):
        claim.spec(errors, template.spec, f"spec.volumeClaimTemplates[{at}].spec")
    return errors


def _with_claims(spec: apps_v1.StatefulSetSpec) -> core_v1.PodTemplateSpec:
    """The template as its pods have it: containers may mount what claim templates bring."""
    template = spec.template
    named = {volume.name for volume in template.spec.volumes}
    more = tuple(
        core_v1.Volume(
            name=claim.metadata.name or "",
            persistentVolumeClaim=core_v1.PersistentVolumeClaimVolumeSource(claimName=claim.metadata.name or ""),
        )
        for claim in spec.volumeClaimTemplates
        if claim.metadata.name and claim.metadata.name not in named
    )
    if not more:
        return template
    volumes = (*template.spec.volumes, *more)
    return msgspec.structs.replace(template, spec=msgspec.structs.replace(template.spec, volumes=volumes))


def validate_stateful_set_update(new: apps_v1.StatefulSet, old: apps_v1.StatefulSet) -> list[FieldError]:
    allowed = {
        member: getattr(new.spec, member)
        for member in (
            "replicas",
            "ordinals",
            "template",
            "updateStrategy",
            "revisionHistoryLimit",
            "persistentVolumeClaimRetentionPolicy",
            "minReadySeconds",
        )
    }
    if msgspec.structs.replace(old.spec, **allowed) != new.spec:
        return [forbidden("spec", _STATEFUL_UPDATES)]
    return []


# --- DaemonSet and ControllerRevision ---------------------------------------------------------------------------------


def validate_daemon_set(obj: apps_v1.DaemonSet) -> list[FieldError]:
    errors: Errors = []
    spec = obj.spec
    _selector(errors, spec.selector, "spec.selector", "empty selector is invalid for daemonset")
    _template(errors, spec.template, spec.selector, "spec.template", "DaemonSet")
    not_negative(errors, spec.minReadySeconds, "spec.minReadySeconds")
    not_negative(errors, spec.revisionHistoryLimit, "spec.revisionHistoryLimit")
    strategy = spec.updateStrategy
    if strategy.type == "RollingUpdate":
        if strategy.rollingUpdate is None:
            errors.append(required("spec.updateStrategy.rollingUpdate"))
        else:
            _daemon_rolling(errors, strategy.rollingUpdate, "spec.updateStrategy.rollingUpdate")
    elif strategy.type != "OnDelete":
        errors.append(not_supported("spec.updateStrategy", strategy, ("RollingUpdate", "OnDelete")))
    return errors


def _daemon_rolling(errors: Errors, rolling: apps_v1.RollingUpdateDaemonSet, path: str) -> None:
    for member in ("maxUnavailable", "maxSurge"):
        checks.int_or_percent(errors, getattr(rolling, member), f"{path}.{member}")
        checks.at_most_100(errors, getattr(rolling, member), f"{path}.{member}")
    idle_unavailable, idle_surge = _is_zero(rolling.maxUnavailable), _is_zero(rolling.maxSurge)
    if not idle_unavailable and not idle_surge:
        text = "may not be set when maxUnavailable is non-zero"
        errors.append(invalid(f"{path}.maxSurge", rolling.maxSurge, text))
    elif idle_unavailable and idle_surge:
        errors.append(required(f"{path}.maxUnavailable", "cannot be 0 when maxSurge is 0"))


def validate_daemon_set_update(new: apps_v1.DaemonSet, old: apps_v1.DaemonSet) -> list[FieldError]:
    errors: Errors = []
    _selector_kept(errors, new.spec.selector, old.spec.selector)
    return errors


def validate_controller_revision(obj: apps_v1.ControllerRevision) -> list[FieldError]:
    errors: Errors = []
    if obj.data is None:
        errors.append(required("data", "data is mandatory"))
    not_negative(errors, obj.revision, "revision")
    return errors


def validate_controller_revision_update(
    new: apps_v1.ControllerRevision, old: apps_v1.ControllerRevision
) -> list[FieldError]:
    return [] if new.data == old.data else [invalid("data", new.data, IMMUTABLE)]
