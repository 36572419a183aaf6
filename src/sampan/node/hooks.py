"""postStart and preStop: a command in the container, an HTTP request to it, or a pause."""

from __future__ import annotations

from sampan.api.types import core_v1
from sampan.host.containers import ContainerRuntime, RuntimeFailure
from sampan.node.contracts import HookFailure
from sampan.node.probes import http
from sampan.node.probes.outcome import Unprobeable
from sampan.runtime.clock import Clock, RealClock

LONGEST = 24 * 3600.0
"""Seconds that a command may take; whoever has less time cancels."""


class LifecycleHooks:
    """contracts.Hooks."""

    def __init__(self, runtime: ContainerRuntime, clock: Clock | None = None) -> None:
        self._runtime = runtime
        self._clock = clock or RealClock()

    async def run(
        self,
        pod: core_v1.Pod,
        container: core_v1.Container,
        container_id: str,
        handler: core_v1.LifecycleHandler,
    ) -> None:
        if handler.exec is not None:
            await self._exec(pod, container, container_id, handler.exec)
        elif handler.httpGet is not None:
            await _get(pod, container, handler.httpGet)
        elif handler.sleep is not None:
            await self._clock.sleep(handler.sleep.seconds)
        else:
            raise HookFailure(f"invalid handler of {_where(pod, container)}: it must have exec, httpGet or sleep")

    async def _exec(
        self, pod: core_v1.Pod, container: core_v1.Container, container_id: str, action: core_v1.ExecAction
    ) -> None:
        what = f"Exec lifecycle hook ([{' '.join(action.command)}]) for {_where(pod, container)}"
        try:
            result = await self._runtime.run(container_id, action.command, LONGEST)
        except (RuntimeFailure, TimeoutError) as error:
            raise HookFailure(f"{what} failed - error: {error}") from error
        if result.code != 0:
            output = (result.stdout + result.stderr)[:1024].decode("utf-8", "replace")
            command = " ".join(action.command)
            raise HookFailure(f"{what} failed - error: command '{command}' exited with {result.code}: {output}")


async def _get(pod: core_v1.Pod, container: core_v1.Container, action: core_v1.HTTPGetAction) -> None:
    """Any answer is a success. A server that answers HTTPS in plain text is asked again in plain text."""
    try:
        address = http.action_address(action, container, pod.status.podIP or "")
    except Unprobeable as error:
        raise HookFailure(f"HTTP lifecycle hook for {_where(pod, container)} failed - error: {error}") from error
    headers = http.action_headers(action)
    try:
        try:
            await http.fetch(address, headers)
        except http.FetchFailure as error:
            if address.scheme != "https" or "WRONG_VERSION_NUMBER" not in str(error):
                raise
            await http.fetch(address._replace(scheme="http"), headers)
    except http.FetchFailure as error:
        path = action.path or ""
        raise HookFailure(
            f"HTTP lifecycle hook ({path}) for {_where(pod, container)} failed - error: {error}"
        ) from error


def _where(pod: core_v1.Pod, container: core_v1.Container) -> str:
    meta = pod.metadata
    return f'Container "{container.name}" in Pod "{meta.name}_{meta.namespace}({meta.uid})"'
