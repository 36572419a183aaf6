"""`sampan`: one command per module; only the command that runs is imported."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Coroutine, Sequence

from sampan.cli.commands import COMMANDS, GROUPS, Command
from sampan.cli.context import CommandError, Context

USAGE = "usage: sampan [--version] [-h] COMMAND [ARGUMENT...]"


def overview() -> str:
    """What `sampan` alone prints: the commands by group."""
    lines = ["A complete Kubernetes on one Linux machine.", "", USAGE]
    for group in GROUPS:
        lines += ["", f"{group}:"]
        lines += [f"  {c.name:<15} {c.help}" for c in COMMANDS if c.group == group]
    return "\n".join([*lines, "", "sampan COMMAND --help tells more about one."])


def parser_of(command: Command) -> tuple[argparse.ArgumentParser, object]:
    module = importlib.import_module(command.module)
    parser = argparse.ArgumentParser(
        prog=f"sampan {command.name}",
        description=command.help,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=getattr(module, "EXAMPLES", None),
    )
    module.configure(parser)
    return parser, module


LEADING = frozenset(
    (
        *("-n", "--namespace", "--context", "--cluster", "--user", "--kubeconfig", "-s", "--server", "--token"),
        *("--as", "--as-group", "--as-uid", "--certificate-authority", "--client-certificate", "--client-key"),
        *("--tls-server-name", "--request-timeout", "-v", "--v"),
    )
)
"""Flags with a value that may stand before the command, as kubectl allows."""


def command_first(arguments: list[str]) -> list[str]:
    """`-n kube-system get pods` as `get -n kube-system pods`."""
    at = 0
    while at < len(arguments) and arguments[at].startswith("-"):
        at += 2 if arguments[at] in LEADING else 1
    if at >= len(arguments):
        return arguments
    return [arguments[at], *arguments[:at], *arguments[at + 1 :]]


def find(name: str) -> Command:
    for command in COMMANDS:
        if name == command.name or name in command.aliases:
            return command
    raise CommandError(f'unknown command "{name}" for "sampan"; `sampan --help` lists them', code=1)


def run(arguments: Sequence[str], context: Context) -> int:
    arguments = list(arguments)
    if arguments[:1] == ["kubectl"]:
        arguments = arguments[1:] or ["--help"]
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        if len(arguments) > 1:
            return run([*arguments[1:], "--help"], context)
        context.out(overview())
        return 0
    if arguments[0] == "--version":
        arguments = ["version", "--client"]
    arguments = command_first(arguments)
    command = find(arguments[0])
    parser, module = parser_of(command)
    options = parser.parse_args(arguments[1:])
    result: int | Coroutine[object, object, int] = module.run(options, context)  # type: ignore[attr-defined]
    if isinstance(result, int):
        return result
    import asyncio

    return asyncio.run(result)


def main() -> None:
    context = Context.of_process()
    try:
        code = run(sys.argv[1:], context)
    except CommandError as error:
        context.err(str(error))
        code = error.code
    except KeyboardInterrupt:
        code = 130
    except BrokenPipeError:
        # The reader went away (`sampan get pods | head`); the interpreter must not complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 141
    sys.exit(code)


if __name__ == "__main__":
    main()
