"""The composition root: the one module that knows every part, and puts them into three processes.

apiserver   API server and store
manager     controllers and scheduler
node        kubelet, service proxy, DNS
"""

from __future__ import annotations

import asyncio
import gc
import ipaddress
import logging
import os
import signal
import socket
import ssl
import sys
from collections.abc import Awaitable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvloop

from sampan import pki
from sampan.api.kinds import ALL
from sampan.client.client import Client
from sampan.client.informer import Informers
from sampan.config import VERSION, ClusterConfig
from sampan.http.client import HttpTransport
from sampan.http.tls import client_context, server_context
from sampan.network.ingress import certificates
from sampan.supervisor import Channel, Role, Supervisor

if TYPE_CHECKING:
    from sampan.host.runtime import OCIRuntime
    from sampan.images.store import ImageStore
    from sampan.network.pods import BridgeNetwork
    from sampan.node.node_config import NodeConfig

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Node:
    """This machine as a node of the cluster."""

    name: str
    ip: str


def serve(cluster: ClusterConfig, listener: int, turn: int) -> None:
    """Be the supervisor until told to stop. `turn` is closed as soon as others can see that it runs."""
    Path("/proc/self/comm").write_text("sampan")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname).1s %(name)s: %(message)s")
    node = this_node(cluster)
    make_identities(cluster, node)
    preload()
    # What was imported is shared by all processes as long as the collector does not touch it.
    gc.collect()
    gc.freeze()
    supervisor = Supervisor(cluster.run_dir, cluster.log_dir, listener)
    os.close(turn)
    supervisor.start(Role("apiserver", lambda channel: _run(run_apiserver(cluster, channel))))
    supervisor.start(Role("node", lambda channel: _run(run_node(cluster, node, channel))))
    supervisor.start(Role("manager", lambda channel: _run(run_manager(cluster, channel))))
    supervisor.serve()


def preload() -> None:
    """Import before the fork what the processes would import after it."""
    import sampan.apiserver.server
    import sampan.controllers.manager
    import sampan.delivery.git.room
    import sampan.delivery.room
    import sampan.host.runtime
    import sampan.images.store
    import sampan.local_registry
    import sampan.monitor.instrument.room
    import sampan.monitor.room
    import sampan.network.room
    import sampan.node.agent
    import sampan.node.parts
    import sampan.node.server
    import sampan.scheduler.scheduler
    import sampan.store.sqlite  # noqa: F401


def this_node(cluster: ClusterConfig) -> Node:
    """Name and address of this machine: what the settings say, else the host's name and its uplink's address."""
    name = cluster.node_name or socket.gethostname().split(".")[0].lower()
    return Node(name, cluster.node_ip or uplink_address() or cluster.advertise_ip)


def uplink_address() -> str:
    """The source address towards the world, "" without one. Nothing is sent: connecting UDP only looks up the route."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return ""
        address = str(probe.getsockname()[0])
    return "" if ipaddress.ip_address(address).is_loopback else address


def make_identities(cluster: ClusterConfig, node: Node) -> None:
    """Every key and certificate of the cluster; only what is missing or near its end is made."""
    authority = pki.Authority(cluster.pki_dir)
    names = ("kubernetes", "kubernetes.default", "kubernetes.default.svc")
    hosts = (
        "localhost",
        *names,
        f"kubernetes.default.svc.{cluster.cluster_domain}",
        node.name,
        *dict.fromkeys(("127.0.0.1", cluster.advertise_ip, cluster.service_ip, node.ip, *_concrete(cluster))),
    )
    for identity in (
        pki.Identity("apiserver", "kube-apiserver", (), hosts),
        pki.Identity("apiserver-kubelet-client", "kube-apiserver-kubelet-client", ("system:masters",)),
        pki.Identity("admin", "kubernetes-admin", ("system:masters",)),
        pki.Identity("controller-manager", "system:kube-controller-manager"),
        pki.Identity("scheduler", "system:kube-scheduler"),
        pki.Identity("ingress", "system:sampan:ingress"),
        pki.Identity("delivery", "system:sampan:delivery"),
        pki.Identity("git", "system:sampan:git", (), ("localhost", node.name, "127.0.0.1", cluster.advertise_ip)),
        pki.Identity("node", f"system:node:{node.name}", ("system:nodes",), (node.name, node.ip, "127.0.0.1")),
    ):
        authority.ensure(identity)
    authority.token_key()
    certificates.authority(cluster.pki_dir, cluster.name)


def _concrete(cluster: ClusterConfig) -> tuple[str, ...]:
    return tuple(address for address in cluster.bind_addresses if address not in ("0.0.0.0", "::"))  # noqa: S104


def _run(main: Awaitable[None]) -> None:
    """A process's event loop; ends without a trace when it was told to stop."""
    logging.captureWarnings(True)

    async def until_stopped() -> None:
        task = asyncio.current_task()
        assert task is not None
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, task.cancel)
        loop.add_signal_handler(signal.SIGUSR1, show_tasks)
        await main

    try:
        uvloop.run(until_stopped())
    except asyncio.CancelledError:
        return
    except KeyboardInterrupt:
        return


def show_tasks() -> None:
    """SIGUSR1: where every task of this process waits, into its log."""
    for task in asyncio.all_tasks():
        print(f"task {task.get_name()}", file=sys.stderr)
        waits: Any = task.get_coro()
        while waits is not None:
            frame = getattr(waits, "cr_frame", None) or getattr(waits, "ag_frame", None)
            if frame is not None:
                code = frame.f_code
                print(f"    {code.co_filename}:{frame.f_lineno} {code.co_qualname}", file=sys.stderr)
            waits = getattr(waits, "cr_await", None) or getattr(waits, "ag_await", None)
    sys.stderr.flush()


# --- the API server


async def run_apiserver(cluster: ClusterConfig, channel: Channel) -> None:
    from sampan.apiserver.connector import Connector
    from sampan.apiserver.server import Config, Server
    from sampan.apiserver.tokens.keys import load
    from sampan.dashboard.assets import Assets
    from sampan.http.server import Server as HttpServer
    from sampan.store.sqlite import SqliteStore

    directory = cluster.pki_dir
    node_tls = client_context(
        ca_file=directory / "ca.crt",
        cert_file=directory / "apiserver-kubelet-client.crt",
        key_file=directory / "apiserver-kubelet-client.key",
    )
    connector = Connector(node_tls, client_context(insecure=True))
    store = await SqliteStore.open(cluster.data_dir / "state.db")
    server = Server(
        store,
        Config(
            signer=load(directory / "sa.key"),
            service_cidr=cluster.service_cidr,
            service_ip=cluster.service_ip,
            dns_ip=cluster.dns_ip,
            advertise=(cluster.advertise_ip, cluster.api_port),
            version=VERSION,
            connector=connector,
            pages=Assets(),
        ),
    )
    tls = server_context(directory / "apiserver.crt", directory / "apiserver.key", directory / "ca.crt")
    front = HttpServer(server.handler, tls=tls)
    try:
        await server.start()
        addresses = dict.fromkeys((*cluster.bind_addresses, "127.0.0.1", cluster.advertise_ip))
        if "0.0.0.0" in addresses:  # noqa: S104
            addresses = dict.fromkeys(("0.0.0.0",))  # noqa: S104
        for address in addresses:
            await front.listen(address, cluster.api_port, before_it_exists=True)
        channel.announce_api()
        channel.ready()
        await server.run()
    finally:
        await front.close()
        await server.close()
        await connector.close()
        await store.close()


# --- controllers and scheduler


def transport_as(cluster: ClusterConfig, identity: str) -> HttpTransport:
    """A connection to the API server that proves one of the cluster's identities."""
    directory = cluster.pki_dir
    tls: ssl.SSLContext = client_context(
        ca_file=directory / "ca.crt", cert_file=directory / f"{identity}.crt", key_file=directory / f"{identity}.key"
    )
    return HttpTransport(cluster.api_url, tls=tls)


async def run_manager(cluster: ClusterConfig, channel: Channel) -> None:
    from sampan.controllers.manager import Manager
    from sampan.controllers.settings import Settings
    from sampan.scheduler.scheduler import Scheduler

    await channel.wait_api()
    transport = transport_as(cluster, "controller-manager")
    schedulers = transport_as(cluster, "scheduler")
    client = Client(transport, ALL, user_agent="sampan-controller-manager")
    informers = Informers(client)
    directory = cluster.pki_dir
    settings = Settings(
        root_ca=(directory / "ca.crt").read_text(),
        signing_certificate=(directory / "ca.crt").read_text(),
        signing_key=(directory / "ca.key").read_text(),
        cluster_cidr=cluster.pod_cidr,
        volume_root=str(cluster.data_dir / "volumes"),
        load_balancer_range=cluster.load_balancer_range,
        node_ports=tuple(port for port in (cluster.http_port, cluster.https_port) if port),
    )
    manager = Manager(client, settings=settings, informers=informers)
    scheduler = Scheduler(Client(schedulers, ALL, user_agent="sampan-scheduler"), informers)
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(informers.run(), name="informers")
            group.create_task(manager.run(), name="controllers")
            group.create_task(scheduler.run(), name="scheduler")
            await informers.synced()
            channel.ready()
    finally:
        await transport.close()
        await schedulers.close()


# --- the node


async def run_node(cluster: ClusterConfig, node: Node, channel: Channel) -> None:
    from sampan import local_registry
    from sampan.delivery.git.room import GitRoom
    from sampan.delivery.room import Delivery
    from sampan.host.runtime import OCIRuntime
    from sampan.http.server import Server as HttpServer
    from sampan.monitor.instrument.room import Instrumentation
    from sampan.monitor.receiver import PORT as TRACES
    from sampan.monitor.room import Monitor
    from sampan.network.ingress import room as ingress
    from sampan.network.room import Network
    from sampan.node.access import Access
    from sampan.node.agent import Agent
    from sampan.node.parts import make_parts
    from sampan.node.server import NodeServer
    from sampan.node.stats import Collector
    from sampan.node.storage_limits import StorageLimits
    from sampan.node.volumes.usage import VolumeUsage

    config = node_config(cluster, node)
    images = image_store(cluster)
    transport = transport_as(cluster, "node")
    client = Client(transport, ALL, user_agent="sampan-node")
    informers = Informers(client)
    publisher = transport_as(cluster, "ingress")
    published = ingress.Ingress(
        cluster, ingress.Node(node.name, node.ip), informers, Client(publisher, ALL, user_agent="sampan-ingress")
    )
    network = Network(cluster, node.name, informers, ingress=published)
    deliverer = transport_as(cluster, "delivery")
    delivery = Delivery(cluster, node.name, Client(deliverer, ALL, user_agent="sampan-delivery"))
    receiver = transport_as(cluster, "git")
    pushes = GitRoom(cluster, Client(receiver, ALL, user_agent="sampan-git"), delivery.runner.follow)
    delivery.parts.append(("git", pushes.run))
    await network.setup()
    runtime = await open_runtime(OCIRuntime, cluster, images, network.pods)
    try:
        await channel.wait_api()
        instrument = Instrumentation(cluster.data_dir / "instrument", f"http://{cluster.advertise_ip}:{TRACES}")
        parts = make_parts(client, informers, runtime, images, config, quiet=network.quiet, instrument=instrument)
        agent = Agent(client, runtime, images, parts, config)
        volumes = VolumeUsage(client, agent, config.places)
        collector = Collector(runtime, node.name, config.places, volumes=lambda: volumes.figures)
        monitor = Monitor(cluster.data_dir / "monitor", agent.pods, pod_transport, (cluster.pod_cidr,))
        server = NodeServer(
            agent,
            runtime,
            collector,
            Access(client, node.name),
            config.places,
            metrics=lambda: chain(*(each.samples() for each in (network, monitor, delivery, pushes.counts, volumes))),
            more={"monitor": monitor.answer, "delivery": delivery.answer},
        )
        directory = cluster.pki_dir
        tls = server_context(directory / "node.crt", directory / "node.key", directory / "ca.crt")
        front = HttpServer(server.handle, tls=tls)
        await front.listen(node.ip, cluster.node_port, before_it_exists=True)
        traces = HttpServer(monitor.receiver.handle)
        await traces.listen(cluster.advertise_ip, TRACES, before_it_exists=True)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(informers.run(), name="informers")
                group.create_task(agent.run(), name="kubelet")
                group.create_task(network.run(), name="network")
                group.create_task(server.run(), name="server")
                group.create_task(StorageLimits(agent, config.places).run(), name="storage limits")
                group.create_task(volumes.run(), name="volume usage")
                group.create_task(images.collect(), name="image leftovers")
                group.create_task(local_registry.run(cluster, images, transport_as(cluster, "admin")), name="registry")
                group.create_task(monitor.run(), name="monitor")
                group.create_task(delivery.run(), name="delivery")
                group.create_task(published.visits.run(monitor.visited), name="ingress visits")
                await agent.registration.registered.wait()
                await network.ready()
                channel.ready()
        finally:
            await front.close()
            await traces.close()
            monitor.close()
    finally:
        await runtime.close()
        await publisher.close()
        await deliverer.close()
        await receiver.close()
        await transport.close()
        images.close()


def pod_transport(base: str) -> HttpTransport:
    """A connection to a pod, which proves nothing and is trusted with nothing."""
    return HttpTransport(base, tls=None if base.startswith("http://") else client_context(insecure=True))


async def open_runtime(
    runtime: type[OCIRuntime], cluster: ClusterConfig, images: ImageStore, network: BridgeNetwork
) -> OCIRuntime:
    data, run = cluster.data_dir / "runtime", cluster.run_dir / "runtime"
    return await runtime.open(cluster.name, str(data), str(run), images, network, program=cluster.oci_runtime)


def node_config(cluster: ClusterConfig, node: Node) -> NodeConfig:
    """What the kubelet is told."""
    from sampan.node import host_facts
    from sampan.node.contracts import ClusterFacts, Places
    from sampan.node.node_config import NodeConfig

    places = Places(cluster.data_dir / "node")
    places.root.mkdir(parents=True, exist_ok=True)
    capacity = host_facts.capacity(str(places.root), cluster.max_pods)
    return NodeConfig(
        name=node.name,
        ips=(node.ip,),
        places=places,
        cluster=ClusterFacts(cluster.cluster_domain, (cluster.dns_ip,)),
        capacity=capacity,
        reserved=host_facts.reserved(capacity),
        hostname=node.name,
        version=VERSION,
        kubelet_port=cluster.node_port,
        max_pods=cluster.max_pods,
    )


def image_store(cluster: ClusterConfig) -> ImageStore:
    """The node's images, and the way to registries."""
    from sampan.images.pull import Puller
    from sampan.images.store import ImageStore

    def connect(base: str) -> HttpTransport:
        return HttpTransport(base, tls=None if base.startswith("http://") else client_context())

    return ImageStore(str(cluster.data_dir / "images"), Puller(connect))


async def clean(cluster: ClusterConfig) -> None:
    """Remove what the cluster left in the kernel and below the run directory; its processes have ended."""
    from sampan.host.runtime import OCIRuntime
    from sampan.network import room
    from sampan.node.contracts import Places
    from sampan.node.volumes.manager import unmount_all

    images = image_store(cluster)
    try:
        runtime = await open_runtime(OCIRuntime, cluster, images, room.pod_network(cluster))
        await runtime.teardown()
        await room.clean(cluster)
        unmount_all(Places(cluster.data_dir / "node"))
    finally:
        images.close()
