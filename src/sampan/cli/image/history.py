"""`sampan image history`: the stack of an image, the top first: service, middleware, base."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any

from sampan.cli.context import Context
from sampan.cli.image.inspect import found_record
from sampan.cli.image.place import Place, short, size

NAME = "history"
ALIASES: tuple[str, ...] = ()
HELP = "the stack of an image: its service on its middleware on its base, and what each step added"
_WIDEST = 90


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("image", metavar="IMAGE", help="a name, or an ID or its beginning")
    parser.add_argument("-o", "--output", choices=("json",), help="json")
    parser.add_argument("--all", action="store_true", help="also steps that changed no file")


async def run(options: argparse.Namespace, context: Context, place: Place) -> int:
    from sampan.images.build import base_image, stack

    record = found_record(place.store, options.image)
    state = base_image.from_record(place.store, record, options.image, inherit=False)
    layers = list(state.layers)
    rows: list[dict[str, Any]] = []
    for entry in state.history:
        layer = layers.pop(0) if not entry.get("empty_layer") and layers else None
        rows.append(
            {
                "role": entry.get("comment") if entry.get("comment") in stack.ROLES else stack.BASE,
                "layer": layer.diff_id if layer else "",
                "size": place.store.layers.size(layer.diff_id) if layer else 0,
                "createdBy": entry.get("created_by") or "",
            }
        )
    rows.reverse()
    if options.output == "json":
        context.out(json.dumps(rows, indent=2))
    else:
        context.out(printed([row for row in rows if row["layer"] or options.all]))
    return 0


def printed(rows: Sequence[dict[str, Any]]) -> str:
    """One block a role, with its sum."""
    lines: list[str] = []
    role = None
    for row in rows:
        if row["role"] != role:
            role = row["role"]
            total = sum(each["size"] for each in rows if each["role"] == role)
            lines.append(f"{role} ({size(total)})")
        text = " ".join(row["createdBy"].split()) or "(it does not say how it was made)"
        text = text if len(text) <= _WIDEST else text[: _WIDEST - 3] + "..."
        lines.append(f"  {short(row['layer']) or '-':<12}  {size(row['size']):>8}  {text}")
    return "\n".join(lines) or "no layers"
