"""The whole check of a rules file: can it be used, does it say what it means, do its cases come out."""

import json
from pathlib import Path
from typing import NamedTuple

from models.errors import RulesError, as_list
from models.labels import LabelSchema
from serving.routing.cases import Classify, beside, run_cases
from serving.routing.compiled import Rules
from serving.routing.faults import Finding, Severity
from serving.routing.lint import lint
from serving.routing.load import read_rules

FORMATS = ("text", "json", "github")
#: How GitHub names the severities: https://docs.github.com/actions/reference/workflow-commands-for-github-actions
_GITHUB: dict[Severity, str] = {"error": "error", "warning": "warning", "note": "notice"}


class Report(NamedTuple):
    """What was found in a rules file: the rules, if they can be used at all, and how many of its cases ran and were
    left out."""

    path: Path
    rules: Rules | None
    findings: list[Finding]
    cases: int = 0
    left_out: int = 0

    def of(self, severity: Severity) -> list[Finding]:
        """The findings of one severity."""
        return [one for one in self.findings if one.severity == severity]

    def line(self, finding: Finding) -> str:
        """A finding as a line that editors can jump to."""
        name = str(self.path) if finding.file is None else str(self.path.with_name(finding.file))
        place = name if finding.line is None else f"{name}:{finding.line}"
        return f"{place}: {finding.severity}: {finding.message}"

    def as_json(self) -> str:
        """The report for machines."""
        found = [one._asdict() | {"file": one.file or self.path.name} for one in self.findings]
        counts: dict[str, int] = {severity: len(self.of(severity)) for severity in _GITHUB}
        version = self.rules.digest if self.rules else None
        whole: dict[str, object] = {"file": str(self.path), "rules_version": version, "cases": self.cases}
        whole |= {**counts, "findings": found}
        return json.dumps(whole, ensure_ascii=False, indent=2)

    def as_github(self) -> str:
        """The report as annotations of a pull request."""
        return "\n".join(self._annotation(one) for one in self.findings)

    def _annotation(self, finding: Finding) -> str:
        name = str(self.path) if finding.file is None else str(self.path.with_name(finding.file))
        line = "" if finding.line is None else f",line={finding.line}"
        message = finding.message.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
        return f"::{_GITHUB[finding.severity]} file={name}{line},title={finding.code}::{message}"


def check(path: Path, schema: LabelSchema, *, cases: Path | None = None, classify: Classify | None = None) -> Report:
    """Everything about a rules file, against a label schema.

    Args:
        path: the rules.
        schema: the labels that the model knows.
        cases: the cases; else those beside the rules, if there are any.
        classify: what the model says, for cases that give a text only; without it they are left out.
    """
    loaded = read_rules(path, schema)
    if loaded.rules is None:
        return Report(path, None, loaded.findings)
    findings = lint(loaded.rules, schema, loaded.lines)
    if cases is None and not beside(path).exists():
        return Report(path, loaded.rules, findings)
    outcome = run_cases(cases or beside(path), loaded.rules, schema, classify)
    return Report(path, loaded.rules, findings + outcome.findings, outcome.ran, outcome.left_out)


def checked_rules(path: Path, schema: LabelSchema, classify: Classify | None = None) -> Rules:
    """The rules in ``path``, fit to be taken into use.

    Raises:
        RulesError: the check found an error; all errors are listed.
    """
    report = check(path, schema, classify=classify)
    errors = report.of("error")
    if report.rules is None or errors:
        lines = [report.line(one) for one in errors]
        raise RulesError(f"{path}: {len(errors)} error(s) in the rules{as_list(lines)}")
    return report.rules
