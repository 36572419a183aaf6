"""Credentials of Secrets as environment variables, as Jenkins gives them.

A Secret with `username` and `password` is a pair, one with a single field a text, whatever the field is called.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sampan.delivery.groovy import Call
from sampan.delivery.running.contracts import Executor, StepFailed
from sampan.delivery.running.scope import Scope

USER, PASSWORD = "username", "password"


def environment(name: str, id: str, fields: Mapping[str, str]) -> dict[str, str]:
    """`NAME = credentials('ID')`: a text as NAME; a pair as NAME=user:password, NAME_USR and NAME_PSW."""
    if USER in fields and PASSWORD in fields:
        user, password = fields[USER], fields[PASSWORD]
        return {name: f"{user}:{password}", f"{name}_USR": user, f"{name}_PSW": password}
    return {name: text(id, fields)}


def text(id: str, fields: Mapping[str, str]) -> str:
    if len(fields) == 1:
        return next(iter(fields.values()))
    for usual in ("secret", "token", "text", PASSWORD):
        if usual in fields:
            return fields[usual]
    raise StepFailed(f"secret {id} has {', '.join(sorted(fields)) or 'nothing'}: one field, or username and password")


def hide(executor: Executor, fields: Mapping[str, str]) -> None:
    """User names are no secret and would only make logs hard to read."""
    for name, value in fields.items():
        if name != USER or len(fields) == 1:
            executor.mask(value)
    if USER in fields and PASSWORD in fields:
        executor.mask(f"{fields[USER]}:{fields[PASSWORD]}")


async def bound(bindings: Any, scope: Scope, executor: Executor) -> dict[str, str]:
    """What `withCredentials([...])` adds to the environment."""
    made: dict[str, str] = {}
    for each in bindings if isinstance(bindings, tuple) else (bindings,):
        if not isinstance(each, Call) or each.name not in _VARIABLES:
            raise StepFailed(f"withCredentials knows {', '.join(sorted(_VARIABLES))}")
        if "credentialsId" not in each.named:
            raise StepFailed(f"withCredentials: {each.name} needs a credentialsId")
        id = scope.text(each.named["credentialsId"])
        names = [scope.text(each.named[key]) for key in _VARIABLES[each.name] if key in each.named]
        if len(names) != len(_VARIABLES[each.name]):
            raise StepFailed(f"withCredentials: {each.name} needs {' and '.join(_VARIABLES[each.name])}")
        fields = await executor.credentials(id)
        hide(executor, fields)
        made |= await _binding(each.name, id, names, fields, executor)
    return made


async def _binding(
    kind: str, id: str, names: Sequence[str], fields: Mapping[str, str], executor: Executor
) -> dict[str, str]:
    if kind == "string":
        return {names[0]: text(id, fields)}
    if kind == "file":
        return {names[0]: await executor.secret_file(text(id, fields))}
    if USER not in fields or PASSWORD not in fields:
        raise StepFailed(f"secret {id} has no username and password; it has {', '.join(sorted(fields)) or 'nothing'}")
    if kind == "usernameColonPassword":
        return {names[0]: f"{fields[USER]}:{fields[PASSWORD]}"}
    return {names[0]: fields[USER], names[1]: fields[PASSWORD]}


_VARIABLES: Mapping[str, tuple[str, ...]] = {
    "string": ("variable",),
    "file": ("variable",),
    "usernameColonPassword": ("variable",),
    "usernamePassword": ("usernameVariable", "passwordVariable"),
}
