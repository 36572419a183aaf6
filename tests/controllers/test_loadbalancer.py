"""Addresses of services of type LoadBalancer."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from sampan import addresses
from sampan.api.types import core_v1
from sampan.controllers import loadbalancer
from sampan.controllers.settings import Settings
from sampan.runtime.actions import Emit
from sampan.testing.plans import names
from sampan.testing.world import World

NODES = loadbalancer.declare(Settings(node_ports=(80, 443)))
RANGE = loadbalancer.declare(Settings(load_balancer_range="192.0.2.64/30"))

NODE = """
apiVersion: v1
kind: Node
metadata: {name: one}
status:
  addresses: [{type: Hostname, address: one}, {type: InternalIP, address: 198.51.100.7}]
  conditions: [{type: Ready, status: "True"}]
"""
PUBLISHED = """
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: sampan}
spec: {controller: sampan.dev/ingress}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: any, namespace: default}
spec: {ingressClassName: sampan}
"""


def service(name: str, port: int = 80, type: str = "LoadBalancer", more: str = "") -> str:
    return f"""
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: default}}
spec:
  type: {type}
  ports: [{{port: {port}, protocol: TCP}}]
  {more}
"""


def world(*manifests: str, controller: loadbalancer.Controller = NODES) -> World:
    made = World(controller)
    made.load("\n---\n".join((NODE, *manifests)))
    return made


def given(world: World, name: str) -> list[str | None]:
    balancer = world.get(core_v1.Service, name).status.loadBalancer
    return [each.ip for each in balancer.ingress] if balancer else []


def said(actions: list[object]) -> str:
    return "; ".join(each.message for each in actions if isinstance(each, Emit))


def test_a_service_gets_the_nodes_address() -> None:
    made = world(service("web"))
    actions = made.plan(NODES, "web")
    assert given(made, "web") == ["198.51.100.7"]
    assert names(actions)[0] == "Update Service default/web"
    assert made.plan(NODES, "web") == [], "once is enough"


def test_an_address_is_of_the_kind_that_the_proxy_translates() -> None:
    made = world(service("web"))
    made.plan(NODES, "web")
    balancer = made.get(core_v1.Service, "web").status.loadBalancer
    assert balancer is not None and balancer.ingress[0].ipMode == "VIP"


def test_of_two_with_one_port_the_second_waits() -> None:
    made = world(service("web"), service("other"))
    made.plan(NODES, "web")
    actions = made.plan(NODES, "other")
    assert given(made, "other") == []
    assert "port 80/TCP of 198.51.100.7 belongs to service default/web" in said(actions)
    made.remove(made.get(core_v1.Service, "web"))
    made.plan(NODES, "other")
    assert given(made, "other") == ["198.51.100.7"]


def test_another_port_does_not_wait() -> None:
    made = world(service("web"), service("other", 81))
    made.plan(NODES, "web")
    made.plan(NODES, "other")
    assert given(made, "other") == ["198.51.100.7"]


def test_the_ports_of_ingresses_are_theirs_once_there_is_one() -> None:
    made = world(PUBLISHED, service("web"), service("other", 81))
    assert "belongs to the Ingresses" in said(made.plan(NODES, "web"))
    made.plan(NODES, "other")
    assert given(made, "other") == ["198.51.100.7"]


@pytest.mark.parametrize("type", ["ClusterIP", "NodePort"])
def test_what_changes_its_type_loses_its_address(type: str) -> None:
    made = world(service("web"))
    made.plan(NODES, "web")
    had = made.get(core_v1.Service, "web")
    made.add(replace(had, spec=replace(had.spec, type=type)))
    made.plan(NODES, "web")
    assert given(made, "web") == []


def test_a_class_is_for_others() -> None:
    made = world(service("web", more="loadBalancerClass: example.com/other"))
    assert made.plan(NODES, "web") == []


def test_without_a_ready_node_it_waits() -> None:
    made = World(NODES)
    made.load(service("web"))
    assert "no node is ready" in said(made.plan(NODES, "web"))


def test_an_address_that_nobody_has_is_refused() -> None:
    made = world(service("web", more="loadBalancerIP: 203.0.113.9"))
    assert "address 203.0.113.9 is no node's" in said(made.plan(NODES, "web"))


def test_a_range_gives_each_service_its_own() -> None:
    made = world(*(service(name) for name in "abc"), controller=RANGE)
    for name in "abc":
        actions = made.plan(RANGE, name)
    assert (given(made, "a"), given(made, "b"), given(made, "c")) == (["192.0.2.65"], ["192.0.2.66"], [])
    assert "all 2 addresses of the range 192.0.2.64/30 are taken" in said(actions)
    assert made.plan(RANGE, "a") == [], "it keeps what it has"


def test_an_address_of_the_range_may_be_asked_for_and_shared() -> None:
    wish = "loadBalancerIP: 192.0.2.66"
    made = world(service("a", more=wish), service("b", 81, more=wish), service("c", more=wish), controller=RANGE)
    for name in "abc":
        actions = made.plan(RANGE, name)
    assert (given(made, "a"), given(made, "b"), given(made, "c")) == (["192.0.2.66"], ["192.0.2.66"], [])
    assert "port 80/TCP of 192.0.2.66 belongs to service default/a" in said(actions)


@pytest.mark.parametrize("text", ["192.0.2.9-192.0.2.1", "10.0.0.0/8", "nonsense", "192.0.2.1-"])
def test_wrong_ranges(text: str) -> None:
    if text == "192.0.2.1-":
        assert addresses.parse(text)[0] == addresses.parse(text)[1]
    else:
        with pytest.raises(ValueError):
            addresses.parse(text)


def test_ranges() -> None:
    assert addresses.contains("192.0.2.64/30", "192.0.2.65")
    assert not addresses.contains("192.0.2.64/30", "192.0.2.64")
    assert addresses.contains("192.0.2.1-192.0.2.3", "192.0.2.3")
    assert not addresses.contains("192.0.2.1-192.0.2.3", "::1")
