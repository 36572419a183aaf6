from __future__ import annotations

from typing import Any

import pytest

from tests.apiserver_security.memory import make
from tests.apiserver_security.writing import ask, claim, cluster, plugin, run


def storage_class(name: str, created: str = "", default: str = "true", **rest: Any) -> dict[str, Any]:
    meta: dict[str, Any] = {"annotations": {"storageclass.kubernetes.io/is-default-class": default}}
    if created:
        meta["creationTimestamp"] = created
    return make("StorageClass", name, api="storage.k8s.io/v1", meta=meta, provisioner="p", **rest)


def test_the_newest_default_storage_class_is_taken() -> None:
    view = cluster(
        storage_class("old", "2026-01-01T00:00:00Z"),
        storage_class("new", "2026-01-02T00:00:00Z"),
        storage_class("other", "2026-01-03T00:00:00Z", "false"),
    )
    for given, taken in ((claim(), "new"), (claim(storageClassName=""), ""), (claim(storageClassName="x"), "x")):
        assert run(plugin("DefaultStorageClass", view), ask(given)) == ""
        assert given["spec"]["storageClassName"] == taken
    without = claim()
    assert run(plugin("DefaultStorageClass", cluster()), ask(without)) == ""
    assert "storageClassName" not in without["spec"]


def test_the_default_ingress_class_is_taken() -> None:
    marked = make(
        "IngressClass",
        "nginx",
        api="networking.k8s.io/v1",
        meta={"annotations": {"ingressclass.kubernetes.io/is-default-class": "true"}},
        spec={"controller": "example.com/c"},
    )
    ingress = make("Ingress", "web", "shop", api="networking.k8s.io/v1", spec={})
    assert run(plugin("DefaultIngressClass", cluster(marked)), ask(ingress)) == ""
    assert ingress["spec"]["ingressClassName"] == "nginx"


@pytest.mark.parametrize(
    ("document", "finalizer"),
    [
        (claim(), "kubernetes.io/pvc-protection"),
        (make("PersistentVolume", "pv", spec={}), "kubernetes.io/pv-protection"),
    ],
)
def test_storage_in_use_stays(document, finalizer) -> None:
    for _ in range(2):
        assert run(plugin("StorageObjectInUseProtection", cluster()), ask(document)) == ""
        assert document["metadata"]["finalizers"] == [finalizer]


def test_claims_grow_when_their_class_lets_them() -> None:
    resize = plugin(
        "PersistentVolumeClaimResize",
        cluster(storage_class("grows", allowVolumeExpansion=True), storage_class("fixed")),
    )

    def grow(name: str, phase: str = "Bound") -> str:
        old = {**claim("1Gi", storageClassName=name), "status": {"phase": phase}}
        return run(resize, ask(claim("2Gi", storageClassName=name), "UPDATE", old=old))

    assert grow("grows") == ""
    assert grow("grows", "Pending").endswith("Only bound persistent volume claims can be expanded")
    assert grow("fixed").endswith(
        "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must "
        "support resize"
    )
