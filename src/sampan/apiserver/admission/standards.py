"""The Pod Security Standards: what baseline and restricted ask of a pod, in upstream's words.

Each check returns (reason, detail) of what it forbids, or None. Source: "Pod Security Standards" of v1.37.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from sampan.api.errors import show
from sampan.api.types import core_v1
from sampan.api.types.core_v1 import PodSpec

LEVELS = ("privileged", "baseline", "restricted")
Container = core_v1.Container | core_v1.EphemeralContainer
Context = core_v1.SecurityContext
Found = tuple[str, str] | None

_CONTEXT = core_v1.SecurityContext()
_POD_CONTEXT = core_v1.PodSecurityContext()

CAPABILITIES = frozenset(
    (
        "AUDIT_WRITE",
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "FSETID",
        "KILL",
        "MKNOD",
        "NET_BIND_SERVICE",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYS_CHROOT",
    )
)
SYSCTLS = frozenset(
    (
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ping_group_range",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.tcp_wmem",
    )
)
_SELINUX_TYPES = ("", "container_t", "container_init_t", "container_kvm_t", "container_engine_t")
_VOLUMES = frozenset(
    (
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "image",
        "name",
        "persistentVolumeClaim",
        "projected",
        "secret",
    )
)


def violations(level: str, spec: PodSpec) -> list[tuple[str, str]]:
    """What a pod does that the level forbids, in upstream's order."""
    if level == "privileged":
        return []
    checks = [check for check in CHECKS if check.level == "baseline" and (level == "baseline" or not check.replaced)]
    if level == "restricted":
        checks += [check for check in CHECKS if check.level == "restricted"]
    return [found for check in checks if (found := check.judge(spec)) is not None]


# --- walking


def containers(spec: PodSpec) -> Iterator[Container]:
    yield from spec.initContainers
    yield from spec.containers
    yield from spec.ephemeralContainers


def _context(container: Container) -> Context:
    return container.securityContext or _CONTEXT


def _names(found: Iterable[Container]) -> str:
    names = [show(container.name) for container in found]
    return f"container{'s' if len(names) > 1 else ''} {', '.join(names)}"


def _plural(word: str, values: Iterable[str]) -> str:
    listed = list(values)
    return f"{word}{'s' if len(listed) > 1 else ''} {', '.join(show(v) for v in listed)}"


def _bad(spec: PodSpec, is_bad: Callable[[Context], bool]) -> list[Container]:
    return [container for container in containers(spec) if is_bad(_context(container))]


def _is_windows(spec: PodSpec) -> bool:
    return spec.os is not None and spec.os.name == "windows"


# --- baseline


def _app_armor(spec: PodSpec) -> Found:
    def forbidden(profile: core_v1.AppArmorProfile | None) -> bool:
        return profile is not None and profile.type not in ("RuntimeDefault", "Localhost")

    pod = spec.securityContext or _POD_CONTEXT
    bad = _bad(spec, lambda context: forbidden(context.appArmorProfile))
    setters = ["pod"] if forbidden(pod.appArmorProfile) else []
    setters += [_names(bad)] if bad else []
    if not setters:
        return None
    detail = f'{" and ".join(setters)} must not set AppArmor profile type to "Unconfined"'
    return "forbidden AppArmor profile", detail


def _capabilities(spec: PodSpec) -> Found:
    bad, forbidden = _added(spec, CAPABILITIES)
    if not bad:
        return None
    listed = ", ".join(show(name) for name in sorted(forbidden))
    return "non-default capabilities", f"{_names(bad)} must not include {listed} in securityContext.capabilities.add"


def _added(spec: PodSpec, allowed: frozenset[str]) -> tuple[list[Container], set[str]]:
    bad, forbidden = [], set()
    for container in containers(spec):
        capabilities = _context(container).capabilities
        extra = set(capabilities.add if capabilities is not None else ()) - allowed
        if extra:
            bad.append(container)
            forbidden |= extra
    return bad, forbidden


def _host_namespaces(spec: PodSpec) -> Found:
    words = ("hostNetwork", "hostPID", "hostIPC")
    found = [f"{word}=true" for word in words if getattr(spec, word)]
    return ("host namespaces", ", ".join(found)) if found else None


def _host_paths(spec: PodSpec) -> Found:
    found = [volume.name for volume in spec.volumes if volume.hostPath is not None]
    return ("hostPath volumes", _plural("volume", found)) if found else None


def _host_ports(spec: PodSpec) -> Found:
    bad, ports = [], set()
    for container in containers(spec):
        used = {port.hostPort for port in container.ports if port.hostPort}
        if used:
            bad.append(container)
            ports |= used
    if not bad:
        return None
    listed = ", ".join(str(port) for port in sorted(ports, key=str))
    verb = "use" if len(bad) > 1 else "uses"
    return "hostPort", f"{_names(bad)} {verb} hostPort{'s' if len(ports) > 1 else ''} {listed}"


def _host_probes(spec: PodSpec) -> Found:
    bad, hosts = [], set()
    for container in containers(spec):
        handlers: list[core_v1.Probe | core_v1.LifecycleHandler | None] = [
            container.livenessProbe,
            container.readinessProbe,
            container.startupProbe,
        ]
        if container.lifecycle is not None:
            handlers += [container.lifecycle.postStart, container.lifecycle.preStop]
        actions = [action for h in handlers if h is not None for action in (h.httpGet, h.tcpSocket)]
        used = {action.host for action in actions if action is not None and action.host}
        if used:
            bad.append(container)
            hosts |= used
    if not bad:
        return None
    listed = ", ".join(show(host) for host in sorted(hosts))
    verb = "use" if len(bad) > 1 else "uses"
    return (
        "probe or lifecycle host",
        f"{_names(bad)} {verb} probe or lifecycle host{'s' if len(hosts) > 1 else ''} {listed}",
    )


def _privileged(spec: PodSpec) -> Found:
    bad = _bad(spec, lambda context: bool(context.privileged))
    return ("privileged", f"{_names(bad)} must not set securityContext.privileged=true") if bad else None


def _proc_mount(spec: PodSpec) -> Found:
    bad = _bad(spec, lambda context: context.procMount not in (None, "", "Default"))
    if not bad:
        return None
    kinds = ", ".join(show(kind) for kind in sorted({_context(c).procMount or "" for c in bad}))
    return "procMount", f"{_names(bad)} must not set securityContext.procMount to {kinds}"


def _selinux(spec: PodSpec) -> Found:
    setters, types, user, role = [], set(), False, False
    pod = spec.securityContext or _POD_CONTEXT

    def judge(options: core_v1.SELinuxOptions | None) -> bool:
        nonlocal user, role
        if options is None:
            return False
        bad_type = (options.type or "") not in _SELINUX_TYPES
        if bad_type:
            types.add(options.type or "")
        user, role = user or bool(options.user), role or bool(options.role)
        return bad_type or bool(options.user) or bool(options.role)

    if judge(pod.seLinuxOptions):
        setters.append("pod")
    bad = _bad(spec, lambda context: judge(context.seLinuxOptions))
    setters += [_names(bad)] if bad else []
    if not setters:
        return None
    parts = [_plural("type", sorted(types))] if types else []
    parts += ["user may not be set"] if user else []
    parts += ["role may not be set"] if role else []
    return "seLinuxOptions", f"{' and '.join(setters)} set forbidden securityContext.seLinuxOptions: {'; '.join(parts)}"


def _seccomp(spec: PodSpec) -> Found:
    def unconfined(profile: core_v1.SeccompProfile | None) -> bool:
        return profile is not None and profile.type not in ("RuntimeDefault", "Localhost")

    pod = spec.securityContext or _POD_CONTEXT
    bad = _bad(spec, lambda context: unconfined(context.seccompProfile))
    setters = ["pod"] if unconfined(pod.seccompProfile) else []
    setters += [_names(bad)] if bad else []
    if not setters:
        return None
    return "seccompProfile", f'{" and ".join(setters)} must not set securityContext.seccompProfile.type to "Unconfined"'


def _sysctls(spec: PodSpec) -> Found:
    pod = spec.securityContext or _POD_CONTEXT
    found = [sysctl.name for sysctl in pod.sysctls if sysctl.name not in SYSCTLS]
    return ("forbidden sysctls", ", ".join(found)) if found else None


def _host_process(spec: PodSpec) -> Found:
    def hosts(options: core_v1.WindowsSecurityContextOptions | None) -> bool:
        return options is not None and bool(options.hostProcess)

    pod = spec.securityContext or _POD_CONTEXT
    bad = _bad(spec, lambda context: hosts(context.windowsOptions))
    setters = ["pod"] if hosts(pod.windowsOptions) else []
    setters += [_names(bad)] if bad else []
    if not setters:
        return None
    return "hostProcess", f"{' and '.join(setters)} must not set securityContext.windowsOptions.hostProcess=true"


# --- restricted


def _escalation(spec: PodSpec) -> Found:
    bad = [] if _is_windows(spec) else _bad(spec, lambda context: context.allowPrivilegeEscalation is not False)
    if not bad:
        return None
    return "allowPrivilegeEscalation != false", f"{_names(bad)} must set securityContext.allowPrivilegeEscalation=false"


def _restricted_capabilities(spec: PodSpec) -> Found:
    if _is_windows(spec):
        return None
    kept = _bad(spec, lambda c: c.capabilities is None or "ALL" not in c.capabilities.drop)
    adding, forbidden = _added(spec, frozenset(("NET_BIND_SERVICE",)))
    parts = [f'{_names(kept)} must set securityContext.capabilities.drop=["ALL"]'] if kept else []
    if adding:
        listed = ", ".join(show(name) for name in sorted(forbidden))
        parts.append(f"{_names(adding)} must not include {listed} in securityContext.capabilities.add")
    return ("unrestricted capabilities", "; ".join(parts)) if parts else None


def _restricted_volumes(spec: PodSpec) -> Found:
    bad, types = [], set()
    for volume in spec.volumes:
        forbidden = [f for f in volume.__struct_fields__ if f not in _VOLUMES and getattr(volume, f) is not None]
        if forbidden:
            bad.append(volume.name)
            types |= set(forbidden)
    if not bad:
        return None
    verb = "use" if len(bad) > 1 else "uses"
    return (
        "restricted volume types",
        f"{_plural('volume', bad)} {verb} restricted volume {_plural('type', sorted(types))}",
    )


def _non_root(spec: PodSpec) -> Found:
    pod = spec.securityContext or _POD_CONTEXT
    explicit = _bad(spec, lambda context: context.runAsNonRoot is False)
    silent = _bad(spec, lambda context: context.runAsNonRoot is None)
    setters = ["pod"] if pod.runAsNonRoot is False else []
    setters += [_names(explicit)] if explicit else []
    if setters:
        return "runAsNonRoot != true", f"{' and '.join(setters)} must not set securityContext.runAsNonRoot=false"
    if silent and not pod.runAsNonRoot:
        return "runAsNonRoot != true", f"pod or {_names(silent)} must set securityContext.runAsNonRoot=true"
    return None


def _root_user(spec: PodSpec) -> Found:
    pod = spec.securityContext or _POD_CONTEXT
    bad = _bad(spec, lambda context: context.runAsUser == 0)
    setters = ["pod"] if pod.runAsUser == 0 else []
    setters += [_names(bad)] if bad else []
    return ("runAsUser=0", f"{' and '.join(setters)} must not set runAsUser=0") if setters else None


def _restricted_seccomp(spec: PodSpec) -> Found:
    if _is_windows(spec):
        return None
    found = _seccomp(spec)
    if found is not None:
        return found
    pod = spec.securityContext or _POD_CONTEXT
    silent = _bad(spec, lambda context: context.seccompProfile is None)
    if not silent or pod.seccompProfile is not None:
        return None
    detail = f'pod or {_names(silent)} must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"'
    return "seccompProfile", detail


class Check(NamedTuple):
    """`replaced` baseline checks give way to stricter ones of the restricted level."""

    level: str
    judge: Callable[[PodSpec], Found]
    replaced: bool = False


CHECKS = (
    Check("baseline", _app_armor),
    Check("baseline", _capabilities, True),
    Check("baseline", _host_namespaces),
    Check("baseline", _host_paths, True),
    Check("baseline", _host_ports),
    Check("baseline", _host_probes),
    Check("baseline", _privileged),
    Check("baseline", _proc_mount),
    Check("baseline", _selinux),
    Check("baseline", _seccomp, True),
    Check("baseline", _sysctls),
    Check("baseline", _host_process),
    Check("restricted", _escalation),
    Check("restricted", _restricted_capabilities),
    Check("restricted", _restricted_volumes),
    Check("restricted", _non_root),
    Check("restricted", _root_user),
    Check("restricted", _restricted_seccomp),
)
"""In the order of upstream's names of the checks, which is the order of the reasons in a refusal."""
