from __future__ import annotations

import re

import pytest

from sampan.dashboard.assets import DIRECTORY, LIMIT, MEDIA, Assets
from sampan.http.types import Request, Response

TEXTS = (DIRECTORY / "texts.js").read_text()
CODE = {path.name: path.read_text() for path in DIRECTORY.iterdir() if path.suffix == ".js"}


def get(path: str, method: str = "GET", **headers: str) -> Response | None:
    return Assets()(Request(method, path, {name.replace("_", "-"): value for name, value in headers.items()}))


def answered(path: str, method: str = "GET", **headers: str) -> Response:
    found = get(path, method, **headers)
    assert found is not None
    return found


@pytest.mark.parametrize("name", sorted(path.name for path in DIRECTORY.iterdir()))
def test_every_file_is_served_with_its_type_and_guards(name: str) -> None:
    found = answered(f"/console/{name}")
    assert found.status == 200
    assert found.header("content-type") == MEDIA[f".{name.rpartition('.')[2]}"]
    assert found.header("cache-control") == "no-cache"
    assert found.header("x-content-type-options") == "nosniff"
    assert "default-src 'none'" in found.header("content-security-policy")
    assert "unsafe" not in found.header("content-security-policy")


def test_the_page_itself_and_the_way_to_it() -> None:
    assert answered("/console/").body == answered("/console/index.html").body
    moved = answered("/console")
    assert (moved.status, moved.header("location")) == (308, "/console/")


def test_a_file_that_did_not_change_is_not_sent_again() -> None:
    tag = answered("/console/app.js").header("etag")
    for asked in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = answered("/console/app.js", if_none_match=asked)
        assert (again.status, again.body, again.header("etag")) == (304, b"", tag)
    assert answered("/console/app.js", if_none_match='"other"').status == 200


def test_other_paths_belong_to_others() -> None:
    for path in ("/", "/consoles", "/api", "/api/v1/pods"):
        assert get(path) is None


def test_what_is_not_there_and_what_cannot_be_done() -> None:
    for path in ("/console/none.js", "/console/../assets.py", "/console/%2e%2e/assets.py", "/console//app.js"):
        assert answered(path).status == 404
    refused = answered("/console/", "POST")
    assert (refused.status, refused.header("allow")) == (405, "GET, HEAD")
    assert answered("/console/", "HEAD").status == 200


def test_all_files_together_are_small() -> None:
    assert sum(path.stat().st_size for path in DIRECTORY.iterdir()) < LIMIT


def test_nothing_comes_from_elsewhere_and_nothing_is_made_of_strings() -> None:
    for name, text in CODE.items():
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text), (
            name
        )
        assert set(re.findall(r"https?://[\w.]+", text)) <= {"http://www.w3.org"}, name
        for imported in re.findall(r'from "([^"]+)"', text):
            assert imported.startswith("./") and imported[2:] in CODE, f"{name} imports {imported}"


def dictionary(language: str) -> dict[str, str]:
    block = re.search(rf"const {language} = {{\n(.*?)\n}};", TEXTS, re.DOTALL)
    assert block
    return dict(re.findall(r'^  "([\w.]+)":\s+"(.*)",$', block[1], re.MULTILINE))


def test_both_languages_say_the_same_things() -> None:
    english, chinese = dictionary("en"), dictionary("zh")
    assert english.keys() == chinese.keys()
    for key, text in english.items():
        assert text and chinese[key]
        assert set(re.findall(r"\{\w+\}", text)) == set(re.findall(r"\{\w+\}", chinese[key])), key


def test_every_text_that_the_code_asks_for_exists_and_none_is_idle() -> None:
    asked = {key for text in CODE.values() for key in re.findall(r'\bt\(\s*"([\w.]+)"', text)}
    made = {prefix for text in CODE.values() for prefix in re.findall(r"\bt\(`([\w.]+)\$\{", text)}
    english = dictionary("en")
    assert asked <= english.keys()
    chosen = {key for text in CODE.values() for key in re.findall(r'"([a-z]+\.[\w.]+)"', text) if key in english}
    idle = {key for key in english if key not in asked | chosen and not any(key.startswith(each) for each in made)}
    assert not idle
