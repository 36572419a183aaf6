"""What a pod may want done, and the plan that says what it wants now.

An action's key names what it is about: a wanted action with the key of one that is under way is the same one.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sampan.host.containers import Resources
from sampan.node.observation import Role, Wait


@dataclass(frozen=True, slots=True)
class MountVolumes:
    key: str = "volumes"


@dataclass(frozen=True, slots=True)
class MakeSandbox:
    attempt: int
    key: str = "sandbox"


@dataclass(frozen=True, slots=True)
class EnsureImage:
    name: str

    @property
    def key(self) -> str:
        return f"image {self.name}"


@dataclass(frozen=True, slots=True)
class StartContainer:
    """`backoff` is what the run carries for the one after it, in seconds."""

    name: str
    role: Role
    attempt: int
    sandbox_id: str
    backoff: int

    @property
    def key(self) -> str:
        return f"start {self.name}"


@dataclass(frozen=True, slots=True)
class StopContainer:
    """`why` is the text of the Killing event. The preStop hook runs within `grace` (seconds)."""

    id: str
    name: str
    grace: float
    why: str

    @property
    def key(self) -> str:
        return f"stop {self.id}"


@dataclass(frozen=True, slots=True)
class Resize:
    id: str
    name: str
    resources: Resources

    @property
    def key(self) -> str:
        return f"resize {self.id}"


@dataclass(frozen=True, slots=True)
class NoteBackoff:
    """For the event; once for each run that ended."""

    id: str
    name: str

    @property
    def key(self) -> str:
        return f"backoff {self.id}"


@dataclass(frozen=True, slots=True)
class RemoveContainer:
    id: str

    @property
    def key(self) -> str:
        return f"remove {self.id}"


@dataclass(frozen=True, slots=True)
class StopSandbox:
    id: str

    @property
    def key(self) -> str:
        return f"stop sandbox {self.id}"


@dataclass(frozen=True, slots=True)
class RemoveSandbox:
    id: str

    @property
    def key(self) -> str:
        return f"remove sandbox {self.id}"


@dataclass(frozen=True, slots=True)
class Release:
    """Nothing runs any more: unmount the volumes."""

    key: str = "release"


Action = (
    MountVolumes
    | MakeSandbox
    | EnsureImage
    | StartContainer
    | StopContainer
    | Resize
    | NoteBackoff
    | RemoveContainer
    | StopSandbox
    | RemoveSandbox
    | Release
)


@dataclass(slots=True)
class Plan:
    """`wake_at` is when to look again by the clock alone, 0 for never (Unix seconds)."""

    actions: list[Action] = field(default_factory=list)
    wake_at: float = 0.0

    def do(self, action: Action) -> None:
        self.actions.append(action)

    def wake(self, at: float) -> None:
        self.wake_at = min(self.wake_at or at, at)

    def may(self, wait: Wait | None, now: float) -> bool:
        """Whether something that failed may be tried again; if not, it will be looked at then."""
        if wait is None or wait.until <= now:
            return True
        self.wake(wait.until)
        return False
