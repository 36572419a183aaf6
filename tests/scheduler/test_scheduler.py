"""The loop with its caches fed by hand; what it sends is recorded and granted, or refused where a test says so."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from sampan.api import kinds
from sampan.api.types import core_v1, meta_v1
from sampan.client.client import Client
from sampan.client.informer import Informers
from sampan.http.types import Connection, Request, Response
from sampan.runtime.clock import VirtualClock, settle
from sampan.runtime.events import Recorder
from sampan.scheduler.queue import State
from sampan.scheduler.scheduler import Scheduler
from tests.scheduler.lab import HOST, ending, near, node, pod, required

Answer = Callable[[Request], Response | None]


class Recording:
    """A transport that grants every request with its own body, and keeps it."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, Any]] = []
        self.answer: Answer = lambda request: None

    async def send(self, request: Request) -> Response:
        content = request.content
        assert isinstance(content, bytes)
        self.requests.append((request.method, request.target, json.loads(content) if content else None))
        await asyncio.sleep(0)
        return self.answer(request) or Response(200, content if request.method == "POST" else b"{}")

    async def connect(self, request: Request) -> tuple[Response, Connection]:
        raise AssertionError("nothing is upgraded here")

    async def close(self) -> None: ...

    def of(self, method: str, part: str) -> list[tuple[str, Any]]:
        return [(target, body) for m, target, body in self.requests if m == method and part in target]

    def events(self) -> list[tuple[str, str, str]]:
        """(object, reason, message)"""
        found = [body for _, body in self.of("POST", "/events")]
        return [(e["involvedObject"]["name"], e["reason"], e["message"]) for e in found]


class House:
    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.wire = Recording()
        self.client = Client(self.wire, kinds.ALL)
        self.informers = Informers(self.client)
        self.recorder = Recorder(self.client, "default-scheduler", clock=self.clock)
        self.scheduler = Scheduler(self.client, self.informers, recorder=self.recorder, clock=self.clock, seed=1)
        self._revision = 0

    def say(self, type: str, *objects: Any) -> None:
        """What the watch would bring."""
        for object in objects:
            self._revision += 1
            meta = msgspec.structs.replace(object.metadata, resourceVersion=str(self._revision))
            self.informers.get(object.__class__).apply(type, msgspec.structs.replace(object, metadata=meta))

    def bindings(self) -> list[tuple[str, str]]:
        return [(b["metadata"]["name"], b["target"]["name"]) for _, b in self.wire.of("POST", "/binding")]


@asynccontextmanager
async def running(house: House) -> AsyncIterator[House]:
    for informer in house.scheduler._caches.all():
        informer.synced.set()
    tasks = [asyncio.create_task(house.scheduler.run()), asyncio.create_task(house.recorder.run())]
    await settle()
    try:
        yield house
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for task in tasks:
            assert task.cancelled() or isinstance(task.exception(), BaseExceptionGroup)


@pytest.fixture
def house() -> House:
    return House()


async def test_a_pod_gets_a_node_and_an_event(house: House) -> None:
    house.say("ADDED", node("n1"))
    async with running(house):
        house.say("ADDED", pod("web", cpu="1"))
        await settle()
        ((path, body),) = house.wire.of("POST", "/binding")
        assert path == "/api/v1/namespaces/default/pods/web/binding"
        assert (body["apiVersion"], body["kind"]) == ("v1", "Binding")
        assert body["metadata"]["uid"] == "uid-web"
        assert body["target"] == {"apiVersion": "v1", "kind": "Node", "name": "n1"}
        assert house.wire.events() == [("web", "Scheduled", "Successfully assigned default/web to n1")]


async def test_pods_of_other_schedulers_and_with_gates_are_left_alone(house: House) -> None:
    house.say("ADDED", node("n1"), pod("other", schedulerName="mine"), pod("gated", schedulingGates=[{"name": "g"}]))
    async with running(house):
        assert house.wire.requests == []
        assert house.scheduler.queue.count(State.GATED) == 1


async def test_assumed_pods_take_room_before_the_watch_says_so(house: House) -> None:
    house.say("ADDED", node("n1", cpu="1"))
    async with running(house):
        house.say("ADDED", pod("a", cpu="600m"), pod("b", cpu="600m"))
        await settle()
        assert [name for name, _ in house.bindings()] == ["a"]
        assert house.scheduler.queue.count(State.UNSCHEDULABLE) == 1


async def test_a_refusal_is_told_in_an_event_and_the_condition(house: House) -> None:
    house.say("ADDED", node("n1", cpu="1"), node("n2", taints=["k:NoSchedule"]))
    async with running(house):
        house.say("ADDED", pod("big", cpu="2"))
        await settle()
        message = (
            "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint(s). "
            "preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling."
        )
        assert house.wire.events() == [("big", "FailedScheduling", message)]
        ((path, body),) = house.wire.of("PATCH", "/status")
        assert path == "/api/v1/namespaces/default/pods/big/status"
        (condition,) = body["status"]["conditions"]
        assert (condition["type"], condition["status"], condition["reason"], condition["message"]) == (
            "PodScheduled",
            "False",
            "Unschedulable",
            message,
        )


async def test_without_nodes_it_says_so(house: House) -> None:
    async with running(house):
        house.say("ADDED", pod("early"))
        await settle()
        assert house.wire.events() == [("early", "FailedScheduling", "no nodes available to schedule pods")]
        await house.clock.advance(5)
        house.say("ADDED", node("n1"))
        await settle()
        assert house.bindings() == [("early", "n1")]


@pytest.mark.parametrize(
    "help_",
    [
        lambda house: house.say("DELETED", pod("holder", on="n1", cpu="4")),
        lambda house: house.say("MODIFIED", node("n1", cpu="8")),
        lambda house: house.say("ADDED", node("n2")),
        lambda house: house.say(
            "MODIFIED",
            msgspec.structs.replace(pod("holder", on="n1", cpu="4"), status=core_v1.PodStatus(phase="Succeeded")),
        ),
    ],
)
async def test_what_helps_wakes(house: House, help_: Callable[[House], None]) -> None:
    house.say("ADDED", node("n1", cpu="4"), pod("holder", on="n1", cpu="4"))
    async with running(house):
        house.say("ADDED", pod("waiting", cpu="2"))
        await settle()
        assert house.bindings() == []
        await house.clock.advance(1)
        help_(house)
        await settle()
        assert [name for name, _ in house.bindings()] == ["waiting"]


async def test_what_does_not_help_does_not_wake(house: House) -> None:
    house.say("ADDED", node("n1", cpu="4"))
    async with running(house):
        house.say("ADDED", pod("waiting", cpu="8"))
        await settle()
        await house.clock.advance(1)
        house.say("MODIFIED", node("n1", cpu="4", labels={"new": "label"}))
        house.say("ADDED", pod("small", on="n1"))
        await settle()
        assert house.scheduler.outcomes["unschedulable"] == 1


def refuse(code: int, reason: str) -> Answer:
    status = meta_v1.Status(kind="Status", status="Failure", code=code, reason=reason, message="no")

    def answer(request: Request) -> Response | None:
        return Response(code, msgspec.json.encode(status)) if request.target.endswith("/binding") else None

    return answer


async def test_a_binding_that_fails_is_forgotten_and_tried_again(house: House) -> None:
    house.say("ADDED", node("n1", cpu="1"))
    house.wire.answer = refuse(409, "Conflict")
    async with running(house):
        house.say("ADDED", pod("web", cpu="1"))
        await settle()
        assert ("web", "FailedScheduling", "binding rejected: no") in house.wire.events()
        assert not house.scheduler.snapshot.pods
        assert house.scheduler.queue.count(State.BACKOFF) == 1
        house.wire.answer = lambda request: None
        await house.clock.advance(1.1)
        assert len(house.bindings()) == 2
        assert "uid-web" in house.scheduler.snapshot.pods


async def test_a_pod_deleted_while_it_is_bound_leaves_nothing(house: House) -> None:
    house.say("ADDED", node("n1", cpu="1"))
    house.wire.answer = refuse(404, "NotFound")
    async with running(house):
        web = pod("web", cpu="1")
        house.say("ADDED", web)
        await asyncio.sleep(0)
        house.say("DELETED", web)
        await settle()
        assert (len(house.scheduler.queue), house.scheduler.snapshot.pods) == (0, {})
        assert not house.scheduler._listener.assumed


async def test_more_pods_than_requests_at_a_time_all_get_a_node(house: House) -> None:
    house.say("ADDED", *(node(f"n{i}", cpu="10") for i in range(10)))
    async with running(house):
        house.say("ADDED", *(pod(f"p{i}", cpu="100m") for i in range(300)))
        await settle(500)
        assert len({name for name, _ in house.bindings()}) == 300


async def test_preemption_evicts_nominates_and_then_schedules(house: House) -> None:
    victim = pod("victim", on="n1", cpu="1", priority=1)
    house.say("ADDED", node("n1", cpu="1"), victim)
    async with running(house):
        critical = pod("critical", cpu="1", priority=100)
        house.say("ADDED", critical)
        await settle()
        ((_, patch), *_) = house.wire.of("PATCH", "/pods/victim/status")
        (condition,) = patch["status"]["conditions"]
        assert (condition["type"], condition["status"]) == ("DisruptionTarget", "True")
        assert condition["reason"] == "PreemptionByScheduler"
        assert condition["message"] == "default-scheduler: preempting to accommodate a higher priority pod"
        ((path, body),) = house.wire.of("DELETE", "/pods/")
        assert path == "/api/v1/namespaces/default/pods/victim"
        assert body["preconditions"] == {"uid": "uid-victim"}
        events = house.wire.events()
        assert ("victim", "Preempted", "Preempted by pod uid-critical on node n1") in events
        assert ("critical", "FailedScheduling", "0/1 nodes are available: 1 Insufficient cpu.") in events
        ((_, status),) = house.wire.of("PATCH", "/pods/critical/status")
        assert status["status"]["nominatedNodeName"] == "n1"
        house.say("ADDED", pod("rival", cpu="1", priority=1))
        house.say("MODIFIED", ending(victim))
        await house.clock.advance(2)
        house.say("DELETED", victim)
        await settle()
        assert house.bindings() == [("critical", "n1")]


async def test_a_victim_that_cannot_be_deleted_frees_the_promise(house: House) -> None:
    house.say("ADDED", node("n1", cpu="1"), pod("victim", on="n1", cpu="1", priority=1))
    status = meta_v1.Status(kind="Status", status="Failure", code=403, reason="Forbidden", message="no")
    house.wire.answer = lambda request: (
        Response(403, msgspec.json.encode(status)) if request.method == "DELETE" else None
    )
    async with running(house):
        house.say("ADDED", pod("critical", cpu="1", priority=100))
        await settle()
        assert not house.scheduler.planner.nominations.get("uid-critical")
        assert house.scheduler.queue.count(State.BACKOFF) == 1


async def test_a_selector_that_makes_no_sense_is_told(house: House) -> None:
    house.say("ADDED", node("n1"))
    term = {"topologyKey": "k", "labelSelector": {"matchExpressions": [{"key": "a", "operator": "Odd"}]}}
    wrong = {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    async with running(house):
        house.say("ADDED", pod("wrong", affinity=wrong), pod("right"))
        await settle()
        assert [name for name, _ in house.bindings()] == ["right"]
        assert ("wrong", "FailedScheduling") in {(name, reason) for name, reason, _ in house.wire.events()}


async def test_a_pod_placed_by_us_wakes_who_waits_to_be_near_it(house: House) -> None:
    house.say("ADDED", node("n1"))
    near_web = required("podAffinity", near(HOST, {"app": "web"}))
    async with running(house):
        house.say("ADDED", pod("follower", affinity=near_web))
        await settle()
        await house.clock.advance(1)
        house.say("ADDED", pod("leader", labels={"app": "web"}))
        await settle()
        assert [name for name, _ in house.bindings()] == ["leader", "follower"]


async def test_a_mistake_about_one_pod_stops_no_other(house: House, caplog: pytest.LogCaptureFixture) -> None:
    house.say("ADDED", node("n1"))
    choose = house.scheduler.planner.choose

    def mistaken(profile: Any, uid: str = "", priority: int = 0) -> int | None:
        if uid == "uid-odd":
            raise RuntimeError("nobody thought of this")
        return choose(profile, uid, priority)

    house.scheduler.planner.choose = mistaken  # type: ignore[method-assign]
    async with running(house):
        house.say("ADDED", pod("odd"), pod("even"))
        await settle()
        assert house.bindings() == [("even", "n1")]
        assert house.scheduler.queue.count(State.BACKOFF) == 1
    assert "scheduling default/odd failed" in caplog.text


async def test_samples_count_what_happened(house: House) -> None:
    house.say("ADDED", node("n1"))
    async with running(house):
        house.say("ADDED", pod("a"), pod("big", cpu="100"))
        await settle()
        samples = {(s.name, *s.labels.values()): s.value for s in house.scheduler.samples()}
        assert samples["scheduler_schedule_attempts_total", "default-scheduler", "scheduled"] == 1
        assert samples["scheduler_schedule_attempts_total", "default-scheduler", "unschedulable"] == 1
        assert samples["scheduler_pending_pods", "unschedulable"] == 1
