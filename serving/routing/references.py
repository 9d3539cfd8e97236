"""Faults between the parts of a rules file that has the right shape: what refers to nothing, fits nowhere or twice."""

import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime

from models.errors import did_you_mean
from models.labels import LabelSchema
from models.text import UNKNOWN
from serving.routing import faults
from serving.routing.conditions import label_names
from serving.routing.faults import Fault
from serving.routing.hours import Calendar
from serving.routing.pattern_faults import faults_of
from serving.routing.patterns import ANY, Patterns
from serving.routing.rules import RulesFile

#: From which working hours are counted, to see whether there are enough.
_SOME_DAY = datetime(2026, 3, 10, 12, tzinfo=UTC)
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{1,8})*")


def faults_between(file: RulesFile, schema: LabelSchema | None) -> list[Fault]:
    """Every one of them; with a schema, owned categories are checked against it."""
    found = [*_reference_faults(file), *_pattern_faults(file), *_owner_faults(file, schema), *_calendar_faults(file)]
    return found or list(_size_faults(file))


def _reference_faults(file: RulesFile) -> Iterator[Fault]:
    for name, count in Counter(rule.name for rule in file.rules).items():
        if count > 1:
            last = max(number for number, rule in enumerate(file.rules) if rule.name == name)
            yield Fault(("rules", last, "name"), f"rule {name!r} stands {count} times; give each its own name")
    for path, _, outcome in file.outcomes():
        named = [(outcome.team, "team")] if outcome.team else []
        for team, key in [*named, *((one, "notify") for one in outcome.notify)]:
            if team not in file.teams:
                yield Fault((*path, key), f"unknown team {team!r}; {did_you_mean(team, file.teams)}")
    for name, team_of in file.teams.items():
        if team_of.escalate_to is not None and team_of.escalate_to not in file.teams:
            known = did_you_mean(team_of.escalate_to, file.teams)
            yield Fault(("teams", name, "escalate_to"), f"unknown team {team_of.escalate_to!r}; {known}")
        for channel in team_of.channels:
            if channel not in file.channels:
                yield Fault(
                    ("teams", name, "channels"), f"unknown channel {channel!r}; {did_you_mean(channel, file.channels)}"
                )


def _pattern_faults(file: RulesFile) -> Iterator[Fault]:
    for name, by_language in file.patterns.items():
        if not by_language:
            yield Fault(("patterns", name), "expected what to look for by language, like [patterns.NAME.en], got none")
        for language, pattern in by_language.items():
            path: faults.Path = ("patterns", name, language)
            if not _LANGUAGE.fullmatch(language):
                yield Fault(path, f"expected a language tag like ro or zh-Hant, or `any`, got {language!r}")
            for inner, reason in faults_of(pattern, language):
                yield Fault((*path, *inner), reason)


def _calendar_faults(file: RulesFile) -> Iterator[Fault]:
    """More working hours than the team has in the years to come."""
    calendars = {name: team.calendar() for name, team in file.teams.items()}
    for name, team_of in file.teams.items():
        if not _works(calendars[name], team_of.escalate_hours):
            reason = f"team {name!r} does not work {team_of.escalate_hours:g} hours in ten years"
            yield Fault(("teams", name, "escalate_hours"), reason)
    owners = [name for name, team in file.teams.items() if team.owns]
    for path, _, outcome in file.outcomes():
        for team in {outcome.team} if outcome.team else {*owners, file.default.team}:
            if outcome.due_hours is None or team not in calendars:
                continue
            if not _works(calendars[team], outcome.due_hours):
                reason = f"team {team!r} does not work {outcome.due_hours:g} hours in ten years"
                yield Fault((*path, "due_hours"), reason)


def _works(calendar: Calendar, hours: float) -> bool:
    try:
        calendar.due(_SOME_DAY, hours)
    except ValueError:
        return False
    return True


def _size_faults(file: RulesFile) -> Iterator[Fault]:
    """Patterns that do not fit; a text of an unknown language is looked at with those of all languages."""
    patterns_of = Patterns(file.patterns)
    languages = sorted({language for own in file.patterns.values() for language in own} - {ANY})
    for language in [*languages, UNKNOWN] if file.patterns else ():
        if patterns_of.too_large(language):
            texts = f"texts in {language}" if language != UNKNOWN else "texts of which the language is not known"
            yield Fault(("patterns",), f"the patterns for {texts} are too many together; leave out the rarest phrases")


def _owner_faults(file: RulesFile, schema: LabelSchema | None) -> Iterator[Fault]:
    seen: dict[str, str] = {}
    for name, team in file.teams.items():
        for number, pattern in enumerate(team.owns):
            path: faults.Path = ("teams", name, "owns", number)
            if pattern in seen:
                yield Fault(path, f"{pattern!r} is owned by {seen[pattern]!r} and {name!r}; give it one owner")
            seen.setdefault(pattern, name)
            if schema is not None and "category" in schema.tasks:
                known = label_names(schema, "category")
                if pattern not in known:
                    yield Fault(path, f"unknown category label {pattern!r}; {did_you_mean(pattern, known)}")
