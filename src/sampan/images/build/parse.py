"""A Dockerfile's text to instructions and stages. Pure: nothing is read, no variable replaced.

By the Dockerfile reference. Errors are DockerfileError with file, line and what to do. A new instruction is one
function and one line of `PARSERS`.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable
from typing import NoReturn

from sampan.images.build import lines as logical
from sampan.images.build import options, substitute
from sampan.images.build.errors import DockerfileError
from sampan.images.build.instructions import (
    Arg,
    Cmd,
    Command,
    Copy,
    Dockerfile,
    Entrypoint,
    Env,
    Expose,
    From,
    Healthcheck,
    Instruction,
    Label,
    Maintainer,
    Network,
    Onbuild,
    Run,
    Shell,
    Stage,
    Stopsignal,
    User,
    Volume,
    Workdir,
)
from sampan.images.build.lines import Line

NETWORKS: dict[str, Network] = {"default": "default", "none": "none", "host": "host"}
_STAGE_NAME = re.compile(r"[a-z][a-z0-9-_.]*\Z")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


def parse(text: str, file: str = "Dockerfile") -> Dockerfile:
    """Raises DockerfileError."""
    read = logical.read(text, file)
    parser = _Parser(file, read.escape)
    arguments: list[Arg] = []
    heads: list[From] = []
    bodies: list[list[Instruction]] = []
    for line in read.lines:
        made = parser.instruction(line)
        if isinstance(made, From):
            if made.name and any(head.name == made.name for head in heads):
                parser.refuse(line, f"there is a stage {made.name} already", "give each stage a name of its own")
            heads.append(made)
            bodies.append([])
        elif bodies:
            bodies[-1].append(made)
        elif isinstance(made, Arg):
            arguments.append(made)
        else:
            parser.refuse(line, f"{line.keyword} before the first FROM", "only ARG may stand before it")
    if not heads:
        raise DockerfileError(file, 1, "there is no FROM", "start with FROM and the image to build on, or FROM scratch")
    stages = tuple(Stage(i, head, tuple(body)) for i, (head, body) in enumerate(zip(heads, bodies, strict=True)))
    return Dockerfile(file, stages, tuple(arguments), read.escape, read.syntax)


def trigger(text: str, file: str, escape: str = "\\") -> Instruction:
    """The instruction of an ONBUILD, when an image that has it is built on."""
    read = logical.read(text, file)
    if len(read.lines) != 1:
        raise DockerfileError(file, 1, f"ONBUILD trigger {text!r} is not one instruction")
    return _Parser(file, escape).instruction(read.lines[0])


class _Parser:
    def __init__(self, file: str, escape: str) -> None:
        self.file = file
        self.escape = escape

    def refuse(self, line: Line, message: str, hint: str = "") -> NoReturn:
        raise DockerfileError(self.file, line.number, message, hint)

    def instruction(self, line: Line) -> Instruction:
        make = PARSERS.get(line.keyword)
        if make is None:
            close = difflib.get_close_matches(line.keyword, PARSERS, 1)
            hint = f"did you mean {close[0]}?" if close else "it starts with a word such as RUN or COPY"
            self.refuse(line, f"unknown instruction {line.keyword[:40]}", hint)
        if not line.rest:
            self.refuse(line, f"{line.keyword} needs arguments")
        try:
            return make(self, line)
        except ValueError as error:
            self.refuse(line, str(error))

    def options(self, line: Line, *known: str) -> tuple[list[tuple[str, str]], str]:
        found, rest = options.split(line.rest, self.escape, known, line.keyword)
        names = [name for name, _ in found]
        for name in names:
            if names.count(name) > 1 and name not in ("mount", "exclude"):
                raise ValueError(f"--{name} is given twice")
        return found, rest


def _json_words(text: str) -> tuple[str, ...] | None:
    """The strings of a JSON array; None for anything else, which then is meant for the shell."""
    if not text.startswith("["):
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        return None
    return tuple(found)


def _command(text: str) -> Command:
    words = _json_words(text)
    return Command((text,), shell=True) if words is None else Command(words, shell=False)  # noqa: S604  a value


def _from(parser: _Parser, line: Line) -> From:
    found, rest = parser.options(line, "platform")
    words = rest.split()
    if len(words) == 3 and words[1].upper() == "AS":
        name = words[2].lower()
        if not _STAGE_NAME.match(name):
            raise ValueError(f"invalid name of a stage {words[2]!r}: use letters, digits, - _ and ., a letter first")
    elif len(words) == 1:
        name = ""
    else:
        raise ValueError("FROM takes an image, or an image, AS and a name")
    return From(line.number, line.text, words[0], name, dict(found).get("platform", ""))


def _arg(parser: _Parser, line: Line) -> Arg:
    pairs: list[tuple[str, str | None]] = []
    for word in substitute.raw_words(line.rest, parser.escape):
        name, equals, value = word.partition("=")
        _check_variable(name, "ARG")
        pairs.append((name, value if equals else None))
    return Arg(line.number, line.text, tuple(pairs))


def _check_variable(name: str, keyword: str) -> None:
    if not _VARIABLE.match(name):
        raise ValueError(f"{keyword} takes NAME=VALUE, and {name[:40]!r} is no name")


def _pairs(parser: _Parser, line: Line) -> tuple[tuple[str, str], ...]:
    """`K=V K2="V 2"`, or the old form `K everything else`."""
    words = substitute.raw_words(line.rest, parser.escape)
    if "=" not in words[0]:
        parts = line.rest.split(None, 1)
        if len(parts) < 2:
            raise ValueError(f"{line.keyword} takes NAME=VALUE, and {parts[0][:40]!r} has no value")
        return ((parts[0], parts[1]),)
    found = []
    for word in words:
        name, equals, value = word.partition("=")
        if not name or not equals:
            raise ValueError(f"{line.keyword} takes NAME=VALUE, not {word[:40]!r}: quote values with blanks")
        found.append((name, value))
    return tuple(found)


def _env(parser: _Parser, line: Line) -> Env:
    return Env(line.number, line.text, _pairs(parser, line))


def _label(parser: _Parser, line: Line) -> Label:
    return Label(line.number, line.text, _pairs(parser, line))


def _run(parser: _Parser, line: Line) -> Run:
    found, rest = parser.options(line, "mount", "network", "security")
    flags = dict(found)
    network, security = NETWORKS.get(flags.get("network", "default")), flags.get("security", "sandbox")
    if network is None:
        raise ValueError(f"--network is default, none or host, not {flags['network']!r}")
    if security not in ("sandbox", "insecure"):
        raise ValueError(f"--security is sandbox or insecure, not {security!r}")
    if not rest:
        raise ValueError("RUN needs a command")
    command = _command(rest)
    if not command.words:
        raise ValueError('RUN needs a command: RUN ["program", "argument"]')
    mounts = tuple(options.mount(value) for name, value in found if name == "mount")
    return Run(line.number, line.text, command, line.heredocs, mounts, network, security == "insecure")


def _copy(parser: _Parser, line: Line) -> Copy:
    return _copy_or_add(parser, line, "from", "chown", "chmod", "link", "parents", "exclude")


def _add(parser: _Parser, line: Line) -> Copy:
    return _copy_or_add(parser, line, "chown", "chmod", "link", "checksum", "keep-git-dir", "unpack", "exclude")


def _copy_or_add(parser: _Parser, line: Line, *known: str) -> Copy:
    found, rest = parser.options(line, *known)
    flags = dict(found)
    words = _json_words(rest)
    if words is None:
        words = tuple(substitute.raw_words(rest, parser.escape))
    if len(words) < 2:
        raise ValueError(f"{line.keyword} takes sources and a destination: {line.keyword} SOURCE... DESTINATION")
    if words[-1].startswith("<<"):
        raise ValueError("the destination cannot be a here-document")
    unpack = flags.get("unpack")
    return Copy(
        line.number,
        line.text,
        words[:-1],
        words[-1],
        line.heredocs,
        add=line.keyword == "ADD",
        from_=flags.get("from", ""),
        chown=flags.get("chown", ""),
        chmod=flags.get("chmod", ""),
        parents=options.flag(flags.get("parents", "false"), "parents"),
        exclude=tuple(value for name, value in found if name == "exclude"),
        checksum=flags.get("checksum", ""),
        unpack=None if unpack is None else options.flag(unpack, "unpack"),
    )


def _workdir(parser: _Parser, line: Line) -> Workdir:
    return Workdir(line.number, line.text, line.rest)


def _user(parser: _Parser, line: Line) -> User:
    if len(substitute.raw_words(line.rest, parser.escape)) != 1:
        raise ValueError("USER takes one user, with an optional group: USER name:group")
    return User(line.number, line.text, line.rest)


def _expose(parser: _Parser, line: Line) -> Expose:
    return Expose(line.number, line.text, line.rest)


def _volume(parser: _Parser, line: Line) -> Volume:
    words = _json_words(line.rest)
    found = tuple(substitute.raw_words(line.rest, parser.escape)) if words is None else words
    if not found or not all(found):
        raise ValueError("VOLUME needs paths")
    return Volume(line.number, line.text, found)


def _cmd(parser: _Parser, line: Line) -> Cmd:
    return Cmd(line.number, line.text, _command(line.rest))


def _entrypoint(parser: _Parser, line: Line) -> Entrypoint:
    return Entrypoint(line.number, line.text, _command(line.rest))


def _shell(parser: _Parser, line: Line) -> Shell:
    words = _json_words(line.rest)
    if not words:
        raise ValueError('SHELL takes a JSON array: SHELL ["/bin/bash", "-c"]')
    return Shell(line.number, line.text, words)


_TIMES = ("interval", "timeout", "start-period", "start-interval")


def _healthcheck(parser: _Parser, line: Line) -> Healthcheck:
    found, rest = parser.options(line, *_TIMES, "retries")
    flags = dict(found)
    kind, command = (*rest.split(None, 1), "", "")[:2]
    if kind.upper() == "NONE" and not command and not found:
        return Healthcheck(line.number, line.text, ("NONE",))
    if kind.upper() != "CMD" or not command.strip():
        raise ValueError("HEALTHCHECK takes NONE, or CMD and a command")
    made = _command(command.strip())
    if not made.words:
        raise ValueError("HEALTHCHECK CMD needs a command")
    times = {name.replace("-", "_"): options.duration(flags[name], name) for name in _TIMES if name in flags}
    retries = flags.get("retries", "0")
    if not re.fullmatch(r"[0-9]{1,9}", retries):
        raise ValueError(f"--retries is a number, not {retries!r}")
    test = ("CMD-SHELL" if made.shell else "CMD", *made.words)
    return Healthcheck(line.number, line.text, test, **times, retries=int(retries))


def _stopsignal(parser: _Parser, line: Line) -> Stopsignal:
    if len(line.rest.split()) != 1:
        raise ValueError("STOPSIGNAL takes one signal, such as SIGTERM or 15")
    return Stopsignal(line.number, line.text, line.rest)


def _onbuild(parser: _Parser, line: Line) -> Onbuild:
    inner = Line(line.number, line.rest, line.heredocs)
    if inner.keyword in ("ONBUILD", "FROM", "MAINTAINER"):
        raise ValueError(f"{inner.keyword} cannot be a trigger of ONBUILD")
    parser.instruction(inner)
    documents = "".join(f"\n{each.content}{each.name}" for each in line.heredocs)
    return Onbuild(line.number, line.text, line.rest + documents)


def _maintainer(parser: _Parser, line: Line) -> Maintainer:
    return Maintainer(line.number, line.text, line.rest)


PARSERS: dict[str, Callable[[_Parser, Line], Instruction]] = {
    "FROM": _from,
    "ARG": _arg,
    "ENV": _env,
    "LABEL": _label,
    "RUN": _run,
    "COPY": _copy,
    "ADD": _add,
    "WORKDIR": _workdir,
    "USER": _user,
    "EXPOSE": _expose,
    "VOLUME": _volume,
    "CMD": _cmd,
    "ENTRYPOINT": _entrypoint,
    "SHELL": _shell,
    "HEALTHCHECK": _healthcheck,
    "STOPSIGNAL": _stopsignal,
    "ONBUILD": _onbuild,
    "MAINTAINER": _maintainer,
}
