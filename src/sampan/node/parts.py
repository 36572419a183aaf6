"""The parts that the pod lifecycle is given, put together: volumes, environment, security, probes, hooks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass

from sampan.api.types import core_v1
from sampan.client.client import Client
from sampan.client.informer import Informer, Informers
from sampan.host.containers import ContainerRuntime, ImageService
from sampan.node import resources
from sampan.node.configs import PodConfigs
from sampan.node.contracts import AnyContainer, Instrument, NodeFacts, Parts
from sampan.node.dns import PodDNS
from sampan.node.environment import PodEnvironment
from sampan.node.hooks import LifecycleHooks
from sampan.node.hosts import HostsFile
from sampan.node.images import Images
from sampan.node.log_rotation import LogRotation
from sampan.node.node_config import NodeConfig
from sampan.node.probes.prober import Prober
from sampan.node.security import Security
from sampan.node.volumes.image import PulledImages
from sampan.node.volumes.manager import PodVolumes
from sampan.runtime.clock import Clock, RealClock


class Services:
    """contracts.ServicesView over a shared informer of all services."""

    def __init__(self, informer: Informer[core_v1.Service]) -> None:
        self._informer = informer

    def services(self, namespace: str) -> Collection[core_v1.Service]:
        return self._informer.by("namespace", namespace)


@dataclass(frozen=True, slots=True)
class _Variables:
    """manager.PodEnvironment: the variables of a container, for subPathExpr."""

    node: NodeFacts
    services: Services
    configs: PodConfigs
    environment: PodEnvironment

    async def __call__(self, pod: core_v1.Pod, container: AnyContainer) -> Mapping[str, str]:
        ips = tuple(each.ip for each in pod.status.podIPs if each.ip)
        return dict(await self.environment(pod, container, self.node, self.services, ips, self.configs))


def make_parts(
    client: Client,
    informers: Informers,
    runtime: ContainerRuntime,
    images: ImageService,
    config: NodeConfig,
    *,
    quiet: Callable[[str], Awaitable[bool]] | None = None,
    instrument: Instrument | None = None,
    clock: Clock | None = None,
) -> Parts:
    """`informers` is asked for services; whoever owns it runs it. The agent runs the parts' own runners.

    `quiet` is the service proxy's, `instrument` the monitor's; see contracts.Parts.
    """
    clock = clock or RealClock()
    places = config.places
    configs = PodConfigs(client)
    informer = informers.get(core_v1.Service)
    services = Services(informer)
    environment = PodEnvironment(places, informer.synced.wait)
    variables = _Variables(config.facts, services, configs, environment)
    pulled = PulledImages(Images(images, configs, config, clock))
    volumes = PodVolumes(client, places, config.facts, configs, pulled, variables, clock=clock)
    prober = Prober(runtime, clock)
    return Parts(
        volumes=volumes,
        environment=environment,
        services=services,
        configs=configs,
        security=Security(str(places.root / "seccomp")),
        resources=resources.resources,
        qos=resources.qos_class,
        cgroup=resources.cgroup_path,
        dns_config=PodDNS(),
        hosts_file=HostsFile(config.cluster.domain),
        probes=prober,
        hooks=LifecycleHooks(runtime, clock),
        runners=(configs.run, volumes.run, prober.run, LogRotation(runtime, clock=clock).run),
        quiet=quiet,
        instrument=instrument,
    )
