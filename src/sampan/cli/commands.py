"""The commands in the order in which help lists them. A new command is one module and one line here."""

from __future__ import annotations

from typing import NamedTuple

CLUSTER = "Cluster"
GROUPS = (CLUSTER,)


class Command(NamedTuple):
    """`module` exports `configure(parser)` and `run(options, context) -> int` (the exit code), async or not."""

    name: str
    help: str
    group: str
    module: str
    aliases: tuple[str, ...] = ()


COMMANDS: tuple[Command, ...] = (
    Command("up", "start the cluster, or say that it runs", CLUSTER, "sampan.cli.up"),
    Command("down", "stop the cluster; --purge forgets its state too", CLUSTER, "sampan.cli.down"),
    Command("status", "what runs, since when, and what it costs", CLUSTER, "sampan.cli.status"),
    Command("doctor", "what this machine lacks, and the command that mends it", CLUSTER, "sampan.cli.doctor"),
    Command("image", "load, list and remove images of the node", CLUSTER, "sampan.cli.image"),
)
