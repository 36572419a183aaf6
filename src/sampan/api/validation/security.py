"""Rules of security contexts of pods and containers."""

from __future__ import annotations

import re

from sampan.api import names
from sampan.api.errors import FieldError, duplicate, forbidden, invalid, required
from sampan.api.types import core_v1
from sampan.api.validation.checks import Errors, choice

_is_sysctl = re.compile(r"([a-z0-9]([-_a-z0-9]*[a-z0-9])?[./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?").fullmatch
SYSCTL_PATTERN = "^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$"
_CHANGE_POLICIES = ("Always", "OnRootMismatch")
_PROFILES = ("Localhost", "RuntimeDefault", "Unconfined")


def pod(errors: Errors, spec: core_v1.PodSpec, path: str) -> None:
    if spec.hostPID and spec.shareProcessNamespace:
        text = "ShareProcessNamespace and HostPID cannot both be enabled"
        errors.append(invalid(f"{path}.shareProcessNamespace", True, text))
    if spec.hostUsers is False:
        for member in ("hostNetwork", "hostPID", "hostIPC"):
            if getattr(spec, member):
                errors.append(forbidden(f"{path}.{member}", "when `hostUsers` is false"))
    context = spec.securityContext
    if context is None:
        return
    below = f"{path}.securityContext"
    _ids(errors, below, runAsUser=context.runAsUser, runAsGroup=context.runAsGroup, fsGroup=context.fsGroup)
    for at, group in enumerate(context.supplementalGroups):
        errors += [invalid(f"{below}.supplementalGroups[{at}]", group, text) for text in names.user_id(group)]
    choice(errors, context.fsGroupChangePolicy, _CHANGE_POLICIES, f"{below}.fsGroupChangePolicy")
    choice(errors, context.supplementalGroupsPolicy, ("Merge", "Strict"), f"{below}.supplementalGroupsPolicy")
    _profile(errors, context.seccompProfile, f"{below}.seccompProfile")
    _profile(errors, context.appArmorProfile, f"{below}.appArmorProfile")
    if context.sysctls:
        _sysctls(errors, context, spec, f"{below}.sysctls")


def _sysctls(errors: Errors, context: core_v1.PodSecurityContext, spec: core_v1.PodSpec, path: str) -> None:
    seen: set[str] = set()
    for at, sysctl in enumerate(context.sysctls):
        below = f"{path}[{at}].name"
        if not sysctl.name:
            errors.append(required(below))
        elif len(sysctl.name) > 253 or not _is_sysctl(sysctl.name):
            text = f"must have at most 253 characters and match regex {SYSCTL_PATTERN}"
            errors.append(invalid(below, sysctl.name, text))
        elif sysctl.name in seen:
            errors.append(duplicate(below, sysctl.name))
        elif spec.hostNetwork and sysctl.name.replace("/", ".").startswith("net."):
            errors.append(invalid(below, sysctl.name, "may not be specified when 'hostNetwork' is true"))
        elif spec.hostIPC and sysctl.name.replace("/", ".").startswith(("kernel.shm", "kernel.msg", "fs.mqueue.")):
            errors.append(invalid(below, sysctl.name, "may not be specified when 'hostIPC' is true"))
        seen.add(sysctl.name)


def _ids(errors: Errors, path: str, **ids: int | None) -> None:
    for member, number in ids.items():
        if number is not None and not 0 <= number <= 0xFFFFFFFF:
            errors += [invalid(f"{path}.{member}", number, text) for text in names.user_id(number)]


def _profile(errors: Errors, profile: core_v1.SeccompProfile | core_v1.AppArmorProfile | None, path: str) -> None:
    if profile is None:
        return
    choice(errors, profile.type, _PROFILES, f"{path}.type", needed=True)
    if profile.type == "Localhost":
        if not profile.localhostProfile:
            errors.append(required(f"{path}.localhostProfile", "must be set when type is Localhost"))
        elif isinstance(profile, core_v1.SeccompProfile):
            descending_path(errors, profile.localhostProfile, f"{path}.localhostProfile")
    elif profile.localhostProfile is not None:
        text = "can only be set when type is Localhost"
        errors.append(invalid(f"{path}.localhostProfile", profile.localhostProfile, text))


def descending_path(errors: Errors, target: str, path: str) -> None:
    """A path that stays below where it starts."""
    if target.startswith("/"):
        errors.append(invalid(path, target, "must be a relative path"))
    if ".." in target.split("/"):
        errors.append(invalid(path, target, "must not contain '..'"))


def container(errors: Errors, context: core_v1.SecurityContext | None, spec: core_v1.PodSpec, path: str) -> None:
    if context is None:
        return
    _ids(errors, path, runAsUser=context.runAsUser, runAsGroup=context.runAsGroup)
    _profile(errors, context.seccompProfile, f"{path}.seccompProfile")
    _profile(errors, context.appArmorProfile, f"{path}.appArmorProfile")
    choice(errors, context.procMount, ("Default", "Unmasked"), f"{path}.procMount")
    if context.procMount == "Unmasked" and spec.hostUsers is not False:
        text = "`hostUsers` must be false to use `Unmasked`"
        errors.append(invalid(f"{path}.procMount", context.procMount, text))
    if context.allowPrivilegeEscalation is False:
        errors += _escalation(context, path)


def _escalation(context: core_v1.SecurityContext, path: str) -> list[FieldError]:
    found = []
    if context.privileged:
        text = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
        found.append(invalid(path, context, text))
    if context.capabilities is not None and "CAP_SYS_ADMIN" in context.capabilities.add:
        text = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"
        found.append(invalid(path, context, text))
    return found
