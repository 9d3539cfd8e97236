"""The service as a backend of a real Label Studio: what is shown, what is told, who may ask."""

import time
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from label_studio_sdk.label_interface import LabelInterface
from labelstudio_support import environment_of, new_project
from support import free_port
from typer.testing import CliRunner

from feedback import app
from labeling.backend.app import SECRET_HEADER, USER
from labeling.backend.hints import hint_since, take_hint
from labeling.state import State
from labeling.studio.client import LabelStudioError
from labeling.studio.connection import BackendError, connect_backend
from labeling.studio.interface import labeling_interface
from models.errors import ConfigError
from models.labels import LabelSchema
from models.progress import Silent
from serving.server import running
from serving.settings import Settings, load_settings

SECRET = "a secret of the tests"  # noqa: S105


class Service(NamedTuple):
    url: str
    folder: Path


@pytest.fixture(scope="module")
def service(linear_folder, tmp_path_factory):
    """The real service with a secret, in a process of its own."""
    folder, port = tmp_path_factory.mktemp("labeling"), free_port()
    settings = Settings(model=linear_folder, labelstudio_secret=SECRET, labelstudio_folder=folder)
    with running(settings, "127.0.0.1", port, Silent()):
        yield Service(f"http://127.0.0.1:{port}", folder)


@pytest.fixture
def project(studio_client, schema):
    with new_project(studio_client, schema) as found:
        yield found


def ask(service: Service, path: str, body: Any = None, **more: Any) -> httpx.Response:
    more.setdefault("auth", (USER, SECRET))
    method = "GET" if body is None else "POST"
    return httpx.request(method, f"{service.url}/labelstudio{path}", json=body, trust_env=False, timeout=30, **more)


def hint_comes(service: Service, project: int) -> bool:
    deadline = time.monotonic() + 10
    while hint_since(service.folder, project) is None and time.monotonic() < deadline:
        time.sleep(0.05)
    return hint_since(service.folder, project) is not None


ANSWER = [{"from_name": "sentiment", "to_name": "text", "type": "choices", "value": {"choices": ["neutral"]}}]


def test_a_task_that_is_opened_is_predicted_and_its_answer_knows_that_prediction(
    service, studio, studio_client, project
):
    arguments = ["label", "connect", "--project", str(project.id), "--backend", service.url]
    environment = environment_of(studio) | {"FEEDBACK_LABELSTUDIO_SECRET": SECRET}
    done = CliRunner().invoke(app, arguments, env=environment, catch_exceptions=False)
    version = ask(service, "/versions").json()["versions"][0]
    assert f"is answered by {version}" in done.output
    studio_client.projects.import_tasks(id=project.id, request=[{"data": {"text": "The parcel came late"}}])
    request = studio_client._client_wrapper.httpx_client.request
    opened = request(f"api/projects/{project.id}/next", method="GET").json()
    (shown,) = opened["predictions"]
    assert shown["model_version"] == version
    interface = LabelInterface(labeling_interface(LabelSchema.load()))
    prediction = {name: shown[name] for name in ("model_version", "score", "result")}
    assert interface.validate_prediction(prediction, return_errors=True) == []
    studio_client.annotations.create(id=opened["id"], result=ANSWER)
    (kept,) = request(f"api/tasks/{opened['id']}/annotations/", method="GET").json()
    exported = studio_client.projects.exports.as_json(project.id)
    assert exported[0]["annotations"][0]["prediction"]["model_version"] == version
    assert kept["result"][0]["value"] == ANSWER[0]["value"]
    assert hint_comes(service, project.id)


def test_connecting_again_changes_nothing_and_from_another_place_leaves_nothing_behind(service, studio_client, project):
    old = service.url.replace("127.0.0.1", "localhost")
    for url, removed in ((old, 0), (old, 0), (service.url, 2), (service.url, 0)):
        done = connect_backend(studio_client, project.id, url, SECRET)
        assert done.removed == removed
        (backend,) = studio_client.ml.list(project=project.id)
        (webhook,) = studio_client.webhooks.list(project=str(project.id))
        assert (backend.title, backend.model_version, backend.url) == (done.version, done.version, f"{url}/labelstudio")
        assert webhook.url == f"{url}/labelstudio/webhook"
        assert studio_client.projects.get(id=project.id).model_version == done.version


def test_connecting_mends_a_backend_whose_title_is_not_its_version(service, studio_client, project):
    done = connect_backend(studio_client, project.id, service.url, SECRET)
    (backend,) = studio_client.ml.list(project=project.id)
    access = {"auth_method": "BASIC_AUTH", "basic_auth_user": USER, "basic_auth_pass": SECRET}
    studio_client.ml.update(id=backend.id, project=project.id, title="my model", url=backend.url, **access)
    assert studio_client.projects.get(id=project.id).model_version == "my model"
    connect_backend(studio_client, project.id, service.url, SECRET)
    assert studio_client.ml.list(project=project.id)[0].title == done.version
    assert studio_client.projects.get(id=project.id).model_version == done.version


def test_a_bad_task_harms_no_other_and_a_blind_one_is_left_alone(service):
    state = State(service.folder / "server-project-1.db")
    with state.changing() as connection:
        connection.execute(
            "INSERT INTO items (item_id, record, why, blind, chosen_at) VALUES ('b', '{}', 'audit', 1, 'now')"
        )
    state.close()
    data = [{"text": "It broke"}, {"text": ""}, {"text": "So nice", "external_id": "b"}, {"text": ["x"]}, None]
    tasks = [{"id": number, "data": each} for number, each in enumerate(data)] + ["no task"]
    answer = ask(service, "/predict", {"tasks": tasks, "project": "1.2", "label_config": ""})
    results = answer.json()["results"]
    assert answer.status_code == 200
    assert results[0]["result"][0]["type"] == "choices"
    assert results[2] == []
    for place, said in ((1, "text: expected some text"), (3, "text: "), (4, "with data"), (5, "with data")):
        assert said in results[place]["error"]


@pytest.mark.parametrize("access", [None, (USER, "wrong"), ("somebody", SECRET), (USER, "")])
def test_nobody_without_the_secret_is_answered(service, access):
    for path, body in (("/health", None), ("/versions", None), ("/setup", {}), ("/predict", {"tasks": []})):
        assert ask(service, path, body, auth=access).status_code == 401


def test_an_event_is_noted_with_the_secret_alone(service):
    event = {"action": "ANNOTATION_CREATED", "project": {"id": 4711}, "annotation": {"id": 1}}
    for headers in ({}, {SECRET_HEADER: "wrong"}):
        assert ask(service, "/webhook", event, auth=None, headers=headers).status_code == 401
    access = {"auth": None, "headers": {SECRET_HEADER: SECRET}}
    for project in ("../x", -1, None, True):
        assert ask(service, "/webhook", event | {"project": {"id": project}}, **access).status_code == 200
    assert ask(service, "/webhook", event | {"action": "PROJECT_UPDATED"}, **access).status_code == 200
    assert hint_since(service.folder, 4711) is None
    assert ask(service, "/webhook", event, **access).status_code == 200
    seen = hint_since(service.folder, 4711)
    assert seen is not None
    take_hint(service.folder, 4711, seen - 1)
    assert hint_since(service.folder, 4711) == seen
    take_hint(service.folder, 4711, seen)
    assert hint_since(service.folder, 4711) is None
    assert ask(service, "/webhook", {"much": "x" * 2_000_001}, **access).status_code == 413


def test_a_project_that_asks_something_else_is_refused(service, studio_client):
    small = LabelSchema.model_validate({"tasks": {"mood": {"kind": "single", "labels": [{"key": "a"}, {"key": "b"}]}}})
    answer = ask(service, "/setup", {"schema": labeling_interface(small)})
    assert answer.status_code == 422
    assert "it has no control 'category'" in answer.json()["error"]
    with new_project(studio_client, small) as other, pytest.raises(BackendError, match="has no control 'category'"):
        connect_backend(studio_client, other.id, service.url, SECRET)


def test_what_hinders_a_connection_is_said(service, studio, studio_client, project):
    with pytest.raises(BackendError, match="has another secret"):
        connect_backend(studio_client, project.id, service.url, "another secret")
    with pytest.raises(BackendError, match="does not answer"):
        connect_backend(studio_client, project.id, f"http://127.0.0.1:{free_port()}", SECRET)
    with pytest.raises(BackendError, match=r"expected the answer of a backend, got something else \(status 404\)"):
        connect_backend(studio_client, project.id, studio.url, SECRET)
    with pytest.raises(ConfigError, match="FEEDBACK_LABELSTUDIO_SECRET: expected the secret"):
        connect_backend(studio_client, project.id, service.url, "")
    with pytest.raises(LabelStudioError, match="may have been deleted"):
        connect_backend(studio_client, 10**6, service.url, SECRET)


def test_a_short_secret_is_refused():
    with pytest.raises(ConfigError, match=r"LABELSTUDIO_SECRET: expected at least 16 characters, got 5$"):
        load_settings(labelstudio_secret="s" * 5)
