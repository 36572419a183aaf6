"""What holds for every kind: one test over all declarations, and their agreement with upstream's endpoints."""

from __future__ import annotations

import copy
import csv
import pathlib
import re
from collections.abc import Iterator

import msgspec
import pytest

from sampan.api import codec, discovery
from sampan.api.kinds import ALL
from sampan.api.kinds.kind import Kind

KINDS = [pytest.param(kind, id=f"{kind.resource}/{kind.version}") for kind in ALL]
METADATA = {
    "name": "x",
    "namespace": "default",
    "uid": "00000000-0000-4000-8000-000000000001",
    "creationTimestamp": "2026-01-02T03:04:05Z",
    "labels": {"app": "web"},
}
NOW = 1767323105.0 + 60  # a minute after the creation above


def built(kind: Kind) -> dict[str, object]:
    """A new object with nothing but metadata, as creation leaves it."""
    document: dict[str, object] = {"metadata": copy.deepcopy(METADATA)}
    codec.identify(kind, document)
    kind.default(document)
    kind.prepare_create(document)
    kind.default(document)
    return document


@pytest.mark.parametrize("kind", KINDS)
def test_round_trip(kind: Kind) -> None:
    document = built(kind)
    codec.normalize(kind, document)
    struct = codec.decode(kind, document)
    value = codec.encode(struct)
    assert value.startswith(b'{"apiVersion":"%b","kind":"%b"' % (kind.api_version.encode(), kind.name.encode()))
    assert codec.decode(kind, msgspec.json.decode(value)) == struct
    assert codec.unknown_fields(kind, document) == []


@pytest.mark.parametrize("kind", KINDS)
def test_defaulting_is_idempotent(kind: Kind) -> None:
    once = built(kind)
    twice = copy.deepcopy(once)
    kind.default(twice)
    assert twice == once


@pytest.mark.parametrize("kind", KINDS)
def test_hooks_leave_wrong_shapes_to_the_decoder(kind: Kind) -> None:
    for wrong in ("text", 1, True, [], [1], {"a": {"b": 1}}):
        for key in ("spec", "status", "metadata", "template", "webhooks", "subsets", "data", "roleRef", "ports"):
            document: dict[str, object] = {"apiVersion": kind.api_version, "kind": kind.name, key: copy.deepcopy(wrong)}
            for hook in (kind.default, kind.prepare_create, kind.default):
                hook(document)
            kind.prepare_update(document, {"metadata": {"name": "x"}})


@pytest.mark.parametrize("kind", KINDS)
def test_columns_of_an_empty_object(kind: Kind) -> None:
    for object in (kind.type(), codec.decode(kind, built(kind))):
        for column in kind.columns:
            assert isinstance(column.cell(object, NOW), str | int | bool), column.name


@pytest.mark.parametrize("kind", KINDS)
def test_columns_begin_with_what_is_always_shown(kind: Kind) -> None:
    names = [column.name for column in kind.columns]
    assert len(set(names)) == len(names)
    assert not names or any(column.format == "name" for column in kind.columns)
    if kind.stored:
        assert names, "a stored kind needs a table"


@pytest.mark.parametrize("kind", KINDS)
def test_field_selectors_read_every_selectable_field(kind: Kind) -> None:
    value = codec.encode(codec.decode(kind, built(kind)))
    paths = ("metadata.name", "metadata.namespace", *kind.selectable)
    found = codec.fields(kind, value, paths)
    assert found["metadata.name"] == "x"
    assert all(isinstance(text, str) for text in found.values())
    assert tuple(found) == paths


@pytest.mark.parametrize("kind", KINDS)
def test_discovery_lists_it(kind: Kind) -> None:
    body = discovery.resources(ALL, kind.group, kind.version)
    assert body is not None
    rows = {row["name"]: row for row in msgspec.json.decode(body)["resources"]}
    row = rows[kind.plural]
    assert (row["kind"], row["namespaced"], row["singularName"]) == (kind.name, kind.namespaced, kind.singular)
    assert {f"{kind.plural}/{sub.name}" for sub in kind.subresources} <= rows.keys()


@pytest.mark.parametrize("kind", KINDS)
def test_path(kind: Kind) -> None:
    scope = "/namespaces/default" if kind.namespaced else ""
    assert kind.path("default", "x", "status") == f"{kind.prefix}{scope}/{kind.plural}/x/status"
    assert kind.path() == f"{kind.prefix}/{kind.plural}"


def test_names_are_unique() -> None:
    assert len({(kind.group, kind.version, kind.plural) for kind in ALL}) == len(ALL)
    assert len({kind.type for kind in ALL}) == len(ALL)
    short = [(name, kind.group, kind.version) for kind in ALL for name in kind.short]
    assert len(set(short)) == len(short)


# --- upstream's list of endpoints

UPSTREAMS = [kind for kind in ALL if kind.group not in ("sampan.dev", "metrics.k8s.io")]
ACTIONS = {"post": "create", "put": "update"}
ENDPOINTS = pathlib.Path(__file__).parent / "endpoints-v1.37.tsv"
PATH = re.compile(
    r"(/api/v1|/apis/[^/]+/v1|/apis/autoscaling/v2)/(namespaces/\{namespace\}/)?([a-z]+)(/\{name\})?(?:/(.+))?$"
)


def endpoints() -> Iterator[tuple[str, str, bool, str, str]]:
    """(prefix, plural, namespaced, subresource, verb) of every stable endpoint."""
    with ENDPOINTS.open() as lines:
        for row in csv.DictReader(lines, delimiter="\t"):
            match = PATH.fullmatch(row["path"])
            if match and row["level"] == "stable" and row["action"] != "connect":
                yield (
                    match[1],
                    match[3],
                    bool(match[2]),
                    match[5] or "",
                    ACTIONS.get(row["action"], row["action"]),
                )


def test_verbs_and_subresources_are_upstreams() -> None:
    theirs: dict[tuple[str, str, str], set[str]] = {}
    for prefix, plural, _, sub, verb in endpoints():
        theirs.setdefault((prefix, plural, sub), set()).add(verb)
    for verbs in theirs.values():
        if "list" in verbs:
            verbs.add("watch")
    theirs[("/api/v1", "componentstatuses", "")].discard("watch")
    ours = {(kind.prefix, kind.plural, ""): set(kind.verbs) for kind in UPSTREAMS}
    ours |= {(kind.prefix, kind.plural, sub.name): set(sub.verbs) for kind in UPSTREAMS for sub in kind.subresources}
    connected = {("/api/v1", "pods", name) for name in ("attach", "exec", "portforward", "proxy")}
    connected |= {("/api/v1", "nodes", "proxy"), ("/api/v1", "services", "proxy")}
    assert ours.keys() - theirs.keys() == connected
    assert {key: ours.get(key) for key in theirs} == theirs


def test_scopes_are_upstreams() -> None:
    namespaced = {(prefix, plural) for prefix, plural, inside, _, _ in endpoints() if inside}
    assert {(kind.prefix, kind.plural) for kind in UPSTREAMS if kind.namespaced} == namespaced
