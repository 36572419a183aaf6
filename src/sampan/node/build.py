"""What the container runtime is told of a pod: sandbox and container configurations, put together from the parts."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Literal, cast

from sampan.api.types import core_v1
from sampan.host.containers import ContainerConfig, Image, Mount, PortMapping, SandboxConfig
from sampan.node import hosts, machine, observation
from sampan.node.contracts import AnyContainer, HostVolume, Parts, Places
from sampan.node.expansion import expand_all
from sampan.node.node_config import NodeConfig
from sampan.node.plan import StartContainer

POD_NAME, POD_NAMESPACE, POD_UID = "io.kubernetes.pod.name", "io.kubernetes.pod.namespace", "io.kubernetes.pod.uid"
CONTAINER_NAME = "io.kubernetes.container.name"
RESTARTS = "io.kubernetes.container.restartCount"
MESSAGE_POLICY = "io.kubernetes.container.terminationMessagePolicy"
GRACE = "io.kubernetes.pod.terminationGracePeriod"

HOSTS_PATH = "/etc/hosts"


def sandbox_config(pod: core_v1.Pod, attempt: int, parts: Parts, config: NodeConfig) -> SandboxConfig:
    meta, spec = pod.metadata, pod.spec
    name, domain = hosts.host_names(pod, config.cluster.domain)
    hostname = f"{name}.{domain}" if spec.setHostnameAsFQDN and domain else name
    context = spec.securityContext
    uid, namespace = meta.uid or "", meta.namespace or ""
    return SandboxConfig(
        uid=uid,
        name=meta.name or "",
        namespace=namespace,
        attempt=attempt,
        hostname="" if spec.hostNetwork else hostname,
        dns=parts.dns_config(pod, config.cluster),
        ports=() if spec.hostNetwork else ports(pod),
        host_network=bool(spec.hostNetwork),
        host_pid=bool(spec.hostPID),
        host_ipc=bool(spec.hostIPC),
        share_pid=bool(spec.shareProcessNamespace),
        sysctls={each.name: each.value for each in context.sysctls} if context is not None else {},
        cgroup=parts.cgroup(pod),
        resources=parts.resources(pod, None, config.capacity),
        log_directory=str(config.places.log_directory(namespace, meta.name or "", uid)),
        labels={**meta.labels, POD_NAME: meta.name or "", POD_NAMESPACE: namespace, POD_UID: uid},
        annotations={GRACE: str(machine.grace_period(pod))},
    )


def ports(pod: core_v1.Pod) -> tuple[PortMapping, ...]:
    """The host ports that the pod asks for; those of ordinary init containers are never open."""
    sidecars = [c for c in pod.spec.initContainers if c.restartPolicy == "Always"]
    return tuple(
        PortMapping(
            cast(Literal["TCP", "UDP", "SCTP"], port.protocol or "TCP"),
            port.containerPort,
            port.hostPort,
            port.hostIP or "",
        )
        for container in (*sidecars, *pod.spec.containers)
        for port in container.ports
        if port.hostPort
    )


async def container_config(
    pod: core_v1.Pod,
    spec: AnyContainer,
    start: StartContainer,
    image: Image,
    volumes: Mapping[str, HostVolume],
    parts: Parts,
    config: NodeConfig,
) -> ContainerConfig:
    """`pod` carries its addresses. Raises CreateContainerConfigError, OSError."""
    ips = tuple(ip.ip for ip in pod.status.podIPs)
    env = await parts.environment(pod, spec, config.facts, parts.services, ips, parts.configs)
    values = dict(env)
    uid = pod.metadata.uid or ""
    stop_signal = spec.lifecycle.stopSignal if spec.lifecycle is not None else None
    return ContainerConfig(
        name=spec.name,
        image=image.id,
        attempt=start.attempt,
        target=spec.targetContainerName or "" if isinstance(spec, core_v1.EphemeralContainer) else "",
        command=expand_all(spec.command, values),
        args=expand_all(spec.args, values),
        working_dir=spec.workingDir or "",
        env=env,
        mounts=(
            *await parts.volumes.mounts(pod, spec, volumes),
            *_own_mounts(pod, spec, start.attempt, config.places),
        ),
        log_path=Places.log_path(spec.name, start.attempt),
        stdin=bool(spec.stdin),
        stdin_once=bool(spec.stdinOnce),
        tty=bool(spec.tty),
        resources=parts.resources(pod, spec, config.capacity),
        security=parts.security(pod, spec, image),
        stop_signal=stop_signal or "",
        labels={
            POD_NAME: pod.metadata.name or "",
            POD_NAMESPACE: pod.metadata.namespace or "",
            POD_UID: uid,
            CONTAINER_NAME: spec.name,
        },
        annotations={
            observation.HASH: machine.fingerprint(spec),
            observation.BACKOFF: str(start.backoff),
            RESTARTS: str(start.attempt),
            MESSAGE_POLICY: spec.terminationMessagePolicy or "File",
        },
    )


def _own_mounts(pod: core_v1.Pod, spec: AnyContainer, attempt: int, places: Places) -> tuple[Mount, ...]:
    """/etc/hosts and the termination message, unless the container mounts something there itself."""
    uid = pod.metadata.uid or ""
    taken = {mount.mountPath.rstrip("/") for mount in spec.volumeMounts}
    found = []
    if HOSTS_PATH not in taken:
        readonly = bool(spec.securityContext and spec.securityContext.readOnlyRootFilesystem)
        found.append(Mount(str(places.hosts_file(uid)), HOSTS_PATH, readonly))
    path = spec.terminationMessagePath
    if path and path not in taken:
        source = places.termination_message(uid, spec.name, attempt)
        _empty_file(str(source))
        found.append(Mount(str(source), path))
    return tuple(found)


def _empty_file(path: str) -> None:
    """For whoever the container runs as to write to."""
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
    try:
        os.fchmod(descriptor, 0o666)
    finally:
        os.close(descriptor)


def write_hosts(pod: core_v1.Pod, parts: Parts, places: Places) -> None:
    """In place, for running containers have the file mounted."""
    path = places.hosts_file(pod.metadata.uid or "")
    os.makedirs(path.parent, mode=0o755, exist_ok=True)
    text = parts.hosts_file(pod, tuple(ip.ip for ip in pod.status.podIPs))
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    with open(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(descriptor, 0o644)
        file.write(text)
        file.truncate()
