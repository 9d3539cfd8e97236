"""What the rules layer decides on, and what it decides."""

from collections.abc import Mapping
from datetime import datetime
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from models.records import FeedbackItem, Prediction

Urgency = Literal["low", "normal", "high", "urgent"]
Deliver = Literal["now", "digest"]

#: Urgencies, the least first.
URGENCIES: tuple[Urgency, ...] = ("low", "normal", "high", "urgent")

#: In place of a rule's name: the team that owns the category took it, or nobody did.
OWNED = "owned"
DEFAULT = "default"
#: In place of a rule's name: its team said that the item is another's.
HANDED_ON = "handed-on"


class Situation(NamedTuple):
    """All that a decision depends on, besides the rules.

    ``received_at`` is when the item came in, with a zone; ``similar`` how many items about the same came
    in lately, None where nobody counted.
    """

    item: FeedbackItem
    prediction: Prediction
    received_at: datetime
    similar: int | None = None


class Decision(BaseModel):
    """Who owns an item, how urgent it is, by when, and why.

    ``rule`` is the rule that fired, or ``owned`` (no rule did, and ``team`` owns its category), or ``default``;
    ``handed-on`` once a team has said that the item is not its own.
    ``due_at`` counts working time of the team; None: no time is set. ``deliver`` says whether the team gets the
    item at once or in its next digest. ``also`` are the rules that added to ``notify`` and ``tags`` without owning.
    ``reasons`` are the conditions of the rule that held, with what was found; ``passed_over`` names each rule
    before it with its first condition that failed (None: not said). ``rules_version`` is the digest of the rules
    that decided.
    """

    model_config = ConfigDict(frozen=True)

    team: str
    rule: str
    urgency: Urgency
    due_at: datetime | None
    deliver: Deliver
    notify: tuple[str, ...]
    tags: tuple[str, ...] = ()
    needs_review: bool
    also: tuple[str, ...] = ()
    reasons: tuple[str, ...]
    passed_over: Mapping[str, str] | None = None
    rules_version: str
