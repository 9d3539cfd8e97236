"""What a change of rules, or of the model, would do: past items decided both ways, and what moves."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from models.errors import DataError, did_you_mean
from models.labels import LabelSchema
from models.progress import Advance
from models.records import FeedbackItem
from models.rejects import Reject
from serving.routing.compiled import Rules
from serving.routing.decide import Route, route
from serving.routing.decision import DEFAULT, URGENCIES, Situation
from serving.routing.history import Lines, Past, in_chunks, pairs_of
from serving.routing.load import load_rules

#: Examples kept of each kind of move, and the longest part of a text that is shown of one.
_EXAMPLES = 3
_SHOWN = 100


class _Side(NamedTuple):
    rule: str
    team: str
    urgency: str
    due_at: datetime | None


class Move(NamedTuple):
    """One item that would go elsewhere, or at another time."""

    id: str | None
    text: str
    before: _Side
    after: _Side


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
    examples: dict[str, list[Move]] = field(default_factory=dict)

    @property
    def share_moved(self) -> float:
        """Moved items among all, in [0, 1]."""
        return self.moved / self.n if self.n else 0.0

    def busiest(self, team: str) -> tuple[int, int]:
        """Most items of a day, before and after."""
        days = self.load.get(team, {}).values()
        return max((one for one, _ in days), default=0), max((other for _, other in days), default=0)

    def add(self, other: "Replay") -> None:
        """Count in what another part of the items does."""
        for name in ("n", "moved", "other_rule", "newly_urgent", "newly_default"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for own, others in ((self.teams, other.teams), (self.urgencies, other.urgencies)):
            for name, pair in others.items():
                own[name] = _sum(own.get(name, (0, 0)), pair)
        self.due.update(other.due)
        self.matrix.update(other.matrix)
        for team, days in other.load.items():
            known = self.load.setdefault(team, {})
            for day, pair in days.items():
                known[day] = _sum(known.get(day, (0, 0)), pair)
        for kind, moves in other.examples.items():
            known_moves = self.examples.setdefault(kind, [])
            known_moves += moves[: _EXAMPLES - len(known_moves)]

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


def replay(pairs: Iterable[tuple[Past, Past]], old: Rules, new: Rules) -> Replay:
    """Decide each item both ways: as ``old`` with its first prediction, as ``new`` with its second."""
    if old.file.patterns == new.file.patterns:
        new.patterns = old.patterns  # so that each text is looked at once
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
        examples = found.examples.setdefault(kind, [])
        if len(examples) < _EXAMPLES:
            shown = (_Side(one.rule, one.team, one.outcome.urgency, one.due_at) for one in (before, after))
            examples.append(Move(item.id, item.text[:_SHOWN], *shown))


def _sum(one: tuple[int, int], other: tuple[int, int]) -> tuple[int, int]:
    return one[0] + other[0], one[1] + other[1]


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


class Replayed(NamedTuple):
    """What a replay of files found, and the rows that were left out: how many, and the first."""

    found: Replay
    rejected: int
    first: Reject | None


def replay_files(
    lines: Iterator[Lines], old: Path, new: Path, schema: LabelSchema | None, advance: Advance
) -> Replayed:
    """Decide items by two rules files; the items as :func:`serving.routing.history.read_lines` gives them.

    Raises:
        DataError: a file cannot be used.
        RulesError: rules are faulty.
    """
    whole, rejected, first = Replay(), 0, None
    arguments = (old, new, schema, datetime.now(UTC))
    for count, (found, left_out, reject) in in_chunks(lines, _replay_chunk, _Work.start, arguments):
        whole.add(found)
        rejected += left_out
        first = first or reject
        advance(count)
    whole.teams = dict(sorted(whole.teams.items()))
    whole.urgencies = {name: whole.urgencies.get(name, (0, 0)) for name in URGENCIES}
    return Replayed(whole, rejected, first)


class _Work:
    """What a process decides by; set once in each."""

    old: ClassVar[Rules]
    new: ClassVar[Rules]
    now: ClassVar[datetime]

    @classmethod
    def start(cls, old: Path, new: Path, schema: LabelSchema | None, now: datetime) -> None:
        cls.old, cls.new, cls.now = load_rules(old, schema), load_rules(new, schema), now


def _replay_chunk(lines: Sequence[Lines]) -> tuple[Replay, int, Reject | None]:
    rejects: list[Reject] = []
    found = replay(pairs_of(lines, _Work.now, rejects.append), _Work.old, _Work.new)
    return found, len(rejects), rejects[0] if rejects else None
