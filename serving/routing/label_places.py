"""Where labels stand in a file of rules or cases, and how they read after a migration; all else stays as it is."""

import json
import re
import tomllib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from models.labels import LabelSchema
from models.migration.moves import Migration
from serving.routing.faults import Path
from serving.routing.fields import GROUPS, known_fields
from serving.routing.fields import field as field_called
from serving.routing.lines import line_numbers, line_of, value_spans

_COMMA = re.compile(r"[ \t]*,[ \t]*")
_LAST_COMMA = re.compile(r",[ \t]*\]\Z")


class Place(NamedTuple):
    """Labels of a task, one or a list, at a place of a document. ``joined`` tells that all of them have to hold;
    ``empty`` that there may be none."""

    path: Path
    task: str
    value: Any
    joined: bool = False
    empty: bool = False


@dataclass
class Edited:
    """A text after a migration: how many labels changed, and what could not be said in the new ones, each with its
    line."""

    text: str
    changes: int = 0
    left: list[str] = field(default_factory=list)


def places_in_rules(data: Mapping[str, Any]) -> Iterator[Place]:
    """Labels in a rules file."""
    for name, team in _tables(data.get("teams")):
        if "owns" in team:
            yield Place(("teams", name, "owns"), "category", team["owns"], empty=True)
    for name, conditions in _tables(data.get("conditions")):
        yield from _in_conditions(conditions, ("conditions", name))
    rules = data.get("rules")
    for number, rule in enumerate(rules if isinstance(rules, list) else []):
        if isinstance(rule, Mapping):
            yield from _in_conditions(rule.get("when"), ("rules", number, "when"))


def _tables(value: object) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if isinstance(value, Mapping):
        yield from ((name, inner) for name, inner in value.items() if isinstance(inner, Mapping))


def _in_conditions(when: object, path: Path) -> Iterator[Place]:
    if not isinstance(when, Mapping):
        return
    for key, value in when.items():
        own = (*path, key)
        if key in ("any", "all"):
            for number, inner in enumerate(value if isinstance(value, list) else []):
                yield from _in_conditions(inner, (*own, number))
        elif key == "not":
            yield from _in_conditions(value, own)
        elif key in GROUPS:
            for name, inner in value.items() if isinstance(value, Mapping) else ():
                yield from _of_field(f"{key}.{name}", inner, (*own, name))
        elif key in known_fields():
            yield from _of_field(key, value, own)


def _of_field(name: str, value: object, path: Path) -> Iterator[Place]:
    task = field_called(name).task
    if task is None:
        return
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if key in ("any", "all", "none"):
                yield Place((*path, key), task, inner, joined=key == "all")
    else:
        yield Place(path, task, value)


def places_in_cases(data: Mapping[str, Any]) -> Iterator[Place]:
    """Labels in a file of cases."""
    cases = data.get("cases")
    for number, case in enumerate(cases if isinstance(cases, list) else []):
        said = case.get("predicted") if isinstance(case, Mapping) else None
        if not isinstance(said, Mapping):
            continue
        own: Path = ("cases", number, "predicted")
        if "category" in said:
            yield Place((*own, "category"), "category", said["category"], empty=True)
        if "sentiment" in said:
            yield Place((*own, "sentiment"), "sentiment", said["sentiment"])
        tasks = said.get("tasks")
        for task, value in tasks.items() if isinstance(tasks, Mapping) else ():
            yield Place((*own, "tasks", task), task, value, empty=True)


def edited(
    text: str,
    places: Callable[[Mapping[str, Any]], Iterator[Place]],
    migration: Migration,
    schema: LabelSchema,
    *,
    said: bool = False,
) -> Edited:
    """A text with its labels as they are called now. A label that was split becomes all its successors, and a family
    that lost labels is named with those that it lost.

    Args:
        text: a valid TOML document.
        places: where labels stand in it.
        migration: what becomes of them.
        schema: the labels before; after, where it is migrated already.
        said: labels are what a model said, which has one answer to a single task.
    """
    spans, lines = value_spans(text), line_numbers(text)
    found = Edited(text)
    changes: list[tuple[int, int, str]] = []
    listed = [one for one in places(tomllib.loads(text)) if one.task in migration.tasks]
    # a label that has an owner of its own is not that of its family's
    owned = {
        new
        for place in listed
        if place.path[0] == "teams"
        for value in _values(place)
        for new in migration.tasks[place.task].successors(value)
    }
    for place in listed:
        values = _values(place)
        without = owned if place.path[0] == "teams" else set()
        new = [_successors(value, place.task, migration, schema, without) for value in values]
        if said and migration.tasks[place.task].single:
            new = [one[:1] for one in new]
        flat = list(dict.fromkeys(label for one in new for label in one))
        if flat == values or all(one == [value] for one, value in zip(new, values, strict=True)):
            continue
        why = _unsayable(place, values, new, flat)
        if why is not None:
            found.left.append(f"line {line_of(lines, place.path)}: {why}")
            continue
        found.changes += sum(one != [value] for one, value in zip(new, values, strict=True))
        start, end = spans[place.path]
        if isinstance(place.value, list):
            written = _list_anew(text, place.path, values, new, spans)
        else:
            written = json.dumps(flat[0], ensure_ascii=False) if len(flat) == 1 else f"[{_quoted(flat)}]"
        changes.append((start, end, written))
    for start, end, written in sorted(changes, reverse=True):
        found.text = found.text[:start] + written + found.text[end:]
    return found


def _values(place: Place) -> list[str]:
    values = place.value if isinstance(place.value, list) else [place.value]
    return values if all(isinstance(value, str) for value in values) else []


def _quoted(labels: Sequence[str]) -> str:
    return ", ".join(json.dumps(label, ensure_ascii=False) for label in labels)


def _unsayable(place: Place, values: Sequence[str], new: Sequence[Sequence[str]], flat: Sequence[str]) -> str | None:
    gone = [value for value, one in zip(values, new, strict=True) if not one]
    if place.joined and gone:
        return f"`all` asks for {gone[0]!r}, which is retired, so that it can never hold; write it anew"
    wide = [value for value, one in zip(values, new, strict=True) if len(one) > 1]
    if place.joined and wide:
        return f"`all` cannot ask for one of several, and {wide[0]!r} becomes several; write it with `any` = [{{…}}]"
    if not flat and not place.empty:
        return f"nothing is left in the place of {values[0]!r}, which is retired; take the condition or the rule out"
    return None


def _successors(
    value: str, task: str, migration: Migration, schema: LabelSchema, without: Collection[str]
) -> list[str]:
    """What a label, or all labels of a family, are called now; of a family without some that it lost."""
    moves = migration.tasks[task]
    family = value.removesuffix("/*")
    if family == value:
        return list(moves.successors(value))
    members = [label.key for label in schema.tasks[task].labels if label.family == family and label.key != family]
    lost = {new for new in without if new not in members}
    became = [new for label in members for new in moves.successors(label) if new not in lost]
    labels = migration.new.tasks[task].labels
    found: list[str] = []
    for new in became:
        own = next((label.family for label in labels if label.key == new), new)
        whole = [label.key for label in labels if label.family == own and "/" in label.key]
        found.append(f"{own}/*" if whole and set(whole) <= set(became) else new)
    return list(dict.fromkeys(found)) or ([] if members else [value])


def _list_anew(
    text: str, path: Path, values: Sequence[str], new: Sequence[Sequence[str]], spans: Mapping[Path, tuple[int, int]]
) -> str:
    """A list with some elements changed, so that its lines and comments stay."""
    begin, end = spans[path]
    found = text[begin:end]
    seen: set[str] = set()
    changes = []
    for number, (value, labels) in enumerate(zip(values, new, strict=True)):
        later = () if list(labels) == [value] else values[number + 1 :]
        kept = [label for label in labels if label not in seen and label not in later]
        seen.update(kept)
        first, last = (place - begin for place in spans[(*path, number)])
        if not kept and (comma := _COMMA.match(found, last)):
            last = comma.end()
        if kept != [value]:
            changes.append((first, last, _quoted(kept)))
    ragged = _LAST_COMMA.search(found)
    for first, last, written in reversed(changes):
        found = found[:first] + written + found[last:]
    return found if ragged else _LAST_COMMA.sub("]", found)
