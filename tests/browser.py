"""A real browser for tests: Debian's Chromium without a window, driven by Playwright."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from playwright.sync_api import Page, Request, sync_playwright

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


@dataclass
class Seen:
    """A page, whom it asked for something, and what went wrong in its scripts."""

    page: Page
    asked: set[str] = field(default_factory=set)
    faults: list[str] = field(default_factory=list)

    def note(self, request: Request) -> None:
        url = urlsplit(request.url)
        if url.scheme.startswith("http"):
            self.asked.add(url.netloc)


@contextmanager
def browsing() -> Iterator[Seen]:
    """A page of a fresh browser."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox", "--disable-gpu"])
        seen = Seen(browser.new_page(viewport={"width": 1400, "height": 1100}))
        seen.page.set_default_timeout(60_000)
        seen.page.on("request", seen.note)
        seen.page.on("pageerror", lambda error: seen.faults.append(str(error)))
        yield seen
        browser.close()
