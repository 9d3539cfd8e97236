"""The project's own ways to answer: each runtime, the runtime that is chosen, the cascade, the n-grams alone."""

from collections.abc import Sequence
from pathlib import Path

from models import artifact
from models.classifier import Classifier
from models.errors import ArtifactError
from models.reading import Reading
from models.records import FeedbackItem
from models.runtimes.admission import Admission
from models.runtimes.choice import open_reader, runs_here
from models.runtimes.runtime import REFERENCE, Name
from models.scores import Array
from training.bench.speed.contender import Contender

#: What the others are held against: their times, and whether they say the same.
CHOSEN, CASCADE, LINEAR = "ours, fastest runtime", "ours, with the cascade", "ours, n-grams alone"


def ours(folder: Path, classifier: Classifier, task: str) -> list[Contender]:
    """All of them, with one thread; ``classifier`` is the model in ``folder``, run by its fastest runtime.

    Raises:
        ArtifactError: the model has no transformer part.
    """
    chosen, linear = classifier.transformer, classifier.linear
    if chosen is None:
        raise ArtifactError(
            f"{folder}: expected a model with an encoder, got one of n-grams alone; give another --model"
        )

    def fastest(texts: Sequence[str]) -> Array:
        return chosen.read(texts).scores[task]

    def cascade(texts: Sequence[str]) -> None:
        classifier.predict([FeedbackItem(text=text) for text in texts])

    part = folder / artifact.TRANSFORMER
    names = [name for name in Admission.load(part).names if runs_here(name)]
    return [
        Contender(CHOSEN, "encoder", fastest, equal=True),
        *(_in_runtime(part, classifier, name, task) for name in names),
        Contender(CASCADE, "encoder", cascade),
        Contender(LINEAR, "n-grams", lambda texts: linear.read(texts)[0][task]),
    ]


def reference(folder: Path, classifier: Classifier, texts: Sequence[str]) -> Reading:
    """What torch in float32 says."""
    return open_reader(folder / artifact.TRANSFORMER, classifier.schema, REFERENCE, 1).read(texts)


def _in_runtime(part: Path, classifier: Classifier, name: Name, task: str) -> Contender:
    reader = open_reader(part, classifier.schema, name, 1)
    return Contender(f"ours, {name}", "encoder", lambda texts: reader.read(texts).scores[task], equal=True)
