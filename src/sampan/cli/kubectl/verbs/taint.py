"""`sampan taint`: taints of nodes set and removed."""

from __future__ import annotations

import argparse
from typing import Any

from sampan.cli.context import CommandError, Context
from sampan.cli.kubectl import flags, select, writing
from sampan.cli.kubectl.session import connect

Document = dict[str, Any]

EXAMPLES = """\
examples:
  sampan taint nodes n1 dedicated=build:NoSchedule
  sampan taint nodes n1 dedicated-"""

EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")


def configure(parser: argparse.ArgumentParser) -> None:
    flags.set_up(parser)
    flags.selector(parser, everything=True)
    flags.output(parser)
    flags.dry_run(parser)
    flags.field_manager(parser, "kubectl-taint")
    parser.add_argument("--overwrite", action="store_true", help="change taints that have another value")


def split(words: list[str]) -> tuple[list[str], list[Document], list[tuple[str, str]]]:
    """What names nodes, taints to set, and (key, effect) to remove, "" for all effects. Raises CommandError."""
    names: list[str] = []
    wanted: list[Document] = []
    removed: list[tuple[str, str]] = []
    for word in words:
        if word.endswith("-") and names:
            key, _, effect = word[:-1].partition(":")
            removed.append((key.partition("=")[0], effect))
        elif ":" in word or "=" in word:
            pair, _, effect = word.rpartition(":")
            if effect not in EFFECTS:
                raise CommandError(
                    f"error: invalid taint effect: {effect}, unsupported taint effect\n"
                    "See 'sampan taint -h' for help and examples"
                )
            key, equals, value = pair.partition("=")
            wanted.append({"key": key, "effect": effect, **({"value": value} if equals and value else {})})
        else:
            names.append(word)
    return names, wanted, removed


async def run(options: argparse.Namespace, context: Context) -> int:
    names, wanted, removed = split(options.args)
    if not wanted and not removed:
        raise CommandError("error: at least one taint update is required")
    dry, query = flags.check_dry_run(options), writing.query(options)
    async with connect(options, context) as session:
        found = await select.targets(session, names)
        if not any(t.name for t in found) and not (options.selector or options.all):
            raise CommandError("error: at least one resource name must be specified since 'all' parameter is not set")
        for target, document in await select.objects(session, found, labels=options.selector):
            taints = changed(target.name, (document.get("spec") or {}).get("taints") or [], wanted, removed, options)
            if dry != "client":
                patch = {"metadata": {"resourceVersion": document["metadata"]["resourceVersion"]}}
                document = await session.patch(target.path, {**patch, "spec": {"taints": taints}}, "merge", query)
            options.dry_run = "none"  # kubectl does not say it here
            writing.show(session, target, document, "tainted" if wanted else "untainted")
    return 0


def changed(
    node: str,
    taints: list[Document],
    wanted: list[Document],
    removed: list[tuple[str, str]],
    options: argparse.Namespace,
) -> list[Document]:
    kept = list(taints)
    for key, effect in removed:
        left = [t for t in kept if t["key"] != key or (effect and t["effect"] != effect)]
        if len(left) == len(kept):
            raise CommandError(f'error: taint "{key}{f":{effect}" if effect else ""}" not found')
        kept = left
    for taint in wanted:
        known = [t for t in kept if (t["key"], t["effect"]) == (taint["key"], taint["effect"])]
        if known and not options.overwrite:
            raise CommandError(
                f"error: node {node} already has {taint['key']} taint(s) with same effect(s) and --overwrite is false"
            )
        kept = [t for t in kept if t not in known] + [taint]
    return kept
