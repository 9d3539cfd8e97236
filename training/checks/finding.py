"""What a check of the data found."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

#: How many rows of a finding are named.
EXAMPLES = 10


@dataclass(frozen=True)
class Finding:
    """One fault of the data, with how many rows have it and the first of them.

    Attributes:
        check: the name of the check, as ``--strict`` takes it.
        message: what was found, for a person, with the numbers and what to do.
        rows: how many rows are concerned.
        examples: places of some of them, those that belong together in one; with a doubtful label, what is doubted.
        details: numbers for machines.
    """

    check: str
    message: str
    rows: int
    examples: Sequence[Sequence[str]] = ()
    details: Mapping[str, Any] | None = None

    def as_json(self) -> dict[str, Any]:
        """The finding as it stands in reports."""
        return {key: value for key, value in asdict(self).items() if value is not None}
