"""What the container runtime holds, by pod: read once at the start, then kept by its changes and by our own deeds."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace

from sampan.host.containers import Container, ContainerRuntime, Resources, Sandbox
from sampan.node.build import POD_UID


class Inventory:
    """Sandboxes and containers by pod uid. `follow` never returns."""

    def __init__(self, runtime: ContainerRuntime) -> None:
        self._runtime = runtime
        self._sandboxes: dict[str, Sandbox] = {}
        self._containers: dict[str, Container] = {}
        self._pods: dict[str, set[str]] = {}

    def sandboxes(self, uid: str) -> tuple[Sandbox, ...]:
        """In the order of their attempts."""
        found = (self._sandboxes[id] for id in self._pods.get(uid, ()) if id in self._sandboxes)
        return tuple(sorted(found, key=lambda each: (each.config.attempt, each.created_at)))

    def containers(self, uid: str) -> tuple[Container, ...]:
        """In the order of their attempts."""
        found = (self._containers[id] for id in self._pods.get(uid, ()) if id in self._containers)
        return tuple(sorted(found, key=lambda each: (each.config.attempt, each.created_at)))

    def container(self, id: str) -> Container | None:
        return self._containers.get(id)

    def pods(self) -> Collection[str]:
        """UIDs of which anything is here."""
        return tuple(self._pods)

    def used_images(self) -> set[str]:
        """IDs of the images that containers were made of, running or not."""
        return {each.image_id for each in self._containers.values()}

    async def load(self) -> None:
        for sandbox in await self._runtime.sandboxes():
            self.put_sandbox(sandbox)
        for container in await self._runtime.containers():
            self.put_container(container)

    async def reload(self) -> None:
        """Bring what is known in line with the runtime; what the runtime has lost is dropped."""
        known = (*self._sandboxes, *self._containers)
        sandboxes = {each.id: each for each in await self._runtime.sandboxes()}
        containers = {each.id: each for each in await self._runtime.containers()}
        for id in known:
            if id in sandboxes:
                self.put_sandbox(sandboxes[id])
            elif id in containers:
                self.put_container(containers[id])
            else:
                self.drop(id)

    async def follow(self, changed: Callable[[str], None]) -> None:
        """Call `changed` with the pod's uid whenever one of its containers started or exited."""
        changes = self._runtime.changes()
        # What happened while nobody listened.
        for id in list(self._containers):
            await self._look(id, changed)
        async for id in changes:
            await self._look(id, changed)

    async def _look(self, id: str, changed: Callable[[str], None]) -> None:
        before = self._containers.get(id)
        container = await self.refresh(id)
        if container is not None and container != before:
            changed(owner(container))

    async def refresh(self, id: str) -> Container | None:
        """Ask the runtime about one container. One that nobody has put here yet is not of interest."""
        container = await self._runtime.container(id)
        if container is None:
            self.drop(id)
        elif id in self._containers:
            self.put_container(container)
        return container

    def put_sandbox(self, sandbox: Sandbox) -> None:
        self._sandboxes[sandbox.id] = sandbox
        self._pods.setdefault(sandbox.config.uid, set()).add(sandbox.id)

    def stopped(self, id: str) -> None:
        """The sandbox was stopped."""
        if id in self._sandboxes:
            self.put_sandbox(replace(self._sandboxes[id], ready=False))

    def resized(self, id: str, resources: Resources) -> None:
        """The sandbox's pod has other limits now."""
        sandbox = self._sandboxes.get(id)
        if sandbox is not None:
            self.put_sandbox(replace(sandbox, config=replace(sandbox.config, resources=resources)))

    def put_container(self, container: Container) -> None:
        self._containers[container.id] = container
        self._pods.setdefault(owner(container), set()).add(container.id)

    def drop(self, id: str) -> None:
        """A sandbox or container is gone; with a sandbox its containers."""
        sandbox, container = self._sandboxes.pop(id, None), self._containers.pop(id, None)
        if sandbox is not None:
            for each in self.containers(sandbox.config.uid):
                if each.sandbox_id == id:
                    self.drop(each.id)
            self._unfile(sandbox.config.uid, id)
        if container is not None:
            self._unfile(owner(container), id)

    def _unfile(self, uid: str, id: str) -> None:
        held = self._pods.get(uid)
        if held is not None:
            held.discard(id)
            if not held:
                del self._pods[uid]


def owner(container: Container) -> str:
    """The uid of a container's pod."""
    return container.config.labels.get(POD_UID, "")
