"""All volumes of all pods of this node: set up, kept current, taken down.

    agent -- mount(pod) --> types prepare (API) --> actions (one thread) --> HostVolume by name
    API   -- ConfigMap changed, token ages ------> dirty pods --> sync(pod)

What a volume leaves on the machine lies below three directories of the pod, so that `unmount` needs no memory of
what an earlier process did.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from concurrent.futures import Executor
from pathlib import Path

from sampan import removal
from sampan.api.types import core_v1
from sampan.client.client import FAILURES, Client
from sampan.host import mounts
from sampan.host.containers import Mount
from sampan.node.configs import PodConfigs
from sampan.node.contracts import AnyContainer, Configs, HostVolume, NodeFacts, NotYet, Places
from sampan.node.volumes import claims, empty_dir, host_path, image, projected, subpaths
from sampan.node.volumes.tokens import Tokens
from sampan.node.volumes.types import ImageVolumes, Setup, VolumeFailure, Work
from sampan.runtime import tasks
from sampan.runtime.backoff import Exponential, Failures
from sampan.runtime.clock import Clock, RealClock, Timer

log = logging.getLogger(__name__)

Prepare = Callable[[Setup, core_v1.Pod, core_v1.Volume], Awaitable[Work]]

REFRESHED: Mapping[str, Prepare] = {
    "configMap": projected.prepare,
    "secret": projected.prepare,
    "downwardAPI": projected.prepare,
    "projected": projected.prepare,
}
"""Types whose files follow the API."""

TYPES: Mapping[str, Prepare] = {
    **REFRESHED,
    "emptyDir": empty_dir.prepare,
    "hostPath": host_path.prepare,
    "persistentVolumeClaim": claims.prepare_claim,
    "ephemeral": claims.prepare_ephemeral,
    "image": image.prepare,
}
"""Every type that this node mounts, by its field of the volume."""

RETRY = Exponential(first=0.5, longest=120.0, jitter=0.1)

PodEnvironment = Callable[[core_v1.Pod, AnyContainer], Awaitable[Mapping[str, str]]]


class PodVolumes:
    """contracts.PodVolumes. `run` never returns; it refreshes pods whose sources change or whose tokens age.

    `environment` gives a container's variables for subPathExpr. Without `in_memory` secrets lie on disk (for those
    who may not mount).
    """

    def __init__(
        self,
        client: Client,
        places: Places,
        node: NodeFacts,
        configs: PodConfigs,
        images: ImageVolumes,
        environment: PodEnvironment,
        *,
        in_memory: bool = True,
        executor: Executor | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._client = client
        self._places = places
        self._node = node
        self._configs = configs
        self._images = images
        self._environment = environment
        self._in_memory = in_memory
        self._executor = executor
        self._clock = clock or RealClock()
        self._tokens = Tokens(client, self._clock)
        self._pods: dict[str, core_v1.Pod] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._timers: dict[str, Timer] = {}
        self._dirty: dict[str, None] = {}
        self._woken = asyncio.Event()
        self._failures = Failures(RETRY)
        self._mounts_lock = threading.Lock()
        configs.subscribe(self.mark)

    # --- contracts.PodVolumes ---

    async def mount(self, pod: core_v1.Pod) -> Mapping[str, HostVolume]:
        async with self._lock(pod.metadata.uid or ""):
            works = await self._prepare(pod, TYPES, self._configs)
            await self._act(pod, works)
            self._adopt(pod, works.values())
        return {name: work.volume for name, work in works.items()}

    async def sync(self, pod: core_v1.Pod) -> None:
        async with self._lock(pod.metadata.uid or ""):
            await self._refresh(pod)

    async def unmount(self, pod_uid: str) -> None:
        async with self._lock(pod_uid):
            self._forget(pod_uid)
            await self._call(lambda: self._take_down(pod_uid))
        self._locks.pop(pod_uid, None)

    async def mounts(
        self, pod: core_v1.Pod, container: AnyContainer, volumes: Mapping[str, HostVolume]
    ) -> tuple[Mount, ...]:
        environment: Mapping[str, str] = {}
        if subpaths.needs_environment(container):
            environment = await self._environment(pod, container)
        directory = self._sub_paths(pod.metadata.uid or "")
        if not any(mount.subPath or mount.subPathExpr for mount in container.volumeMounts):
            return subpaths.container_mounts(container, volumes, environment, directory)
        return await self._call(lambda: subpaths.container_mounts(container, volumes, environment, directory))

    # --- what keeps running pods current ---

    def mark(self, pod_uids: Collection[str]) -> None:
        """These pods are to be refreshed soon; each waits at most once."""
        for uid in pod_uids:
            if uid in self._pods:
                self._dirty[uid] = None
        if self._dirty:
            self._woken.set()

    async def run(self) -> None:
        while True:
            await self._woken.wait()
            self._woken.clear()
            while self._dirty:
                uid = next(iter(self._dirty))
                del self._dirty[uid]
                await self._refresh_again(uid)

    async def _refresh_again(self, uid: str) -> None:
        """A failure is tried again, later each time: the files stay as they are meanwhile."""
        async with self._lock(uid):
            pod = self._pods.get(uid)
            if pod is None:
                return
            try:
                await self._refresh(pod)
            except NotYet as error:
                delay = self._failures.failed(uid)
                log.info("pod %s/%s: %s", pod.metadata.namespace, pod.metadata.name, error)
                self._later(uid, delay)
            else:
                self._failures.forget(uid)

    async def _refresh(self, pod: core_v1.Pod) -> None:
        works = await self._prepare(pod, REFRESHED, self._configs.watched)
        await self._act(pod, works)
        self._adopt(pod, works.values())

    def _adopt(self, pod: core_v1.Pod, works: Iterable[Work]) -> None:
        uid = pod.metadata.uid or ""
        self._pods[uid] = pod
        self._configs.hold(uid, projected.references(pod))
        renew = min((work.renew for work in works if work.renew), default=0.0)
        if renew:
            self._later(uid, max(1.0, renew - self._clock.now()))

    def _later(self, uid: str, seconds: float) -> None:
        if timer := self._timers.pop(uid, None):
            timer.cancel()
        self._timers[uid] = self._clock.call_later(seconds, lambda: self.mark((uid,)))

    def _forget(self, uid: str) -> None:
        self._pods.pop(uid, None)
        self._dirty.pop(uid, None)
        self._failures.forget(uid)
        self._configs.release(uid)
        self._tokens.forget(uid)
        if timer := self._timers.pop(uid, None):
            timer.cancel()

    # --- setting up ---

    async def _prepare(self, pod: core_v1.Pod, types: Mapping[str, Prepare], configs: Configs) -> dict[str, Work]:
        """Raises NotYet with the first volume that cannot be had."""
        uid = pod.metadata.uid or ""
        disk, memory = self._places.volumes(uid), self._memory(uid)
        setup = Setup(self._client, configs, self._tokens, self._node, self._images, disk, memory)
        chosen = [(volume, prepare) for volume in pod.spec.volumes if (prepare := self._type(volume, types))]
        outcomes = await tasks.all_of(f"volumes {pod.metadata.name}", [self._one(setup, pod, *each) for each in chosen])
        works = {}
        for (volume, _), outcome in zip(chosen, outcomes, strict=True):
            if isinstance(outcome, Exception):
                raise outcome
            works[volume.name] = outcome
        return works

    def _type(self, volume: core_v1.Volume, types: Mapping[str, Prepare]) -> Prepare | None:
        """None for a type that is not asked for. Raises NotYet for one that this node does not know."""
        for field in TYPES:
            if getattr(volume, field) is not None:
                return types.get(field)
        known = ", ".join(TYPES)
        raise _failed_mount(volume.name, f"this node does not mount volumes of this type; it mounts {known}")

    async def _one(self, setup: Setup, pod: core_v1.Pod, volume: core_v1.Volume, prepare: Prepare) -> Work:
        try:
            return await prepare(setup, pod, volume)
        except VolumeFailure as error:
            raise _failed_mount(volume.name, str(error)) from error
        except FAILURES as error:
            raise _failed_mount(volume.name, str(error)) from error

    async def _act(self, pod: core_v1.Pod, works: Mapping[str, Work]) -> None:
        """All actions in one thread, one after the other: each takes well under a millisecond."""
        actions = [(name, work.action) for name, work in works.items() if work.action is not None]
        if actions:
            await self._call(lambda: self._perform(pod.metadata.uid or "", actions))

    def _perform(self, uid: str, actions: Iterable[tuple[str, Callable[[], None]]]) -> None:
        first = True
        for name, action in actions:
            try:
                if first:
                    self._ensure_directories(uid)
                    first = False
                action()
            except (VolumeFailure, OSError, ValueError) as error:
                raise _failed_mount(name, str(error)) from error

    def _ensure_directories(self, uid: str) -> None:
        if self._in_memory:
            self._ensure_mounts()
        self._places.volumes(uid).mkdir(parents=True, exist_ok=True, mode=0o750)
        self._memory(uid).mkdir(parents=True, exist_ok=True, mode=0o750)

    # --- places ---

    @property
    def _memory_root(self) -> Path:
        return self._places.root / "memory"

    def _memory(self, uid: str) -> Path:
        """Where the pod's secrets are: in one file system in memory for all pods, which costs no mount a pod."""
        return self._memory_root / uid if self._in_memory else self._places.volumes(uid)

    def _ensure_mounts(self) -> None:
        """The place of all volumes, shared, so that unmounted is unmounted everywhere; and the one in memory."""
        path, pods = str(self._memory_root), str(self._places.pods)
        with self._mounts_lock:
            os.makedirs(path, exist_ok=True)
            if os.path.ismount(path):
                return
            os.makedirs(pods, mode=0o755, exist_ok=True)
            mounts.share(pods)
            flags = mounts.MS_NOSUID | mounts.MS_NODEV
            try:
                mounts.mount("tmpfs", path, "tmpfs", flags, "mode=0750,noswap")
            except OSError:
                # Before Linux 6.4 there is no noswap.
                mounts.mount("tmpfs", path, "tmpfs", flags, "mode=0750")

    def _sub_paths(self, uid: str) -> Path:
        return self._places.pod(uid) / "volume-subpaths"

    def _take_down(self, uid: str) -> None:
        """Nothing is removed before every mount is gone: behind one may lie files of the machine."""
        below = (self._places.volumes(uid), self._sub_paths(uid))
        for directory in below:
            if directory.exists():
                mounts.unmount_below(str(directory))
                if held := mounts.below(str(directory)):
                    raise OSError(16, f"volumes of pod {uid} are still mounted: {', '.join(held)}")
        for directory in (*below, self._memory_root / uid):
            removal.remove(directory)

    def left_behind(self) -> set[str]:
        """UIDs of pods that have volumes on this machine, from this process or an earlier one."""
        found = set()
        for root in (self._places.pods, self._memory_root):
            if root.is_dir():
                found.update(os.listdir(root))
        return found

    # --- helpers ---

    def _lock(self, uid: str) -> asyncio.Lock:
        return self._locks.setdefault(uid, asyncio.Lock())

    async def _call(self, function: Callable[[], tasks.T]) -> tasks.T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, function)


def unmount_all(places: Places) -> None:
    """Unmount every volume of every pod, and the file system in memory; for a node whose containers are gone."""
    mounts.unmount_below(str(places.root))


def _failed_mount(volume: str, why: str) -> NotYet:
    return NotYet("FailedMount", f'MountVolume.SetUp failed for volume "{volume}" : {why}')
