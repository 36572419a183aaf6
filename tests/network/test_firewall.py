"""Firewalls of the host that drop what they do not know: iptables' chains, and a table of the owner's."""

from __future__ import annotations

import logging
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from sampan.host import nft
from sampan.network.firewall import Chain, Firewall, strict
from sampan.network.pods import BridgeNetwork
from tests.network import lab
from tests.network.lab import HOST, Pod

pytestmark = pytest.mark.kernel

OWNERS = """\
table inet filter {
  chain input { type filter hook input priority filter; policy drop; iifname "lo" accept; }
  chain forward { type filter hook forward priority filter; policy drop; }
  chain quiet { type filter hook forward priority 10; policy accept; }
}
"""
IPTABLES = shutil.which("iptables") or ""


def by_nft() -> None:
    subprocess.run(["nft", "-f", "-"], input=OWNERS, text=True, check=True)


def by_iptables() -> None:
    for chain in ("FORWARD", "INPUT"):
        subprocess.run([IPTABLES, "-P", chain, "DROP"], check=True)


WALLS = (by_nft, pytest.param(by_iptables, marks=pytest.mark.skipif(not IPTABLES, reason="iptables is not installed")))


@pytest.fixture(params=WALLS)
def wall(request: pytest.FixtureRequest, host: None) -> Callable[[], None]:
    """Raises the firewall."""
    raises: Callable[[], None] = request.param
    return raises


async def works(network: BridgeNetwork, namespace: Callable[[], str], name: str) -> None:
    pods = []
    for each in ("a", "b"):
        path = namespace()
        (address,) = await network.attach(f"{name}{each}", path, lab.config())
        pods.append(Pod(path, address))
    one, two = pods
    async with two.serve(8080), HOST.serve(6443, "host"):
        assert (await one.ask(two.address, 8080))[0] == two.address
        assert (await one.ask(network.gateway, 6443))[0] == "host"
        with pytest.raises(TimeoutError):
            await one.ask("192.0.2.2", 6443, deadline=0.2)


async def test_pods_pass_a_wall_that_was_there_and_one_that_comes(
    wall: Callable[[], None], tmp_path: Path, namespace: Callable[[], str]
) -> None:
    wall()
    before = lab.nft("list", "ruleset")
    network = lab.network(tmp_path)
    await network.setup()
    await works(network, namespace, "first")
    await network.ensure()
    assert lab.nft("list", "ruleset").count('comment "sampan') == 4, "once each"
    lab.nft("flush", "ruleset")
    wall()
    await network.ensure()
    await works(network, namespace, "second")
    await network.teardown()
    assert lab.nft("list", "ruleset") == before


@pytest.mark.skipif(not IPTABLES, reason="iptables is not installed")
async def test_iptables_understands_our_rules(host: None) -> None:
    by_iptables()
    await Firewall("lab", "10.244.0.0/16", ("10.244.0.1",)).open(await nft.objects("chains"))
    said = subprocess.run([IPTABLES, "-S"], check=True, capture_output=True, text=True).stdout
    assert '-A FORWARD -s 10.244.0.0/16 -m comment --comment "sampan lab" -j ACCEPT' in said
    assert '-A INPUT -s 10.244.0.0/16 -d 10.244.0.1/32 -m comment --comment "sampan lab" -j ACCEPT' in said


async def test_a_chain_that_cannot_be_changed_is_reported_once(caplog: pytest.LogCaptureFixture, host: None) -> None:
    gone = [
        {"chain": {"family": "inet", "table": "w", "name": "f", "type": "filter", "hook": "forward", "policy": "drop"}}
    ]
    firewall = Firewall("lab", "10.244.0.0/16", ())
    with caplog.at_level(logging.WARNING):
        await firewall.open(gone)
        await firewall.open(gone)
    (record,) = caplog.records
    assert "let pass ip saddr 10.244.0.0/16 and ip daddr 10.244.0.0/16" in record.getMessage()


def test_which_chains_are_strict() -> None:
    base = {"family": "ip", "table": "t", "name": "c", "type": "filter", "hook": "forward", "policy": "drop"}
    others = ({"hook": "output"}, {"type": "nat"}, {"policy": "accept"}, {"family": "ip6"})
    chains = [{"chain": {**base, **other}} for other in ({}, *others, {"table": "firewalld", "policy": "accept"})]
    found = [Chain("ip", "t", "c", "forward"), Chain("ip", "firewalld", "c", "forward")]
    assert strict([*chains, {"chain": {"family": "ip", "table": "t", "name": "plain"}}]) == found
