"""Planners driven by hand: for tests and for whoever wants to see a decision without making it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from sampan.api.errors import StatusError
from sampan.client.cache import Cache, Key, meta
from sampan.runtime.actions import Action, Batch, Create, Plan, Refused, Update, View
from sampan.runtime.controller import Controller, Indexes


def view(objects: Iterable[Any], controller: Controller, *, now: float = 1_800_000_000.0, key: Key = ("", "")) -> View:
    """A View over just these objects, with the controller's indexes."""
    types = (controller.primary, *(watch.type for watch in controller.watches), *controller.reads)
    return View(caches(objects, types, controller.indexes), now, key)


def caches(objects: Iterable[Any], types: Iterable[type], indexes: Indexes) -> dict[type, Cache[Any]]:
    filled: dict[type, Cache[Any]] = {type: Cache(type, indexes.get(type)) for type in types}
    for object in objects:
        filled[type(object)].apply("ADDED", object)
    return filled


def answer(action: Action) -> Any:
    """What the server would say to a write if it agreed."""
    if isinstance(action, Batch):
        return [answer(each) for each in action.actions]
    return action.object if isinstance(action, Create | Update) else None


def drive(plan: Plan, respond: Callable[[Action], Any] = answer) -> list[Action]:
    """Every action that the plan asks for. `respond` gives each one's answer; a StatusError or Refused is raised."""
    actions: list[Action] = []
    try:
        action = next(plan)
        while True:
            actions.append(action)
            reply = respond(action)
            action = plan.throw(reply) if isinstance(reply, StatusError | Refused) else plan.send(reply)
    except StopIteration:
        return actions


def names(actions: Iterable[Action]) -> list[str]:
    """`Create Pod default/a`: a line per action, batches flattened."""
    lines: list[str] = []
    for action in actions:
        if isinstance(action, Batch):
            lines += names(action.actions)
            continue
        object = getattr(action, "object", None)
        lines.append(f"{type(action).__name__} {_name(object)}" if object is not None else str(action))
    return lines


def _name(object: Any) -> str:
    metadata = meta(object)
    name = metadata.name or f"{metadata.generateName}*"
    return (
        f"{type(object).__name__} {metadata.namespace}/{name}"
        if metadata.namespace
        else f"{type(object).__name__} {name}"
    )
