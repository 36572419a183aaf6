"""A ruleset as nft's text: whole, or what changes one into another. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sampan.network.ipam import source
from sampan.network.proxy.compute import MASQUERADE
from sampan.network.proxy.ruleset import Ruleset, changed


@dataclass(frozen=True, slots=True)
class Table:
    """The table's name and the ranges that its fixed part speaks of. `pod_cidr` is the node's share."""

    name: str
    cluster_cidr: str
    service_cidr: str
    pod_cidr: str

    def whole(self, ruleset: Ruleset) -> str:
        """A script that replaces the table, in one transaction."""
        lines = [f"table ip {self.name} {{}}", f"delete table ip {self.name}", self._base()]
        return "\n".join([*lines, *self._changes(Ruleset(), ruleset)]) + "\n"

    def difference(self, old: Ruleset, new: Ruleset) -> str:
        """A script that turns one into the other; empty when nothing changed."""
        lines = list(self._changes(old, new))
        return "\n".join(lines) + "\n" if lines else ""

    def _changes(self, old: Ruleset, new: Ruleset) -> Iterator[str]:
        """Names before those who use them; the last users of a name before it goes."""
        table = f"ip {self.name}"
        old_sets, new_sets = changed(old.sets, new.sets)
        old_chains, new_chains = changed(old.chains, new.chains)
        for name in old_chains:
            yield f"flush chain {table} {name}"
        for name in old_sets:
            yield f"delete set {table} {name}"
        for name in new_sets:
            yield (
                f"add set {table} {name} {{ type ipv4_addr; flags dynamic,timeout; "
                f"timeout {new.sets[name]}s; size 65535; }}"
            )
        for name in new_chains:
            if name not in old.chains:
                yield f"add chain {table} {name}"
        for name in new_chains:
            for rule in new.chains[name]:
                yield f"add rule {table} {name} {rule}"
        for name in new.maps:
            yield from self._elements(name, old.maps[name], new.maps[name])
        gone, added = sorted(old.hairpins - new.hairpins), sorted(new.hairpins - old.hairpins)
        yield from _listed(f"delete element {table} hairpins", gone)
        yield from _listed(f"add element {table} hairpins", added)
        for name in old_chains:
            if name not in new.chains:
                yield f"delete chain {table} {name}"

    def _elements(self, name: str, old: dict[str, str], new: dict[str, str]) -> Iterator[str]:
        gone, added = changed(old, new)
        yield from _listed(f"delete element ip {self.name} {name}", [f"{key} : {old[key]}" for key in gone])
        yield from _listed(f"add element ip {self.name} {name}", [f"{key} : {new[key]}" for key in added])

    def _base(self) -> str:
        frontend = "ip daddr . meta l4proto . th dport"
        local = "fib daddr type local meta l4proto . th dport"
        return f"""\
table ip {self.name} {{
  map services {{ type ipv4_addr . inet_proto . inet_service : verdict; }}
  map node-ports {{ type inet_proto . inet_service : verdict; }}
  map dead-services {{ type ipv4_addr . inet_proto . inet_service : verdict; }}
  map dead-node-ports {{ type inet_proto . inet_service : verdict; }}
  set hairpins {{ type ipv4_addr . ipv4_addr; }}
  chain translate {{
    ip daddr {self.service_cidr} ip saddr != {self.cluster_cidr} meta mark set meta mark | {MASQUERADE:#x}
    {frontend} vmap @services
    {local} vmap @node-ports
  }}
  chain prerouting {{
    type nat hook prerouting priority dstnat; policy accept;
    jump translate
  }}
  chain output {{
    type nat hook output priority -100; policy accept;
    jump translate
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    ct status dnat ip daddr {self.pod_cidr} ip saddr . ip daddr @hairpins snat to {source(self.pod_cidr)}
    ct status dnat ip daddr {self.pod_cidr} meta mark & {MASQUERADE:#x} != 0 snat to {source(self.pod_cidr)}
    ct status dnat meta mark & {MASQUERADE:#x} != 0 masquerade
  }}
  chain refuse {{
    meta l4proto tcp reject with tcp reset
    reject
  }}
  chain dead {{
    {frontend} vmap @dead-services
    {local} vmap @dead-node-ports
  }}
  chain unknown {{
    ip daddr {self.service_cidr} fib daddr type != local goto refuse
  }}
  chain filter-input {{
    type filter hook input priority filter; policy accept;
    ct state new jump dead
  }}
  chain filter-forward {{
    type filter hook forward priority filter; policy accept;
    ct state new jump dead
    ct state new jump unknown
  }}
  chain filter-output {{
    type filter hook output priority filter; policy accept;
    ct state new jump dead
    ct state new jump unknown
  }}
}}"""


def _listed(command: str, elements: Iterable[str]) -> Iterator[str]:
    """One command for all elements: nft commits lists much faster than lines."""
    text = ", ".join(elements)
    if text:
        yield f"{command} {{ {text} }}"
