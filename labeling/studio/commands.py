"""The commands that set Label Studio up: `label studio`, `label project`, `label connect`."""

import os
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated, Any

import typer

from models import terminal

Url = Annotated[
    str | None, typer.Option("--url", metavar="URL", help="Address of Label Studio; else that in LABEL_STUDIO_URL.")
]
Labels = Annotated[Path | None, typer.Option(metavar="FILE", help="Label schema; else the one that is shipped.")]


def studio_command(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8080,
    folder: Annotated[Path, typer.Option(metavar="DIR", help="Where its data lies.")] = Path("artifacts/labelstudio"),
    samples: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Feedback for the tasks of a new project to try.")
    ] = None,
    labels: Labels = None,
    once: Annotated[bool, typer.Option("--once", help="Stop when all that is done.")] = False,
) -> None:
    """Run a Label Studio of your own on this machine, to try it; `make labelstudio` installs and runs it.

    Example: feedback label studio --samples training/data/starter/samples.jsonl
    """
    from labeling.studio.client import KEY_VARIABLE, URL_VARIABLE, connect
    from labeling.studio.project import set_up_project
    from labeling.studio.server import find_binary, running
    from models.labels import DEFAULT_SCHEMA, LabelSchema

    schema = LabelSchema.load(labels or DEFAULT_SCHEMA)
    tasks = [] if samples is None else _tasks(samples)
    with running(folder, find_binary(), terminal.Terminal(), port=port) as server:
        project = set_up_project(connect(server.url, server.key), schema)
        if tasks and project.done == "made":
            _add(server.url, server.key, project.id, tasks)
        terminal.say(f"Label Studio: {server.url}/projects/{project.id}/data; stop with Ctrl-C")
        terminal.say(f"log in as {server.email} with the password {server.password}")
        terminal.say(f"for commands:\n  export {URL_VARIABLE}={server.url} {KEY_VARIABLE}={server.key}")
        try:
            while not once:
                time.sleep(3600)
        except KeyboardInterrupt:
            terminal.say("stopping")


def project_command(
    project: Annotated[
        int | None, typer.Option(min=1, metavar="ID", help="One that exists; else by its title.")
    ] = None,
    title: Annotated[str, typer.Option(help="Title of the project, which is made if it is not there.")] = "Feedback",
    labels: Labels = None,
    annotators: Annotated[
        int | None, typer.Option(min=1, help="How many people shall answer each task; at first one.")
    ] = None,
    url: Url = None,
) -> None:
    """Make a Label Studio project from a label schema, or bring one up to it; the key is LABEL_STUDIO_API_KEY.

    Example: feedback label project --title "Feedback in May" --labels labels.toml
    """
    from labeling.pull.asked import changing_interface
    from labeling.push.queue import state_file
    from labeling.studio.client import URL_VARIABLE, connect
    from labeling.studio.project import set_up_project
    from models.labels import DEFAULT_SCHEMA, LabelSchema

    schema = LabelSchema.load(labels or DEFAULT_SCHEMA)
    client = connect(url)

    def changing(number: int) -> AbstractContextManager[None]:
        path = state_file(url or os.environ.get(URL_VARIABLE, ""), number)
        return changing_interface(client, number, path, schema, terminal.Terminal())

    found = set_up_project(client, schema, project=project, title=title, annotators=annotators, changing=changing)
    done = {"made": "was made", "changed": "was changed", "": "is as it should be"}[found.done]
    terminal.say(f"project {found.id}, {found.title!r}, {done}; next: feedback label push --project {found.id}")


def connect_command(
    project: Annotated[int, typer.Option(min=1, metavar="ID", help="The project.")],
    backend: Annotated[
        str, typer.Option(metavar="URL", help="The service, as Label Studio reaches it.")
    ] = "http://127.0.0.1:3000",
    url: Url = None,
) -> None:
    """Let Label Studio ask the service for predictions, and tell it of answers; again after each change of model.

    Both the service and this command need FEEDBACK_LABELSTUDIO_SECRET, a secret of at least 16 characters.

    Example: feedback label connect --project 1 --backend http://127.0.0.1:3000
    """
    from labeling.studio.client import connect
    from labeling.studio.connection import SECRET_VARIABLE, connect_backend

    done = connect_backend(connect(url), project, backend, os.environ.get(SECRET_VARIABLE, ""))
    old = f"; {done.removed} old connection(s) removed" if done.removed else ""
    terminal.say(f"project {project} is answered by {done.version}{old}; again after each change of model")


def _tasks(samples: Path) -> list[Any]:
    from labeling.studio.tasks import task_data
    from models.errors import DataError
    from models.readers import read_items
    from models.rejects import Reject

    tasks: list[Any] = []
    for number, row in enumerate(read_items(samples), 1):
        if isinstance(row, Reject):
            raise DataError(f"a sample cannot be used: {row}")
        tasks.append({"data": task_data(row.id or row.external_id or f"sample-{number}", row)})
    return tasks


def _add(url: str, key: str, project: int, tasks: list[Any]) -> None:
    from labeling.studio.client import connect, explained

    with explained("adding the samples"):
        connect(url, key).projects.import_tasks(id=project, request=tasks)
