"""Reading a rules file and finding every fault in it at once, each with its line."""

import re
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from models.errors import RulesError, as_list, did_you_mean
from models.labels import LabelSchema
from models.validation import describe_one
from serving.routing import faults, patterns
from serving.routing.compiled import Rules
from serving.routing.conditions import Reader, label_names
from serving.routing.faults import Fault, Finding
from serving.routing.lines import line_numbers, line_of
from serving.routing.rules import Outcome, RulesFile

DEFAULT_RULES = Path(__file__).with_name("routing.toml")
#: What people keep in order by hand is smaller; more would only hold up the service.
MAX_BYTES = 1_000_000
MAX_RULES = 2_000

_AT_LINE = re.compile(r"\(at line (\d+), column \d+\)")
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{1,8})*")


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
    try:
        text = read_text(path)
        data = tomllib.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        return Loaded(None, [unreadable(error)], {})
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
        # what stands in the parts that are sound is looked at too, so that all is said at once
        return [*_shape_faults(error), *_faults_of_parts(data, schema)]
    reader = Reader(file.conditions, list(file.patterns), schema)
    conditions = [reader.read(rule.when, ("rules", number, "when")) for number, rule in enumerate(file.rules)]
    reader.check_named()
    found = [*reader.faults, *_reference_faults(file), *_pattern_faults(file), *_owner_faults(file, schema)]
    return found or Rules(file, conditions)


def read_text(path: Path) -> str:
    """The content of a file of rules or cases; OSError or ValueError if it cannot be one."""
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ValueError(f"expected at most {MAX_BYTES:,} bytes, got more; is it a rules file?")
    return content.decode().replace("\r\n", "\n")


def unreadable(error: Exception) -> Finding:
    """What keeps a file from being read, as a finding."""
    if isinstance(error, OSError):
        return Finding("error", "unreadable", f"cannot be read: {error.strerror or error}")
    if isinstance(error, tomllib.TOMLDecodeError):
        line = _AT_LINE.search(str(error))
        message = f"not valid TOML: {error}; text stands in quotes, and every table, list and quote is closed"
        return Finding("error", "syntax", message, int(line.group(1)) if line else None)
    if isinstance(error, RecursionError):
        return Finding("error", "syntax", "not readable as TOML: lists or tables are nested too deeply")
    if isinstance(error, UnicodeDecodeError):
        return Finding(
            "error", "syntax", f"expected UTF-8, got byte {error.object[error.start]:#04x}; save it as UTF-8"
        )
    return Finding("error", "too-large", str(error))


def _findings(found: list[Fault], lines: Mapping[faults.Path, int]) -> Iterator[Finding]:
    for fault in dict.fromkeys(found):
        place = _place(fault.path)
        yield Finding(
            "error", "fault", f"{place}: {fault.message}" if place else fault.message, line_of(lines, fault.path)
        )


def _place(path: faults.Path) -> str:
    """A path as one writes it: rules[2].when.category."""
    return "".join(f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


def _shape_faults(error: ValidationError) -> Iterator[Fault]:
    for detail in error.errors(include_url=False):
        path = tuple(part for part in detail["loc"] if part != "[key]")
        known = _known_keys(path)
        for line in describe_one(detail, known).split("\n"):
            yield Fault(path, line)


def _known_keys(path: faults.Path) -> list[str]:
    """The keys that may stand beside the last one of ``path``."""
    model: Any = RulesFile
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


def _faults_of_parts(data: dict[str, Any], schema: LabelSchema | None) -> Iterator[Fault]:
    named, own_patterns, rules = data.get("conditions"), data.get("patterns"), data.get("rules")
    sound = {name: table for name, table in _items(named) if isinstance(table, dict)}
    reader = Reader(sound, [name for name, _ in _items(own_patterns)], schema)
    for number, rule in enumerate(rules if isinstance(rules, list) else ()):
        if isinstance(rule, dict) and isinstance(rule.get("when"), dict):
            reader.read(rule["when"], ("rules", number, "when"))
    reader.check_named()
    yield from reader.faults


def _items(table: object) -> Iterator[tuple[str, object]]:
    yield from table.items() if isinstance(table, dict) else ()


def _reference_faults(file: RulesFile) -> Iterator[Fault]:
    for name, count in Counter(rule.name for rule in file.rules).items():
        if count > 1:
            last = max(number for number, rule in enumerate(file.rules) if rule.name == name)
            yield Fault(("rules", last, "name"), f"rule {name!r} stands {count} times; give each its own name")
    outcomes: list[tuple[faults.Path, Outcome]] = [(("default",), file.default), (("owned",), file.owned)]
    outcomes += [(("rules", number, "then"), rule.then) for number, rule in enumerate(file.rules)]
    for path, outcome in outcomes:
        named = [(outcome.team, "team")] if outcome.team else []
        for team, key in [*named, *((one, "notify") for one in outcome.notify)]:
            if team not in file.teams:
                yield Fault((*path, key), f"unknown team {team!r}; {did_you_mean(team, file.teams)}")
    for name, team_of in file.teams.items():
        for channel in team_of.channels:
            if channel not in file.channels:
                yield Fault(
                    ("teams", name, "channels"), f"unknown channel {channel!r}; {did_you_mean(channel, file.channels)}"
                )


def _pattern_faults(file: RulesFile) -> Iterator[Fault]:
    for name, by_language in file.patterns.items():
        if not by_language:
            yield Fault(("patterns", name), "expected what to look for by language, like [patterns.NAME.en], got none")
        for language, pattern in by_language.items():
            path: faults.Path = ("patterns", name, language)
            if not _LANGUAGE.fullmatch(language):
                yield Fault(path, f"expected a language tag like ro or zh-Hant, or `any`, got {language!r}")
            for inner, reason in patterns.faults_of(pattern, language):
                yield Fault((*path, *inner), reason)


def _owner_faults(file: RulesFile, schema: LabelSchema | None) -> Iterator[Fault]:
    seen: dict[str, str] = {}
    for name, team in file.teams.items():
        for number, pattern in enumerate(team.owns):
            path: faults.Path = ("teams", name, "owns", number)
            if pattern in seen:
                yield Fault(path, f"{pattern!r} is owned by {seen[pattern]!r} and {name!r}; give it one owner")
            seen.setdefault(pattern, name)
            if schema is not None and "category" in schema.tasks:
                known = label_names(schema, "category")
                if pattern not in known:
                    yield Fault(path, f"unknown category label {pattern!r}; {did_you_mean(pattern, known)}")
