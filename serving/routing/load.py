"""Reading a rules file and finding every fault in it at once, each with its line."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError

from models.errors import RulesError, as_list
from models.labels import LabelSchema
from models.validation import describe_one
from serving.routing import faults
from serving.routing.compiled import Rules
from serving.routing.conditions import Condition, Reader
from serving.routing.faults import Fault, Finding
from serving.routing.lines import line_numbers, line_of
from serving.routing.partial import without
from serving.routing.references import faults_between
from serving.routing.rules import RulesFile

DEFAULT_RULES = Path(__file__).with_name("routing.toml")
#: What people keep in order by hand is smaller; more would only hold up the service.
MAX_BYTES = 1_000_000
MAX_RULES = 2_000
_DEEPEST = 50

_AT_LINE = re.compile(r"\(at line (\d+), column \d+\)")


class Loaded(NamedTuple):
    """The rules, if they can be used, every fault found, and the lines of what stands in the file."""

    rules: Rules | None
    findings: list[Finding]
    lines: Mapping[faults.Path, int]


def load_rules(path: Path, schema: LabelSchema | None = None) -> Rules:
    """The rules in ``path``; with a schema, their labels are checked against it.

    Raises:
        RulesError: the file is faulty; every fault is listed.
    """
    loaded = read_rules(path, schema)
    if loaded.rules is None:
        raise RulesError(f"{path}: {len(loaded.findings)} fault(s) in the rules{as_list(in_words(loaded.findings))}")
    return loaded.rules


def in_words(findings: list[Finding]) -> list[str]:
    """Findings as lines of text."""
    return [f"line {one.line}: {one.message}" if one.line is not None else one.message for one in findings]


def read_rules(path: Path, schema: LabelSchema | None = None) -> Loaded:
    """What is in a rules file, and every fault that keeps it from being used."""
    text = ""
    try:
        text = read_text(path)
        data = tomllib.loads(text)
        if _depth(data) > _DEEPEST:
            raise RecursionError
    except (OSError, ValueError, RecursionError) as error:
        return Loaded(None, [unreadable(error, text)], {})
    rules = data.get("rules")
    if isinstance(rules, list) and len(rules) > MAX_RULES:
        many = f"expected at most {MAX_RULES:,} rules, got {len(rules):,}; join those that differ in a value only"
        return Loaded(None, [Finding("error", "too-large", many)], {})
    lines = line_numbers(text)
    found = _checked(data, schema)
    if isinstance(found, Rules):
        return Loaded(found, [], lines)
    return Loaded(None, sorted(_findings(found, lines), key=lambda one: one.line or 0), lines)


def _checked(data: dict[str, Any], schema: LabelSchema | None) -> Rules | list[Fault]:
    try:
        file = RulesFile.model_validate(data)
    except ValidationError as error:
        # what is sound is looked at too, so that all is said at once
        shape = list(shape_faults(error))
        rest = without(data, shape)
        try:
            found, _ = _content(RulesFile.model_validate(rest), schema)
        except ValidationError:
            return shape
        return [*shape, *found]
    found, conditions = _content(file, schema)
    return found or Rules(file, conditions)


def _content(file: RulesFile, schema: LabelSchema | None) -> tuple[list[Fault], list[tuple[Condition, ...]]]:
    """Faults of a file that has the right shape, and the conditions of its rules."""
    reader = Reader(file.conditions, list(file.patterns), schema)
    conditions = [reader.read(rule.when, ("rules", number, "when")) for number, rule in enumerate(file.rules)]
    reader.check_named()
    return [*reader.faults, *faults_between(file, schema)], conditions


def _depth(data: object) -> int:
    """How many tables and lists stand within each other."""
    deepest, open_parts = 0, [(data, 1)]
    while open_parts:
        part, depth = open_parts.pop()
        inner = part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
        deepest = max(deepest, depth)
        open_parts += [(one, depth + 1) for one in inner if isinstance(one, dict | list)]
    return deepest


def read_text(path: Path) -> str:
    """The content of a file of rules or cases; OSError or ValueError if it cannot be one."""
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ValueError(f"expected at most {MAX_BYTES:,} bytes, got more; is it a rules file?")
    return content.decode("utf-8-sig").replace("\r\n", "\n")


def unreadable(error: Exception, text: str = "") -> Finding:
    """What keeps a file, with this text, from being read, as a finding."""
    if isinstance(error, OSError):
        return Finding("error", "unreadable", f"cannot be read: {error.strerror or error}")
    if isinstance(error, tomllib.TOMLDecodeError):
        line = _AT_LINE.search(str(error))
        message = f"not valid TOML: {error}; text stands in quotes, and every table, list and quote is closed"
        last = text.rstrip("\n").count("\n") + 1  # "at end of document"
        return Finding("error", "syntax", message, int(line.group(1)) if line else last)
    if isinstance(error, RecursionError):
        return Finding("error", "syntax", "not readable as TOML: lists or tables are nested too deeply")
    if isinstance(error, UnicodeDecodeError):
        return Finding(
            "error", "syntax", f"expected UTF-8, got byte {error.object[error.start]:#04x}; save it as UTF-8"
        )
    return Finding("error", "too-large", str(error))


def _findings(found: list[Fault], lines: Mapping[faults.Path, int]) -> Iterator[Finding]:
    for fault in dict.fromkeys(found):
        place = place_of(fault.path)
        yield Finding(
            "error", "fault", f"{place}: {fault.message}" if place else fault.message, line_of(lines, fault.path)
        )


def place_of(path: faults.Path) -> str:
    """A path as one writes it: rules[2].when.category."""
    return "".join(f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


def shape_faults(error: ValidationError, model: type[BaseModel] = RulesFile) -> Iterator[Fault]:
    """What pydantic found wrong in a document, each with its path and in words."""
    for detail in error.errors(include_url=False):
        path = tuple(part for part in detail["loc"] if part != "[key]")
        known = _known_keys(path, model)
        for line in describe_one(detail, known).split("\n"):
            yield Fault(path, line)


def _known_keys(path: faults.Path, model: Any) -> list[str]:
    """The keys that may stand beside the last one of ``path``."""
    for part in path[:-1]:
        if not isinstance(part, str) or model is None:
            continue
        known = getattr(model, "model_fields", None)
        model = _inner(known[part].annotation) if known and part in known else model
    return list(model.model_fields) if hasattr(model, "model_fields") else []


def _inner(annotation: Any) -> Any:
    """The model within an annotation such as Mapping[str, Team] or tuple[Rule, ...]."""
    if hasattr(annotation, "model_fields"):
        return annotation
    found = [inner for part in getattr(annotation, "__args__", ()) if (inner := _inner(part)) is not None]
    return found[0] if found else None
