"""Nodes that only pretend to run pods: everything a kubelet tells the API server, and no container.

What a pod's containers do is written in its annotations:

    pretend.sampan.dev/exits: "1, 0"    they end with 1, then (restarted) with 0, and whatever follows runs on
    pretend.sampan.dev/exits.NAME       the same for one container
    pretend.sampan.dev/lasts: "0.5"     seconds until they end; 0 when not given
    pretend.sampan.dev/ready: "false"   they run and never become ready
    pretend.sampan.dev/lingers: "2"     seconds that ending takes once the pod is deleted, its grace period at most
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from msgspec.structs import replace

from sampan.api import conditions
from sampan.api.types import coordination_v1, core_v1, meta_v1
from sampan.client.cache import key_of
from sampan.client.client import FAILURES, Client
from sampan.client.informer import Informers
from sampan.runtime.actions import Delete, Plan, Requeue, Retry, UpdateStatus, View
from sampan.runtime.clock import Clock, RealClock, rfc3339, rfc3339_micro
from sampan.runtime.controller import Controller, Environment, Loop, unless_unchanged
from sampan.runtime.events import Recorder
from sampan.runtime.tasks import Group
from sampan.testing import pretend

LEASES = "kube-node-lease"
RENEW = 10.0
"""Seconds between renewals of a node's Lease (kubelet's default)."""

CAPACITY: Mapping[str, str] = {"cpu": "8", "memory": "16Gi", "pods": "110", "ephemeral-storage": "100Gi"}


@dataclass(slots=True)
class PretendNode:
    """What one node is; `alive` False makes it fall silent, as if its machine had stopped."""

    name: str
    capacity: Mapping[str, str] = field(default_factory=lambda: CAPACITY)
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[core_v1.Taint, ...] = ()
    address: str = ""
    alive: bool = True

    def describe(self, now: float) -> core_v1.Node:
        """The Node as its kubelet registers it."""
        labels = {
            "kubernetes.io/hostname": self.name,
            "kubernetes.io/os": "linux",
            "kubernetes.io/arch": "amd64",
            **self.labels,
        }
        return core_v1.Node(
            metadata=meta_v1.ObjectMeta(name=self.name, labels=labels),
            spec=core_v1.NodeSpec(taints=self.taints),
            status=self.status(now),
        )

    def status(self, now: float) -> core_v1.NodeStatus:
        at = rfc3339(now)

        def condition(type: str, status: str, reason: str, message: str) -> core_v1.NodeCondition:
            return core_v1.NodeCondition(
                type=type, status=status, reason=reason, message=message, lastHeartbeatTime=at, lastTransitionTime=at
            )

        return core_v1.NodeStatus(
            capacity=dict(self.capacity),
            allocatable=dict(self.capacity),
            addresses=(
                core_v1.NodeAddress(type="InternalIP", address=self.address),
                core_v1.NodeAddress(type="Hostname", address=self.name),
            ),
            conditions=(
                condition("MemoryPressure", "False", "KubeletHasSufficientMemory", "there is enough memory"),
                condition("DiskPressure", "False", "KubeletHasNoDiskPressure", "there is enough room"),
                condition("PIDPressure", "False", "KubeletHasSufficientPID", "there are enough process ids"),
                condition("Ready", "True", "KubeletReady", "the node pretends to be ready"),
            ),
            nodeInfo=core_v1.NodeSystemInfo(
                architecture="amd64",
                operatingSystem="linux",
                osImage="pretended",
                kubeletVersion="v1.37.0",
                containerRuntimeVersion="pretend://1",
                kernelVersion="6.18.0",
                kubeProxyVersion="",
                machineID=self.name,
                systemUUID=self.name,
                bootID=self.name,
            ),
        )


class Fleet:
    """All pretended nodes of a cluster, and one loop over their pods. `run` never returns."""

    def __init__(
        self, client: Client, informers: Informers, *, clock: Clock | None = None, renew: float = RENEW
    ) -> None:
        self.nodes: dict[str, PretendNode] = {}
        self._client = client
        self._renew_every = renew
        self._clock = clock or RealClock()
        self._since: dict[tuple[str, str], float] = {}
        self._addresses: dict[str, Iterator[ipaddress.IPv4Address | ipaddress.IPv6Address]] = {}
        self._numbers = ipaddress.ip_network("198.18.0.0/15").hosts()
        controller = Controller(
            name="pretended-kubelets",
            primary=core_v1.Pod,
            plan=self.plan,
            gone=self._gone,
            changed=unless_unchanged(_told),
            reads=(core_v1.Node,),
            workers=16,
        )
        recorder = Recorder(client, "kubelet", clock=self._clock)
        self._loop = Loop(controller, Environment(client, informers, recorder, self._clock))
        self._nodes, self._pods = informers.get(core_v1.Node), informers.get(core_v1.Pod)

    async def add(self, node: PretendNode) -> None:
        """Register a node, or have one that had fallen silent report again."""
        node.address = node.address or str(next(self._numbers))
        node.alive = True
        self.nodes[node.name] = node
        self._nodes.assume(await self._client.create(node.describe(self._clock.now())))
        await self._renew(node)

    async def wake(self, name: str) -> None:
        """A node that was silent is back."""
        node = self.nodes[name]
        node.alive = True
        await self._renew(node)
        present = await self._client.get(core_v1.Node, name)
        fresh = node.status(self._clock.now())
        await self._client.update(replace(present, status=fresh), subresource="status")
        for pod in self._pods.all():
            if pod.spec.nodeName == name:
                self._loop.queue.add(key_of(pod))

    async def run(self) -> None:
        async with Group("pretended nodes", clock=self._clock) as group:
            group.supervise("kubelets", self._loop.run)
            while True:
                await self._clock.sleep(self._renew_every)
                for node in tuple(self.nodes.values()):
                    if node.alive:
                        await self._renew(node)

    async def _renew(self, node: PretendNode) -> None:
        now = rfc3339_micro(self._clock.now())
        spec = coordination_v1.LeaseSpec(holderIdentity=node.name, leaseDurationSeconds=40, renewTime=now)
        lease = coordination_v1.Lease(metadata=meta_v1.ObjectMeta(name=node.name, namespace=LEASES), spec=spec)
        try:
            await self._client.patch(coordination_v1.Lease, node.name, LEASES, body={"spec": {"renewTime": now}})
        except FAILURES as error:
            if getattr(error, "code", 0) != 404:
                raise
            await self._client.create(lease)

    # --- pods ---

    def plan(self, pod: core_v1.Pod, view: View) -> Plan:
        node = self.nodes.get(pod.spec.nodeName or "")
        if node is None or not node.alive:
            return
        if pod.metadata.deletionTimestamp is not None:
            yield from self._end(pod, view)
            return
        if pod.status.phase in ("Succeeded", "Failed"):
            return
        started = self._since.setdefault((pod.metadata.uid or "", "started"), view.now)
        address = pod.status.podIP or self._address(pod, node, view)
        status = pretend.running(pod, node.address, address, view.now)
        wait = started + pretend.lasts(pod) - view.now
        due = pretend.ends(pod, status)
        if due and wait <= 0:
            self._since[pod.metadata.uid or "", "started"] = view.now
            status = pretend.ended(pod, status, due, view.now)
        if status != pod.status:
            pod = yield UpdateStatus(replace(pod, status=status))
        if status.phase == "Running" and (due := pretend.ends(pod, status)):
            yield Requeue(max(0.0, self._since[pod.metadata.uid or "", "started"] + pretend.lasts(pod) - view.now))

    def _end(self, pod: core_v1.Pod, view: View) -> Plan:
        since = self._since.setdefault((pod.metadata.uid or "", "deleted"), view.now)
        wait = since + min(pretend.lingers(pod), float(pod.metadata.deletionGracePeriodSeconds or 0)) - view.now
        if wait > 0:
            yield Requeue(wait)
            return
        if pod.status.phase not in ("Succeeded", "Failed"):
            pod = yield UpdateStatus(replace(pod, status=pretend.stopped(pod, view.now)))
        yield Delete(pod, grace=0)

    def _gone(self, key: tuple[str, str], view: View) -> Plan:
        """Nothing is left of the pod; what was known of its uid is dropped with the next sweep."""
        if len(self._since) > 10_000:
            known = {pod.metadata.uid for pod in view.all(core_v1.Pod)}
            self._since = {each: since for each, since in self._since.items() if each[0] in known}
        yield from ()

    def _address(self, pod: core_v1.Pod, node: PretendNode, view: View) -> str:
        if pod.spec.hostNetwork:
            return node.address
        known = view.get(core_v1.Node, node.name)
        cidr = known.spec.podCIDR if known is not None else None
        if not cidr:
            raise Retry(0.005, f"node {node.name} has no range of pod addresses yet")
        if cidr not in self._addresses:
            addresses = ipaddress.ip_network(cidr).hosts()
            next(addresses)  # the bridge's
            self._addresses[cidr] = addresses
        found = next(self._addresses[cidr], None)
        if found is None:
            # All were given once: whatever no pod has is free again.
            taken = {each.status.podIP for each in view.all(core_v1.Pod)}
            self._addresses[cidr] = (each for each in ipaddress.ip_network(cidr).hosts() if str(each) not in taken)
            found = next(self._addresses[cidr])
        return str(found)


def _told(pod: core_v1.Pod) -> tuple[object, ...]:
    """What a pretended kubelet acts upon."""
    metadata = pod.metadata
    return pod.spec.nodeName, metadata.generation, metadata.deletionTimestamp, metadata.annotations, pod.status


def is_ready(node: core_v1.Node) -> bool:
    """It reports, and nothing keeps ordinary pods away."""
    return conditions.is_true(node.status.conditions, "Ready") and not any(
        taint.key.startswith("node.kubernetes.io/") for taint in node.spec.taints
    )
