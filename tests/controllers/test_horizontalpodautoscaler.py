from __future__ import annotations

import pathlib
from collections.abc import Coroutine, Mapping
from typing import Any

import msgspec
import pytest
import yaml

from sampan.api.errors import StatusError, not_found_error, service_unavailable
from sampan.api.extra.metrics_v1beta1 import PodMetrics
from sampan.api.types import autoscaling_v1, core_v1
from sampan.api.types.autoscaling_v2 import HorizontalPodAutoscaler
from sampan.controllers import horizontalpodautoscaler as hpa
from sampan.controllers.horizontalpodautoscaler import behavior, replicas
from sampan.controllers.horizontalpodautoscaler.behavior import Change, History, Recommendation
from sampan.controllers.horizontalpodautoscaler.replicas import Asked, Incalculable, Measured, Target, Tolerances
from sampan.controllers.settings import Settings
from sampan.http.types import Response
from sampan.runtime.actions import Action, Call, Emit, Requeue, Update
from sampan.runtime.clock import rfc3339
from sampan.testing.plans import drive, view

NOW = 1_800_000_000.0
GOLDEN = pathlib.Path(__file__).parent / "golden" / "autoscaler"
TYPES: dict[str, Any] = {
    "HorizontalPodAutoscaler": HorizontalPodAutoscaler,
    "Scale": autoscaling_v1.Scale,
    "Pod": core_v1.Pod,
    "PodMetrics": PodMetrics,
}


class FakeClient:
    """Answers what a round asks for, from the objects of a golden input; `written` are the scales that were put."""

    def __init__(self, objects: list[Any], refuse: Mapping[str, StatusError]) -> None:
        self.scale = next((each for each in objects if isinstance(each, autoscaling_v1.Scale)), None)
        self.usage = tuple(each for each in objects if isinstance(each, PodMetrics))
        self.refuse = refuse
        self.written: list[tuple[str, int]] = []

    async def raw(self, method: str, path: str, query: Any = None, body: bytes = b"") -> Response:
        if method in self.refuse:
            raise self.refuse[method]
        if method == "PUT":
            scale = msgspec.json.decode(body, type=autoscaling_v1.Scale)
            self.written.append((path, scale.spec.replicas or 0))
        return Response(200, msgspec.json.encode(self.scale))

    async def list(self, type: Any, namespace: str, *, labels: str) -> Any:
        if "LIST" in self.refuse:
            raise self.refuse["LIST"]
        return type_page(self.usage)


class type_page:
    def __init__(self, items: tuple[PodMetrics, ...]) -> None:
        self.items = items


def finished(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("it waits")


def round_of(objects: list[Any], history: History, **refuse: StatusError) -> tuple[list[Action], FakeClient]:
    autoscaler = next(each for each in objects if isinstance(each, HorizontalPodAutoscaler))
    client = FakeClient(objects, refuse)
    seen = view(
        [each for each in objects if isinstance(each, HorizontalPodAutoscaler | core_v1.Pod)],
        hpa.declare(Settings()),
        now=NOW,
    )

    def respond(action: Action) -> Any:
        if not isinstance(action, Call):
            return action.object if isinstance(action, Update) else None
        try:
            return finished(action.function(client))
        except StatusError as error:
            return error

    return drive(hpa.plan(autoscaler, seen, history), respond), client


def story(actions: list[Action], client: FakeClient) -> str:
    told: dict[str, Any] = {
        "events": [f"{each.type} {each.reason}: {each.message}" for each in actions if isinstance(each, Emit)],
        "scaled": [f"{path} to {size}" for path, size in client.written],
        "again": [each.after for each in actions if isinstance(each, Requeue)],
    }
    for action in actions:
        if isinstance(action, Update):
            told["status"] = msgspec.to_builtins(action.object.status)
    return yaml.safe_dump(told, sort_keys=True, default_flow_style=False, width=1000).replace(rfc3339(NOW), "NOW")


def read(path: pathlib.Path) -> list[Any]:
    text = path.read_text()
    for seconds in (600, 60, 10):
        text = text.replace(f"NOW-{seconds}", rfc3339(NOW - seconds))
    text = text.replace("NOW", rfc3339(NOW))
    documents = list(yaml.load_all(text, Loader=yaml.BaseLoader))
    return [msgspec.convert(each, TYPES[each["kind"]], strict=False) for each in documents]


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.input.yaml")), ids=lambda path: path.name.split(".")[0])
def test_golden(path: pathlib.Path, pytestconfig: pytest.Config) -> None:
    made = story(*round_of(read(path), History()))
    golden = path.with_name(path.name.replace(".input.yaml", ".output.yaml"))
    if pytestconfig.getoption("--update"):
        golden.write_text(made)
    assert made == golden.read_text(), f"run pytest --update when {golden.name} should change"


def load(name: str) -> list[Any]:
    return read(GOLDEN / f"{name}.input.yaml")


def conditions(actions: list[Action]) -> dict[str, tuple[str, str]]:
    made = next(each.object for each in actions if isinstance(each, Update))
    return {each.type: (each.status, each.reason) for each in made.status.conditions}


def test_a_target_that_is_not_there_is_told() -> None:
    missing = not_found_error("deployments", "apps", "web")
    actions, client = round_of(load("up"), History(), GET=missing)
    assert conditions(actions) == {"AbleToScale": ("False", "FailedGetScale")}
    assert [each.message for each in actions if isinstance(each, Emit)] == ['deployments.apps "web" not found']
    assert client.written == []


def test_figures_that_cannot_be_had_are_told() -> None:
    actions, client = round_of(load("up"), History(), LIST=service_unavailable("node n1: refused"))
    assert conditions(actions)["ScalingActive"] == ("False", "FailedGetResourceMetric")
    assert client.written == []


def test_a_scale_that_is_refused_is_told() -> None:
    actions, _ = round_of(load("up"), History(), PUT=service_unavailable("quota"))
    assert conditions(actions)["AbleToScale"] == ("False", "FailedUpdateScale")
    assert any(isinstance(each, Emit) and each.reason == "FailedRescale" for each in actions)


def test_two_autoscalers_of_one_target_stand_still() -> None:
    objects = load("up")
    first = objects[0]
    second = msgspec.structs.replace(first, metadata=msgspec.structs.replace(first.metadata, name="other"))
    actions, client = round_of([*objects, second], History())
    assert conditions(actions)["ScalingActive"] == ("False", "AmbiguousSelector")
    assert client.written == []


def test_what_is_gone_is_forgotten() -> None:
    histories = hpa.Histories()
    objects = load("up")
    seen = view(
        [each for each in objects if not isinstance(each, autoscaling_v1.Scale | PodMetrics)], hpa.declare(Settings())
    )
    next(histories.plan(objects[0], seen))
    assert list(histories._histories) == [("default", "web")]
    assert drive(histories.gone(("default", "web"), seen)) == []
    assert histories._histories == {}


# --- replicas ---


def pod(
    name: str, request: str = "100m", *, ready: bool = True, phase: str = "Running", age: float = 600
) -> core_v1.Pod:
    document = {
        "metadata": {"name": name},
        "spec": {"containers": [{"name": "app", "resources": {"requests": {"cpu": request} if request else {}}}]},
        "status": {
            "phase": phase,
            "startTime": rfc3339(NOW - age),
            "conditions": [
                {"type": "Ready", "status": str(ready), "lastTransitionTime": rfc3339(NOW - age + (5 if ready else 0))}
            ],
        },
    }
    return msgspec.convert(document, core_v1.Pod)


def figures(*values: int) -> dict[str, Measured]:
    return {f"p{number}": Measured(value, NOW, 10.0) for number, value in enumerate(values)}


def asked(pods: list[core_v1.Pod], used: dict[str, Measured], current: int, **more: Any) -> Asked:
    return replicas.wanted(current, more.pop("target", Target(utilization=50)), "cpu", pods, used, NOW, **more)


@pytest.mark.parametrize(
    ("used", "expected"),
    [
        pytest.param((100, 100), 4, id="twice as much"),
        pytest.param((54, 54), 2, id="within the tolerance"),
        pytest.param((56, 56), 3, id="above the tolerance"),
        pytest.param((10, 10), 1, id="a fifth"),
        pytest.param((0, 0), 0, id="nothing"),
    ],
)
def test_ready_pods_share_the_work(used: tuple[int, ...], expected: int) -> None:
    assert asked([pod("p0"), pod("p1")], figures(*used), 2).replicas == expected


def test_the_average_is_told() -> None:
    assert asked([pod("p0"), pod("p1")], figures(100, 50), 2) == Asked(3, 75, 75)
    assert asked([pod("p0"), pod("p1")], figures(100, 50), 2, target=Target(value=25)) == Asked(6, None, 75)


def test_pods_that_do_not_tell_damp_the_change() -> None:
    pods = [pod("p0"), pod("p1"), pod("p2"), pod("p3")]
    assert asked(pods, figures(200, 200), 4).replicas == 8, "16 were asked for if the others worked as much"
    assert asked(pods, figures(5, 5), 4).replicas == 4, "the others may work much"
    assert asked(pods, figures(60, 60), 4).replicas == 4, "it turned around: stay"


def test_pods_that_start_count_as_idle_when_there_are_too_few() -> None:
    pods = [pod("p0"), pod("p1", phase="Pending"), pod("p2", ready=False, age=20)]
    used = figures(200, 0, 500)
    assert asked(pods, used, 3).replicas == 4
    assert asked([pods[0], pods[1]], figures(10, 0), 2).replicas == 1, "idle ones say nothing when there are too many"


@pytest.mark.parametrize(
    ("pods", "used", "message"),
    [
        ([], {}, "no pods returned by selector while calculating replica count"),
        (
            [pod("p0", phase="Pending")],
            figures(1),
            r"did not receive metrics for targeted pods \(pods might be unready\)",
        ),
        ([pod("p0", request="")], figures(1), "missing request for cpu in container app of Pod p0"),
        ([pod("p0", request="0")], figures(1), "no metrics returned matched known pods"),
    ],
)
def test_what_cannot_be_told(pods: list[core_v1.Pod], used: dict[str, Measured], message: str) -> None:
    with pytest.raises(Incalculable, match=message):
        asked(pods, used, 1)


def test_a_tolerance_of_ones_own() -> None:
    pods, used = [pod("p0"), pod("p1")], figures(51, 51)
    assert asked(pods, used, 2).replicas == 2
    assert asked(pods, used, 2, tolerances=Tolerances(up=0.0)).replicas == 3


def usage_of(name: str, **containers: str) -> PodMetrics:
    document = {
        "metadata": {"name": name},
        "timestamp": rfc3339(NOW),
        "window": "15.004s",
        "containers": [{"name": each, "usage": {"cpu": value} if value else {}} for each, value in containers.items()],
    }
    return msgspec.convert(document, PodMetrics)


def test_usage_is_summed_over_containers() -> None:
    pods = (usage_of("a", app="100m", side="50m"), usage_of("b", app="100m", side=""))
    assert replicas.measured(pods, "cpu") == {"a": Measured(150, NOW, 15.004)}
    assert replicas.measured(pods, "cpu", "app")["b"].value == 100
    with pytest.raises(Incalculable, match="container x not present in metrics for pod a"):
        replicas.measured(pods, "cpu", "x")
    with pytest.raises(Incalculable, match="no metrics returned from resource metrics API"):
        replicas.measured((), "cpu")


# --- behavior ---


def one(type: str, value: int, period: int = 60) -> list[dict[str, Any]]:
    return [{"type": type, "value": value, "periodSeconds": period}]


TWO = [*one("Pods", 2), *one("Percent", 50)]


def autoscaler(up: dict[str, Any] | None = None, down: dict[str, Any] | None = None, **spec: Any) -> Any:
    """With a behavior, defaulted as the server does, if `up` or `down` is given."""
    if up is not None or down is not None:
        policies = [
            {"type": "Pods", "value": 4, "periodSeconds": 15},
            {"type": "Percent", "value": 100, "periodSeconds": 15},
        ]
        spec["behavior"] = {
            "scaleUp": {"stabilizationWindowSeconds": 0, "selectPolicy": "Max", "policies": policies, **(up or {})},
            "scaleDown": {"selectPolicy": "Max", "policies": policies[1:], **(down or {})},
        }
    return msgspec.convert({"spec": {"minReplicas": 1, "maxReplicas": 100, **spec}}, HorizontalPodAutoscaler)


def test_without_a_behavior_pods_double_at_most() -> None:
    assert behavior.normalize(autoscaler(), 3, 50, History(), NOW).replicas == 6
    assert behavior.normalize(autoscaler(), 1, 50, History(), NOW) == (4, behavior.READY, behavior.UP_LIMIT)
    assert behavior.normalize(autoscaler(maxReplicas=5), 3, 50, History(), NOW) == (
        5,
        behavior.READY,
        behavior.TOO_MANY,
    )
    short = History([Recommendation(2, NOW - 400)])
    assert behavior.normalize(autoscaler(minReplicas=2), 3, 1, short, NOW) == (2, behavior.READY, behavior.TOO_FEW)


def test_pods_go_only_when_nothing_more_was_wanted_for_a_while() -> None:
    history = History()
    assert behavior.normalize(autoscaler(), 5, 5, history, NOW).replicas == 5
    assert behavior.normalize(autoscaler(), 5, 1, history, NOW + 100) == (5, behavior.HELD_UP, behavior.IN_RANGE)
    assert behavior.normalize(autoscaler(), 5, 2, history, NOW + 299).replicas == 5
    assert behavior.normalize(autoscaler(), 5, 1, history, NOW + 301).replicas == 2
    assert behavior.normalize(autoscaler(), 2, 1, history, NOW + 700).replicas == 1
    assert len(history.recommendations) == 1, "what is too old is forgotten"


def test_a_window_for_more_pods() -> None:
    wanted = autoscaler(up={"stabilizationWindowSeconds": 60})
    history = History([Recommendation(3, NOW - 30)])
    assert behavior.normalize(wanted, 3, 9, history, NOW) == (3, behavior.HELD_DOWN, behavior.IN_RANGE)
    assert behavior.normalize(wanted, 3, 9, history, NOW + 31).replicas == 7


@pytest.mark.parametrize(
    ("up", "current", "expected"),
    [
        pytest.param({}, 3, 7, id="four or twice, whichever is more"),
        pytest.param({}, 10, 20, id="twice"),
        pytest.param({"selectPolicy": "Min"}, 10, 14, id="whichever is less"),
        pytest.param({"selectPolicy": "Disabled"}, 10, 10, id="never"),
        pytest.param({"policies": one("Percent", 10)}, 5, 6, id="rounded up"),
        pytest.param({"policies": one("Pods", 2)}, 5, 7, id="two"),
    ],
)
def test_policies_for_more_pods(up: dict[str, Any], current: int, expected: int) -> None:
    found = behavior.normalize(autoscaler(up=up), current, 100, History(), NOW)
    assert (found.replicas, found.limited) == (expected, behavior.UP_LIMIT)


@pytest.mark.parametrize(
    ("down", "current", "expected"),
    [
        pytest.param({"policies": one("Percent", 10)}, 9, 8, id="rounded so that one goes"),
        pytest.param({"policies": one("Pods", 2)}, 9, 7, id="two"),
        pytest.param({"policies": [*one("Pods", 2), *one("Percent", 50)]}, 9, 4, id="the faster"),
        pytest.param(
            {"policies": [*one("Pods", 2), *one("Percent", 50)], "selectPolicy": "Min"}, 9, 7, id="the slower"
        ),
        pytest.param({"selectPolicy": "Disabled"}, 9, 9, id="never"),
    ],
)
def test_policies_for_fewer_pods(down: dict[str, Any], current: int, expected: int) -> None:
    wanted = autoscaler(down={"stabilizationWindowSeconds": 0, **down})
    found = behavior.normalize(wanted, current, 1, History(), NOW)
    assert (found.replicas, found.limited) == (expected, behavior.DOWN_LIMIT)


def test_a_policy_looks_back_over_its_period() -> None:
    wanted = autoscaler(up={"policies": one("Pods", 4, 60)})
    history = History()
    assert behavior.normalize(wanted, 2, 50, history, NOW).replicas == 6
    history.changed(4, NOW, wanted)
    assert behavior.normalize(wanted, 6, 50, history, NOW + 30).replicas == 6
    assert behavior.normalize(wanted, 6, 50, history, NOW + 61).replicas == 10
    history.changed(4, NOW + 61, wanted)
    assert history.changes == [Change(4, NOW + 61)]
