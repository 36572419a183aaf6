"""The terminal's screen, in the browser that runs it: sequences in, text out."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.dashboard.chromium import Browser, Page
from tests.dashboard.conftest import Console


async def screen(page: Page, url: str, *texts: str, size: tuple[int, int] = (20, 5), then: str = "") -> Any:
    """The screen's text after `texts`, and after what `then` does to it."""
    script = (
        f"import('/console/vt.js').then(({{Screen}}) => {{ const said = []; const s = new Screen({size[0]}, {size[1]},"
        f" (text) => said.push(text)); for (const each of {json.dumps(texts)}) s.write(each); {then};"
        " return [s.text(), s.x, s.y, said.join(''), s.scrollback.length]; })"
    )
    return await page.run(script)


CASES = {
    "plain": (("one\r\ntwo",), "one\ntwo"),
    "backspace overwrites": (("abc\b\bX",), "aXc"),
    "carriage return": (("12345\rab",), "ab345"),
    "tab": (("a\tb",), "a       b"),
    "wraps at the edge": (("x" * 22,), "x" * 20 + "\nxx"),
    "no wrap": (("\x1b[?7l" + "x" * 21 + "y",), "x" * 19 + "y"),
    "scrolls": (("1\r\n2\r\n3\r\n4\r\n5\r\n6",), "2\n3\n4\n5\n6"),
    "cursor and clear": (("hello\x1b[2;3Hthere\x1b[1;1H\x1b[K",), "\n  there"),
    "whole screen": (("a\r\nb\x1b[2J\x1b[Hc",), "c"),
    "insert and delete characters": (("abcdef\x1b[1;2H\x1b[2P\x1b[1@",), "a def"),
    "insert and delete lines": (("1\r\n2\r\n3\x1b[1;1H\x1b[L\x1b[3;1H\x1b[M",), "\n1\n3"),
    "scrolling region": (("1\r\n2\r\n3\r\n4\x1b[2;3r\x1b[3;1H\n",), "1\n3\n\n4"),
    "reverse index": (("1\r\n2\x1b[1;1H\x1bM0",), "0\n1\n2"),
    "other screen and back": (("main\x1b[?1049hother\x1b[?1049l",), "main"),
    "saved cursor": (("ab\x1b7\x1b[4;4Hx\x1b8c",), "abc\n\n\n   x"),
    "line drawing": (("\x1b(0lqk\x1b(Bq",), "┌─┐q"),
    "repeat": (("a\x1b[3b",), "aaaa"),
    "titles are not shown": (("\x1b]0;a title\x07b\x1b]2;more\x1b\\c",), "bc"),
    "a sequence in pieces": (("a\x1b", "[", "1;5", "Hb"), "a   b"),
    "unknown sequences": (("a\x1b[>4;2m\x1b[?2026h\x1b[1 q\x1bP1$r\x1b\\b",), "ab"),
    "wide letters": (("你好x\x1b[1;5Hy",), "你好y"),
    "joined letters": (("e\u0301x",), "e\u0301x"),
    "endless": (("\x1b[" + "1;" * 5000 + "mok",), "ok"),
    "far away": (("\x1b[999;999Hx\x1b[999Ay",), ""),
}


async def test_what_sequences_do(console: Console, chrome: Browser) -> None:
    page = await chrome.page()
    await page.open(console.url)
    wrong = {}
    for name, (texts, wanted) in CASES.items():
        got = (await screen(page, console.url, *texts))[0]
        if wanted and got != wanted:
            wrong[name] = (got, wanted)
    assert not wrong


async def test_questions_are_answered_and_lines_kept(console: Console, chrome: Browser) -> None:
    page = await chrome.page()
    await page.open(console.url)
    assert (await screen(page, console.url, "ab\x1b[6n\x1b[c\x1b[5n"))[3] == "\x1b[1;3R\x1b[?6c\x1b[0n"
    assert (await screen(page, console.url, "line\r\n" * 3000))[4] == 1000
    text, x, y, *_ = await screen(page, console.url, "1\r\n2\r\n3\r\n4\r\n5", then="s.resize(10, 2)")
    assert (text, x, y) == ("4\n5", 1, 1)


@pytest.mark.parametrize("seed", range(3))
async def test_noise_does_no_harm(console: Console, chrome: Browser, seed: int) -> None:
    page = await chrome.page()
    await page.open(console.url)
    script = f"""
      let seed = {seed + 1}; const random = (n) => (seed = (seed * 48271) % 2147483647) % n;
      const parts = [..."m;?19HJKLMP@rhlSTXabABCDdG6你\\n\\r\\b\\t\\x07", "30", "1049", "\\x1b"];
      for (const each of ["[", "[", "[", "M", "c", "]0;"]) parts.push("\\x1b" + each);
      for (let i = 0; i < 20000; i += 1) {{
        s.write(parts[random(parts.length)]);
        if (i % 97 === 0) s.resize(1 + random(40), 1 + random(12));
        const whole = s.lines.length === s.rows && s.lines.every((line) => line.length === s.columns);
        if (!whole) throw new Error("shape " + i);
        if (s.x < 0 || s.y < 0 || s.x >= s.columns || s.y >= s.rows) throw new Error("cursor " + i);
      }}"""
    await screen(page, console.url, then=script)
