"""The items that were chosen for labelers, as the state of a project knows them: known, waiting to be sent, open."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from labeling.state import FOLDER, State
from labeling.studio.tasks import version_of
from models.errors import ConfigError
from models.records import FeedbackItem, Prediction

if TYPE_CHECKING:
    from labeling.choice.selection import Candidate, Selection

#: Marks in the state: what decides all chance of a project, and the model that its tasks are being changed to.
_SEED, _UPDATING = "seed", "updating_to"

# these two are written into statements; nothing from outside is
_FIELDS = "item_id, task_id, record, prediction, model_version, blind"
#: No answer is known; one that was deleted is none.
_OPEN = "(task_id IS NULL OR task_id NOT IN (SELECT task_id FROM annotations WHERE state != 'deleted'))"


class Chosen(NamedTuple):
    """An item in the state; ``task_id`` is None until the server has told it."""

    item_id: str
    task_id: int | None
    item: FeedbackItem
    prediction: Prediction | None
    model_version: str | None
    blind: bool

    @property
    def shown(self) -> Prediction | None:
        """The prediction that a labeler is shown."""
        return None if self.blind else self.prediction


def state_file(url: str, project: int, folder: Path = FOLDER) -> Path:
    """Where what is known of a project of the server at ``url`` is kept."""
    parts = urlsplit(url)
    place = f"{parts.netloc}{parts.path}".strip("/").replace("/", "-").replace(":", "-") or "label-studio"
    return folder / f"{place}-project-{project}.db"


def known_texts(state: State) -> dict[str, str]:
    """The text of every item that was chosen, by its id."""
    return {row[0]: row[1] for row in state.rows("SELECT item_id, json_extract(record, '$.text') FROM items")}


def unsent(state: State) -> list[Chosen]:
    """Items of which the server has not told a task, in the order in which they were chosen."""
    return _read(state, "task_id IS NULL")


def open_items(state: State, gone: Iterable[int] = ()) -> list[Chosen]:
    """Items that nobody has answered, as far as is known; ``gone`` are tasks that the server does not have any more."""
    missing = set(gone)
    found = _read(state, _OPEN)
    return [one for one in found if one.task_id not in missing]


def answered_items(state: State, gone: Iterable[int] = ()) -> list[Chosen]:
    """The others that were sent: somebody has answered or skipped them; of several annotators maybe only one."""
    missing = set(gone)
    found = _read(state, f"NOT {_OPEN}")
    return [one for one in found if one.task_id not in missing]


def task_ids(state: State) -> dict[str, int]:
    """The task of every item that was sent, by the item's id."""
    return {row[0]: row[1] for row in state.rows("SELECT item_id, task_id FROM items WHERE task_id IS NOT NULL")}


def add(state: State, selection: "Selection", shown: "Sequence[Candidate]") -> None:
    """Write what was chosen, before anything of it is sent; and which known items are in the audit now.

    Args:
        state: where it is written.
        selection: what was chosen.
        shown: the same candidates in the same order, each with the prediction that is shown.
    """
    now = _now()
    rows = []
    for chosen, candidate in zip(selection.chosen, shown, strict=True):
        said = candidate.prediction
        named = None if said is None else version_of(said)
        record = candidate.item.model_dump_json(exclude_unset=True)
        text = None if said is None else said.model_dump_json()
        rows.append((candidate.id, record, chosen.why, chosen.probability, int(chosen.blind), text, named, now))
    with state.changing() as connection:
        connection.executemany(
            "INSERT INTO items (item_id, record, why, probability, blind, prediction, model_version, chosen_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            rows,
        )
        connection.executemany(
            "UPDATE items SET probability = max(coalesce(probability, 0), ?) WHERE item_id = ?",
            [(selection.rate, item_id) for item_id in selection.known_in_audit],
        )


def set_tasks(state: State, tasks: Mapping[str, int]) -> None:
    """Write which task each item is, by the item's id."""
    now = _now()
    with state.changing() as connection:
        connection.executemany(
            "UPDATE items SET task_id = ?, pushed_at = coalesce(pushed_at, ?) WHERE item_id = ?",
            [(task_id, now, item_id) for item_id, task_id in tasks.items()],
        )


def set_predictions(state: State, shown: Sequence[tuple[Chosen, Prediction | None]]) -> None:
    """Write what these items are shown now; the update that :func:`begin_update` began is over."""
    with state.changing() as connection:
        connection.executemany(
            "UPDATE items SET prediction = ?, model_version = ? WHERE item_id = ?",
            [(said and said.model_dump_json(), said and version_of(said), one.item_id) for one, said in shown],
        )
        connection.execute("DELETE FROM marks WHERE name = ?", (_UPDATING,))


def begin_update(state: State, version: str) -> None:
    """Write that tasks are being changed to a model."""
    with state.changing() as connection:
        connection.execute("INSERT OR REPLACE INTO marks VALUES (?, ?)", (_UPDATING, version))


def interrupted_update(state: State) -> str | None:
    """The model that tasks were being changed to when that was interrupted; None if it was not."""
    return next((row[0] for row in state.rows("SELECT value FROM marks WHERE name = ?", _UPDATING)), None)


def seed_of(state: State, default: int) -> int:
    """What decides all chance of this project; the default before its first push."""
    return next((int(row[0]) for row in state.rows("SELECT value FROM marks WHERE name = ?", _SEED)), default)


def settle_seed(state: State, seed: int | None, default: int) -> int:
    """What decides all chance of this project: fixed by its first push, since lots are drawn once.

    Raises:
        ConfigError: another ``seed`` is given than that of the first push.
    """
    with state.changing() as connection:
        row = connection.execute("SELECT value FROM marks WHERE name = ?", (_SEED,)).fetchone()
        if row is None:
            row = (str(default if seed is None else seed),)
            connection.execute("INSERT INTO marks VALUES (?, ?)", (_SEED, row[0]))
    if seed is not None and seed != int(row[0]):
        raise ConfigError(
            f"--seed {seed}: this project was begun with {row[0]}, and with another its audit would be no sample;"
            " leave it out"
        )
    return int(row[0])


def _read(state: State, condition: str) -> list[Chosen]:
    statement = f"SELECT {_FIELDS} FROM items WHERE {condition} ORDER BY rowid"  # noqa: S608  (words of this module alone)
    return [
        Chosen(
            row["item_id"],
            row["task_id"],
            FeedbackItem.model_validate_json(row["record"]),
            None if row["prediction"] is None else Prediction.model_validate(json.loads(row["prediction"])),
            row["model_version"],
            bool(row["blind"]),
        )
        for row in state.rows(statement)
    ]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
