"""What a sound rules file still gets wrong: rules that never fire, gaps, owners and channels that are missing.

Everything said here about which items a rule takes is exact over the space of items; see :mod:`serving.routing.space`.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from models.labels import LabelSchema
from serving.routing import faults
from serving.routing.compiled import Compiled, Rules
from serving.routing.decision import URGENCIES
from serving.routing.faults import Finding, Severity
from serving.routing.formula import All, OneOf, Some
from serving.routing.lines import line_of
from serving.routing.rules import Outcome
from serving.routing.space import OTHERS, Example, Space

#: Of the rules that take items from a later one, so many are looked for, and so many later ones named.
_LOOKED_FOR = 25
_NAMED = 6


def lint(rules: Rules, schema: LabelSchema, lines: Mapping[faults.Path, int]) -> list[Finding]:
    """Every finding about rules that can be used, in the order of the file."""
    space = Space(rules, schema)
    found = [*_reach(rules, space, lines), *_owners(rules, schema, space, lines), *_rest(rules, lines)]
    return sorted(found, key=lambda one: one.line or 0)


def in_words(example: Example) -> str:
    """An example as a reader would describe it: what it says no to is left out."""
    parts = []
    for name, values in example.items():
        said = ", ".join(
            f"{value:g}" if isinstance(value, float) else OTHERS.get(value, str(value)) for value in values
        )
        if name in ("out_of_scope", "truncated"):
            parts += [name.replace("_", " ")] if True in values else []
        else:
            parts.append({"abstained": "not sure of", "text": "text speaks of"}.get(name, name) + f" {said}")
    return "; ".join(parts) or "any item"


def whole(rule: Compiled) -> All:
    """All the conditions of a rule as one formula."""
    return All(tuple(condition.formula for condition in rule.conditions))


class _Asked(NamedTuple):
    """A rule, the booleans that say whether it holds and whether it is the first that does, and its line."""

    rule: Compiled
    holds: int
    fires: int
    line: int | None


def _reach(rules: Rules, space: Space, lines: Mapping[faults.Path, int]) -> Iterator[Finding]:
    """Rules that can never fire, and those whose items other rules take before them."""
    line = {rule.name: line_of(lines, ("rules", number)) for number, rule in enumerate(rules.file.rules)}
    earlier: list[_Asked] = []
    any_earlier = space.literal(Some(()))
    taken: dict[str, list[tuple[Compiled, Example]]] = {}
    for rule in rules.owning:
        holds = space.literal(whole(rule))
        asked = _Asked(rule, holds, -space.any_of([-holds, any_earlier]), line[rule.name])
        if not space.exists([asked.fires]):
            yield _unreachable(asked, earlier, space)
        else:
            for other, example in _takers(asked, earlier, any_earlier, space):
                taken.setdefault(other.name, []).append((rule, example))
        earlier.append(asked)
        any_earlier = space.any_of([any_earlier, asked.holds])
    for asked in earlier:
        yield from _shadowing(asked, taken.get(asked.rule.name, []))
    for rule in rules.also:
        if not space.exists([space.literal(whole(rule))]):
            yield _contradiction(rule, line[rule.name])


def _unreachable(asked: _Asked, earlier: Sequence[_Asked], space: Space) -> Finding:
    name = asked.rule.name
    if not space.exists([asked.holds]):
        return _contradiction(asked.rule, asked.line)
    needed = {-literal for literal in space.core([-other.holds for other in earlier], fixed=[asked.holds])}
    covering = list({other.holds: other for other in reversed(earlier) if other.holds in needed}.values())[::-1]
    if len(covering) == 1 and not space.exists([covering[0].holds, -asked.holds]):
        first = covering[0].rule.name
        message = (
            f"rules {first!r} and {name!r} hold for the same items and differ in their outcome only; {first!r} comes "
            f"first, so {name!r} never fires: remove one"
        )
        return Finding("error", "same-conditions", message, asked.line)
    names = ", ".join(repr(other.rule.name) for other in covering)
    takes = "takes" if len(covering) == 1 else "take"
    message = f"rule {name!r} never fires: {names} before it {takes} every item it is for; move it up or remove it"
    return Finding("error", "unreachable", message, asked.line)


def _contradiction(rule: Compiled, line: int | None) -> Finding:
    message = f"rule {rule.name!r} never holds: its conditions contradict each other"
    return Finding("error", "contradiction", message, line)


def _takers(
    asked: _Asked, earlier: Sequence[_Asked], any_earlier: int, space: Space
) -> Iterator[tuple[Compiled, Example]]:
    """Rules that own items for which this one holds too, each with such an item."""
    found: list[_Asked] = []
    while len(found) < _LOOKED_FOR:
        example = space.example([asked.holds, any_earlier, *(-other.fires for other in found)])
        if example is None:
            return
        first = next(other for other in earlier if space.true(other.holds))
        yield first.rule, example
        found.append(first)


def _shadowing(asked: _Asked, later: Sequence[tuple[Compiled, Example]]) -> Iterator[Finding]:
    """Rules that lose items to this one, those that would have been more urgent first and apart."""
    own = asked.rule.then
    differing = [(rule, example) for rule, example in later if _matters(own, rule.then)]
    worse = [(rule, example) for rule, example in differing if _less_urgent(own, rule.then) and not own.review]
    rest = [pair for pair in differing if pair not in worse]
    groups: list[tuple[Severity, list[tuple[Compiled, Example]]]] = [("warning", worse), ("note", rest)]
    for severity, group in groups:
        if group:
            names = ", ".join(repr(rule.name) for rule, _ in group[:_NAMED])
            more = f" and {len(group) - _NAMED} more" if len(group) > _NAMED else ""
            rule, example = group[0]
            urgency = f", with urgency {own.urgency} instead of {rule.then.urgency}" if severity == "warning" else ""
            message = (
                f"rule {asked.rule.name!r} takes some items of {names}{more} before them; e.g. of {rule.name!r}"
                f"{urgency}: {in_words(example)}"
            )
            yield Finding(severity, "shadowing", message, asked.line)


def _matters(first: Outcome, second: Outcome) -> bool:
    return first.model_dump(exclude={"tags"}) != second.model_dump(exclude={"tags"})


def _less_urgent(first: Outcome, second: Outcome) -> bool:
    return URGENCIES.index(first.urgency) < URGENCIES.index(second.urgency)


def _owners(rules: Rules, schema: LabelSchema, space: Space, lines: Mapping[faults.Path, int]) -> Iterator[Finding]:
    """Categories that nobody owns, and for which sentiments their items fall to the default."""
    if "category" not in schema.tasks:
        return
    nobody = [-space.literal(whole(rule)) for rule in rules.owning]
    sentiments = schema.tasks["sentiment"].keys if "sentiment" in schema.tasks else ()
    default = rules.file.default
    for label in schema.tasks["category"].keys:
        if rules.owner([label]) is not None:
            continue
        sure = [*space.only("category", label), *space.sure(), *nobody]
        falling = [mood for mood in sentiments if space.exists([*sure, *space.only("sentiment", mood)])]
        if falling or (not sentiments and space.exists(sure)):
            moods = f" with sentiment {', '.join(falling)}" if falling else ""
            message = (
                f"category {label!r} has no owner: items{moods} can fall to the default ({default.team}, urgency "
                f"{default.urgency}); name it in `owns` of a team"
            )
            yield Finding("warning", "no-owner", message, lines.get(("default",)))


def _named_in(value: object) -> Iterator[str]:
    """Every condition that is named after `is` anywhere within."""
    if isinstance(value, Mapping):
        named = value.get("is", ())
        yield from [named] if isinstance(named, str) else named
        for inner in value.values():
            yield from _named_in(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _named_in(inner)


def _rest(rules: Rules, lines: Mapping[faults.Path, int]) -> Iterator[Finding]:
    """Teams without a channel, urgent items without a time, and what nothing refers to."""
    file = rules.file
    for name, team in file.teams.items():
        if not team.channels:
            message = f"team {name!r} has no channel to deliver to; name one in `channels`"
            yield Finding("warning", "no-channel", message, lines.get(("teams", name)))
    outcomes = file.outcomes()
    for path, name, outcome in outcomes:
        if outcome.urgency == "urgent" and outcome.due_hours is None:
            message = f"{name} is urgent without `due_hours`: nobody is told by when"
            yield Finding("warning", "no-due-time", message, line_of(lines, path))
    asked = {
        value for atom in rules.numbers if isinstance(atom, OneOf) and atom.field == "text" for value in atom.values
    }
    for name in file.patterns:
        if name not in asked:
            place = min((line for path, line in lines.items() if path[:2] == ("patterns", name)), default=None)
            yield Finding("note", "unused", f"no rule asks for pattern {name!r}", place)
    used = {
        name for when in (*(rule.when for rule in file.rules), *file.conditions.values()) for name in _named_in(when)
    }
    for name in file.conditions:
        if name not in used:
            yield Finding("note", "unused", f"no rule asks for condition {name!r}", lines.get(("conditions", name)))
    for name in file.channels:
        if not any(name in team.channels for team in file.teams.values()):
            yield Finding("note", "unused", f"no team has channel {name!r}", lines.get(("channels", name)))
    named = {team for _, _, outcome in outcomes for team in (outcome.team, *outcome.notify)} | {*rules.owners.values()}
    for name in file.teams:
        if name not in named:
            yield Finding("note", "unused", f"team {name!r} gets no items", lines.get(("teams", name)))
