from __future__ import annotations

from typing import Any

import pytest

from tests.apiserver_security.memory import Memory, make
from tests.apiserver_security.writing import ask, claim, cluster, plugin, pod, run
from tests.covers import covers


def limits(*items: dict[str, Any]) -> Memory:
    return cluster(make("LimitRange", "limits", "shop", spec={"limits": list(items)}))


@covers(
    "[sig-scheduling] LimitRange should create a LimitRange with defaults and ensure pod has those defaults applied. "
    "[Conformance]"
)
def test_containers_get_the_namespaces_defaults() -> None:
    view = limits({"type": "Container", "default": {"cpu": "500m", "memory": "1Gi"}, "defaultRequest": {"cpu": "100m"}})
    document = pod(
        containers=[
            {"name": "a", "image": "x"},
            {"name": "b", "image": "x", "resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "1"}}},
        ],
        initContainers=[{"name": "i", "image": "x"}],
    )
    assert run(plugin("LimitRanger", view), ask(document)) == ""
    first, second = document["spec"]["containers"]
    assert first["resources"] == {"limits": {"cpu": "500m", "memory": "1Gi"}, "requests": {"cpu": "100m"}}
    assert second["resources"] == {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1"}}
    assert document["metadata"]["annotations"]["kubernetes.io/limit-ranger"] == (
        "LimitRanger plugin set: cpu request for container a; cpu, memory limit for container a; "
        "memory limit for container b; cpu request for init container i; cpu, memory limit for init container i"
    )


@pytest.mark.parametrize(
    ("item", "resources", "message"),
    [
        (
            {"min": {"cpu": "100m"}},
            {"requests": {"cpu": "50m"}},
            "minimum cpu usage per Container is 100m, but request is 50m",
        ),
        ({"min": {"cpu": "100m"}}, {}, "minimum cpu usage per Container is 100m. No request is specified"),
        (
            {"max": {"memory": "1Gi"}},
            {"limits": {"memory": "2Gi"}},
            "maximum memory usage per Container is 1Gi, but limit is 2Gi",
        ),
        ({"max": {"memory": "1Gi"}}, {}, "maximum memory usage per Container is 1Gi. No limit is specified"),
        (
            {"maxLimitRequestRatio": {"cpu": "2"}},
            {"requests": {"cpu": "100m"}, "limits": {"cpu": "300m"}},
            "cpu max limit to request ratio per Container is 2, but provided ratio is 3.000000",
        ),
        (
            {"min": {"cpu": "1"}, "max": {"cpu": "2"}},
            {},
            "[minimum cpu usage per Container is 1. No request is specified, "
            "maximum cpu usage per Container is 2. No limit is specified]",
        ),
        (
            {"min": {"cpu": "100m"}, "max": {"cpu": "1"}},
            {"requests": {"cpu": "100m"}, "limits": {"cpu": "1"}},
            "",
        ),
    ],
)
def test_containers_stay_within_bounds(item, resources, message) -> None:
    document = pod(containers=[{"name": "c", "image": "x", "resources": resources}])
    found = run(plugin("LimitRanger", limits({"type": "Container", **item})), ask(document))
    assert found == (message and f'pods "web" is forbidden: {message}')


def test_pods_are_counted_as_a_whole() -> None:
    def container(name: str, cpu: str, **rest: Any) -> dict[str, Any]:
        return {"name": name, "image": "x", "resources": {"requests": {"cpu": cpu}, "limits": {"cpu": cpu}}, **rest}

    view = limits({"type": "Pod", "max": {"cpu": "1"}})
    fits = pod(containers=[container("a", "500m"), container("b", "400m")], initContainers=[container("i", "1")])
    assert run(plugin("LimitRanger", view), ask(fits)) == ""
    more = pod(
        containers=[container("a", "500m"), container("b", "400m")],
        initContainers=[container("i", "200m", restartPolicy="Always")],
    )
    assert run(plugin("LimitRanger", view), ask(more)) == (
        'pods "web" is forbidden: maximum cpu usage per Pod is 1, but limit is 1100m'
    )


def test_claims_stay_within_bounds() -> None:
    view = limits({"type": "PersistentVolumeClaim", "min": {"storage": "1Gi"}, "max": {"storage": "2Gi"}})
    assert run(plugin("LimitRanger", view), ask(claim("1Gi"))) == ""
    assert run(plugin("LimitRanger", view), ask(claim("3Gi"))) == (
        'persistentvolumeclaims "data" is forbidden: maximum storage usage per PersistentVolumeClaim is 2Gi, '
        "but request is 3Gi"
    )
