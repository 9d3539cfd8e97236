"""What a model says of candidates, and how far its two parts are apart."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from labeling.choice.selection import Candidate
from models.classifier import Classifier, PartScores, language_of
from models.progress import Progress
from models.scores import Array

_CHUNK = 256


def with_opinions(classifier: Classifier, candidates: Sequence[Candidate], progress: Progress) -> list[Candidate]:
    """The candidates, each with a new prediction; and, where the model has two parts, with their disagreement."""
    found: list[Candidate] = []
    with progress.stage("classifying", len(candidates), "texts") as advance:
        for start in range(0, len(candidates), _CHUNK):
            chunk = candidates[start : start + _CHUNK]
            parts = classifier.part_scores([candidate.item.text for candidate in chunk])
            predictions = classifier.predictions(parts, [language_of(candidate.item) for candidate in chunk])
            apart = disagreement(classifier, parts)
            found += [
                replace(candidate, prediction=said, disagreement=None if apart is None else float(apart[row]))
                for row, (candidate, said) in enumerate(zip(chunk, predictions, strict=True))
            ]
            advance(len(chunk))
    return found


def disagreement(classifier: Classifier, parts: PartScores) -> Array | None:
    """How far the two parts are apart on N texts, (N,) in [0, 1]: on the task on which they are the farthest.

    It is the distance in variation of what each says alone, calibrated: of a task with one answer half the sum over
    labels of the differences, of one with several the largest difference. A committee of two, as in query by committee
    (Seung et al. 1992). None where the model has one part.
    """
    if parts.transformer is None:
        return None
    settings, found = classifier.settings, []
    for name, task in classifier.schema.tasks.items():
        linear = settings.linear[name].combine(task, parts.linear[name], None)
        # each part alone is averaged with nothing
        other = parts.transformer[name]
        if name in settings.transformer:
            other = settings.transformer[name].combine(task, other, None)
        gap = np.abs(linear - other)
        found.append(gap.sum(axis=1) / 2 if task.kind == "single" else gap.max(axis=1))
    farthest: Array = np.max(found, axis=0)
    return farthest
