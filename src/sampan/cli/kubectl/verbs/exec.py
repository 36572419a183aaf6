"""`sampan exec`: a command in a container, with this terminal if asked."""

from __future__ import annotations

import argparse
import sys
from typing import Any
from urllib.parse import urlencode

from sampan.cli.context import CommandError, Context
from sampan.cli.kubectl import flags, pods, terminal
from sampan.cli.kubectl.session import Session, connect, seconds

Document = dict[str, Any]

EXAMPLES = """\
examples:
  sampan exec web -- ls /
  sampan exec -it deployment/web -c app -- sh
  echo hello | sampan exec -i web -- tee /tmp/greeting"""


def configure(parser: argparse.ArgumentParser) -> None:
    flags.set_up(parser, rest=True)
    flags.filenames(parser)
    add = parser.add_argument
    add("-c", "--container", default="", metavar="NAME", help="this container")
    add("-i", "--stdin", action="store_true", help="pass standard input on")
    add("-t", "--tty", action="store_true", help="give the command a terminal")
    add("-q", "--quiet", action="store_true", help="only what the command says")
    add("--pod-running-timeout", default="1m0s", metavar="TIME", help="how long to wait for a pod")


async def run(options: argparse.Namespace, context: Context) -> int:
    if not options.args:
        raise CommandError("error: pod, type/name or --filename must be specified")
    word, command = options.args[0], options.rest
    if command is None:
        if len(options.args) > 1:
            raise CommandError(
                "error: exec [POD] [COMMAND] is not supported anymore. Use exec [POD] -- [COMMAND] instead\n"
                "See 'sampan exec -h' for help and examples"
            )
    if not command:
        raise CommandError("error: you must specify at least one command for the container")
    async with connect(options, context) as session:
        pod = await pods.of_word(session, word, wait=seconds(options.pod_running_timeout))
        phase = (pod.get("status") or {}).get("phase")
        if phase in ("Succeeded", "Failed"):
            raise CommandError(f"error: cannot exec into a container in a completed pod; current phase is {phase}")
        name = pods.container(session, pod, options.container, quiet=options.quiet)
        tty = options.tty and sys.stdin.isatty()
        if options.tty and not tty:
            context.err("Unable to use a TTY - input is not a terminal or the right kind of file")
        code = await command_in(session, pod, name, command, stdin=options.stdin, tty=tty)
        if code:
            context.err(f"command terminated with exit code {code}")
        return code


async def command_in(
    session: Session, pod: Document, container: str, command: list[str], *, stdin: bool, tty: bool
) -> int:
    """The exit code."""
    from sampan.streams.command_client import remote_command

    query = urlencode([("container", container), *(("command", part) for part in command)])
    with terminal.raw() if tty else terminal.plain():
        return await remote_command(
            session.transport,
            f"{pods.path(pod, 'exec')}?{query}",
            stdin=terminal.stdin() if stdin else None,
            stdout=terminal.write_out,
            stderr=terminal.write_err,
            tty=tty,
            resize=terminal.sizes() if tty else None,
        )
