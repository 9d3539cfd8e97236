"""What becomes of labels when the taxonomy changes: the value that everything which holds labels is migrated by."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from models.labels import LabelSchema

#: Labels by task that mean several things since a label was split: those that were given before.
Unsettled = dict[str, tuple[str, ...]]


class Moved(NamedTuple):
    """Labels as they are called now. ``unsettled``: one of those before was split, and nobody knows which of its
    successors is meant; ``labels`` are the others."""

    labels: tuple[str, ...]
    unsettled: bool = False


@dataclass(frozen=True)
class TaskMoves:
    """What becomes of the labels of one task; those that are named nowhere stay.

    ``to`` is the one label that another became; ``split`` has the successors of each that was split; ``retired`` are
    those that became nothing. No label that is left here is one that something becomes, so that what is migrated twice
    changes once.
    """

    single: bool
    to: Mapping[str, str]
    split: Mapping[str, tuple[str, ...]]
    retired: frozenset[str]

    @property
    def gone(self) -> frozenset[str]:
        """Labels that there are no more."""
        return frozenset((*self.to, *self.split, *self.retired))

    def successors(self, label: str) -> tuple[str, ...]:
        """What a label may be called now: several if it was split, none if it was retired."""
        if label in self.retired:
            return ()
        return self.split.get(label) or (self.to.get(label, label),)

    def move(self, labels: Sequence[str]) -> Moved:
        """Labels of one item as they are called now, in their order, each once."""
        kept = [label for label in labels if label not in self.split]
        found = tuple(dict.fromkeys(new for label in kept for new in self.successors(label)))
        return Moved(found, len(kept) < len(labels))


@dataclass(frozen=True)
class Migration:
    """A change of the taxonomy.

    Args:
        digest: tells it from every other, and stands in the schema that it made.
        tasks: what becomes of labels, by task; others stay as they are.
        old: the schema before; None where that is migrated already.
        new: the schema after.
    """

    digest: str
    tasks: Mapping[str, TaskMoves]
    old: LabelSchema | None
    new: LabelSchema

    def touches(self, task: str, labels: Sequence[str]) -> bool:
        """Whether any of these labels is called otherwise now."""
        moves = self.tasks.get(task)
        return moves is not None and not moves.gone.isdisjoint(labels)

    def move(self, task: str, labels: Sequence[str]) -> Moved:
        """Labels of one item for a task as they are called now."""
        moves = self.tasks.get(task)
        return Moved(tuple(labels)) if moves is None else moves.move(labels)

    def answers(self, given: Mapping[str, Sequence[str]]) -> tuple[dict[str, list[str]], Unsettled]:
        """Labels by task as they are called now; a task that is unsettled is left out, and told beside with the labels
        before. So is one with a single answer that was retired: there is none any more, and nothing to ask."""
        kept: dict[str, list[str]] = {}
        unsettled: Unsettled = {}
        for task, labels in given.items():
            moved = self.move(task, labels)
            if moved.unsettled:
                unsettled[task] = tuple(labels)
            elif moved.labels or not labels or not self.tasks[task].single:
                kept[task] = list(moved.labels)
        return kept, unsettled

    def prediction(self, said: Mapping[str, Any]) -> dict[str, Any]:
        """A :class:`models.records.Prediction` as JSON, with labels as they are called now.

        What became one label has the sum of the probabilities, in a task with several answers the largest. A label that
        was split is left out, and the task counts as one that the model abstained from. ``schema`` stays: it tells
        which labels the model had.
        """
        tasks = said["tasks"]
        return {**said, "tasks": {name: self._answer(name, answer) for name, answer in tasks.items()}}

    def _answer(self, task: str, answer: Mapping[str, Any]) -> dict[str, Any]:
        moves = self.tasks.get(task)
        if moves is None or moves.gone.isdisjoint((*answer["labels"], *answer["probabilities"])):
            return dict(answer)
        moved = moves.move(answer["labels"])
        probabilities: dict[str, float] = {}
        for label, value in answer["probabilities"].items():
            if label in moves.split or label in moves.retired:
                continue
            (new,) = moves.successors(label)
            before = probabilities.get(new, 0.0)
            probabilities[new] = min(1.0, before + value) if moves.single else max(before, value)
        found = {**answer, "labels": list(moved.labels), "probabilities": probabilities}
        if moved.labels:
            found["confidence"] = probabilities.get(moved.labels[0], answer["confidence"])
        found["abstained"] = answer["abstained"] or moved.unsettled or (moves.single and not moved.labels)
        return found
