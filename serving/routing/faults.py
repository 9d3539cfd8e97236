"""What is wrong in a rules file, and where."""

from typing import Literal, NamedTuple

Severity = Literal["error", "warning", "note"]
#: Keys and positions that lead to a value of a TOML document.
Path = tuple[str | int, ...]


class Fault(NamedTuple):
    """Something that keeps a rules file from being used, at a place of its document."""

    path: Path
    message: str


class Finding(NamedTuple):
    """What a check says about a rules file. ``code`` names the kind of finding; ``line`` counts from 1; ``file`` is
    the name of another file that it is about."""

    severity: Severity
    code: str
    message: str
    line: int | None = None
    file: str | None = None
