"""A migration as a person writes it: labels that are renamed, merged, split or retired, in TOML."""

import hashlib
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from models.errors import SchemaError, as_list
from models.labels import Label, LabelSchema
from models.migration.check import Operation, faults_of, migrated
from models.migration.moves import Migration, TaskMoves
from models.validation import describe


def _tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, populate_by_name=True)


class _Named(_Strict):
    """What the new label is called by people; what is left out stays as it was."""

    title: str | None = None
    description: str | None = None
    value: Annotated[float, Field(ge=-1, le=1)] | None = None

    def label(self, key: str) -> dict[str, Any]:
        """The fields that were given, as those of a label."""
        return {"key": key, **self.model_dump(include={"title", "description", "value"}, exclude_none=True)}


class Rename(_Named):
    """A label gets another key, in its place."""

    task: str
    old: str = Field(alias="from")
    to: str


class Merge(_Named):
    """Several labels become one: a new one, or one of them."""

    task: str
    old: Annotated[tuple[str, ...], BeforeValidator(_tuple), Field(alias="from", min_length=2)]
    to: str


class Successor(_Named):
    """One of the labels that another is split into."""

    key: str


def _successor(value: object) -> object:
    return {"key": value} if isinstance(value, str) else value


class Split(_Strict):
    """A label becomes several, and what had it is to be labelled again."""

    task: str
    old: str = Field(alias="from")
    into: Annotated[
        tuple[Annotated[Successor, BeforeValidator(_successor)], ...], BeforeValidator(_tuple), Field(min_length=2)
    ]


class Retire(_Strict):
    """A label goes; what had it gets the label ``to``, or none."""

    task: str
    label: str
    to: str | None = None


class MigrationFile(_Strict):
    """All that stands in the file. ``families`` are titles of new families, by task and family."""

    version: Literal[1] = 1
    rename: Annotated[tuple[Rename, ...], BeforeValidator(_tuple)] = ()
    merge: Annotated[tuple[Merge, ...], BeforeValidator(_tuple)] = ()
    split: Annotated[tuple[Split, ...], BeforeValidator(_tuple)] = ()
    retire: Annotated[tuple[Retire, ...], BeforeValidator(_tuple)] = ()
    families: Mapping[str, Mapping[str, str]] = {}

    def operations(self) -> list[Operation]:
        """What is done, each with its place in the file."""
        found = [
            Operation(f"rename {n}", "renamed", r.task, (r.old,), (Label.model_construct(**r.label(r.to)),))
            for n, r in enumerate(self.rename, 1)
        ]
        found += [
            Operation(f"merge {n}", "merged", m.task, m.old, (Label.model_construct(**m.label(m.to)),))
            for n, m in enumerate(self.merge, 1)
        ]
        found += [
            Operation(
                f"split {n}", "split", s.task, (s.old,), tuple(Label.model_construct(**p.label(p.key)) for p in s.into)
            )
            for n, s in enumerate(self.split, 1)
        ]
        return found + [
            Operation(
                f"retire {n}",
                "retired",
                r.task,
                (r.label,),
                () if r.to is None else (Label.model_construct(key=r.to),),
            )
            for n, r in enumerate(self.retire, 1)
        ]


def read_migration(path: Path, schema: LabelSchema) -> Migration:
    """The migration in ``path``, of this schema, or of the one that it made of it before.

    Raises:
        SchemaError: the file is faulty, or does not fit the schema; every fault is listed.
    """
    operations, families, faults = _read(path)
    if faults:
        raise SchemaError(f"{path}: {len(faults)} fault(s) in the migration{as_list(faults)}")
    digest = _digest(operations)
    # a label may have got its old key back since
    gone = {(one.task, key) for one in operations for key in one.gone}
    there = {(name, key) for name, task in schema.tasks.items() for key in task.keys}
    applied = digest in schema.migrations and not gone & there
    faults = [] if applied else faults_of(operations, schema)
    new = schema
    if not applied and not faults:
        found = migrated(schema, operations, families, digest)
        new, faults = (found, []) if isinstance(found, LabelSchema) else (schema, found)
    if faults:
        raise SchemaError(f"{path}: {len(faults)} fault(s) in the migration, nothing was changed{as_list(faults)}")
    return Migration(digest, moves_of(operations, new), None if applied else schema, new)


def _read(path: Path) -> tuple[list[Operation], Mapping[str, Mapping[str, str]], list[str]]:
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        return [], {}, ["file not found; expected a file with [[rename]], [[merge]], [[split]] or [[retire]]"]
    except OSError as error:
        return [], {}, [f"expected a readable file: {error.strerror}"]
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        return [], {}, [f"not valid TOML: {error}"]
    try:
        file = MigrationFile.model_validate(data)
    except ValidationError as error:
        return [], {}, describe(error, [*MigrationFile.model_fields, "from", "to", "into", "label", "task"], "file")
    operations = file.operations()
    if not operations:
        return [], {}, ["expected at least one of [[rename]], [[merge]], [[split]] and [[retire]], got none"]
    return operations, file.families, []


def _digest(operations: list[Operation]) -> str:
    """Of what becomes of which label, whatever titles are given."""
    content = sorted([one.done, one.task, *one.old, ">", *(label.key for label in one.new)] for one in operations)
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:12]


def moves_of(operations: list[Operation], schema: LabelSchema) -> dict[str, TaskMoves]:
    """What becomes of labels by sound operations, by task."""
    found = {}
    for task in dict.fromkeys(one.task for one in operations):
        own = [one for one in operations if one.task == task]
        to = {
            old: one.new[0].key
            for one in own
            if one.done != "split" and one.new
            for old in one.old
            if old != one.new[0].key
        }
        split = {one.old[0]: tuple(label.key for label in one.new) for one in own if one.done == "split"}
        retired = frozenset(one.old[0] for one in own if one.done == "retired" and not one.new)
        found[task] = TaskMoves(schema.task(task).kind == "single", to, split, retired)
    return found
