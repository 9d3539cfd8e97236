"""What an encoder is measured on: tasks over labelled feedback, named in a TOML file."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from models.errors import DataError
from models.readers import read_items
from models.records import LabeledItem
from models.rejects import Reject
from training.config import load_file
from training.datasets import of_each, ranked

Metric = Literal["macro_f1", "micro_f1", "accuracy"]


class Task(BaseModel):
    """Train on some rows, test on others.

    ``test_languages`` of several are measured one by one, with the one model. ``per_label`` rows of
    each label, where given, are all that is trained on. ``first_only`` leaves the encoders after the
    first out, where nobody expects them ahead: it saves their time. Files are relative to the data folder, or
    to the suite.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    train: str
    test: str
    task: Literal["category", "sentiment"]
    metric: Metric = "macro_f1"
    train_language: str | None = None
    test_languages: tuple[str, ...] = ()
    per_label: Annotated[int, Field(ge=1)] | None = None
    first_only: bool = False
    settings: dict[str, str | int | float] = {}


class Suite(BaseModel):
    """Tasks, and most rows to train and test on; a sample by a hash of the text where there are more."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    train_rows: Annotated[int, Field(ge=1)] = 3000
    test_rows: Annotated[int, Field(ge=1)] = 1500
    tasks: Annotated[tuple[Task, ...], Field(alias="task", min_length=1)]


def load_suite(file: Path) -> Suite:
    """The suite in ``file``; ConfigError with every fault at once."""
    return load_file(Suite, file, "suite")


def rows_of(file: Path, task: Task, languages: Sequence[str]) -> list[LabeledItem]:
    """Rows labelled for the task, in one of ``languages`` if any are given, in the order of a hash of their text.

    Raises:
        DataError: there are none.
    """
    found = [item for item in read_items(file) if not isinstance(item, Reject) and item.labels(task.task) is not None]
    found = [_only(item, task) for item in found if not languages or item.language in languages]
    if not found:
        wanted = f" in {', '.join(languages)}" if languages else ""
        raise DataError(f"{file}: expected rows labelled for {task.task}{wanted}, got none")
    return ranked(found)


def sample(rows: Sequence[LabeledItem], task: Task, most: int, seed: int) -> list[LabeledItem]:
    """The rows to train on: at most ``most``, or ``per_label`` of each label, another choice for each seed."""
    found = ranked(rows, seed)
    return found[:most] if task.per_label is None else of_each(found, task.task, task.per_label)


def find(file: str, folders: Iterable[Path]) -> Path:
    """``file`` in the first of ``folders`` that has it; DataError if none does."""
    tried = [folder / file for folder in folders]
    for path in tried:
        if path.is_file():
            return path
    raise DataError(f"{file}: no such file; looked for {', '.join(map(str, tried))}")


def _only(item: LabeledItem, task: Task) -> LabeledItem:
    """The item without labels of other tasks."""
    other: dict[str, Any] = {"sentiment": None} if task.task == "category" else {"category": None, "categories": None}
    return item.model_copy(update=other)
