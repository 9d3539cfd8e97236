"""Several annotators of an item: what they say together, and what is left to be settled."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labeling.pull.joining import Given, join
from models.labels import LabelSchema

SCHEMA = LabelSchema.load()
DEFECT, QUALITY, OTHER = "product/defect", "product/quality", "other"


def said(who: str, *categories: str, sentiment: str | None = "negative", at: str = "1", number: int = 1) -> Given:
    labels = {"category": categories} | ({"sentiment": (sentiment,)} if sentiment else {})
    return Given(number, who, at, labels)


def aside(who: str, reason: str = "cannot_tell") -> Given:
    return Given(2, who, "1", {}, reason)


def test_one_annotator_decides() -> None:
    joined = join([said("ana", DEFECT)], SCHEMA)
    assert joined.labels == {"category": (DEFECT,), "sentiment": ("negative",)}
    assert joined.open == ()


def test_more_than_half_decide_on_each_label() -> None:
    joined = join([said("a", DEFECT, OTHER), said("b", DEFECT), said("c", QUALITY)], SCHEMA)
    assert joined.labels["category"] == (DEFECT,)
    assert [one.annotator for one in joined.by] == ["a", "b", "c"]


def test_half_settles_nothing() -> None:
    joined = join([said("a", DEFECT), said("b", DEFECT, OTHER, sentiment="positive")], SCHEMA)
    assert joined.labels == {}
    assert joined.open == ("category: product/defect 2, other 1 of 2", "sentiment: negative 1, positive 1 of 2")


def test_three_ways_settle_nothing() -> None:
    three = [
        said(who, DEFECT, sentiment=mood) for who, mood in zip("abc", ["negative", "neutral", "positive"], strict=True)
    ]
    assert join(three, SCHEMA).open == ("sentiment: negative 1, neutral 1, positive 1 of 3",)


def test_that_nothing_applies_must_be_said_and_does_not_follow_from_many_opinions() -> None:
    scattered = [said("a", DEFECT), said("b", QUALITY), said("c", OTHER)]
    assert join(scattered, SCHEMA).open == ("category: product/defect 1, product/quality 1, other 1 of 3",)
    assert join([*scattered[:2], said("c")], SCHEMA).open == ("category: product/defect 1, product/quality 1 of 3",)
    assert join([said("a", DEFECT), said("b"), said("c")], SCHEMA).labels["category"] == ()


def test_where_all_must_agree_a_majority_is_not_enough() -> None:
    given_ = [said("a", DEFECT), said("b", DEFECT), said("c", QUALITY)]
    assert join(given_, SCHEMA, "agree").open == ("category: product/defect 2, product/quality 1 of 3",)
    assert join(given_[:2], SCHEMA, "agree").labels["category"] == (DEFECT,)


def test_the_word_of_an_adjudicator_is_final() -> None:
    joined = join([said("a", DEFECT), said("b", OTHER), said("z", QUALITY)], SCHEMA, "agree", ["z"])
    assert joined.labels["category"] == (QUALITY,)
    assert [one.annotator for one in joined.by] == ["z"]


def test_a_person_counts_once_with_the_latest() -> None:
    joined = join([said("a", OTHER, at="2", number=2), said("a", DEFECT, at="1")], SCHEMA)
    assert joined.labels["category"] == (OTHER,)


@pytest.mark.parametrize(
    ("given_", "reason", "open_"),
    [
        ([aside("a")], "cannot_tell", ()),
        ([aside("a"), aside("b"), said("c", DEFECT)], "cannot_tell", ()),
        ([aside("a"), said("b", DEFECT)], None, ("set aside or not: cannot_tell 1, labels 1",)),
        ([aside("a"), aside("b", "not_feedback")], None, ("set aside or not: cannot_tell 1, not_feedback 1",)),
    ],
)
def test_setting_aside_is_decided_like_a_label(given_, reason, open_) -> None:
    joined = join(given_, SCHEMA)
    assert (joined.labels, joined.set_aside, joined.open) == ({}, reason, open_)


def test_labels_are_decided_by_those_who_gave_some() -> None:
    joined = join([aside("a"), said("b", DEFECT), said("c", DEFECT, sentiment=None)], SCHEMA)
    assert joined.labels == {"category": (DEFECT,), "sentiment": ("negative",)}


def test_a_task_that_nobody_answered_stays_without_labels() -> None:
    assert join([said("a", DEFECT, sentiment=None)], SCHEMA).labels == {"category": (DEFECT,)}


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.builds(
            said,
            st.sampled_from("abcde"),
            st.sampled_from([DEFECT, QUALITY, OTHER]),
            sentiment=st.sampled_from(["negative", "positive"]),
            at=st.sampled_from("123"),
        ),
        min_size=1,
        max_size=7,
    ),
    st.randoms(),
)
def test_the_order_does_not_matter_and_what_is_settled_has_a_majority(given_, chance) -> None:
    numbered = [Given(number, one.annotator, one.updated_at, one.labels) for number, one in enumerate(given_)]
    joined = join(numbered, SCHEMA)
    assert joined == join(chance.sample(numbered, len(numbered)), SCHEMA)
    assert bool(joined.labels) != bool(joined.open)
    for label in joined.labels.get("category", ()):
        assert 2 * sum(label in one.labels["category"] for one in joined.by) > len(joined.by)
