"""Rules of probes and lifecycle hooks."""

from __future__ import annotations

from typing import Any

from sampan.api import names
from sampan.api.errors import forbidden, invalid, not_supported, required
from sampan.api.types import core_v1
from sampan.api.validation.checks import Errors, choice, not_negative, port

_COUNTS = ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold")
_PROBES = ("exec", "httpGet", "tcpSocket", "grpc")
_HOOKS = ("exec", "httpGet", "tcpSocket", "sleep")


def probe(errors: Errors, wanted: core_v1.Probe | None, path: str, *, once: bool = False) -> None:
    """`once`: successThreshold must be 1, as for liveness and startup."""
    if wanted is None:
        return
    _handler(errors, wanted, path, _PROBES)
    for member in _COUNTS:
        not_negative(errors, getattr(wanted, member), f"{path}.{member}")
    grace = wanted.terminationGracePeriodSeconds
    if grace is not None and grace <= 0:
        errors.append(invalid(f"{path}.terminationGracePeriodSeconds", grace, "must be greater than 0"))
    if once and wanted.successThreshold is not None and wanted.successThreshold != 1:
        errors.append(invalid(f"{path}.successThreshold", wanted.successThreshold, "must be 1"))


def readiness(errors: Errors, wanted: core_v1.Probe | None, path: str) -> None:
    probe(errors, wanted, path)
    if wanted is not None and wanted.terminationGracePeriodSeconds is not None:
        where = f"{path}.terminationGracePeriodSeconds"
        errors.append(invalid(where, wanted.terminationGracePeriodSeconds, "must not be set for readinessProbes"))


def lifecycle(errors: Errors, wanted: core_v1.Lifecycle | None, grace: int | None, path: str) -> None:
    if wanted is None:
        return
    for member in ("postStart", "preStop"):
        hook: core_v1.LifecycleHandler | None = getattr(wanted, member)
        if hook is None:
            continue
        _handler(errors, hook, f"{path}.{member}", _HOOKS)
        limit = 30 if grace is None else grace
        if hook.sleep is not None and not 0 <= hook.sleep.seconds <= limit:
            text = f"must be non-negative and less than terminationGracePeriodSeconds ({limit})"
            errors.append(invalid(f"{path}.{member}.sleep", hook.sleep.seconds, text))


def _handler(errors: Errors, wanted: Any, path: str, kinds: tuple[str, ...]) -> None:
    """Exactly one of the ways to ask a container."""
    found = 0
    for member in kinds:
        action = getattr(wanted, member)
        if action is None:
            continue
        found += 1
        if found > 1:
            errors.append(forbidden(f"{path}.{member}", "may not specify more than 1 handler type"))
        elif member == "exec":
            if not action.command:
                errors.append(required(f"{path}.exec.command"))
        elif member == "httpGet":
            _http_get(errors, action, f"{path}.httpGet")
        elif member == "tcpSocket":
            port(errors, action.port, f"{path}.tcpSocket.port")
        elif member == "grpc":
            errors += [invalid(f"{path}.grpc.port", action.port, text) for text in names.port_number(action.port)]
    if not found:
        errors.append(required(path, "must specify a handler type"))


def _http_get(errors: Errors, action: core_v1.HTTPGetAction, path: str) -> None:
    if not action.path:
        errors.append(required(f"{path}.path"))
    port(errors, action.port, f"{path}.port")
    if action.scheme is None:
        errors.append(not_supported(f"{path}.scheme", "", ("HTTP", "HTTPS")))
    choice(errors, action.scheme, ("HTTP", "HTTPS"), f"{path}.scheme")
    for header in action.httpHeaders:
        errors += [invalid(f"{path}.httpHeaders", header.name, text) for text in names.http_header(header.name)]
