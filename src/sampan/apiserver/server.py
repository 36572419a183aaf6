"""The API server put together: from a store and a configuration to a Handler that speaks Kubernetes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from sampan.api.kinds import ALL
from sampan.api.kinds.kind import Kind
from sampan.api.types import policy_v1
from sampan.api.user import User
from sampan.apiserver import admission, reviews
from sampan.apiserver.admission.waiting import DefaultAccounts
from sampan.apiserver.admission.webhooks.caller import Caller
from sampan.apiserver.admission.webhooks.plugins import (
    MutatingAdmissionWebhook,
    ValidatingAdmissionWebhook,
    equivalents,
)
from sampan.apiserver.allocation import ServiceAllocator
from sampan.apiserver.app import ANY_CUSTOM, App, Parts, Serve
from sampan.apiserver.authn.accounts import AccountTokens
from sampan.apiserver.authn.authenticators import Authenticators
from sampan.apiserver.authz.authorizer import Authorization
from sampan.apiserver.cacher import Cacher
from sampan.apiserver.contracts import NodeConnector
from sampan.apiserver.crd.definitions import Definitions
from sampan.apiserver.crd.scale import CustomScales
from sampan.apiserver.documents import Documents
from sampan.apiserver.metrics import Metrics
from sampan.apiserver.metricsapi import Metrics as ResourceMetrics
from sampan.apiserver.negotiation import Negotiator
from sampan.apiserver.resource import Resources
from sampan.apiserver.routes import Router
from sampan.apiserver.seed import install, publish, publish_dns
from sampan.apiserver.subresources.components import Components
from sampan.apiserver.subresources.connect import Connections
from sampan.apiserver.subresources.pods import Pods
from sampan.apiserver.subresources.scale import Scales
from sampan.apiserver.tokens import accounts, discovery
from sampan.apiserver.tokens.keys import Signer
from sampan.apiserver.verbs.read import Reader
from sampan.apiserver.verbs.watch import Watcher
from sampan.apiserver.verbs.write import Writer
from sampan.http.types import Handler, Request, Response
from sampan.store.types import Store

ASKING = (MutatingAdmissionWebhook, ValidatingAdmissionWebhook)
COMPACT_EVERY = 300.0
PROXY_VERBS = ("get", "create", "update", "patch", "delete")


@dataclass(frozen=True, slots=True)
class Config:
    """`signer` signs service-account tokens. `advertise` is where pods find this server (None: nowhere).

    `service_ip` is the ClusterIP of the service `kubernetes`, `dns_ip` that of `kube-dns` ("" without DNS).
    `connector` is the way to nodes, None where they only pretend. `tokens` maps static bearer tokens to users.
    `pages` serves what is for everybody, the web console: None for a path that is not its own.
    """

    signer: Signer
    service_cidr: str = "10.96.0.0/16"
    service_ip: str = "10.96.0.1"
    dns_ip: str = ""
    node_ports: tuple[int, int] = (30000, 32767)
    advertise: tuple[str, int] | None = None
    version: str = "v1.37.0"
    issuer: str = accounts.ISSUER
    tokens: Mapping[str, User] = field(default_factory=dict)
    connector: NodeConnector | None = None
    kinds: Sequence[Kind] = ALL
    pages: Callable[[Request], Response | None] | None = None


class Server:
    """`start`, then serve `handler` while `run` runs, then `close`. The store stays the caller's."""

    def __init__(self, store: Store, config: Config) -> None:
        kinds = tuple(config.kinds)
        self._store = store
        self._config = config
        self.cacher = Cacher(store, kinds)
        self.metrics = Metrics()
        self.authorization = Authorization(self.cacher)
        account_tokens = AccountTokens(self.cacher, (config.signer.verifier,), issuers=(config.issuer,))
        self.authenticate = Authenticators(account_tokens, static=config.tokens)
        services = ServiceAllocator(self.cacher, config.service_cidr, config.node_ports)
        appears = DefaultAccounts(self.cacher)
        self._webhooks = Caller(self.cacher)
        others = equivalents(lambda: self._router.kinds)
        asking = [each(self.cacher, self._webhooks, others) for each in ASKING]
        plugins = admission.plugins(
            self.cacher, self.authorization, config.signer, appears, lambda: self.resources, asking
        )
        self.resources = Resources(store, self.cacher, plugins, services)
        negotiator = Negotiator()
        self._reader = reader = Reader(store, self.cacher, negotiator)
        self._special = self._specials(kinds, reader)
        self._router, self._documents = Router(kinds), self._make_documents(kinds)
        self._definitions = Definitions(self.resources, kinds, self._serve_custom)
        self._app = App(
            Parts(
                router=self._router,
                documents=self._documents,
                authenticate=self.authenticate,
                authorize=self.authorization,
                reader=reader,
                watcher=Watcher(reader, self.cacher, negotiator),
                writer=Writer(self.resources, reader),
                metrics=self.metrics,
                special=self._special,
                pages=config.pages,
            )
        )
        self._follower: asyncio.Task[None] | None = None
        self._definer: asyncio.Task[None] | None = None
        self._measure()

    @property
    def handler(self) -> Handler:
        return self._app.handle

    async def start(self) -> None:
        """Read the state and make what every cluster has. Afterwards requests can be answered."""
        await self.cacher.load()
        # The two tasks of this room: the cache follows the store from here on, custom resources follow the cache;
        # `run` waits for both.
        loop = asyncio.get_running_loop()
        self._follower = loop.create_task(self.cacher.run(), name="apiserver-cacher")
        await self._definitions.start()
        self._definer = loop.create_task(self._definitions.run(), name="apiserver-definitions")
        await install(self.resources)
        if self._config.advertise:
            await publish(self.resources, self._config.service_ip, self._config.advertise)
        if self._config.dns_ip:
            await publish_dns(self.resources, self._config.dns_ip)

    async def run(self) -> None:
        """Until cancelled; raises what ended the cache. Superseded revisions are forgotten after 5 to 10 minutes."""
        assert self._follower is not None and self._definer is not None, "start the server before running it"
        boundary = self._store.revision
        while True:
            tasks = {self._follower, self._definer}
            done, _ = await asyncio.wait(tasks, timeout=COMPACT_EVERY, return_when=asyncio.FIRST_COMPLETED)
            if done:
                await done.pop()
                return
            if boundary:
                await self._store.compact(boundary)
            boundary = self._store.revision

    async def close(self) -> None:
        tasks = [task for task in (self._definer, self._follower) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._follower = self._definer = None
        await self._webhooks.close()

    def _serve_custom(self, custom: Sequence[Kind]) -> None:
        """Serve these custom kinds beside the built-in ones, from the next request on."""
        kinds = (*self._config.kinds, *custom)
        self._router.replace(kinds)
        self._documents.replace(kinds)
        self._reader.forget()

    def _make_documents(self, kinds: Sequence[Kind]) -> Documents:
        config = self._config
        address = f"{config.advertise[0]}:{config.advertise[1]}" if config.advertise else ""
        keys = (config.signer.verifier,)
        url = f"https://{address or 'kubernetes.default.svc'}{discovery.KEYS_PATH}"
        more = {
            discovery.CONFIGURATION_PATH: lambda: (
                discovery.configuration(keys, config.issuer, url),
                discovery.CONFIGURATION_TYPE,
            ),
            discovery.KEYS_PATH: lambda: (discovery.keys(keys), discovery.KEYS_TYPE),
        }
        checks = {"ping": lambda: "", "etcd": self._check_store}
        return Documents(kinds, address, config.version, self.metrics, checks, more)

    def _check_store(self) -> str:
        if self._follower is None or self._follower.done():
            return "the watch cache does not follow the store"
        return ""

    def _specials(self, kinds: Sequence[Kind], reader: Reader) -> dict[tuple[str, str, str], Serve]:
        scales, connections = Scales(self.resources), Connections(self.cacher, self.resources, self._config.connector)
        budgets = next(kind for kind in kinds if kind.type is policy_v1.PodDisruptionBudget)
        pods = Pods(self.resources, budgets)
        components = Components(reader, self._check_store)
        found: dict[tuple[str, str, str], Serve] = {
            ("pods", "binding", "create"): pods.bind,
            ("bindings", "", "create"): pods.bind,
            ("pods", "eviction", "create"): pods.evict,
            ("pods", "log", "get"): connections.log,
            ("pipelineruns.sampan.dev", "log", "get"): connections.pipeline,
            ("pipelineruns.sampan.dev", "artifacts", "get"): connections.pipeline,
            ("componentstatuses", "", "get"): components.get,
            ("componentstatuses", "", "list"): components.list,
        }
        for kind in kinds:
            if any(sub.name == "scale" for sub in kind.subresources):
                found[kind.resource, "scale", "get"] = scales.get
                found[kind.resource, "scale", "update"] = scales.update
                found[kind.resource, "scale", "patch"] = scales.patch
        custom = CustomScales(self.resources)
        found[ANY_CUSTOM, "scale", "get"] = custom.get
        found[ANY_CUSTOM, "scale", "update"] = custom.update
        found[ANY_CUSTOM, "scale", "patch"] = custom.patch
        for part in ("exec", "attach", "portforward"):
            found["pods", part, "get"] = found["pods", part, "create"] = connections.stream
        for resource in ("pods", "services", "nodes"):
            for verb in PROXY_VERBS:
                found[resource, "proxy", verb] = connections.proxy
        found |= ResourceMetrics(self.cacher, self._config.connector).handlers()
        found |= reviews.handlers(
            self.resources, self.authenticate, self.authorization, self._config.signer, self._config.issuer
        )
        return found

    def _measure(self) -> None:
        resources = self.cacher.resources
        self.metrics.gauge(
            "apiserver_storage_objects",
            "Stored objects by resource.",
            lambda: [(f'{{resource="{_name(c.group, c.plural)}"}}', len(c.items)) for c in resources.values()],
        )
        self.metrics.gauge(
            "apiserver_longrunning_requests",
            "Watches by resource.",
            lambda: [
                (f'{{verb="WATCH",resource="{_name(c.group, c.plural)}"}}', c.watchers)
                for c in resources.values()
                if c.watchers
            ],
        )


def _name(group: str, plural: str) -> str:
    return f"{plural}.{group}" if group else plural
