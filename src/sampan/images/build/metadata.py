"""Instructions that change no file: the configuration after them. Pure; errors are ValueError."""

from __future__ import annotations

import posixpath
import re
import signal
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from sampan.images.build import substitute
from sampan.images.build.instructions import (
    Arg,
    Cmd,
    Command,
    Entrypoint,
    Env,
    Expose,
    Healthcheck,
    Instruction,
    Label,
    Maintainer,
    Onbuild,
    Shell,
    Stopsignal,
    User,
    Volume,
    Workdir,
)
from sampan.images.build.state import State

PROXIES = tuple(
    name
    for base in ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY")
    for name in (base, base.lower())
)
"""Build arguments that need no ARG, reach every RUN and leave no trace in the image."""

_PORT = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?(?:/(tcp|udp|sctp))?\Z", re.IGNORECASE)


class Variables:
    """What the person gave: `--build-arg`, values from before the first FROM, and the platform's names."""

    def __init__(self, given: Mapping[str, str], outer: Mapping[str, str], escape: str = "\\") -> None:
        self.given = given
        self.outer = outer
        self.escape = escape

    def word(self, text: str, state: State) -> str:
        return substitute.word(text, state.values, self.escape)

    def words(self, text: str, state: State) -> list[str]:
        return substitute.words(text, state.values, self.escape)


def apply(instruction: Instruction, state: State, variables: Variables) -> State:
    """The state after an instruction of `HANDLERS`."""
    return HANDLERS[type(instruction)](instruction, state, variables)


def arg(step: Arg, state: State, variables: Variables) -> State:
    found = dict(state.arguments)
    for name, default in step.pairs:
        if name in variables.given:
            found[name] = variables.given[name]
        elif default is not None:
            found[name] = substitute.word(default, {**found, **state.environment}, variables.escape)
        elif name in variables.outer:
            found[name] = variables.outer[name]
    return replace(state, arguments=found)


def _env(step: Env, state: State, variables: Variables) -> State:
    values = state.environment
    values.update({variables.word(name, state): variables.word(value, state) for name, value in step.pairs})
    return state.configured(Env=[f"{name}={value}" for name, value in values.items()])


def _label(step: Label, state: State, variables: Variables) -> State:
    labels = dict(state.config.get("Labels") or {})
    labels.update({variables.word(name, state): variables.word(value, state) for name, value in step.pairs})
    return state.configured(Labels=labels)


def _maintainer(step: Maintainer, state: State, variables: Variables) -> State:
    labels = dict(state.config.get("Labels") or {})
    return state.configured(Labels={**labels, "org.opencontainers.image.authors": step.name})


def workdir(step: Workdir, state: State, variables: Variables) -> State:
    path = variables.word(step.path, state)
    if not path:
        raise ValueError("WORKDIR is empty: does its variable have a value?")
    return state.configured(WorkingDir=absolute(path, state))


def absolute(path: str, state: State) -> str:
    """A path by the working directory, without dots."""
    return "/" + posixpath.normpath(posixpath.join(state.workdir, path)).lstrip("/")


def _user(step: User, state: State, variables: Variables) -> State:
    user = variables.word(step.user, state)
    if not user:
        raise ValueError("USER is empty: does its variable have a value?")
    return state.configured(User=user)


def _expose(step: Expose, state: State, variables: Variables) -> State:
    ports = dict(state.config.get("ExposedPorts") or {})
    for word in variables.words(step.ports, state):
        match = _PORT.match(word)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        if match is None or not 0 < first <= last <= 65535:
            raise ValueError(f"EXPOSE takes ports such as 80, 53/udp or 8000-8010, not {word!r}")
        for port in range(first, last + 1):
            ports[f"{port}/{(match[3] or 'tcp').lower()}"] = {}
    return state.configured(ExposedPorts=ports)


def _volume(step: Volume, state: State, variables: Variables) -> State:
    volumes = dict(state.config.get("Volumes") or {})
    for path in step.paths:
        found = variables.word(path, state)
        if not found:
            raise ValueError("VOLUME has an empty path: does its variable have a value?")
        volumes[found] = {}
    return state.configured(Volumes=volumes)


def command(step: Command, state: State) -> list[str]:
    return [*state.shell, *step.words] if step.shell else list(step.words)


def _cmd(step: Cmd, state: State, variables: Variables) -> State:
    return replace(state.configured(Cmd=command(step.command, state)), own_cmd=True)


def _entrypoint(step: Entrypoint, state: State, variables: Variables) -> State:
    """A new ENTRYPOINT drops a CMD that was inherited: its arguments were meant for another program."""
    kept = state.config.get("Cmd") if state.own_cmd else None
    return state.configured(Entrypoint=command(step.command, state), Cmd=kept)


def _shell(step: Shell, state: State, variables: Variables) -> State:
    return state.configured(Shell=list(step.words))


def _healthcheck(step: Healthcheck, state: State, variables: Variables) -> State:
    test = list(step.test)
    found: dict[str, Any] = {"Test": test}
    times = (
        ("Interval", step.interval),
        ("Timeout", step.timeout),
        ("StartPeriod", step.start_period),
        ("StartInterval", step.start_interval),
        ("Retries", step.retries),
    )
    found.update({name: value for name, value in times if value})
    return state.configured(Healthcheck=found)


def _stopsignal(step: Stopsignal, state: State, variables: Variables) -> State:
    text = variables.word(step.signal, state)
    known = text.isdigit() and 0 < int(text) <= 64
    name = text.upper() if text.upper().startswith("SIG") else f"SIG{text.upper()}"
    if not known and not (name in signal.Signals.__members__ or re.fullmatch(r"SIGRTM(IN|AX)([+-]\d+)?", name)):
        raise ValueError(f"STOPSIGNAL takes a signal such as SIGTERM or 15, not {text!r}")
    return state.configured(StopSignal=text)


def _onbuild(step: Onbuild, state: State, variables: Variables) -> State:
    return state.configured(OnBuild=[*(state.config.get("OnBuild") or ()), step.trigger])


HANDLERS: dict[type[Instruction], Callable[[Any, State, Variables], State]] = {
    Arg: arg,
    Env: _env,
    Label: _label,
    Maintainer: _maintainer,
    User: _user,
    Expose: _expose,
    Volume: _volume,
    Cmd: _cmd,
    Entrypoint: _entrypoint,
    Shell: _shell,
    Healthcheck: _healthcheck,
    Stopsignal: _stopsignal,
    Onbuild: _onbuild,
}
