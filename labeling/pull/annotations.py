"""The annotations of one project on a Label Studio server, as pulling needs them."""

import json
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from labeling.studio.client import WITHOUT_PREDICTING, LabelStudioError, explained
from models.progress import Advance

if TYPE_CHECKING:
    from label_studio_sdk.client import LabelStudio
    from label_studio_sdk.core.request_options import RequestOptions

_PAGE = 1000
#: Tasks of one request; their ids stand in its address.
_BATCH = 200
#: How often an export is asked for, and seconds between: those of a minute with the same content Label Studio writes to
#: the same file, so that two at once spoil each other.
_TRIES, _PAUSE = 4, 0.5


class Listed(NamedTuple):
    """A task that was listed: its id, when it last changed (ISO 8601 in UTC), and its annotations' own such times."""

    id: int
    updated_at: str
    annotations: Mapping[int, str]


class Annotations:
    """The annotations of a project.

    Args:
        client: from :func:`labeling.studio.client.connect`.
        project: its id.

    Raises:
        LabelStudioError: in every method: there is no such project, the key is not accepted, the server is away.
    """

    def __init__(self, client: "LabelStudio", project: int) -> None:
        self._client, self.project = client, project

    def about(self) -> tuple[str, int]:
        """The labelling configuration, and how many annotations there are, skipped ones too."""
        with explained(f"reading project {self.project}"):
            found = self._client.projects.get(self.project)
        # what the server calls the total leaves out what was skipped, whatever its documentation says
        count = (found.total_annotations_number or 0) + (found.skipped_annotations_number or 0)
        return found.label_config or "", count

    def listed(self, since: str | None = None) -> list[Listed]:
        """Tasks that changed after ``since``, with annotations or without; or, of all times, those that have some.

        A task changes with each annotation that is made, edited or deleted.
        """
        filters: list[tuple[str, str, str | int]] = [("updated_at", "Datetime", since or "")]
        if since is None:
            filters = [("total_annotations", "Number", 0), ("cancelled_annotations", "Number", 0)]
        items = [
            {"filter": f"filter:tasks:{name}", "operator": "greater", "type": kind, "value": value}
            for name, kind, value in filters
        ]
        doing = f"listing the annotations of project {self.project}"
        with explained(doing):
            # with `fields` the server would leave the annotations out
            tasks: Iterable[Any] = self._client.tasks.list(
                project=self.project,
                review=WITHOUT_PREDICTING,
                include="id,updated_at,annotations",
                page_size=_PAGE,
                query=json.dumps({"filters": {"conjunction": "or", "items": items}}),
            )
            return [
                Listed(task.id, as_utc(task.updated_at), {one["id"]: one["updated_at"] for one in _rows(task, doing)})
                for task in tasks
            ]

    def tasks(self, ids: Collection[int] | None, advance: Advance) -> Iterator[dict[str, Any]]:
        """Tasks with all that was answered; None: all that have annotations. ``advance`` is told of each task."""
        if ids is None:
            yield from self._export(None, advance)
            return
        ordered = sorted(ids)
        for start in range(0, len(ordered), _BATCH):
            yield from self._export(ordered[start : start + _BATCH], advance)

    def _export(self, ids: list[int] | None, advance: Advance) -> list[dict[str, Any]]:
        doing = f"reading the annotations of project {self.project}"
        with explained(doing):
            found = self._download(ids)
        if not isinstance(found, list):
            raise LabelStudioError(
                f"{doing}: expected a list of tasks, got {type(found).__name__}; is it version 1.23?"
            )
        advance(len(found))
        return found

    def _download(self, ids: list[int] | None) -> Any:
        from label_studio_sdk.core.api_error import ApiError

        # `ids` of the SDK is not what the server reads
        chosen: RequestOptions = {"additional_query_parameters": {"ids[]": [str(one) for one in ids]}} if ids else {}
        left = _TRIES
        while True:
            left -= 1
            try:
                chunks = self._client.projects.exports.download_sync(
                    self.project, export_type="JSON", download_all_tasks=ids is not None, request_options=chosen
                )
                return json.loads(b"".join(chunks))
            except (ApiError, json.JSONDecodeError) as error:
                if not left or (isinstance(error, ApiError) and (error.status_code or 0) < 500):
                    raise
            time.sleep(_PAUSE)

    def people(self) -> dict[int, str]:
        """The address of each annotator by id; none, where the key may not ask for them."""
        try:
            with explained("reading who the annotators are"):
                return {user.id: user.email for user in self._client.users.list() if user.id and user.email}
        except LabelStudioError as error:
            if error.status == 403:
                return {}
            raise


def as_utc(moment: object) -> str:
    """A moment as Label Studio gives it, as ISO 8601 in UTC that sorts by time: ``2026-03-10T09:30:00.000001Z``."""
    parsed = moment if isinstance(moment, datetime) else datetime.fromisoformat(str(moment))
    return parsed.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _rows(task: Any, doing: str) -> list[dict[str, Any]]:
    # an answer without annotations must never be taken for annotations that were deleted
    if not isinstance(task.annotations, list) or not all(isinstance(one, dict) for one in task.annotations):
        raise LabelStudioError(f"{doing}: expected the annotations of each task, got none; see the server's version")
    return task.annotations
