from __future__ import annotations

import pytest

from sampan.api import conditions, duration, structs
from sampan.api.types import apps_v1, core_v1

THEN, NOW = "2026-01-02T03:04:05Z", "2026-01-02T04:04:05Z"


def test_replace_changes_deep_and_shares_the_rest() -> None:
    pod = core_v1.Pod(spec=core_v1.PodSpec(containers=(core_v1.Container(name="a"), core_v1.Container(name="b"))))
    new = structs.replace(pod, {"spec.nodeName": "n1", "spec.containers[1].image": "x", "metadata.labels": {"a": "b"}})
    assert (new.spec.nodeName, new.spec.containers[1].image, new.metadata.labels) == ("n1", "x", {"a": "b"})
    assert pod.spec.nodeName is None
    assert new.spec.containers[0] is pod.spec.containers[0]
    assert new.status is pod.status


def test_replace_makes_what_is_absent() -> None:
    pod = structs.replace(core_v1.Pod(), {"spec.securityContext.seccompProfile.type": "RuntimeDefault"})
    assert pod.spec.securityContext is not None
    assert pod.spec.securityContext.seccompProfile == core_v1.SeccompProfile(type="RuntimeDefault")


@pytest.mark.parametrize(
    ("path", "error"),
    [("spec.nothing", AttributeError), ("spec.containers[3].name", IndexError), ("spec.nodeName.x", AttributeError)],
)
def test_replace_refuses_paths_that_do_not_exist(path: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        structs.replace(core_v1.Pod(), {path: 1})


def ready(status: str, message: str = "") -> core_v1.PodCondition:
    return core_v1.PodCondition(type="Ready", status=status, message=message)


def test_conditions_move_their_time_with_the_status() -> None:
    listed = conditions.put((), ready("False"), THEN)
    assert listed[0].lastTransitionTime == THEN
    same = conditions.put(listed, ready("False", "why"), NOW)
    assert (same[0].lastTransitionTime, same[0].message) == (THEN, "why")
    changed = conditions.put(same, ready("True"), NOW)
    assert changed[0].lastTransitionTime == NOW
    assert conditions.is_true(changed, "Ready")
    assert not conditions.is_true(changed, "Other")


def test_conditions_that_say_nothing_new_stay() -> None:
    old = apps_v1.DeploymentCondition(type="Available", status="True", lastUpdateTime=THEN, lastTransitionTime=THEN)
    other = apps_v1.DeploymentCondition(type="Progressing", status="True")
    listed = (old, other)
    new = apps_v1.DeploymentCondition(type="Available", status="True", lastUpdateTime=NOW)
    assert conditions.put(listed, new, NOW) is listed
    assert conditions.remove(listed, "Available") == (other,)
    assert conditions.find(listed, "Progressing") is other
    assert conditions.find(listed, "x") is None


def test_times() -> None:
    assert duration.rfc3339(0) == "1970-01-01T00:00:00Z"
    assert duration.rfc3339_micro(0.000001) == "1970-01-01T00:00:00.000001Z"
    assert duration.unix(duration.rfc3339(1e9)) == 1e9
    assert duration.unix(duration.rfc3339()) <= duration.unix(duration.rfc3339_micro()) + 1
    assert duration.since(None, 0) == "<unknown>"
