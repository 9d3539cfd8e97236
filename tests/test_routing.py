"""The rules layer: who gets what, and why."""

from datetime import UTC, datetime, timedelta

import pytest

from models.errors import RulesError
from models.labels import LabelSchema
from models.records import FeedbackItem, ModelName, Prediction, TaskPrediction
from serving.routing.decide import decide
from serving.routing.load import DEFAULT_RULES, load_rules, read_rules

SCHEMA = LabelSchema.load()
RULES = load_rules(DEFAULT_RULES, SCHEMA)
NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)


def predicted(
    *categories: str, sentiment: str = "neutral", abstained: bool = False, language: str = "en"
) -> Prediction:
    category = TaskPrediction(labels=categories, confidence=0.8, abstained=abstained, probabilities={})
    mood = TaskPrediction(labels=(sentiment,), confidence=0.9, abstained=False, probabilities={}, score=0.0)
    return Prediction(
        tasks={"category": category, "sentiment": mood},
        language=language,
        truncated=False,
        tier="linear",
        model=ModelName(name="m", version="1"),
        label_schema=SCHEMA.digest,
    )


@pytest.mark.parametrize(
    ("categories", "sentiment", "fields", "team", "rule", "urgency"),
    [
        (["product/defect"], "negative", {}, "support", "broken-product", "high"),
        (["product/defect"], "neutral", {}, "product", "owned", "normal"),
        (["product/feature_request"], "positive", {}, "product", "owned", "normal"),
        (["customer_service/staff"], "negative", {}, "support", "angry-about-service", "high"),
        (["customer_service/billing"], "neutral", {}, "billing", "owned", "normal"),
        (["brand_loyalty/churn_risk"], "neutral", {}, "retention", "about-to-leave", "urgent"),
        (["product/usability", "brand_loyalty/churn_risk"], "negative", {}, "retention", "about-to-leave", "urgent"),
        (["product/usability"], "negative", {"nps": 6}, "retention", "detractor", "high"),
        (["product/usability"], "negative", {"nps": 7}, "product", "owned", "normal"),
        (["product/usability"], "neutral", {"nps": 0}, "product", "owned", "normal"),
        (["brand_loyalty/praise"], "positive", {}, "marketing", "praise", "low"),
        (["marketing_sales/pricing"], "negative", {}, "sales", "owned", "normal"),
        (["marketing_sales/promotion"], "neutral", {}, "marketing", "owned", "normal"),
        (["other"], "neutral", {}, "triage", "other", "low"),
        ([], "neutral", {}, "triage", "default", "normal"),
    ],
)
def test_the_shipped_rules_send_items_to_their_owners(categories, sentiment, fields, team, rule, urgency):
    decision = decide(FeedbackItem(text="x", **fields), predicted(*categories, sentiment=sentiment), RULES, NOON)
    assert (decision.team, decision.rule, decision.urgency) == (team, rule, urgency)


def test_what_the_model_is_not_sure_of_goes_to_people():
    decision = decide(FeedbackItem(text="x"), predicted("brand_loyalty/churn_risk", abstained=True), RULES, NOON)
    assert (decision.team, decision.rule, decision.needs_review) == ("triage", "not-sure", True)
    assert decision.reasons == ("not sure of category",)
    assert decision.passed_over["danger"].startswith("text speaks of")


def test_a_decision_says_why_by_when_and_by_which_rules():
    decision = decide(FeedbackItem(text="x", nps=3), predicted("other", sentiment="negative"), RULES, NOON)
    assert decision.rule == "detractor"
    assert decision.reasons == ("nps is at most 6 (3)", "sentiment is negative")
    assert decision.passed_over["trust"] == "category is brand_loyalty/trust"
    assert decision.due_at == NOON + timedelta(hours=24)
    assert decision.deliver == "now"
    assert decision.rules_version == RULES.digest


def test_every_label_of_the_default_taxonomy_has_an_owner_without_falling_to_the_default():
    for sentiment in SCHEMA.tasks["sentiment"].keys:
        for category in SCHEMA.tasks["category"].keys:
            decision = decide(FeedbackItem(text="x"), predicted(category, sentiment=sentiment), RULES, NOON)
            assert decision.rule != "default"


def test_the_same_input_gives_the_same_decision():
    item, prediction = FeedbackItem(text="x", nps=1), predicted("product/defect", sentiment="negative")
    assert decide(item, prediction, RULES, NOON) == decide(item, prediction, RULES, NOON)


CONDITIONS = """
version = 1
default = {{ team = "rest" }}
[teams.rest]
title = "Rest"
[teams.hit]
title = "Hit"
[[rules]]
name = "one"
when = {{ {when} }}
then = {{ team = "hit" }}
"""


@pytest.mark.parametrize(
    ("when", "fields", "hit"),
    [
        ('language = ["en"]', {}, True),
        ('language = ["de"]', {}, False),
        ('channel = ["email", "chat"]', {"channel": "chat"}, True),
        ('channel = ["email"]', {}, False),
        ('country = ["IT"]', {"country": "it"}, True),
        ("rating = { max = 2 }", {"rating": 2}, True),
        ("rating = { max = 2 }", {"rating": 2.5}, False),
        ("rating = { max = 2 }", {}, False),
        ("confidence = { min = 0.8 }", {}, True),
        ("confidence = { min = 0.81 }", {}, False),
        ('category = ["other"], nps = { min = 9 }', {"nps": 9}, True),
        ('category = ["product/*"], nps = { min = 9 }', {"nps": 9}, False),
        ('language = ["EN"]', {}, True),
        ("score = { min = -0.1, max = 0.1 }", {}, True),
    ],
)
def test_conditions_hold_when_every_one_does(when, fields, hit, tmp_path):
    (tmp_path / "r.toml").write_text(CONDITIONS.format(when=when))
    rules = load_rules(tmp_path / "r.toml", SCHEMA)
    decision = decide(FeedbackItem(text="x", **fields), predicted("other"), rules, NOON)
    assert (decision.team == "hit") is hit


@pytest.mark.parametrize(("wanted", "holds"), [("zh", True), ("zh-Hant", True), ("zh-Hans", False), ("zu", False)])
def test_a_language_stands_for_its_scripts(wanted, holds, tmp_path):
    (tmp_path / "r.toml").write_text(CONDITIONS.format(when=f'language = ["{wanted}"]'))
    rules = load_rules(tmp_path / "r.toml", SCHEMA)
    decision = decide(FeedbackItem(text="x"), predicted("other", language="zh-Hant"), rules, NOON)
    assert (decision.team == "hit") is holds


def test_a_question_of_trust_is_urgent_whatever_else_is_said():
    prediction = predicted("customer_service/billing", "brand_loyalty/trust", sentiment="negative")
    decision = decide(FeedbackItem(text="x"), prediction, RULES, NOON)
    assert (decision.rule, decision.urgency) == ("trust", "urgent")


def test_every_fault_of_a_rules_file_is_found_at_once(tmp_path):
    text = CONDITIONS.format(when='category = ["product/defct", "prodct/*"], abstained = ["mood"]')
    text += '[[rules]]\nname = "one"\nwhen = { nps = { min = 9 } }\nthen = { team = "hitt", notify = ["nobody"] }\n'
    (tmp_path / "r.toml").write_text(text)
    problems = [(one.line, one.message) for one in read_rules(tmp_path / "r.toml", SCHEMA).findings]
    found = "\n".join(f"{line}: {message}" for line, message in problems)
    assert len(problems) == 6
    for expected in (
        "10: rules[1].when.category: unknown category label 'product/defct'; did you mean 'product/defect'?",
        "10: rules[1].when.category: unknown category label 'prodct/*'; did you mean 'product/*'?",
        "10: rules[1].when.abstained: the model has no task 'mood'",
        "13: rules[2].name: rule 'one' stands 2 times",
        "15: rules[2].then.team: unknown team 'hitt'; did you mean 'hit'?",
        "15: rules[2].then.notify: unknown team 'nobody'",
    ):
        assert expected in found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("version = ", "not valid TOML"),
        ("version = 2", "field 'default' is missing"),
        (CONDITIONS.format(when="nps = { max = '6' }"), "line 10: rules[1].when.nps: expected a number, got '6'"),
        (CONDITIONS.format(when="nps = {}"), "expected one of min, max"),
        (CONDITIONS.format(when="nps = { min = 5, max = 4 }"), "expected a lower end below the upper"),
        (CONDITIONS.format(when="colour = ['red']"), "unknown field"),
        (CONDITIONS.format(when="language = []"), "language"),
        (CONDITIONS.format(when=""), "expected at least one condition, got none"),
    ],
)
def test_a_faulty_rules_file_is_refused_with_its_place(text, message, tmp_path):
    (tmp_path / "r.toml").write_text(text)
    with pytest.raises(RulesError, match=r"fault\(s\) in the rules") as error:
        load_rules(tmp_path / "r.toml", SCHEMA)
    assert message in str(error.value)
