"""The decision: pure and deterministic, no clock, no files, no network."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from models.records import FeedbackItem, Prediction
from serving.routing.rules import Conditions, Decision, Outcome, RuleSet

DEFAULT = "default"


def decide(item: FeedbackItem, prediction: Prediction, rules: RuleSet, received_at: datetime) -> Decision:
    """The outcome of the first rule whose conditions all hold, else of the default.

    Args:
        item: the feedback.
        prediction: what the model says about it.
        rules: checked rules.
        received_at: when the item came in, with a zone; due times count from it.
    """
    for rule in rules.rules:
        reasons = []
        for condition, holds in _conditions(rule.when, item, prediction):
            if not holds:
                break
            reasons.append(condition)
        else:
            return _decision(rule.name, rule.then, tuple(reasons), rules, received_at)
    return _decision(DEFAULT, rules.default, ("no rule held",), rules, received_at)


def _decision(name: str, outcome: Outcome, reasons: tuple[str, ...], rules: RuleSet, received_at: datetime) -> Decision:
    due = None if outcome.due_hours is None else received_at + timedelta(hours=outcome.due_hours)
    return Decision(
        team=outcome.team,
        rule=name,
        urgency=outcome.urgency,
        due_at=due,
        deliver="now" if outcome.urgency in ("high", "urgent") else "digest",
        notify=outcome.notify,
        needs_review=outcome.review,
        reasons=reasons,
        rules_version=rules.digest,
    )


def _conditions(when: Conditions, item: FeedbackItem, prediction: Prediction) -> Iterator[tuple[str, bool]]:
    """Each condition that is given, in words with what was found, and whether it holds."""
    for task, wanted in (("category", when.category), ("sentiment", when.sentiment)):
        if wanted is not None:
            found = prediction.tasks[task].labels if task in prediction.tasks else ()
            hits = [label for label in found if any(_matches(label, pattern) for pattern in wanted)]
            yield f"{task} is {', '.join(hits or found) or 'none'}", bool(hits)
    if when.abstained is not None:
        unsure = [name for name in when.abstained if name in prediction.tasks and prediction.tasks[name].abstained]
        yield f"not sure of {', '.join(unsure or when.abstained)}", bool(unsure)
    category, sentiment = prediction.tasks.get("category"), prediction.tasks.get("sentiment")
    ranges = (
        ("confidence", when.confidence, category.confidence if category else None),
        ("score", when.score, sentiment.score if sentiment else None),
        ("rating", when.rating, item.rating),
        ("nps", when.nps, item.nps),
    )
    for field, wanted_range, number in ranges:
        if wanted_range is not None:
            yield f"{field} is {number}", number is not None and wanted_range.holds(number)
    sets = (
        ("language", when.language, prediction.language),
        ("channel", when.channel, item.channel),
        ("country", when.country, item.country),
        ("product", when.product, item.product),
        ("customer_tier", when.customer_tier, item.customer_tier),
    )
    for field, wanted, word in sets:
        if wanted is not None:
            yield f"{field} is {word}", word is not None and any(_same(field, word, one) for one in wanted)


def _same(field: str, word: str, wanted: str) -> bool:
    if field == "language":  # "zh" stands for zh-Hans and zh-Hant too (BCP 47, basic filtering)
        tag, wanted = word.casefold(), wanted.casefold()
        return tag == wanted or tag.startswith(f"{wanted}-")
    return word == wanted


def _matches(label: str, pattern: str) -> bool:
    return label == pattern or (pattern.endswith("/*") and label.startswith(pattern[:-1]))
