#!/usr/bin/env python3
"""Make src/sampan/api/protobuf.txt from a table of protobuf fields (package, message, number, field, label, type).

usage: update_protobuf.py FIELDS.tsv        one line per message: its name, then number:field:type of each field
"""

from __future__ import annotations

import csv
import re
import sys
from pathlib import Path

TARGET = Path(__file__).parent.parent / "src/sampan/api/protobuf.txt"
PREFIXES = (
    ("k8s.io.api.", ""),
    ("k8s.io.apimachinery.pkg.apis.meta.", "meta."),
    ("k8s.io.apimachinery.pkg.api.resource", "quantity"),
    ("k8s.io.apimachinery.pkg.util.intstr", "intstr"),
    ("k8s.io.apimachinery.pkg.runtime", "runtime"),
    ("k8s.io.apiextensions_apiserver.pkg.apis.", ""),
    ("k8s.io.kube_aggregator.pkg.apis.", ""),
)
SCALARS = {"string", "int32", "int64", "bool", "bytes", "double"}
KEPT = re.compile(r"(quantity|intstr|runtime|[a-z]+\.v[12])$")


def short(name: str) -> str:
    name = name.lstrip(".")
    for long, brief in PREFIXES:
        if name.startswith(long):
            return brief + name[len(long) :]
    return name


def typed(text: str, package: str) -> str:
    match = re.fullmatch(r"map<string, (.+)>", text)
    if match:
        return "map/" + typed(match[1], package)
    if text in SCALARS:
        return text
    return short(text) if "." in text else f"{package}.{text}"


def main() -> None:
    messages: dict[str, list[str]] = {}
    with open(sys.argv[1]) as file:
        for row in csv.DictReader(file, delimiter="\t"):
            package = short(row["package"])
            if not KEPT.match(package):
                continue
            kind = typed(row["type"], package)
            if row["label"] == "repeated" and not kind.startswith("map/"):
                kind = f"list/{kind}"
            messages.setdefault(f"{package}.{row['message']}", []).append(f"{row['number']}:{row['field']}:{kind}")
    lines = [f"{name} {' '.join(fields)}" for name, fields in sorted(messages.items())]
    TARGET.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
