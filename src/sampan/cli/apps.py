"""What the commands about apps share: an App, what there is of it, and how it goes through its six steps."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Any

from sampan.api import codec, kinds
from sampan.api.errors import StatusError
from sampan.api.extra import diagnosis, steps
from sampan.api.extra.diagnosis import Evidence
from sampan.api.extra.expansion import APP, child
from sampan.api.extra.sampan_v1 import App, AppSpec
from sampan.api.kinds.sampan import APP as KIND
from sampan.api.types import apps_v1, batch_v1, core_v1, discovery_v1, meta_v1, networking_v1
from sampan.cli.context import CommandError, Context
from sampan.cli.kubectl.session import Session
from sampan.client.client import FAILURES, Client

SERVICE_NAME = "kubernetes.io/service-name"
WORKLOADS: dict[str, type[Any]] = {
    "stateless": apps_v1.Deployment,
    "stateful": apps_v1.StatefulSet,
    "daemon": apps_v1.DaemonSet,
    "batch": batch_v1.Job,
    "cron": batch_v1.CronJob,
}
MEASURED = 15.0
"""Seconds until a volume that just got more room, or lost files, is certainly measured again."""
ENOUGH = 6.0
"""Seconds that publishing and monitoring may come after the pods; a cluster without them is told apart by then."""


def client_of(session: Session) -> Client:
    return Client(session.transport, kinds.ALL, user_agent="sampan")


async def find(client: Client, name: str, namespace: str) -> App | None:
    """The App of a name; None when there is none, or the server knows no apps."""
    try:
        return await client.get(App, name, namespace)
    except StatusError as error:
        if error.code in (404, 405):
            return None
        raise


async def read(client: Client, name: str, namespace: str) -> App:
    """Raises CommandError with the apps that there are."""
    found = await find(client, name, namespace)
    if found is not None:
        return found
    try:
        names = [app.metadata.name or "" for app in (await client.list(App, namespace)).items]
    except StatusError as error:
        if error.code not in (404, 405):
            raise
        raise CommandError("error: this cluster knows no apps (sampan.dev/v1); it is not a Sampan cluster") from error
    there = f"there are {', '.join(names)}" if names else "`sampan deploy` makes one"
    raise CommandError(f'error: there is no app "{name}" in namespace {namespace}; {there}')


async def replace(client: Client, app: App, document: dict[str, Any]) -> App:
    """Write `document` in the place of an App that was read. Its status may have moved on meanwhile, its spec not.

    Raises CommandError when somebody else changed the spec.
    """
    path = KIND.path(app.metadata.namespace or "", app.metadata.name or "")
    while True:
        try:
            response = await client.raw("PUT", path, None, codec.encode(document))
        except StatusError as error:
            if error.code != 409:
                raise
            now = await client.get(App, app.metadata.name or "", app.metadata.namespace or "")
            if now.spec != app.spec or now.metadata.uid != app.metadata.uid:
                raise CommandError(f"error: somebody else changed {app.metadata.name} just now; try again") from error
            document["metadata"]["resourceVersion"] = now.metadata.resourceVersion
        else:
            written: App = codec.decode(KIND, codec.parse(await response.read(), codec.JSON))
            return written


async def knows_apps(client: Client) -> bool:
    try:
        await client.raw("GET", "/apis/sampan.dev/v1")
    except StatusError as error:
        if error.code in (403, 404, 405):
            return False
        raise
    return True


async def needed(client: Client, app: App) -> dict[str, App]:
    found = {}
    for need in app.spec.needs:
        there = await find(client, need.app, app.metadata.namespace or "default")
        if there is not None:
            found[need.app] = there
    return found


async def needed_services(client: Client, app: App) -> dict[str, App]:
    """What an app needs where nobody knows apps: a Service of the needed app's name tells its port."""
    found = {}
    for need in app.spec.needs:
        try:
            service = await client.get(core_v1.Service, need.app, app.metadata.namespace or "default")
        except StatusError as error:
            if error.code != 404:
                raise
            continue
        ports = service.spec.ports
        found[need.app] = App(metadata=service.metadata, spec=AppSpec(port=ports[0].port if ports else None))
    return found


async def observe(client: Client, app: App) -> steps.Seen:
    """What a cluster has of an app, read by its label: for clusters whose controllers know no apps."""
    namespace, labels = app.metadata.namespace or "default", f"{APP}={app.metadata.name}"

    async def listed(type: type[Any]) -> tuple[Any, ...]:
        return tuple((await client.list(type, namespace, labels=labels)).items)

    name = app.metadata.name or ""
    workloads = [each for each in await listed(WORKLOADS[app.spec.type]) if each.metadata.name == child(app)]
    services = [each for each in await listed(core_v1.Service) if each.metadata.name == name]
    ingresses = await listed(networking_v1.Ingress) if app.spec.host else ()
    slices = await listed(discovery_v1.EndpointSlice)
    return steps.Seen(
        workload=workloads[0] if workloads else None,
        pods=await listed(core_v1.Pod),
        replicasets=await listed(apps_v1.ReplicaSet),
        revisions=await listed(apps_v1.ControllerRevision),
        claims=await listed(core_v1.PersistentVolumeClaim),
        service=services[0] if services else None,
        slices=tuple(each for each in slices if each.metadata.labels.get(SERVICE_NAME) == name),
        ingress=ingresses[0] if ingresses else None,
    )


async def evidence(client: Client, pod: core_v1.Pod, container: str = "app", *, lines: int = 0) -> Evidence:
    """The last answer to the pod's probe and the last lines of its log; what cannot be had stays empty."""
    probe, found = "", [each for each in await events(client, pod) if each.reason == "Unhealthy"]
    if found:
        probe = (found[-1].message or "").removeprefix("Readiness probe failed: ").strip()
    return Evidence(probe, await last_lines(client, pod, container, lines or diagnosis.LINES))


async def last_lines(client: Client, pod: core_v1.Pod, container: str, count: int) -> tuple[str, ...]:
    """Of the run that ended, when the container runs again; otherwise of the one that is there."""
    status = next((each for each in pod.status.containerStatuses if each.name == container), None)
    again = bool(status and status.restartCount)
    path = f"/api/v1/namespaces/{pod.metadata.namespace}/pods/{pod.metadata.name}/log"
    for previous in (True, False) if again else (False,):
        try:
            response = await client.raw("GET", path, {"container": container, "tailLines": count, "previous": previous})
            text = (await response.read()).decode(errors="replace")
        except FAILURES:
            continue
        if text.strip():
            return diagnosis.last_lines(text, count)
    return ()


async def events(client: Client, object: Any) -> list[core_v1.Event]:
    """The events about an object, oldest first; none where they may not be read."""
    metadata: meta_v1.ObjectMeta = object.metadata
    try:
        page = await client.list(core_v1.Event, metadata.namespace or "", fields=f"involvedObject.uid={metadata.uid}")
    except FAILURES:
        return []
    return sorted(page.items, key=lambda each: each.lastTimestamp or each.eventTime or "")


# --- following


class Follower:
    """Prints each step once, as soon as it is met, with the time that it took; `done` says how it ended."""

    def __init__(self, context: Context, titles: Sequence[str] = steps.STEPS) -> None:
        self._context = context
        self._titles = titles
        self._met: set[str] = set()
        self._said = ""
        self._started = time.monotonic()
        self._serving: float | None = None

    def show(self, conditions: Sequence[meta_v1.Condition]) -> int | None:
        """The exit code when there is nothing to wait for any more; None while there is."""
        found = {each.type: each for each in conditions}
        for number, step in enumerate(self._titles, 1):
            condition = found.get(step)
            if condition is None or condition.status != "True":
                continue
            if step not in self._met:
                self._met.add(step)
                self._line(number, step, "-" if condition.reason in steps.UNNEEDED else "ok", condition.message)
        return self._decide(found)

    def _decide(self, found: dict[str, meta_v1.Condition]) -> int | None:
        waits = [found[step] for step in self._titles if step in found and step not in self._met]
        if not waits and len(found) >= len(self._titles):
            return 0
        failed = next((each for each in waits if each.reason in steps.FAILED), None)
        if failed is not None:
            self._line(self._titles.index(failed.type) + 1, failed.type, "failed", failed.message)
            return 1
        if waits and all(each.reason in steps.ABSENT or each.reason == steps.FULL for each in waits):
            return self._without(waits)
        self._wait(waits)
        return None

    def _without(self, waits: Sequence[meta_v1.Condition]) -> int | None:
        """What is missing lies in the cluster, or a volume is full: neither changes by waiting longer than this."""
        full = any(each.reason == steps.FULL for each in waits)
        now = time.monotonic()
        self._serving = self._serving or now
        if now - self._serving < (MEASURED if full else ENOUGH):
            return None
        for each in waits:
            mark = "failed" if each.reason == steps.FULL else "no"
            self._line(self._titles.index(each.type) + 1, each.type, mark, each.message)
        return 1 if full else 0

    def _wait(self, waits: Sequence[meta_v1.Condition]) -> None:
        first = next((each for each in waits if each.message and each.type != "Monitored"), None)
        text = f"    {steps.TITLES[first.type]}: {first.message}" if first is not None else ""
        if text and text != self._said and time.monotonic() - self._started > 1:
            self._said = text
            self._context.err(text)

    def _line(self, number: int, step: str, mark: str, message: str) -> None:
        seconds = time.monotonic() - self._started
        self._context.out(f"{number} {steps.TITLES[step]:<8} {mark:<6} {seconds:6.1f} s  {message}")
        self._context.stdout.flush()


async def follow(
    client: Client,
    app: App,
    context: Context,
    *,
    timeout: float,
    proof: Callable[[App], Awaitable[str]] | None = None,
) -> int:
    """Until an app of a Sampan cluster has gone through its steps. Raises CommandError when the time is up.

    `proof` tells at last what stands against what the steps say, "" for nothing.
    """
    follower, name, namespace = Follower(context), app.metadata.name or "", app.metadata.namespace or ""
    last: App = app

    def told(current: App) -> int | None:
        if (current.status.observedGeneration or 0) < (app.metadata.generation or 0):
            return None
        return follower.show(current.status.conditions)

    try:
        async with asyncio.timeout(timeout or None):
            while True:
                last = await client.get(App, name, namespace)
                code = told(last)
                if code is not None:
                    doubt = await proof(last) if proof is not None and code == 0 else ""
                    if doubt:
                        context.err(f"{doubt}; `sampan logs {name}` may tell why")
                    return _end(context, last.status.url or "", name, code, (last.status.release or 0) > 1)
                revision = last.metadata.resourceVersion or ""
                last = await _next(client, last, revision)
    except TimeoutError:
        raise CommandError(f"after {timeout:g} s it is not done; `sampan why {name}` tells why") from None


async def _next(client: Client, app: App, revision: str) -> App:
    """The App after its next change, or as it is after a second without one."""
    name, namespace = app.metadata.name or "", app.metadata.namespace or ""
    try:
        async with asyncio.timeout(1.0):
            watched = client.watch(App, namespace, resourceVersion=revision, fields=f"metadata.name={name}")
            async with aclosing(watched) as stream:
                async for event in stream:
                    if event.type == "DELETED":
                        raise CommandError(f"error: app {name} was deleted")
                    if event.type != "BOOKMARK":
                        return event.object
    except TimeoutError:
        return app
    return app


async def follow_foreign(client: Client, app: App, context: Context, *, timeout: float) -> int:
    """The same where no controller knows apps: what carries the app's label is looked at once a second."""
    follower, name = Follower(context, steps.STEPS[:-1]), app.metadata.name or ""
    try:
        async with asyncio.timeout(timeout or None):
            while True:
                seen = await observe(client, app)
                code = follower.show(steps.judge(app, seen, time.time())[:-1])
                if code is not None:
                    return _end(context, steps.url(app, seen), name, code, False)
                await asyncio.sleep(1.0)
    except TimeoutError:
        raise CommandError(f"after {timeout:g} s it is not done; `sampan why {name}` tells why") from None


def _end(context: Context, url: str, name: str, code: int, earlier: bool) -> int:
    if code == 0:
        context.out(f"\n{name} is deployed" + (f": {url}" if url else ""))
    else:
        context.err(f"\nthe whole story: sampan why {name}")
        if earlier:
            context.err(f"back to what worked: sampan rollback {name}")
    return code
