"""What a change of rules, or of the model, would do: past items decided both ways, and what moves."""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ConfigDict, ValidationError

from models.errors import DataError, did_you_mean
from models.formats import json_lines, json_object
from models.progress import Advance
from models.records import FeedbackItem, Moment, Prediction
from models.rejects import Reject
from models.validation import describe
from serving.routing.compiled import Rules
from serving.routing.decide import Route, route
from serving.routing.decision import DEFAULT, URGENCIES, Situation

#: Examples kept of each kind of move, and the longest part of a text that is shown of one.
_EXAMPLES = 3
_SHOWN = 100


class Past(NamedTuple):
    """An item with what a model said of it, and when it came in."""

    item: FeedbackItem
    prediction: Prediction
    received_at: datetime


class Move(NamedTuple):
    """One item that would go elsewhere, or at another time."""

    id: str | None
    text: str
    before: Route
    after: Route


@dataclass
class Replay:
    """What moves between two ways of deciding the same items.

    Teams, urgencies and due times are counted ``before`` and ``after``. ``moved`` are the items of which team, urgency
    or due time changes. ``load`` has the items of each team on each day, in its time zone.
    """

    n: int = 0
    moved: int = 0
    other_rule: int = 0
    teams: dict[str, tuple[int, int]] = field(default_factory=dict)
    urgencies: dict[str, tuple[int, int]] = field(default_factory=dict)
    due: Counter[str] = field(default_factory=Counter)
    matrix: Counter[tuple[str, str]] = field(default_factory=Counter)
    load: dict[str, dict[date, tuple[int, int]]] = field(default_factory=dict)
    newly_urgent: int = 0
    newly_default: int = 0
    examples: dict[str, list[Move]] = field(default_factory=lambda: defaultdict(list))

    @property
    def share_moved(self) -> float:
        """Moved items among all, in [0, 1]."""
        return self.moved / self.n if self.n else 0.0

    def busiest(self, team: str) -> tuple[int, int]:
        """Most items of a day, before and after."""
        days = self.load.get(team, {}).values()
        return max((one for one, _ in days), default=0), max((other for _, other in days), default=0)

    def as_dict(self) -> dict[str, Any]:
        """All of it, ready for JSON; of the examples no text."""
        return {
            "n": self.n,
            "moved": self.moved,
            "share_moved": round(self.share_moved, 6),
            "other_rule_only": self.other_rule,
            "newly_urgent": self.newly_urgent,
            "newly_default": self.newly_default,
            "teams": {name: list(pair) for name, pair in self.teams.items()},
            "urgencies": {name: list(pair) for name, pair in self.urgencies.items()},
            "due": dict(self.due),
            "moves": [{"from": one, "to": other, "n": n} for (one, other), n in sorted(self.matrix.items())],
            "load": {
                team: {day.isoformat(): list(pair) for day, pair in sorted(days.items())}
                for team, days in self.load.items()
            },
            "examples": {
                kind: [{"id": one.id, "from": one.before.rule, "to": one.after.rule} for one in moves]
                for kind, moves in self.examples.items()
            },
        }


def read_past(path: Path, now: datetime | None = None) -> Iterator[Past | Reject]:
    """Items with their predictions from a file that `feedback classify` wrote (.jsonl, .jsonl.gz).

    An item came in at its ``received_at``, else at its ``created_at``, else ``now``. A bad row comes out as a reject.

    Raises:
        DataError: the file cannot be read.
    """
    moment = now or datetime.now(UTC)
    for place, line in json_lines(path):
        try:
            row = _Row.model_validate_json(line)
        except ValidationError:
            yield _bad_row(place, line)
            continue
        yield Past(row, row.prediction, row.received_at or row.created_at or moment)


class _Row(FeedbackItem):
    """A line as `feedback classify` writes it; labels that stand there too do not matter here."""

    model_config = ConfigDict(extra="ignore")

    prediction: Prediction
    received_at: Moment | None = None


def _bad_row(place: str, line: bytes) -> Reject:
    row = json_object(place, line)
    if isinstance(row, Reject):
        return row
    try:
        Prediction.model_validate(row.get("prediction"))
    except ValidationError as error:
        wanted = "expected a `prediction` as `feedback classify --out FILE.jsonl` writes it"
        return Reject(place, f"{wanted}: {'; '.join(describe(error, (), 'prediction'))}", row)
    try:
        _Row.model_validate(row)
    except ValidationError as error:
        return Reject(place, "; ".join(describe(error)), row)
    return Reject(place, "not strict JSON", row)


def paired(
    data: Path, against: Path | None, reject: Callable[[Reject], None], advance: Advance
) -> Iterator[tuple[Past, Past]]:
    """Each item of ``data`` with itself, or with the same item in ``against``: the row in the same place.

    Raises:
        DataError: the two files do not hold the same texts in the same order.
    """
    count = 0
    others = None if against is None else read_past(against)
    for count, one in enumerate(read_past(data), 1):
        other = one if others is None else next(others, None)
        if other is None or (isinstance(one, Past) and isinstance(other, Past) and one.item.text != other.item.text):
            raise DataError(
                f"{against}: row {count:,} is not the item that stands there in {data}; classify one file twice"
            )
        bad = [found for found in (one, other) if isinstance(found, Reject)]
        if bad:
            reject(bad[0])
        elif isinstance(one, Past) and isinstance(other, Past):
            yield one, other
        advance(1)
    if not count:
        raise DataError(f"{data}: expected at least one item, got an empty file")


def replay(pairs: Iterable[tuple[Past, Past]], old: Rules, new: Rules) -> Replay:
    """Decide each item both ways: as ``old`` with its first prediction, as ``new`` with its second."""
    if old.file.patterns == new.file.patterns:
        new.patterns = old.patterns  # so that each text is looked at once
    for name, calendar in old.calendars.items():
        if new.calendars.get(name) == calendar:
            new.calendars[name] = calendar  # and each due time counted once
    found = Replay()
    teams, urgencies = (Counter[str](), Counter[str]()), (Counter[str](), Counter[str]())
    load: dict[str, dict[date, list[int]]] = defaultdict(lambda: defaultdict(lambda: [0, 0]))
    for first, second in pairs:
        before = route(Situation(first.item, first.prediction, first.received_at), old, path=False)
        after = route(Situation(second.item, second.prediction, second.received_at), new, path=False)
        found.n += 1
        for side, decision, rules in ((0, before, old), (1, after, new)):
            teams[side][decision.team] += 1
            urgencies[side][decision.outcome.urgency] += 1
            day = first.received_at.astimezone(rules.calendars[decision.team].zone).date()
            load[decision.team][day][side] += 1
        _compare(found, first.item, before, after)
    found.teams = {name: (teams[0][name], teams[1][name]) for name in sorted({*teams[0], *teams[1]})}
    found.urgencies = {name: (urgencies[0][name], urgencies[1][name]) for name in URGENCIES}
    found.load = {team: {day: (pair[0], pair[1]) for day, pair in days.items()} for team, days in sorted(load.items())}
    return found


def _compare(found: Replay, item: FeedbackItem, before: Route, after: Route) -> None:
    kinds = []
    was, is_now = before.outcome.urgency, after.outcome.urgency
    if before.team != after.team:
        found.matrix[before.team, after.team] += 1
        kinds.append(f"{before.team} → {after.team}")
    if was != is_now:
        kinds.append(f"urgency {was} → {is_now}")
    if before.due_at != after.due_at:
        change = _due_change(before.due_at, after.due_at)
        found.due[change] += 1
        kinds.append(f"due time {change}")
    found.moved += bool(kinds)
    found.other_rule += not kinds and before.rule != after.rule
    if is_now == "urgent" != was:
        found.newly_urgent += 1
        kinds.append("newly urgent")
    if after.rule == DEFAULT != before.rule:
        found.newly_default += 1
        kinds.append("newly default")
    for kind in kinds:
        if len(found.examples[kind]) < _EXAMPLES:
            found.examples[kind].append(Move(item.id, item.text[:_SHOWN], before, after))


def _due_change(before: datetime | None, after: datetime | None) -> str:
    if before is None:
        return "set"
    if after is None:
        return "taken away"
    return "earlier" if after < before else "later"


class Bounds(NamedTuple):
    """What a change may do at most: share of items that move, in [0, 1], and items of a team on one day."""

    moved: float | None = None
    load: Mapping[str, int] = {}

    def broken(self, found: Replay, rules: Rules) -> list[str]:
        """What goes beyond, in words.

        Raises:
            DataError: a bound is about a team that the rules do not have.
        """
        faults = []
        if self.moved is not None and found.share_moved > self.moved:
            faults.append(f"{found.share_moved:.2%} of the items move, more than {self.moved:.2%}")
        for team, most in self.load.items():
            if team not in rules.file.teams:
                raise DataError(f"--max-load: unknown team {team!r}; {did_you_mean(team, rules.file.teams)}")
            busiest = found.busiest(team)[1]
            if busiest > most:
                faults.append(f"team {team!r} would get up to {busiest:,} items a day, more than {most:,}")
        return faults


def as_json(found: Replay) -> str:
    """The replay for machines."""
    return json.dumps(found.as_dict(), ensure_ascii=False, indent=2)
