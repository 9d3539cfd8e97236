"""A decision is what the rules say, word for word, and nothing else."""

import re
import tomllib
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st
from rules_support import (
    CATEGORIES,
    INTENTS,
    NOON,
    SCHEMA,
    SENTIMENTS,
    Spelling,
    holds,
    listed,
    one_or_several,
    part_holds,
    parts,
    predicted,
    ranges,
    rules_of,
    sets,
    some_of,
    table,
)

from models.records import FeedbackItem
from serving.routing.decide import decide

LAW = settings(deadline=None, derandomize=True)


def any_of(*values):
    return lambda dice: dice.choice(values)


def several_of(*values):
    return lambda dice: one_or_several(dice, values)


META = ["gold", " Gold", "basic", "3", 3, 1, 0, True, False, 2.5]
FAMILIES = [*CATEGORIES, "product/*"]
SHARES = ranges([0.25, 0.5, 0.8], 0, 1)
FIELDS = {
    "category": sets(FAMILIES),
    "sentiment": sets([*SENTIMENTS]),
    "tasks.intent": sets(INTENTS),
    "tasks.category": sets(FAMILIES),
    "abstained": sets([*SCHEMA.tasks]),
    "confidence": SHARES,
    "task_confidence.intent": SHARES,
    "familiarity": SHARES,
    "score": ranges([-0.5, 0, 0.3], -1, 1),
    "rating": ranges([2, 3.5], 1, 5),
    "nps": ranges([3, 6.5, 8], 0, 10, whole=True, values=["promoter", "passive", "detractor", 0, 7, 9]),
    "csat": ranges([3, 6.5], 1, 7),
    "ces": ranges([4], 1, 7),
    "age_hours": ranges([-1, 0, 24, 72.5], float("-inf"), float("inf")),
    "similar": ranges([0, 5, 20], 0, float("inf"), whole=True),
    "channel": sets(["email", "Chat", "phone"]),
    "country": sets(["RO", "pl"]),
    "product": sets(["3", "kettle"]),
    "customer_tier": sets(["GOLD", "none"]),
    "source": sets(["shop"]),
    "language": sets(["en", "zh", "zh-Hans", "ZH-hant"]),
    "text": sets(["burning", "late", "order-number"]),
    "out_of_scope": any_of(True, False),
    "truncated": any_of(True, False),
    "meta.plan": sets(META),
    "meta.seats": ranges([1, 2.5, 3], float("-inf"), float("inf"), values=META),
}
PATTERNS = {
    "burning": {"en": {"phrases": ["fire", "very hot"]}, "zh-Hant": {"phrases": ["smoke"]}},
    "late": {"any": {"phrases": ["late"]}},
    "order-number": {"zh": {"phrases": ["late"]}, "any": {"regex": ["REF", "nr7"]}},
}
ITEM_FIELDS = ("rating", "nps", "csat", "ces", "channel", "country", "product", "customer_tier", "source")
TEAMS = ("rest", "first", "second")


ADDED = {"notify": several_of(*TEAMS), "tags": several_of("a", "b", "C d")}
OUTCOME = {
    "team": any_of(*TEAMS),
    "urgency": any_of("low", "normal", "high", "urgent"),
    "due_hours": any_of(1, 0.5, 30),
    "deliver": any_of("now", "digest"),
    "review": any_of(True, False),
    **ADDED,
}
OWNED = {key: choose for key, choose in OUTCOME.items() if key != "team"}
SCALARS = [*META, "4", "other", 10**400]
ITEM = {
    "rating": any_of(1, 2, 3.5, 5),
    "nps": any_of(0, 3, 6, 7, 8, 9, 10),
    "csat": any_of(1, 3, 6.5),
    "ces": any_of(4, 5),
    "channel": any_of("EMAIL", "chat", "fax"),
    "country": any_of("RO", "PL", "CN"),
    "product": any_of("3", "Kettle"),
    "customer_tier": any_of("gold", "None"),
    "source": any_of("Shop"),
    "created_at": lambda dice: NOON - timedelta(hours=dice.choice([0, 1, 24, -1, 80])),
    "meta": lambda dice: some_of(dice, {"plan": several_of(*SCALARS), "seats": any_of(*SCALARS, [])}),
}


def a_document(dice, rules):
    owners = {label: dice.choice(TEAMS) for label in FAMILIES if dice.random() < 0.5}
    teams = {name: {"title": name, "owns": [key for key in owners if owners[key] == name]} for name in TEAMS}
    # few fields, so that rules ask the same of them in several ways
    fields = {name: FIELDS[name] for name in dice.sample([*FIELDS], dice.randint(1, 6))}
    named = {}
    for number in range(dice.randint(0, 3)):
        named[f"c{number}"] = table(dice, fields, tuple(named), deep=1)
    found = []
    for number in range(rules):
        also = dice.random() < 0.3
        then = some_of(dice, ADDED) or {"tags": "a"} if also else some_of(dice, OUTCOME)
        rule = {"name": f"r{number}", "when": table(dice, fields, tuple(named)), "then": then}
        found.append(rule | {"also": True} if also else rule)
    outcomes = {"default": {"team": "rest", **some_of(dice, OUTCOME)}, "owned": some_of(dice, OWNED)}
    return {"version": 1, **outcomes, "teams": teams, "patterns": PATTERNS, "conditions": named, "rules": found}


def a_situation(dice):
    words = ["fire", "Very", "hot", "late", "smoke", "lately", "ref12", "NR7"]
    text = dice.choice([" ", ", ", " - "]).join(dice.choices(words, k=dice.randint(1, 3)))
    prediction = predicted(
        *dice.sample(CATEGORIES, dice.randint(0, 3)),
        sentiment=dice.choice([*SENTIMENTS]),
        intent=dice.sample(INTENTS, dice.randint(0, 2)),
        abstained=dice.sample([*SCHEMA.tasks], dice.choice([0, 0, 1, 2])),
        language=dice.choice(["en", "zh", "zh-Hans", "zh-Hant", "zh-Hant-TW", "und", "en-GB", "e"]),
        confidence={task: dice.choice([0, 0.25, 0.6, 0.8, 1]) for task in SCHEMA.tasks},
        score=dice.choice([None, -1, -0.5, 0.1, 1]),
        familiarity=dice.choice([None, 0, 0.25, 0.6, 1]),
        out_of_scope=dice.random() < 0.5,
        truncated=dice.random() < 0.5,
    )
    return FeedbackItem(text=text, **some_of(dice, ITEM)), prediction, dice.choice([None, 0, 5, 21])


def known_of(item, prediction, similar, document):
    """The values of every field."""
    known = {name: [getattr(item, name)] for name in ITEM_FIELDS if getattr(item, name) is not None}
    for task, answer in prediction.tasks.items():
        known[task] = known[f"tasks.{task}"] = list(answer.labels)
        known[f"task_confidence.{task}"] = [answer.confidence]
    known["confidence"] = known["task_confidence.category"]
    score = prediction.tasks["sentiment"].score
    known["score"] = [] if score is None else [score]
    known["abstained"] = [task for task, answer in prediction.tasks.items() if answer.abstained]
    known["familiarity"] = [] if prediction.familiarity is None else [prediction.familiarity]
    known["language"] = [prediction.language]
    known["out_of_scope"], known["truncated"] = [prediction.out_of_scope], [prediction.truncated]
    known["similar"] = [] if similar is None else [similar]
    if item.created_at is not None:
        known["age_hours"] = [(NOON - item.created_at) / timedelta(hours=1)]
    known |= {f"meta.{key}": listed(value) for key, value in item.meta.items()}
    known["text"] = [
        name
        for name, by_language in document["patterns"].items()
        if any(speaks(own, language, item.text, prediction.language) for language, own in by_language.items())
    ]
    return known


def speaks(pattern, own, text, language):
    first, second = own.lower().split("-"), language.lower().split("-")
    shorter = min(len(first), len(second))
    if own != "any" and language != "und" and first[:shorter] != second[:shorter]:
        return False
    words = "_".join(re.findall(r"\w+", text.lower()))
    phrases = any(f"_{phrase.replace(' ', '_')}_" in f"_{words}_" for phrase in pattern.get("phrases", ()))
    return phrases or any(part.lower() in text.lower() for part in pattern.get("regex", ()))


def asks_text(key, value, named):
    if key == "is":
        return any(asks_text(*part, named) for part in parts(named[value]))
    if key in ("not", "any", "all"):
        return any(asks_text(*part, named) for table in listed(value) for part in parts(table))
    return key == "text"


def failing(when, known, named):
    """Places of the conditions that fail while those before hold; what needs the text read may be asked later."""
    own = list(parts(when))
    holding = [part_holds(*part, known, named) for part in own]
    asked_first = [held or asks_text(*part, named) for part, held in zip(own, holding, strict=True)]
    return [place for place, held in enumerate(holding) if not held and all(asked_first[:place])]


def owner(document, category):
    teams = document["teams"]
    for label in () if category.abstained else category.labels:
        for wanted in (label, label.partition("/")[0] + "/*"):
            if found := [name for name, team in teams.items() if wanted in team["owns"]]:
                return found[0]
    return None


@settings(LAW, max_examples=250)
@given(st.randoms(use_true_random=True), st.integers(1, 6), st.integers(1, 12))
def test_decisions_are_those_of_reading_the_file_word_for_word(dice, rules, items):
    text = Spelling(a_document(dice, rules), dice).text
    note(text)
    document = tomllib.loads(text)  # conditions are asked in the order in which they were written
    named, rules = document.get("conditions", {}), rules_of(text)
    owning = [rule for rule in document.get("rules", []) if not rule.get("also")]
    words = {rule.name: [condition.words for condition in rule.conditions] for rule in rules.owning}
    for item, prediction, similar in (a_situation(dice) for _ in range(items)):
        known = known_of(item, prediction, similar, document)
        decision = decide(item, prediction, rules, NOON, similar)
        fired = next((rule for rule in owning if holds(rule["when"], known, named)), None)
        also = [rule for rule in document["rules"] if rule.get("also") and holds(rule["when"], known, named)]
        owns = owner(document, prediction.tasks["category"])
        rule, then = ("owned", document.get("owned", {})) if owns else ("default", document["default"])
        if fired:
            rule, then = fired["name"], fired["then"]
        urgency = then.get("urgency", "normal")
        at_once = "now" if urgency in ("high", "urgent") else "digest"
        added = [then, *(one["then"] for one in also)]
        assert decision.rule == rule
        assert decision.team == (then.get("team") or owns or document["default"]["team"])
        assert (decision.urgency, decision.needs_review) == (urgency, then.get("review", False))
        assert decision.deliver == then.get("deliver", at_once)
        for kind, got in (("notify", decision.notify), ("tags", decision.tags)):
            assert got == tuple(dict.fromkeys(name for one in added for name in listed(one.get(kind, []))))
        assert decision.also == tuple(one["name"] for one in also)
        hours = then.get("due_hours")
        assert decision.due_at == (hours and NOON + timedelta(hours=hours))
        before = owning[: owning.index(fired)] if fired else owning
        assert list(decision.passed_over) == [one["name"] for one in before]
        for one in before:
            said = [words[one["name"]][place] for place in failing(one["when"], known, named)]
            assert decision.passed_over[one["name"]] in said
        assert decide(item, prediction, rules, NOON, similar) == decision


OWNERS = """
version = 1
default = { team = "rest", urgency = "low", review = true }
owned = { urgency = "high", due_hours = 2, tags = "owned" }
teams.rest.title = "Rest"
[teams.family]
title = "Family"
owns = ["product/*"]
time_zone = "Europe/Bucharest"
hours = { mon-fri = "09:00-15:00" }
[teams.label]
title = "Label"
owns = ["product/defect"]
[[rules]]
name = "unhappy"
when.sentiment = "negative"
then = { urgency = "urgent", due_hours = 2 }
"""


@pytest.mark.parametrize(
    ("categories", "sentiment", "team", "rule", "due"),
    [
        (["product/defect"], "neutral", "label", "owned", "14:00"),
        (["product/quality"], "neutral", "family", "owned", "08:00 of the next day"),
        (["other", "product/quality"], "neutral", "family", "owned", "08:00 of the next day"),
        (["product/quality", "product/defect"], "neutral", "family", "owned", "08:00 of the next day"),
        (["other"], "neutral", "rest", "default", None),
        ([], "neutral", "rest", "default", None),
        (["product/quality"], "negative", "family", "unhappy", "08:00 of the next day"),
        (["other"], "negative", "rest", "unhappy", "14:00"),
    ],
)
def test_who_owns_the_category_takes_what_no_team_is_named_for(categories, sentiment, team, rule, due):
    decision = decide(FeedbackItem(text="x"), predicted(*categories, sentiment=sentiment), rules_of(OWNERS), NOON)
    assert (decision.team, decision.rule) == (team, rule)
    moments = {"14:00": datetime(2026, 3, 10, 14, tzinfo=UTC), None: None}
    assert decision.due_at == moments.get(due, datetime(2026, 3, 11, 8, tzinfo=UTC))


@pytest.mark.parametrize(("sentiment", "rule"), [("neutral", "default"), ("negative", "unhappy")])
def test_a_category_the_model_is_not_sure_of_has_no_owner(sentiment, rule):
    prediction = predicted("product/defect", sentiment=sentiment, abstained=["category"])
    decision = decide(FeedbackItem(text="x"), prediction, rules_of(OWNERS), NOON)
    assert (decision.team, decision.rule) == ("rest", rule)


def test_a_decision_without_a_rule_says_so():
    rules = rules_of(OWNERS)
    owned, default = (
        decide(FeedbackItem(text="x"), predicted(one), rules, NOON) for one in ("product/defect", "other")
    )
    assert owned.reasons == ("no rule held", "label owns the category")
    assert default.reasons == ("no rule held", "nobody owns the category")
    assert owned.passed_over == default.passed_over == {"unhappy": "sentiment is negative"}
