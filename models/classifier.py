"""Linear and transformer part as one classifier: texts in, predictions out."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models import artifact, calibration
from models.errors import ArtifactError
from models.labels import LabelSchema
from models.linear import LinearModel
from models.reading import Reader
from models.records import FeedbackItem, ModelName, Prediction, TaskPrediction, Tier
from models.runtimes.runtime import Name
from models.scope import Centres, familiarity
from models.scores import Array, Scores
from models.text import detect_language, normalise


def language_of(item: FeedbackItem) -> str:
    """The language an item says it is in, or else looks like."""
    return item.language or detect_language(item.text)


@dataclass(frozen=True)
class PartScores:
    """What each part says about N texts: per task probabilities (N, K) in class order.

    ``transformer`` is None for a model without one. ``truncated`` tells per text whether the
    encoder saw only its beginning and end. ``unknown`` (N) and ``distance`` (N) tell how strange
    the texts are to the one and the other part; see :mod:`models.scope`.
    """

    linear: Scores
    transformer: Scores | None
    truncated: list[bool]
    unknown: Array
    distance: Array | None = None


@dataclass(frozen=True)
class Answers:
    """What is said to N texts: calibrated probabilities (N, K) per task, the answer to each task,
    which part gave them all, how familiar the texts are (None: not known), and which are out of scope."""

    probabilities: Scores
    tasks: Mapping[str, list[TaskPrediction]]
    tiers: list[Tier]
    familiarity: list[float] | None
    out_of_scope: list[bool]


@dataclass(frozen=True)
class Classifier:
    """A trained model. ``transformer`` is None where the linear part was trained alone; ``centres``, of the
    texts that it was trained on, are None where there were too few."""

    schema: LabelSchema
    linear: LinearModel
    transformer: Reader | None
    settings: calibration.Settings
    model: ModelName
    centres: Centres | None = None

    @classmethod
    def load(cls, folder: Path, threads: int | None = None, runtime: Name | None = None) -> "Classifier":
        """The model in ``folder``, verified file by file.

        Its encoder is run by ``runtime``, or by the fastest that was admitted for it, with ``threads`` compute threads;
        None means the free cores.

        Raises:
            ArtifactError: it is missing, damaged, of another format, or its files do not fit.
            ConfigError: the runtime that is asked for is not to be had.
        """
        manifest = artifact.verify(folder)
        schema = LabelSchema.model_validate(tomllib.loads((folder / artifact.LABELS).read_text(encoding="utf-8")))
        if schema.digest != manifest.label_schema:
            raise ArtifactError(f"{folder}: the label schema is not the one the model was trained with; train it anew")
        settings = calibration.load(folder)
        if set(settings.combined) != set(schema.tasks):
            raise ArtifactError(
                f"{folder}: the calibration is for tasks {sorted(settings.combined)}, not {sorted(schema.tasks)}"
            )
        transformer = None
        if (folder / artifact.TRANSFORMER).is_dir():
            # imported here: the linear part alone needs none of it
            from models.runtimes.choice import load_reader

            transformer = load_reader(folder / artifact.TRANSFORMER, schema, manifest.version, threads, runtime)
        return cls(
            schema=schema,
            linear=LinearModel.load(folder / artifact.LINEAR, schema),
            transformer=transformer,
            settings=settings,
            model=ModelName(name=manifest.name, version=manifest.version),
            centres=Centres.load(folder / artifact.TRANSFORMER),
        )

    def save(self, folder: Path) -> None:
        """Write everything but the manifest into ``folder``."""
        (folder / artifact.LABELS).write_text(self.schema.to_toml(), encoding="utf-8")
        self.linear.save(folder / artifact.LINEAR)
        if self.transformer is not None:
            self.transformer.save(folder / artifact.TRANSFORMER)
        if self.centres is not None:
            self.centres.save(folder / artifact.TRANSFORMER)
        calibration.save(self.settings, folder)

    def part_scores(self, texts: Sequence[str]) -> PartScores:
        """What both parts say about raw texts."""
        clean = [normalise(text) for text in texts]
        linear, unknown = self.linear.read(clean)
        if self.transformer is None:
            return PartScores(linear, None, [False] * len(clean), unknown)
        reading = self.transformer.read(clean)
        distance = None if self.centres is None else self.centres.distance(reading.vectors)
        return PartScores(linear, reading.scores, reading.truncated, unknown, distance)

    def answers(self, parts: PartScores, languages: Sequence[str]) -> Answers:
        """What is said to N texts in these languages, of which the parts say this; see :class:`Answers`."""
        alone = self._answered_alone(parts.linear, parts.unknown, languages)
        known = self._familiarity(parts, alone, languages)
        strange: NDArray[np.bool_] = np.zeros(len(alone), bool)
        if known is not None and self.settings.scope is not None:
            strange = known < self.settings.scope.share
        probabilities: Scores = {}
        tasks: dict[str, list[TaskPrediction]] = {}
        for name, task in self.schema.tasks.items():
            linear, whole = self.settings.linear[name], self.settings.combined[name]
            other = None if parts.transformer is None else parts.transformer[name]
            mixed = whole.combine(task, parts.linear[name], other)
            if alone.any():
                mixed[alone] = linear.combine(task, parts.linear[name][alone], None)
            probabilities[name] = mixed
            given = whole.answers(task, mixed, languages)
            if alone.any():
                given = [
                    linear.answer(task, row, language) if by_itself else answer
                    for answer, row, by_itself, language in zip(given, mixed, alone, languages, strict=True)
                ]
            tasks[name] = [
                answer.model_copy(update={"abstained": True}) if odd else answer
                for answer, odd in zip(given, strange, strict=True)
            ]
        without = alone if parts.transformer is not None else np.ones_like(alone)
        return Answers(
            probabilities,
            tasks,
            ["linear" if tier else "combined" for tier in without],
            None if known is None else [round(float(share), 4) for share in known],
            strange.tolist(),
        )

    def predict(self, items: Sequence[FeedbackItem]) -> list[Prediction]:
        """One prediction per item, in order; items that say the same in the same language are answered once."""
        if not items:
            return []
        asked = [(normalise(item.text), language_of(item)) for item in items]
        different = {each: row for row, each in enumerate(dict.fromkeys(asked))}
        texts, languages = zip(*different, strict=True)
        found = self.predictions(self._scores_as_needed(texts, languages), languages)
        return [found[different[each]] for each in asked]

    def predictions(self, parts: PartScores, languages: Sequence[str]) -> list[Prediction]:
        """The predictions of N texts in these languages, of which the parts say this."""
        answers = self.answers(parts, languages)
        return [
            Prediction(
                tasks={name: found[row] for name, found in answers.tasks.items()},
                language=languages[row],
                familiarity=None if answers.familiarity is None else answers.familiarity[row],
                out_of_scope=answers.out_of_scope[row],
                truncated=parts.truncated[row],
                tier=answers.tiers[row],
                model=self.model,
                label_schema=self.schema.digest,
            )
            for row in range(len(languages))
        ]

    def probabilities(self, texts: Sequence[str], tier: Tier) -> Scores:
        """Calibrated probabilities (N, K) per task of raw texts, all given by the same part; for comparing texts."""
        parts = self.part_scores(texts)
        found: Scores = {}
        for name, task in self.schema.tasks.items():
            if tier == "linear":
                alone = self.settings.combined if parts.transformer is None else self.settings.linear
                found[name] = alone[name].combine(task, parts.linear[name], None)
            else:
                other = None if parts.transformer is None else parts.transformer[name]
                found[name] = self.settings.combined[name].combine(task, parts.linear[name], other)
        return found

    def _scores_as_needed(self, texts: Sequence[str], languages: Sequence[str]) -> PartScores:
        """What both parts say, the transformer only where the linear part is not sure; else NaN."""
        linear, unknown = self.linear.read(texts)
        truncated = [False] * len(texts)
        if self.transformer is None:
            return PartScores(linear, None, truncated, unknown)
        rows = np.flatnonzero(~self._answered_alone(linear, unknown, languages))
        scores: Scores = {name: np.full_like(found, np.nan) for name, found in linear.items()}
        distance = None if self.centres is None else np.full(len(texts), np.nan, np.float32)
        if len(rows):
            reading = self.transformer.read([texts[row] for row in rows])
            for name, values in reading.scores.items():
                scores[name][rows] = values
            for row, is_cut in zip(rows, reading.truncated, strict=True):
                truncated[row] = is_cut
            if self.centres is not None and distance is not None:
                distance[rows] = self.centres.distance(reading.vectors)
        return PartScores(linear, scores, truncated, unknown, distance)

    def _answered_alone(self, linear: Scores, unknown: Array, languages: Sequence[str]) -> NDArray[np.bool_]:
        """For each of N texts whether the linear part, which says this, is sure enough of every task, and knows
        enough of its words."""
        size = len(unknown)
        sure = np.full(size, self.transformer is not None and set(self.settings.cascade) == set(self.schema.tasks))
        for name, bound in self.settings.cascade.items():
            task, setting = self.schema.tasks[name], self.settings.linear[name]
            sure &= setting.confidence(task, setting.combine(task, linear[name], None)) >= bound.sure_from
        scope = self.settings.scope
        return sure if scope is None else sure & (familiarity(scope.unknown, unknown, languages) >= scope.share)

    def _familiarity(self, parts: PartScores, alone: NDArray[np.bool_], languages: Sequence[str]) -> Array | None:
        """How familiar each of N texts is, by the part that answers it (N); None where that is not known."""
        scope = self.settings.scope
        if scope is None:
            return None
        by_words = familiarity(scope.unknown, parts.unknown, languages)
        if parts.transformer is None:
            return by_words
        if scope.distance is None or parts.distance is None:
            return None
        return np.where(alone, by_words, familiarity(scope.distance, parts.distance, languages))
