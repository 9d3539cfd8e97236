"""Reading a rules file and finding every fault in it at once."""

import tomllib
from collections import Counter
from pathlib import Path

from pydantic import ValidationError

from models.errors import RulesError, as_list, did_you_mean
from models.labels import LabelSchema
from models.validation import describe
from serving.routing.rules import Conditions, Outcome, Rule, RuleSet

DEFAULT_RULES = Path(__file__).with_name("routing.toml")


def load_rules(path: Path, schema: LabelSchema | None = None) -> RuleSet:
    """The rules in ``path``; with a schema, their labels are checked against it.

    Raises:
        RulesError: the file is faulty; every fault is listed.
    """
    rules, problems = check_rules(path, schema)
    if problems or rules is None:
        raise RulesError(f"{path}: {len(problems)} fault(s) in the rules{as_list(problems)}")
    return rules


def check_rules(path: Path, schema: LabelSchema | None = None) -> tuple[RuleSet | None, list[str]]:
    """The rules, if they can be read, and every fault found."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        return None, [f"not a readable TOML file: {reason}"]
    try:
        rules = RuleSet.model_validate(data)
    except ValidationError as error:
        return None, describe(error, Conditions.model_fields, "file")
    return rules, [*_name_faults(rules), *(_label_faults(rules, schema) if schema else [])]


def _name_faults(rules: RuleSet) -> list[str]:
    problems = [
        f"rule {name!r} stands {count} times; give each its own name"
        for name, count in Counter(rule.name for rule in rules.rules).items()
        if count > 1
    ]
    outcomes: list[tuple[str, Outcome]] = [("default", rules.default)]
    outcomes += [(f"rule {rule.name!r}", rule.then) for rule in rules.rules]
    for place, outcome in outcomes:
        for team in (outcome.team, *outcome.notify):
            if team not in rules.teams:
                problems.append(f"{place}: unknown team {team!r}; {did_you_mean(team, rules.teams)}")
    return problems


def _label_faults(rules: RuleSet, schema: LabelSchema) -> list[str]:
    problems = []
    for rule in rules.rules:
        for task, patterns in (("category", rule.when.category), ("sentiment", rule.when.sentiment)):
            for pattern in patterns or ():
                problems += _pattern_fault(rule, task, pattern, schema)
        for task in rule.when.abstained or ():
            if task not in schema.tasks:
                problems.append(
                    f"rule {rule.name!r}: the model has no task {task!r}; {did_you_mean(task, schema.tasks)}"
                )
    return problems


def _pattern_fault(rule: Rule, task: str, pattern: str, schema: LabelSchema) -> list[str]:
    if task not in schema.tasks:
        return [f"rule {rule.name!r}: the model has no task {task!r}; {did_you_mean(task, schema.tasks)}"]
    known = schema.tasks[task].keys
    families = sorted({f"{label.family}/*" for label in schema.tasks[task].labels if "/" in label.key})
    if pattern in known or pattern in families:
        return []
    return [f"rule {rule.name!r}: unknown {task} label {pattern!r}; {did_you_mean(pattern, [*known, *families])}"]
