"""Whether the operations of a migration fit a label schema and each other, and the schema that they make of it."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from pydantic import ValidationError

from models.errors import did_you_mean
from models.labels import Label, LabelSchema
from models.validation import describe


class Operation(NamedTuple):
    """One operation: its place in the file, what is done, and which labels of a task become which.

    The fields of a new label that were not given are not set.
    """

    place: str
    done: Literal["renamed", "merged", "split", "retired"]
    task: str
    old: tuple[str, ...]
    new: tuple[Label, ...]

    @property
    def gone(self) -> list[str]:
        """Labels that there are no more."""
        kept = {label.key for label in self.new} if self.done == "merged" else set()
        return [key for key in self.old if key not in kept]


def faults_of(operations: Sequence[Operation], schema: LabelSchema) -> list[str]:
    """Everything that is wrong with them, each with its place."""
    faults = []
    for one in operations:
        if one.task not in schema.tasks:
            faults.append(f"{one.place}: no task {one.task!r}; {did_you_mean(one.task, schema.tasks)}")
            continue
        known = schema.tasks[one.task].keys
        faults += [
            f"{one.place}: unknown {one.task} label {key!r}; {did_you_mean(key, known)}"
            for key in one.old
            if key not in known
        ]
        faults += [f"{one.place}: {fault}" for fault in _own_faults(one, known)]
    return faults or list(_faults_between(operations))


def _own_faults(one: Operation, known: Sequence[str]) -> Iterator[str]:
    new = [label.key for label in one.new]
    for key, count in Counter((*one.old, *new) if one.done == "split" else one.old).items():
        if count > 1 and one.done == "split" and key in one.old:
            yield (
                f"{key!r} is split into itself, and nobody could tell what was labelled before from what is labelled"
                " after; give each successor another key"
            )
        elif count > 1:
            yield f"{key!r} stands {count} times; keep one"
    if one.done == "renamed" and new[0] == one.old[0]:
        yield f"{new[0]!r} is renamed to itself; give another `to`, or leave it out"
    elif one.done == "renamed" and new[0] in known:
        yield f"{new[0]!r} exists already; to join both write [[merge]] from = [{one.old[0]!r}, {new[0]!r}]"
    if one.done == "merged" and new[0] in known and new[0] not in one.old:
        yield f"{new[0]!r} exists already; name it among `from`, or give a new key"
    if one.done == "retired":
        if new and new[0] == one.old[0]:
            yield f"{new[0]!r} is retired in favour of itself; give another `to`"
        elif new and new[0] not in known:
            yield f"`to` is an unknown label {new[0]!r}; {did_you_mean(new[0], known)}; for a new one write [[rename]]"


def _faults_between(operations: Sequence[Operation]) -> Iterator[str]:
    taken: dict[tuple[str, str], Operation] = {}
    for one in operations:
        for key in one.old:
            other = taken.setdefault((one.task, key), one)
            if other is not one:
                yield f"{one.place}: {key!r} is {other.done} by {other.place} already; do one or the other"
    made: dict[tuple[str, str], Operation] = {}
    for one in operations:
        for label in one.new:
            place = one.task, label.key
            source = taken.get(place)
            if source is not None and source is not one:
                yield (
                    f"{one.place}: {label.key!r}, which others become, is {source.done} itself by {source.place}; say"
                    " at once what each label becomes in the end, or write two migrations"
                )
            other = made.setdefault(place, one)
            if other is not one and not (one.done == other.done == "retired"):
                yield f"{one.place}: {label.key!r} is made by {other.place} too; merge them, or choose another key"


def migrated(
    schema: LabelSchema, operations: Sequence[Operation], families: Mapping[str, Mapping[str, str]], digest: str
) -> LabelSchema | list[str]:
    """The schema that sound operations make of another, or what would be wrong with it.

    New labels stand where the first of those stood that they come from.

    Args:
        schema: the schema before.
        operations: without faults.
        families: titles of new families by task and key.
        digest: of the migration; it is written into the schema.
    """
    fields = schema.model_dump()
    fields["migrations"] = (*schema.migrations, digest)
    unknown = [task for task in families if task not in schema.tasks]
    if unknown:
        return [f"families: no task {unknown[0]!r}; {did_you_mean(unknown[0], schema.tasks)}"]
    for name, task in fields["tasks"].items():
        for one in operations:
            if one.task == name:
                task["labels"] = _changed(task["labels"], one)
        used = {label["key"].partition("/")[0] for label in task["labels"] if "/" in label["key"]}
        kept = {key: title for key, title in task["families"].items() if key in used}
        task["families"] = {**kept, **families.get(name, {})}
    try:
        return LabelSchema.model_validate(fields)
    except ValidationError as error:
        return [f"the schema that would come of it: {line}" for line in describe(error, (), "labels")]


def _changed(labels: Sequence[dict[str, Any]], one: Operation) -> list[dict[str, Any]]:
    before = {label["key"]: label for label in labels}
    source = before[one.old[0]]
    values = [before[key]["value"] for key in one.old if before[key]["value"] is not None]
    value = sum(values) / len(values) if values and one.done != "retired" else None
    made = []
    for new in one.new:
        given = {name: getattr(new, name) for name in new.model_fields_set}
        own = before.get(new.key, {"title": "", "description": "", "value": value})
        # a label that only gets another key is still the same to people
        made.append({**(source if one.done == "renamed" else own), **given})
    keys = {label["key"] for label in made}
    # those that exist keep their place
    place = next((key for key in one.old if key not in keys), None)
    found = []
    for label in labels:
        if label["key"] == place:
            found += [new for new in made if new["key"] not in before]
        if label["key"] in keys:
            found += [new for new in made if new["key"] == label["key"]]
        elif label["key"] not in one.old:
            found.append(label)
    return found
