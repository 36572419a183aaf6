"""What the worker does about a plan's actions: the calls, and what is said about them."""

from __future__ import annotations

import asyncio
import dataclasses
import errno
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from sampan import removal
from sampan.api.types import core_v1, node_v1
from sampan.client.client import FAILURES, Client
from sampan.host import mounts
from sampan.host.containers import (
    Container,
    ContainerConfig,
    ContainerRuntime,
    Image,
    Mount,
    RuntimeFailure,
    Sandbox,
)
from sampan.node import build, container_status
from sampan.node.contracts import AnyContainer, CreateContainerConfigError, HookFailure, HostVolume, Parts
from sampan.node.images import Images
from sampan.node.inventory import Inventory
from sampan.node.node_config import NodeConfig
from sampan.node.plan import StartContainer
from sampan.node.statuses import StatusWriter
from sampan.runtime.clock import Clock
from sampan.runtime.events import Recorder

log = logging.getLogger(__name__)

SHORTEST_STOP = 2.0
"""Seconds that a container always has between the stop signal and the kill."""
LED_AWAY = 1.0
"""Seconds at most that a deleted pod's containers run on until no new connection is led to them."""
UNDER_WAY = 0.1
"""Seconds after that for requests that are under way: many programs end at the signal without finishing them."""
SHOWN = 3.0
"""Seconds for which a container that could not be started shows why, before it starts again."""


@dataclass(frozen=True, slots=True)
class Node:
    """What all pods of the node share."""

    client: Client
    runtime: ContainerRuntime
    images: Images
    parts: Parts
    config: NodeConfig
    clock: Clock
    recorder: Recorder
    inventory: Inventory
    writer: StatusWriter


class NotStarted(Exception):
    """A container could not be made; `reason` and the message become its waiting state."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class SandboxFailure(Exception):
    """The sandbox could not be made."""


def tell(node: Node, pod: core_v1.Pod, type: str, reason: str, message: str) -> None:
    node.recorder.emit(pod, type, reason, message)


def tell_container(node: Node, pod: core_v1.Pod, name: str, type: str, reason: str, message: str) -> None:
    """The event is about the container: its field path is in the reference."""
    about = node.recorder.reference(pod)
    node.recorder.emit(replace(about, fieldPath=field_path(pod, name)), type, reason, message)


def field_path(pod: core_v1.Pod, name: str) -> str:
    spec = pod.spec
    kinds = (
        ("spec.containers", spec.containers),
        ("spec.initContainers", spec.initContainers),
        ("spec.ephemeralContainers", spec.ephemeralContainers),
    )
    for kind, containers in kinds:
        if any(each.name == name for each in containers):
            return f"{kind}{{{name}}}"
    return f"spec.containers{{{name}}}"


async def make_sandbox(node: Node, pod: core_v1.Pod, attempt: int) -> Sandbox:
    """Raises SandboxFailure."""
    if attempt:
        message = "Pod sandbox changed, it will be killed and re-created."
        tell(node, pod, "Normal", "SandboxChanged", message)
    try:
        if pod.spec.hostUsers is False:
            raise NotStarted("FailedCreatePodSandBox", "spec.hostUsers: false asks for a user namespace: not supported")
        if pod.spec.runtimeClassName:
            await _check_handler(node, pod.spec.runtimeClassName)
        sandbox = await node.runtime.run_sandbox(build.sandbox_config(pod, attempt, node.parts, node.config))
    except (RuntimeFailure, OSError, NotStarted) as error:
        tell(node, pod, "Warning", "FailedCreatePodSandBox", f"Failed to create pod sandbox: {error}")
        raise SandboxFailure(str(error)) from error
    node.inventory.put_sandbox(sandbox)
    return sandbox


async def _check_handler(node: Node, name: str) -> None:
    """Raises NotStarted for a RuntimeClass that is gone or names a runtime that is not here."""
    try:
        handler = (await node.client.get(node_v1.RuntimeClass, name)).handler
    except FAILURES as error:
        raise NotStarted("FailedCreatePodSandBox", f'failed to get runtime class "{name}": {error}') from error
    if handler not in node.config.handlers:
        raise NotStarted("FailedCreatePodSandBox", f'no runtime for "{handler}" is configured')


async def create_container(
    node: Node,
    pod: core_v1.Pod,
    spec: AnyContainer,
    start: StartContainer,
    image: Image,
    volumes: Mapping[str, HostVolume],
) -> str:
    """The new container's ID; it does not run yet. `pod` carries its addresses. Raises NotStarted."""
    try:
        config = await build.container_config(pod, spec, start, image, volumes, node.parts, node.config)
        config = await _instrumented(node, pod, spec, image, config)
        id = await node.runtime.create_container(start.sandbox_id, config)
    except CreateContainerConfigError as error:
        raise _refused(node, pod, spec, "CreateContainerConfigError", str(error)) from error
    except FAILURES as error:
        raise _refused(node, pod, spec, "CreateContainerConfigError", str(error) or type(error).__name__) from error
    except RuntimeFailure as error:
        raise _refused(node, pod, spec, "CreateContainerError", str(error)) from error
    container = await node.runtime.container(id)
    if container is not None:
        node.inventory.put_container(container)
    tell_container(node, pod, spec.name, "Normal", "Created", "Container created")
    return id


async def _instrumented(
    node: Node, pod: core_v1.Pod, spec: AnyContainer, image: Image, config: ContainerConfig
) -> ContainerConfig:
    """With what measures it, when its pod asks for that."""
    if node.parts.instrument is None:
        return config
    added = await node.parts.instrument(pod, spec.name, config.env, image.env)
    if added is None:
        return config
    if added.problem:
        tell_container(node, pod, spec.name, "Warning", "InstrumentationMissing", f"Starts without: {added.problem}")
        return config
    mounts = (Mount(here, there, readonly=True) for here, there in added.mounts)
    return dataclasses.replace(config, env=added.env, mounts=(*config.mounts, *mounts))


async def start_container(node: Node, pod: core_v1.Pod, spec: AnyContainer, id: str) -> None:
    """Raises NotStarted."""
    try:
        await node.runtime.start_container(id)
    except RuntimeFailure as error:
        raise _refused(node, pod, spec, "RunContainerError", str(error)) from error
    finally:
        await node.inventory.refresh(id)
    tell_container(node, pod, spec.name, "Normal", "Started", "Container started")


def _refused(node: Node, pod: core_v1.Pod, spec: AnyContainer, reason: str, message: str) -> NotStarted:
    tell_container(node, pod, spec.name, "Warning", "Failed", f"Error: {message}")
    return NotStarted(reason, message)


async def stop_container(
    node: Node, pod: core_v1.Pod, container: Container, spec: AnyContainer | None, grace: float, *, hook: bool
) -> None:
    """preStop within `grace` seconds, then the stop signal and what is left of them. Raises RuntimeFailure.

    A deleted pod is asked to stop only when new connections go elsewhere; its hook runs meanwhile.
    """
    began = node.clock.monotonic()
    handler = spec.lifecycle.preStop if spec is not None and spec.lifecycle is not None else None
    async with asyncio.TaskGroup() as before:
        if hook and handler is not None and isinstance(spec, core_v1.Container):
            before.create_task(_pre_stop(node, pod, container, spec, handler, grace))
        await _led_away(node, pod, grace)
    left = grace - (node.clock.monotonic() - began)
    await node.runtime.stop_container(container.id, max(SHORTEST_STOP, left))
    await node.inventory.refresh(container.id)


async def _led_away(node: Node, pod: core_v1.Pod, grace: float) -> None:
    """A pod on the node's own address cannot be told from the node's others: nothing is waited for then."""
    quiet, address = node.parts.quiet, pod.status.podIP
    if quiet is None or not address or pod.spec.hostNetwork or not pod.metadata.deletionTimestamp or grace <= 0:
        return
    try:
        async with asyncio.timeout(min(LED_AWAY, grace)):
            if await quiet(address):
                await node.clock.sleep(UNDER_WAY)
    except TimeoutError:
        log.info("%s is stopped although it is still led to", container_status.pod_name(pod))


async def _pre_stop(
    node: Node,
    pod: core_v1.Pod,
    container: Container,
    spec: core_v1.Container,
    handler: core_v1.LifecycleHandler,
    grace: float,
) -> None:
    """A hook that fails or takes too long does not keep the container."""
    try:
        async with asyncio.timeout(grace):
            await node.parts.hooks.run(pod, spec, container.id, handler)
    except TimeoutError:
        log.info("preStop of %s in %s: not over after %g s", spec.name, container_status.pod_name(pod), grace)
    except HookFailure as error:
        log.info("preStop of %s in %s: %s", spec.name, container_status.pod_name(pod), error)
        tell_container(node, pod, spec.name, "Warning", "FailedPreStopHook", "PreStopHook failed")


async def post_start(
    node: Node, pod: core_v1.Pod, spec: core_v1.Container, id: str, handler: core_v1.LifecycleHandler
) -> bool:
    """Whether the hook did well."""
    try:
        await node.parts.hooks.run(pod, spec, id, handler)
    except HookFailure as error:
        log.info("postStart of %s in %s: %s", spec.name, container_status.pod_name(pod), error)
        tell_container(node, pod, spec.name, "Warning", "FailedPostStartHook", "PostStartHook failed")
        return False
    return True


async def remove_container(node: Node, id: str) -> None:
    container = node.inventory.container(id)
    await node.runtime.remove_container(id)
    node.inventory.drop(id)
    if container is not None:
        uid, name = container.config.labels.get(build.POD_UID, ""), container.config.name
        path = node.config.places.termination_message(uid, name, container.config.attempt)
        path.unlink(missing_ok=True)
        _remove_logs(node, container)


def _remove_logs(node: Node, container: Container) -> None:
    """The log of this run and what was rotated of it."""
    labels = container.config.labels
    directory = node.config.places.log_directory(
        labels.get(build.POD_NAMESPACE, ""), labels.get(build.POD_NAME, ""), labels.get(build.POD_UID, "")
    )
    for path in (directory / container.config.name).glob(f"{container.config.attempt}.log*"):
        path.unlink(missing_ok=True)


async def erase(node: Node, pod: core_v1.Pod) -> None:
    """Nothing of the pod stays: sandboxes with their containers, files, logs. Raises RuntimeFailure, OSError."""
    meta = pod.metadata
    uid = meta.uid or ""
    for container in node.inventory.containers(uid):
        node.parts.probes.stop(container.id)
    for sandbox in node.inventory.sandboxes(uid):
        await node.runtime.remove_sandbox(sandbox.id)
        node.inventory.drop(sandbox.id)
    places = node.config.places
    paths = [places.pod(uid), places.log_directory(meta.namespace or "", meta.name or "", uid)]
    await asyncio.to_thread(_remove_trees, paths)
    node.images.forget(uid)


def _remove_trees(paths: list[Path]) -> None:
    """What is mounted below is somebody's data: then nothing is removed."""
    for path in paths:
        held = mounts.below(str(path))
        if held:
            raise OSError(errno.EBUSY, f"still mounted: {held[0]}", str(path))
        removal.remove(path)
