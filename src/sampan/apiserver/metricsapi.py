"""metrics.k8s.io: what pods and nodes use, as metrics-server answers it, read from the nodes when somebody asks.

    request -> Metrics -> Figures of every node -> GET /metrics/resource, twice at first, then once per FRESH seconds

Nothing runs between requests. A rate needs two readings: whoever asks first waits PAUSE seconds for the second.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

from sampan.api import exposition
from sampan.api.errors import not_found_error, service_unavailable
from sampan.api.extra.metrics_v1beta1 import NodeMetrics, PodMetrics
from sampan.api.kinds import metrics as kinds
from sampan.api.kinds.kind import Document, Kind
from sampan.api.types import core_v1
from sampan.apiserver import negotiation
from sampan.apiserver.contracts import Attributes, NodeConnector, View
from sampan.apiserver.routes import Route
from sampan.apiserver.subresources.connect import place_of
from sampan.apiserver.table import Tables, partial, partial_list
from sampan.apiserver.verbs import selection
from sampan.http.errors import BodyTooLarge
from sampan.http.types import Request, Response

log = logging.getLogger(__name__)

FRESH = 5.0
"""Seconds for which a reading answers whoever asks."""
SHORTEST, LONGEST = 1.0, 60.0
"""Seconds between the two readings of a rate."""
PAUSE = 1.05
PATIENCE = 10.0
"""Seconds that a node has to answer."""
LIMIT = 16 << 20
"""Bytes of an answer that are read at most."""
NODES = 256
"""Nodes whose readings are remembered."""

NODE = ("", "", "")
Who = tuple[str, str, str]
"""Namespace, pod and container; NODE is the machine itself."""

Serve = Callable[[Request, Route, Attributes], Awaitable[Response]]


class Point(NamedTuple):
    """Seconds of processor time used so far, bytes in the working set, when both were read (Unix seconds)."""

    cpu: float
    memory: float
    at: float


class Usage(NamedTuple):
    """Processors and bytes in use over `window` seconds that ended at `at`."""

    cpu: float
    memory: float
    at: float
    window: float


class Reading(NamedTuple):
    """All that a node told at one time; `started` are the starts of containers. `taken` is monotonic."""

    points: Mapping[Who, Point]
    started: Mapping[Who, float]
    taken: float


def read(text: str, taken: float) -> Reading:
    """What a node's /metrics/resource says. Raises ValueError."""
    cpu: dict[Who, tuple[float, float]] = {}
    memory: dict[Who, float] = {}
    started: dict[Who, float] = {}
    for sample in exposition.parse(text):
        labels = sample.labels
        who = (labels.get("namespace", ""), labels.get("pod", ""), labels.get("container", ""))
        if sample.name in ("node_cpu_usage_seconds_total", "container_cpu_usage_seconds_total"):
            cpu[who] = sample.value, sample.at or 0.0
        elif sample.name in ("node_memory_working_set_bytes", "container_memory_working_set_bytes"):
            memory[who] = sample.value
        elif sample.name == "container_start_time_seconds":
            started[who] = sample.value
    points = {who: Point(used, memory[who], at) for who, (used, at) in cpu.items() if who in memory}
    return Reading(points, started, taken)


def usage(old: Reading | None, new: Reading) -> dict[Who, Usage]:
    """What is used between two readings; what began after the first is measured from its start.

    A container whose counter fell was started anew in between.
    """
    found: dict[Who, Usage] = {}
    for who, point in new.points.items():
        before = old.points.get(who) if old is not None else None
        started = new.started.get(who, 0.0)
        if before is not None and started <= before.at and point.cpu >= before.cpu:
            used, since = point.cpu - before.cpu, before.at
        elif started:
            used, since = point.cpu, started
        else:
            continue
        window = point.at - since
        if window >= SHORTEST / 2:
            found[who] = Usage(used / window, point.memory, point.at, window)
    return found


class Figures:
    """One node's last two readings. Those who ask at once share one question."""

    def __init__(self, fetch: Callable[[], Awaitable[str]], clock: Callable[[], float], sleep: Sleep) -> None:
        self._fetch = fetch
        self._clock = clock
        self._sleep = sleep
        self._old: Reading | None = None
        self._new: Reading | None = None
        self._turn = asyncio.Lock()

    async def usage(self) -> dict[Who, Usage]:
        """Raises OSError when the node cannot be asked, ValueError when its answer is none."""
        async with self._turn:
            age = self._clock() - self._new.taken if self._new is not None else LONGEST
            if self._old is None or age >= FRESH:
                if age < SHORTEST:
                    await self._sleep(PAUSE - age)
                    age = PAUSE
                elif age >= LONGEST:
                    self._old, self._new = None, await self._read()
                    await self._sleep(PAUSE)
                self._old, self._new = self._new, await self._read()
            assert self._new is not None
            return usage(self._old, self._new)

    async def _read(self) -> Reading:
        return read(await self._fetch(), self._clock())


Sleep = Callable[[float], Awaitable[None]]


class Metrics:
    """Answers get and list of PodMetrics and NodeMetrics."""

    def __init__(
        self,
        view: View,
        connector: NodeConnector | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._view = view
        self._connector = connector
        self._clock = clock
        self._sleep = sleep
        self._figures: dict[tuple[str, str], Figures] = {}
        self._negotiator = negotiation.Negotiator()
        self._tables = {kind: Tables(kind, msgspec.json.Decoder(kind.type)) for kind in kinds.KINDS}

    def handlers(self) -> dict[tuple[str, str, str], Serve]:
        """For the chain's table of special resources."""
        return {
            (kinds.POD_METRICS.resource, "", "list"): self.pods,
            (kinds.POD_METRICS.resource, "", "get"): self.pod,
            (kinds.NODE_METRICS.resource, "", "list"): self.nodes,
            (kinds.NODE_METRICS.resource, "", "get"): self.node,
        }

    # --- verbs ---

    async def pods(self, request: Request, route: Route, attributes: Attributes) -> Response:
        chosen = selection.of_request(request, route)
        found = []
        for pod in self._view.list(core_v1.Pod, route.namespace):
            if chosen.labels.matches(pod.metadata.labels) and chosen.fields.matches(_fields(pod.metadata)):
                found.append(pod)
        usages = await self._all({pod.spec.nodeName for pod in found if pod.spec.nodeName})
        made = [pod_metrics(pod, usages.get(pod.spec.nodeName or "", {})) for pod in found]
        return self._list(request, kinds.POD_METRICS, [each for each in made if each is not None])

    async def pod(self, request: Request, route: Route, attributes: Attributes) -> Response:
        pod = self._view.get(core_v1.Pod, route.name, route.namespace)
        name = pod.spec.nodeName if pod is not None else ""
        made = pod_metrics(pod, (await self._all({name})).get(name, {})) if pod is not None and name else None
        if made is None:
            raise not_found_error("podmetrics", kinds.GROUP, f"{route.namespace}/{route.name}")
        return self._one(request, kinds.POD_METRICS, made)

    async def nodes(self, request: Request, route: Route, attributes: Attributes) -> Response:
        chosen = selection.of_request(request, route)
        found = []
        for node in self._view.list(core_v1.Node):
            if chosen.labels.matches(node.metadata.labels) and chosen.fields.matches(_fields(node.metadata)):
                found.append(node)
        usages = await self._all({node.metadata.name or "" for node in found})
        made = [node_metrics(node, usages.get(node.metadata.name or "", {})) for node in found]
        return self._list(request, kinds.NODE_METRICS, [each for each in made if each is not None])

    async def node(self, request: Request, route: Route, attributes: Attributes) -> Response:
        node = self._view.get(core_v1.Node, route.name)
        made = node_metrics(node, (await self._all({route.name})).get(route.name, {})) if node is not None else None
        if made is None:
            raise not_found_error("nodemetrics", kinds.GROUP, route.name)
        return self._one(request, kinds.NODE_METRICS, made)

    # --- nodes ---

    async def _all(self, names: Iterable[str]) -> dict[str, dict[Who, Usage]]:
        """By node. A node that does not answer is missing, as upstream leaves it out, unless none answers."""
        wanted = sorted(names)
        answers = await asyncio.gather(*(self._usage(name) for name in wanted), return_exceptions=True)
        found: dict[str, dict[Who, Usage]] = {}
        trouble: list[str] = []
        for name, answer in zip(wanted, answers, strict=True):
            if isinstance(answer, OSError | ValueError):
                trouble.append(f"node {name}: {answer}" if str(answer) else f"node {name} does not answer")
            elif isinstance(answer, BaseException):
                raise answer
            else:
                found[name] = answer
        for text in trouble:
            log.warning("no figures of %s", text)
        if trouble and not found:
            raise service_unavailable("; ".join(trouble))
        return found

    async def _usage(self, name: str) -> dict[Who, Usage]:
        node = self._view.get(core_v1.Node, name)
        if node is None:
            return {}
        key = (name, node.metadata.uid or "")
        figures = self._figures.get(key)
        if figures is None:
            figures = self._figures[key] = Figures(lambda: self._fetch(name), self._clock, self._sleep)
            if len(self._figures) > NODES:
                del self._figures[next(iter(self._figures))]
        return await figures.usage()

    async def _fetch(self, name: str) -> str:
        """A node's /metrics/resource. Raises OSError."""
        node = self._view.get(core_v1.Node, name)
        if node is None or self._connector is None:
            raise ConnectionError("this API server has no way to it")
        place = place_of(node)
        async with asyncio.timeout(PATIENCE):
            asked = Request("GET", "/metrics/resource")
            response = await self._connector.send(place.address, place.port, asked, node=True)
            try:
                body = await response.read(LIMIT)
            except BodyTooLarge as error:
                raise ConnectionError(f"its answer to /metrics/resource has more than {LIMIT} bytes") from error
        if response.status != 200:
            raise ConnectionError(f"it answers {response.status} to /metrics/resource")
        return body.decode(errors="replace")

    # --- answers ---

    def _one(self, request: Request, kind: Kind, object: Document) -> Response:
        form = self._negotiator.form(request)
        value = msgspec.json.encode(object)
        if form.shape == "Table":
            value = self._tables[kind].make((value,), b"{}", request.param("includeObject", "Metadata"))
        elif form.shape == "PartialObjectMetadata":
            value = partial(value)
        return negotiation.answer(request, value, form)

    def _list(self, request: Request, kind: Kind, objects: list[Document]) -> Response:
        form = self._negotiator.form(request)
        objects.sort(key=lambda each: (each["metadata"].get("namespace", ""), each["metadata"]["name"]))
        values = [msgspec.json.encode(each) for each in objects]
        if form.shape == "Table":
            body = self._tables[kind].make(values, b"{}", request.param("includeObject", "Metadata"))
        elif form.shape == "PartialObjectMetadata":
            body = partial_list(values, b"{}")
        else:
            head = f'{{"kind":"{kind.name}List","apiVersion":"{kind.api_version}","metadata":{{}},"items":['.encode()
            body = b"".join((head, b",".join(values), b"]}\n"))
        return negotiation.answer(request, body, form)


# --- documents ---


def pod_metrics(pod: core_v1.Pod, usages: Mapping[Who, Usage]) -> Document | None:
    """None when nothing of the pod runs, or not for long enough to have been measured."""
    meta = pod.metadata
    where = (meta.namespace or "", meta.name or "")
    names = [each.name for each in (*pod.spec.containers, *pod.spec.initContainers)]
    found = [(name, usages[*where, name]) for name in names if (*where, name) in usages]
    if not found or pod.status.phase not in ("Running", "Pending"):
        return None
    containers = [{"name": name, "usage": _usage(each)} for name, each in found]
    last = max((each for _, each in found), key=lambda each: each.at)
    return _document(PodMetrics.__name__, meta, last, {"containers": containers})


def node_metrics(node: core_v1.Node, usages: Mapping[Who, Usage]) -> Document | None:
    found = usages.get(NODE)
    return None if found is None else _document(NodeMetrics.__name__, node.metadata, found, {"usage": _usage(found)})


def _document(kind: str, meta: Any, measured: Usage, more: Document) -> Document:
    metadata = {"name": meta.name, "creationTimestamp": _time(measured.at)}
    if meta.namespace:
        metadata["namespace"] = meta.namespace
    if meta.labels:
        metadata["labels"] = dict(meta.labels)
    return {
        "kind": kind,
        "apiVersion": kinds.POD_METRICS.api_version,
        "metadata": metadata,
        "timestamp": _time(measured.at),
        "window": f"{measured.window:.3f}s",
        **more,
    }


def _usage(measured: Usage) -> dict[str, str]:
    """Nanocores and KiB, as metrics-server writes them."""
    return {"cpu": f"{round(measured.cpu * 1e9)}n", "memory": f"{int(measured.memory) >> 10}Ki"}


def _time(at: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))


def _fields(meta: Any) -> dict[str, str]:
    return {"metadata.name": meta.name or "", "metadata.namespace": meta.namespace or ""}
