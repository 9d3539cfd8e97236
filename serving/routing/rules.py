"""Routing rules as data: teams, conditions, outcomes, and the decision they lead to."""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from functools import cached_property
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

Urgency = Literal["low", "normal", "high", "urgent"]
Name = Annotated[str, Field(min_length=1, max_length=80, pattern=r"^[a-z0-9][a-z0-9_-]*$")]


def _tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


Several = Annotated[tuple[str, ...], BeforeValidator(_tuple), Field(min_length=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Range(_Strict):
    """From ``min`` to ``max``, both included; at least one is given."""

    min: float | None = None
    max: float | None = None

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if self.min is None and self.max is None:
            raise ValueError("expected min, max or both, got neither")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"expected min <= max, got {self.min} > {self.max}")
        return self

    def holds(self, value: float) -> bool:
        """Whether ``value`` lies in the range."""
        return (self.min is None or value >= self.min) and (self.max is None or value <= self.max)


class Conditions(_Strict):
    """What has to hold for a rule; every condition that is given must.

    ``category`` and ``sentiment`` hold if the model chose one of the labels listed;
    ``family/*`` stands for all labels of a family, a language for its scripts and regions too.
    ``abstained`` holds if the model abstained from
    one of the tasks listed. ``confidence`` is that of the category. A range over a field of the
    item does not hold where the item has no such field.
    """

    category: Several | None = None
    sentiment: Several | None = None
    abstained: Several | None = None
    confidence: Range | None = None
    score: Range | None = None
    rating: Range | None = None
    nps: Range | None = None
    language: Several | None = None
    channel: Several | None = None
    country: Several | None = None
    product: Several | None = None
    customer_tier: Several | None = None

    @model_validator(mode="after")
    def _asks_something(self) -> Self:
        if all(value is None for value in self.__dict__.values()):
            raise ValueError("expected at least one condition, got none; what is always to happen stands in [default]")
        return self


class Outcome(_Strict):
    """What a rule decides: the owning team, who else is told, how fast.

    ``due_hours`` after the item came in; None leaves the due time open.
    """

    team: Name
    urgency: Urgency = "normal"
    due_hours: Annotated[float, Field(gt=0, le=24 * 365)] | None = None
    notify: Annotated[tuple[Name, ...], BeforeValidator(_tuple)] = ()
    review: bool = False


class Rule(_Strict):
    """A named rule; it says why it is there in ``description``."""

    name: Name
    description: str = ""
    when: Conditions
    then: Outcome


class Team(_Strict):
    """A team that can own items."""

    title: str


class RuleSet(_Strict):
    """All rules of a service, in the order in which they are tried."""

    version: Literal[1] = 1
    default: Outcome
    teams: Mapping[Name, Team]
    rules: Annotated[tuple[Rule, ...], BeforeValidator(_tuple)] = ()

    @cached_property
    def digest(self) -> str:
        """Twelve hex digits that change when any rule does; the version in a decision."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:12]


class Decision(BaseModel):
    """Who owns an item, how urgent it is, by when, and why.

    ``rule`` is the name of the rule that fired, or ``default``. ``deliver`` says when the team is
    to get it. ``reasons`` are the conditions that held. ``rules_version`` is the digest of the
    rules that decided.
    """

    model_config = ConfigDict(frozen=True)

    team: str
    rule: str
    urgency: Urgency
    due_at: datetime | None
    deliver: Literal["now", "digest"]
    notify: tuple[str, ...]
    needs_review: bool
    reasons: tuple[str, ...]
    rules_version: str
