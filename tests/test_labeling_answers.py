"""What labelers answered, read by the label schema: every control, and whatever an edited interface sends."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labeling.pull.answers import asked_tasks, read_answer
from labeling.studio.interface import CANNOT_TELL, NOT_FEEDBACK, labeling_interface
from models.labels import LabelSchema

SCHEMA = LabelSchema.load()
ASKED = tuple(SCHEMA.tasks)


def region(name: str, *choices: str) -> dict[str, Any]:
    return {"from_name": name, "to_name": "text", "type": "choices", "value": {"choices": list(choices)}}


def note(*texts: str) -> dict[str, Any]:
    return {"from_name": "note", "to_name": "text", "type": "textarea", "value": {"text": list(texts)}}


def read(*regions: dict[str, Any], asked=ASKED):
    return read_answer(regions, SCHEMA, asked)


def test_labels_come_in_the_order_of_the_schema_with_the_note() -> None:
    answer = read(region("category", "other", "product/defect"), region("sentiment", "negative"), note("two", "lines"))
    assert answer.labels == {"category": ("product/defect", "other"), "sentiment": ("negative",)}
    assert (answer.set_aside, answer.note, answer.faults) == (None, "two\nlines", ())


def test_no_answer_to_a_multi_task_says_that_nothing_applies() -> None:
    assert read(region("sentiment", "neutral")).labels == {"category": (), "sentiment": ("neutral",)}


def test_a_task_that_was_not_asked_is_not_labelled() -> None:
    assert read(region("sentiment", "neutral"), asked=["sentiment"]).labels == {"sentiment": ("neutral",)}


@pytest.mark.parametrize("reason", [CANNOT_TELL, NOT_FEEDBACK])
def test_what_is_set_aside_has_no_labels(reason: str) -> None:
    answer = read(region("set_aside", reason), region("sentiment", "neutral"), note("odd"))
    assert (answer.labels, answer.set_aside, answer.note, answer.faults) == ({}, reason, "odd", ())


@pytest.mark.parametrize(
    ("regions", "fault"),
    [
        ([region("category", "product/defects")], "unknown category choice 'product/defects'; did you mean"),
        ([region("sentiment", "negative", "positive")], "sentiment: expected one choice, got 2: negative, positive"),
        ([region("set_aside", "later")], "set_aside: expected cannot_tell or not_feedback, got later"),
        ([{"from_name": "category", "value": {"choices": [1]}}], "category: expected a list of choices, got"),
        ([{"from_name": "category", "value": None}], "category: expected a list of choices, got None"),
        ([], "expected an answer, or why the item was set aside; got neither"),
    ],
)
def test_what_cannot_be_used_says_why(regions, fault: str) -> None:
    answer = read(*regions)
    assert any(one.startswith(fault) for one in answer.faults), answer.faults


def test_what_was_chosen_is_kept() -> None:
    answer = read(region("category", "product/warranty"), region("sentiment", "negative"))
    assert answer.labels == {"category": ("product/warranty",), "sentiment": ("negative",)}


def test_a_choice_that_lost_its_alias_is_known_by_its_title() -> None:
    label = SCHEMA.task("category").labels[0]
    assert label.title
    assert read(region("category", label.title), region("sentiment", "neutral")).labels["category"] == (label.key,)


def test_controls_of_others_are_left_alone() -> None:
    answer = read(region("urgency", "high"), {"id": "x", "type": "relation"}, region("sentiment", "neutral"))
    assert answer.labels == {"category": (), "sentiment": ("neutral",)}


def test_our_own_interface_asks_for_all() -> None:
    assert asked_tasks(labeling_interface(SCHEMA), SCHEMA) == (list(ASKED), [])


def test_an_edited_interface_is_told() -> None:
    edited = labeling_interface(SCHEMA).replace('name="category"', 'name="topic"')
    asked, (lost, gained) = asked_tasks(edited, SCHEMA)
    assert asked == ["sentiment"]
    assert "does not ask for category" in lost
    assert "also asks for topic" in gained
    assert asked_tasks("<View>", SCHEMA)[0] == []


ANYTHING = st.recursive(
    st.none() | st.text(max_size=5) | st.integers(), lambda inner: st.lists(inner, max_size=3), max_leaves=5
)
REGIONS = st.lists(
    st.fixed_dictionaries(
        {"from_name": st.sampled_from([*ASKED, "set_aside", "note", "x"])},
        optional={"value": ANYTHING | st.fixed_dictionaries({"choices": ANYTHING, "text": ANYTHING})},
    ),
    max_size=4,
)


@settings(max_examples=300, deadline=None)
@given(REGIONS)
def test_whatever_is_sent_is_read_or_refused(regions) -> None:
    answer = read_answer(regions, SCHEMA, ASKED)
    if not answer.faults:
        assert bool(answer.labels) != bool(answer.set_aside)
        for name, labels in answer.labels.items():
            assert set(labels) <= set(SCHEMA.task(name).keys)
