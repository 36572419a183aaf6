"""`sampan edit`: an object in the editor, and back."""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sampan.api.errors import StatusError
from sampan.cli.context import CommandError, Context
from sampan.cli.kubectl import flags, manifests, select, threeway, words, writing
from sampan.cli.kubectl.printing import structured
from sampan.cli.kubectl.select import Target
from sampan.cli.kubectl.session import Session, connect

Document = dict[str, Any]

EXAMPLES = """\
examples:
  sampan edit deployment/web
  EDITOR=nano sampan edit configmap settings"""

HEAD = """\
# Please edit the object below. Lines beginning with a '#' will be ignored,
# and an empty file will abort the edit. If an error occurs while saving this file will be
# reopened with the relevant failures.
#
"""


def configure(parser: argparse.ArgumentParser) -> None:
    flags.set_up(parser)
    flags.filenames(parser)
    flags.selector(parser)
    flags.field_manager(parser, "kubectl-edit")
    parser.add_argument("-o", "--output", default="yaml", metavar="yaml|json", help="what to edit it as")
    parser.add_argument("--show-managed-fields", action="store_true", help="keep managedFields")


async def run(options: argparse.Namespace, context: Context) -> int:
    async with connect(options, context) as session:
        found = await select.targets(session, options.args)
        listed = await select.objects(session, found, labels=options.selector)
        if not listed:
            raise CommandError("error: edit cancelled, no objects found")
        codes = [await _one(session, target, document) for target, document in listed]
        return max(codes)


def program(context: Context) -> list[str]:
    """KUBE_EDITOR, EDITOR, or vi."""
    return shlex.split(context.environ.get("KUBE_EDITOR") or context.environ.get("EDITOR") or "vi")


def in_editor(text: str, context: Context, suffix: str = ".yaml") -> str:
    """What the person made of the text."""
    with tempfile.NamedTemporaryFile("w", prefix="sampan-edit-", suffix=suffix, delete=False) as file:
        file.write(text)
    path = Path(file.name)
    command = [*program(context), str(path)]
    try:
        subprocess.run(command, check=True)
        return path.read_text()
    except (OSError, subprocess.CalledProcessError) as error:
        raise CommandError(f"error: there was a problem with the editor {command[0]!r}") from error
    finally:
        path.unlink(missing_ok=True)


async def _one(session: Session, target: Target, document: Document) -> int:
    if not session.options.show_managed_fields:
        document = structured.without_managed_fields(document)
    write = structured.as_json if session.options.output == "json" else structured.as_yaml
    before = write(document)
    shown, trouble = HEAD + before, ""
    while True:
        edited = in_editor(trouble + shown, session.context, f".{session.options.output}")
        plain = "".join(line for line in edited.splitlines(keepends=True) if not line.startswith("#"))
        if not plain.strip() or plain == before or (trouble and edited == trouble + shown):
            session.context.err(
                "Edit cancelled, no changes made." if not trouble else "Edit cancelled, no valid changes were saved."
            )
            return 0 if not trouble else 1
        try:
            (wanted,) = manifests.parse(plain, "the edited file")
            await _save(session, target, document, wanted.document)
            return 0
        except ValueError as error:
            trouble = _comment(f"the file must hold one object: {error}")
        except CommandError as error:
            trouble = _comment(str(error))
        except StatusError as error:
            trouble = _comment(words.refusal(error))
        shown = plain if plain.startswith(HEAD) else HEAD + plain
        if not os.isatty(0):
            # Nobody is there to try again.
            raise CommandError(trouble.replace("# ", "").strip())


def _comment(text: str) -> str:
    return "".join(f"# {line}\n" for line in text.splitlines()) + "#\n"


async def _save(session: Session, target: Target, before: Document, wanted: Document) -> None:
    if wanted.get("metadata", {}).get("name") != target.name:
        raise CommandError("error: At least one of apiVersion, kind and name was changed")
    known = threeway.definition(target.resource)
    if known:
        from sampan.api.patch import strategic_diff

        patch, how = strategic_diff.difference(before, wanted, known), "strategic"
    else:
        from sampan.api.patch import merge

        patch, how = merge.create(before, wanted, before), "merge"
    if not patch:
        session.context.err("Edit cancelled, no changes made.")
        return
    changed = await session.patch(target.path, patch, how, writing.query(session.options))
    session.options.output = ""
    writing.show(session, target, changed, "edited")


def edited(found: Sequence[manifests.Manifest], context: Context) -> list[manifests.Manifest]:
    """Manifests as the person wants them."""
    text = "---\n".join(structured.as_yaml(each.document) for each in found)
    result = in_editor(HEAD + text, context)
    if not result.strip():
        raise CommandError("error: Edit cancelled, saved file was empty.")
    return list(manifests.parse(result, found[0].source))
