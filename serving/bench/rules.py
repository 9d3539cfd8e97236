"""How fast the rules layer decides, beside rule engines that read expressions, on equivalent rules and the same items.

Every engine's owner of every item is compared with ours first: a faster wrong answer is worth nothing. Ours also gives
reasons, the way through the rules and due times; the others only say which rule holds.
"""

import gc
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from models.errors import FeedbackError
from models.labels import LabelSchema
from models.progress import Progress
from models.records import FeedbackItem, ModelName, Prediction, TaskPrediction
from serving.routing.compiled import Rules
from serving.routing.decide import decide
from serving.routing.history import read_lines
from serving.routing.load import DEFAULT_RULES, load_rules
from serving.routing.replay import replay_files

_NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
_PHRASES = ("money back", "caught fire", "never again", "speak to a manager", "lawyer", "wrong size", "battery")
_WORDS = (
    *("the", "parcel", "came", "late", "and", "its", "lid", "is", "cracked", "so", "i", "want", "my", "money"),
    *("back", "or", "speak", "to", "a", "manager", "battery", "dead", "again", "never", "size", "wrong"),
)
_CHANNELS, _COUNTRIES = ("email", "chat", "store", "app"), ("RO", "PL", "IT", "CN", "TW")

Decide = Callable[[int], str]


class BenchRule(NamedTuple):
    """One rule of the benchmark, for every engine: all that is given has to hold."""

    team: str
    category: tuple[str, ...]
    sentiment: tuple[str, ...]
    nps_at_most: int | None
    channel: str | None
    country: str | None
    phrase: str | None

    def as_toml(self, name: str) -> str:
        """The rule as it stands in a rules file."""
        lines = [f'[[rules]]\nname = "{name}"']
        lines += [f"when.category = {list(self.category)}"] if self.category else []
        lines += [f"when.sentiment = {list(self.sentiment)}"] if self.sentiment else []
        lines += [f"when.nps = {{ min = 0, max = {self.nps_at_most} }}"] if self.nps_at_most is not None else []
        lines += [f'when.channel = "{self.channel}"'] if self.channel else []
        lines += [f'when.country = "{self.country}"'] if self.country else []
        lines += [f'when.text = "{self.phrase.replace(" ", "-")}"'] if self.phrase else []
        return "\n".join(lines).replace("'", '"') + f'\nthen = {{ team = "{self.team}", due_hours = 8 }}\n'

    def as_expression(self, both: str, either: str, phrase: Callable[[str], str]) -> str:
        """The rule as an expression, with an engine's words for and, for or, and for a phrase in the text."""
        labels = f" {either} ".join(f"'{label}' in category" for label in self.category)
        parts = [f"({labels})"] if labels else []
        parts += [f"sentiment in {list(self.sentiment)}"] if self.sentiment else []
        parts += [f"nps >= 0 {both} nps <= {self.nps_at_most}"] if self.nps_at_most is not None else []
        parts += [f"channel == '{self.channel}'"] if self.channel else []
        parts += [f"country == '{self.country}'"] if self.country else []
        parts += [phrase(self.phrase)] if self.phrase else []
        return f" {both} ".join(parts)


@dataclass(frozen=True)
class Measured:
    """Decisions a second of one engine over one set of rules: median, lowest and highest of the repeats."""

    rules: str
    engine: str
    rate: float
    lowest: float
    highest: float
    ratio: float


def bench(
    progress: Progress, repeats: int = 5, *, many: int = 1000, items_count: int = 2000, seed: int = 1
) -> list[Measured]:
    """Every engine on 20 rules over fields, 20 with text patterns among them, and ``many`` over fields, on one core.

    Raises:
        FeedbackError: an engine sends an item elsewhere than ours; the rates would mean nothing.
    """
    schema = LabelSchema.load()
    chance = random.Random(seed)
    items = [_item(schema, chance) for _ in range(items_count)]
    sets = {
        "20 rules on fields": [_rule(schema, chance) for _ in range(20)],
        "20 rules, 5 of them on the text": [
            _text_rule(chance) if number % 4 == 0 else _rule(schema, chance) for number in range(20)
        ],
        f"{many:,} narrow rules on fields": [_narrow_rule(schema, chance) for _ in range(many)],
    }
    found: list[Measured] = []
    for title, rules in sets.items():
        engines = _engines(rules, schema, items)
        own = [engines["feedback-classifier"](number) for number in range(len(items))]
        with progress.stage(title, len(engines) * repeats, "runs") as advance:
            rates: dict[str, list[float]] = {}
            for name, decided in engines.items():
                sample = _sample(decided, len(items))
                for number in range(sample):
                    if (got := decided(number)) != own[number]:
                        raise FeedbackError(f"{name} sends item {number} to {got!r}, ours to {own[number]!r} ({title})")
                for _ in range(repeats):
                    rates.setdefault(name, []).append(_rate(decided, sample))
                    advance(1)
        ours = statistics.median(rates["feedback-classifier"])
        for name, runs in rates.items():
            median = statistics.median(runs)
            found.append(Measured(title, name, median, min(runs), max(runs), ours / median))
    return found


def bench_replay(progress: Progress, items_count: int = 100_000, seed: int = 1) -> tuple[float, int]:
    """Seconds that a replay of so many items takes by the shipped rules and by more urgent ones, and how many
    move; reading the items from a file is part of it, writing that file is not."""
    schema, chance = LabelSchema.load(), random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        data, new = Path(folder) / "past.jsonl", Path(folder) / "routing.toml"
        new.write_text(DEFAULT_RULES.read_text(encoding="utf-8").replace('urgency = "high"', 'urgency = "urgent"'))
        with progress.stage("writing items", items_count, "items") as advance, data.open("w", encoding="utf-8") as file:
            for _ in range(items_count):
                item, prediction = _item(schema, chance)
                row = item.model_dump(mode="json", exclude_unset=True)
                row["prediction"] = prediction.model_dump(mode="json")
                for task, answer in row["prediction"]["tasks"].items():  # rows as long as real ones
                    answer["probabilities"] = dict.fromkeys(schema.tasks[task].keys, 0.1234)
                file.write(json.dumps(row) + "\n")
                advance(1)
        with progress.stage("replaying", items_count, "items") as advance:
            start = time.perf_counter()
            found = replay_files(read_lines(data, None), DEFAULT_RULES, new, schema, advance).found
            return time.perf_counter() - start, found.moved


def _sample(decided: Decide, most: int) -> int:
    """As many items as an engine decides in about half a second."""
    start = time.perf_counter()
    count = 0
    while count < most and time.perf_counter() - start < 0.5:
        decided(count)
        count += 1
    return count


def _rate(decided: Decide, count: int) -> float:
    gc.collect()
    start = time.perf_counter()
    for number in range(count):
        decided(number)
    return count / (time.perf_counter() - start)


def _rule(schema: LabelSchema, chance: random.Random) -> BenchRule:
    return BenchRule(
        team=f"team{chance.randrange(8)}",
        category=tuple(chance.sample(schema.tasks["category"].keys, chance.choice((1, 1, 2)))),
        sentiment=tuple(chance.sample(schema.tasks["sentiment"].keys, 1)) if chance.random() < 0.6 else (),
        nps_at_most=chance.randrange(1, 9) if chance.random() < 0.4 else None,
        channel=chance.choice(_CHANNELS) if chance.random() < 0.4 else None,
        country=chance.choice(_COUNTRIES) if chance.random() < 0.4 else None,
        phrase=None,
    )


def _text_rule(chance: random.Random) -> BenchRule:
    """A rule that has the text of every item read."""
    team, phrase = f"team{chance.randrange(8)}", chance.choice(_PHRASES)
    return BenchRule(team, (), (), None, None, None, phrase)


def _narrow_rule(schema: LabelSchema, chance: random.Random) -> BenchRule:
    """A rule that few items fulfil, so that many rules are asked."""
    category, sentiment = (tuple(chance.sample(schema.tasks[task].keys, 1)) for task in ("category", "sentiment"))
    channel, country = chance.choice(_CHANNELS), chance.choice(_COUNTRIES)
    return BenchRule(f"team{chance.randrange(8)}", category, sentiment, 1, channel, country, None)


def _item(schema: LabelSchema, chance: random.Random) -> tuple[FeedbackItem, Prediction]:
    labels = tuple(chance.sample(schema.tasks["category"].keys, chance.choice((1, 1, 2))))
    mood = chance.choice(schema.tasks["sentiment"].keys)
    item = FeedbackItem(
        text=" ".join(chance.choices(_WORDS, k=25)) + (f" {chance.choice(_PHRASES)}" if chance.random() < 0.2 else ""),
        nps=chance.choice((None, *range(11))),
        channel=chance.choice((None, *_CHANNELS)),
        country=chance.choice((None, *_COUNTRIES)),
    )
    tasks = {
        "category": TaskPrediction(labels=labels, confidence=0.8, abstained=False, probabilities={}),
        "sentiment": TaskPrediction(labels=(mood,), confidence=0.8, abstained=False, probabilities={}, score=0.0),
    }
    model = ModelName(name="bench", version="0")
    return item, Prediction(
        tasks=tasks, language="en", truncated=False, tier="linear", model=model, label_schema=schema.digest
    )


def _engines(
    rules: Sequence[BenchRule], schema: LabelSchema, items: Sequence[tuple[FeedbackItem, Prediction]]
) -> dict[str, Decide]:
    import cel
    import celpy
    import rule_engine
    from celpy.adapter import json_to_cel

    own = _own(rules, schema)
    contexts = [_context(*pair) for pair in items]
    fast = [cel.compile(rule.as_expression("&&", "||", _in_cel)) for rule in rules]
    environment = celpy.Environment()
    slow = [environment.program(environment.compile(rule.as_expression("&&", "||", _in_cel))) for rule in rules]
    typed: list[Any] = [json_to_cel(context) for context in contexts]
    engine = [rule_engine.Rule(rule.as_expression("and", "or", _in_rule_engine)) for rule in rules]
    teams = [rule.team for rule in rules]

    def first(holds: Callable[[int], bool]) -> str:
        return next((team for number, team in enumerate(teams) if holds(number)), "rest")

    return {
        "feedback-classifier": lambda n: decide(*items[n], own, _NOW).team,
        "CEL (common-expression-language)": lambda n: first(lambda rule: bool(fast[rule].execute(contexts[n]))),
        "rule-engine": lambda n: first(lambda rule: engine[rule].matches(contexts[n])),
        "CEL (cel-python)": lambda n: first(lambda rule: bool(slow[rule].evaluate(typed[n]))),
    }


def _own(rules: Sequence[BenchRule], schema: LabelSchema) -> Rules:
    teams = "".join(f'[teams.team{number}]\ntitle = "Team {number}"\n' for number in range(8))
    patterns = "".join(f'[patterns.{one.replace(" ", "-")}.any]\nphrases = ["{one}"]\n' for one in _PHRASES)
    body = "".join(rule.as_toml(f"rule{number}") for number, rule in enumerate(rules))
    head = 'version = 1\n[default]\nteam = "rest"\n[teams.rest]\ntitle = "Rest"\n'
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "routing.toml"
        path.write_text(head + teams + patterns + body, encoding="utf-8")
        return load_rules(path, schema)


def _context(item: FeedbackItem, prediction: Prediction) -> dict[str, Any]:
    # the engines have no notion of a value that is not there
    return {
        "text": item.text,
        "nps": -1 if item.nps is None else item.nps,
        "channel": item.channel or "",
        "country": item.country or "",
        "category": list(prediction.tasks["category"].labels),
        "sentiment": prediction.tasks["sentiment"].labels[0],
    }


def _in_cel(phrase: str) -> str:
    return f"text.matches('(?i)\\\\b{phrase}\\\\b')"


def _in_rule_engine(phrase: str) -> str:
    return f"text =~~ '(?i)\\\\b{phrase}\\\\b'"
