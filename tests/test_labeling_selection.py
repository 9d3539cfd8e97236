"""What is chosen for labelers: known chance, no text twice, shares that are kept, texts far from each other."""

import math
import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from label_studio_sdk.label_interface import LabelInterface

from labeling.choice.apart import told_apart
from labeling.choice.chance import audit_rate, lot
from labeling.choice.diversity import gram_rows, k_centre
from labeling.choice.selection import Candidate, Mix, choose
from labeling.choice.uncertainty import task_uncertainty, uncertainties
from labeling.studio.interface import labeling_interface
from labeling.studio.tasks import check_predictions, context_of, shown_prediction, task_data
from models.errors import SchemaError
from models.labels import LabelSchema
from models.records import FeedbackItem, ModelName, Prediction, TaskPrediction

OPEN = Mix(audit=0.2, blind=0.1)


def said(confidence: float = 0.9, *, abstained: bool = False, strange: bool = False, label: str = "a") -> Prediction:
    """A prediction of one task with the labels a and b."""
    answer = TaskPrediction(
        labels=(label,),
        confidence=confidence,
        abstained=abstained,
        probabilities={"a": confidence, "b": 1 - confidence},
    )
    return Prediction(
        tasks={"topic": answer},
        language="en",
        out_of_scope=strange,
        truncated=False,
        tier="combined",
        model=ModelName(name="demo", version="1"),
        label_schema="x",
    )


def candidate(number: int, **fields: object) -> Candidate:
    return Candidate(f"i{number}", FeedbackItem(text=f"text number {number}"), **fields)


def sure(count: int) -> list[Candidate]:
    return [candidate(number, prediction=said(0.99)) for number in range(count)]


def test_lots_are_even_and_those_of_two_kinds_are_independent() -> None:
    audit = np.array([lot("audit", 1, str(number)) for number in range(20_000)])
    blind = np.array([lot("blind", 1, str(number)) for number in range(20_000)])
    counts = np.histogram(audit, bins=20, range=(0, 1))[0]
    assert abs(counts - 1000).max() < 5 * math.sqrt(1000)
    assert abs(np.corrcoef(audit, blind)[0, 1]) < 0.03


@given(st.floats(0, 1), st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**7))
def test_a_rate_is_a_probability(share: float, add: int, known: int, listed: int) -> None:
    assert 0 <= audit_rate(share, add, known, listed) <= 1


def test_every_item_is_in_the_audit_with_the_probability_that_is_stated() -> None:
    items = [candidate(number, prediction=said(0.5 + number / 200)) for number in range(100)]
    hits = Counter[str]()
    rounds = 300
    for seed in range(rounds):
        found = choose(items, 20, Mix(seed=seed))
        assert found.rate == pytest.approx(0.2 * 20 / 100)
        hits.update(one.candidate.id for one in found.chosen if one.probability is not None)
    spread = 5 * math.sqrt(rounds * 0.04 * 0.96)
    assert all(abs(hits[one.id] - rounds * 0.04) < spread for one in items)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 30), st.floats(0.5, 1), st.booleans(), st.booleans()), max_size=60),
    st.integers(0, 40),
    st.floats(0, 1),
    st.randoms(use_true_random=False),
)
def test_whatever_comes_in_any_order_no_text_is_chosen_twice(
    rows: list[tuple[int, float, bool, bool]], add: int, audit: float, chance: random.Random
) -> None:
    items = [
        Candidate(
            f"i{number}",
            FeedbackItem(text=f"Text {text}!" if loud else f"text {text}"),
            prediction=None if loud else said(confidence, abstained=abstained),
        )
        for number, (text, confidence, abstained, loud) in enumerate(rows)
    ]
    known = {item.id: item.item.text for item in items[:5]}
    mix = Mix(audit=audit)
    first = choose(items, add, mix, known)
    texts = [one.candidate.item.text.strip("!").lower() for one in first.chosen]
    assert len(set(texts)) == len(texts)
    assert not {text.strip("!").lower() for text in known.values()} & set(texts)
    distinct = {item.item.text.strip("!").lower() for item in items}
    there = len(distinct) - len({text.strip("!").lower() for text in known.values()})
    by_chance = sum(one.why == "audit" for one in first.chosen)
    assert len(first.chosen) == max(by_chance, min(add, there))
    chance.shuffle(items)
    assert choose(items, add, mix, known) == first


def test_shares_are_kept() -> None:
    items = [
        *(candidate(number, prediction=said(0.99), disagreement=number / 1000) for number in range(300)),
        *(candidate(number, prediction=said(0.7, abstained=True)) for number in range(300, 600)),
        *(candidate(number, prediction=said(0.51)) for number in range(600, 1000)),
    ]
    found = choose(items, 200, Mix(audit=0.2, review=1, disagreement=1, uncertain=2))
    why = Counter(one.why for one in found.chosen)
    assert abs(why["audit"] - 40) < 25
    left = 200 - why["audit"]
    assert why["needs review"] == why["disagreement"] == pytest.approx(left / 4, abs=1)
    assert why["uncertain"] == pytest.approx(left / 2, abs=2)
    assert sum(one.blind for one in found.chosen) == pytest.approx(20, abs=17)
    assert any(one.blind for one in found.chosen if one.why == "audit")


def test_what_a_share_cannot_fill_the_uncertain_take() -> None:
    found = choose(sure(100), 50, OPEN)
    assert Counter(one.why for one in found.chosen).keys() == {"audit", "uncertain"}
    assert len(found.chosen) == 50


def test_out_of_scope_and_not_ours_come_before_what_else_needs_review() -> None:
    items = [
        *(candidate(number, prediction=said(0.5, abstained=True)) for number in range(50)),
        candidate(50, prediction=said(strange=True)),
        candidate(51, prediction=said(), flag="not ours"),
        *(candidate(number, prediction=said(), flag="needs review") for number in range(52, 80)),
    ]
    found = choose(items, 8, Mix(audit=0, review=1, disagreement=0, uncertain=3))
    whys = {one.candidate.id: one.why for one in found.chosen}
    assert whys["i50"] == "out of scope"
    assert whys["i51"] == "not ours"


def test_the_more_uncertain_are_chosen() -> None:
    items = [candidate(number, prediction=said(0.5 + number / 4000)) for number in range(2000)]
    found = choose(items, 40, Mix(audit=0, review=0, disagreement=0, uncertain=1))
    assert all(int(one.candidate.id[1:]) < 200 for one in found.chosen)


def test_without_predictions_chance_and_diversity_choose() -> None:
    found = choose([candidate(number) for number in range(100)], 30, OPEN)
    assert {one.why for one in found.chosen} == {"audit", "diverse"}
    assert len(found.chosen) == 30


def test_more_than_there_are_is_all_and_none_is_none() -> None:
    assert {one.candidate.id for one in choose(sure(7), 50, OPEN).chosen} == {f"i{number}" for number in range(7)}
    assert choose([], 50, OPEN).chosen == []
    assert choose(sure(7), 0, OPEN).chosen == []


def test_what_is_known_under_an_id_keeps_it_and_other_texts_with_it_are_others() -> None:
    def of(name: str, *texts: str) -> list[Candidate]:
        return [Candidate(name, FeedbackItem(text=text, external_id=name)) for text in texts]

    items = [*of("c-7", "It leaks", "it leaks!", "Late"), *of("c-8", "Torn", "torn?"), *of("c" * 200, "Dull", "Loud")]
    found = told_apart(items, {"c-7": "It leaks.", "c-9": "Cold"})
    assert [one.id for one in found if not one.apart] == ["c-7", "c-7", "c-8", "c-8"]
    assert all(one.item.id == one.id and FeedbackItem.model_validate(one.item.model_dump()) for one in found[5:])
    assert len({one.id for one in found}) == 5
    assert told_apart(found, {"c-7": "It leaks."}) == found
    chosen = {one.candidate.id for one in choose(items, 9, Mix(), {"c-7": "It leaks."}).chosen}
    assert len(chosen) == 4
    assert "c-7" not in chosen


def test_an_audit_grows_from_push_to_push_and_takes_in_what_was_known() -> None:
    items = [candidate(number, prediction=said(0.5 + number / 2000)) for number in range(1000)]
    known: dict[str, str] = {}
    audit: dict[str, float] = {}
    for _ in range(4):
        found = choose(items, 100, OPEN, known)
        before = set(audit)
        audit |= {one.candidate.id: found.rate for one in found.chosen if one.why == "audit"}
        audit |= dict.fromkeys(found.known_in_audit, found.rate)
        assert before <= set(found.known_in_audit)
        known |= {one.candidate.id: one.candidate.item.text for one in found.chosen}
    # just those whose lot is below the last rate: as if all had been drawn at once, uncertain or not
    assert found.rate == pytest.approx(0.2 * 400 / 1000, rel=0.1)
    drawn = {item.id for item in items if lot("audit", OPEN.seed, item.item.text.replace(" ", "")) < found.rate}
    assert set(audit) == drawn
    assert set(audit.values()) == {found.rate}


def test_a_task_of_many_labels_is_unsure_by_its_most_doubtful_one() -> None:
    several = TaskPrediction(
        labels=("x",), confidence=0.9, abstained=False, probabilities={"x": 0.9, "y": 0.45, "z": 0.01}
    )
    one = TaskPrediction(labels=("a",), confidence=0.8, abstained=False, probabilities={"a": 0.8, "b": 0.15, "c": 0.05})
    assert task_uncertainty(one) == pytest.approx(0.35)
    assert task_uncertainty(several) == pytest.approx(0.9)


@pytest.mark.parametrize("left", [{}, {"a": 0.99999}, {"a": 0.001}])
def test_a_prediction_of_which_a_migration_left_next_to_nothing_is_the_most_uncertain(left: dict[str, float]) -> None:
    answer = TaskPrediction(labels=tuple(left), confidence=0.9, abstained=True, probabilities=left)
    migrated = said().model_copy(update={"tasks": {"topic": answer}})
    assert uncertainties([said(0.9), migrated]).tolist() == [0.5, 1]


def test_every_task_counts_alike_however_near_its_probabilities_are() -> None:
    def both(many: float, two: float) -> Prediction:
        tasks = {"many": said(many).tasks["topic"], "two": said(two).tasks["topic"]}
        return said().model_copy(update={"tasks": tasks})

    # each of the first is surer of "two" than all are of "many"
    found = uncertainties([both(0.51, 0.99), both(0.55, 0.91), both(0.58, 0.97), both(0.6, 0.95), None])
    assert found.tolist() == pytest.approx([1, 1, 0.5, 0.75, 1])
    assert uncertainties([]).tolist() == []
    assert uncertainties([both(0.7, 0.7)] * 3).tolist() == [1, 1, 1]


def test_review_is_spread_and_what_a_team_said_comes_first() -> None:
    alike = [
        Candidate(f"s{n}", FeedbackItem(text=f"the parcel is late again {n}"), prediction=said(0.501, abstained=True))
        for n in range(30)
    ]
    other = Candidate("o", FeedbackItem(text="Battery, quickly empty"), prediction=said(0.6, abstained=True))
    handed = Candidate("h", FeedbackItem(text="the parcel is late again, says the team"), said(0.99), "not ours")
    found = choose([*alike, other, handed, *sure(50)], 3, Mix(audit=0, review=1, disagreement=0, uncertain=1e-9))
    whys = {one.candidate.id: one.why for one in found.chosen}
    assert whys["h"] == "not ours"
    assert whys["o"] == "needs review"


def test_k_centre_finds_every_kind_of_text_where_chance_misses_many() -> None:
    words = ["parcel", "refund", "battery", "login", "invoice", "coffee", "garden", "window", "doctor", "bicycle"]
    chance = random.Random(3)
    sizes = [200, 60, 20, 10, 5, 3, 3, 2, 2, 2]
    texts, kinds = [], []
    for kind, (word, size) in enumerate(zip(words, sizes, strict=True)):
        for number in range(size):
            texts.append(f"{word} {word}s my {word} {number}")
            kinds.append(kind)
    order = chance.sample(range(len(texts)), len(texts))
    texts, kinds = [texts[place] for place in order], [kinds[place] for place in order]
    rows = gram_rows(texts)
    found = {kinds[row] for row in k_centre(rows, 10)}
    by_chance = [len({kinds[row] for row in chance.sample(range(len(texts)), 10)}) for _ in range(200)]
    assert len(found) == 10
    assert np.mean(by_chance) < 5


def test_no_language_gets_all_because_its_texts_are_short() -> None:
    latin = [Candidate(f"l{n}", FeedbackItem(text=f"The parcel number {n} came too late again")) for n in range(80)]
    chinese = [Candidate(f"c{n}", FeedbackItem(text=chr(0x4E00 + 7 * n) * 3 + chr(0x5000 + 11 * n))) for n in range(20)]
    for items in ([*latin, *chinese], [*chinese, *latin]):
        found = choose(items, 10, Mix(audit=0))
        assert sum(one.candidate.id.startswith("c") for one in found.chosen) == 2


def test_k_centre_stays_away_from_what_is_taken() -> None:
    rows = gram_rows(["parcel late", "parcel late again", "battery empty", "battery empty soon"])
    assert k_centre(rows, 1, [0, 1]) in ([2], [3])
    assert k_centre(rows, 9, [0]) == [1, 2, 3]
    assert k_centre(rows, 0) == []


def test_a_task_tells_what_is_known_in_a_line() -> None:
    item = FeedbackItem(
        text="late", channel="web_form", nps=3, rating=2, product="Kava\n 2", country="de", created_at="2026-03-10"
    )
    line = "web form · rating 2 of 5 · NPS 3 of 10 · Kava 2 · DE · 2026-03-10"
    assert task_data("i1", item) == {"text": "late", "external_id": "i1", "context": line}
    assert task_data("i2", FeedbackItem(text="late")) == {"text": "late", "external_id": "i2"}
    assert context_of(FeedbackItem(text="x", nps=0)) == "NPS 0 of 10"


def test_predictions_that_the_interface_does_not_know_are_refused_before_anything_is_sent() -> None:
    schema = LabelSchema.model_validate(
        {"tasks": {"topic": {"kind": "single", "labels": [{"key": "a"}, {"key": "b"}]}}}
    )
    interface = LabelInterface(labeling_interface(schema))
    good = shown_prediction(said(0.8))
    assert good == {
        "model_version": "demo-1",
        "score": 0.8,
        "result": [{"from_name": "topic", "to_name": "text", "type": "choices", "value": {"choices": ["a"]}}],
    }
    check_predictions(interface, [("i1", good)])
    bad = [(f"i{number}", shown_prediction(said(label="c"))) for number in range(9)]
    with pytest.raises(SchemaError, match=r"(?s)9 answer\(s\).*nothing was sent.*item i0: .*\['c'\].*and 4 more"):
        check_predictions(interface, [("i", good), *bad])
    with pytest.raises(SchemaError, match="item i1: expected a confidence from 0 to 1, got 7"):
        check_predictions(interface, [("i1", {**good, "score": 7})])
    other = [("i1", {**good, "result": [{**good["result"][0], "from_name": "mood"}]})]
    with pytest.raises(SchemaError, match="mood"):
        check_predictions(interface, other)
