"""Agents: one pod each, in the app's namespace, on this node, with the workspace of the run."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode

from sampan.api.errors import StatusError
from sampan.api.extra import diagnosis
from sampan.api.extra.pipelinerun_v1 import PipelineRun
from sampan.api.extra.pipelineruns import POD_LABEL, owner
from sampan.api.types import core_v1, meta_v1
from sampan.client.client import UNREACHABLE, Client
from sampan.delivery.running.contracts import Say, StepFailed
from sampan.delivery.running.lines import Lines
from sampan.runtime.clock import Clock
from sampan.streams.command_client import remote_command

WORKSPACE, STEPS = "/workspace", "/sampan"
"""Where an agent finds the commit's files, and the scripts of its steps."""
CONTAINER = "agent"
START = 300.0
"""Seconds that an agent has to start, the download of its image included."""
DEADLINE = 24 * 3600
"""Seconds after which the node ends an agent that everybody has forgotten."""
WAITS = "while :; do sleep 3600; done"


class Volumes(NamedTuple):
    """Directories of this node."""

    workspace: Path
    steps: Path


class Agents:
    """The pods of one run."""

    def __init__(self, client: Client, run: PipelineRun, node: str, volumes: Volumes, clock: Clock) -> None:
        self._client = client
        self._run = run
        self._node = node
        self._volumes = volumes
        self._clock = clock
        self._count = 0
        self._there: set[str] = set()
        self.namespace = run.metadata.namespace or ""

    async def start(self, image: str, say: Say) -> str:
        """The name of a new pod that is ready for commands. Raises StepFailed."""
        self._count += 1
        name = f"{self._run.metadata.name}-{self._count}"
        self._there.add(name)
        try:
            made = await self._client.create(self._pod(name, image))
            async with asyncio.timeout(START):
                await self._ready(made, image)
        except StatusError as error:
            raise StepFailed(_refused(error, self.namespace)) from error
        except TimeoutError as error:
            raise StepFailed(f"the agent of image {image} did not start within {START:g} s") from error
        except UNREACHABLE as error:
            raise StepFailed(f"the agent of image {image} did not start: {error}") from error
        await say(f"agent {name} of image {image}")
        return name

    async def remove(self, name: str) -> None:
        try:
            await self._client.delete(core_v1.Pod, name, self.namespace, grace=0)
        except StatusError as error:
            if error.code != 404:
                raise
        self._there.discard(name)

    async def remove_all(self) -> None:
        for name in tuple(self._there):
            await self.remove(name)

    async def run(self, name: str, command: Sequence[str], out: Say | None) -> int:
        """The exit code of a command; its lines, of both outputs, go to `out`. A cancelled command is killed."""
        query = urlencode([("container", CONTAINER), *(("command", word) for word in command)])
        path = f"/api/v1/namespaces/{self.namespace}/pods/{name}/exec?{query}"
        outputs = Lines(out), Lines(out)
        try:
            return await remote_command(self._client.transport, path, stdout=outputs[0].take, stderr=outputs[1].take)
        except StatusError as error:
            raise StepFailed(f"agent {name}: {await self._why(name, str(error))}") from error
        except OSError as error:
            raise StepFailed(f"agent {name}: {await self._why(name, f'the connection broke: {error}')}") from error
        finally:
            for each in outputs:
                await each.rest()

    async def _why(self, name: str, otherwise: str) -> str:
        """Why a command came to nothing: its pod may be gone."""
        try:
            pod = await self._client.get(core_v1.Pod, name, self.namespace)
        except StatusError as error:
            return "its pod was deleted" if error.code == 404 else otherwise
        except UNREACHABLE:
            return otherwise
        trouble = diagnosis.diagnose(pod, self._clock.now())
        return trouble.message if trouble is not None else otherwise

    async def _ready(self, pod: core_v1.Pod, image: str) -> None:
        while True:
            if self._judged(pod, image):
                return
            pod = await self._next(pod)

    async def _next(self, pod: core_v1.Pod) -> core_v1.Pod:
        """The pod after its next change."""
        fields = f"metadata.name={pod.metadata.name}"
        revision = pod.metadata.resourceVersion or ""
        watched = self._client.watch(core_v1.Pod, self.namespace, resourceVersion=revision, fields=fields, timeout=20)
        async with aclosing(watched) as events:
            async for event in events:
                if event.type == "DELETED":
                    raise StepFailed(f"agent {pod.metadata.name} was deleted")
                if event.type != "BOOKMARK":
                    return event.object
        return await self._client.get(core_v1.Pod, pod.metadata.name or "", self.namespace)

    def _judged(self, pod: core_v1.Pod, image: str) -> bool:
        status = next((each for each in pod.status.containerStatuses if each.name == CONTAINER), None)
        state = status.state if status is not None else None
        if state is not None and state.running is not None:
            return True
        said = [state.terminated.message, state.terminated.reason] if state and state.terminated else []
        said += [state.waiting.message] if state and state.waiting else []
        if any(text and ('"sh"' in text or "`sh`" in text) for text in said):
            raise StepFailed(f"image {image} has no sh, which steps are run with: take another agent, or add a shell")
        trouble = diagnosis.diagnose(pod, self._clock.now())
        if trouble is not None and trouble.lasting:
            raise StepFailed(f"agent {pod.metadata.name}: {trouble.message}; {trouble.next}")
        if pod.status.phase in ("Failed", "Succeeded"):
            why = pod.status.message or "; ".join(filter(None, said)) or "it ended at once"
            raise StepFailed(f"agent {pod.metadata.name}: {why}")
        return False

    def _pod(self, name: str, image: str) -> core_v1.Pod:
        container = core_v1.Container(
            name=CONTAINER,
            image=image,
            imagePullPolicy="IfNotPresent",
            command=("sh", "-c", WAITS),
            workingDir=WORKSPACE,
            volumeMounts=(
                core_v1.VolumeMount(name="workspace", mountPath=WORKSPACE),
                core_v1.VolumeMount(name="steps", mountPath=STEPS, readOnly=True),
            ),
            # Whatever user the image has: the files of the workspace are root's.
            securityContext=core_v1.SecurityContext(runAsUser=0, runAsGroup=0, allowPrivilegeEscalation=False),
        )
        return core_v1.Pod(
            metadata=meta_v1.ObjectMeta(
                name=name,
                namespace=self.namespace,
                labels={POD_LABEL: self._run.metadata.name or ""},
                ownerReferences=(owner(self._run),),
            ),
            spec=core_v1.PodSpec(
                containers=(container,),
                volumes=(
                    _directory("workspace", self._volumes.workspace),
                    _directory("steps", self._volumes.steps),
                ),
                nodeName=self._node,
                restartPolicy="Never",
                activeDeadlineSeconds=DEADLINE,
                automountServiceAccountToken=False,
                enableServiceLinks=False,
                terminationGracePeriodSeconds=0,
                tolerations=(core_v1.Toleration(operator="Exists"),),
            ),
        )


def _directory(name: str, path: Path) -> core_v1.Volume:
    return core_v1.Volume(name=name, hostPath=core_v1.HostPathVolumeSource(path=str(path), type="Directory"))


def _refused(error: StatusError, namespace: str) -> str:
    if error.code == 403 and "hostPath" in str(error):
        return (
            f"pod security of namespace {namespace} forbids agents, which share their workspace by hostPath:"
            f" run the pipeline in a namespace that enforces privileged, or without sh steps ({error})"
        )
    return f"the agent was refused: {error}"
