"""Which stages a target needs, and what a FROM or --from means. Pure; errors are DockerfileError."""

from __future__ import annotations

import difflib
import platform
from collections.abc import Mapping
from dataclasses import dataclass

from sampan.images.build import substitute
from sampan.images.build.errors import BuildError, DockerfileError
from sampan.images.build.instructions import Copy, Dockerfile, Instruction, Run, Stage

_ARCHITECTURES = {"x86_64": ("amd64", ""), "aarch64": ("arm64", "v8"), "armv7l": ("arm", "v7")}
SCRATCH = "scratch"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where something comes from: a stage of this file, or an image ("" is nothing: scratch)."""

    stage: int = -1
    image: str = ""


def platform_arguments(machine: str = "") -> dict[str, str]:
    """The names that every Dockerfile may ask for. We build for this machine alone."""
    architecture, variant = _ARCHITECTURES.get(machine or platform.machine(), (platform.machine(), ""))
    name = "/".join(part for part in ("linux", architecture, variant) if part)
    found = {}
    for side in ("BUILD", "TARGET"):
        found[f"{side}PLATFORM"] = name
        found[f"{side}OS"] = "linux"
        found[f"{side}ARCH"] = architecture
        found[f"{side}VARIANT"] = variant
    return found


def outer_arguments(file: Dockerfile, given: Mapping[str, str]) -> dict[str, str]:
    """The values of ARGs before the first FROM, and the platform's."""
    found = platform_arguments()
    for step in file.arguments:
        for name, default in step.pairs:
            if name in given:
                found[name] = given[name]
            elif default is not None:
                found[name] = _word(file, step.line, default, found)
    return found


def _word(file: Dockerfile, line: int, text: str, values: Mapping[str, str]) -> str:
    try:
        return substitute.word(text, values, file.escape)
    except ValueError as error:
        raise DockerfileError(file.file, line, str(error)) from error


def base(file: Dockerfile, stage: Stage, values: Mapping[str, str]) -> Origin:
    """What a stage builds on. Raises DockerfileError, also for another machine's platform."""
    line = stage.from_.line
    image = _word(file, line, stage.from_.image, values)
    if not image:
        raise DockerfileError(
            file.file, line, f"{stage.from_.image} is empty", "give it a value with --build-arg or a default in its ARG"
        )
    wanted = _word(file, line, stage.from_.platform, values)
    if wanted:
        _check_platform(file, line, wanted)
    for earlier in file.stages[: stage.index]:
        if earlier.from_.name and earlier.from_.name == image.lower():
            return Origin(earlier.index)
    return Origin(image="" if image == SCRATCH else image)


def _check_platform(file: Dockerfile, line: int, wanted: str) -> None:
    ours = platform_arguments()
    parts = wanted.split("/")
    if parts[0] != "linux" or (len(parts) > 1 and parts[1] != ours["BUILDARCH"]):
        raise DockerfileError(
            file.file, line, f"cannot build for {wanted} on {ours['BUILDPLATFORM']}", "leave --platform out"
        )


def source(file: Dockerfile, stage: Stage, step: Instruction, name: str) -> Origin:
    """What `--from=name` means: an earlier stage by name or number, else an image."""
    if name.isdigit():
        if int(name) < stage.index:
            return Origin(int(name))
        raise DockerfileError(
            file.file, step.line, f"--from={name} is no earlier stage", f"there are 0 to {stage.index - 1} before it"
        )
    for other in file.stages:
        if other.from_.name and other.from_.name == name.lower():
            if other.index < stage.index:
                return Origin(other.index)
            raise DockerfileError(file.file, step.line, f"the stage {name} does not come before this one", "move it up")
    return Origin(image="" if name == SCRATCH else name)


def target(file: Dockerfile, wanted: str) -> Stage:
    """The stage to build: the last one, or the one named. Raises BuildError."""
    if not wanted:
        return file.stages[-1]
    for stage in file.stages:
        if wanted.lower() == stage.from_.name or (wanted.isdigit() and int(wanted) == stage.index):
            return stage
    names = [stage.from_.name for stage in file.stages if stage.from_.name]
    close = difflib.get_close_matches(wanted.lower(), names, 1)
    hint = f"did you mean {close[0]}?" if close else f"it has {', '.join(names) or 'no named stages'}"
    raise BuildError(f"{file.file} has no stage {wanted}", hint)


def needed(file: Dockerfile, last: Stage, values: Mapping[str, str]) -> list[int]:
    """The numbers of the stages that a stage needs, itself included, in order."""
    found: set[int] = set()
    queue = [last.index]
    while queue:
        index = queue.pop()
        if index in found:
            continue
        found.add(index)
        stage = file.stages[index]
        origins = [base(file, stage, values)]
        for step in stage.instructions:
            origins += [source(file, stage, step, name) for name in sources_of(step)]
        queue += [origin.stage for origin in origins if origin.stage >= 0]
    return sorted(found)


def sources_of(step: Instruction) -> list[str]:
    if isinstance(step, Copy):
        return [step.from_] if step.from_ else []
    if isinstance(step, Run):
        return [mount.from_ for mount in step.mounts if mount.from_]
    return []
