"""Linear and transformer part as one classifier: texts in, predictions out."""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from models import artifact, calibration
from models.errors import ArtifactError
from models.labels import LabelSchema
from models.linear import LinearModel
from models.records import FeedbackItem, ModelName, Prediction, Tier
from models.scores import Scores
from models.text import detect_language, normalise

if TYPE_CHECKING:
    from models.transformer import TransformerModel


@dataclass(frozen=True)
class PartScores:
    """What each part says about N texts: per task probabilities (N, K) in class order.

    ``transformer`` is None for a model without one. ``truncated`` tells per text whether the
    encoder saw only its beginning and end.
    """

    linear: Scores
    transformer: Scores | None
    truncated: list[bool]


@dataclass(frozen=True)
class Classifier:
    """A trained model. ``transformer`` is None where the linear part was trained alone."""

    schema: LabelSchema
    linear: LinearModel
    transformer: "TransformerModel | None"
    settings: calibration.Settings
    model: ModelName

    @classmethod
    def load(cls, folder: Path) -> "Classifier":
        """The model in ``folder``, verified file by file.

        Raises:
            ArtifactError: it is missing, damaged, of another format, or its files do not fit.
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
            # imported here, so that the linear part alone needs no torch
            from models.transformer import TransformerModel

            transformer = TransformerModel.load(folder / artifact.TRANSFORMER, schema)
        return cls(
            schema=schema,
            linear=LinearModel.load(folder / artifact.LINEAR, schema),
            transformer=transformer,
            settings=settings,
            model=ModelName(name=manifest.name, version=manifest.version),
        )

    def save(self, folder: Path) -> None:
        """Write everything but the manifest into ``folder``."""
        (folder / artifact.LABELS).write_text(self.schema.to_toml(), encoding="utf-8")
        self.linear.save(folder / artifact.LINEAR)
        if self.transformer is not None:
            self.transformer.save(folder / artifact.TRANSFORMER)
        calibration.save(self.settings, folder)

    def part_scores(self, texts: Sequence[str]) -> PartScores:
        """Probabilities of both parts for raw texts."""
        clean = [normalise(text) for text in texts]
        linear = self.linear.probabilities(clean)
        if self.transformer is None:
            return PartScores(linear, None, [False] * len(clean))
        return PartScores(linear, *self.transformer.probabilities(clean))

    def combine(self, parts: PartScores) -> Scores:
        """Probabilities of the whole, calibrated, from those of the parts."""
        return {
            name: self.settings.combined[name].combine(
                task, parts.linear[name], None if parts.transformer is None else parts.transformer[name]
            )
            for name, task in self.schema.tasks.items()
        }

    def predict(self, items: Sequence[FeedbackItem]) -> list[Prediction]:
        """One prediction per item, in order."""
        if not items:
            return []
        parts = self.part_scores([item.text for item in items])
        scores = self.combine(parts)
        tier: Tier = "linear" if self.transformer is None else "combined"
        return [
            Prediction(
                tasks={
                    name: self.settings.combined[name].answer(task, scores[name][row])
                    for name, task in self.schema.tasks.items()
                },
                language=item.language or detect_language(item.text),
                truncated=parts.truncated[row],
                tier=tier,
                model=self.model,
                label_schema=self.schema.digest,
            )
            for row, item in enumerate(items)
        ]
