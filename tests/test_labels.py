"""The label schema: what is read, refused, derived and written back."""

import tomllib
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import SchemaError, did_you_mean
from models.labels import RECORD_FIELDS, LabelSchema, check_schema, derive_schema

LAW = settings(deadline=None, derandomize=True)

TWO = '[[tasks.t.labels]]\nkey = "a"\n[[tasks.t.labels]]\nkey = "b"\n'
SINGLE = '[tasks.t]\nkind = "single"\n'


def labels(*keys):
    return "".join(f'[[tasks.t.labels]]\nkey = "{key}"\n' for key in keys)


# --- the default taxonomy


def test_default_taxonomy_has_four_families_of_three_to_six_labels_and_other():
    category = LabelSchema.load().task("category")
    sizes = Counter(label.family for label in category.labels if "/" in label.key)
    assert set(sizes) == {"product", "customer_service", "brand_loyalty", "marketing_sales"} == set(category.families)
    assert all(3 <= size <= 6 for size in sizes.values())
    assert [key for key in category.keys if "/" not in key] == ["other"]
    assert category.kind == "multi"


def test_default_sentiment_is_single_and_lies_on_a_scale():
    sentiment = LabelSchema.load().task("sentiment")
    assert sentiment.kind == "single"
    assert dict(zip(sentiment.keys, sentiment.values, strict=True)) == {"negative": -1, "neutral": 0, "positive": 1}


def test_every_label_of_the_default_taxonomy_is_described_for_labelers():
    tasks = LabelSchema.load().tasks.values()
    assert sum(len(task.labels) for task in tasks) > 20
    assert all(label.title and label.description for task in tasks for label in task.labels)


# --- faults

FAULTS = {
    "not toml": ("tasks = [", "not valid TOML"),
    "no tasks": ("[tasks]", "tasks|at least one task"),
    "tasks missing": ("version = 1", "tasks: Field required"),
    "other version": (f"version = 2\n{SINGLE}{TWO}", r"version: .*1.*got 2"),
    "unknown key": (f"colour = 1\n{SINGLE}{TWO}", "colour: Extra inputs are not permitted"),
    "unknown kind": (f'[tasks.t]\nkind = "both"\n{TWO}', r"tasks\.t\.kind: .*'single' or 'multi'.*got 'both'"),
    "one label": (SINGLE + labels("a"), r"tasks\.t: expected at least 2 labels, got 1"),
    "a label twice": (SINGLE + labels("a", "b", "a"), "label 'a' stands 2 times; keep one"),
    "three levels": (SINGLE + labels("a/b/c", "d"), "label 'a/b/c': expected 'label' or 'family/label'"),
    "half a path": (SINGLE + labels("a/", "d"), "label 'a/': expected 'label' or 'family/label'"),
    "label and family": (SINGLE + labels("a", "a/b"), "'a' is both a label and a family; rename one"),
    "empty family": (f'{SINGLE}[tasks.t.families]\nz = "Z"\n{TWO}', "family 'z' has no label; remove it"),
    "empty key": (SINGLE + labels("", "b"), r"tasks\.t\.labels\.0\.key: .*at least 1 character"),
    "blank in front": (SINGLE + labels(" a", "b"), r"tasks\.t\.labels\.0\.key: .*pattern"),
    "value off the scale": (f"{SINGLE}{TWO}value = 1.5", r"tasks\.t\.labels\.1\.value: .*less than or equal to 1"),
    "value is no number": (f'{SINGLE}{TWO}value = "1"', r"tasks\.t\.labels\.1\.value: .*valid number"),
    "value is nan": (f"{SINGLE}{TWO}value = nan", r"tasks\.t\.labels\.1\.value: "),
}


@pytest.mark.parametrize(("text", "fault"), FAULTS.values(), ids=FAULTS)
def test_faulty_schema_is_refused_with_its_place(tmp_path, text, fault):
    path = tmp_path / "labels.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SchemaError, match=fault) as caught:
        LabelSchema.load(path)
    assert str(path) in str(caught.value)


def test_every_fault_is_reported_at_once(tmp_path):
    path = tmp_path / "labels.toml"
    path.write_text(
        'colour = 1\n[tasks.a]\nkind = "both"\nlabels = [{key = ""}, {key = "x", value = 3}]\n'
        '[tasks.b]\nkind = "multi"\nlabels = [{key = "x"}, {key = "x"}, {key = "1/2/3"}]\n',
        encoding="utf-8",
    )
    expected = ["colour", "tasks.a.kind", "labels.0.key", "labels.1.value", "'x' stands 2 times", "'1/2/3'"]
    with pytest.raises(SchemaError) as caught:
        LabelSchema.load(path)
    assert [part for part in expected if part not in str(caught.value)] == []


def test_fault_of_a_field_does_not_hide_the_faults_between_labels(tmp_path):
    path = tmp_path / "labels.toml"
    path.write_text(f"{SINGLE}colour = 1\n{labels('x', 'x')}", encoding="utf-8")
    faults = "\n".join(check_schema(path))
    assert "colour" in faults
    assert "'x' stands 2 times" in faults


@pytest.mark.parametrize(
    ("name", "fault"),
    [("absent.toml", "file not found; .*labels init"), (".", "got a folder"), ("latin.toml", "not valid TOML")],
    ids=["absent", "folder", "not UTF-8"],
)
def test_unreadable_schema_is_a_schema_error(tmp_path, name, fault):
    (tmp_path / "latin.toml").write_bytes(b'title = "\xfc"')
    with pytest.raises(SchemaError, match=fault):
        LabelSchema.load(tmp_path / name)


def test_sound_schema_has_no_faults(tmp_path):
    path = tmp_path / "labels.toml"
    path.write_text(SINGLE + TWO, encoding="utf-8")
    assert check_schema(path) == []


# --- unknown names


@pytest.mark.parametrize(
    ("ask", "error"),
    [
        (lambda s: s.task("sentimant"), r"no task 'sentimant' .*did you mean 'sentiment'\? known: category, sentiment"),
        (lambda s: s.task("zzz"), "no task 'zzz' in the label schema; known: category, sentiment"),
        (
            lambda s: s.check_label("sentiment", "positiv"),
            r"unknown sentiment label 'positiv'; did you mean 'positive'\?",
        ),
        (
            lambda s: s.check_label("category", "product/defct"),
            r"did you mean 'product/defect'\? known: product/defect, ",
        ),
        (lambda s: s.check_label("mood", "positive"), "no task 'mood'"),
    ],
    ids=["task", "task, nothing near", "label", "label with family", "label of an unknown task"],
)
def test_unknown_name_is_refused_with_the_nearest_and_the_known(ask, error):
    with pytest.raises(SchemaError, match=error):
        ask(LabelSchema.load())


@pytest.mark.parametrize(
    ("known", "text"),
    [
        ([], "none is known"),
        (["ab", "cd"], "known: ab, cd"),
        (["neutrl", "x"], "did you mean 'neutrl'? known: neutrl, x"),
        ([f"n{number}" for number in range(30)], "and 5 more"),
    ],
    ids=["none", "nothing near", "near", "many"],
)
def test_hint_names_the_nearest_and_lists_the_known(known, text):
    assert text in did_you_mean("neutral", known)


# --- derivation

DERIVED = {
    "one label a row": ([("b",), ("a",)], "single", ("a", "b"), None),
    "several in a row": ([("b", "a"), ("a",)], "multi", ("a", "b"), None),
    "none in a row": ([("b",), (), ("a",)], "multi", ("a", "b"), None),
    "words of sentiment": (
        [("positive",), ("negative",), ("neutral",)],
        "single",
        ("negative", "neutral", "positive"),
        (-1.0, 0.0, 1.0),
    ),
    "short words of sentiment": ([("pos",), ("neg",)], "single", ("neg", "pos"), (-1.0, 1.0)),
    "a word of sentiment alone is no scale": ([("neutral",), ("great",)], "single", ("great", "neutral"), None),
}


@pytest.mark.parametrize(("rows", "kind", "keys", "values"), DERIVED.values(), ids=DERIVED)
def test_schema_is_derived_from_the_labels_of_the_rows(rows, kind, keys, values):
    task = derive_schema({"topic_area": rows}).task("topic_area")
    assert (task.kind, task.keys, task.values, task.title) == (kind, keys, values, "Topic area")


def test_data_that_gives_no_schema_is_refused_with_every_reason():
    with pytest.raises(SchemaError, match=r"(?s)'a/b/c': expected.*sentiment: expected at least 2 labels, got 1"):
        derive_schema({"category": [("a/b/c",), ("d",)], "sentiment": [("good",)]})


# --- identity and the way back

odd = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
part = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\n\r\t"), min_size=1, max_size=12).filter(
    lambda text: text == text.strip()
)


@st.composite
def schemas(draw):
    tasks = {}
    for name in draw(st.lists(odd.filter(lambda name: name not in RECORD_FIELDS), min_size=1, max_size=3, unique=True)):
        families, plain = draw(st.lists(part, max_size=2, unique=True)), draw(st.lists(part, max_size=3, unique=True))
        keys = [f"{family}/{key}" for family in families for key in draw(st.lists(part, min_size=1, unique=True))]
        keys += [key for key in plain if key not in families]
        keys += [key for key in ("one", "two") if key not in {*keys, *families}] if len(keys) < 2 else []
        value = st.none() | st.floats(-1, 1)
        tasks[name] = {
            "kind": draw(st.sampled_from(["single", "multi"])),
            "title": draw(odd),
            "description": draw(odd),
            "families": {family: draw(odd) for family in families},
            "labels": [{"key": k, "title": draw(odd), "description": draw(odd), "value": draw(value)} for k in keys],
        }
    return LabelSchema.model_validate({"tasks": tasks})


@LAW
@given(schema=schemas())
def test_written_schema_reads_back_equal(tmp_path_factory, schema):
    path = tmp_path_factory.getbasetemp() / "labels.toml"
    path.write_text(schema.to_toml(), encoding="utf-8")
    again = LabelSchema.load(path)
    assert again == schema
    assert [*again.tasks] == [*schema.tasks]
    assert again.digest == schema.digest


@pytest.mark.parametrize(
    "text", ['"', "'", "\\", '"""', "\x00\x1b\x7f\x85", "\r\n", "# ]", "größe 价格 👩‍👩‍👧 \u2028", "\\u0041"], ids=ascii
)
def test_odd_characters_survive_the_toml(text):
    task = {"kind": "single", "title": text, "labels": [{"key": "x" + text.strip(), "title": text}, {"key": "b"}]}
    if "\n" in text:
        task["labels"][0]["key"] = "a"
    schema = LabelSchema.model_validate({"tasks": {text: task}})
    assert LabelSchema.model_validate(tomllib.loads(schema.to_toml())) == schema


def test_default_taxonomy_reads_back_equal():
    schema = LabelSchema.load()
    assert LabelSchema.model_validate(tomllib.loads(schema.to_toml())) == schema


@pytest.mark.parametrize(
    ("change", "same"),
    [
        (lambda task: task["labels"].reverse(), False),
        (lambda task: task.update(kind="multi"), False),
        (lambda task: task["labels"].append({"key": "c"}), False),
        (lambda task: task.update(title="Other words"), True),
        (lambda task: task["labels"][0].update(description="Other words"), True),
    ],
    ids=["order", "kind", "label", "title", "description"],
)
def test_digest_changes_with_what_a_prediction_means(change, same):
    task = {"kind": "single", "labels": [{"key": "a"}, {"key": "b"}]}
    before = LabelSchema.model_validate({"tasks": {"t": task}}).digest
    change(task)
    assert (LabelSchema.model_validate({"tasks": {"t": task}}).digest == before) is same
