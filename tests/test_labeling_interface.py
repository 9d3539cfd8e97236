"""The Label Studio interface: what it asks, what it returns, what it refuses."""

import xml.etree.ElementTree as ET
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from label_studio_sdk.label_interface import LabelInterface
from typer.testing import CliRunner

from feedback import app
from labeling.studio.interface import CANNOT_TELL, NOT_FEEDBACK, NOTE, SET_ASIDE, TEXT, labeling_interface
from models.errors import SchemaError
from models.labels import LabelSchema

ODD_KEYS = [
    'says "no"',
    "it's <b>",
    "a & b",
    "质量/坏 了",
    "质量/好",
    "$text",
    "a,b|c",
    "trailing ",
    "1",
    "nan",
    "true",
    "false",
]


def schema_of(*keys: str, kind: str = "multi", name: str = "topic", **fields: str) -> LabelSchema:
    labels = [{"key": key} for key in keys]
    return LabelSchema.model_validate({"tasks": {name: {"kind": kind, "labels": labels, **fields}}})


def answer(name: str, *keys: str) -> dict[str, Any]:
    region = {"from_name": name, "to_name": TEXT, "type": "choices", "value": {"choices": list(keys)}}
    return {"model_version": "v1", "score": 0.5, "result": [region]}


def elements(schema: LabelSchema, tag: str) -> list[ET.Element]:
    return list(ET.fromstring(labeling_interface(schema)).iter(tag))  # noqa: S314 - written by ourselves


def control(schema: LabelSchema, name: str) -> ET.Element:
    (found,) = [element for element in elements(schema, "Choices") if element.get("name") == name]
    return found


def test_label_studio_takes_the_interface_of_the_default_schema() -> None:
    interface = LabelInterface(labeling_interface(LabelSchema.load()))
    interface.validate()
    assert {tag.name for tag in interface.controls} == {"category", "sentiment", SET_ASIDE, NOTE}
    assert [tag.value for tag in interface.objects] == ["$text"]


@pytest.mark.parametrize("task", ["category", "sentiment"])
def test_every_label_comes_back_as_its_key_and_nothing_else_does(task: str) -> None:
    schema = LabelSchema.load()
    interface = LabelInterface(labeling_interface(schema))
    assert tuple(interface.get_control(task).labels) == schema.task(task).keys
    for key in schema.task(task).keys:
        assert interface.validate_prediction(answer(task, key), return_errors=True) == []
        assert interface.validate_annotation(answer(task, key))


def test_several_labels_of_a_multi_task_are_one_answer() -> None:
    schema = LabelSchema.load()
    interface = LabelInterface(labeling_interface(schema))
    assert interface.validate_annotation(answer("category", *schema.task("category").keys))


@pytest.mark.parametrize("key", ["product/defects", "Defect", "defect", "product", "negative"])
def test_a_label_that_is_not_in_the_schema_is_refused(key: str) -> None:
    interface = LabelInterface(labeling_interface(LabelSchema.load()))
    (error,) = interface.validate_prediction(answer("category", key), return_errors=True)
    assert f"Invalid value for control 'category'. Got: {{'choices': ['{key}']}}" in error


@pytest.mark.parametrize("kind", ["single", "multi"])
def test_odd_labels_survive(kind: str) -> None:
    interface = LabelInterface(labeling_interface(schema_of(*ODD_KEYS, kind=kind, name="主题 1")))
    interface.validate()
    assert sorted(interface.get_control("主题 1").labels) == sorted(ODD_KEYS)
    assert all(interface.validate_annotation(answer("主题 1", key)) for key in ODD_KEYS)


def test_no_attribute_but_value_reads_like_a_boolean() -> None:
    # the labelling page turns such attributes into booleans, and then refuses the whole interface
    choices = control(schema_of("true", "false"), "topic").iter("Choice")
    assert [(choice.get("value"), choice.get("alias")) for choice in choices] == [("true", None), ("false", None)]
    described = {"key": "a", "description": "true"}
    labels = [described, {"key": "true", "title": "<b>false"}]
    schema = LabelSchema.model_validate({"tasks": {"topic": {"kind": "multi", "labels": labels}}})
    hint, html = [
        choice.get(name, "") for choice, name in zip(elements(schema, "Choice"), ("hint", "html"), strict=False)
    ]
    assert (hint, html) == ("true\u2060", "&lt;b&gt;false\u2060")


def test_a_dollar_sign_in_what_is_shown_is_no_field_of_the_task() -> None:
    schema = schema_of("under $text", "b", title="In $text", description="or $channel")
    shown = [element.get("value", "") for tag in ("Header", "Choice") for element in elements(schema, tag)]
    assert [text for text in shown if "$" in text] == [
        "$context",
        "In $\u2060text",
        "or $\u2060channel",
        "under $\u2060text",
    ]


def test_titles_are_shown_and_descriptions_are_hints() -> None:
    schema = LabelSchema.load()
    headers = [element.get("value") for element in elements(schema, "Header")]
    for text in ("Category", "Sentiment", "How the customer feels on the whole.", "Customer service"):
        assert text in headers
    choice = next(control(schema, "category").iter("Choice"))
    assert (choice.get("value"), choice.get("alias")) == ("Defect", "product/defect")
    assert choice.get("hint") == "Something is broken, faulty, arrived damaged or stopped working; a bug."


def test_a_family_is_one_column_even_when_its_labels_do_not_follow_each_other() -> None:
    topic = control(schema_of("a/x", "b/y", "plain", "a/z"), "topic")
    columns = [[choice.get("alias") for choice in view.findall("Choice")] for view in topic.findall("View/View")]
    assert columns == [["a/x", "a/z"], ["b/y"], ["plain"]]
    assert [header.get("value") for header in topic.iter("Header")] == ["a", "b"]
    assert [choice.get("value") for choice in topic.iter("Choice")] == ["x", "z", "y", "plain"]


def test_a_single_task_is_required_radio_buttons_and_a_multi_task_optional_check_boxes() -> None:
    single, multi = control(LabelSchema.load(), "sentiment"), control(LabelSchema.load(), "category")
    assert (single.get("choice"), single.get("required")) == ("single-radio", "true")
    assert (multi.get("choice"), multi.get("required")) == ("multiple", None)


@pytest.mark.parametrize("reason", [CANNOT_TELL, NOT_FEEDBACK])
def test_an_item_set_aside_is_asked_nothing(reason: str) -> None:
    schema = LabelSchema.load()
    assert LabelInterface(labeling_interface(schema)).validate_annotation(answer(SET_ASIDE, reason))
    for name in schema.tasks:
        asked = control(schema, name)
        assert (asked.get("visibleWhen"), asked.get("whenTagName")) == ("choice-unselected", SET_ASIDE)
        assert reason in asked.get("whenChoiceValue", "").split(",")


@pytest.mark.parametrize("kind", ["single", "multi"])
def test_hotkeys_never_clash_and_run_out_quietly(kind: str) -> None:
    choices = elements(schema_of(*[f"label {number}" for number in range(60)], kind=kind), "Choice")
    hotkeys = sorted(key for choice in choices if (key := choice.get("hotkey")))
    assert len(hotkeys) == 33
    assert all(one != other for one, other in pairwise(hotkeys))
    assert not set("hru") & set(hotkeys)


@pytest.mark.parametrize("name", ["Note", "set_aside", "context", "true", "nan", "1", "a|b", "a@b", "", " a", "a,b"])
def test_a_task_name_that_label_studio_cannot_hold_is_refused(name: str) -> None:
    with pytest.raises(SchemaError, match=r"expected a name of letters, digits, spaces and \. - _") as error:
        labeling_interface(schema_of("a", "b", name=name))
    assert f"task {name!r}:" in str(error.value)


def test_all_faults_are_reported_at_once() -> None:
    schema = schema_of("bell\x07", "b", title="\ud800", name="note")
    with pytest.raises(SchemaError, match="no Label Studio interface can be made from this schema") as error:
        labeling_interface(schema)
    for fault in ("task 'note': expected a name", r"'bell\x07' holds a character that XML cannot", r"'\ud800' holds"):
        assert fault in str(error.value)


def test_the_command_writes_what_it_prints(tmp_path: Path) -> None:
    out = tmp_path / "new" / "interface.xml"
    printed = CliRunner().invoke(app, ["label", "config"])
    written = CliRunner().invoke(app, ["label", "config", "--out", str(out)])
    assert (printed.exit_code, written.exit_code, written.stdout) == (0, 0, "")
    assert out.read_text(encoding="utf-8") == printed.stdout == labeling_interface(LabelSchema.load())


def test_the_command_reads_the_given_schema(tmp_path: Path) -> None:
    labels = tmp_path / "labels.toml"
    labels.write_text(schema_of("质量/坏", "b").to_toml(), encoding="utf-8")
    result = CliRunner().invoke(app, ["label", "config", "--labels", str(labels)])
    assert 'alias="质量/坏"' in result.stdout


def test_the_command_leaves_no_file_behind_when_the_schema_cannot_be_used(tmp_path: Path) -> None:
    out = tmp_path / "interface.xml"
    result = CliRunner().invoke(app, ["label", "config", "--labels", str(tmp_path / "none.toml"), "--out", str(out)])
    assert isinstance(result.exception, SchemaError)
    assert "file not found" in str(result.exception)
    assert list(tmp_path.iterdir()) == []
