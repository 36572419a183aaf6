"""Ingress of one node: follows the API, keeps nginx like it, and says on the Ingresses what came of it.

    Ingress, IngressClass, Service, EndpointSlice, Secret, ConfigMap -> compute -> render -> nginx -> status, events

The first change is applied at once; those that come while nginx takes it over, and PAUSE seconds after, go together.
There is no nginx as long as there is no Ingress of ours.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from sampan.api import codec
from sampan.api.errors import StatusError
from sampan.api.types import core_v1, discovery_v1, meta_v1, networking_v1
from sampan.client.cache import key_of
from sampan.client.client import UNREACHABLE, Client
from sampan.client.informer import Informers
from sampan.config import ClusterConfig
from sampan.network import indexes
from sampan.network.ingress import certificates, compute, nginx, render
from sampan.network.ingress.backends import Key
from sampan.network.ingress.certificates import LocalCertificates
from sampan.network.ingress.model import Listen, Model
from sampan.network.ingress.references import References
from sampan.network.ingress.visits import Visits
from sampan.runtime.backoff import Exponential
from sampan.runtime.clock import Clock, RealClock
from sampan.runtime.events import Recorder
from sampan.runtime.metrics import Sample
from sampan.runtime.tasks import Group

log = logging.getLogger(__name__)

PAUSE = 0.1
"""Seconds between two reloads at least."""
CROWDED = 8
"""With more workers than this that still drain, PAUSE is ten times as long: each of them takes memory."""
LATER = 30.0
"""Seconds until ports that were taken are looked at again."""
RENEW = 6 * 3600.0
"""Seconds after which certificates are looked at, and whatever else may have changed without a word."""
RETRY = Exponential(first=0.2, longest=30.0)
FAILURES: tuple[type[Exception], ...] = (nginx.Refused, StatusError, *UNREACHABLE)
DEFAULT_CLASS = "ingressclass.kubernetes.io/is-default-class"
STATUS = "status.json"


class Node(NamedTuple):
    name: str
    ip: str


class _Refusal(NamedTuple):
    """An Ingress that nginx did not take, as it was then."""

    spec: Any
    annotations: Any
    text: str


class Ingress:
    """`run` never returns, or at once when both ports are 0. nginx goes on when it is cancelled.

    `informers` are the node's, for services; `client` acts as the ingress's own identity, which may read Secrets.
    """

    def __init__(
        self, config: ClusterConfig, node: Node, informers: Informers, client: Client, *, clock: Clock | None = None
    ) -> None:
        self._clock = clock or RealClock()
        self._config = config
        self._node = node
        self._client = client
        self._own = Informers(client)
        self._listen = Listen(config.http_port, config.https_port, ipv6=has_ipv6())
        self._ingresses = self._own.get(networking_v1.Ingress)
        self._classes = self._own.get(networking_v1.IngressClass)
        self._references = References(self._own, self._mark)
        self._services = informers.get(core_v1.Service)
        self._slices = informers.get(
            discovery_v1.EndpointSlice,
            indexes={indexes.BY_SERVICE: indexes.service_of, indexes.BY_ADDRESS: indexes.addresses_of},
        )
        self._recorder = Recorder(client, "sampan-ingress", node.name, clock=self._clock)
        self._nginx = instance(config, clock=self._clock)
        self._frame = frame(config, self._listen)
        self.visits = Visits(config.node_port, clock=self._clock)
        self._concerned: set[Key] = set()
        self._refused: dict[str, _Refusal] = {}
        self._told: set[tuple[str, str]] = set()
        self._marked: set[str] = set()
        self._changed = asyncio.Event()
        self._settled = asyncio.Condition()
        self._asked = self._done = 0
        self._again: float | None = None
        self._failures = 0
        self._watched = -1
        self._applied = ""
        self.model = Model()
        self.problem = ""
        """Why nginx does not do what it should, "" when it does."""
        self.reloads = 0

    @property
    def enabled(self) -> bool:
        return bool(self._listen.http or self._listen.https)

    async def run(self) -> None:
        if not self.enabled:
            await self._nginx.stop()
            self._write_status()
            return
        async with Group("ingress", clock=self._clock) as group:
            group.start("informers", self._own.run())
            group.supervise("events", self._recorder.run)
            group.supervise("follow", self._follow)

    async def settled(self) -> None:
        """Return once nginx does what the API says now, or does nothing at all."""
        asked = self._asked
        async with self._settled:
            await self._settled.wait_for(lambda: self._done >= asked or not self._applied)

    def samples(self) -> Iterator[Sample]:
        yield Sample("sampan_ingress_reloads_total", "counter", "Configurations that nginx took.", {}, self.reloads)
        yield Sample("sampan_ingress_hosts", "gauge", "Hosts that are served.", {}, len(self.hosts()))
        told, lost = self.visits.total, self.visits.dropped
        yield Sample("sampan_ingress_traced_total", "counter", "Requests that nginx told of.", {}, told)
        yield Sample("sampan_ingress_traced_dropped_total", "counter", "Those that were too many to keep.", {}, lost)
        up = 0 if self.problem else 1
        yield Sample("sampan_ingress_up", "gauge", "1 when nginx does what the Ingresses say.", {}, up)

    def hosts(self) -> list[str]:
        return [server.host or "*" for server in self.model.servers if server.locations]

    # --- what changes

    async def _follow(self) -> None:
        for informer in (self._ingresses, self._classes, self._services, self._slices):
            await informer.synced.wait()
        await self._make_class()
        stops = [
            self._ingresses.subscribe(self._ingress_changed),
            self._classes.subscribe(lambda *_: self._mark()),
            self._services.subscribe(lambda _, old, new: self._service_changed(key_of(new or old))),
            self._slices.subscribe(self._slice_changed),
        ]
        self._applied = self._nginx.current() if self._nginx.pid() else ""
        self._watch()
        self._mark()
        try:
            while True:
                await self._turn()
        finally:
            for stop in stops:
                stop()
            self._unwatch()

    def _mark(self) -> None:
        self._asked += 1
        self._changed.set()

    def _ingress_changed(self, type: str, old: networking_v1.Ingress | None, new: networking_v1.Ingress | None) -> None:
        if old is None or new is None or _matters(old) != _matters(new):
            self._mark()

    def _service_changed(self, key: Key) -> None:
        if key in self._concerned:
            self._mark()

    def _slice_changed(
        self, type: str, old: discovery_v1.EndpointSlice | None, new: discovery_v1.EndpointSlice | None
    ) -> None:
        for slice in (old, new):
            if slice is not None:
                namespace = slice.metadata.namespace or ""
                self._service_changed((namespace, slice.metadata.labels.get(indexes.SERVICE_NAME, "")))

    # --- one turn

    async def _turn(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._again if self._again is not None else RENEW):
                await self._changed.wait()
        self._changed.clear()
        self._again = None
        asked, reloads = self._asked, self.reloads
        try:
            await self._write()
            self._failures, self._done = 0, asked
        except FAILURES as error:
            self._failures += 1
            self._again = RETRY.delay(self._failures)
            log.warning("ingress: %s, again in %.1f s", error, self._again)
        self._write_status()
        async with self._settled:
            self._settled.notify_all()
        if self.reloads != reloads:
            await self._clock.sleep(PAUSE * 10 if self._nginx.generations() > CROWDED else PAUSE)

    async def _write(self) -> None:
        objects = await self._gather()
        if not compute.ours(objects.ingresses, objects.classes):
            self.model, self.problem = compute.compute(objects), ""
            if self._nginx.pid():
                self._unwatch()
                await self._nginx.stop()
                log.info("nginx stopped: there is no Ingress")
            self._applied = ""
        else:
            try:
                self.model = await self._apply(objects)
                self.problem = ""
            except (nginx.Taken, nginx.Missing) as error:
                self.model = compute.compute(objects)
                self._disable(error)
        self._tell()
        await self._write_statuses()

    async def _gather(self) -> compute.Objects:
        ingresses, classes = tuple(self._ingresses.all()), tuple(self._classes.all())
        mine = compute.ours(ingresses, classes)
        self._concerned = {key for each in mine for key in compute.services_of(each)}
        await self._references.follow({pair for each in mine for pair in compute.references(each)})
        self._refused = {
            compute.name_of(each): known
            for each in mine
            if (known := self._refused.get(compute.name_of(each)))
            and (each.spec, each.metadata.annotations) == (known.spec, known.annotations)
        }
        services = {key: each for key in self._concerned if (each := self._services.get(key[1], key[0])) is not None}
        slices = {key: tuple(self._slices.by(indexes.BY_SERVICE, "/".join(key))) for key in services}
        refused = {name: each.text for name, each in self._refused.items()}
        secrets, configs = self._references.secrets(), self._references.configs()
        return compute.Objects(ingresses, classes, services, slices, secrets, configs, self._node.name, refused)

    async def _apply(self, objects: compute.Objects) -> Model:
        """Returns what nginx does now. An Ingress that it does not take is left out, and the others are served."""
        while True:
            model = compute.compute(objects)
            signed = await asyncio.get_running_loop().run_in_executor(None, self._sign, model.local)
            names = {host: certificates.file_name(data) for host, data in signed.items()}
            text = render.render(model, dataclasses.replace(self._frame, visits=self.visits.open()), names)
            if text == self._applied and self._nginx.pid():
                return model
            files = dict(model.files) | {names[host]: data for host, data in signed.items()}
            self._unwatch()
            try:
                await self._nginx.apply(text, files, self._listen)
            except nginx.Refused as refusal:
                name = render.owner(text, refusal.line)
                if not name or name in objects.refused:
                    self.problem = str(refusal)
                    raise
                log.warning("nginx does not take Ingress %s: %s", name, refusal)
                self._refuse(name, str(refusal))
                objects = dataclasses.replace(objects, refused={k: each.text for k, each in self._refused.items()})
                continue
            finally:
                self._watch()
            self._applied = text
            self.reloads += 1
            return model

    def _refuse(self, name: str, text: str) -> None:
        namespace, _, own = name.partition("/")
        ingress = self._ingresses.get(own, namespace)
        if ingress is not None:
            self._refused[name] = _Refusal(ingress.spec, ingress.metadata.annotations, text)

    def _sign(self, hosts: tuple[str, ...]) -> dict[str, bytes]:
        if not self._listen.https:
            return dict.fromkeys(hosts, b"")
        local = LocalCertificates(self._config.pki_dir, self._config.name, ("127.0.0.1", self._node.ip))
        return local.get(hosts)

    def _disable(self, error: Exception) -> None:
        """Nothing of ours is broken: somebody else has the ports, or nginx is to be installed."""
        advice = (
            ""
            if isinstance(error, nginx.Missing)
            else "; free it, or choose others: sampan up --http-port N --https-port N"
        )
        problem = f"{error}{advice}"
        if problem != self.problem:
            log.warning("ingress does not answer: %s", problem)
        self.problem, self._again, self._applied = problem, LATER, ""

    # --- nginx's end

    def _watch(self) -> None:
        """Look again as soon as nginx ends."""
        self._unwatch()
        pid = self._nginx.pid()
        if pid:
            with contextlib.suppress(ProcessLookupError):
                self._watched = os.pidfd_open(pid)
                asyncio.get_running_loop().add_reader(self._watched, self._ended)

    def _ended(self) -> None:
        self._unwatch()
        log.warning("nginx ended; starting it again")
        self._mark()

    def _unwatch(self) -> None:
        if self._watched >= 0:
            asyncio.get_running_loop().remove_reader(self._watched)
            os.close(self._watched)
            self._watched = -1

    # --- what people see

    def _tell(self) -> None:
        """Problems as events, each once."""
        said = set(self.model.problems)
        if self.problem:
            said |= {(name, self.problem) for name in self.model.served}
        for name, text in sorted(said - self._told):
            namespace, _, own = name.partition("/")
            ingress = self._ingresses.get(own, namespace)
            if ingress is not None:
                self._recorder.emit(
                    ingress, "Warning", "Misconfigured" if text != self.problem else "Unavailable", text
                )
        self._told = said

    async def _write_statuses(self) -> None:
        """The node's address on the Ingresses that it serves; none on those that it served before."""
        served = set() if self.problem else set(self.model.served) - self._refused.keys()
        mine = (_address(self._node.ip, self._listen),)
        for ingress in tuple(self._ingresses.all()):
            name, has = compute.name_of(ingress), ingress.status.loadBalancer.ingress
            if name in served and has != mine:
                await self._set_status(ingress, [codec.document(each) for each in mine])
                self._recorder.emit(ingress, "Normal", "Published", f"answers at {', '.join(self._urls(ingress))}")
            elif name not in served and has == mine and (name in self._marked or name in self.model.served):
                await self._set_status(ingress, [])
        self._marked = served

    async def _set_status(self, ingress: networking_v1.Ingress, addresses: list[dict[str, Any]]) -> None:
        namespace, own = key_of(ingress)
        body = {"metadata": {"uid": ingress.metadata.uid}, "status": {"loadBalancer": {"ingress": addresses}}}
        try:
            made = await self._client.patch(networking_v1.Ingress, own, namespace, body=body, subresource="status")
        except StatusError as error:
            # It is gone, or another of the same name has come: the watch tells.
            if error.code not in (404, 409):
                raise
        else:
            self._ingresses.assume(made)

    def _urls(self, ingress: networking_v1.Ingress) -> list[str]:
        hosts = dict.fromkeys(rule.host or self._node.ip for rule in ingress.spec.rules) or {self._node.ip: None}
        found = []
        for host in hosts:
            if self._listen.http:
                found.append(f"http://{host}{'' if self._listen.http == 80 else f':{self._listen.http}'}")
            if self._listen.https:
                found.append(f"https://{host}{'' if self._listen.https == 443 else f':{self._listen.https}'}")
        return found

    async def _make_class(self) -> None:
        """Every cluster has the class; it is the default one unless somebody chose another."""
        if self._classes.get(compute.CLASS) is not None:
            return
        other = any(each.metadata.annotations.get(DEFAULT_CLASS) == "true" for each in self._classes.all())
        metadata = meta_v1.ObjectMeta(name=compute.CLASS, annotations={} if other else {DEFAULT_CLASS: "true"})
        spec = networking_v1.IngressClassSpec(controller=compute.CONTROLLER)
        try:
            await self._client.create(networking_v1.IngressClass(metadata=metadata, spec=spec))
        except StatusError as error:
            if error.code != 409:
                raise

    def _write_status(self) -> None:
        """For `sampan status`."""
        said = {"http": self._listen.http, "https": self._listen.https, "hosts": self.hosts(), "problem": self.problem}
        said["pid"] = self._nginx.pid()
        path = self._nginx.directory / STATUS
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        partial = path.with_suffix(".new")
        partial.write_text(json.dumps(said))
        partial.replace(path)


def _matters(ingress: networking_v1.Ingress) -> tuple[object, ...]:
    metadata = ingress.metadata
    return ingress.spec, metadata.annotations, metadata.deletionTimestamp, metadata.uid, ingress.status


def _address(ip: str, listen: Listen) -> networking_v1.IngressLoadBalancerIngress:
    """What an Ingress's status says; ports, HTTP first, only when they are not those that everybody tries."""
    wanted = [port for port in (listen.http, listen.https) if port]
    ports = () if wanted == [80, 443][: len(wanted)] else tuple(wanted)
    return networking_v1.IngressLoadBalancerIngress(
        ip=ip, ports=tuple(networking_v1.IngressPortStatus(port=port, protocol="TCP") for port in ports)
    )


def instance(config: ClusterConfig, *, clock: Clock | None = None) -> nginx.Nginx:
    return nginx.Nginx(config.run_dir / "ingress", config.log_dir / "ingress.log", clock=clock)


def frame(config: ClusterConfig, listen: Listen) -> render.Frame:
    workers = min(8, len(os.sched_getaffinity(0)))
    place = instance(config)
    return render.Frame(
        place.directory, place.log_path, listen, nginx.account(), workers=workers, resolver=config.dns_ip
    )


def has_ipv6() -> bool:
    switch = Path("/proc/sys/net/ipv6/conf/all/disable_ipv6")
    return switch.exists() and switch.read_text().strip() == "0"


async def clean(config: ClusterConfig) -> None:
    """End the nginx of a cluster whose processes are gone. Idempotent."""
    await asyncio.get_running_loop().run_in_executor(None, instance(config).end)


def read_status(config: ClusterConfig) -> dict[str, Any] | None:
    """What the node's process wrote last, None when there is nothing."""
    try:
        return msgspec.json.decode((instance(config).directory / STATUS).read_bytes(), type=dict[str, Any])
    except FileNotFoundError:
        return None
