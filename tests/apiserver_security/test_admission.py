from __future__ import annotations

import copy
from typing import Any

import pytest

from sampan.api import codec
from sampan.api.errors import StatusError
from sampan.api.types import core_v1
from sampan.apiserver import admission
from sampan.apiserver.authz.authorizer import Authorization
from sampan.apiserver.contracts import Admission, Attributes
from tests.apiserver_security.memory import Memory, kind, make
from tests.apiserver_security.writing import JANE, ask, cluster, plugin, pod, run
from tests.covers import covers

NAMES = [
    "NamespaceLifecycle",
    "LimitRanger",
    "ServiceAccount",
    "NodeRestriction",
    "TaintNodesByCondition",
    "PodSecurity",
    "Priority",
    "DefaultTolerationSeconds",
    "DefaultStorageClass",
    "StorageObjectInUseProtection",
    "PersistentVolumeClaimResize",
    "RuntimeClass",
    "CertificateRequester",
    "CertificateApproval",
    "CertificateSigning",
    "CertificateSubjectRestriction",
    "DefaultIngressClass",
    "RoleEscalation",
    "RunTrigger",
    "CustomResourceDefinitionWarnings",
    "AdmissionPolicyWarnings",
]


def test_plugins_run_in_upstreams_order() -> None:
    view = cluster()
    found = admission.plugins(view, Authorization(view))
    assert [p.name for p in found] == NAMES


# --- NamespaceLifecycle


@pytest.mark.parametrize("name", ["default", "kube-system", "kube-public"])
def test_some_namespaces_never_go(name: str) -> None:
    lifecycle = plugin("NamespaceLifecycle", cluster())
    asked = ask(None, "DELETE", old=make("Namespace", name))
    assert run(lifecycle, asked) == f'namespaces "{name}" is forbidden: this namespace may not be deleted'


def test_other_namespaces_may_go() -> None:
    asked = ask(None, "DELETE", old=make("Namespace", "kube-node-lease"))
    assert run(plugin("NamespaceLifecycle", cluster()), asked) == ""


def test_a_missing_namespace() -> None:
    lifecycle = plugin("NamespaceLifecycle", Memory())
    asked = ask(pod())
    with pytest.raises(StatusError) as error:
        lifecycle.admit(asked)
    assert (error.value.code, str(error.value)) == (404, 'namespaces "shop" not found')
    assert run(lifecycle, ask(None, "DELETE", old=pod())) == "", "what is left of it can be deleted"


def test_nothing_new_comes_to_a_namespace_that_ends() -> None:
    lifecycle = plugin("NamespaceLifecycle", cluster(make("Namespace", "shop", status={"phase": "Terminating"})))
    with pytest.raises(StatusError) as error:
        lifecycle.admit(ask(pod()))
    assert str(error.value) == (
        'pods "web" is forbidden: unable to create new content in namespace shop because it is being terminated'
    )
    cause = error.value.status.details.causes[0]
    assert (cause.reason, cause.message, cause.field_) == (
        "NamespaceTerminating",
        "namespace shop is being terminated",
        "metadata.namespace",
    )
    assert run(lifecycle, ask(pod(), "UPDATE", old=pod())) == ""


# --- ServiceAccount


def accounts(view: Memory, document: dict[str, Any]) -> str:
    return run(plugin("ServiceAccount", view), ask(document))


def test_a_pod_gets_the_default_account_and_its_token() -> None:
    document = pod(initContainers=[{"name": "i", "image": "x"}])
    assert accounts(cluster(), document) == ""
    spec = document["spec"]
    assert spec["serviceAccountName"] == spec["serviceAccount"] == "default"
    (volume,) = spec["volumes"]
    assert volume["name"].startswith("kube-api-access-") and len(volume["name"]) == 21
    assert volume["projected"] == {
        "sources": [
            {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {
                "downwardAPI": {
                    "items": [
                        {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
                    ]
                }
            },
        ],
        "defaultMode": 420,
    }
    mount = {
        "name": volume["name"],
        "readOnly": True,
        "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
    }
    assert spec["containers"][0]["volumeMounts"] == spec["initContainers"][0]["volumeMounts"] == [mount]


def test_a_missing_account_is_named() -> None:
    assert accounts(cluster(), pod(serviceAccountName="gone")) == (
        'pods "web" is forbidden: error looking up service account shop/gone: serviceaccount "gone" not found'
    )


@covers("[sig-auth] ServiceAccounts should allow opting out of API token automount [Conformance]")
@pytest.mark.parametrize(
    ("account", "given", "mounts"),
    [
        (None, None, True),
        (None, True, True),
        (None, False, False),
        (True, None, True),
        (True, False, False),
        (False, None, False),
        (False, True, True),
        (False, False, False),
    ],
)
def test_opting_out_of_the_token(account, given, mounts) -> None:
    rest = {} if account is None else {"automountServiceAccountToken": account}
    document = pod(**({} if given is None else {"automountServiceAccountToken": given}))
    assert accounts(cluster(make("ServiceAccount", "default", "shop", **rest)), document) == ""
    assert ("volumes" in document["spec"]) is mounts


def test_a_mount_of_ones_own_prevents_the_volume() -> None:
    own = {"name": "mine", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}
    document = pod(containers=[{"name": "c", "image": "x", "volumeMounts": [own]}])
    document["spec"]["volumes"] = [{"name": "mine", "emptyDir": {}}]
    assert accounts(cluster(), document) == ""
    assert document["spec"]["containers"][0]["volumeMounts"] == [own]
    assert [v["name"] for v in document["spec"]["volumes"]] == ["mine"]


def test_an_accounts_pull_secrets_are_the_pods_unless_it_has_its_own() -> None:
    view = cluster(make("ServiceAccount", "default", "shop", imagePullSecrets=[{"name": "pull"}]))
    document = pod()
    accounts(view, document)
    assert document["spec"]["imagePullSecrets"] == [{"name": "pull"}]
    document = pod(imagePullSecrets=[{"name": "mine"}])
    accounts(view, document)
    assert document["spec"]["imagePullSecrets"] == [{"name": "mine"}]


def test_mirror_pods_stay_as_they_are() -> None:
    mirror = {"annotations": {"kubernetes.io/config.mirror": "x"}}
    document = pod(meta=mirror)
    before = copy.deepcopy(document)
    assert accounts(cluster(), document) == "" and document == before
    assert accounts(cluster(), pod(meta=mirror, serviceAccountName="default")) == (
        'pods "web" is forbidden: a mirror pod may not reference service accounts'
    )
    secret = [{"name": "s", "secret": {"secretName": "x"}}]
    assert accounts(cluster(), pod(meta=mirror, volumes=secret)).endswith("a mirror pod may not reference secrets")


def test_accounts_that_limit_their_secrets() -> None:
    annotations = {"annotations": {"kubernetes.io/enforce-mountable-secrets": "true"}}
    view = cluster(make("ServiceAccount", "default", "shop", meta=annotations, secrets=[{"name": "mine"}]))
    for name, message in (
        ("mine", ""),
        (
            "other",
            'pods "web" is forbidden: volume with secret.secretName="other" is not allowed because service account '
            "default does not reference that secret",
        ),
    ):
        assert accounts(view, pod(volumes=[{"name": "s", "secret": {"secretName": name}}])) == message


# --- tolerations, priority, runtime class


def test_pods_wait_five_minutes_for_a_node() -> None:
    document = pod(tolerations=[{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"}])
    assert run(plugin("DefaultTolerationSeconds", cluster()), ask(document)) == ""
    assert document["spec"]["tolerations"][1:] == [
        {
            "key": "node.kubernetes.io/unreachable",
            "operator": "Exists",
            "effect": "NoExecute",
            "tolerationSeconds": 300,
        }
    ]
    everything = pod(tolerations=[{"operator": "Exists"}])
    run(plugin("DefaultTolerationSeconds", cluster()), ask(everything))
    assert len(everything["spec"]["tolerations"]) == 1


SCHEDULING = "scheduling.k8s.io/v1"


def priority_class(name: str, value: int, **rest: Any) -> dict[str, Any]:
    return make("PriorityClass", name, api=SCHEDULING, value=value, **rest)


def priority(document: dict[str, Any], *classes: dict[str, Any]) -> str:
    return run(plugin("Priority", cluster(*classes)), ask(document))


def test_priority_is_the_classes_number() -> None:
    document = pod(priorityClassName="high")
    assert priority(document, priority_class("high", 1000, preemptionPolicy="Never")) == ""
    assert (document["spec"]["priority"], document["spec"]["preemptionPolicy"]) == (1000, "Never")
    document = pod()
    assert priority(document) == ""
    assert (document["spec"]["priority"], document["spec"]["preemptionPolicy"]) == (0, "PreemptLowerPriority")


def test_the_lowest_of_several_defaults_counts() -> None:
    document = pod()
    classes = (priority_class("a", 10, globalDefault=True), priority_class("b", 5, globalDefault=True))
    assert priority(document, *classes) == ""
    assert (document["spec"]["priorityClassName"], document["spec"]["priority"]) == ("b", 5)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"priorityClassName": "gone"}, "no PriorityClass with name gone was found"),
        (
            {"priorityClassName": "high", "priority": 7},
            "the integer value of priority (7) must not be provided in pod spec; priority admission controller "
            "computed 1000 from the given PriorityClass name",
        ),
        (
            {"priorityClassName": "high", "preemptionPolicy": "Never"},
            "the string value of PreemptionPolicy (Never) must not be provided in pod spec; priority admission "
            "controller computed PreemptLowerPriority from the given PriorityClass name",
        ),
    ],
)
def test_priorities_that_do_not_fit(spec, message) -> None:
    assert priority(pod(**spec), priority_class("high", 1000)) == f'pods "web" is forbidden: {message}'


def test_an_update_keeps_the_priority() -> None:
    changed = pod()
    asked = ask(changed, "UPDATE", old=pod(priority=5, preemptionPolicy="Never"))
    assert run(plugin("Priority", cluster()), asked) == ""
    assert (changed["spec"]["priority"], changed["spec"]["preemptionPolicy"]) == (5, "Never")


def test_only_one_priority_class_is_the_default() -> None:
    view = cluster(priority_class("a", 10, globalDefault=True))
    assert run(plugin("Priority", view), ask(priority_class("b", 5, globalDefault=True))) == (
        'priorityclasses.scheduling.k8s.io "b" is forbidden: PriorityClass a is already marked as default. '
        "Only one default can exist"
    )
    same = priority_class("a", 10, globalDefault=True)
    assert run(plugin("Priority", view), ask(same, "UPDATE", old=same)) == ""


def runtime_class(**rest: Any) -> dict[str, Any]:
    return make("RuntimeClass", "sandboxed", api="node.k8s.io/v1", handler="runc", **rest)


@covers(
    "[sig-node] RuntimeClass should reject a Pod requesting a non-existent RuntimeClass [Conformance] [NodeConformance]"
)
def test_runtime_classes_must_exist() -> None:
    assert run(plugin("RuntimeClass", cluster()), ask(pod(runtimeClassName="gone"))) == (
        'pods "web" is forbidden: pod rejected: RuntimeClass "gone" not found'
    )


def test_a_runtime_class_adds_overhead_and_place() -> None:
    view = cluster(
        runtime_class(
            overhead={"podFixed": {"cpu": "250m"}},
            scheduling={"nodeSelector": {"kind": "vm"}, "tolerations": [{"key": "vm", "operator": "Exists"}]},
        )
    )
    document = pod(runtimeClassName="sandboxed", nodeSelector={"zone": "a"})
    assert run(plugin("RuntimeClass", view), ask(document)) == ""
    assert document["spec"]["overhead"] == {"cpu": "250m"}
    assert document["spec"]["nodeSelector"] == {"zone": "a", "kind": "vm"}
    assert document["spec"]["tolerations"] == [{"key": "vm", "operator": "Exists"}]
    same = pod(runtimeClassName="sandboxed", overhead={"cpu": "0.25"})
    assert run(plugin("RuntimeClass", view), ask(same)) == ""


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            {"runtimeClassName": "sandboxed", "overhead": {"cpu": "1"}},
            "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead",
        ),
        (
            {"overhead": {"cpu": "1"}},
            "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead",
        ),
        (
            {"runtimeClassName": "sandboxed", "nodeSelector": {"kind": "metal"}},
            "conflict: runtimeClass.scheduling.nodeSelector[kind] = vm; pod.spec.nodeSelector[kind] = metal",
        ),
    ],
)
def test_pods_that_do_not_fit_their_runtime_class(spec, message) -> None:
    view = cluster(runtime_class(overhead={"podFixed": {"cpu": "250m"}}, scheduling={"nodeSelector": {"kind": "vm"}}))
    assert run(plugin("RuntimeClass", view), ask(pod(**spec))) == f'pods "web" is forbidden: {message}'


def test_new_nodes_are_not_ready() -> None:
    node = make("Node", "n1")
    taint = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}
    for _ in range(2):
        assert run(plugin("TaintNodesByCondition", cluster()), ask(node)) == ""
        assert node["spec"]["taints"] == [taint]


# --- the whole


def test_all_plugins_let_an_ordinary_pod_pass() -> None:
    view = cluster()
    document = pod()
    chosen = [p for p in admission.plugins(view, Authorization(view)) if not p.handles or "pods" in p.handles]
    assert run(list(chosen), ask(document)) == ""
    assert isinstance(codec.decode(kind("Pod"), document), core_v1.Pod)


@pytest.mark.parametrize("part", ["metadata", "spec"])
@pytest.mark.parametrize("value", ["text", 7, [], None, True])
def test_plugins_survive_documents_of_the_wrong_shape(part: str, value: Any) -> None:
    view = cluster()
    for handled in ("Pod", "Node", "PersistentVolumeClaim", "Ingress"):
        declared = kind(handled)
        attributes = Attributes(JANE, "create", "", True, declared.group, "v1", declared.plural, "", "shop", "")
        document: dict[str, Any] = {"apiVersion": declared.api_version, "kind": handled, part: value}
        for each in admission.plugins(view, Authorization(view)):
            if not each.handles or declared.resource in each.handles:
                each.admit(Admission(attributes, declared, "CREATE", document))
