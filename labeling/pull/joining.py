"""One answer of several: what the annotators of an item say together."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from labeling.pull.answers import Labels
from models.labels import LabelSchema

#: ``majority``: more than half decide, of a multi task on each label. ``agree``: all must say the same.
Rule = Literal["majority", "agree"]


@dataclass(frozen=True)
class Given:
    """One annotation that counts: whose, when it was last changed (ISO 8601 in UTC), and what it says."""

    annotation_id: int
    annotator: str
    updated_at: str
    labels: Labels
    set_aside: str | None = None


@dataclass(frozen=True)
class Joined:
    """What an item's annotators say together, or what they do not agree on.

    ``labels`` by task, or ``set_aside``; both empty while ``open`` names what is to be settled, a line each.
    ``by`` are the annotations that counted, one a person.
    """

    labels: Labels
    set_aside: str | None
    open: tuple[str, ...]
    by: tuple[Given, ...]


def one_each(given: Sequence[Given]) -> list[Given]:
    """The latest annotation of each person, in the order of their names."""
    latest: dict[str, Given] = {}
    for one in sorted(given, key=lambda one: (one.updated_at, one.annotation_id)):
        latest[one.annotator] = one
    return [latest[name] for name in sorted(latest)]


def join(
    given: Sequence[Given], schema: LabelSchema, rule: Rule = "majority", adjudicators: Collection[str] = ()
) -> Joined:
    """Join the annotations of one item.

    A person counts once, with the latest. Where an adjudicator has answered, only adjudicators count. First it is asked
    whether the item is set aside and why, of all; then for the labels, of those who gave some. A task that nobody
    answered is left without labels; one that somebody left out is decided by the others. That no label applies must
    be said by as many as that one does: three who each say another settle nothing.

    Args:
        given: its annotations, one at least.
        schema: the tasks.
        rule: how many must agree.
        adjudicators: annotators whose word is final.
    """
    people = one_each(given)
    final = [one for one in people if one.annotator in adjudicators]
    people = final or people
    by = tuple(people)
    aside = Counter(one.set_aside for one in people)
    reason, votes = aside.most_common(1)[0]
    if not _enough(votes, len(people), rule):
        counted = ", ".join(f"{why or 'labels'} {count}" for why, count in sorted(aside.items(), key=str))
        return Joined({}, None, (f"set aside or not: {counted}",), by)
    if reason is not None:
        return Joined({}, reason, (), by)
    labels: dict[str, tuple[str, ...]] = {}
    unsettled = []
    for name, task in schema.tasks.items():
        votes_of = [one.labels[name] for one in people if one.set_aside is None and name in one.labels]
        if not votes_of:
            continue
        said = Counter(label for answer in votes_of for label in answer)
        verdicts = {label: _applies(said[label], len(votes_of), rule) for label in task.keys}
        applying = tuple(label for label in task.keys if verdicts[label])
        # where each said another label every single one is outvoted, and yet most said that something applies
        scattered = not applying and not _enough(sum(not answer for answer in votes_of), len(votes_of), rule)
        if None in verdicts.values() or scattered or (task.kind == "single" and len(applying) != 1):
            counted = ", ".join(f"{label} {count}" for label, count in said.most_common())
            unsettled.append(f"{name}: {counted} of {len(votes_of)}")
        labels[name] = applying
    return Joined({}, None, tuple(unsettled), by) if unsettled else Joined(labels, None, (), by)


def _applies(votes: int, people: int, rule: Rule) -> bool | None:
    """Whether a label applies; None where too few say that it does, and too few that it does not."""
    if _enough(votes, people, rule):
        return True
    return False if _enough(people - votes, people, rule) else None


def _enough(votes: int, people: int, rule: Rule) -> bool:
    return votes == people if rule == "agree" else 2 * votes > people
