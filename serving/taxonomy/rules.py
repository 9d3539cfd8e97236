"""Routing rules and their cases, as a part of a migration."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from models.errors import RulesError, as_list
from models.files import atomic_write
from models.migration.moves import Migration
from models.migration.parts import Line, Plan
from models.progress import Progress
from serving.routing.cases import beside
from serving.routing.check import Report, check
from serving.routing.label_places import Edited, edited, places_in_cases, places_in_rules
from serving.routing.load import in_words, read_text, unreadable


class RulesFiles:
    """A rules file with its cases; labels are changed where they stand, all else stays as it is.

    Args:
        rules: the rules; None: cases alone.
        cases: their cases; None: those beside the rules, if there are any.
        migration: what becomes of labels.
    """

    def __init__(self, rules: Path, cases: Path | None, migration: Migration) -> None:
        self._rules, self._migration = rules, migration
        self._cases = cases or (beside(rules) if beside(rules).exists() else None)

    def plan(self, progress: Progress) -> Plan:
        """How many labels change.

        Raises:
            RulesError: the rules would not be fit for use any more, and why.
        """
        found = self._edited()
        with progress.stage(f"checking {self._rules}"):
            report = self._checked(found)
        plan = Plan([Line(str(path), "labels", one.changes) for path, one in found.items()])
        plan.notes += [report.line(one) for one in report.of("warning")]
        return plan

    def apply(self, queue: Sequence[dict[str, Any]], progress: Progress) -> list[str]:
        """Write what changes."""
        for path, one in self._edited().items():
            if one.changes:
                with atomic_write(path, "wb") as file:
                    file.write((_BOM if path.read_bytes().startswith(_BOM) else b"") + one.text.encode())
        return []

    def _edited(self) -> dict[Path, Edited]:
        schema = self._migration.old or self._migration.new
        found = {self._rules: edited(_text(self._rules), places_in_rules, self._migration, schema)}
        if self._cases is not None:
            cases = edited(_text(self._cases), places_in_cases, self._migration, schema, said=True)
            found[self._cases] = cases
        if left := [f"{path}: {line}" for path, one in found.items() for line in one.left]:
            raise RulesError(
                f"{self._rules}: {len(left)} place(s) cannot be said in the new labels; change them, then migrate"
                f"{as_list(left)}"
            )
        return found

    def _checked(self, found: dict[Path, Edited]) -> Report:
        with tempfile.TemporaryDirectory(prefix="labels-migrate-") as folder:
            for path, one in found.items():
                # cases that lie elsewhere may be called like the rules
                (Path(folder) / str(path == self._cases)).mkdir()
                (Path(folder) / str(path == self._cases) / path.name).write_bytes(one.text.encode())
            cases = None if self._cases is None else Path(folder) / "True" / self._cases.name
            report = check(Path(folder) / "False" / self._rules.name, self._migration.new, cases=cases)
        report = report._replace(path=self._rules)
        if errors := report.of("error"):
            raise RulesError(
                f"{self._rules}: with the new labels the rules would not be fit for use; change them, then migrate"
                f"{as_list(report.line(one) for one in errors)}"
            )
        return report


_BOM = b"\xef\xbb\xbf"


def _text(path: Path) -> str:
    """The text of a TOML document, its line ends as they are; RulesError if it is none."""
    try:
        parsed = read_text(path)
        import tomllib

        tomllib.loads(parsed)
        return path.read_bytes().removeprefix(_BOM).decode()
    except (OSError, ValueError, RecursionError) as error:
        raise RulesError(f"{path}: {in_words([unreadable(error)])[0]}") from None
