"""What -o means: a function from a document to text, or None for a table or a line for people."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sampan.cli.context import CommandError

Document = dict[str, Any]
Printer = Callable[[Document], str]

FORMATS = (
    "custom-columns,custom-columns-file,go-template,go-template-file,json,jsonpath,jsonpath-as-json,jsonpath-file,"
    "name,template,templatefile,wide,yaml"
)


def printer(options: argparse.Namespace) -> Printer | None:
    """Raises CommandError for a format that does not exist or a template that cannot be read."""
    format_, equals, text = options.output.partition("=")
    if not equals:
        text = options.template
    match format_:
        case "" | "wide":
            if options.template and not format_:
                return _templates("go-template", options.template)
            return None
        case "json" | "yaml":
            return _structured(format_, keep=getattr(options, "show_managed_fields", False))
        case "name":
            return names
        case _ if format_ in FORMATS.split(","):
            return _template(format_, text, options)
    raise CommandError(
        f'error: unable to match a printer suitable for the output format "{options.output}", '
        f"allowed formats are: {FORMATS}"
    )


def _template(format_: str, text: str, options: argparse.Namespace) -> Printer:
    if not text:
        raise CommandError(f"error: {format_} format specified but no template given")
    if format_.endswith("file"):
        try:
            text = Path(text).read_text()
        except OSError as error:
            raise CommandError(f"error: error reading --template {text}: {error.strerror}") from error
        format_ = format_.removesuffix("file").removesuffix("-")
        if format_ == "custom-columns":
            from sampan.cli.kubectl.printing import columns

            return columns.ColumnPrinter(columns.parse_file(text), headers=not getattr(options, "no_headers", False))
    if format_ == "custom-columns":
        from sampan.cli.kubectl.printing import columns

        return columns.ColumnPrinter(columns.parse(text), headers=not getattr(options, "no_headers", False))
    return _templates("go-template" if format_ == "template" else format_, text)


def _templates(format_: str, text: str) -> Printer:
    if format_ == "go-template":
        from sampan.cli.kubectl.printing import gotemplate

        try:
            compiled = gotemplate.Template(text)
        except gotemplate.TemplateError as error:
            raise CommandError(f"error: error parsing template {text}, template: output:1: {error}") from error
        return _guarded(compiled.render, text)
    from sampan.cli.kubectl.printing import jsonpath

    try:
        path = jsonpath.Template(text)
    except jsonpath.PathError as error:
        raise CommandError(f"error: error parsing jsonpath {text}, {error}") from error
    if format_ == "jsonpath-as-json":
        import json

        return lambda document: json.dumps(path.values(document), indent=4, sort_keys=True, ensure_ascii=False) + "\n"
    return _guarded(path.render, text)


def _guarded(render: Callable[[Any], str], text: str) -> Printer:
    def run(document: Document) -> str:
        try:
            return render(document)
        except ValueError as error:
            raise CommandError(f"error: error executing template {text!r}: {error}") from error

    return run


def _structured(format_: str, *, keep: bool) -> Printer:
    from sampan.cli.kubectl.printing import structured

    write = structured.as_json if format_ == "json" else structured.as_yaml
    return write if keep else lambda document: write(structured.without_managed_fields(document))


def names(document: Document) -> str:
    """`pod/web`, a line for each object."""
    items = document["items"] if isinstance(document.get("items"), list) else [document]
    return "".join(f"{name(item)}\n" for item in items)


def name(document: Document) -> str:
    """`deployment.apps/web`"""
    group = (document.get("apiVersion") or "").rpartition("/")[0]
    kind = (document.get("kind") or "").lower()
    return f"{kind}{f'.{group}' if group else ''}/{(document.get('metadata') or {}).get('name', '')}"
