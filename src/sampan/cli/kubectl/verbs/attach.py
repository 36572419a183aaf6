"""`sampan attach`: this terminal, on a container that runs."""

from __future__ import annotations

import argparse
import sys
from urllib.parse import urlencode

from sampan.cli.context import CommandError, Context
from sampan.cli.kubectl import flags, pods, terminal
from sampan.cli.kubectl.session import connect, seconds

EXAMPLES = """\
examples:
  sampan attach web
  sampan attach -it web -c app"""


def configure(parser: argparse.ArgumentParser) -> None:
    flags.set_up(parser)
    add = parser.add_argument
    add("-c", "--container", default="", metavar="NAME", help="this container")
    add("-i", "--stdin", action="store_true", help="pass standard input on")
    add("-t", "--tty", action="store_true", help="standard input is a terminal")
    add("-q", "--quiet", action="store_true", help="only what the container says")
    add("--pod-running-timeout", default="1m0s", metavar="TIME", help="how long to wait for a pod")


async def run(options: argparse.Namespace, context: Context) -> int:
    from sampan.streams.command_client import remote_command

    if len(options.args) != 1:
        raise CommandError("error: one of POD or TYPE/NAME is required for attach")
    async with connect(options, context) as session:
        pod = await pods.of_word(session, options.args[0], wait=seconds(options.pod_running_timeout))
        name = pods.container(session, pod, options.container, quiet=options.quiet)
        tty = options.tty and sys.stdin.isatty()
        if options.stdin and not options.quiet:
            context.err("If you don't see a command prompt, try pressing enter.")
        with terminal.raw() if tty else terminal.plain():
            return await remote_command(
                session.transport,
                f"{pods.path(pod, 'attach')}?{urlencode([('container', name)])}",
                stdin=terminal.stdin() if options.stdin else None,
                stdout=terminal.write_out,
                stderr=terminal.write_err,
                tty=tty,
                resize=terminal.sizes() if tty else None,
            )
