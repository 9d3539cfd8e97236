"""What a real Label Studio tells through webhooks, lost, twice or out of order: the next pull has it all, once."""

import json
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from http_support import Request, Web, serving
from label_studio_sdk.client import LabelStudio
from labeling_support import DEFECT, OTHER, SCHEMA, result
from labelstudio_support import Desk, environment_of, fill, new_project
from support import free_port, read_jsonl
from typer.testing import CliRunner

from feedback import app
from labeling.backend.app import ACTIONS, SECRET_HEADER
from labeling.backend.hints import hint_since
from labeling.push.queue import state_file
from labeling.state import FOLDER
from labeling.studio.connection import connect_backend
from labeling.studio.server import Studio
from models.progress import Silent
from serving.server import running
from serving.settings import Settings

SECRET = "a secret of the tests"  # noqa: S105


class Place(NamedTuple):
    """Where commands run, and the service, which leaves its hints below it."""

    folder: Path
    service: str


@pytest.fixture(scope="module")
def place(linear_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder, port = tmp_path_factory.mktemp("webhooks"), free_port()
    settings = Settings(
        model=linear_folder, threads=1, labelstudio_secret=SECRET, labelstudio_folder=(folder / FOLDER).absolute()
    )
    with running(settings, "127.0.0.1", port, Silent()):
        yield Place(folder, f"http://127.0.0.1:{port}")


@pytest.fixture
def desk(studio: Studio, studio_client: LabelStudio, place: Place) -> Iterator[Desk]:
    with new_project(studio_client, SCHEMA) as project:
        made = Desk(studio_client, project.id, state_file(studio.url, project.id, place.folder / FOLDER), [])
        fill(made, 5)
        yield made


def pulled(studio: Studio, place: Place, desk: Desk) -> tuple[str, list[dict]]:
    """What the command says, and the corrections that it writes."""
    with chdir(place.folder):
        command = ["label", "pull", "--project", str(desk.project), "--out", f"{desk.project}.jsonl"]
        done = CliRunner().invoke(app, command, env=environment_of(studio), catch_exceptions=False)
        assert done.exit_code == 0
        return done.stderr, read_jsonl(Path(f"{desk.project}.jsonl"))


def hint(place: Place, desk: Desk) -> float | None:
    return hint_since(place.folder / FOLDER, desk.project)


def test_an_answer_reaches_the_service_as_a_hint_that_a_pull_takes(studio, desk, place) -> None:
    connect_backend(desk.client, desk.project, place.service, SECRET)
    assert hint(place, desk) is None
    desk.answer(0, OTHER)
    # Label Studio tells before it answers
    assert hint(place, desk) is not None
    said, (record,) = pulled(studio, place, desk)
    assert "1 new answer(s)" in said
    assert record["categories"] == [OTHER]
    assert hint(place, desk) is None
    desk.client.annotations.update(id=desk.rows()[0]["annotation_id"], result=result(DEFECT))
    assert hint(place, desk) is not None
    said, (record,) = pulled(studio, place, desk)
    assert "0 new answer(s), 1 edited" in said
    assert record["categories"] == [DEFECT]
    assert hint(place, desk) is None


def events_of(desk: Desk, web: Web) -> list[Request]:
    """What Label Studio tells, through a webhook as `connect` makes it, of answers that come, change and go."""
    desk.client.webhooks.create(
        project=desk.project,
        url=f"http://127.0.0.1:{web.port}/labelstudio/webhook",
        send_payload=True,
        send_for_all_actions=False,
        actions=list(ACTIONS),
        headers={SECRET_HEADER: SECRET},
    )
    first, second, third = (desk.answer(number, DEFECT) for number in range(3))
    desk.client.annotations.update(id=first, result=result(OTHER))
    desk.client.annotations.update(id=second, result=result(DEFECT, OTHER))
    desk.client.annotations.update(id=first, result=result(DEFECT, OTHER))
    desk.client.annotations.delete(id=third)
    return list(web.got)


def deliver(place: Place, event: Request) -> int:
    headers = {SECRET_HEADER: event.headers[SECRET_HEADER.lower()], "Content-Type": "application/json"}
    answer = httpx.post(f"{place.service}{event.path}", content=event.body, headers=headers, trust_env=False)
    return answer.status_code


def test_events_that_are_lost_come_twice_or_out_of_order_lose_and_double_nothing(studio, desk, place, tmp_path) -> None:
    with serving(tmp_path) as web:
        events = events_of(desk, web)
    actions = [json.loads(event.body)["action"] for event in events]
    assert actions == ["ANNOTATION_CREATED"] * 3 + ["ANNOTATION_UPDATED"] * 3 + ["ANNOTATIONS_DELETED"]
    # the last first, each twice, and every third never
    kept = [event for number, event in enumerate(reversed(events)) if number % 3 != 2 for _ in range(2)]
    said = []
    for event in kept:
        assert deliver(place, event) == 200
        assert hint(place, desk) is not None
        told, records = pulled(studio, place, desk)
        assert hint(place, desk) is None
        said.append(told)
        assert [record["categories"] for record in records] == [[DEFECT, OTHER]] * 2
    assert sum("2 new answer(s)" in each for each in said) == 1
    assert sum("0 new answer(s), 0 edited, 0 deleted" in each for each in said) == len(kept) - 1
    assert [(row["annotation_id"], row["updated_at"]) for row in desk.rows()] == desk.versions()
    assert len(desk.rows()) == 2


def test_without_any_event_the_next_pull_has_it_all(studio, desk, place) -> None:
    url = f"http://127.0.0.1:{free_port()}/labelstudio/webhook"  # nobody is there
    desk.client.webhooks.create(project=desk.project, url=url, send_payload=True, send_for_all_actions=True)
    desk.answer(0, DEFECT)
    desk.answer(1, OTHER)
    assert hint(place, desk) is None
    said, records = pulled(studio, place, desk)
    assert "2 new answer(s)" in said
    assert len(records) == 2
