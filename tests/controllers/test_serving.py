"""Services and who stands behind them: Endpoints, EndpointSlices and mirrored ones."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from sampan.api.types import core_v1, discovery_v1
from sampan.controllers import endpoints, endpointslice, endpointslicemirroring, serving, slices
from sampan.controllers.settings import Settings
from sampan.runtime.actions import Create, Delete, Update
from sampan.testing.plans import names
from sampan.testing.world import World

SLICES = endpointslice.declare(Settings())
ENDPOINTS = endpoints.declare(Settings())
MIRROR = endpointslicemirroring.declare(Settings())

SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: web, labels: {team: a}}
spec:
  clusterIP: 10.96.0.20
  ipFamilies: [IPv4]
  selector: {app: web}
  ports: [{name: http, port: 80, targetPort: http}]
"""


def world() -> World:
    made = World(SLICES, ENDPOINTS, MIRROR)
    made.load(SERVICE)
    return made


def pod(name: str, ip: str, *, ready: bool = True, port: int = 8080, node: str = "node-1", **more: Any) -> str:
    deletion = "deletionTimestamp: 2027-01-15T08:00:00Z" if more.get("terminating") else ""
    return f"""
apiVersion: v1
kind: Pod
metadata:
  name: {name}
  uid: {name}
  labels: {{app: web}}
  {deletion}
spec:
  nodeName: {node}
  hostname: {more.get("hostname", '""')}
  subdomain: {more.get("subdomain", '""')}
  containers: [{{name: main, image: i, ports: [{{name: http, containerPort: {port}}}]}}]
status:
  phase: {more.get("phase", "Running")}
  podIP: {ip}
  podIPs: [{{ip: {ip}}}]
  conditions: [{{type: Ready, status: "{ready}"}}]
"""


def listed(world: World) -> list[discovery_v1.EndpointSlice]:
    return world.all(discovery_v1.EndpointSlice)


def conditions(endpoint: discovery_v1.Endpoint) -> tuple[bool | None, bool | None, bool | None]:
    found = endpoint.conditions
    assert found is not None
    return found.ready, found.serving, found.terminating


def plan(world: World) -> list[str]:
    return names(world.plan(SLICES, "web"))


# --- slices


def test_a_service_without_pods_has_one_empty_slice() -> None:
    here = world()
    plan(here)
    (made,) = listed(here)
    assert made.endpoints == ()
    assert made.addressType == "IPv4"
    assert made.metadata.labels == {
        "team": "a",
        "kubernetes.io/service-name": "web",
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
    }
    (owner,) = made.metadata.ownerReferences
    assert (owner.kind, owner.name, owner.controller) == ("Service", "web", True)
    assert plan(here) == []


def test_the_empty_slice_is_used_when_pods_come() -> None:
    here = world()
    plan(here)
    here.load(pod("a", "10.244.0.5"))
    plan(here)
    (made,) = listed(here)
    (endpoint,) = made.endpoints
    assert endpoint.addresses == ("10.244.0.5",)
    assert endpoint.nodeName == "node-1"
    assert endpoint.targetRef is not None and (endpoint.targetRef.kind, endpoint.targetRef.name) == ("Pod", "a")
    (port,) = made.ports
    assert (port.name, port.port, port.protocol) == ("http", 8080, "TCP")


@pytest.mark.parametrize(
    ("ready", "terminating", "tolerant", "expected"),
    [
        (True, False, False, (True, True, False)),
        (False, False, False, (False, False, False)),
        (True, True, False, (False, True, True)),
        (False, True, False, (False, False, True)),
        (False, False, True, (True, True, False)),
        (False, True, True, (True, True, True)),
    ],
)
def test_ready_serving_terminating(
    ready: bool, terminating: bool, tolerant: bool, expected: tuple[bool, bool, bool]
) -> None:
    here = world()
    service = here.get(core_v1.Service, "web")
    here.add(replace(service, spec=replace(service.spec, publishNotReadyAddresses=tolerant)))
    here.load(pod("a", "10.244.0.5", ready=ready, terminating=terminating))
    plan(here)
    assert conditions(listed(here)[0].endpoints[0]) == expected


def test_finished_pods_and_pods_without_address_are_left_out() -> None:
    here = world()
    here.load(pod("done", "10.244.0.5", phase="Succeeded"))
    here.load(pod("early", '""'))
    here.load(pod("other", "10.244.0.6").replace("{app: web}", "{app: other}"))
    plan(here)
    assert listed(here)[0].endpoints == ()


def test_pods_that_offer_other_ports_stand_in_other_slices() -> None:
    here = world()
    here.load(pod("a", "10.244.0.5") + "---" + pod("b", "10.244.0.6", port=9090) + "---" + pod("c", "10.244.0.7"))
    plan(here)
    content = {each.ports[0].port: [e.addresses[0] for e in each.endpoints] for each in listed(here)}
    assert content == {8080: ["10.244.0.5", "10.244.0.7"], 9090: ["10.244.0.6"]}


def test_a_hundred_endpoints_fill_a_slice() -> None:
    here = world()
    for number in range(250):
        here.load(pod(f"p{number}", f"10.244.{number // 200}.{number % 200 + 1}"))
    plan(here)
    assert sorted(len(each.endpoints) for each in listed(here)) == [50, 100, 100]
    assert plan(here) == []


def test_one_change_writes_one_slice() -> None:
    here = world()
    for number in range(150):
        here.load(pod(f"p{number}", f"10.244.0.{number + 1}"))
    plan(here)
    here.load(pod("p3", "10.244.0.4", ready=False))
    assert len(plan(here)) == 1
    here.load(pod("new", "10.244.1.1"))
    assert len(plan(here)) == 1
    assert sorted(len(each.endpoints) for each in listed(here)) == [51, 100]


def test_slices_that_empty_out_are_deleted() -> None:
    here = world()
    for number in range(101):
        here.load(pod(f"p{number}", f"10.244.0.{number + 1}"))
    plan(here)
    assert len(listed(here)) == 2
    small = next(each for each in listed(here) if len(each.endpoints) == 1)
    assert small.endpoints[0].targetRef is not None
    here.remove(here.get(core_v1.Pod, small.endpoints[0].targetRef.name or ""))
    assert [each.split()[0] for each in plan(here)] == ["Delete"]


def test_zones_and_hints() -> None:
    here = world()
    here.load("{apiVersion: v1, kind: Node, metadata: {name: node-1, labels: {topology.kubernetes.io/zone: z1}}}")
    here.load(pod("a", "10.244.0.5"))
    plan(here)
    assert listed(here)[0].endpoints[0].zone == "z1"
    assert listed(here)[0].endpoints[0].hints is None
    service = here.get(core_v1.Service, "web")
    here.add(replace(service, spec=replace(service.spec, trafficDistribution="PreferClose")))
    plan(here)
    hints = listed(here)[0].endpoints[0].hints
    assert hints is not None and [each.name for each in hints.forZones] == ["z1"]
    here.add(replace(service, spec=replace(service.spec, trafficDistribution="PreferSameNode")))
    plan(here)
    hints = listed(here)[0].endpoints[0].hints
    assert hints is not None and [each.name for each in hints.forNodes] == ["node-1"]


def test_two_families_have_slices_of_their_own() -> None:
    here = world()
    service = here.get(core_v1.Service, "web")
    here.add(replace(service, spec=replace(service.spec, ipFamilies=("IPv4", "IPv6"))))
    here.load(pod("a", "10.244.0.5").replace("[{ip: 10.244.0.5}]", '[{ip: 10.244.0.5}, {ip: "fd00::5"}]'))
    plan(here)
    assert {each.addressType: each.endpoints[0].addresses[0] for each in listed(here)} == {
        "IPv4": "10.244.0.5",
        "IPv6": "fd00::5",
    }
    here.add(service)
    plan(here)
    assert [each.addressType for each in listed(here)] == ["IPv4"]


def test_headless_services_are_marked_and_keep_hostnames() -> None:
    here = world()
    service = here.get(core_v1.Service, "web")
    here.add(replace(service, spec=replace(service.spec, clusterIP="None")))
    here.load(pod("a", "10.244.0.5", hostname="a-0", subdomain="web"))
    here.load(pod("b", "10.244.0.6", hostname="b-0", subdomain="other"))
    plan(here)
    (made,) = listed(here)
    assert made.metadata.labels["service.kubernetes.io/headless"] == ""
    assert [each.hostname for each in made.endpoints] == ["a-0", None]


def test_a_headless_service_without_ports_lists_its_pods_all_the_same() -> None:
    here = world()
    service = here.get(core_v1.Service, "web")
    here.add(replace(service, spec=replace(service.spec, clusterIP="None", ports=())))
    here.load(pod("a", "10.244.0.5"))
    plan(here)
    assert listed(here)[0].ports == ()
    assert len(listed(here)[0].endpoints) == 1


@pytest.mark.parametrize(("target", "expected"), [(0, 80), (9000, 9000), ("http", 8080), ("metrics", None)])
def test_target_ports(target: int | str, expected: int | None) -> None:
    here = world()
    here.load(pod("a", "10.244.0.5"))
    port = core_v1.ServicePort(port=80, targetPort=target)
    assert serving.target_port(here.get(core_v1.Pod, "a"), port) == expected


def test_a_restartable_init_container_offers_ports_too() -> None:
    here = world()
    here.load(pod("a", "10.244.0.5"))
    before = here.get(core_v1.Pod, "a")
    sidecar = replace(before.spec.containers[0], name="side", restartPolicy="Always")
    moved = replace(before, spec=replace(before.spec, initContainers=(sidecar,), containers=()))
    assert serving.target_port(moved, core_v1.ServicePort(port=80, targetPort="http")) == 8080


def test_slices_of_others_are_left_alone_and_ours_go_with_the_service() -> None:
    here = world()
    plan(here)
    (mine,) = listed(here)
    labels = {**mine.metadata.labels, "endpointslice.kubernetes.io/managed-by": "somebody"}
    here.add(replace(mine, metadata=replace(mine.metadata, name="theirs", uid="theirs", labels=labels)))
    here.remove(here.get(core_v1.Service, "web"))
    assert plan(here) == [f"Delete EndpointSlice default/{mine.metadata.name}"]


def test_what_somebody_changed_in_a_slice_is_put_right() -> None:
    here = world()
    here.load(pod("a", "10.244.0.5"))
    plan(here)
    (made,) = listed(here)
    here.add(replace(made, endpoints=(), metadata=replace(made.metadata, labels=made.metadata.labels)))
    plan(here)
    assert len(listed(here)[0].endpoints) == 1


def test_mappers() -> None:
    here = world()
    here.load(pod("a", "10.244.0.5"))
    plan(here)
    view = here.view()
    assert list(serving.services_of(here.get(core_v1.Pod, "a"), view)) == [("default", "web")]
    assert list(slices.keys_of_slice(endpointslice.MANAGER)(listed(here)[0], view)) == [("default", "web")]
    assert list(slices.keys_of_slice(endpointslicemirroring.MANAGER)(listed(here)[0], view)) == []


def test_a_pods_restart_count_does_not_matter_but_its_readiness_does() -> None:
    here = world()
    here.load(pod("a", "10.244.0.5"))
    before = here.get(core_v1.Pod, "a")
    restarted = replace(before, status=replace(before.status, containerStatuses=(core_v1.ContainerStatus(name="m"),)))
    assert not serving.pod_changed(before, restarted)
    here.load(pod("a", "10.244.0.5", ready=False))
    assert serving.pod_changed(before, here.get(core_v1.Pod, "a"))


# --- Endpoints


def endpoints_of(world: World) -> core_v1.Endpoints:
    return world.get(core_v1.Endpoints, "web")


def test_endpoints_tell_ready_from_not_ready() -> None:
    here = world()
    here.load(pod("b", "10.244.0.6") + "---" + pod("a", "10.244.0.5") + "---" + pod("c", "10.244.0.7", ready=False))
    here.load(pod("d", "10.244.0.8", terminating=True))
    here.plan(ENDPOINTS, "web")
    (subset,) = endpoints_of(here).subsets
    assert [each.ip for each in subset.addresses] == ["10.244.0.5", "10.244.0.6"]
    assert [each.ip for each in subset.notReadyAddresses] == ["10.244.0.7"]
    assert [(each.name, each.port) for each in subset.ports] == [("http", 8080)]
    assert endpoints_of(here).metadata.labels["endpoints.kubernetes.io/managed-by"] == "endpoint-controller"
    assert here.plan(ENDPOINTS, "web") == []


def test_endpoints_are_cut_at_a_thousand_ready_ones_first() -> None:
    here = world()
    for number in range(1100):
        ready = number >= 50
        here.load(pod(f"p{number}", f"10.244.{number // 250}.{number % 250 + 1}", ready=ready))
    here.plan(ENDPOINTS, "web")
    (subset,) = endpoints_of(here).subsets
    assert (len(subset.addresses), len(subset.notReadyAddresses)) == (1000, 0)
    assert endpoints_of(here).metadata.annotations["endpoints.kubernetes.io/over-capacity"] == "truncated"
    for each in here.all(core_v1.Pod)[:200]:
        here.remove(each)
    here.plan(ENDPOINTS, "web")
    assert "endpoints.kubernetes.io/over-capacity" not in endpoints_of(here).metadata.annotations


def test_endpoints_go_with_their_service() -> None:
    here = world()
    here.plan(ENDPOINTS, "web")
    here.remove(here.get(core_v1.Service, "web"))
    assert names(here.plan(ENDPOINTS, "web")) == ["Delete Endpoints default/web"]


def test_a_service_without_selector_is_left_to_its_author() -> None:
    here = world()
    service = here.get(core_v1.Service, "web")
    here.add(replace(service, spec=replace(service.spec, selector={})))
    assert here.plan(ENDPOINTS, "web") == []
    assert plan(here) == []
    here.add(replace(service, spec=replace(service.spec, type="ExternalName")))
    assert plan(here) == []


# --- mirroring

BY_HAND = """
apiVersion: v1
kind: Endpoints
metadata:
  name: web
  labels: {team: b}
  annotations: {note: keep, endpoints.kubernetes.io/last-change-trigger-time: "2027-01-15T08:00:00Z"}
subsets:
- addresses: [{ip: 192.0.2.1, hostname: one}, {ip: "2001:db8::1"}]
  notReadyAddresses: [{ip: 192.0.2.2}]
  ports: [{name: http, port: 80}]
"""


def mirrored() -> World:
    here = world()
    service = here.get(core_v1.Service, "web")
    here.add(replace(service, spec=replace(service.spec, selector={})))
    here.load(BY_HAND)
    return here


def test_endpoints_by_hand_appear_as_slices() -> None:
    here = mirrored()
    actions = here.plan(MIRROR, "web")
    assert all(isinstance(each, Create) for each in actions)
    by_type = {each.addressType: each for each in listed(here)}
    four, six = by_type["IPv4"], by_type["IPv6"]
    assert [(each.addresses[0], conditions(each)[0]) for each in four.endpoints] == [
        ("192.0.2.1", True),
        ("192.0.2.2", False),
    ]
    assert [each.addresses[0] for each in six.endpoints] == ["2001:db8::1"]
    assert four.metadata.annotations == {"note": "keep"}
    assert four.metadata.labels["endpointslice.kubernetes.io/managed-by"] == "endpointslicemirroring-controller.k8s.io"
    assert four.metadata.ownerReferences[0].kind == "Endpoints"
    assert here.plan(MIRROR, "web") == []


def test_mirrored_slices_follow_and_go() -> None:
    here = mirrored()
    here.plan(MIRROR, "web")
    before = endpoints_of(here)
    here.add(replace(before, subsets=(replace(before.subsets[0], addresses=(), notReadyAddresses=()),)))
    assert {type(each) for each in here.plan(MIRROR, "web")} == {Delete}
    here.add(before)
    here.plan(MIRROR, "web")
    here.remove(endpoints_of(here))
    assert [type(each) for each in here.plan(MIRROR, "web")] == [Delete, Delete]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("labels: {team: b}", "labels: {endpointslice.kubernetes.io/skip-mirror: 'true'}"),
        ("annotations: {note: keep,", "annotations: {control-plane.alpha.kubernetes.io/leader: x,"),
    ],
)
def test_some_endpoints_are_not_mirrored(old: str, new: str) -> None:
    here = mirrored()
    here.load(BY_HAND.replace(old, new))
    assert here.plan(MIRROR, "web") == []


def test_a_selector_ends_mirroring() -> None:
    here = mirrored()
    here.plan(MIRROR, "web")
    here.load(SERVICE)
    assert {type(each) for each in here.plan(MIRROR, "web")} == {Delete}
    assert not [each for each in here.plan(MIRROR, "web") if isinstance(each, Update)]
