"""The model in BentoML as its documentation shows it, with adaptive batching: for comparison.

The answer is a list of plain objects: of a list of models BentoML would make the JSON schema for every request, which
takes longer than all else. Nothing is written to a log, as with ours.
"""

import os
from pathlib import Path
from typing import Any

from models.threads import calm_barriers

calm_barriers()

import bentoml  # noqa: E402  (compute libraries are loaded after their settings)

from models.classifier import Classifier  # noqa: E402
from models.records import FeedbackItem  # noqa: E402


@bentoml.service(name="peer", logging={"access": {"enabled": False}})
class Peer:
    """Predictions for texts."""

    def __init__(self) -> None:
        self._classifier = Classifier.load(Path(os.environ["FEEDBACK_MODEL"]), 1)

    @bentoml.api(route="/classify", batchable=True)  # type: ignore[untyped-decorator]  # no types
    def classify(self, texts: list[str]) -> list[dict[str, Any]]:
        """A prediction for each text."""
        predictions = self._classifier.predict([FeedbackItem(text=text) for text in texts])
        return [prediction.model_dump(mode="json", by_alias=True) for prediction in predictions]
