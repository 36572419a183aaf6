"""Doors in the host's own firewall. What one table of nftables drops no other can accept, and Docker, ufw and
firewalld set the policy of forwarding to drop: pods would reach nobody there.

Each base chain that filters what is forwarded or comes in and drops by policy gets rules in front, with a comment
that names us: traffic of the cluster's range may pass, and pods may reach the node's own addresses. They are such
as iptables understands when the chain is its own.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sampan.host import nft

log = logging.getLogger(__name__)

_FAMILIES = ("ip", "inet")
_PERMISSIVE_BY_POLICY = ("firewalld",)
"""Tables that accept by policy and reject in their last rule."""


class Chain(NamedTuple):
    family: str
    table: str
    name: str
    hook: str

    def __str__(self) -> str:
        return f"{self.family} {self.table} {self.name}"


def strict(chains: Sequence[Mapping[str, Any]]) -> list[Chain]:
    """Those of `nft -j list chains` that keep packets out."""
    found = []
    for item in chains:
        chain = item.get("chain", {})
        if chain.get("type") != "filter" or chain.get("hook") not in ("forward", "input"):
            continue
        keeps_out = chain.get("policy") == "drop" or chain["table"] in _PERMISSIVE_BY_POLICY
        if chain["family"] in _FAMILIES and keeps_out:
            found.append(Chain(chain["family"], chain["table"], chain["name"], chain["hook"]))
    return found


class Firewall:
    def __init__(self, instance: str, cluster_cidr: str, own: Collection[str]) -> None:
        self._comment = f"sampan {instance}"
        self._rules = {
            "forward": (f"ip saddr {cluster_cidr}", f"ip daddr {cluster_cidr}"),
            "input": tuple(f"ip saddr {cluster_cidr} ip daddr {address}" for address in own),
        }
        self._warned: set[Chain] = set()

    async def open(self, chains: Sequence[Mapping[str, Any]]) -> None:
        """Idempotent. `chains` as `nft -j list chains` has them. A chain that others own is reported once."""
        for chain in strict(chains):
            try:
                if await self._ours(chain):
                    continue
                rules = (
                    f'insert rule {chain} {match} accept comment "{self._comment}"\n'
                    for match in self._rules[chain.hook]
                )
                await nft.apply("".join(rules))
                log.info("chain %s drops by policy: traffic of the pods may pass now", chain)
            except nft.NftFailure as failure:
                self._report(chain, failure)

    async def close(self, chains: Sequence[Mapping[str, Any]]) -> None:
        """Take our rules out again. Idempotent."""
        for chain in strict(chains):
            handles = await self._ours(chain)
            if handles:
                await nft.apply("".join(f"delete rule {chain} handle {handle}\n" for handle in handles))

    async def _ours(self, chain: Chain) -> list[int]:
        """Handles of our rules."""
        listed = await nft.objects("chain", chain.family, chain.table, chain.name, handles=True)
        rules = (item["rule"] for item in listed if "rule" in item)
        return [rule["handle"] for rule in rules if rule.get("comment") == self._comment]

    def _report(self, chain: Chain, failure: nft.NftFailure) -> None:
        if chain not in self._warned:
            self._warned.add(chain)
            matches = " and ".join(self._rules[chain.hook])
            log.warning("chain %s drops by policy and cannot be changed; let pass %s: %s", chain, matches, failure)


def tables(chains: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Names of the tables of family ip that have chains."""
    for item in chains:
        if item.get("chain", {}).get("family") == "ip":
            yield item["chain"]["table"]
