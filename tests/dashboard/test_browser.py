"""The console in a real browser, in front of a cluster whose nodes only pretend."""

from __future__ import annotations

import json
from typing import Any

from tests.dashboard.chromium import Browser
from tests.dashboard.conftest import Console, sign_in

PODS = "/api/v1/namespaces/default/pods"


def pod(name: str, **labels: str) -> dict[str, Any]:
    spec = {"containers": [{"name": "main", "image": "example.test/app:1"}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels}, "spec": spec}


def names(count: int) -> str:
    """True when so many rows are in the list."""
    return f"document.querySelectorAll('main tbody tr').length === {count}"


async def test_a_wrong_token_is_refused_and_a_good_one_opens(console: Console, chrome: Browser) -> None:
    page = await chrome.page()
    page.expected.append("status of 401")
    await page.open(console.url)
    await page.wait("document.activeElement?.id === 'token'")
    await page.insert("nonsense")
    await page.press("Enter")
    await page.wait_text("does not accept")
    assert await page.run("sessionStorage.getItem('sampan.token')") is None
    await page.run("document.querySelector('#token').value = ''")
    await sign_in(page, console.url, console.token)
    await page.wait_text("node-1", "main")
    await page.wait_text("system:serviceaccount:kube-system:sampan-console", "footer")


async def test_an_answer_that_breaks_off_is_asked_for_again(console: Console, chrome: Browser) -> None:
    """As when a network of the machine comes or goes: the browser drops what is under way."""
    page = await chrome.page()
    await page.open(console.url)
    await page.run(
        "{ const plain = fetch, dropped = new Set(); window.fetch = (path, options) => {"
        " if (dropped.has(path)) return plain(path, options);"
        " dropped.add(path); return Promise.reject(new TypeError('Failed to fetch')); }; }"
    )
    await page.wait("document.activeElement?.id === 'token'")
    await page.insert(console.token)
    await page.press("Enter")
    await page.wait_text("node-1", "main")


async def test_signing_out_forgets_the_token(console: Console, chrome: Browser) -> None:
    page = await chrome.page()
    await sign_in(page, console.url, console.token)
    await page.click("#leave")
    await page.wait("document.querySelector('#token')")
    assert await page.run("JSON.stringify([...Object.values(sessionStorage), ...Object.values(localStorage)])") == "[]"


async def test_a_token_in_the_address_is_taken_out_of_it(console: Console, chrome: Browser) -> None:
    page = await chrome.page()
    await page.open(f"{console.url}#token={console.token}")
    await page.wait("document.querySelector('#namespace')")
    assert "token" not in await page.run("location.href")


async def test_a_list_follows_what_happens(console: Console, chrome: Browser) -> None:
    page = await chrome.page()
    await sign_in(page, console.url, console.token)
    await page.run("location.hash = '#/list/pods'")
    await page.wait_text("There are none", "main")
    await console.create(PODS, pod("first"))
    await console.create(PODS, pod("second"))
    await page.wait(names(2))
    await page.wait_text("Running", "main tbody")
    await page.press("j")
    await page.wait("document.activeElement?.textContent === 'first'")
    await page.press("j")
    await console.create(PODS, pod("amid"))
    await page.wait(names(3))
    assert await page.run("document.activeElement.textContent") == "second", "a new row takes the focus away"
    await page.press("/")
    await page.insert("fir")
    await page.wait(names(1))
    await page.press("Enter")
    await page.press("Enter")
    await page.wait("document.querySelector('h1').textContent === 'first'")
    await page.wait_text("example.test/app:1", "main")
    await page.press("Escape")
    await page.wait("location.hash === '#/list/pods'")


async def test_every_section_opens_with_its_key(console: Console, chrome: Browser) -> None:
    page = await chrome.page()
    await sign_in(page, console.url, console.token)
    for key, place in (
        ("w", "pods"),
        ("n", "services"),
        ("c", "configmaps"),
        ("s", "persistentvolumeclaims"),
        ("e", "events"),
    ):
        await page.press("g")
        await page.press(key)
        await page.wait(f"location.hash === '#/list/{place}' && document.querySelector('#state.live')")
    await page.press("?")
    await page.wait("document.querySelector('dialog').open")
    await page.press("Escape")
    await page.wait("!document.querySelector('dialog').open")


async def test_language_and_theme_switch_and_stay(console: Console, chrome: Browser) -> None:
    page = await chrome.page()
    await page.prefer(prefers_color_scheme="dark")
    await sign_in(page, console.url, console.token)
    background = "getComputedStyle(document.documentElement).backgroundColor"
    dark = await page.run(background)
    await page.click("#theme")
    await page.wait(f"document.documentElement.dataset.theme === 'light' && {background} !== '{dark}'")
    await page.click("#language")
    await page.wait_text("概览", "nav")
    assert await page.run("document.documentElement.lang") == "zh-CN"
    await page.call("Page.reload")
    await page.wait("document.querySelector('h1')?.textContent === '概览'")
    assert await page.run("document.documentElement.dataset.theme") == "light"


async def test_secrets_are_covered_until_somebody_looks(console: Console, chrome: Browser) -> None:
    note = {"kubectl.kubernetes.io/last-applied-configuration": '{"stringData":{"key":"hunter2"}}'}
    secret = {"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "s", "annotations": note}}
    await console.create("/api/v1/namespaces/default/secrets", {**secret, "stringData": {"key": "hunter2"}})
    page = await chrome.page()
    await sign_in(page, console.url, console.token)
    await page.run("location.hash = '#/object/secrets/default/s/yaml'")
    await page.wait_text("(hidden)", "pre")
    shown = await page.run("document.body.innerText")
    assert "hunter2" not in shown and "aHVudGVyMg" not in shown
    await page.run("document.querySelectorAll('main input[type=checkbox]')[1].click()")
    await page.wait_text("aHVudGVyMg", "pre")


async def test_markup_in_names_and_values_stays_text(console: Console, chrome: Browser) -> None:
    hostile = "<img src=x onerror=alert(1)>"
    document = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "m", "annotations": {"a": hostile}}}
    await console.create("/api/v1/namespaces/default/configmaps", {**document, "data": {"k": hostile}})
    page = await chrome.page()
    await sign_in(page, console.url, console.token)
    for tab in ("", "/yaml"):
        await page.run(f"location.hash = '#/object/configmaps/default/m{tab}'")
        await page.wait_text(hostile, "main")
        assert await page.run("document.querySelectorAll('main img').length") == 0


async def test_who_may_see_little_is_told_so(console: Console, chrome: Browser) -> None:
    account = {"kind": "ServiceAccount", "apiVersion": "v1", "metadata": {"name": "guest"}}
    await console.create("/api/v1/namespaces/default/serviceaccounts", account)
    binding = {
        "kind": "RoleBinding",
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "metadata": {"name": "guest"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [{"kind": "ServiceAccount", "name": "guest", "namespace": "default"}],
    }
    await console.create("/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings", binding)
    await console.create(PODS, pod("visible"))
    page = await chrome.page()
    page.expected.append("status of 403")
    await sign_in(page, console.url, await console.token_of("default", "guest"))
    await page.run("location.hash = '#/list/pods'")
    await page.wait_text('cannot list resource "pods"', "main")
    await page.run("document.querySelector('#namespace').focus()")
    await page.insert("default")
    await page.press("Enter")
    await page.wait_text("visible", "main tbody")


async def test_a_small_screen_scrolls_in_one_direction_only(console: Console, chrome: Browser) -> None:
    await console.create(PODS, pod("a-pod-with-a-name-that-is-longer-than-most-0123456789-abcdefgh"))
    page = await chrome.page(380, 760)
    await sign_in(page, console.url, console.token)
    for place in (
        "#/",
        "#/list/pods",
        "#/list/events",
        "#/object/nodes/-/node-1",
        "#/all",
        "#/object/nodes/-/node-1/yaml",
    ):
        await page.run(f"location.hash = '{place}'")
        await page.wait("document.querySelector('h1').textContent")
        await page.wait(f"location.hash === '{place}' && document.documentElement.scrollWidth <= innerWidth")
    await page.click("[aria-controls=menu]")
    await page.wait("getComputedStyle(document.querySelector('#menu')).display === 'flex'")


async def test_everything_has_a_name_for_those_who_cannot_see(console: Console, chrome: Browser) -> None:
    await console.create(PODS, pod("one"))
    page = await chrome.page()
    await sign_in(page, console.url, console.token)
    for place in ("#/", "#/list/pods", "#/object/pods/default/one", "#/object/pods/default/one/yaml", "#/all"):
        await page.run(f"location.hash = '{place}'")
        await page.wait("document.querySelector('h1').textContent")
        tree = await page.call("Accessibility.getFullAXTree")
        wanted = {"button", "link", "textbox", "searchbox", "combobox", "checkbox", "image"}
        nameless = [
            node
            for node in tree["nodes"]
            if node.get("role", {}).get("value") in wanted
            and not node.get("ignored")
            and not node.get("name", {}).get("value", "").strip()
        ]
        assert not nameless, place


async def test_a_trace_is_a_lane_a_span(console: Console, chrome: Browser) -> None:
    page = await chrome.page()
    await sign_in(page, console.url, console.token)
    spans = [
        {"span": "1", "service": "ingress", "name": "GET /", "start": 1e18, "duration": 48e6},
        {"span": "2", "parent": "1", "service": "app", "name": "GET /", "start": 1e18 + 12e6, "duration": 24e6},
        {"span": "3", "parent": "2", "service": "app", "start": 1e18 + 12e6, "duration": 12e6, "error": True},
    ]
    shown = await page.run(
        "import('/console/traces.js').then(({waterfall}) => { document.querySelector('main').replaceChildren(waterfall("
        f"{json.dumps(spans)})); return [...document.querySelectorAll('.track span')].map((each) =>"
        " [each.style.left, each.style.width, each.className]); })"
    )
    assert shown == [["0%", "100%", "s0"], ["25%", "50%", "s1"], ["25%", "25%", "bad"]]
    await page.wait_text("48.0 ms", "main")
