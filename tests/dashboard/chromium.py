"""Debian's chromium without a window, driven over a pair of pipes (Chrome DevTools protocol: JSON, ended by NUL)."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PATIENCE = 20.0
LIMIT = 64 << 20
FLAGS = (
    *(
        "--headless=new",
        "--no-sandbox",
        "--no-first-run",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--hide-scrollbars",
    ),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions"),
    *("--ignore-certificate-errors", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"),
    *("--lang=en", "--remote-debugging-pipe"),
)
NAMED = {
    "Enter": (13, "\r"),
    "Escape": (27, ""),
    "Tab": (9, ""),
    "ArrowDown": (40, ""),
    "ArrowUp": (38, ""),
    "Backspace": (8, ""),
    "F6": (117, ""),
}


ENVIRONMENT = ("ERR_NETWORK_CHANGED",)
"""Not the console's doing: an interface of this machine came or went, as pods' do all the time."""


class BrowserError(AssertionError):
    pass


class Browser:
    def __init__(self, writer: asyncio.WriteTransport, reader: asyncio.StreamReader) -> None:
        self._writer = writer
        self._reader = reader
        self._count = 0
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self.pages: dict[str, Page] = {}
        self.expected = list(ENVIRONMENT)

    async def run(self) -> None:
        while True:
            try:
                text = await self._reader.readuntil(b"\0")
            except asyncio.IncompleteReadError:
                return
            message = json.loads(text[:-1])
            future = self._waiting.pop(message.get("id", 0), None)
            if future is not None and not future.done():
                if "error" in message:
                    future.set_exception(BrowserError(message["error"]["message"]))
                else:
                    future.set_result(message["result"])
            elif "method" in message and (page := self.pages.get(message.get("sessionId", ""))):
                page.heard(message["method"], message["params"])

    async def call(self, method: str, session: str = "", **params: Any) -> Any:
        self._count += 1
        future = self._waiting[self._count] = asyncio.get_running_loop().create_future()
        message = {"id": self._count, "method": method, "params": params, **({"sessionId": session} if session else {})}
        self._writer.write(json.dumps(message).encode() + b"\0")
        async with asyncio.timeout(PATIENCE):
            return await future

    async def page(self, width: int = 1280, height: int = 860) -> Page:
        """A tab of its own, with storage of its own."""
        context = (await self.call("Target.createBrowserContext"))["browserContextId"]
        target = await self.call("Target.createTarget", url="about:blank", browserContextId=context)
        found = await self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        page = self.pages[found["sessionId"]] = Page(self, found["sessionId"])
        for domain in ("Page", "Runtime", "Network", "Log"):
            await page.call(f"{domain}.enable")
        await page.resize(width, height)
        return page


class Page:
    """`problems` are errors that the page had, without those that are `expected`; `hosts` all that it asked."""

    def __init__(self, browser: Browser, session: str) -> None:
        self.expected = list(browser.expected)
        self._browser = browser
        self._session = session
        self.problems: list[str] = []
        self.hosts: set[str] = set()
        self.requests: list[str] = []

    def heard(self, method: str, params: dict[str, Any]) -> None:
        if method == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self._note(str(details.get("exception", {}).get("description") or details["text"]))
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "assert"):
            self._note(" ".join(str(each.get("value", each)) for each in params["args"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
            self._note(f"{params['entry']['text']} {params['entry'].get('url', '')}")
        elif method in ("Network.requestWillBeSent", "Network.webSocketCreated"):
            url = params["request"]["url"] if "request" in params else params["url"]
            self.requests.append(url)
            self.hosts.add(urlsplit(url).netloc)

    def _note(self, problem: str) -> None:
        if not any(each in problem for each in self.expected):
            self.problems.append(problem)

    async def call(self, method: str, **params: Any) -> Any:
        return await self._browser.call(method, self._session, **params)

    async def resize(self, width: int, height: int) -> None:
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500
        )

    async def prefer(self, **features: str) -> None:
        """Media features, `prefers_color_scheme="dark"`."""
        named = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        await self.call("Emulation.setEmulatedMedia", features=named)

    async def open(self, url: str) -> None:
        await self.call("Page.navigate", url=url)
        await self.wait("document.readyState === 'complete' && location.href !== 'about:blank'")

    async def run(self, script: str) -> Any:
        """The value of an expression, awaited."""
        answer = await self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise BrowserError(answer["exceptionDetails"].get("exception", {}).get("description") or str(answer))
        return answer["result"].get("value")

    async def wait(self, script: str, why: str = "") -> Any:
        """The first true value of an expression, looked at in every frame."""
        look = (
            f"new Promise((done, fail) => {{ const end = Date.now() + {int(PATIENCE * 750)}; const look = () => {{"
            f" let v = null; try {{ v = ({script}); }} catch (error) {{ if (Date.now() > end) return fail(error); }}"
            " if (v) return done(v === true || typeof v === 'string' || typeof v === 'number' ? v : true);"
            " if (Date.now() > end) return done(null); setTimeout(look, 30); }; look(); })"
        )
        for _ in range(3):
            try:
                found = await self.run(look)
            except BrowserError as error:
                if "context was destroyed" in str(error) or "navigated" in str(error):
                    continue
                raise
            break
        if not found:
            shown = await self.run("document.body.innerText")
            raise BrowserError(f"{why or script}: never true; the page shows:\n{shown}\nproblems: {self.problems}")
        return found

    async def wait_text(self, text: str, where: str = "body") -> None:
        await self.wait(f"document.querySelector({json.dumps(where)})?.innerText.includes({json.dumps(text)})", text)

    async def click(self, selector: str) -> None:
        await self.wait(f"document.querySelector({json.dumps(selector)})")
        await self.run(f"document.querySelector({json.dumps(selector)}).click()")

    async def type(self, text: str) -> None:
        for letter in text:
            await self.press(letter)

    async def press(self, key: str, modifiers: int = 0) -> None:
        """A key as a person presses it; `modifiers`: 1 Alt, 2 Control, 4 Meta, 8 Shift."""
        code, text = NAMED.get(key, (ord(key.upper()[0]) if key.isalnum() else 0, key))
        if modifiers & 3:
            text = ""
        event: dict[str, Any] = {"key": key, "windowsVirtualKeyCode": code, "modifiers": modifiers}
        await self.call("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", text=text, **event)
        await self.call("Input.dispatchKeyEvent", type="keyUp", **event)

    async def insert(self, text: str) -> None:
        """Text at once into what has the focus, as an input method or a paste brings it."""
        await self.call("Input.insertText", text=text)

    async def screenshot(self, path: Path) -> None:
        answer = await self.call("Page.captureScreenshot", format="png")
        path.write_bytes(base64.b64decode(answer["data"]))


@contextlib.asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    assert PROGRAM, "chromium is not installed"
    loop = asyncio.get_running_loop()
    to_read, to_write = os.pipe()
    from_read, from_write = os.pipe()
    with tempfile.TemporaryDirectory(prefix="sampan-chromium-", ignore_cleanup_errors=True) as profile:
        # Chromium reads descriptor 3 and writes descriptor 4.
        command = f'exec "$@" 3<&{to_read} 4>&{from_write}'
        process = await asyncio.create_subprocess_exec(
            *("bash", "-c", command, "bash", PROGRAM, *FLAGS, f"--user-data-dir={profile}", "about:blank"),
            pass_fds=(to_read, from_write),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            env={**os.environ, "HOME": profile},
        )
        os.close(to_read)
        os.close(from_write)
        reader = asyncio.StreamReader(limit=LIMIT)
        incoming, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(from_read, "rb", 0)
        )
        outgoing, _ = await loop.connect_write_pipe(asyncio.Protocol, os.fdopen(to_write, "wb", 0))
        found = Browser(outgoing, reader)
        listening = asyncio.create_task(found.run(), name="chromium")
        try:
            yield found
        finally:
            with contextlib.suppress(BrowserError, TimeoutError):
                await found.call("Browser.close")
            try:
                async with asyncio.timeout(10):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
            outgoing.close()
            incoming.close()
