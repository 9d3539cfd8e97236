"""The parts of a migration: everything that holds labels is migrated by the package that owns it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from models.migration.moves import Migration
from models.progress import Progress


@dataclass(frozen=True)
class Named:
    """What is to be migrated, as it was named on the command line; what was not named stays.

    ``relabel`` is how many stored items at most, which only a model labelled, are put to people; ``url`` is the address
    of Label Studio, None: that of the environment.
    """

    rules: Path | None = None
    cases: Path | None = None
    store: str | None = None
    project: int | None = None
    url: str | None = None
    relabel: int = 200


class Line(NamedTuple):
    """A line of a plan: in what, of what, how many change, and how many of these are to be labelled again."""

    where: str
    what: str
    changes: int
    relabel: int = 0


@dataclass
class Plan:
    """What a part would change.

    ``queue`` are records to be labelled again, with the labels before under `unsettled` in ``meta``; ``notes`` are for
    a person.
    """

    lines: list[Line] = field(default_factory=list)
    queue: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class Part(Protocol):
    """Something that holds labels. What is migrated already changes no more, so that a migration that was stopped is
    finished by doing it again."""

    def plan(self, progress: Progress) -> Plan:
        """Check all that can be checked, and tell what would change; nothing changes.

        Raises:
            FeedbackError: it cannot be migrated, and why.
        """

    def apply(self, queue: Sequence[dict[str, Any]], progress: Progress) -> list[str]:
        """Change it, all or nothing where that can be had; what a person should know of what was done.

        Args:
            queue: all records that are to be labelled again, of every part.
            progress: told of what is done.
        """


#: The parts that a package has of what was named; raises FeedbackError where one cannot be opened.
Parts = Callable[[Migration, Named], list[Part]]
