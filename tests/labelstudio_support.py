"""A real Label Studio for tests: projects that go again, the two kinds of keys, what labelers do there."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
from label_studio_sdk.client import LabelStudio
from labeling_support import DEFECT, SCHEMA, add_item, predicted, result

from labeling.pull.annotations import as_utc
from labeling.pull.pull import Pulled, pull
from labeling.state import State
from labeling.studio.client import KEY_VARIABLE, URL_VARIABLE
from labeling.studio.interface import labeling_interface
from labeling.studio.server import Studio
from models.labels import LabelSchema
from models.progress import Silent


@contextmanager
def new_project(client: LabelStudio, schema: LabelSchema, **fields: Any) -> Iterator[Any]:
    """A project with the interface of a schema, which is deleted when the block ends."""
    wanted = {"title": "of a test", "label_config": labeling_interface(schema), "show_collab_predictions": True}
    project = client.projects.create(**(wanted | fields))
    try:
        yield project
    finally:
        client.projects.delete(id=project.id)


def personal_token(studio: Studio) -> str:
    """A personal access token, got as a browser gets it; a user has one, and its value is told once."""
    with httpx.Client(base_url=studio.url, trust_env=False) as browser:
        page = browser.get("/user/login/").text
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)[1]
        form = {"email": studio.email, "password": studio.password, "csrfmiddlewaretoken": token}
        assert browser.post("/user/login/", data=form, headers={"Referer": studio.url}).status_code == 302
        headers = {"X-CSRFToken": browser.cookies["csrftoken"], "Referer": studio.url}
        answer = browser.post("/api/token/", headers=headers)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["token"])


def environment_of(studio: Studio) -> dict[str, str]:
    """What a command needs to find the server: for `CliRunner().invoke(..., env=...)`."""
    return {URL_VARIABLE: studio.url, KEY_VARIABLE: studio.key}


class Desk(NamedTuple):
    """A project with tasks, a state that knows of them, and what labelers do there."""

    client: LabelStudio
    project: int
    path: Path
    tasks: list[int]

    def answer(self, number: int, *categories: str, sentiment: str = "negative", **fields: Any) -> int:
        made = self.client.annotations.create(
            id=self.tasks[number], **({"result": result(*categories, sentiment=sentiment), "lead_time": 4.0} | fields)
        )
        return int(made.id)

    def pull(self, *, schema: LabelSchema = SCHEMA, full: bool = False) -> Pulled:
        return pull(self.client, self.project, self.path, schema, Silent(), full=full)

    def rows(self, statement: str = "SELECT * FROM annotations ORDER BY annotation_id") -> list[dict[str, Any]]:
        state = State(self.path)
        found = [dict(row) for row in state.rows(statement)]
        state.close()
        return found

    def versions(self) -> list[tuple[int, str]]:
        """Id and time of the last change of every annotation that the server has."""
        tasks = self.client.projects.exports.as_json(self.project)
        return sorted((one["id"], as_utc(one["updated_at"])) for task in tasks for one in task["annotations"])

    def states(self) -> list[str]:
        return [row["state"] for row in self.rows()]


def fill(desk: Desk, count: int, *, annotations: Sequence[dict[str, Any]] = ()) -> None:
    """Tasks on the server, and items in the state as a push writes them."""
    tasks = [{"data": {"text": f"feedback {number}"}, "annotations": list(annotations)} for number in range(count)]
    made = desk.client.projects.import_tasks(desk.project, request=tasks, return_task_ids=True)
    desk.tasks.extend(made.task_ids)
    state = State(desk.path)
    for number, task in enumerate(made.task_ids):
        said = predicted([DEFECT], "negative")
        add_item(state, f"item-{task}", task, text=f"feedback {number}", prediction=said)
    state.close()
