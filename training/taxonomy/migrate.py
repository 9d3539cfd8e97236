"""A migration from its first look to its last write: everything is checked before anything is changed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.migration.parts import Line, Part
from models.progress import Progress
from training.taxonomy.queue import joined, read_queue, write_queue


@dataclass(frozen=True)
class Planned:
    """What a migration would do: lines of the plan, records that are to be labelled again, and words for a person."""

    lines: list[Line]
    queue: list[dict[str, Any]]
    notes: list[str]


def plan(parts: Sequence[Part], queue: Path, progress: Progress) -> Planned:
    """Look at everything; nothing changes.

    Args:
        parts: what is to be migrated.
        queue: file of what is to be labelled again, which a run that was stopped may have left.
        progress: told of each part.

    Raises:
        FeedbackError: a part cannot be migrated.
    """
    found = [part.plan(progress) for part in parts]
    return Planned(
        [line for one in found for line in one.lines],
        joined(*(one.queue for one in found), read_queue(queue)),
        [note for one in found for note in one.notes],
    )


def apply(parts: Sequence[Part], planned: Planned, queue: Path, progress: Progress, say: Callable[[str], None]) -> None:
    """Change everything, in the order of the parts. What is to be labelled again is on disk before.

    Raises:
        FeedbackError: a part failed; those before are done, and the same call finishes the others.
    """
    if planned.queue:
        write_queue(queue, planned.queue)
    for part in parts:
        for word in part.apply(planned.queue, progress):
            say(word)
