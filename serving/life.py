"""The life of an item after it was routed: who looks at it, who does something, when the customer has been told.

routed ─▶ acknowledged ─▶ in_progress ─▶ resolved ─▶ told
  ▲            │               │  ▲          │         │
  └─ not_ours ─┴───────────────┘  └─ reopened ┴─────────┘
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator
from sqlalchemy import Connection, Engine

from models.errors import InputError, did_you_mean
from models.labels import LabelSchema
from models.records import storable_if_text
from serving.routing.compiled import Rules
from serving.routing.handing_on import due_again, hand_on
from serving.store.groups import members
from serving.store.life import Standing, add_event, changing, correct, hand_over, reopen, set_state
from serving.store.sending import Parcel, send
from serving.store.tables import OPEN

#: States in the order in which they follow each other.
STATES = ("routed", "acknowledged", "in_progress", "resolved", "told")

Kind = Literal["acknowledged", "in_progress", "resolved", "told", "reopened", "not_ours", "corrected", "noted"]
Words = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=200),
    BeforeValidator(storable_if_text),
]
Note = Annotated[str, StringConstraints(strip_whitespace=True, max_length=4000)]


class ConflictError(InputError):
    """What is wanted does not fit the state that the item is in."""

    http_status = 409


class Act(BaseModel):
    """What somebody did with an item.

    ``kind``: a state that it came into (any later one; ``told``: the customer was), or ``reopened``; ``not_ours``, with
    the ``team`` whose it is if that is known; ``corrected``, with the right ``labels`` by task; ``noted``, with a
    ``note``. ``actor`` is who did it. ``origin`` and ``origin_id`` say where a correction was made, so that one that is
    sent twice is written once.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind
    actor: Words
    note: Note = ""
    team: str | None = None
    labels: dict[str, list[str]] = {}
    origin: Annotated[Words, Field(max_length=30)] = "api"
    origin_id: Words | None = None

    @model_validator(mode="after")
    def _says_what_belongs_to_it(self) -> Self:
        if self.team is not None and self.kind != "not_ours":
            raise ValueError("`team` goes with `not_ours` only")
        if bool(self.labels) != (self.kind == "corrected"):
            raise ValueError("`labels` go with `corrected`, and it needs them")
        if self.kind == "noted" and not self.note:
            raise ValueError("`noted` needs a `note`")
        return self


class Acted(NamedTuple):
    """What came of it: whether anything changed, and where the item stands."""

    changed: bool
    state: str
    team: str
    due_at: datetime | None


def act(engine: Engine, identity: str, wanted: Act, rules: Rules, schema: LabelSchema, now: datetime) -> Acted | None:
    """Do with an item what is wanted, or find that it was done before; None if there is no such item.

    Raises:
        ConflictError: it does not fit the item's state.
        InputError: a team or label that there is not.
        StoreError: nothing was changed; it is worth trying again.
    """
    with changing(engine, identity) as (connection, standing):
        if standing is None:
            return None
        if wanted.kind == "not_ours":
            return _hand_on(connection, standing, wanted, rules, now)
        if wanted.kind == "corrected":
            return _correct(connection, standing, wanted, schema, now)
        row = standing.row
        state, due_at = row["state"], row["due_at"]
        changed = True
        if wanted.kind == "reopened":
            if state in OPEN:
                changed = False
            else:
                due_at = due_again(standing.first, rules, row["team"], now)
                reopen(connection, standing.key, due_at, now)
                state = "in_progress"
        elif wanted.kind != "noted":
            changed = _forward(connection, standing.row, wanted.kind, now)
            state = wanted.kind
        if changed:
            add_event(connection, [standing.key], wanted.kind, wanted.actor, _said(wanted), now)
        return Acted(changed, state, row["team"], due_at)


def act_on_group(engine: Engine, identity: str, wanted: Act, now: datetime, team: str | None = None) -> int | None:
    """Bring all items of a group, or those of one ``team``, into a state, those excepted that are further on; how many,
    None without such a group.

    Raises:
        InputError: what is wanted is for single items.
        StoreError: nothing was changed; it is worth trying again.
    """
    if wanted.kind not in STATES:
        raise InputError(f"kind: expected one of {', '.join(STATES[1:])} for a group, got {wanted.kind!r}")
    earlier = STATES[: STATES.index(wanted.kind)]
    with members(engine, identity, earlier, team) as (connection, keys):
        if keys is None:
            return None
        set_state(connection, keys, wanted.kind, now)
        add_event(connection, keys, wanted.kind, wanted.actor, _said(wanted) | {"group": identity}, now)
        return len(keys)


def _forward(connection: Connection, row: Any, kind: str, now: datetime) -> bool:
    before = row["state"]
    if STATES.index(kind) < STATES.index(before):
        remedy = "; reopen it first" if before not in OPEN else ""
        raise ConflictError(f"the item is {before.replace('_', ' ')} already, and cannot become {kind}{remedy}")
    if kind == before:
        return False
    set_state(connection, [row["key"]], kind, now)
    return True


def _hand_on(connection: Connection, standing: Standing, wanted: Act, rules: Rules, now: datetime) -> Acted:
    row = standing.row
    if row["state"] not in OPEN:
        raise ConflictError(f"the item is {row['state']}; reopen it before it is handed on")
    teams = rules.file.teams
    if wanted.team is not None and wanted.team not in teams:
        raise InputError(f"unknown team {wanted.team!r}; {did_you_mean(wanted.team, teams)}")
    decision = hand_on(standing.last, standing.first, rules, wanted.team, now)
    if decision.team == row["team"]:
        if wanted.team is not None:
            return Acted(False, row["state"], row["team"], row["due_at"])
        raise InputError(f"{row['team']} gets what nobody owns; name the `team` whose it is")
    hand_over(connection, standing, decision, now)
    said = _said(wanted) | {"from": row["team"], "to": decision.team, "named": wanted.team is not None}
    add_event(connection, [standing.key], "not_ours", wanted.actor, said, now)
    parcel = Parcel(standing.key, "item", decision.team, decision.deliver, now)
    send(connection, [parcel], rules.file.channels_by_team)
    return Acted(True, "routed", decision.team, decision.due_at)


def _correct(connection: Connection, standing: Standing, wanted: Act, schema: LabelSchema, now: datetime) -> Acted:
    for task, labels in wanted.labels.items():
        _check_labels(schema, task, labels)
    who = {"actor": wanted.actor, "origin": wanted.origin, "origin_id": wanted.origin_id}
    changed = correct(connection, standing, wanted.labels, who, now)
    if changed:
        add_event(connection, [standing.key], "corrected", wanted.actor, _said(wanted) | {"labels": wanted.labels}, now)
    row = standing.row
    return Acted(changed, row["state"], row["team"], row["due_at"])


def _check_labels(schema: LabelSchema, task: str, labels: Sequence[str]) -> None:
    kind = schema.task(task).kind
    if kind == "single" and len(labels) != 1:
        raise InputError(f"{task}: expected one label, got {len(labels)}")
    if len(set(labels)) < len(labels):
        raise InputError(f"{task}: expected each label once")
    for label in labels:
        schema.check_label(task, label)


def _said(wanted: Act) -> dict[str, Any]:
    return {"note": wanted.note} if wanted.note else {}
