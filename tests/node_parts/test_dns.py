from __future__ import annotations

from pathlib import Path

import pytest

from sampan.host.containers import DNSConfig
from sampan.node.contracts import ClusterFacts
from sampan.node.dns import PodDNS, dns_config, parse
from tests.node_parts.pods import pod

CLUSTER = ClusterFacts("cluster.local", ("10.96.0.10",))
NODE = DNSConfig(("192.0.2.53",), ("corp.example",), ("rotate",))
SEARCHES = ("default.svc.cluster.local", "svc.cluster.local", "cluster.local", "corp.example")


def config(spec: str, cluster: ClusterFacts = CLUSTER, node: DNSConfig = NODE) -> DNSConfig:
    return dns_config(pod(spec + "\ncontainers: [{name: c, image: i}]"), cluster, node)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("", DNSConfig(("10.96.0.10",), SEARCHES, ("ndots:5",))),
        ("hostNetwork: true", NODE),
        ("hostNetwork: true\ndnsPolicy: ClusterFirstWithHostNet", DNSConfig(("10.96.0.10",), SEARCHES, ("ndots:5",))),
        ("dnsPolicy: Default", NODE),
        (
            "dnsPolicy: None\ndnsConfig: {nameservers: [1.1.1.1], searches: [a.b], "
            "options: [{name: ndots, value: '2'}]}",
            DNSConfig(("1.1.1.1",), ("a.b",), ("ndots:2",)),
        ),
    ],
)
def test_policies(spec: str, expected: DNSConfig) -> None:
    assert config(spec) == expected


def test_the_pods_wishes_are_merged() -> None:
    found = config(
        "dnsConfig: {nameservers: [9.9.9.9, 10.96.0.10], searches: [x.y, cluster.local], "
        "options: [{name: ndots, value: '1'}, {name: edns0}]}"
    )
    assert found.servers == ("10.96.0.10", "9.9.9.9")
    assert found.searches == (*SEARCHES, "x.y")
    assert found.options == ("ndots:1", "edns0")


def test_limits_of_the_resolver() -> None:
    many = ", ".join(f"d{at}.example" for at in range(40))
    found = config(f"dnsConfig: {{nameservers: [1.0.0.1, 1.0.0.2, 1.0.0.3], searches: [{many}]}}")
    assert found.servers == ("10.96.0.10", "1.0.0.1", "1.0.0.2")
    assert len(found.searches) == 32
    long = ", ".join("x" * 60 + f"{at:02}.example" for at in range(31))
    assert len(" ".join(config(f"dnsConfig: {{searches: [{long}]}}").searches)) <= 2048


def test_a_cluster_without_dns_leaves_the_nodes() -> None:
    assert config("", ClusterFacts("cluster.local", ())) == NODE


def test_reading_resolv_conf() -> None:
    text = (
        "# c\n; c\nnameserver 1.1.1.1\ndomain old.example\nsearch a.example. b.example\n"
        "options ndots:2 rotate\noptions rotate\n"
    )
    assert parse(text) == DNSConfig(("1.1.1.1",), ("a.example", "b.example"), ("ndots:2", "rotate"))


def test_a_stub_on_loopback_is_seen_through(tmp_path: Path) -> None:
    stub, behind = tmp_path / "stub", tmp_path / "behind"
    stub.write_text("nameserver 127.0.0.53\nsearch home\n")
    dns = PodDNS(stub, behind)
    assert dns.node().servers == ("127.0.0.53",)
    behind.write_text("nameserver 192.0.2.1\nsearch home\n")
    assert dns.node().servers == ("192.0.2.1",)
    one = pod("dnsPolicy: Default\ncontainers: []")
    assert dns(one, CLUSTER) == DNSConfig(("192.0.2.1",), ("home",))


def test_a_node_without_the_file_has_no_dns(tmp_path: Path) -> None:
    assert PodDNS(tmp_path / "none", tmp_path / "none").node() == DNSConfig()
