"""Rules of containers: image, ports, environment, mounts, resources, probes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sampan.api import names
from sampan.api.errors import duplicate, forbidden, invalid, not_found, not_supported, required
from sampan.api.types import core_v1
from sampan.api.validation import probe, resources, security, volume
from sampan.api.validation.checks import Errors, choice, is_ip

Container = core_v1.Container | core_v1.EphemeralContainer

_PROTOCOLS = ("SCTP", "TCP", "UDP")
_PULL_POLICIES = ("Always", "IfNotPresent", "Never")
_MESSAGE_POLICIES = ("FallbackToLogsOnError", "File")
_PROPAGATIONS = ("Bidirectional", "HostToContainer", "None")
_RESTART_POLICIES = ("Always", "Never", "OnFailure")
ENV_FIELDS = (
    *volume.FIELDS,
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
)
_ENV_FIELDS = tuple(name for name in ENV_FIELDS if name not in ("metadata.labels", "metadata.annotations"))
WHITESPACE = "must not have leading or trailing whitespace"
_INIT_ONLY = "may not be set for init containers without restartPolicy=Always"
_EPHEMERAL_FORBIDDEN = (
    ("ports", "ports"),
    ("livenessProbe", "livenessProbe"),
    ("readinessProbe", "readinessProbe"),
    ("startupProbe", "startupProbe"),
    ("lifecycle", "lifecycle"),
)


class Pod:
    """What the containers of one pod share while they are checked."""

    __slots__ = ("claims", "errors", "host_ports", "seen", "spec", "volumes")

    def __init__(self, errors: Errors, spec: core_v1.PodSpec, volumes: Mapping[str, core_v1.Volume]) -> None:
        self.errors = errors
        self.spec = spec
        self.volumes = volumes
        self.seen: set[str] = set()
        self.host_ports: set[tuple[str | None, str, int]] = set()
        self.claims = frozenset(claim.name for claim in spec.resourceClaims)


def containers(pod: Pod, wanted: Sequence[core_v1.Container], path: str) -> None:
    if not wanted:
        pod.errors.append(required(path))
    for at, container in enumerate(wanted):
        below = f"{path}[{at}]"
        _common(pod, container, below)
        _probes(pod, container, below)
        choice(pod.errors, container.restartPolicy, _RESTART_POLICIES, f"{below}.restartPolicy")


def init_containers(pod: Pod, wanted: Sequence[core_v1.Container], path: str) -> None:
    pod.host_ports = set()  # they run before the others and may use the same ports
    for at, container in enumerate(wanted):
        below = f"{path}[{at}]"
        _common(pod, container, below)
        choice(pod.errors, container.restartPolicy, _RESTART_POLICIES, f"{below}.restartPolicy")
        if container.restartPolicy == "Always":
            _probes(pod, container, below)
            continue
        for member in ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe"):
            if getattr(container, member) is not None:
                pod.errors.append(forbidden(f"{below}.{member}", _INIT_ONLY))


def ephemeral_containers(pod: Pod, wanted: Sequence[core_v1.EphemeralContainer], path: str) -> None:
    known = {c.name for c in (*pod.spec.containers, *pod.spec.initContainers)}
    for at, container in enumerate(wanted):
        below = f"{path}[{at}]"
        _common(pod, container, below)
        for member, _ in _EPHEMERAL_FORBIDDEN:
            if getattr(container, member):
                pod.errors.append(forbidden(f"{below}.{member}", "cannot be set for an Ephemeral Container"))
        if container.resources.limits or container.resources.requests:
            pod.errors.append(forbidden(f"{below}.resources", "cannot be set for an Ephemeral Container"))
        if container.targetContainerName and container.targetContainerName not in known:
            pod.errors.append(not_found(f"{below}.targetContainerName", container.targetContainerName))
        for index, mount in enumerate(container.volumeMounts):
            if mount.subPath or mount.subPathExpr:
                member = "subPath" if mount.subPath else "subPathExpr"
                where = f"{below}.volumeMounts[{index}].{member}"
                pod.errors.append(forbidden(where, "cannot be set for an Ephemeral Container"))


def _common(pod: Pod, container: Container, path: str) -> None:
    errors, name = pod.errors, container.name
    if not name:
        errors.append(required(f"{path}.name"))
    elif problems := names.dns_label(name):
        errors += [invalid(f"{path}.name", name, text) for text in problems]
    elif name in pod.seen:
        errors.append(duplicate(f"{path}.name", name))
    pod.seen.add(name)
    if not container.image:
        errors.append(required(f"{path}.image"))
    if container.terminationMessagePolicy not in _MESSAGE_POLICIES:
        choice(
            errors,
            container.terminationMessagePolicy,
            _MESSAGE_POLICIES,
            f"{path}.terminationMessagePolicy",
            needed=True,
        )
    if container.ports:
        _ports(pod, container.ports, f"{path}.ports")
    if container.env:
        _env(errors, container.env, f"{path}.env")
    if container.envFrom:
        _env_from(errors, container.envFrom, f"{path}.envFrom")
    if container.volumeMounts or container.volumeDevices:
        _mounts(pod, container, path)
    if container.imagePullPolicy not in _PULL_POLICIES:
        choice(errors, container.imagePullPolicy, _PULL_POLICIES, f"{path}.imagePullPolicy", needed=True)
    wanted = container.resources
    if wanted.limits or wanted.requests or wanted.claims:
        resources.requirements(errors, wanted, f"{path}.resources", pod.claims)
    if container.securityContext is not None:
        security.container(errors, container.securityContext, pod.spec, f"{path}.securityContext")


def _probes(pod: Pod, container: core_v1.Container, path: str) -> None:
    errors = pod.errors
    if container.lifecycle is not None:
        grace = pod.spec.terminationGracePeriodSeconds
        probe.lifecycle(errors, container.lifecycle, grace, f"{path}.lifecycle")
    if container.livenessProbe is not None:
        probe.probe(errors, container.livenessProbe, f"{path}.livenessProbe", once=True)
    if container.readinessProbe is not None:
        probe.readiness(errors, container.readinessProbe, f"{path}.readinessProbe")
    if container.startupProbe is not None:
        probe.probe(errors, container.startupProbe, f"{path}.startupProbe", once=True)


def _ports(pod: Pod, ports: Sequence[core_v1.ContainerPort], path: str) -> None:
    errors = pod.errors
    seen: set[str] = set()
    for at, port in enumerate(ports):
        below = f"{path}[{at}]"
        if port.name:
            if problems := names.port_name(port.name):
                errors += [invalid(f"{below}.name", port.name, text) for text in problems]
            elif port.name in seen:
                errors.append(duplicate(f"{below}.name", port.name))
            seen.add(port.name)
        if port.containerPort == 0:
            errors.append(required(f"{below}.containerPort"))
        elif not 1 <= port.containerPort <= 65535:
            texts = names.port_number(port.containerPort)
            errors += [invalid(f"{below}.containerPort", port.containerPort, text) for text in texts]
        choice(errors, port.protocol, _PROTOCOLS, f"{below}.protocol", needed=True)
        if port.hostPort:
            _host_port(pod, port, below)
        elif pod.spec.hostNetwork:
            text = "must match `hostPort` when `hostNetwork` is true"
            errors.append(invalid(f"{below}.containerPort", port.containerPort, text))
        if port.hostIP and not is_ip(port.hostIP):
            text = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
            errors.append(invalid(f"{below}.hostIP", port.hostIP, text))


def _host_port(pod: Pod, port: core_v1.ContainerPort, path: str) -> None:
    number = port.hostPort or 0
    pod.errors += [invalid(f"{path}.hostPort", number, text) for text in names.port_number(number)]
    key = (port.protocol, port.hostIP or "", number)
    if key in pod.host_ports:
        pod.errors.append(duplicate(f"{path}.hostPort", f"{port.protocol}/{port.hostIP or ''}/{number}"))
    pod.host_ports.add(key)
    if pod.spec.hostNetwork and number != port.containerPort:
        text = "must match `hostPort` when `hostNetwork` is true"
        pod.errors.append(invalid(f"{path}.containerPort", port.containerPort, text))


def _env(errors: Errors, env: Sequence[core_v1.EnvVar], path: str) -> None:
    for at, variable in enumerate(env):
        if not variable.name:
            errors.append(required(f"{path}[{at}].name"))
        elif problems := names.env_name(variable.name):
            errors += [invalid(f"{path}[{at}].name", variable.name, text) for text in problems]
        if variable.valueFrom is not None:
            _value_from(errors, variable, variable.valueFrom, f"{path}[{at}].valueFrom")


def _value_from(errors: Errors, variable: core_v1.EnvVar, source: core_v1.EnvVarSource, path: str) -> None:
    found = 0
    if source.fieldRef is not None:
        found += 1
        volume.field_ref(errors, source.fieldRef, _ENV_FIELDS, f"{path}.fieldRef")
    if source.resourceFieldRef is not None:
        found += 1
        volume.resource_ref(errors, source.resourceFieldRef, f"{path}.resourceFieldRef")
    for member in ("configMapKeyRef", "secretKeyRef", "fileKeyRef"):
        ref: Any = getattr(source, member)
        if ref is None:
            continue
        found += 1
        if not ref.key:
            errors.append(required(f"{path}.{member}.key"))
        elif member != "fileKeyRef":
            errors += [invalid(f"{path}.{member}.key", ref.key, text) for text in names.config_key(ref.key)]
        if member != "fileKeyRef" and not ref.name:
            errors.append(required(f"{path}.{member}.name"))
    if found == 0:
        choices = "`fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`"
        errors.append(invalid(path, "", f"must specify one of: {choices}"))
    elif variable.value:
        errors.append(invalid(path, "", "may not be specified when `value` is not empty"))
    elif found > 1:
        errors.append(invalid(path, "", "may not have more than one field specified at a time"))


def _env_from(errors: Errors, sources: Sequence[core_v1.EnvFromSource], path: str) -> None:
    for at, source in enumerate(sources):
        below = f"{path}[{at}]"
        if source.prefix:
            errors += [invalid(f"{below}.prefix", source.prefix, text) for text in names.env_name(source.prefix)]
        found = 0
        for member in ("configMapRef", "secretRef"):
            ref = getattr(source, member)
            if ref is not None:
                found += 1
                if not ref.name:
                    errors.append(required(f"{below}.{member}.name"))
        if found == 0:
            errors.append(invalid(path, "", "must specify one of: `configMapRef` or `secretRef`"))
        elif found > 1:
            errors.append(invalid(path, "", "may not have more than one field specified at a time"))


def _mounts(pod: Pod, container: Container, path: str) -> None:
    devices = {device.name for device in container.volumeDevices}
    places: set[str] = set()
    for at, mount in enumerate(container.volumeMounts):
        _mount(pod, container, mount, f"{path}.volumeMounts[{at}]")
        if mount.mountPath in places:
            where = f"{path}.volumeMounts[{at}].mountPath"
            pod.errors.append(invalid(where, mount.mountPath, "must be unique"))
        places.add(mount.mountPath)
        if mount.name in devices:
            where = f"{path}.volumeMounts[{at}].name"
            pod.errors.append(invalid(where, mount.name, "must not already exist in volumeDevices"))
    for at, device in enumerate(container.volumeDevices):
        below = f"{path}.volumeDevices[{at}]"
        if not device.name:
            pod.errors.append(required(f"{below}.name"))
        elif device.name not in pod.volumes:
            pod.errors.append(not_found(f"{below}.name", device.name))
        if not device.devicePath:
            pod.errors.append(required(f"{below}.devicePath"))
        elif device.devicePath in places:
            pod.errors.append(invalid(f"{below}.devicePath", device.devicePath, "must be unique"))
        places.add(device.devicePath)


def _mount(pod: Pod, container: Container, mount: core_v1.VolumeMount, path: str) -> None:
    errors = pod.errors
    if not mount.name:
        errors.append(required(f"{path}.name"))
    if mount.name not in pod.volumes:
        errors.append(not_found(f"{path}.name", mount.name))
    if not mount.mountPath:
        errors.append(required(f"{path}.mountPath"))
    if mount.subPath:
        security.descending_path(errors, mount.subPath, f"{path}.subPath")
    if mount.subPathExpr:
        if mount.subPath:
            text = "subPathExpr and subPath are mutually exclusive"
            errors.append(invalid(f"{path}.subPathExpr", mount.subPathExpr, text))
        security.descending_path(errors, mount.subPathExpr, f"{path}.subPathExpr")
    if mount.mountPropagation is not None:
        where = f"{path}.mountPropagation"
        if mount.mountPropagation not in _PROPAGATIONS:
            errors.append(not_supported(where, mount.mountPropagation, _PROPAGATIONS))
        context = container.securityContext
        if mount.mountPropagation == "Bidirectional" and not (context and context.privileged):
            text = "Bidirectional mount propagation is available only to privileged containers"
            errors.append(forbidden(where, text))
    if mount.recursiveReadOnly is not None:
        _recursive(errors, mount, f"{path}.recursiveReadOnly")


def _recursive(errors: Errors, mount: core_v1.VolumeMount, path: str) -> None:
    choice(errors, mount.recursiveReadOnly, ("Disabled", "Enabled", "IfPossible"), path, needed=True)
    if mount.recursiveReadOnly in ("Enabled", "IfPossible"):
        if not mount.readOnly:
            errors.append(forbidden(path, "may only be specified when readOnly is true"))
        if mount.mountPropagation not in (None, "None"):
            errors.append(forbidden(path, "may only be specified when mountPropagation is None or not specified"))
