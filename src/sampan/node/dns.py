"""A pod's resolv.conf: what dnsPolicy and dnsConfig make of the cluster's DNS and the node's own.

See resolv.conf(5) and the Kubernetes documentation on DNS for services and pods.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sampan.api.types import core_v1
from sampan.host.containers import DNSConfig
from sampan.node.contracts import ClusterFacts

MAX_SERVERS, MAX_SEARCHES, MAX_SEARCH_BYTES = 3, 32, 2048
"""What the resolver in a pod reads; what goes beyond is left out."""

CLUSTER_OPTIONS = ("ndots:5",)

RESOLV_CONF, SYSTEMD_RESOLV_CONF = Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf")


@dataclass(frozen=True, slots=True)
class PodDNS:
    """contracts.Parts.dns_config. The node's files are read anew for each pod: laptops change networks."""

    resolv_conf: Path = RESOLV_CONF
    systemd_resolv_conf: Path = SYSTEMD_RESOLV_CONF

    def __call__(self, pod: core_v1.Pod, cluster: ClusterFacts) -> DNSConfig:
        return dns_config(pod, cluster, self.node())

    def node(self) -> DNSConfig:
        """The node's own. A stub on the node's loopback cannot be reached from a pod: what is behind it can."""
        own = parse(_read(self.resolv_conf))
        if own.servers and all(_loopback(server) for server in own.servers):
            behind = parse(_read(self.systemd_resolv_conf))
            return behind if behind.servers else own
        return own


def dns_config(pod: core_v1.Pod, cluster: ClusterFacts, node: DNSConfig) -> DNSConfig:
    """The merged configuration, within the resolver's limits. Pure."""
    policy = pod.spec.dnsPolicy or "ClusterFirst"
    if policy == "None":
        base = DNSConfig()
    elif policy == "Default" or (policy == "ClusterFirst" and pod.spec.hostNetwork) or not cluster.dns_ips:
        base = node
    else:
        own = (f"{pod.metadata.namespace}.svc.{cluster.domain}", f"svc.{cluster.domain}", cluster.domain)
        base = DNSConfig(cluster.dns_ips, (*own, *node.searches), CLUSTER_OPTIONS)
    wish = pod.spec.dnsConfig or core_v1.PodDNSConfig()
    return DNSConfig(
        servers=_unique((*base.servers, *wish.nameservers))[:MAX_SERVERS],
        searches=_fitting(_unique((*base.searches, *wish.searches))),
        options=_options(base.options, wish.options),
    )


def _options(base: Sequence[str], wish: Sequence[core_v1.PodDNSConfigOption]) -> tuple[str, ...]:
    """An option of the pod replaces the one of the same name."""
    merged = {option.partition(":")[0]: option for option in base}
    for option in wish:
        if option.name:
            merged[option.name] = f"{option.name}:{option.value}" if option.value is not None else option.name
    return tuple(merged.values())


def _fitting(searches: Sequence[str]) -> tuple[str, ...]:
    fitting, size = [], -1
    for search in searches[:MAX_SEARCHES]:
        size += len(search) + 1
        if size > MAX_SEARCH_BYTES:
            break
        fitting.append(search)
    return tuple(fitting)


def _unique(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values))


def parse(text: str) -> DNSConfig:
    """Of a resolv.conf: the last `search` or `domain` line holds; options add up."""
    servers: list[str] = []
    searches: tuple[str, ...] = ()
    options: list[str] = []
    for line in text.splitlines():
        words = line.split()
        if not words or line.lstrip()[0] in "#;":
            continue
        keyword, values = words[0], words[1:]
        if keyword == "nameserver" and values:
            servers.append(values[0])
        elif keyword in ("search", "domain"):
            searches = tuple(value.rstrip(".") or "." for value in values)
        elif keyword == "options":
            options += values
    return DNSConfig(tuple(servers), searches, _unique(options))


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except FileNotFoundError:
        return ""


def _loopback(server: str) -> bool:
    try:
        return ipaddress.ip_address(server.partition("%")[0]).is_loopback
    except ValueError:
        return False
