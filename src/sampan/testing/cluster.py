"""A whole cluster in one process, for tests: API server, controllers, scheduler, and nodes that pretend.

Nothing is shared between two of them and nothing is left of them: the state is in memory, and sockets and files
appear only when a test asks for `url` or `kubeconfig`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import msgspec
import yaml
from cryptography.hazmat.primitives.asymmetric import ec

from sampan.api import kinds
from sampan.api.errors import StatusError
from sampan.api.kinds.kind import Document, Kind
from sampan.api.types import core_v1
from sampan.api.user import User
from sampan.apiserver.contracts import NodeConnector
from sampan.apiserver.server import Config, Server
from sampan.apiserver.tokens.keys import signer
from sampan.client.cache import key_of, revision
from sampan.client.client import PATCH_MEDIA_TYPES, Client, Page
from sampan.client.discovery import discover
from sampan.client.informer import Informer, Informers
from sampan.client.local import LocalTransport
from sampan.client.metadata import PartialObjectMetadata
from sampan.controllers import ALL, Declare
from sampan.controllers.manager import Manager
from sampan.controllers.settings import Settings
from sampan.runtime.clock import Clock
from sampan.scheduler.scheduler import Scheduler
from sampan.store.memory import MemoryStore
from sampan.testing.front import Front
from sampan.testing.nodes import RENEW, Fleet, PretendNode, is_ready
from sampan.testing.objects import document, documents

T = TypeVar("T", bound=msgspec.Struct)

ADMIN = User("kubernetes-admin", groups=("system:masters", "system:authenticated"))
CONTROLLERS = User("system:kube-controller-manager", groups=("system:authenticated",))
SCHEDULER = User("system:kube-scheduler", groups=("system:authenticated",))

TOLD = 40
"""Events that an error tells at most."""

PATIENCE = 10.0
"""Seconds that `wait_for` and its kin wait unless told otherwise."""


class Cluster:
    """`async with Cluster() as cluster:` or the fixture `cluster`.

    `nodes` is how many pretended nodes there are, or what they are called. `controllers` are declarations as in
    sampan.controllers.ALL; `clock` moves controllers, scheduler and nodes (the API server tells the real time).
    `connector` answers for the nodes' servers, which do not exist otherwise.
    """

    def __init__(
        self,
        *,
        nodes: int | Sequence[str] = 1,
        capacity: Mapping[str, str] | None = None,
        controllers: Sequence[Declare] = ALL,
        scheduler: bool = True,
        settings: Settings | None = None,
        api_kinds: Sequence[Kind] = kinds.ALL,
        clock: Clock | None = None,
        connector: NodeConnector | None = None,
    ) -> None:
        self._names = tuple(f"node-{number}" for number in range(1, nodes + 1)) if isinstance(nodes, int) else nodes
        self._capacity = capacity
        self._store = MemoryStore()
        self._kinds = tuple(api_kinds)
        key = signer(ec.generate_private_key(ec.SECP256R1()))
        self.server = Server(self._store, Config(key, kinds=self._kinds, connector=connector))
        self.client = self.client_as(ADMIN)
        self.informers = Informers(self.client)
        self.front = Front(self.server.handler)
        settings = settings or Settings(root_ca="the API server has no certificate unless it is asked for its URL\n")
        self.manager = Manager(
            self.client_as(CONTROLLERS),
            controllers=controllers,
            settings=settings,
            informers=self.informers,
            clock=clock,
        )
        renew = min(RENEW, settings.node_monitor_grace_period / 4)
        self.fleet = Fleet(self.client, self.informers, clock=clock, renew=renew)
        self.scheduler = Scheduler(self.client_as(SCHEDULER), self.informers, clock=clock) if scheduler else None
        self._has_accounts = bool(controllers)
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Cluster:
        await self.start()
        return self

    async def __aexit__(
        self, type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def start(self) -> None:
        """Returns when all nodes are ready and the namespace default has its service account."""
        self._stack.push_async_callback(self._store.close)
        await self.server.start()
        self._stack.push_async_callback(self.server.close)
        await self._stack.enter_async_context(_running(self._run()))
        self._stack.push_async_callback(self.front.close)
        await self.informers.synced()
        for name in self._names:
            await self.add_node(name)
        if self._has_accounts:
            await self.wait_for(core_v1.ServiceAccount, "default")
            for name in self._names:
                await self.wait_for(core_v1.Node, name, lambda node: is_ready(node) and bool(node.spec.podCIDR))

    async def close(self) -> None:
        await self._stack.aclose()

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self.informers.run(), name="informers")
            group.create_task(self.manager.run(), name="controllers")
            group.create_task(self.fleet.run(), name="nodes")
            if self.scheduler is not None:
                group.create_task(self.scheduler.run(), name="scheduler")

    # --- ways in ---

    def client_as(self, user: User) -> Client:
        """A client in this process that acts as somebody; RBAC judges it as it would judge him."""
        return Client(LocalTransport(self.server.handler, user), self._kinds)

    @property
    def url(self) -> str:
        """`https://127.0.0.1:PORT`; listening begins when it is first asked for."""
        return self.front.url

    @property
    def kubeconfig(self) -> Path:
        """A file for kubectl and client libraries, with the administrator's certificate."""
        return self.front.kubeconfig

    # --- nodes ---

    async def add_node(self, name: str, **how: Any) -> PretendNode:
        """`how` are the fields of PretendNode: capacity, labels, taints."""
        node = PretendNode(name, **{"capacity": self._capacity, **how} if self._capacity else how)
        await self.fleet.add(node)
        return node

    def silence(self, name: str) -> None:
        """The node stops reporting and its pods stay as they are, as if its machine had lost power."""
        self.fleet.nodes[name].alive = False

    async def wake(self, name: str) -> None:
        """A silent node is back."""
        await self.fleet.wake(name)

    # --- objects ---

    async def apply(self, manifests: str, *, namespace: str = "default") -> tuple[Any, ...]:
        """Create the objects of a YAML text, or merge it into those that exist.

        Returns the objects as the server has them: Structs, or documents (dict) of custom resources.
        """
        return tuple([await self._apply(document, namespace) for document in documents(manifests)])

    async def _apply(self, document: Document, namespace: str) -> Any:
        kind = await self._kind_of(document)
        metadata = document.get("metadata", {})
        where = metadata.get("namespace", namespace) if kind.namespaced else ""
        body = msgspec.json.encode(document)
        try:
            response = await self.client.raw("POST", kind.path(where), None, body)
        except StatusError as error:
            if error.reason != "AlreadyExists":
                raise
            headers = {"content-type": PATCH_MEDIA_TYPES["merge"]}
            response = await self.client.raw("PATCH", kind.path(where, metadata["name"]), None, body, headers)
        made = msgspec.json.decode(await response.read())
        return made if kind.type is PartialObjectMetadata else msgspec.convert(made, kind.type)

    async def _kind_of(self, document: Document) -> Kind:
        wanted = document.get("apiVersion"), document.get("kind")
        for kind in self._kinds:
            if (kind.api_version, kind.name) == wanted:
                return kind
        for kind in (await discover(self.client)).kinds:
            if (kind.api_version, kind.name) == wanted:
                return kind
        raise LookupError(f"the server does not know {wanted[0]} {wanted[1]}")

    # --- waiting ---

    async def wait_for(
        self,
        type: type[T],
        name: str,
        condition: Callable[[T], object] = bool,
        *,
        namespace: str = "default",
        timeout: float = PATIENCE,
    ) -> T:
        """The object, as soon as it exists and `condition(object)` is true. Nothing is polled.

        Raises TimeoutError with the object's last state and the events about it.
        """
        where = namespace if self.client.kind(type).namespaced else ""
        found: list[T] = []

        def met(objects: Informer[T]) -> bool:
            object = objects.get(name, where)
            if object is None or not condition(object):
                return False
            found.append(object)
            return True

        await self._wait(type, met, f"{type.__name__} {name}", name, where, timeout)
        return found[0]

    async def wait_gone(
        self, type: type[T], name: str, *, namespace: str = "default", timeout: float = PATIENCE
    ) -> None:
        where = namespace if self.client.kind(type).namespaced else ""
        what = f"the end of {type.__name__} {name}"
        await self._wait(type, lambda objects: objects.get(name, where) is None, what, name, where, timeout)

    async def wait_until(
        self,
        type: type[T],
        condition: Callable[[Sequence[T]], object],
        *,
        namespace: str = "default",
        timeout: float = PATIENCE,
    ) -> tuple[T, ...]:
        """All objects of a type in a namespace ("" for all), as soon as `condition(objects)` is true of them."""
        found: list[tuple[T, ...]] = []
        where = namespace if self.client.kind(type).namespaced else ""

        def met(objects: Informer[T]) -> bool:
            chosen = tuple(objects.by("namespace", where) if where else objects.all())
            found[:] = [chosen]
            return bool(condition(chosen))

        await self._wait(type, met, f"the {type.__name__}s", "", where, timeout)
        return found[0]

    async def _wait(
        self,
        type: type[T],
        met: Callable[[Informer[T]], bool],
        what: str,
        name: str,
        namespace: str,
        timeout: float,
    ) -> None:
        informer = self.informers.get(type)
        changed = asyncio.Event()
        unsubscribe = informer.subscribe(lambda *_: changed.set())
        try:
            async with asyncio.timeout(timeout):
                await informer.synced.wait()
                present = await self.client.list(type)
                while not _knows(informer, present):
                    changed.clear()
                    await changed.wait()
                while not met(informer):
                    changed.clear()
                    await changed.wait()
        except TimeoutError:
            raise TimeoutError(await self._story(type, what, name, namespace, timeout)) from None
        finally:
            unsubscribe()

    async def _story(self, type: type[T], what: str, name: str, namespace: str, timeout: float) -> str:
        """Why a wait came to nothing, as far as the API server can tell."""
        informer = self.informers.get(type)
        lines = [f"waited {timeout:g} s for {what}"]
        if name:
            object = informer.get(name, namespace)
            lines.append(yaml.safe_dump(document(object), sort_keys=False) if object else "it does not exist")
        else:
            lines += [_summary(each) for each in informer.all()]
        events = [
            f"{event.type} {event.reason} {event.involvedObject.kind}/{event.involvedObject.name}: {event.message}"
            for event in (await self.client.list(core_v1.Event, namespace)).items
            if not name or (event.involvedObject.kind, event.involvedObject.name) == (type.__name__, name)
        ]
        return "\n".join([*lines, *events[-TOLD:]])


def _knows(informer: Informer[Any], page: Page[Any]) -> bool:
    """The informer has come at least as far as a list: whoever waits sees what he wrote before."""
    listed = {key_of(object): revision(object) for object in page.items}
    for key, least in listed.items():
        object = informer.get(key[1], key[0])
        if (revision(object) if object is not None else informer.revision) < least:
            return False
    # What is newer than the list has come since; what is older and not in it is on its way out of the cache.
    newest = int(page.resourceVersion or 0)
    return all(key_of(each) in listed or revision(each) > newest for each in informer.all())


def _summary(object: Any) -> str:
    metadata, phase = object.metadata, getattr(getattr(object, "status", None), "phase", None)
    words = [f"{metadata.namespace}/{metadata.name}" if metadata.namespace else metadata.name]
    words += [phase] if phase else []
    words += ["being deleted"] if metadata.deletionTimestamp else []
    return " ".join(words)


@contextlib.asynccontextmanager
async def _running(work: Any) -> AsyncIterator[None]:
    """Run `work` beside the body; if it fails, the body is cancelled and the failure raised."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(work, name="cluster")
        try:
            yield
        finally:
            task.cancel()
