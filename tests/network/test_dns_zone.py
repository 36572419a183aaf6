"""The cluster's names by the Kubernetes DNS specification 1.1.0."""

from __future__ import annotations

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.api.types import core_v1, discovery_v1
from sampan.network import indexes
from sampan.network.dns import wire
from sampan.network.dns.zone import BY_IP, Zone, cluster_ips
from tests.network import cluster, dig


@pytest.fixture(scope="module")
def zone() -> Zone:
    made = cluster.Cluster()
    services = made.informers.get(core_v1.Service, indexes={BY_IP: cluster_ips})
    slices = made.informers.get(
        discovery_v1.EndpointSlice,
        indexes={indexes.BY_SERVICE: indexes.service_of, indexes.BY_ADDRESS: indexes.addresses_of},
    )
    http, log = cluster.port(80, name="http"), cluster.port(514, name="log", protocol="UDP")
    made.put(
        cluster.service("web", http, log),
        cluster.service("dual", clusterIPs=("10.96.0.51", "fd00::51"), clusterIP="10.96.0.51"),
        cluster.service("db", http, clusterIP="None"),
        cluster.slice(
            "db",
            cluster.endpoint("10.244.0.5", hostname="db-0"),
            cluster.endpoint("10.244.0.6"),
            cluster.endpoint("10.244.0.7", hostname="db-2", ready=False),
            ports=(("http", 8080, "TCP"),),
        ),
        cluster.service("empty", clusterIP="None"),
        cluster.service("out", type="ExternalName", clusterIP="", externalName="www.Example.org"),
        cluster.service("wrong", type="ExternalName", clusterIP="", externalName="x" * 70),
        cluster.service("web", http, namespace="other", clusterIP="10.96.0.52"),
        cluster.slice("web", "10.244.0.9"),
        cluster.slice("web", cluster.endpoint("192.0.2.99"), namespace="other"),
    )
    return Zone(
        services,
        slices,
        domain="cluster.local",
        service_cidr="10.96.0.0/16",
        pod_cidr="10.244.0.0/16",
        dns_ip="10.96.0.10",
    )


def ask(zone: Zone, name: str, type: str = "A") -> tuple[int, list[str]] | None:
    answer = zone.answer(wire.name(name).lower(), dig.TYPES[type])
    if answer is None:
        return None
    assert bool(answer.records) != bool(answer.soa)
    return answer.rcode, sorted(dig.shown(record) for record in answer.records)


NONE: list[str] = []
DB = "db.default.svc.cluster.local."
WEB = "web.default.svc.cluster.local."


@pytest.mark.parametrize(
    ("name", "type", "expected"),
    [
        (WEB, "A", (0, ["A 10.96.0.50"])),
        ("WEB.Default.svc.CLUSTER.local", "A", (0, ["A 10.96.0.50"])),
        ("web.other.svc.cluster.local", "A", (0, ["A 10.96.0.52"])),
        (WEB, "AAAA", (0, NONE)),
        (WEB, "TXT", (0, NONE)),
        ("dual.default.svc.cluster.local", "A", (0, ["A 10.96.0.51"])),
        ("dual.default.svc.cluster.local", "AAAA", (0, ["AAAA fd00::51"])),
        (DB, "A", (0, ["A 10.244.0.5", "A 10.244.0.6"])),
        ("empty.default.svc.cluster.local", "A", (0, NONE)),
        (f"db-0.{DB}", "A", (0, ["A 10.244.0.5"])),
        (f"10-244-0-6.{DB}", "A", (0, ["A 10.244.0.6"])),
        (f"10-244-0-5.{DB}", "A", (0, ["A 10.244.0.5"])),
        (f"db-2.{DB}", "A", (3, NONE)),
        (f"nobody.{DB}", "A", (3, NONE)),
        (f"10-244-0-9.{WEB}", "A", (0, ["A 10.244.0.9"])),
        (f"_http._tcp.{WEB}", "SRV", (0, [f"SRV 0 100 80 {WEB}"])),
        (f"_log._udp.{WEB}", "SRV", (0, [f"SRV 0 100 514 {WEB}"])),
        (f"_HTTP._TCP.{WEB}", "SRV", (0, [f"SRV 0 100 80 {WEB}"])),
        (f"_http._udp.{WEB}", "SRV", (3, NONE)),
        (f"_http._tcp.{WEB}", "A", (0, NONE)),
        (f"_tcp.{WEB}", "SRV", (0, NONE)),
        (f"_sctp.{WEB}", "SRV", (3, NONE)),
        (WEB, "SRV", (0, [f"SRV 0 50 514 {WEB}", f"SRV 0 50 80 {WEB}"])),
        (f"_http._tcp.{DB}", "SRV", (0, [f"SRV 0 50 8080 10-244-0-6.{DB}", f"SRV 0 50 8080 db-0.{DB}"])),
        ("out.default.svc.cluster.local", "A", (0, ["CNAME www.Example.org."])),
        ("out.default.svc.cluster.local", "CNAME", (0, ["CNAME www.Example.org."])),
        ("wrong.default.svc.cluster.local", "A", (0, NONE)),
        ("x.out.default.svc.cluster.local", "A", (3, NONE)),
        ("none.default.svc.cluster.local", "A", (3, NONE)),
        ("none.nowhere.svc.cluster.local", "A", (3, NONE)),
        ("nowhere.svc.cluster.local", "A", (3, NONE)),
        ("default.svc.cluster.local", "A", (0, NONE)),
        ("svc.cluster.local", "A", (0, NONE)),
        ("cluster.local", "A", (0, NONE)),
        ("cluster.local", "SOA", (0, ["SOA cluster.local."])),
        ("cluster.local", "NS", (0, ["NS ns.dns.cluster.local."])),
        ("ns.dns.cluster.local", "A", (0, ["A 10.96.0.10"])),
        ("dns-version.cluster.local", "TXT", (0, ["16 b'\\x051.1.0'"])),
        ("www.example.org.default.svc.cluster.local", "A", (3, NONE)),
        ("www.example.org.svc.cluster.local", "A", (3, NONE)),
        ("www.example.org.cluster.local", "A", (3, NONE)),
        ("10-244-0-5.default.pod.cluster.local", "A", (0, ["A 10.244.0.5"])),
        ("192-0-2-99.default.pod.cluster.local", "A", (0, ["A 192.0.2.99"])),
        ("8-8-8-8.default.pod.cluster.local", "A", (3, NONE)),
        ("10-244-0-05.default.pod.cluster.local", "A", (3, NONE)),
        ("default.pod.cluster.local", "A", (0, NONE)),
        ("nowhere.pod.cluster.local", "A", (3, NONE)),
        ("pod.cluster.local", "A", (0, NONE)),
        ("50.0.96.10.in-addr.arpa", "PTR", (0, [f"PTR {WEB}"])),
        ("5.0.244.10.in-addr.arpa", "PTR", (0, [f"PTR db-0.{DB}"])),
        ("6.0.244.10.in-addr.arpa", "PTR", (0, [f"PTR 10-244-0-6.{DB}"])),
        ("9.0.244.10.in-addr.arpa", "PTR", (3, NONE)),
        ("99.0.96.10.in-addr.arpa", "PTR", (3, NONE)),
        ("50.0.96.10.in-addr.arpa", "A", (0, NONE)),
        ("244.10.in-addr.arpa", "PTR", (0, NONE)),
        ("10.in-addr.arpa", "PTR", None),
        ("8.8.8.8.in-addr.arpa", "PTR", None),
        ("x.8.8.8.in-addr.arpa", "PTR", None),
        ("www.example.org", "A", None),
        ("local", "A", None),
        ("", "NS", None),
    ],
)
def test_names(zone: Zone, name: str, type: str, expected: tuple[int, list[str]] | None) -> None:
    assert ask(zone, name, type) == expected


def test_a_no_says_where_and_for_how_long(zone: Zone) -> None:
    for name, origin in (
        ("none.default.svc.cluster.local", "cluster.local"),
        ("9.9.244.10.in-addr.arpa", "244.10.in-addr.arpa"),
    ):
        answer = zone.answer(wire.name(name), wire.A)
        assert answer is not None and answer.soa is not None
        assert answer.soa.name == wire.name(origin)
        assert (answer.soa.ttl, answer.soa.data[-4:]) == (5, b"\0\0\0\5")


def test_srv_brings_the_addresses(zone: Zone) -> None:
    answer = zone.answer(wire.name(f"_http._tcp.{DB}"), wire.SRV)
    assert answer is not None
    found = {(wire.text(record.name), socket.inet_ntoa(record.data)) for record in answer.additional}
    assert found == {(f"db-0.{DB}", "10.244.0.5"), (f"10-244-0-6.{DB}", "10.244.0.6")}


def test_addresses_take_turns(zone: Zone) -> None:
    orders = set()
    for _ in range(64):
        answer = zone.answer(wire.name(DB), wire.A)
        assert answer is not None
        orders.add(tuple(record.data for record in answer.records))
    assert len(orders) == 2


part = st.sampled_from(
    (
        b"web",
        b"default",
        b"svc",
        b"pod",
        b"cluster",
        b"local",
        b"_tcp",
        b"_http",
        b"db",
        b"10-244-0-5",
        b"in-addr",
        b"arpa",
        b"10",
        b"244",
        b"5",
        b"1.2",
        b"",
        b"_",
    )
)


@given(
    labels=st.lists(part | st.binary(min_size=1, max_size=63), max_size=7),
    type=st.integers(0, 65535),
    ours=st.booleans(),
)
def test_any_name_has_an_answer(zone: Zone, labels: list[bytes], type: int, ours: bool) -> None:
    chosen = [label for label in labels if label] + ([b"svc", b"cluster", b"local"] if ours else [])
    name = wire.join(chosen).lower()
    if len(name) <= 255:
        answer = zone.answer(name, type)
        assert answer is not None or not ours
