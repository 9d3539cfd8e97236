"""From scores to an answer: how the parts are combined, what is chosen, when to abstain."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from models.errors import ArtifactError
from models.files import write_json
from models.labels import Task
from models.languages import tags_of
from models.records import TaskPrediction
from models.scope import Scope
from models.scores import Array, logits_of, probabilities_of

FILE = "calibration.json"
#: Stands for the label where none is chosen.
NO_LABEL = ""
Share = Annotated[float, Field(ge=0, le=1)]


class TaskCalibration(BaseModel):
    """How one task is answered.

    ``weight`` of the transformer in the average of probabilities (0: linear alone); the average's
    logits are divided by ``temperature`` (Guo et al. 2017). A single task chooses the label of the highest
    probability times its factor: ``factors``, in class order, are higher for rare labels, which the most probable
    one would all but leave out (Menon et al. 2021); none means 1. A multi task chooses every label of
    probability ``threshold`` or more, and with ``at_least_one`` the best one if none reaches it.
    Below a bound of its confidence the answer is marked for a person, always where the bound is 1. ``bounds``
    holds one per language ("" for any) and label (:data:`NO_LABEL` where none is chosen): that of the narrowest tag
    counts that a text is under (:func:`models.languages.tags_of`), then that of the label, then ``abstain_below``.
    The answer to a single task is also marked where its first two labels are nearer than ``gap``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    weight: Share = 0.5
    temperature: Annotated[float, Field(gt=0)] = 1.0
    factors: tuple[Annotated[float, Field(gt=0, le=1)], ...] = ()
    threshold: Share = 0.5
    at_least_one: bool = False
    abstain_below: Share = 0.0
    bounds: Mapping[str, Mapping[str, Share]] = {}
    gap: Share = 0.0

    def combine(self, task: Task, linear: Array, transformer: Array | None) -> Array:
        """Probabilities (N, K) of the whole from those of its parts."""
        mixed = linear if transformer is None else (1 - self.weight) * linear + self.weight * transformer
        return mixed if self.temperature == 1 else probabilities_of(task, logits_of(task, mixed) / self.temperature)

    def choose(self, task: Task, probabilities: Array) -> list[list[int]]:
        """Columns chosen for each row of (N, K), of several the most probable first."""
        if task.kind == "single":
            return [[int(column)] for column in self._weighted(probabilities).argmax(axis=1)]
        order = np.argsort(-probabilities, axis=1, kind="stable")
        counts = (probabilities >= self.threshold).sum(axis=1)
        least = 1 if self.at_least_one else 0
        chosen: list[list[int]] = [
            row[: max(count, least)].tolist() for row, count in zip(order, counts.tolist(), strict=True)
        ]
        return chosen

    def confidence(self, task: Task, probabilities: Array) -> NDArray[np.float64]:
        """How sure the answer to each row of (N, K) is, (N,), to six digits, as it is told: the probability of the
        first label chosen; where none is, that none applies."""
        best: Array = probabilities.max(axis=1)
        if task.kind == "single":
            chosen = self._weighted(probabilities).argmax(axis=1)
            best = np.take_along_axis(probabilities, chosen[:, None], axis=1)[:, 0]
        elif not self.at_least_one:
            best = np.where(best >= self.threshold, best, 1 - best)
        # bounds are read from what is told, or an answer would fall short of a bound that is its own confidence
        return np.asarray(np.round(best.astype(np.float64), 6), np.float64)

    def bound(self, label: str, language: str) -> float:
        """The confidence below which ``label`` as an answer to a text in ``language`` goes to a person."""
        for tag in (*tags_of(language), ""):
            if (found := self.bounds.get(tag, {}).get(label)) is not None:
                return found
        return self.abstain_below

    def answer(self, task: Task, row: Array, language: str = "") -> TaskPrediction:
        """The answer for one row (K,) of probabilities, of a text in ``language``."""
        return self.answers(task, row[None, :], [language])[0]

    def answers(self, task: Task, probabilities: Array, languages: Sequence[str]) -> list[TaskPrediction]:
        """The answers for rows (N, K) of probabilities, of texts in N languages."""
        chosen = self.choose(task, probabilities)
        sure = self.confidence(task, probabilities).tolist()
        close = self.ahead(probabilities) < self.gap if task.kind == "single" and self.gap else np.zeros(len(chosen))
        scores: list[float | None] = [None] * len(chosen)
        if task.values is not None:
            places = np.clip(probabilities @ np.asarray(task.values, np.float32), -1, 1)
            scores = np.round(places.astype(np.float64), 6).tolist()
        shown = np.round(probabilities.astype(np.float64), 6).tolist()
        return [
            TaskPrediction(
                labels=tuple(task.keys[column] for column in columns),
                confidence=confidence,
                abstained=bool(is_close)
                or self._doubts(confidence, task.keys[columns[0]] if columns else NO_LABEL, language),
                probabilities=dict(zip(task.keys, row, strict=True)),
                score=score,
            )
            for columns, confidence, is_close, row, score, language in zip(
                chosen, sure, close, shown, scores, languages, strict=True
            )
        ]

    def _doubts(self, confidence: float, label: str, language: str) -> bool:
        bound = self.bound(label, language)
        return bound >= 1 or confidence < bound

    def ahead(self, probabilities: Array) -> Array:
        """How far the first label of each row of (N, K) is before the second, (N,), as they are chosen by."""
        weighted = self._weighted(probabilities)
        two = np.sort(weighted / weighted.sum(axis=1, keepdims=True), axis=1)[:, -2:]
        gap: Array = two[:, 1] - two[:, 0]
        return gap

    def _weighted(self, probabilities: Array) -> Array:
        return probabilities * np.asarray(self.factors, np.float32) if self.factors else probabilities


#: Per task how it is answered.
Calibration = Mapping[str, TaskCalibration]


class Cascade(BaseModel):
    """From which confidence on the linear part answers a task alone.

    ``share`` of the rows of dev that it answered so, and ``cost``: the macro-F1 that was lost by
    it there at most, the upper end of a one-sided interval at 95 %.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    sure_from: Share
    share: Share
    cost: float


class Settings(BaseModel):
    """Calibration of the whole, and of each part alone, which is how a part is measured beside it.

    ``cascade``: tasks that the linear part may answer alone; a text is, where all tasks may be and
    the linear part is sure of all of them. ``scope``: which texts are of the kind the model learned
    from; None where there were too few to tell. ``out_of_scope``: labels that say in data that a text
    is not.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    combined: Calibration
    linear: Calibration
    transformer: Calibration = {}
    cascade: Mapping[str, Cascade] = {}
    scope: Scope | None = None
    out_of_scope: tuple[str, ...] = ()

    @classmethod
    def untuned(cls, tasks: Iterable[str]) -> Self:
        """Defaults for every task."""
        plain = {task: TaskCalibration() for task in tasks}
        return cls(combined=plain, linear=plain, transformer=plain)


def save(settings: Settings, folder: Path) -> None:
    """Write the settings of all tasks into ``folder``."""
    write_json(folder / FILE, settings.model_dump())


def load(folder: Path) -> Settings:
    """Read what :func:`save` wrote; ArtifactError if it is not of this format."""
    try:
        return Settings.model_validate_json((folder / FILE).read_bytes())
    except ValueError as error:
        raise ArtifactError(f"{folder / FILE}: not a calibration of this version: {error}") from None
