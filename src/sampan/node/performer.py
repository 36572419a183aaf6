"""Carries out one pod's actions and notes in its memory what came of them."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import msgspec

from sampan.api.types import core_v1
from sampan.client.client import FAILURES
from sampan.host.containers import RuntimeFailure
from sampan.node import build, container_status, deeds, observation
from sampan.node.contracts import AnyContainer, NotYet
from sampan.node.deeds import Node, NotStarted, SandboxFailure
from sampan.node.images import NotPulled
from sampan.node.memory import Memory
from sampan.node.observation import Wait
from sampan.node.plan import (
    Action,
    EnsureImage,
    MakeSandbox,
    MountVolumes,
    NoteBackoff,
    Release,
    RemoveContainer,
    RemoveSandbox,
    Resize,
    StartContainer,
    StopContainer,
    StopSandbox,
)

Start = Callable[[str, Callable[[], Coroutine[Any, Any, None]]], None]
"""Begin a task of the pod's under a key, unless one with that key is under way."""

HOOK_FAILED = "FailedPostStartHook"


class Performer:
    def __init__(self, node: Node, memory: Memory, start: Start, cancel: Callable[[str], None]) -> None:
        self._node = node
        self._memory = memory
        self._start = start
        self._cancel = cancel

    async def perform(self, action: Action) -> None:
        match action:
            case MountVolumes():
                await self._mount()
            case MakeSandbox():
                await self._make_sandbox(action)
            case EnsureImage():
                await self._ensure_image(action)
            case StartContainer():
                await self._start_container(action)
            case StopContainer():
                await self._stop_container(action)
            case Resize():
                await self._resize(action)
            case NoteBackoff():
                self._note_backoff(action)
            case RemoveContainer():
                await deeds.remove_container(self._node, action.id)
                self._memory.forget(action.id)
            case StopSandbox():
                await self._node.runtime.stop_sandbox(action.id)
                self._node.inventory.stopped(action.id)
            case RemoveSandbox():
                await self._node.runtime.remove_sandbox(action.id)
                self._node.inventory.drop(action.id)
            case Release():
                await self._node.parts.volumes.unmount(self._memory.pod.metadata.uid or "")
                self._memory.volumes_ready = False
                self._memory.released = True

    def placed(self) -> core_v1.Pod:
        """The pod with the addresses and resources that it has here, whether or not the server knows them."""
        pod, node = self._memory.granted, self._node
        sandboxes = node.inventory.sandboxes(pod.metadata.uid or "")
        sandbox = next((each for each in reversed(sandboxes) if each.ready), None)
        ips = () if sandbox is None else node.config.ips if pod.spec.hostNetwork else sandbox.ips
        status = msgspec.structs.replace(
            pod.status,
            hostIP=node.config.ips[0] if node.config.ips else None,
            hostIPs=tuple(core_v1.HostIP(ip=ip) for ip in node.config.ips),
            podIP=ips[0] if ips else None,
            podIPs=tuple(core_v1.PodIP(ip=ip) for ip in ips),
        )
        return msgspec.structs.replace(pod, status=status)

    def spec(self, name: str) -> AnyContainer | None:
        return next((spec for spec, _ in observation.specified(self._memory.granted) if spec.name == name), None)

    # --- before containers ---

    async def _mount(self) -> None:
        memory, now = self._memory, self._node.clock.now
        try:
            memory.volumes = await self._node.parts.volumes.mount(self.placed())
        except NotYet as error:
            deeds.tell(self._node, memory.pod, "Warning", error.reason, str(error))
            memory.volumes_wait = memory.retry("volumes", error.reason, str(error), now())
        except FAILURES as error:
            text = str(error) or type(error).__name__
            deeds.tell(self._node, memory.pod, "Warning", "FailedMount", text)
            memory.volumes_wait = memory.retry("volumes", "FailedMount", text, now())
        else:
            memory.volumes_ready, memory.volumes_wait = True, None
            memory.failures.forget("volumes")

    async def sync_volumes(self) -> None:
        try:
            await self._node.parts.volumes.sync(self.placed())
        except NotYet as error:
            deeds.tell(self._node, self._memory.pod, "Warning", error.reason, str(error))

    async def _make_sandbox(self, action: MakeSandbox) -> None:
        memory = self._memory
        try:
            await deeds.make_sandbox(self._node, memory.pod, action.attempt)
            build.write_hosts(self.placed(), self._node.parts, self._node.config.places)
        except SandboxFailure as error:
            now = self._node.clock.now()
            memory.sandbox_wait = memory.retry("sandbox", "FailedCreatePodSandBox", str(error), now)
        else:
            memory.sandbox_wait = None
            memory.failures.forget("sandbox")

    async def _ensure_image(self, action: EnsureImage) -> None:
        memory, spec = self._memory, self.spec(action.name)
        if spec is None:
            return

        def tell(type: str, reason: str, message: str) -> None:
            deeds.tell_container(self._node, memory.pod, action.name, type, reason, message)

        try:
            memory.images[action.name] = await self._node.images.ensure(memory.pod, spec, tell)
        except NotPulled as error:
            memory.waits[action.name] = error.wait
        except FAILURES as error:
            memory.waits[action.name] = memory.retry(action.key, "ErrImagePull", str(error), self._node.clock.now())
        else:
            memory.waits.pop(action.name, None)

    # --- containers ---

    async def _start_container(self, action: StartContainer) -> None:
        """The image is used up by the attempt, but not before its end: until then it is wanted."""
        try:
            await self._try_to_start(action)
        finally:
            self._memory.images.pop(action.name, None)

    async def _try_to_start(self, action: StartContainer) -> None:
        memory, node, name = self._memory, self._node, action.name
        spec, image = self.spec(name), memory.images.get(name)
        if spec is None or image is None:
            return
        pod = self.placed()
        try:
            id = await deeds.create_container(node, pod, spec, action, image, memory.volumes)
        except NotStarted as error:
            memory.waits[name] = memory.retry(action.key, error.reason, str(error), node.clock.now())
            return
        hook = spec.lifecycle.postStart if spec.lifecycle is not None else None
        if hook is not None:
            memory.hooking.add(id)
        try:
            await deeds.start_container(node, pod, spec, id)
        except NotStarted as error:
            memory.hooking.discard(id)
            memory.waits[name] = Wait(error.reason, str(error), node.clock.now() + deeds.SHOWN)
            return
        memory.waits.pop(name, None)
        memory.failures.forget(action.key)
        if isinstance(spec, core_v1.Container):
            if action.role in ("main", "sidecar"):
                node.parts.probes.start(pod, spec, id)
            if hook is not None:
                self._begin_hook(pod, spec, id, hook)

    def _begin_hook(self, pod: core_v1.Pod, spec: core_v1.Container, id: str, hook: core_v1.LifecycleHandler) -> None:
        async def run() -> None:
            well = False
            try:
                well = await deeds.post_start(self._node, pod, spec, id, hook)
            finally:
                if not well:
                    self._memory.doomed[id] = HOOK_FAILED
                self._memory.hooking.discard(id)

        self._start(f"hook {id}", run)

    async def _resize(self, action: Resize) -> None:
        """What the kernel refuses, such as less memory than is in use, is tried again and told meanwhile."""
        memory, node = self._memory, self._node
        try:
            await node.runtime.update_resources(action.id, action.resources)
        except RuntimeFailure as error:
            memory.resize_error = str(error)
            memory.held[action.key] = node.clock.now() + memory.failures.failed(action.key)
            return
        memory.resize_error = ""
        memory.failures.forget(action.key)
        if action.name:
            await node.inventory.refresh(action.id)
        else:
            node.inventory.resized(action.id, action.resources)

    async def _stop_container(self, action: StopContainer) -> None:
        node, memory = self._node, self._memory
        container = node.inventory.container(action.id)
        if container is None:
            return
        self._cancel(f"hook {action.id}")
        if action.key not in memory.announced:
            memory.announced.add(action.key)
            deeds.tell_container(node, memory.pod, action.name, "Normal", "Killing", action.why)
        ran = f"preStop {action.id}"
        hook = ran not in memory.announced
        memory.announced.add(ran)
        await deeds.stop_container(node, self.placed(), container, self.spec(action.name), action.grace, hook=hook)

    def _note_backoff(self, action: NoteBackoff) -> None:
        if action.key not in self._memory.announced:
            self._memory.announced.add(action.key)
            where = container_status.pod_name(self._memory.pod)
            message = f"Back-off restarting failed container {action.name} in pod {where}"
            deeds.tell_container(self._node, self._memory.pod, action.name, "Warning", "BackOff", message)
