"""A real browser for tests: Chromium without a window, driven by its DevTools protocol."""

import asyncio
import base64
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from support import free_port

#: Names the command of a browser that is not called chromium.
VARIABLE = "CHROMIUM"


def find_chromium() -> str:
    """The browser's command; AssertionError that says how to install it if there is none."""
    wanted = os.environ.get(VARIABLE) or "chromium"
    found = shutil.which(wanted)
    assert found, (
        f"expected the command {wanted}, found none; install it with: make chromium, or say in {VARIABLE} what the"
        " command of Chromium or Chrome is"
    )
    return found


class Page:
    """One page of the browser."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, pictures: Path) -> None:
        self._socket, self._pictures, self._last = socket, pictures, 0
        self.asked: set[str] = set()
        self.faults: list[Any] = []

    async def call(self, method: str, **params: Any) -> Any:
        self._last += 1
        await self._socket.send_json({"id": self._last, "method": method, "params": params})
        while True:
            message = json.loads((await self._socket.receive()).data)
            if message.get("id") == self._last:
                return message["result"]
            if message["method"] == "Network.requestWillBeSent":
                url = urlsplit(message["params"]["request"]["url"])
                self.asked |= {url.netloc} if url.scheme.startswith("http") else set()
            elif message["method"] == "Runtime.exceptionThrown":
                self.faults.append(message["params"])

    async def until(self, expression: str, seconds: float = 60) -> Any:
        """The value of a JavaScript expression as soon as it has one."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found = await self.call("Runtime.evaluate", expression=expression, returnByValue=True)
            if value := found["result"].get("value"):
                return value
            await asyncio.sleep(0.2)
        await self.picture("failed")
        raise AssertionError(f"never came true: {expression}")

    async def click(self, element: str) -> None:
        place = f"""(() => {{
            const each = {element};
            if (!each) return null;
            each.scrollIntoView({{block: "center"}});
            const box = each.getBoundingClientRect();
            return [box.x + Math.min(box.width / 2, 40), box.y + box.height / 2];
        }})()"""
        x, y = await self.until(place)
        for kind in ("mousePressed", "mouseReleased"):
            await self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    async def picture(self, name: str) -> None:
        found = await self.call("Page.captureScreenshot", format="png")
        (self._pictures / f"{name}.png").write_bytes(base64.b64decode(found["data"]))


def labelled(text: str) -> str:
    """The smallest element that begins with a text, in JavaScript."""
    return (
        "[...document.querySelectorAll('label, span')]"
        f".filter(each => each.textContent.trim().startsWith({text!r}) && each.getBoundingClientRect().height).pop()"
    )


async def in_browser(pictures: Path, act: Callable[[Page], Awaitable[None]]) -> Page:
    """A page on which something was done; pictures of it go to a folder."""
    chromium, port = find_chromium(), free_port()
    pictures.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1400,1100"]
        options += [f"--remote-debugging-port={port}", f"--user-data-dir={profile}", "about:blank"]
        browser = subprocess.Popen([chromium, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            async with aiohttp.ClientSession() as session:
                address = await _address(session, f"http://127.0.0.1:{port}/json")
                async with session.ws_connect(address, max_msg_size=0) as socket:
                    page = Page(socket, pictures)
                    for domain in ("Page", "Runtime", "Network"):
                        await page.call(f"{domain}.enable")
                    await act(page)
                    return page
        finally:
            browser.terminate()
            browser.wait()


async def _address(session: aiohttp.ClientSession, url: str) -> str:
    for _ in range(150):
        try:
            async with session.get(url) as answer:
                return next(one for one in await answer.json() if one["type"] == "page")["webSocketDebuggerUrl"]
        except (aiohttp.ClientError, StopIteration):
            await asyncio.sleep(0.2)
    raise AssertionError("the browser did not start")
