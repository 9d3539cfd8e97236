"""A real Label Studio for tests: projects that go again, and the two kinds of keys."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from label_studio_sdk.client import LabelStudio

from labeling.studio.client import KEY_VARIABLE, URL_VARIABLE
from labeling.studio.interface import labeling_interface
from labeling.studio.server import Studio
from models.labels import LabelSchema


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
