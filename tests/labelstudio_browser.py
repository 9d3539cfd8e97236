"""A labeler in a real browser: opens a task that is filled in, changes a category, submits. `make browser` runs it.

It needs Chromium, drives it by its DevTools protocol, leaves pictures in a folder, and fails unless Label Studio has
the change and the browser has asked nobody else.
"""

import argparse
import asyncio
import base64
import json
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from labelstudio_support import new_project
from support import ROOT, free_port

from labeling.studio.client import connect
from labeling.studio.server import Studio, find_binary, running
from labeling.studio.tasks import task_data
from models import terminal
from models.labels import LabelSchema
from models.progress import Silent
from models.records import FeedbackItem

ITEM = FeedbackItem(
    text="The parcel came late and the lid is cracked. How do I open it at all?",
    channel="web_form",
    rating=2,
    product="Kettle K2",
)
SHOWN = {"category": ["product/defect", "customer_service/delivery_returns"], "sentiment": ["negative"]}
ADDED, ADDED_TITLE = "product/usability", "Usability"
SUBMIT = "[...document.querySelectorAll('button')].find(each => /^Submit/.test(each.textContent.trim()))"


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


async def label_a_task(page: Page, studio: Studio, project: int) -> None:
    for domain in ("Page", "Runtime", "Network"):
        await page.call(f"{domain}.enable")
    await page.call("Page.navigate", url=f"{studio.url}/user/login/")
    await page.until("document.querySelector('input[name=password]') !== null")
    fields = {"email": studio.email, "password": studio.password}
    filled = [f"document.querySelector('input[name={name}]').value = {json.dumps(fields[name])};" for name in fields]
    await page.call("Runtime.evaluate", expression="".join(filled) + "document.querySelector('form').submit()")
    await page.until("!location.pathname.includes('login') && document.readyState === 'complete'")
    await page.call("Page.navigate", url=f"{studio.url}/projects/{project}/data?labeling=1")
    await page.until("document.querySelectorAll('input:checked').length >= 3")
    await page.picture("shown")
    await page.click(labelled(ADDED_TITLE))
    await page.until("document.querySelectorAll('input:checked').length >= 4")
    await page.picture("changed")
    await page.click(SUBMIT)
    await page.until("document.body.innerText.includes('saved successfully')")
    await page.picture("submitted")


async def in_browser(chromium: str, studio: Studio, project: int, pictures: Path) -> Page:
    port = free_port()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1400,1100"]
        options += [f"--remote-debugging-port={port}", f"--user-data-dir={profile}", "about:blank"]
        browser = subprocess.Popen([chromium, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            async with aiohttp.ClientSession() as session:
                address = await _address(session, f"http://127.0.0.1:{port}/json")
                async with session.ws_connect(address, max_msg_size=0) as socket:
                    page = Page(socket, pictures)
                    await label_a_task(page, studio, project)
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


def region(name: str, labels: list[str]) -> dict[str, Any]:
    return {"from_name": name, "to_name": "text", "type": "choices", "value": {"choices": labels}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chromium", default="chromium", help="the browser's command")
    parser.add_argument("--pictures", type=Path, default=ROOT / "artifacts/browser", help="where pictures go")
    arguments = parser.parse_args()
    arguments.pictures.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, running(Path(folder), find_binary(ROOT), Silent()) as studio:
        client = connect(studio.url, studio.key)
        with new_project(client, LabelSchema.load()) as project:
            shown = {"model_version": "v1", "score": 0.4, "result": [region(*answer) for answer in SHOWN.items()]}
            client.projects.import_tasks(
                id=project.id, request=[{"data": task_data("item", ITEM), "predictions": [shown]}]
            )
            page = asyncio.run(in_browser(arguments.chromium, studio, project.id, arguments.pictures))
            ((annotation,),) = [task["annotations"] for task in client.projects.exports.as_json(project.id)]
    answers = {each["from_name"]: each["value"]["choices"] for each in annotation["result"]}
    assert sorted(answers["category"]) == sorted([*SHOWN["category"], ADDED]), answers
    assert answers["sentiment"] == SHOWN["sentiment"], answers
    assert annotation["prediction"]["model_version"] == "v1", annotation["prediction"]
    assert page.asked == {urlsplit(studio.url).netloc}, page.asked
    assert not page.faults, page.faults
    terminal.say(f"a task was changed and submitted; pictures are in {arguments.pictures}")


if __name__ == "__main__":
    main()
