from __future__ import annotations

import io
from typing import Any

import pytest

from sampan.cli.context import CommandError
from sampan.cli.kubectl.describing.tabs import align
from sampan.cli.kubectl.printing import columns, gotemplate, jsonpath, structured
from sampan.cli.kubectl.printing.table import TablePrinter, generic

DOCUMENT: dict[str, Any] = {
    "kind": "List",
    "items": [
        {"metadata": {"name": "a", "labels": {"app.io/x": "1"}}, "spec": {"n": 1, "on": True, "cpu": 1.5}},
        {"metadata": {"name": "b"}, "spec": {"n": 2, "on": False, "list": [1, 2, 3]}},
    ],
}


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{.kind}", "List"),
        ("{$.kind}", "List"),
        ("{.items[*].metadata.name}", "a b"),
        ("{.items[0].metadata.labels.app\\.io/x}", "1"),
        ("{.items[0].metadata.labels['app\\.io/x']}", "1"),
        ("{.items[0].metadata['name']}", "a"),
        ("{.items[-1].metadata.name}", "b"),
        ("{.items[1].spec.list[0:2]}", "1 2"),
        ("{.items[1].spec.list[::2]}", "1 3"),
        ("{.items[0,1].spec.n}", "1 2"),
        ("{.items[?(@.spec.n>1)].metadata.name}", "b"),
        ("{.items[?(@.spec.on==true)].metadata.name}", "a"),
        ("{.items[?(@.spec.list)].metadata.name}", "b"),
        ('{.items[?(@.metadata.name!="a")].spec.n}', "2"),
        ("{..name}", "a b"),
        ("{.items[0].spec}", '{"cpu":1.5,"n":1,"on":true}'),
        ("{.nope}", ""),
        ("{.nope.deeper[0]}", ""),
        ('{range .items[*]}{.metadata.name}={.spec.n}{"\\n"}{end}', "a=1\nb=2\n"),
        ("text {.kind} text", "text List text"),
        ("{.items[0].spec.on}{.items[0].spec.cpu}", "true1.5"),
        ("{'single'}{\"double\\t\"}", "singledouble\t"),
    ],
)
def test_jsonpath(template: str, expected: str) -> None:
    assert jsonpath.Template(template).render(DOCUMENT) == expected


@pytest.mark.parametrize("text", ["{.a", "{range .x}", "{.a[}", "{.a[x]}", "{end}", "{.a[?(@.x==y)]}", "{.a[1:2:3:4]}"])
def test_jsonpath_that_makes_no_sense(text: str) -> None:
    with pytest.raises(jsonpath.PathError):
        jsonpath.Template(text)


def test_an_index_out_of_bounds_is_told() -> None:
    with pytest.raises(jsonpath.PathError, match="array index out of bounds: index 9, length 2"):
        jsonpath.Template("{.items[9]}").render(DOCUMENT)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{{.kind}}", "List"),
        ("{{range .items}}{{.metadata.name}} {{end}}", "a b "),
        ("{{range $i, $e := .items}}{{$i}}{{$e.spec.n}};{{end}}", "01;12;"),
        ("{{range $k, $v := (index .items 0).spec}}{{$k}}={{$v}} {{end}}", "cpu=1.5 n=1 on=true "),
        ("{{range .nope}}x{{else}}none{{end}}", "none"),
        ("{{if .nope}}a{{else if .kind}}b{{else}}c{{end}}", "b"),
        ("{{with .nope}}x{{else}}y{{end}}{{with .kind}}{{.}}{{end}}", "yList"),
        ("{{.nope}}{{.nope.deeper}}", "<no value><no value>"),
        ('{{printf "%s-%d-%5s|%-5s|%q" .kind 3 "a" "b" "c"}}', 'List-3-    a|b    |"c"'),
        ("{{len .items}}{{len .kind}}", "24"),
        ('{{if and .kind (eq .kind "List" "Other")}}yes{{end}}{{if not .nope}}!{{end}}', "yes!"),
        ("{{if or .nope (gt (len .items) 1)}}many{{end}}", "many"),
        ("a {{- .kind -}} b{{/* nothing */}}", "aListb"),
        ("{{$x := .kind}}{{range .items}}{{$x}}{{end}}", "ListList"),
        ("{{$n := 0}}{{range .items}}{{$n = .spec.n}}{{end}}{{$n}}", "0"),
        ('{{"c2VjcmV0" | base64decode}}', "secret"),
        ('{{if exists . "items" 0 "metadata"}}there{{end}}', "there"),
        ('{{index .items 1 "metadata" "name"}}', "b"),
        ("{{(index .items 1).spec.list}}", "[1 2 3]"),
        ("{{.items | len | printf `%d!`}}", "2!"),
        ('{{print 1 2 "x" 3}}{{println "y"}}', "1 2x3y\n"),
        ("{{range 3}}{{.}}{{end}}", "012"),
        ('{{html "<a>"}}{{urlquery "a b"}}', "&lt;a&gt;a+b"),
    ],
)
def test_go_templates(template: str, expected: str) -> None:
    assert gotemplate.Template(template).render(DOCUMENT) == expected


@pytest.mark.parametrize(
    "text",
    [
        "{{.a",
        "{{range .x}}",
        "{{end}}",
        "{{nope}}",
        "{{if .a}}{{else}}",
        '{{define "x"}}{{end}}',
        "{{}}",
        "{{(.a}}",
        "{{.a }b}}",
    ],
)
def test_go_templates_that_make_no_sense(text: str) -> None:
    with pytest.raises(gotemplate.TemplateError):
        gotemplate.Template(text)


@pytest.mark.parametrize(
    "text", ["{{.kind.x}}", "{{$nope}}", "{{index .items 9}}", "{{lt 1 `a`}}", "{{len 3}}", "{{.kind 1}}"]
)
def test_go_templates_that_do_not_fit(text: str) -> None:
    with pytest.raises(gotemplate.TemplateError):
        gotemplate.Template(text).render(DOCUMENT)


def test_custom_columns() -> None:
    printer = columns.ColumnPrinter(columns.parse("NAME:.metadata.name,N:spec.n,LIST:{.spec.list[*]},X:.spec.nope"))
    assert printer(DOCUMENT) == "NAME   N     LIST     X\na      1     <none>   <none>\nb      2     1,2,3    <none>\n"


def test_custom_columns_of_a_file() -> None:
    made = columns.parse_file("NAME  N\n.metadata.name  .spec.n\n")
    assert columns.rows(made, DOCUMENT) == [["a", "1"], ["b", "2"]]


@pytest.mark.parametrize("text", ["NAME", "", "A:{.a[}"])
def test_custom_columns_that_make_no_sense(text: str) -> None:
    with pytest.raises(CommandError):
        columns.parse(text)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("plain", "plain"),
        ("", '""'),
        ("true", '"true"'),
        ("yes", '"yes"'),
        ("y", '"y"'),
        ("null", '"null"'),
        ("123", '"123"'),
        ("1e3", '"1e3"'),
        ("0x1f", '"0x1f"'),
        ("2026-01-01T00:00:00Z", '"2026-01-01T00:00:00Z"'),
        ("a: b", "'a: b'"),
        ("- x", "'- x'"),
        ("#x", "'#x'"),
        ("a\nb\n", "|\n  a\n  b"),
        ("a\nb", "|-\n  a\n  b"),
        (True, "true"),
        (None, "null"),
        (3, "3"),
        (1.5, "1.5"),
        ({}, "{}"),
        ([], "[]"),
    ],
)
def test_yaml_quotes_what_would_read_as_something_else(value: Any, expected: str) -> None:
    assert structured.as_yaml({"k": value}) == f"k: {expected}\n"


def test_yaml_sorts_keys_and_does_not_indent_lists() -> None:
    assert structured.as_yaml({"b": [{"y": 1, "x": 2}], "a": 1}) == 'a: 1\nb:\n- x: 2\n  "y": 1\n'


def test_json_is_sorted_and_escaped_as_go_does() -> None:
    assert (
        structured.as_json({"b": "<&>", "a": [1]})
        == '{\n    "a": [\n        1\n    ],\n    "b": "\\u003c\\u0026\\u003e"\n}\n'
    )


def test_managed_fields_are_left_out() -> None:
    whole = {"items": [{"metadata": {"name": "a", "managedFields": [1]}}], "metadata": {}}
    assert structured.without_managed_fields(whole)["items"] == [{"metadata": {"name": "a"}}]


def test_tabs_are_as_wide_as_their_neighbours_need() -> None:
    text = "Name:\tx\nLonger name:\ty\nno tab\nA:\tb\tc\nAA:\tbbb\tc\n"
    assert align(text) == "Name:         x\nLonger name:  y\nno tab\nA:   b    c\nAA:  bbb  c\n"


def table(*rows: list[Any]) -> dict[str, Any]:
    definitions = [{"name": "Name", "format": "name"}, {"name": "Ready"}, {"name": "Node", "priority": 1}]
    made = [{"cells": row, "object": {"metadata": {"namespace": "ns", "labels": {"app": "web"}}}} for row in rows]
    return {"kind": "Table", "columnDefinitions": definitions, "rows": made}


def shown(*tables: dict[str, Any], **how: Any) -> str:
    stream = io.StringIO()
    printer = TablePrinter(stream, **how)
    for each in tables:
        printer.show(each)
    return stream.getvalue()


def test_tables_have_columns_three_blanks_apart() -> None:
    assert shown(table(["web", "1/1", "n"])) == "NAME   READY\nweb    1/1\n"
    assert shown(table(["web", "1/1", "n"]), wide=True) == "NAME   READY   NODE\nweb    1/1     n\n"


def test_tables_keep_their_widths_while_they_grow() -> None:
    assert shown(table(["a-long-name", "1/1", ""]), table(["b", "0/1", ""])) == (
        "NAME          READY\na-long-name   1/1\nb             0/1\n"
    )


def test_tables_with_more_columns() -> None:
    text = shown(table(["web", None, "n"]), namespaces=True, labels=True, label_columns=["app"], kind="pod")
    assert text == "NAMESPACE   NAME      READY    APP   LABELS\nns          pod/web   <none>   web   app=web\n"


def test_a_server_without_tables_gets_name_and_age() -> None:
    made = generic({"items": [{"metadata": {"name": "x", "creationTimestamp": "2026-01-01T00:00:00Z"}}]}, 1767225665.0)
    assert shown(made) == "NAME   AGE\nx      65s\n"


def test_a_cell_of_several_lines_stays_one_line() -> None:
    assert "first...\n" in shown(table(["web", "first\nsecond", ""]))
