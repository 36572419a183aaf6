"""Services and EndpointSlices to rules: golden pairs `X.input.yaml`, `X.output.nft`; `--update` rewrites the latter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sampan.api.types import core_v1, discovery_v1
from sampan.network.proxy.compute import View, compute
from sampan.network.proxy.render import Table
from sampan.network.proxy.ruleset import Ruleset
from tests.network import cluster

GOLDEN = Path(__file__).parent / "golden"
TABLE = Table("golden", "10.244.0.0/16", "10.96.0.0/16", "10.244.0.0/24")
VIEW = View("here", "10.244.0.0/24", frozenset({"10.96.0.10"}), "east")
TYPES: dict[str, Any] = {"Service": core_v1.Service, "EndpointSlice": discovery_v1.EndpointSlice}


def read(path: Path) -> Ruleset:
    documents = [msgspec.convert(each, TYPES[each["kind"]]) for each in yaml.safe_load_all(path.read_text())]
    services = [each for each in documents if isinstance(each, core_v1.Service)]
    return compute(services, [each for each in documents if isinstance(each, discovery_v1.EndpointSlice)], VIEW)


def shown(ruleset: Ruleset) -> str:
    """The changing part of the table, and what is not in the table."""
    lines = [TABLE.difference(Ruleset(), ruleset).rstrip()]
    lines += [f"# udp {frontend} -> {sorted(targets)}" for frontend, targets in sorted(ruleset.flows.items())]
    lines += [f"# health {port} {tuple(health)}" for port, health in sorted(ruleset.health.items())]
    return "\n".join(lines).strip() + "\n"


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.input.yaml")), ids=lambda path: path.name.partition(".")[0])
def test_golden(path: Path, pytestconfig: pytest.Config) -> None:
    made, golden = shown(read(path)), path.with_name(path.name.replace(".input.yaml", ".output.nft"))
    if pytestconfig.getoption("--update"):
        golden.write_text(made)
    assert made == golden.read_text(), f"run pytest --update when {golden.name} should change"


def test_no_order_of_the_input_matters() -> None:
    services = [cluster.service(name, clusterIP=f"10.96.1.{at}") for at, name in enumerate("abc")]
    slices = [cluster.slice(name, f"10.244.0.{at}", "10.244.1.9") for at, name in enumerate("abc")]
    assert compute(services, slices, VIEW) == compute(services[::-1], slices[::-1], VIEW)


def test_what_cannot_be_translated_is_left_out() -> None:
    left_out = [
        cluster.service("name", type="ExternalName", externalName="example.org"),
        cluster.service("headless", clusterIP="None"),
        cluster.service("fresh", clusterIP=""),
        cluster.service("sixth", clusterIP="fd00::1"),
        cluster.service("dns", clusterIP="10.96.0.10"),
        cluster.service("other", labels={"service.kubernetes.io/service-proxy-name": "other"}),
    ]
    assert compute(left_out, [cluster.slice("other", "10.244.0.5")], VIEW) == Ruleset()


def test_the_first_service_keeps_an_external_address() -> None:
    both = [
        cluster.service(name, clusterIP=ip, externalIPs=("198.51.100.1",))
        for name, ip in (("a", "10.96.0.1"), ("b", "10.96.0.2"))
    ]
    slices = [cluster.slice("a"), cluster.slice("b", "10.244.0.5")]
    ruleset = compute(both, slices, VIEW)
    assert "198.51.100.1 . tcp . 80" not in ruleset.maps["dead-services"], "who can serve it does"
    assert "198.51.100.1 . tcp . 80" in ruleset.maps["services"]


@given(ready=st.lists(st.booleans(), max_size=6), serving=st.lists(st.booleans(), max_size=6))
def test_a_service_leads_to_somebody_or_refuses(ready: list[bool], serving: list[bool]) -> None:
    endpoints = [cluster.endpoint(f"10.244.0.{at + 2}", ready=each) for at, each in enumerate(ready)]
    endpoints += [
        cluster.endpoint(f"10.244.1.{at + 2}", ready=False, serving=each, terminating=True)
        for at, each in enumerate(serving)
    ]
    ruleset = compute([cluster.service("web")], [cluster.slice("web", *endpoints)], VIEW)
    alive = "10.96.0.50 . tcp . 80" in ruleset.maps["services"]
    assert alive == any([*ready, *serving])
    assert alive != ("10.96.0.50 . tcp . 80" in ruleset.maps["dead-services"])
    text = "".join("".join(rules) for rules in ruleset.chains.values())
    for at, each in enumerate(ready):
        assert (f"ip to 10.244.0.{at + 2}:" in text or f"10.244.0.{at + 2} . " in text) == each
    for at, each in enumerate(serving):
        assert (f"ip to 10.244.1.{at + 2}:" in text or f"10.244.1.{at + 2} . " in text) == (each and not any(ready))
