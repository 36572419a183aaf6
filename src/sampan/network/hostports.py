"""The pods' own table: host ports, masquerading towards the world, and the guard of the host's loopback."""

from __future__ import annotations

import asyncio
import functools
import ipaddress
from collections.abc import Iterable

from sampan.host import nft
from sampan.network import names, sysctls
from sampan.network.ipam import Lease, source
from sampan.network.proxy import conntrack, flows

_FOUND = "found-forward-"
"""A chain of this name and 0 or 1 tells what net.ipv4.ip_forward was before the first of us came. It lies in the
kernel beside what it describes: it is there after a crash, gone after a reboot, and seen by other instances."""

HAIRPINS = "hairpins"
"""The set of pods that may reach themselves by a port of the host, each as a pair of its address."""

Key = tuple[str, str]
"""The map or set and the key in it."""


class HostPorts:
    def __init__(self, instance: str, pod_cidr: str, cluster_cidr: str, dns_ip: str) -> None:
        self.table = names.table(instance, "pods")
        self._group = names.group(instance)
        self._source = source(pod_cidr)
        self._pod_cidr = pod_cidr
        self._cluster_cidr = cluster_cidr
        self._dns_ip = dns_ip
        self._open: dict[Key, str] = {}

    async def setup(self, leases: Iterable[Lease]) -> None:
        """Write the whole table anew, in one transaction, and let the kernel forward."""
        found = await self._forward_found()
        self._open = {key: target for lease in leases for key, target in _elements(lease)}
        elements = (f"add element {self._element(key, target)}\n" for key, target in self._open.items())
        await nft.apply(self._ruleset(found) + "".join(elements))
        sysctls.write(sysctls.FORWARD, "1")

    async def teardown(self) -> None:
        """Delete the table; the last instance to go puts forwarding back as the first one found it."""
        found = await self._forward_found()
        await nft.delete_table(self.table)
        if not await self._marks() and found == "0":
            sysctls.write(sysctls.FORWARD, "0")

    async def open(self, lease: Lease) -> None:
        """Raises OSError when another pod has one of the ports."""
        wanted = {key: target for key, target in _elements(lease) if self._open.get(key) != target}
        for key in wanted:
            if key in self._open:
                raise OSError(f"host port {key[1]} is taken by {self._open[key]}")
        if wanted:
            await nft.apply("".join(f"add element {self._element(key, target)}\n" for key, target in wanted.items()))
            self._open.update(wanted)
            await self._forget_flows(lease)

    async def close(self, lease: Lease) -> None:
        """Idempotent."""
        gone = {key: target for key, target in _elements(lease) if self._open.get(key) == target}
        if gone:
            await nft.apply("".join(f"delete element {self._element(key, target)}\n" for key, target in gone.items()))
            for key in gone:
                del self._open[key]

    async def _forget_flows(self, lease: Lease) -> None:
        """UDP clients of an earlier pod with the same host port come to the new one."""
        changed = {
            (port.address, port.port): flows.Change(flows.NONE, frozenset({(lease.address, port.pod_port)}))
            for port in lease.ports
            if port.protocol == "udp"
        }
        if changed:
            pods = ipaddress.IPv4Network(self._pod_cidr)
            outdated = functools.partial(flows.outdated, changed, pods)
            await asyncio.get_running_loop().run_in_executor(None, conntrack.delete_udp, outdated)

    def _element(self, key: Key, target: str) -> str:
        element = f"{key[1]} : {target}" if target else key[1]
        return f"ip {self.table} {key[0]} {{ {element} }}"

    async def _marks(self) -> list[str]:
        """What each instance's mark says."""
        chains = [item["chain"]["name"] for item in await nft.objects("chains", "ip") if "chain" in item]
        return [name.removeprefix(_FOUND) for name in chains if name.startswith(_FOUND)]

    async def _forward_found(self) -> str:
        marks = await self._marks()
        return marks[0] if marks else sysctls.read(sysctls.FORWARD)

    def _ruleset(self, found: str) -> str:
        table, pods, cluster, link, dns = self.table, self._pod_cidr, self._cluster_cidr, self._group, self._dns_ip
        return f"""\
table ip {table} {{}}
delete table ip {table}
table ip {table} {{
  chain {_FOUND}{found} {{
  }}
  map ports {{
    type inet_proto . inet_service : ipv4_addr . inet_service
  }}
  map address-ports {{
    type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service
  }}
  set {HAIRPINS} {{
    type ipv4_addr . ipv4_addr
  }}
  chain guard {{
    type filter hook prerouting priority raw; policy accept;
    ip daddr {dns} notrack comment "answered here"
    iifgroup {link} ip daddr 127.0.0.0/8 drop comment "route_localnet is for answers only"
    iifgroup {link} fib saddr . iif oif 0 drop comment "a pod speaks with its own address"
  }}
  chain untracked {{
    type filter hook output priority raw; policy accept;
    ip saddr {dns} notrack
    ip daddr {dns} notrack
  }}
  chain redirects {{
    type filter hook output priority filter; policy accept;
    oifgroup {link} icmp type redirect drop comment "pods reach each other through the host"
  }}
  chain translate {{
    ip daddr . meta l4proto . th dport @address-ports dnat ip addr . port to \
ip daddr . meta l4proto . th dport map @address-ports
    fib daddr type local dnat ip addr . port to meta l4proto . th dport map @ports
  }}
  chain prerouting {{
    type nat hook prerouting priority dstnat + 5; policy accept;
    jump translate
  }}
  chain output {{
    type nat hook output priority -95; policy accept;
    jump translate
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat + 5; policy accept;
    oifgroup {link} ip saddr 127.0.0.0/8 snat to {self._source}
    ct status dnat ip saddr . ip daddr @{HAIRPINS} snat to {self._source}
    ip saddr {pods} ip daddr != {cluster} masquerade
  }}
}}
"""


def _elements(lease: Lease) -> list[tuple[Key, str]]:
    found: list[tuple[Key, str]] = []
    for port in lease.ports:
        host = f"{port.protocol} . {port.port}"
        key = ("address-ports", f"{port.address} . {host}") if port.address else ("ports", host)
        found.append((key, f"{lease.address} . {port.pod_port}"))
    if found:
        found.append(((HAIRPINS, f"{lease.address} . {lease.address}"), ""))
    return found
