"""One project on a Label Studio server, as pushing needs it."""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from labeling.studio.client import WITHOUT_PREDICTING, explained
from labeling.studio.interface import TEXT
from labeling.studio.tasks import EXTERNAL_ID

if TYPE_CHECKING:
    from label_studio_sdk.client import LabelStudio
    from label_studio_sdk.label_interface.interface import LabelInterface

#: Tasks of one request, which the server takes in half a second.
BATCH = 500
#: Predictions of one request: with each the server counts all tasks of the project again, seconds for ten thousand.
PREDICTIONS = 5000
_PAGE = 1000
_PATIENCE = 600  # seconds in which predictions of ten thousand tasks are removed


class RemoteTask(NamedTuple):
    """A task as the server has it; ``external_id`` is None where it is none that this project made."""

    id: int
    external_id: str | None
    text: str
    answered: bool


class Remote:
    """A project of a server.

    Args:
        client: from :func:`labeling.studio.client.connect`.
        project: its id.

    Raises:
        LabelStudioError: here and in every method: there is no such project, the key is not accepted, the server is
            away, or it refuses.
    """

    def __init__(self, client: "LabelStudio", project: int) -> None:
        self._client, self.id = client, project
        with explained(f"reading project {project}"):
            found = client.projects.get(project)
        self.title: str = found.title or ""
        self.config: str = found.label_config or ""
        self.count: int = found.task_number or 0
        self.model_version: str = found.model_version or ""
        #: How many people are to answer each task.
        self.annotators: int = found.maximum_annotations or 1

    @cached_property
    def interface(self) -> "LabelInterface":
        """What labelers can answer."""
        from label_studio_sdk.label_interface.interface import LabelInterface

        return LabelInterface(self.config)

    def send(self, tasks: Sequence[Mapping[str, Any]]) -> list[int]:
        """Add tasks, all or none; their ids in the same order."""
        with explained(f"adding {len(tasks):,} tasks to project {self.id}"):
            answer = self._client.projects.import_tasks(self.id, request=_any(tasks), return_task_ids=True)
            found: list[int] = list(getattr(answer, "task_ids", None) or [])
        self.count += len(tasks)
        return found

    def tasks(self) -> Iterator[RemoteTask]:
        """Every task of the project."""
        with explained(f"listing the tasks of project {self.id}"):
            task: Any
            for task in self._client.tasks.list(
                project=self.id,
                review=WITHOUT_PREDICTING,
                fields="task_only",
                include="id,data,total_annotations,cancelled_annotations",
                page_size=_PAGE,
            ):
                data = task.data if isinstance(task.data, dict) else {}
                answered = bool((task.total_annotations or 0) + (task.cancelled_annotations or 0))
                known = data.get(EXTERNAL_ID)
                yield RemoteTask(task.id, None if known is None else str(known), str(data.get(TEXT) or ""), answered)

    def finished(self) -> set[int]:
        """Ids of the tasks that wait for nobody's answer any more."""
        wanted = {
            "filters": {
                "conjunction": "or",
                "items": [
                    {"filter": f"filter:tasks:{name}", "operator": "greater", "type": "Number", "value": 0}
                    for name in ("total_annotations", "cancelled_annotations")
                ],
            }
        }
        with explained(f"listing what was answered in project {self.id}"):
            listed: Iterable[Any] = self._client.tasks.list(
                project=self.id,
                review=WITHOUT_PREDICTING,
                fields="task_only",
                include="id,is_labeled",
                page_size=_PAGE,
                query=json.dumps(wanted),
            )
            return {task.id for task in listed if task.is_labeled}

    def add_predictions(self, predictions: Sequence[Mapping[str, Any]]) -> None:
        """Add predictions to tasks, each with the id of its ``task``."""
        with explained(f"adding {len(predictions):,} predictions to project {self.id}"):
            self._client.projects.import_predictions(self.id, request=_any(predictions))

    def show_version(self, version: str) -> None:
        """Let labelers see, and answers be compared with, the predictions of this model; it must have made some."""
        with explained(f"choosing the model of project {self.id}"):
            self._client.projects.update(self.id, model_version=version)
        self.model_version = version

    def drop_version(self, version: str) -> None:
        """Remove all predictions of a model; answers keep a copy of what they were given with."""
        with explained(f"removing predictions from project {self.id}"):
            answer = self._client._client_wrapper.httpx_client.request(
                f"api/projects/{self.id}/model-versions/",
                method="DELETE",
                json={"model_version": version},
                request_options={"timeout_in_seconds": _PATIENCE},
            )
            answer.raise_for_status()

    def remove(self, tasks: Collection[int]) -> None:
        """Remove tasks."""
        with explained(f"removing {len(tasks):,} tasks of project {self.id}"):
            self._client.actions.create(
                id="delete_tasks", project=self.id, selected_items={"all": False, "included": sorted(tasks)}
            )


def _any(value: object) -> Any:
    # the client takes plain dictionaries, too, which its annotations do not say
    return value
