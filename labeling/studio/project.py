"""A Label Studio project made from the label schema, or brought up to it."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple

from labeling.studio.client import LabelStudioError, explained
from labeling.studio.interface import labeling_interface
from models.errors import ConfigError
from models.labels import LabelSchema

if TYPE_CHECKING:
    from label_studio_sdk.client import LabelStudio

TITLE = "Feedback"
#: By uncertainty, what chance drew to measure the model would be answered last, and of a batch that is not finished the
#: surest items would be missing from the measure.
_IN_ORDER = "Sequential sampling"


class ProjectSetup(NamedTuple):
    """A project that asks what the schema asks: its id and title, and whether it was "made", "changed" or neither."""

    id: int
    title: str
    done: str


def set_up_project(
    client: "LabelStudio",
    schema: LabelSchema,
    *,
    project: int | None = None,
    title: str = TITLE,
    annotators: int | None = None,
    changing: Callable[[int], AbstractContextManager[None]] | None = None,
) -> ProjectSetup:
    """Make a project, or give an existing one the interface of the schema; doing it again changes nothing.

    Labelers are shown predictions, and get the tasks in the order in which they were pushed.

    Args:
        client: from :func:`labeling.studio.client.connect`.
        schema: the tasks and their labels.
        project: id of an existing one; else that with the title, and if there is none it is made.
        title: how it is called, at least 3 characters; an existing one keeps its title.
        annotators: how many people shall answer each task; else what the project says, at first one.
        changing: makes what surrounds a change of the interface of an existing project, by its id.

    Raises:
        SchemaError: Label Studio cannot hold the schema.
        ConfigError: several projects have the title.
        LabelStudioError: answers were given that the new interface does not know, and nothing was changed; or the
            server cannot be reached, or refuses.
    """
    interface = labeling_interface(schema)
    project = project or _called(client, title)
    wanted: dict[str, Any] = {"show_collab_predictions": True, "sampling": _IN_ORDER}
    if annotators is not None:
        wanted["maximum_annotations"] = annotators
    if project is None:
        with explained(f"making the project {title!r}"):
            made: Any = client.projects.create(title=title, label_config=interface, **wanted)
        return ProjectSetup(made.id, title, "made")
    with explained(f"reading project {project}"):
        found = client.projects.get(id=project)
    # it takes the blanks around it away
    if str(found.label_config).strip() != interface.strip():
        _check_change(client, project, interface)
        wanted["label_config"] = interface
    differs = {name: value for name, value in wanted.items() if getattr(found, name) != value}
    if differs:
        around = changing(project) if changing and "label_config" in differs else nullcontext()
        with around, explained(f"changing project {project}"):
            client.projects.update(id=project, **differs)
    return ProjectSetup(project, str(found.title), "changed" if differs else "")


def check_interface(client: "LabelStudio", interface: str) -> None:
    """Raise LabelStudioError unless the server takes this for a labelling interface, whatever answers a project has."""
    with explained("checking the new interface"):
        answer = client._client_wrapper.httpx_client.request(
            "api/projects/validate/", method="POST", json={"label_config": interface}
        )
        answer.raise_for_status()


def _called(client: "LabelStudio", title: str) -> int | None:
    """The id of the project with this title; None if there is none."""
    with explained("listing projects"):
        # the server finds titles that have this one in them
        listed: list[Any] = list(client.projects.list(title=title, include="id,title"))
    found: list[int] = [one.id for one in listed if one.title == title]
    if len(found) > 1:
        shown = ", ".join(map(str, found[:10]))
        raise ConfigError(f"expected one project called {title!r}, found {len(found)}; choose with --project: {shown}")
    return found[0] if found else None


def _check_change(client: "LabelStudio", project: int, interface: str) -> None:
    # when it is merely told of a change, the server takes away labels that are in use
    try:
        with explained(f"checking the new interface of project {project}"):
            client.projects.validate_label_config(id=project, label_config=interface)
    except LabelStudioError as error:
        if error.status != 400:
            raise
        raise LabelStudioError(
            f"{error}. Nothing was changed. Keep these labels in the schema until their answers are pulled and changed,"
            " or make another project with --title",
            400,
        ) from None
