"""What a stage is at one of its steps: layers, configuration, history, variables. Values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sampan.images import documents

EPOCH = 315_619_200
"""2 January 1980, the time of files without SOURCE_DATE_EPOCH: zip archives know nothing before 1980."""

Config = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Layer:
    """`digest` and `size` are the blob's; ours are not compressed, so that both digests are the same."""

    diff_id: str
    digest: str
    size: int
    media_type: str = documents.LAYER


@dataclass(frozen=True, slots=True)
class State:
    """`config` is the `config` object of an image; `arguments` are the stage's ARGs that have a value."""

    layers: tuple[Layer, ...] = ()
    config: Config = field(default_factory=dict)
    history: tuple[Mapping[str, Any], ...] = ()
    arguments: Mapping[str, str] = field(default_factory=dict)
    base: str = ""
    own_cmd: bool = False

    @property
    def environment(self) -> dict[str, str]:
        pairs = (entry.partition("=") for entry in self.config.get("Env") or ())
        return {name: value for name, _, value in pairs}

    @property
    def values(self) -> dict[str, str]:
        """What variables mean: ENV wins over ARG."""
        return {**self.arguments, **self.environment}

    @property
    def workdir(self) -> str:
        return self.config.get("WorkingDir") or "/"

    @property
    def user(self) -> str:
        return self.config.get("User") or ""

    @property
    def shell(self) -> tuple[str, ...]:
        return tuple(self.config.get("Shell") or ("/bin/sh", "-c"))

    @property
    def chain(self) -> tuple[str, ...]:
        return tuple(layer.diff_id for layer in self.layers)

    def configured(self, **fields: Any) -> State:
        """With fields of its configuration set; None takes one away."""
        config = {**self.config, **fields}
        return replace(self, config={name: value for name, value in config.items() if value is not None})

    def recorded(self, text: str, role: str, epoch: int, *, empty: bool) -> State:
        """With one more line of history."""
        entry: dict[str, Any] = {"created": stamp(epoch), "created_by": text, "comment": role}
        if empty:
            entry["empty_layer"] = True
        return replace(self, history=(*self.history, entry))


def stamp(epoch: int) -> str:
    """RFC 3339."""
    import time

    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(epoch))
