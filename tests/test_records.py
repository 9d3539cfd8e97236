"""Feedback items, labelled items, predictions."""

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from pydantic import ValidationError

from models.records import MAX_TEXT, FeedbackItem, LabeledItem, ModelName, Prediction, TaskPrediction

ACCEPTED = {
    "longest text": ("text", "a" * MAX_TEXT, "a" * MAX_TEXT),
    "an emoji alone": ("text", "👍", "👍"),
    "a text that is a number": ("text", 5, "5"),
    "id that is a number": ("id", 17, "17"),
    "lowest rating": ("rating", 1, 1.0),
    "highest rating": ("rating", "5", 5.0),
    "half a star": ("rating", 4.5, 4.5),
    "lowest nps": ("nps", 0, 0),
    "highest nps": ("nps", "10", 10),
    "lowest csat": ("csat", 1, 1.0),
    "highest csat": ("csat", 7, 7.0),
    "lowest ces": ("ces", 1, 1.0),
    "highest ces": ("ces", 7, 7.0),
    "country in small letters": ("country", "ro", "RO"),
    "language with a region": ("language", "pt-BR", "pt-BR"),
    "language in capitals": ("language", "ZH-hANT-tw", "zh-Hant-TW"),
    "language of Java": ("language", "zh_Hans", "zh-Hans"),
    "longest product": ("product", "p" * 200, "p" * 200),
    "nested meta": ("meta", {"a": [1, {"b": None}]}, {"a": [1, {"b": None}]}),
    "blank category": ("category", " ", None),
    "blank sentiment": ("sentiment", "", None),
    "blanks around a label": ("category", " billing ", "billing"),
    "nothing applies": ("categories", [], ()),
}


@pytest.mark.parametrize(("field", "given", "kept"), ACCEPTED.values(), ids=ACCEPTED)
def test_value_within_its_limits_is_accepted(field, given, kept):
    assert getattr(LabeledItem.model_validate({"text": "good", field: given}), field) == kept


REFUSED = {
    "empty text": ("text", "", "expected some text, got an empty one"),
    "blank text": ("text", " \n\t\u3000", "expected some text, got only blanks"),
    "invisible text": ("text", "\u200b\x00\x1b", "expected some text, got only blanks or control characters"),
    "text too long": ("text", "a" * (MAX_TEXT + 1), "at most 50,000 characters, got 50,001"),
    "surrogate in text": ("text", "a\ud800", "lone surrogate"),
    "surrogate in id": ("id", "a\udfff", "lone surrogate"),
    "surrogate in a label": ("category", "a\ud800", "unicode string|lone surrogate"),
    "surrogate in meta": ("meta", {"a": ["\ud800"]}, "unicode string|surrogate"),
    "surrogate in a name of meta": ("meta", {"\ud800": 1}, "unicode string|surrogate"),
    "no text": ("text", None, "valid string"),
    "list as text": ("text", ["a"], "valid string"),
    "rating 0": ("rating", 0, "greater than or equal to 1"),
    "rating 6": ("rating", 6, "less than or equal to 5"),
    "rating nan": ("rating", float("nan"), "finite number"),
    "rating infinite": ("rating", float("inf"), "finite number"),
    "rating true": ("rating", True, "expected a number"),
    "nps -1": ("nps", -1, "greater than or equal to 0"),
    "nps 11": ("nps", 11, "less than or equal to 10"),
    "nps 9.5": ("nps", 9.5, "valid integer"),
    "nps true": ("nps", True, "expected a number"),
    "csat 8": ("csat", 8, "less than or equal to 7"),
    "ces 0": ("ces", 0, "greater than or equal to 1"),
    "country of three letters": ("country", "DEU", "pattern"),
    "language by name": ("language", "German, Swiss", "pattern"),
    "empty id": ("id", "", "at least 1 character"),
    "product too long": ("product", "p" * 201, "at most 200 characters"),
    "label too long": ("category", "c" * 121, "at most 120 characters"),
    "time as a number": ("created_at", 1_700_000_000, "expected a date and time like 2026-.*got a number"),
    "time as a number in a string": ("created_at", "1700000000", "date and time|datetime"),
    "time in words": ("created_at", "yesterday", "valid datetime"),
    "nan in meta": ("meta", {"a": float("nan")}, "finite number"),
    "meta that is no object": ("meta", [1], "valid dictionary"),
    "one string for categories": ("categories", "a|b", "valid tuple"),
    "empty label": ("categories", ["a", ""], "at least 1 character"),
    "unknown field": ("colour", "red", "Extra inputs are not permitted"),
}


@pytest.mark.parametrize(("field", "given", "error"), REFUSED.values(), ids=REFUSED)
def test_value_beyond_its_limits_is_refused(field, given, error):
    with pytest.raises(ValidationError, match=error) as caught:
        LabeledItem.model_validate({"text": "good", field: given})
    assert {detail["loc"][0] for detail in caught.value.errors()} == {field}


@pytest.mark.parametrize(
    ("given", "moment"),
    [
        ("2026-03-10T09:30:00", datetime(2026, 3, 10, 9, 30, tzinfo=UTC)),
        ("2026-03-10 09:30", datetime(2026, 3, 10, 9, 30, tzinfo=UTC)),
        ("2026-03-10", datetime(2026, 3, 10, tzinfo=UTC)),
        ("2026-03-10T09:30:00Z", datetime(2026, 3, 10, 9, 30, tzinfo=UTC)),
        ("2026-03-10T09:30:00+01:00", datetime(2026, 3, 10, 9, 30, tzinfo=timezone(timedelta(hours=1)))),
    ],
    ids=["naive", "with a blank", "a day", "UTC", "with a zone"],
)
def test_time_without_a_zone_is_utc_and_any_other_zone_is_kept(given, moment):
    created_at = FeedbackItem.model_validate({"text": "good", "created_at": given}).created_at
    assert (created_at, created_at.utcoffset()) == (moment, moment.utcoffset())


def test_item_reads_back_equal_from_its_json():
    item = LabeledItem(text="gut 👍", id="1", nps=9, created_at="2026-03-10", meta={"a": [1]}, categories=["x", "y"])
    assert LabeledItem.model_validate_json(item.model_dump_json()) == item


def test_item_cannot_be_changed():
    with pytest.raises(ValidationError, match="frozen"):
        FeedbackItem(text="good").text = "bad"


CATEGORIES = {
    "one": ({"category": "a"}, ("a",)),
    "several": ({"categories": ["a", "b"]}, ("a", "b")),
    "nothing applies": ({"categories": []}, ()),
    "not labelled": ({}, None),
    "blank": ({"category": " "}, None),
    "one blank, one given": ({"category": "", "categories": ["a"]}, ("a",)),
}


@pytest.mark.parametrize(("fields", "labels"), CATEGORIES.values(), ids=CATEGORIES)
def test_both_spellings_of_category_are_one_task(fields, labels):
    assert LabeledItem(text="good", **fields).labels("category") == labels


def test_both_spellings_at_once_are_refused():
    with pytest.raises(ValidationError, match="expected `category` or `categories`, got both; keep one"):
        LabeledItem(text="good", category="a", categories=["b"])


FURTHER = {
    "one": ("a", ("a",)),
    "several in a cell": ("a|b", ("a", "b")),
    "blanks around": (" a | b ", ("a", "b")),
    "list": (["a", "b"], ("a", "b")),
    "list with blanks around": ([" a "], ("a",)),
    "number": (3, ("3",)),
    "nothing applies": ([], ()),
    "empty": ("", None),
    "blank": ("  ", None),
    "none": (None, None),
    "nothing between separators": ("a||b|", ("a", "b")),
}


@pytest.mark.parametrize(("value", "labels"), FURTHER.values(), ids=FURTHER)
def test_labels_of_a_further_task_stand_in_meta(value, labels):
    assert LabeledItem(text="good", meta={"topic": value}).labels("topic") == labels


def test_task_that_stands_nowhere_is_not_labelled():
    item = LabeledItem(text="good", sentiment="positive")
    assert (item.labels("sentiment"), item.labels("topic")) == (("positive",), None)


def prediction(*, abstained):
    answer = TaskPrediction(labels=("a",), confidence=0.6, abstained=abstained, probabilities={"a": 0.6, "b": 0.4})
    return Prediction(
        tasks={"t": answer},
        language="en",
        truncated=False,
        tier="linear",
        model=ModelName(name="m", version="1"),
        label_schema="abc",
    )


def test_prediction_in_json_calls_the_schema_schema_and_reads_back_equal():
    said = prediction(abstained=False)
    data = json.loads(said.model_dump_json())
    assert data["schema"] == "abc"
    assert "label_schema" not in data
    assert Prediction.model_validate(data) == said


@pytest.mark.parametrize("abstained", [True, False])
def test_prediction_abstains_where_a_task_does(abstained):
    assert prediction(abstained=abstained).abstained is abstained
