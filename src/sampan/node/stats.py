"""What pods and the node use: the summary API (/stats/summary) and resource metrics, from the runtime's figures.

Sources: the kubelet's stats/v1alpha1 API and its resource metrics, as metrics-server and autoscalers read them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from sampan.api.types import core_v1
from sampan.host.containers import Container, ContainerRuntime, Sandbox, Stats
from sampan.node.build import POD_NAME, POD_NAMESPACE
from sampan.node.contracts import Places
from sampan.node.volumes.usage import Measured
from sampan.runtime.clock import rfc3339

SHORTEST = 1.0
"""Seconds between two figures that a rate is computed of."""


class Metric(NamedTuple):
    """One series at a time (Unix seconds)."""

    name: str
    labels: Mapping[str, str]
    value: float
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class Usage:
    """Figures of one container: who it is and what it uses."""

    container: Container
    stats: Stats


@dataclass(frozen=True, slots=True)
class PodUsage:
    sandbox: Sandbox
    stats: Stats | None
    containers: tuple[Usage, ...]


class Collector:
    """Reads figures when asked. Remembers one older figure of everything that runs, for rates."""

    def __init__(
        self,
        runtime: ContainerRuntime,
        node: str,
        places: Places,
        *,
        proc: Path = Path("/proc"),
        volumes: Callable[[], Iterable[Measured]] = tuple,
    ) -> None:
        """`volumes` are the figures of volumes that claims stand behind."""
        self._runtime = runtime
        self._node = node
        self._places = places
        self._proc = proc
        self._volumes = volumes
        self._before: dict[str, Stats] = {}
        self._rates: dict[str, float] = {}

    async def usage(self) -> list[PodUsage]:
        """Of all sandboxes that run, and the running containers in them."""
        containers: dict[str, list[Usage]] = {}
        for container in await self._runtime.containers():
            if container.state == "running" and (stats := await self._runtime.stats(container.id)) is not None:
                containers.setdefault(container.sandbox_id, []).append(Usage(container, stats))
        found = []
        for sandbox in await self._runtime.sandboxes():
            if sandbox.ready:
                stats = await self._runtime.sandbox_stats(sandbox.id)
                found.append(PodUsage(sandbox, stats, tuple(containers.get(sandbox.id, ()))))
        self._forget({*(p.sandbox.id for p in found), *(u.container.id for p in found for u in p.containers), ""})
        return found

    def node_stats(self) -> Stats:
        """Of the whole machine."""
        return machine_stats(self._proc)

    # --- /stats/summary ---

    async def summary(self, pods: Collection[core_v1.Pod]) -> dict[str, Any]:
        """The document. `pods` are the node's, for the times when they started."""
        started = {pod.metadata.uid: pod.status.startTime for pod in pods}
        own = self.node_stats()
        disk = file_system(str(self._places.root))
        node = {
            "nodeName": self._node,
            "startTime": rfc3339(boot_time(self._proc)),
            "cpu": self._cpu("", own),
            "memory": _memory(own, memory_total(self._proc)),
            "fs": disk,
            "runtime": {"imageFs": disk, "containerFs": disk},
        }
        found = [self._pod(each, started.get(each.sandbox.config.uid)) for each in await self.usage()]
        volumes = self._volumes_by_pod()
        for pod in found:
            if held := volumes.get(pod["podRef"]["uid"]):
                pod["volume"] = held
        return {"node": node, "pods": found}

    def _volumes_by_pod(self) -> Mapping[str, list[dict[str, Any]]]:
        found: dict[str, list[dict[str, Any]]] = {}
        for each in self._volumes():
            claim = {"name": each.claim, "namespace": each.pod.metadata.namespace}
            stats = {"time": rfc3339(each.at), "name": each.volume, "pvcRef": claim, **each.usage.summary()}
            found.setdefault(each.pod.metadata.uid or "", []).append(stats)
        return found

    def _pod(self, pod: PodUsage, started: str | None) -> dict[str, Any]:
        config = pod.sandbox.config
        found: dict[str, Any] = {
            "podRef": {"name": config.name, "namespace": config.namespace, "uid": config.uid},
            "startTime": started or rfc3339(pod.sandbox.created_at),
            "containers": [self._container(each) for each in pod.containers],
        }
        if pod.stats is not None:
            limit = config.resources.memory_limit
            found |= {"cpu": self._cpu(pod.sandbox.id, pod.stats), "memory": _memory(pod.stats, limit)}
            found["process_stats"] = {"process_count": pod.stats.pids}
        return found

    def _container(self, usage: Usage) -> dict[str, Any]:
        container = usage.container
        return {
            "name": container.config.name,
            "startTime": rfc3339(container.started_at),
            "cpu": self._cpu(container.id, usage.stats),
            "memory": _memory(usage.stats, container.config.resources.memory_limit),
        }

    def _cpu(self, key: str, stats: Stats) -> dict[str, Any]:
        found: dict[str, Any] = {"time": rfc3339(stats.at), "usageCoreNanoSeconds": stats.cpu_usage}
        rate = self._rate(key, stats)
        return found if rate is None else {**found, "usageNanoCores": int(rate)}

    def _rate(self, key: str, now: Stats) -> float | None:
        """Nanoseconds of CPU a second since an older figure; None for what is seen for the first time."""
        before = self._before.get(key)
        if before is None:
            self._before[key] = now
        elif now.at - before.at >= SHORTEST:
            self._rates[key] = max(0, now.cpu_usage - before.cpu_usage) / (now.at - before.at)
            self._before[key] = now
        return self._rates.get(key)

    def _forget(self, keep: Collection[str]) -> None:
        for table in (self._before, self._rates):
            for key in [key for key in table if key not in keep]:
                del table[key]

    # --- metrics ---

    async def resource_metrics(self) -> list[Metric]:
        """/metrics/resource."""
        node = self.node_stats()
        found = [
            Metric("node_cpu_usage_seconds_total", {}, node.cpu_usage / 1e9, node.at),
            Metric("node_memory_working_set_bytes", {}, node.memory_working_set, node.at),
            Metric("resource_scrape_error", {}, 0),
        ]
        for pod in await self.usage():
            where = {"namespace": pod.sandbox.config.namespace, "pod": pod.sandbox.config.name}
            if pod.stats is not None:
                found += _resources("pod", where, pod.stats)
            for usage in pod.containers:
                labels = {"container": usage.container.config.name, **where}
                found += _resources("container", labels, usage.stats)
                found.append(Metric("container_start_time_seconds", labels, usage.container.started_at, usage.stats.at))
        return found

    async def container_metrics(self) -> list[Metric]:
        """/metrics/cadvisor: the figures that dashboards ask for most."""
        found = []
        for pod in await self.usage():
            for usage in pod.containers:
                config, stats = usage.container.config, usage.stats
                cpu = stats.cpu_usage / 1e9
                labels = {
                    "container": config.name,
                    "id": f"/{pod.sandbox.config.cgroup}/{usage.container.id}",
                    "image": usage.container.image_ref or config.image,
                    "name": usage.container.id,
                    "namespace": config.labels.get(POD_NAMESPACE, pod.sandbox.config.namespace),
                    "pod": config.labels.get(POD_NAME, pod.sandbox.config.name),
                }
                found += [
                    Metric("container_cpu_usage_seconds_total", {**labels, "cpu": "total"}, cpu, stats.at),
                    Metric("container_memory_usage_bytes", labels, stats.memory_usage, stats.at),
                    Metric("container_memory_working_set_bytes", labels, stats.memory_working_set, stats.at),
                    Metric("container_memory_rss", labels, stats.memory_rss, stats.at),
                    Metric("container_processes", labels, stats.pids, stats.at),
                    Metric("container_start_time_seconds", labels, usage.container.started_at, stats.at),
                    Metric("container_spec_memory_limit_bytes", labels, config.resources.memory_limit, stats.at),
                    Metric("container_spec_cpu_shares", labels, config.resources.cpu_shares, stats.at),
                ]
                if config.resources.cpu_quota:
                    found.append(Metric("container_spec_cpu_quota", labels, config.resources.cpu_quota, stats.at))
        return found


def _resources(what: str, labels: Mapping[str, str], stats: Stats) -> list[Metric]:
    return [
        Metric(f"{what}_cpu_usage_seconds_total", labels, stats.cpu_usage / 1e9, stats.at),
        Metric(f"{what}_memory_working_set_bytes", labels, stats.memory_working_set, stats.at),
    ]


def _memory(stats: Stats, limit: int) -> dict[str, Any]:
    """`limit` in bytes, 0 for none; only with one is there something available."""
    found: dict[str, Any] = {
        "time": rfc3339(stats.at),
        "usageBytes": stats.memory_usage,
        "workingSetBytes": stats.memory_working_set,
        "rssBytes": stats.memory_rss,
    }
    return {**found, "availableBytes": max(0, limit - stats.memory_working_set)} if limit else found


def expose(metrics: Iterable[Metric]) -> str:
    """Prometheus' text format, with the figures' own times and every digit."""
    lines: list[str] = []
    described = ""
    for metric in sorted(metrics, key=lambda each: each.name):
        if metric.name != described:
            described = metric.name
            lines.append(f"# TYPE {metric.name} {'counter' if metric.name.endswith('_total') else 'gauge'}")
        labels = ",".join(f'{name}="{_escape(value)}"' for name, value in metric.labels.items())
        series = f"{metric.name}{{{labels}}}" if labels else metric.name
        moment = f" {int(metric.at * 1000)}" if metric.at else ""
        lines.append(f"{series} {metric.value!r}{moment}")
    return "\n".join(lines) + "\n" if lines else ""


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


# --- the machine ---


def machine_stats(proc: Path) -> Stats:
    """CPU of all that is not idle, memory that cannot be had without swapping. See proc(5)."""
    ticks = [int(word) for word in (proc / "stat").read_text().split("\n", 1)[0].split()[1:9]]
    user, nice, system, _, _, irq, softirq, steal = ticks
    busy = user + nice + system + irq + softirq + steal
    table = _meminfo(proc)
    total = table.get("MemTotal", 0)
    return Stats(
        at=time.time(),
        cpu_usage=busy * 10**9 // os.sysconf("SC_CLK_TCK"),
        memory_usage=total - table.get("MemFree", 0),
        memory_working_set=total - table.get("MemAvailable", 0),
        memory_rss=table.get("AnonPages", 0),
    )


def memory_total(proc: Path) -> int:
    return _meminfo(proc).get("MemTotal", 0)


def _meminfo(proc: Path) -> dict[str, int]:
    lines = (line.split() for line in (proc / "meminfo").read_text().splitlines())
    return {words[0].rstrip(":"): int(words[1]) * 1024 for words in lines if len(words) == 3}


def boot_time(proc: Path) -> float:
    lines = (proc / "stat").read_text().splitlines()
    return next((float(line.split()[1]) for line in lines if line.startswith("btime ")), 0.0)


def file_system(path: str) -> dict[str, Any]:
    """Bytes and files of the file system that a path lies on, as the summary shows them."""
    found = os.statvfs(path)
    return {
        "time": rfc3339(time.time()),
        "availableBytes": found.f_bavail * found.f_frsize,
        "capacityBytes": found.f_blocks * found.f_frsize,
        "usedBytes": (found.f_blocks - found.f_bfree) * found.f_frsize,
        "inodesFree": found.f_ffree,
        "inodes": found.f_files,
        "inodesUsed": found.f_files - found.f_ffree,
    }
