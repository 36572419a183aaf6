"""Parts that most descriptions share: metadata, label lists, selectors, times, events."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from sampan.api import duration
from sampan.cli.kubectl.describing.tabs import Writer

Document = dict[str, Any]

NONE = "<none>"
HIDDEN = ("kubectl.kubernetes.io/last-applied-configuration",)
LONGEST = 140


def pairs(write: Writer, title: str, values: Mapping[str, str] | None, hidden: Iterable[str] = ()) -> None:
    """`Labels:  a=b`, one pair a line, sorted."""
    shown = {key: value for key, value in (values or {}).items() if key not in hidden}
    if not shown:
        write(0, f"{title}:\t{NONE}")
        return
    for at, (key, value) in enumerate(sorted(shown.items())):
        write(0, f"{f'{title}:' if not at else ''}\t{key}={value}")


def notes(write: Writer, values: Mapping[str, str] | None, title: str = "Annotations") -> None:
    """Long values and those of several lines go below their key."""
    shown = {key: value for key, value in (values or {}).items() if key not in HIDDEN}
    if not shown:
        write(0, f"{title}:\t{NONE}")
        return
    for at, (key, value) in enumerate(sorted(shown.items())):
        head = f"{f'{title}:' if not at else ''}\t"
        value = value.removesuffix("\n")
        if len(key) + len(value) + 2 <= LONGEST and "\n" not in value:
            write(0, f"{head}{key}: {value}")
            continue
        write(0, f"{head}{key}:")
        for line in value.split("\n"):
            write(0, f"\t  {line if len(line) <= LONGEST else line[:LONGEST] + '...'}")


def metadata(write: Writer, document: Document, *, namespaced: bool = True) -> None:
    meta = document["metadata"]
    write(0, f"Name:\t{meta['name']}")
    if namespaced:
        write(0, f"Namespace:\t{meta.get('namespace', '')}")
    pairs(write, "Labels", meta.get("labels"))
    notes(write, meta.get("annotations"))


def selector(value: Document | None) -> str:
    """A LabelSelector, or a plain map, as text; `<unset>` for none."""
    if value is None:
        return "<unset>"
    if "matchLabels" not in value and "matchExpressions" not in value:
        return label_text(value)
    parts = [f"{key}={each}" for key, each in sorted((value.get("matchLabels") or {}).items())]
    for each in value.get("matchExpressions") or ():
        values = ",".join(sorted(each.get("values") or ()))
        key = each["key"]
        parts.append(
            {
                "In": f"{key} in ({values})",
                "NotIn": f"{key} notin ({values})",
                "Exists": key,
                "DoesNotExist": f"!{key}",
            }[each["operator"]]
        )
    return ",".join(parts) or NONE


def label_text(values: Mapping[str, Any] | None) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted((values or {}).items())) or NONE


def moment(text: str | None) -> str:
    """RFC 1123 with a numeric zone, here: `Mon, 02 Jan 2006 15:04:05 -0700`."""
    if not text:
        return "<unset>"
    return datetime.fromisoformat(text).astimezone().strftime("%a, %d %b %Y %H:%M:%S %z")


def age(text: str | None) -> str:
    return duration.since(text, time.time())


def controller(document: Document) -> str:
    """`ReplicaSet/web-1`, "" without a controller."""
    for owner in document["metadata"].get("ownerReferences") or ():
        if owner.get("controller"):
            return f"{owner['kind']}/{owner['name']}"
    return ""


def conditions(write: Writer, listed: Iterable[Document], *, reasons: bool = True) -> None:
    listed = list(listed)
    if not listed:
        return
    write(0, "Conditions:")
    write(1, "Type\tStatus\tReason")
    write(1, "----\t------\t------")
    for each in listed:
        write(1, f"{each['type']} \t{each['status']}\t{each.get('reason') or ''}")


def events(write: Writer, listed: list[Document]) -> None:
    """Newest last, repeated ones with how often and how long."""
    if not listed:
        write(0, f"Events:\t{NONE}")
        return
    write(0, "Events:")
    write(1, "Type\tReason\tAge\tFrom\tMessage")
    write(1, "----\t------\t----\t----\t-------")
    for event in sorted(listed, key=lambda e: e.get("lastTimestamp") or e.get("eventTime") or ""):
        first = event.get("firstTimestamp") or event.get("eventTime")
        count = event.get("count") or (event.get("series") or {}).get("count") or 0
        last = event.get("lastTimestamp") or (event.get("series") or {}).get("lastObservedTime")
        interval = f"{age(last)} (x{count} over {age(first)})" if count > 1 else age(first)
        source = (event.get("source") or {}).get("component") or event.get("reportingComponent") or ""
        message = (event.get("message") or "").strip()
        write(1, f"{event.get('type', '')}\t{event.get('reason', '')}\t{interval}\t{source}\t{message}")


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
