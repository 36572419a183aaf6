"""What every namespace has, and how one ends."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

from msgspec.structs import replace

from sampan.api import kinds
from sampan.api.errors import forbidden_error, method_not_supported
from sampan.api.kinds.kind import Kind
from sampan.api.types import core_v1, meta_v1, rbac_v1
from sampan.client.discovery import Discovered
from sampan.client.metadata import PartialObjectMetadata
from sampan.controllers import clusterroleaggregation, namespace, rootca, serviceaccount
from sampan.controllers.settings import Settings
from sampan.runtime.actions import Action, Call, Requeue, Update
from sampan.testing.plans import drive, names, view
from sampan.testing.world import World

NAMESPACES = namespace.declare(Settings())

NAMESPACE = """
apiVersion: v1
kind: Namespace
metadata: {name: shop, deletionTimestamp: "2027-01-15T08:00:00Z"}
spec: {finalizers: [kubernetes]}
status: {phase: Terminating}
"""


def kind(resource: str) -> Kind:
    return next(each for each in kinds.ALL if each.resource == resource)


def left(name: str, *finalizers: str, grace: int | None = None) -> PartialObjectMetadata:
    metadata = meta_v1.ObjectMeta(name=name, finalizers=finalizers, deletionGracePeriodSeconds=grace)
    return PartialObjectMetadata(metadata=metadata)


class Content:
    """Answers a namespace plan's questions: what is served, and what remains of each resource."""

    def __init__(self, served: Sequence[str], **remains: Any) -> None:
        self.served = [kind(each) for each in served]
        self.stale: tuple[str, ...] = ()
        self.remains = remains
        self.asked: list[str] = []

    def __call__(self, action: Action) -> Any:
        if isinstance(action, Update):
            return action.object
        if not isinstance(action, Call):
            return None
        if action.function is namespace.discover:
            return Discovered(tuple(self.served), self.stale)
        # The call closes over the kind that it clears.
        cell = next(c.cell_contents for c in action.function.__closure__ or () if isinstance(c.cell_contents, Kind))
        self.asked.append(cell.resource)
        return self.remains.get(cell.plural, ())


def terminate(here: World, content: Content) -> list[Action]:
    object = here.get(core_v1.Namespace, "shop")
    plan: Generator[Action, Any, None] = namespace.plan(object, here.view("shop"))
    actions = drive(plan, content)
    for action in actions:
        if isinstance(action, Update):
            here.add(action.object)
    return [each for each in actions if not isinstance(each, Call)]


def ending() -> World:
    here = World(NAMESPACES)
    here.load(NAMESPACE)
    return here


def conditions(here: World) -> dict[str, tuple[str, str, str]]:
    found = here.get(core_v1.Namespace, "shop").status.conditions
    return {each.type: (each.status, each.reason or "", each.message or "") for each in found}


def test_an_empty_namespace_loses_its_finalizer() -> None:
    here = ending()
    actions = terminate(here, Content(["pods", "configmaps"]))
    assert [(type(each).__name__, getattr(each, "subresource", "")) for each in actions] == [
        ("Update", "status"),
        ("Update", "finalize"),
    ]
    assert here.get(core_v1.Namespace, "shop").spec.finalizers == ()
    assert {status for status, _, _ in conditions(here).values()} == {"False"}
    assert conditions(here)["NamespaceContentRemaining"] == (
        "False",
        "ContentRemoved",
        "All content successfully removed",
    )


def test_finalizers_of_others_stay() -> None:
    here = World(NAMESPACES)
    here.load(NAMESPACE.replace("[kubernetes]", "[example.org/hold, kubernetes]"))
    terminate(here, Content(["configmaps"]))
    assert here.get(core_v1.Namespace, "shop").spec.finalizers == ("example.org/hold",)


def test_pods_go_first_and_what_serves_them_waits() -> None:
    here = ending()
    content = Content(["configmaps", "deployments.apps", "pods", "secrets"], pods=(left("web-1", grace=30),))
    actions = terminate(here, content)
    assert content.asked == ["pods"]
    assert [each.after for each in actions if isinstance(each, Requeue)] == [15.0]
    assert conditions(here)["NamespaceContentRemaining"] == (
        "True",
        "SomeResourcesRemain",
        "Some resources are remaining: pods. has 1 resource instances",
    )


def test_what_waits_for_finalizers_is_told() -> None:
    here = ending()
    content = Content(
        ["configmaps", "deployments.apps"],
        configmaps=(left("a", "example.org/x", "example.org/y"), left("b", "example.org/x")),
        deployments=(left("web"),),
    )
    actions = terminate(here, content)
    assert conditions(here)["NamespaceFinalizersRemaining"] == (
        "True",
        "SomeFinalizersRemain",
        "Some content in the namespace has finalizers remaining: "
        "example.org/x in 2 resource instances, example.org/y in 1 resource instances",
    )
    assert conditions(here)["NamespaceContentRemaining"][2] == (
        "Some resources are remaining: configmaps. has 2 resource instances, deployments.apps has 1 resource instances"
    )
    assert [each.after for each in actions if isinstance(each, Requeue)] == [5.0]
    assert terminate(here, content) == [Requeue(5.0)], "nothing new to say"


def test_transition_times_change_with_the_status_only() -> None:
    here = ending()
    content = Content(["configmaps"], configmaps=(left("a"), left("b")))
    terminate(here, content)
    since = here.get(core_v1.Namespace, "shop").status.conditions[3].lastTransitionTime
    here.now += 60
    content.remains = {"configmaps": (left("a"),)}
    terminate(here, content)
    condition = here.get(core_v1.Namespace, "shop").status.conditions[3]
    assert "has 1 resource" in (condition.message or "")
    assert condition.lastTransitionTime == since


def test_a_group_that_does_not_answer_stops_the_end() -> None:
    here = ending()
    content = Content(["configmaps"])
    content.stale = ("metrics.example.org/v1",)
    terminate(here, content)
    status, reason, message = conditions(here)["NamespaceDeletionDiscoveryFailure"]
    assert (status, reason) == ("True", "DiscoveryFailed")
    assert "metrics.example.org/v1" in message
    assert here.get(core_v1.Namespace, "shop").spec.finalizers == ("kubernetes",)


def test_refusals_are_told_and_what_cannot_be_deleted_is_passed_over() -> None:
    here = ending()
    content = Content(
        ["configmaps", "secrets"],
        configmaps=forbidden_error("configmaps", "", "a", "no"),
        secrets=method_not_supported("secrets", "", "delete"),
    )
    terminate(here, content)
    status, reason, message = conditions(here)["NamespaceDeletionContentFailure"]
    assert (status, reason) == ("True", "ContentDeletionFailed")
    assert "configmaps" in message and "secrets" not in message


def test_a_namespace_that_stays_is_left_alone() -> None:
    here = World(NAMESPACES)
    here.load("{apiVersion: v1, kind: Namespace, metadata: {name: shop}, spec: {finalizers: [kubernetes]}}")
    assert here.plan(NAMESPACES, "shop", "") == []
    object = here.get(core_v1.Namespace, "shop")
    assert not NAMESPACES.changed(object, object)


# --- what every namespace has


def test_the_default_service_account() -> None:
    accounts = serviceaccount.declare(Settings())
    here = World(accounts)
    here.load("{apiVersion: v1, kind: Namespace, metadata: {name: shop}}")
    assert names(here.plan(accounts, "shop", "")) == ["Create ServiceAccount shop/default"]
    assert here.plan(accounts, "shop", "") == []
    (watch,) = accounts.watches
    made = here.get(core_v1.ServiceAccount, "default", "shop")
    assert list(watch.keys(made, here.view())) == [("", "shop")]
    other = replace(made, metadata=replace(made.metadata, name="robot"))
    assert list(watch.keys(other, here.view())) == []


def test_a_namespace_that_ends_gets_none() -> None:
    accounts = serviceaccount.declare(Settings())
    here = World(accounts)
    here.load(NAMESPACE)
    assert here.plan(accounts, "shop", "") == []


def test_the_root_certificate() -> None:
    publisher = rootca.declare(Settings(root_ca="PEM"))
    here = World(publisher)
    here.load("{apiVersion: v1, kind: Namespace, metadata: {name: shop}}")
    here.plan(publisher, "shop", "")
    made = here.get(core_v1.ConfigMap, "kube-root-ca.crt", "shop")
    assert made.data == {"ca.crt": "PEM"}
    assert here.plan(publisher, "shop", "") == []
    here.add(replace(made, data={"ca.crt": "forged", "more": "x"}))
    here.plan(publisher, "shop", "")
    assert here.get(core_v1.ConfigMap, "kube-root-ca.crt", "shop").data == {"ca.crt": "PEM"}
    without = rootca.declare(Settings())
    assert drive(without.plan(here.get(core_v1.Namespace, "shop", ""), here.view())) == []


# --- aggregated roles

ROLES = """
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: admin}
aggregationRule: {clusterRoleSelectors: [{matchLabels: {to-admin: "true"}}]}
rules: [{apiGroups: [old], resources: [old], verbs: [get]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: b-roses, labels: {to-admin: "true"}}
rules: [{apiGroups: [shop], resources: [roses], verbs: [get]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: a-tulips, labels: {to-admin: "true"}}
rules:
- {apiGroups: [shop], resources: [tulips], verbs: [get]}
- {apiGroups: [shop], resources: [roses], verbs: [get]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: other}
rules: [{apiGroups: [x], resources: [x], verbs: [get]}]
"""


def test_an_aggregated_role_is_the_union_of_those_it_selects() -> None:
    controller = clusterroleaggregation.declare(Settings())
    here = World(controller)
    here.load(ROLES)
    here.plan(controller, "admin", "")
    rules = here.get(rbac_v1.ClusterRole, "admin").rules
    assert [each.resources for each in rules] == [("tulips",), ("roses",)]
    assert here.plan(controller, "admin", "") == []
    assert here.plan(controller, "other", "") == []
    (watch,) = controller.watches
    roses = here.get(rbac_v1.ClusterRole, "b-roses")
    assert list(watch.keys(roses, here.view())) == [("", "admin")]


def test_a_view_shows_what_it_was_given() -> None:
    object = core_v1.Namespace(metadata=meta_v1.ObjectMeta(name="shop"))
    seen = view([object], NAMESPACES)
    assert seen.get(core_v1.Namespace, "shop") is object
    assert list(seen.all(core_v1.Namespace)) == [object]
