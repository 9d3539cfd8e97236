"""Later data corrects earlier data: the labels that somebody gave last are those that count."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from models.records import CANNOT_TELL, LabeledItem
from training.datasets import Row
from training.identity import Known, row_numbers

#: Changes of a label into another that a report names, the most frequent first.
_NAMED = 10


@dataclass
class Changes:
    """What later files changed.

    ``rows`` of them were read. Of the items, ``corrected`` got another label in some task, ``confirmed`` none other;
    ``added`` were not there before; ``withdrawn`` were taken out, since nobody can tell; ``set_aside`` are no feedback.
    By task: labels ``changed``, ``given`` where there were none, and ``same``; ``most`` are the changes that were made
    most often.
    """

    files: list[str]
    rows: int = 0
    corrected: int = 0
    confirmed: int = 0
    added: int = 0
    withdrawn: int = 0
    set_aside: int = 0
    of_task: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    pairs: dict[str, Counter[tuple[str, str]]] = field(default_factory=lambda: defaultdict(Counter))

    def as_json(self) -> dict[str, Any]:
        """The figures as they stand in reports."""
        named = ("rows", "corrected", "confirmed", "added", "withdrawn", "set_aside")
        tasks = {
            task: {what: self.of_task[task][what] for what in ("changed", "given", "same")}
            | {"most": [[*pair, count] for pair, count in self.pairs[task].most_common(_NAMED)]}
            for task in self.of_task
        }
        return {"files": self.files, **{name: getattr(self, name) for name in named}, "tasks": tasks}

    def in_words(self) -> str:
        """The figures in a line."""
        labels = "; ".join(
            f"{task}: {counts['changed']} changed, {counts['given']} given, {counts['same']} the same"
            for task, counts in self.of_task.items()
        )
        return (
            f"corrections: {self.rows} row(s) of {', '.join(self.files)}: {self.corrected} item(s) corrected,"
            f" {self.confirmed} confirmed, {self.added} added, {self.withdrawn} taken out because nobody can tell,"
            f" {self.set_aside} no feedback" + (f" ({labels})" if labels else "")
        )


def correct(
    rows: list[Row], dev: list[Row], later: Sequence[tuple[str, list[Row]]], tasks: Sequence[str], notes: list[str]
) -> tuple[list[Row], list[Row], Changes]:
    """Rows and dev as later files have them.

    A later row is of the same item as an earlier one if it has its id, or else its text but for case, accents and
    signs. It replaces the labels of all rows of the item, in ``dev`` too, task by task: one that it does not label
    keeps its label. An item that is new is added to the rows.

    Args:
        rows, dev: the rows of the first file, and those to measure by.
        later: further files by name, with their rows.
        tasks: whose labels count.
        notes: gets what a person should read.
    """
    changes = Changes([Path(name).name for name, _ in later])
    for name, correcting in later:
        earlier = [*rows, *dev]
        known = Known([row.item for row in earlier], (row.item for row in correcting))
        if known.numbered:
            notes.append(row_numbers(known.numbered, name))
        result: list[Row | None] = [*earlier]
        for row in correcting:
            changes.rows += 1
            places = [place for place in known.places(row.item) if result[place] is not None]
            before = result[places[0]] if places else None
            _count(None if before is None else before.item, row.item, tasks, changes)
            gone = row.item.set_aside == CANNOT_TELL
            for place in places:
                here = result[place] or row
                result[place] = None if gone else Row(row.place, _merged(here.item, row.item, tasks), here.sample)
            if not places and not gone:
                known.add(row.item)
                result.append(replace(row, sample=row.item.drawn))
        learn = [*result[: len(rows)], *result[len(earlier) :]]
        dev = [row for row in result[len(rows) : len(earlier)] if row is not None]
        rows = [row for row in learn if row is not None]
    return rows, dev, changes


def _merged(before: LabeledItem, now: LabeledItem, tasks: Sequence[str]) -> LabeledItem:
    """The later row, with what it leaves open as the earlier one has it."""
    if now.set_aside is not None:
        return now
    values: dict[str, Any] = {
        name: getattr(before, name) for name in type(now).model_fields if getattr(now, name) is None
    }
    # what a person found wrong does not come back because their own answer is to be given anew
    if now.labels("category") is not None or "category" in now.unsettled:
        values |= {"category": now.category, "categories": now.categories}
    if "sentiment" in now.unsettled:
        values.pop("sentiment", None)
    aside = {task: before.meta[task] for task in tasks if task in before.meta and task not in now.unsettled}
    return now.model_copy(update=values | {"meta": {**aside, **now.meta}})


def _count(before: LabeledItem | None, now: LabeledItem, tasks: Sequence[str], changes: Changes) -> None:
    if now.set_aside is not None:
        changes.withdrawn += now.set_aside == CANNOT_TELL
        changes.set_aside += now.set_aside != CANNOT_TELL
        return
    other = False
    for task in tasks:
        old, new = None if before is None else before.labels(task), now.labels(task)
        if new is None:
            continue
        what = "given" if old is None else "same" if sorted(old) == sorted(new) else "changed"
        changes.of_task[task][what] += 1
        other = other or what != "same"
        if old is not None and what == "changed":
            changes.pairs[task][_named(old), _named(new)] += 1
    changes.added += before is None
    changes.corrected += before is not None and other
    changes.confirmed += before is not None and not other


def _named(labels: Sequence[str]) -> str:
    return ", ".join(sorted(labels)) or "(none)"


def apart(rows: list[Row], dev: Sequence[Row], notes: list[str]) -> list[Row]:
    """The rows that are of no item in ``dev``: what is measured by is not learned from."""
    known = Known([row.item for row in dev], (row.item for row in rows))
    if known.numbered:
        notes.append(row_numbers(known.numbered, "--data"))
    kept = [row for row in rows if not known.places(row.item)]
    if len(kept) < len(rows):
        notes.append(
            f"{len(rows) - len(kept)} row(s) are of items that dev has too, by id or by text; they are measured by and"
            " not learned from"
        )
    return kept
