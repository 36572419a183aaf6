"""Rules of HorizontalPodAutoscalers and of Scale."""

from __future__ import annotations

from sampan.api.errors import FieldError, invalid, not_supported, required
from sampan.api.types import autoscaling_v1, autoscaling_v2
from sampan.api.validation import checks
from sampan.api.validation.checks import Errors, amount, choice

_METRICS = ("ContainerResource", "External", "Object", "Pods", "Resource")
_MEMBERS = {
    "ContainerResource": "containerResource",
    "External": "external",
    "Object": "object",
    "Pods": "pods",
    "Resource": "resource",
}
_TARGETS = ("AverageValue", "Utilization", "Value")
_MAX_WINDOW = 3600
_MAX_PERIOD = 1800


def validate_autoscaler_v1(obj: autoscaling_v1.HorizontalPodAutoscaler) -> list[FieldError]:
    errors: Errors = []
    _bounds(errors, obj.spec.minReplicas, obj.spec.maxReplicas)
    _reference(errors, obj.spec.scaleTargetRef, "spec.scaleTargetRef")
    percentage = obj.spec.targetCPUUtilizationPercentage
    if percentage is not None and percentage < 1:
        errors.append(invalid("spec.targetCPUUtilizationPercentage", percentage, "must be greater than 0"))
    return errors


def validate_autoscaler(obj: autoscaling_v2.HorizontalPodAutoscaler) -> list[FieldError]:
    errors: Errors = []
    spec = obj.spec
    _bounds(errors, spec.minReplicas, spec.maxReplicas)
    _reference(errors, spec.scaleTargetRef, "spec.scaleTargetRef")
    for at, metric in enumerate(spec.metrics):
        _metric(errors, metric, f"spec.metrics[{at}]")
    if spec.behavior is not None:
        for member in ("scaleUp", "scaleDown"):
            rules = getattr(spec.behavior, member)
            if rules is not None:
                _rules(errors, rules, f"spec.behavior.{member}")
    return errors


def _bounds(errors: Errors, low: int | None, high: int) -> None:
    if low is not None and low < 1:
        errors.append(invalid("spec.minReplicas", low, "must be greater than or equal to 1"))
    if high < 1:
        errors.append(invalid("spec.maxReplicas", high, "must be greater than 0"))
    if low is not None and high < low:
        errors.append(invalid("spec.maxReplicas", high, "must be greater than or equal to `minReplicas`"))


def _reference(
    errors: Errors,
    ref: autoscaling_v1.CrossVersionObjectReference | autoscaling_v2.CrossVersionObjectReference,
    path: str,
) -> None:
    errors += [required(f"{path}.{member}") for member in ("kind", "name") if not getattr(ref, member)]


def _metric(errors: Errors, metric: autoscaling_v2.MetricSpec, path: str) -> None:
    if not metric.type:
        errors.append(required(f"{path}.type", "must specify a metric source type"))
        return
    if metric.type not in _METRICS:
        errors.append(not_supported(f"{path}.type", metric.type, _METRICS))
        return
    member = _MEMBERS[metric.type]
    source = getattr(metric, member)
    if source is None:
        text = "must populate information for the given metric source"
        errors.append(required(f"{path}.{member}", text))
        return
    if member in ("containerResource", "resource") and not source.name:
        errors.append(required(f"{path}.{member}.name", "must specify a resource name"))
    if member == "containerResource" and not source.container:
        errors.append(required(f"{path}.{member}.container", "must specify a container"))
    if member == "object":
        _reference(errors, source.describedObject, f"{path}.object.describedObject")
    if member in ("external", "object", "pods") and not source.metric.name:
        errors.append(required(f"{path}.{member}.metric.name", "must specify a metric name"))
    _target(errors, source.target, f"{path}.{member}.target")


def _target(errors: Errors, target: autoscaling_v2.MetricTarget, path: str) -> None:
    choice(errors, target.type, _TARGETS, f"{path}.type", needed=True)
    for member in ("value", "averageValue"):
        text = getattr(target, member)
        if text is not None and (amount(text) or 0) <= 0:
            errors.append(invalid(f"{path}.{member}", text, "must be positive"))
    if target.averageUtilization is not None and target.averageUtilization < 1:
        errors.append(invalid(f"{path}.averageUtilization", target.averageUtilization, "must be greater than 0"))
    if target.averageUtilization is None and target.averageValue is None and target.value is None:
        text = "must set either a target raw value or a target utilization"
        errors.append(required(f"{path}.averageUtilization", text))


def _rules(errors: Errors, rules: autoscaling_v2.HPAScalingRules, path: str) -> None:
    window = rules.stabilizationWindowSeconds
    if window is not None and not 0 <= window <= _MAX_WINDOW:
        word = "must be greater than or equal to zero" if window < 0 else f"must be less than or equal to {_MAX_WINDOW}"
        errors.append(invalid(f"{path}.stabilizationWindowSeconds", window, word))
    choice(errors, rules.selectPolicy, ("Disabled", "Max", "Min"), f"{path}.selectPolicy")
    if not rules.policies:
        errors.append(required(f"{path}.policies", "must specify at least one Policy"))
    for at, policy in enumerate(rules.policies):
        below = f"{path}.policies[{at}]"
        choice(errors, policy.type, ("Percent", "Pods"), f"{below}.type", needed=True)
        if policy.value <= 0:
            errors.append(invalid(f"{below}.value", policy.value, "must be greater than zero"))
        if policy.periodSeconds <= 0:
            errors.append(invalid(f"{below}.periodSeconds", policy.periodSeconds, "must be greater than zero"))
        elif policy.periodSeconds > _MAX_PERIOD:
            text = f"must be less than or equal to {_MAX_PERIOD}"
            errors.append(invalid(f"{below}.periodSeconds", policy.periodSeconds, text))


def validate_scale(obj: autoscaling_v1.Scale) -> list[FieldError]:
    errors: Errors = []
    checks.not_negative(errors, obj.spec.replicas, "spec.replicas")
    return errors
