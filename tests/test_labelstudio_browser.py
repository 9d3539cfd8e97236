"""A labeler in a real browser: a task is filled in, changed and submitted, and a pull finds the change."""

import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from browser import browsing, find_chromium
from labeling_support import predicted
from labelstudio_support import new_project
from playwright.sync_api import Page, expect
from support import ROOT

from labeling.choice.selection import Candidate, Mix
from labeling.pull.corrections import answered, record_of
from labeling.pull.pull import pull
from labeling.push.push import push
from labeling.push.sources import Source
from labeling.state import State
from labeling.studio.server import Studio
from models.progress import Silent
from models.records import FeedbackItem

PICTURES = ROOT / "artifacts/browser"
ITEM = FeedbackItem(
    text="The parcel came late and the lid is cracked. How do I open it at all?",
    channel="web_form",
    rating=2,
    product="Kettle K2",
)
SHOWN = ["product/defect", "customer_service/delivery_returns"]
ADDED, ADDED_TITLE = "product/usability", "Usability"


def label_a_task(page: Page, studio: Studio, project: int) -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.goto(f"{studio.url}/user/login/")
    page.fill("input[name=email]", studio.email)
    page.fill("input[name=password]", studio.password)
    page.press("input[name=password]", "Enter")
    page.wait_for_url(lambda url: "login" not in url)
    page.goto(f"{studio.url}/projects/{project}/data?labeling=1")
    expect(page.locator("input:checked")).to_have_count(3, timeout=60_000)
    page.screenshot(path=PICTURES / "shown.png")
    page.get_by_text(ADDED_TITLE).last.click()
    expect(page.locator("input:checked")).to_have_count(4)
    page.screenshot(path=PICTURES / "changed.png")
    page.get_by_test_id("bottombar-submit-button").click()
    page.get_by_text("saved successfully").first.wait_for()
    page.screenshot(path=PICTURES / "submitted.png")


def test_what_a_labeler_changes_and_submits_in_the_browser_is_a_correction(studio, studio_client, schema, tmp_path):
    path = tmp_path / "state.db"
    with new_project(studio_client, schema) as project:
        source = Source(lambda: [Candidate("kettle", ITEM, predicted(SHOWN, "negative"))])
        push(studio_client, project.id, path, source, 1, Mix(blind=0), Silent())
        with browsing() as seen:
            label_a_task(seen.page, studio, project.id)
        assert pull(studio_client, project.id, path, schema, Silent()).new == 1
    state = State(path)
    (item,) = answered(state, schema).items
    state.close()
    record = record_of(item, schema)
    assert sorted(record["categories"]) == sorted([*SHOWN, ADDED])
    assert record["sentiment"] == "negative"
    assert record["meta"]["correction"]["changed"] == ["category"]
    assert record["meta"]["correction"]["shown"]["category"] == SHOWN
    assert seen.asked == {urlsplit(studio.url).netloc}, "the browser asked somebody else"
    assert seen.faults == []


def test_a_browser_that_is_missing_is_told_with_the_command_that_installs_it(monkeypatch, tmp_path):
    monkeypatch.setenv("CHROMIUM", "no-such-browser")
    with pytest.raises(AssertionError, match=r"command no-such-browser, found none; install it with: make chromium"):
        find_chromium()
    command = ["/bin/bash", str(ROOT / ".ci/chromium")]
    done = subprocess.run(command, env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "run as root, on Debian or Ubuntu: apt-get update && apt-get install" in done.stderr


def test_the_tests_install_the_browser_first():
    planned = subprocess.run(
        ["make", "--no-print-directory", "-n", "-o", "lint", "-o", ".venv-labelstudio/installed", "test"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert planned.index(".ci/chromium") < next(n for n, line in enumerate(planned) if "pytest" in line)
    assert subprocess.run([ROOT / ".ci/chromium"], check=True).returncode == 0
    assert Path(find_chromium()).is_file()
