"""The decision: pure and deterministic, no clock, no files, no network."""

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import NamedTuple

from models.records import FeedbackItem, Prediction
from serving.routing.compiled import Check, Compiled, Rules
from serving.routing.decision import DEFAULT, OWNED, Decision, Situation
from serving.routing.fields import reader
from serving.routing.formula import OneOf, Value, atoms
from serving.routing.rules import Outcome


class Route(NamedTuple):
    """Where an item goes: the core of a decision, without its reasons.

    ``fired`` is the rule that owns it, None where none does; ``also`` are the rules that only add.
    """

    team: str
    rule: str
    outcome: Outcome
    due_at: datetime | None
    fired: Compiled | None
    also: tuple[Compiled, ...]
    passed_over: dict[str, str]


def decide(
    item: FeedbackItem, prediction: Prediction, rules: Rules, received_at: datetime, similar: int | None = None
) -> Decision:
    """What is to happen with an item, and why.

    The first rule whose conditions all hold owns it. Where none does, the team that owns its category takes it,
    unless the model was not sure of that; else the default.

    Args:
        item: the feedback.
        prediction: what the model says about it.
        rules: checked rules.
        received_at: when the item came in, with a zone; due times count from it.
        similar: how many items much like it came in lately; None where nobody counted.
    """
    situation = Situation(item, prediction, received_at, similar)
    found = route(situation, rules)
    if found.fired is not None:
        reasons = explained(found.fired, rules, situation)
    elif found.rule == OWNED:
        reasons = ("no rule held", f"{found.team} owns the category")
    else:
        reasons = ("no rule held", "nobody owns the category")
    outcome, also = found.outcome, found.also
    return Decision.model_construct(
        team=found.team,
        rule=found.rule,
        urgency=outcome.urgency,
        due_at=found.due_at,
        deliver=outcome.delivered,
        notify=_joined(outcome.notify, [rule.then.notify for rule in also]) if also else outcome.notify,
        tags=_joined(outcome.tags, [rule.then.tags for rule in also]) if also else outcome.tags,
        needs_review=outcome.review,
        also=tuple(rule.name for rule in also),
        reasons=reasons,
        passed_over=found.passed_over,
        rules_version=rules.digest,
    )


def route(situation: Situation, rules: Rules, *, path: bool = True) -> Route:
    """Where an item goes; :func:`decide` says it with reasons. Without ``path`` what was passed over is not said."""
    held = rules.held(situation)
    text_read = rules.reads_every_text
    if text_read:
        held |= rules.held_in_text(situation)

    def failed(rule: Compiled) -> str | None:
        """The first condition that does not hold; the text is read when the others do."""
        nonlocal text_read
        found = _failed(rule.checks, held)
        if found is None and rule.text_checks:
            if not text_read:
                held.update(rules.held_in_text(situation))
                text_read = True
            found = _failed(rule.text_checks, held)
        return found

    fired: Compiled | None = None
    end = len(rules.owning)
    failures: dict[str, str] = {}
    for place in rules.candidates(held, path=path):
        rule = rules.owning[place]
        why = failed(rule)
        if why is None:
            fired, end = rule, place
            break
        failures[rule.name] = why
    passed_over = dict(rules.first_failures[:end]) | failures if path else {}
    also = tuple(rule for rule in rules.also_candidates(held) if failed(rule) is None) if rules.also else ()
    category = situation.prediction.tasks.get("category")
    owner = None if category is None or category.abstained else rules.owner(category.labels)
    file = rules.file
    if fired is not None:
        name, outcome = fired.name, fired.then
    else:
        name, outcome = (OWNED, file.owned) if owner is not None else (DEFAULT, file.default)
    team = outcome.team or owner or file.default.team
    due = None
    if outcome.due_hours is not None:
        due = rules.calendars[team].due(situation.received_at, outcome.due_hours)
    return Route(team, name, outcome, due, fired, also, passed_over)


def _failed(checks: tuple[Check, ...], held: set[int]) -> str | None:
    """The first condition that does not hold, in words."""
    for atom, wanted, test, words, _ in checks:
        if ((atom in held) is not wanted) if test is None else not test(held):
            return words
    return None


def explained(rule: Compiled, rules: Rules, situation: Situation) -> tuple[str, ...]:
    """The conditions of a rule with what was found in the item; meant for a rule that holds."""
    reasons = []
    for condition in rule.conditions:
        found = ""
        if condition.field is not None and condition.field.kind == "pattern":
            asked = {value for atom in atoms(condition.formula) if isinstance(atom, OneOf) for value in atom.values}
            found = _found_in_text(rules, situation, asked)
        elif condition.field is not None:
            values = reader(condition.field)(situation)
            said = ", ".join(f"{value:g}" if isinstance(value, float) else str(value) for value in values)
            found = said if said and not condition.words.endswith(f" {said}") and condition.field.kind != "flag" else ""
        reasons.append(f"{condition.words} ({found})" if found else condition.words)
    return tuple(reasons)


def _found_in_text(rules: Rules, situation: Situation, asked: Collection[Value]) -> str:
    text, language = situation.item.text, situation.prediction.language
    names = [name for name in rules.patterns.found(text, language) if name in asked]
    words = [found for name in names if (found := rules.patterns.words(name, text, language))]
    return ", ".join(f"“{word}”" for word in sorted(set(words)))


def _joined(first: tuple[str, ...], more: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    """All of them in order, each once."""
    return tuple(dict.fromkeys((*first, *(one for part in more for one in part))))
