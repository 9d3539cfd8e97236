"""When a real Label Studio asks its backend: for what a labeler opens, and not for what push and pull list."""

import json
import socketserver
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from http_support import Web, say, serving
from labeling_support import DEFECT, SCHEMA, result
from labelstudio_support import Desk, fill, new_project

from labeling.choice.selection import Candidate, Mix
from labeling.push.push import push
from labeling.push.sources import Source
from labeling.studio.connection import connect_backend
from models.progress import Silent
from models.records import FeedbackItem

SECRET = "a secret of the tests"  # noqa: S105  (of nothing else)


def answer(handler: socketserver.StreamRequestHandler) -> None:
    """As a backend that says the same of every task."""
    asked = handler.server.got[-1]  # type: ignore[attr-defined]  # the support's own server
    body: dict[str, Any] = {"status": "UP", "model_version": "m-1"}
    if asked.path.endswith("/predict"):
        said = {"model_version": "m-1", "score": 0.5, "result": result(DEFECT)}
        body["results"] = [said for _ in json.loads(asked.body)["tasks"]]
    say("200 OK", "Content-Type: application/json", body=json.dumps(body).encode())(handler)


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[Web]:
    with serving(tmp_path) as web:
        web.answer = answer
        yield web


def predicted(backend: Web) -> int:
    """How often the backend was asked to predict."""
    return sum(one.path.endswith("/predict") for one in backend.got)


@pytest.mark.parametrize("automatically", [None, True])
def test_the_backend_predicts_what_is_opened_and_not_what_is_listed(
    studio_client, backend, tmp_path, automatically
) -> None:
    """``automatically`` is what somebody set in the project since it was connected."""
    with new_project(studio_client, SCHEMA) as project:
        connect_backend(studio_client, project.id, f"http://127.0.0.1:{backend.port}", SECRET)
        if automatically:
            studio_client.projects.update(id=project.id, evaluate_predictions_automatically=True)
        desk = Desk(studio_client, project.id, tmp_path / "state.db", [])
        fill(desk, 2)
        in_the_browser = [{"data": {"text": f"feedback of another {number}"}} for number in range(3)]
        studio_client.projects.import_tasks(project.id, request=in_the_browser)
        told = Source(lambda: [Candidate("new", FeedbackItem(text="a new one"))])
        for number in (0, 1):
            desk.answer(number, DEFECT)
            assert desk.pull().new == 1
            assert desk.pull(full=True).new == 0
            assert push(studio_client, project.id, desk.path, told, 1, Mix(), Silent()).open == 1
        assert predicted(backend) == 0
        if not automatically:
            # nor does a look at the list in the browser
            assert len(list(studio_client.tasks.list(project=project.id, fields="all"))) == 6
            assert predicted(backend) == 0
        ask = studio_client._client_wrapper.httpx_client.request
        opened = ask(f"api/projects/{project.id}/next", method="GET").json()
        assert [one["model_version"] for one in opened["predictions"]] == ["m-1"]
        other = studio_client.projects.import_tasks(
            project.id, request=[{"data": {"text": "late"}}], return_task_ids=True
        )
        assert len(studio_client.tasks.get(id=str(other.task_ids[0])).predictions) == 1
        assert predicted(backend) == 2
