"""A rules file as data: teams, channels, patterns, named conditions, rules and their outcomes."""

import hashlib
import re
from collections.abc import Mapping
from datetime import date, datetime
from functools import cached_property
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from serving.routing.decision import Deliver, Urgency
from serving.routing.faults import Path
from serving.routing.hours import Calendar, public_holidays, read_week
from serving.routing.schedule import Every, Schedule

#: The channel of teams that have none of their own.
DEFAULT_CHANNEL = "default"

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,79}")


def _a_name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError("expected a name of small letters, digits, - and _")
    return value


Name = Annotated[str, AfterValidator(_a_name)]


def _tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def _one_or_several(value: object) -> object:
    return (value,) if isinstance(value, str | dict) else _tuple(value)


def _each_once(values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values))


Several = Annotated[tuple[str, ...], BeforeValidator(_one_or_several), AfterValidator(_each_once)]
Names = Annotated[tuple[Name, ...], BeforeValidator(_one_or_several), AfterValidator(_each_once)]


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError("expected a time zone like Europe/Bucharest") from None
    return name


def _known_country(code: str) -> str:
    try:
        public_holidays(code)
    except KeyError:
        raise ValueError("expected a country like RO, whose public holidays are known; else list them") from None
    return code


def _a_day(value: object) -> object:
    if isinstance(value, datetime) or not isinstance(value, date):
        raise ValueError("expected a day like 2026-12-24, without quotes")
    return value


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Digest(_Strict):
    """When a team gets together what is not sent at once: every ``hour``, or every ``day``, ``week`` or ``month`` at a
    time of its day. ``on`` is the day of the week (``mon``) or of the month (1 to 28); the first if it is not given."""

    every: Every = "day"
    at: str = "09:00"
    on: str | int | None = None

    @model_validator(mode="after")
    def _can_be_read(self) -> Self:
        self.schedule()
        return self

    def schedule(self) -> Schedule:
        """The same, to count with."""
        return Schedule.read(self.every, self.at, self.on)


class Team(_Strict):
    """A team that can own items.

    ``owns`` are the categories (`family/*` for all of a family) whose items it gets where no rule says who does;
    ``channels`` where its items are delivered, at once or in its ``digest``. ``hours`` say when it works, in its
    ``time_zone``; without them, around the clock. It does not work on ``holidays``, nor on the public ones of
    ``country_holidays``. Of an overdue item it is reminded; after ``escalate_hours`` of its working time more,
    ``escalate_to`` hears of it (the team of the default outcome, if nobody is named).
    """

    title: str
    contact: str = ""
    owns: Several = ()
    channels: Names = ()
    time_zone: Annotated[str, AfterValidator(_known_zone)] = "UTC"
    hours: Mapping[str, Several] = {}
    holidays: Annotated[tuple[Annotated[date, BeforeValidator(_a_day)], ...], BeforeValidator(_tuple)] = ()
    country_holidays: Annotated[str, AfterValidator(_known_country)] | None = None
    digest: Digest = Digest()
    escalate_hours: Annotated[float, Field(gt=0, le=24 * 365)] = 8.0
    escalate_to: Name | None = None

    @field_validator("hours")
    @classmethod
    def _make_a_week(cls, hours: Mapping[str, tuple[str, ...]]) -> Mapping[str, tuple[str, ...]]:
        read_week(hours)
        return hours

    def calendar(self) -> Calendar:
        """When it works."""
        return Calendar(
            ZoneInfo(self.time_zone), read_week(self.hours), frozenset(self.holidays), self.country_holidays
        )


class Channel(_Strict):
    """A way to reach a team. ``to`` is an address that may be seen by all; what is secret stands elsewhere."""

    kind: Literal["file", "webhook", "email", "apprise"]
    to: str = ""


class Pattern(_Strict):
    """What to look for in texts of one language: any of phrases, spaCy token patterns, regular expressions."""

    phrases: Several = ()
    tokens: Annotated[tuple[tuple[Mapping[str, Any], ...], ...], BeforeValidator(_tuple)] = ()
    regex: Several = ()

    @model_validator(mode="before")
    @classmethod
    def _stands_under_a_language(cls, value: object) -> object:
        if not isinstance(value, dict):
            raise ValueError("expected a language before it, like [patterns.NAME.ro], or [patterns.NAME.any] for all")
        return value

    @field_validator("tokens", mode="before")
    @classmethod
    def _are_lists_of_tokens(cls, value: object) -> object:
        return tuple(_tuple(one) for one in value) if isinstance(value, list) else value

    @model_validator(mode="after")
    def _looks_for_something(self) -> Self:
        if not (self.phrases or self.tokens or self.regex):
            raise ValueError("expected phrases, tokens or regex, got none")
        return self


class Outcome(_Strict):
    """What a rule decides.

    ``team`` owns the item; without one, whoever owns its category. ``due_hours`` counts working time of the team;
    None leaves the time open. ``deliver`` is ``now`` for high and urgent items where it is not given. ``review``
    asks people to look.
    """

    team: Name | None = None
    urgency: Urgency = "normal"
    due_hours: Annotated[float, Field(gt=0, le=24 * 365)] | None = None
    deliver: Deliver | None = None
    notify: Names = ()
    tags: Several = ()
    review: bool = False

    @property
    def delivered(self) -> Deliver:
        """When the team gets the item."""
        return self.deliver or ("now" if self.urgency in ("high", "urgent") else "digest")


class DefaultOutcome(Outcome):
    """What is decided where no rule holds and nobody owns the category: a team has to be named."""

    team: Name


class OwnedOutcome(Outcome):
    """What is decided where no rule holds and a team owns the category: that team has it."""

    @field_validator("team")
    @classmethod
    def _is_the_owner(cls, team: str | None) -> str | None:
        if team is not None:
            raise ValueError("the team that owns the category gets it; name teams in their `owns`, or write a rule")
        return team


class Rule(_Strict):
    """A named rule; ``description`` says why it is there.

    The first rule whose conditions hold owns the item. A rule that is ``also`` never owns: wherever it holds, it adds
    teams to notify and tags.
    """

    name: Name
    description: str = ""
    also: bool = False
    when: Mapping[str, Any]
    then: Outcome

    @model_validator(mode="after")
    def _adds_what_it_may(self) -> Self:
        if self.also and self.then.model_fields_set - {"notify", "tags"}:
            extra = ", ".join(sorted(self.then.model_fields_set - {"notify", "tags"}))
            raise ValueError(f"a rule that is `also` only adds `notify` and `tags`, got {extra}")
        if self.also and not (self.then.notify or self.then.tags):
            raise ValueError("a rule that is `also` adds `notify` or `tags`, got none")
        return self


class RulesFile(_Strict):
    """All that stands in a ``routing.toml``. Rules are in the order in which they are tried.

    ``patterns`` by name and language tag, ``any`` for all languages; ``conditions`` by name.
    """

    version: Literal[1] = 1
    default: DefaultOutcome
    owned: OwnedOutcome = OwnedOutcome()
    teams: Mapping[Name, Team]
    channels: Mapping[Name, Channel] = {}
    patterns: Mapping[Name, Mapping[str, Pattern]] = {}
    conditions: Mapping[Name, Mapping[str, Any]] = {}
    rules: Annotated[tuple[Rule, ...], BeforeValidator(_tuple)] = ()

    def outcomes(self) -> list[tuple[Path, str, Outcome]]:
        """Every outcome in the file: where it stands, what to call it, and itself."""
        rules = (
            (("rules", number, "then"), f"rule {rule.name!r}", rule.then) for number, rule in enumerate(self.rules)
        )
        return [(("default",), "the default", self.default), (("owned",), "what owners get", self.owned), *rules]

    @cached_property
    def channels_by_team(self) -> Mapping[str, tuple[str, ...]]:
        """Over which channels each team is reached."""
        return {name: team.channels or (DEFAULT_CHANNEL,) for name, team in self.teams.items()}

    @cached_property
    def digest(self) -> str:
        """Twelve hex digits that change when anything that decides does; the version in a decision."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:12]
