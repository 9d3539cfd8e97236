"""A change of the taxonomy: what is refused, and what becomes of schemas, labels, predictions and rows."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from migration_support import (
    DELIVERY,
    EACH,
    ETHICS,
    LATE,
    PRIVACY,
    QUALITY,
    RESOLUTION,
    SPEED,
    STAFF,
    TRUST,
    migration_of,
)

from models.errors import SchemaError
from models.labels import LabelSchema
from models.migration.check import Operation, faults_of, migrated
from models.migration.file import moves_of, read_migration
from models.migration.moves import Migration, TaskMoves
from models.migration.records import row_change, without_labels

LAW = settings(deadline=None, derandomize=True, max_examples=200)


@pytest.fixture(scope="module")
def each(tmp_path_factory) -> Migration:
    return migration_of(tmp_path_factory.mktemp("migration"))


def rename(old: str, to: str, task: str = "category") -> str:
    return f'[[rename]]\ntask = "{task}"\nfrom = "{old}"\nto = "{to}"\n'


def split(old: str, *into: str) -> str:
    return f'[[split]]\ntask = "category"\nfrom = "{old}"\ninto = {list(into)}\n'


def merge(to: str, *old: str, task: str = "category") -> str:
    return f'[[merge]]\ntask = "{task}"\nfrom = {list(old)}\nto = "{to}"\n'


def retire(label: str, to: str = "", task: str = "category") -> str:
    return f'[[retire]]\ntask = "{task}"\nlabel = "{label}"\n' + (f'to = "{to}"\n' if to else "")


FAULTS = {
    "empty": ("", r"expected at least one of \[\[rename\]\], .*, got none"),
    "not toml": ("[[rename]", "not valid TOML"),
    "unknown key": ('[[rename]]\ntask = "category"\nfrom = "other"\nto = "x"\ncolour = 1', "unknown field .*colour"),
    "key missing": ('[[rename]]\ntask = "category"\nfrom = "other"', "rename.0.to' is missing"),
    "one successor": (split("other", "x/y"), "split.0.into: .*at least 2 items"),
    "unknown task": (rename("other", "x", "categry"), "rename 1: no task 'categry'; did you mean 'category'"),
    "unknown label": (rename("othr", "x"), "rename 1: unknown category label 'othr'; did you mean 'other'"),
    "renamed to one that exists": (rename(SPEED, QUALITY), rf"{QUALITY}' exists already; .* \[\[merge\]\]"),
    "renamed to itself": (rename(SPEED, SPEED), "is renamed to itself"),
    "merged into one that exists": (merge(QUALITY, SPEED, TRUST), "exists already; name it among `from`"),
    "merged with itself": (merge("x", SPEED, SPEED), "stands 2 times"),
    "split into itself": (split(TRUST, TRUST, "trust/x"), "is split into itself"),
    "renamed and split": (
        rename(TRUST, "x") + split(TRUST, "y/a", "y/b"),
        rf"split 1: '{TRUST}' is renamed by rename 1 already",
    ),
    "a chain": (rename(TRUST, "x") + retire("other", TRUST), rf"'{TRUST}', which others become, is renamed itself"),
    "made twice": (rename(TRUST, "x/y") + split("other", "x/y", "x/z"), "'x/y' is made by rename 1 too"),
    "retired for nothing that is": (retire(TRUST, "trst"), "`to` is an unknown label 'trst'"),
    "one label left": (merge("all", "negative", "neutral", "positive", task="sentiment"), "at least 2 labels, got 1"),
    "label and family": (rename(TRUST, "product"), "'product' is both a label and a family"),
    "family without label": (rename(TRUST, "x") + '[families.category]\nz = "Z"', "family 'z' has no label"),
    "family of no task": (rename(TRUST, "x") + '[families.categry]\nz = "Z"', "families: no task 'categry'"),
}


@pytest.mark.parametrize(("text", "fault"), FAULTS.values(), ids=FAULTS)
def test_what_cannot_be_done_is_refused_with_its_place(tmp_path, text, fault):
    with pytest.raises(SchemaError, match=fault):
        migration_of(tmp_path, text)


def test_every_fault_is_told_at_once(tmp_path):
    with pytest.raises(SchemaError) as caught:
        migration_of(tmp_path, rename("othr", "x") + rename(SPEED, QUALITY) + retire("x", task="mood"))
    assert [
        part for part in ("rename 1", "rename 2", "no task 'mood'", "3 fault") if part not in str(caught.value)
    ] == []


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(SchemaError, match="file not found"):
        read_migration(tmp_path / "absent.toml", LabelSchema.load())


def test_new_labels_stand_in_the_place_of_old_ones_with_their_words(each):
    old, new = each.old.tasks["category"], each.new.tasks["category"]
    assert new.keys.index(LATE) == old.keys.index(DELIVERY) - 2  # speed and staff went before it
    assert {DELIVERY, SPEED, TRUST, STAFF}.isdisjoint(new.keys)
    assert (new.labels[new.index[LATE]].title, new.labels[new.index[PRIVACY]].title) == ("Late", "Privacy")
    assert new.labels[new.index[LATE]].description == old.labels[old.index[DELIVERY]].description
    assert new.keys.index(ETHICS) == new.keys.index(PRIVACY) + 1
    assert new.families["shipping"] == "Shipping"
    assert each.new.migrations == (each.digest,)


def test_a_schema_that_is_migrated_already_is_recognised(each, tmp_path):
    again = migration_of(tmp_path, EACH, each.new)
    assert (again.old, again.new, again.digest, again.tasks) == (None, each.new, each.digest, each.tasks)
    (tmp_path / "labels.toml").write_text(each.new.to_toml(), encoding="utf-8")
    assert LabelSchema.load(tmp_path / "labels.toml") == each.new


def test_a_label_that_got_its_old_key_back_can_be_renamed_again(tmp_path):
    there = migration_of(tmp_path, rename("other", "rest")).new
    back = migration_of(tmp_path, rename("rest", "other"), there).new
    again = migration_of(tmp_path, rename("other", "rest"), back)
    assert again.old is back
    assert "rest" in again.new.tasks["category"].keys


MOVED = {
    "renamed": ([DELIVERY], (LATE,), False),
    "merged": ([SPEED, QUALITY, "other"], (QUALITY, "other"), False),
    "split": ([TRUST, "other"], ("other",), True),
    "retired with a successor": ([STAFF], (RESOLUTION,), False),
    "untouched": (["other", "product/defect"], ("other", "product/defect"), False),
    "none": ([], (), False),
}


@pytest.mark.parametrize(("before", "after", "unsettled"), MOVED.values(), ids=MOVED)
def test_labels_of_an_item_under_their_new_names(each, before, after, unsettled):
    assert each.move("category", before) == (after, unsettled)


def test_a_task_with_one_answer_that_was_retired_has_none(tmp_path):
    migration = migration_of(tmp_path, retire("neutral", task="sentiment"))
    assert migration.answers({"sentiment": ["neutral"], "category": ["other"]}) == ({"category": ["other"]}, {})


def answer(labels, probabilities, confidence=0.5, abstained=False):
    return {
        "labels": labels, "confidence": confidence, "abstained": abstained, "probabilities": probabilities,
        "score": None,
    }  # fmt: skip


def test_probabilities_of_what_became_one_label_are_joined(each, tmp_path):
    said = {"tasks": {"category": answer([SPEED], {QUALITY: 0.3, SPEED: 0.5, TRUST: 0.1, DELIVERY: 0.2})}}
    (found,) = each.prediction(said)["tasks"].values()
    assert found == answer([QUALITY], {QUALITY: 0.5, LATE: 0.2}, 0.5)
    mood = migration_of(tmp_path, merge("calm", "neutral", "positive", task="sentiment"))
    said = {"tasks": {"sentiment": answer(["neutral"], {"negative": 0.2, "neutral": 0.5, "positive": 0.3})}}
    (found,) = mood.prediction(said)["tasks"].values()
    assert found == answer(["calm"], {"negative": 0.2, "calm": 0.8}, 0.8)


def test_a_prediction_of_a_label_that_was_split_counts_as_abstained(each):
    said = {"tasks": {"category": answer([TRUST, "other"], {TRUST: 0.9, "other": 0.6}, 0.9)}}
    (found,) = each.prediction(said)["tasks"].values()
    assert found == answer(["other"], {"other": 0.6}, 0.6, abstained=True)


ROWS = {
    "one label": ({"category": DELIVERY}, {"category": LATE}),
    "several in a cell": ({"category": f"{DELIVERY}|{SPEED}|{QUALITY}"}, {"category": f"{LATE}|{QUALITY}"}),
    "a list": ({"categories": [SPEED, "other"]}, {"categories": [QUALITY, "other"]}),
    "shown and predicted": (
        {"meta": {"correction": {"shown": {"category": [SPEED]}, "predicted": {"category": [TRUST]}, "by": ["a"]}}},
        {"meta": {"correction": {"shown": {"category": [QUALITY]}, "predicted": {}, "by": ["a"]}}},
    ),
    "split": (
        {"categories": [TRUST, "other"], "sentiment": "negative"},
        {"categories": None, "meta": {"unsettled": {"category": [TRUST, "other"]}}},
    ),
    "classified": (
        {"prediction": {"tasks": {"category": answer([DELIVERY], {DELIVERY: 0.5})}}},
        {"prediction": {"tasks": {"category": answer([LATE], {LATE: 0.5})}}},
    ),
    "a column that is called like a prediction": ({"prediction": {"x": 1}}, None),
    "nothing": ({"categories": ["other"], "meta": {"note": DELIVERY}}, None),
}


@pytest.mark.parametrize(("row", "changes"), ROWS.values(), ids=ROWS)
def test_labels_of_a_row_wherever_they_stand(each, row, changes):
    found = row_change({"text": "x", **row}, each)
    assert (None if found is None else found.fields) == changes


def test_labels_of_a_further_task_stand_in_meta_or_in_a_column(tmp_path):
    task = {"kind": "single", "labels": [{"key": "buy"}, {"key": "sell"}, {"key": "ask"}]}
    schema = LabelSchema.model_validate({"tasks": {"intent": task}})
    migration = migration_of(tmp_path, rename("buy", "order", "intent"), schema)
    assert row_change({"intent": "buy", "meta": {"intent": ["buy"], "x": 1}}, migration).fields == {
        "intent": "order",
        "meta": {"intent": ["order"], "x": 1},
    }


def test_what_labelers_are_given_holds_no_label(each):
    row = {
        "text": "x",
        "id": "7",
        "categories": [TRUST],
        "sentiment": "negative",
        "meta": {"correction": {}, "shop": 3},
    }
    found = without_labels(row, each, row_change(row, each).unsettled)
    assert found == {"text": "x", "id": "7", "meta": {"shop": 3, "unsettled": {"category": [TRUST]}}}


# --- laws


@st.composite
def changes(draw):
    """A schema of one task, and sound operations on it."""
    keys = [f"{family}/{n}" for family in "abc" for n in range(draw(st.integers(1, 4)))] + ["stays/1", "stays/2"]
    kind = draw(st.sampled_from(["single", "multi"]))
    schema = LabelSchema.model_validate({"tasks": {"t": {"kind": kind, "labels": [{"key": key} for key in keys]}}})
    free = draw(st.permutations(keys[:-2]))
    found = []
    new = iter(f"new/{n}" for n in range(100))
    while free and draw(st.integers(0, 4)):
        done = draw(st.sampled_from(["renamed", "merged", "split", "retired"]))
        if done == "merged" and len(free) < 2:
            continue
        count = draw(st.integers(2, len(free))) if done == "merged" else 1
        old, free = tuple(free[:count]), free[count:]
        into = {"split": 2, "retired": draw(st.integers(0, 1))}.get(done, 1)
        made = [next(new) for _ in range(into)]
        if done == "retired":
            made = ["stays/1"] * into
        if done == "merged" and draw(st.booleans()):
            made = [old[-1]]
        labels = LabelSchema.model_validate(
            {"tasks": {"t": {"kind": "multi", "labels": [{"key": key} for key in {*made, "x", "y"}]}}}
        ).tasks["t"]
        named = tuple(type(labels.labels[0]).model_construct(key=key) for key in made)
        found.append(Operation(f"{done} {len(found)}", done, "t", old, named))
    return schema, found


@LAW
@given(change=changes(), data=st.data())
def test_no_old_label_remains_nothing_is_lost_and_twice_is_once(change, data):
    schema, operations = change
    assert faults_of(operations, schema) == []
    new = migrated(schema, operations, {}, "digest")
    assert isinstance(new, LabelSchema), new
    moves = moves_of(operations, schema).get("t", TaskMoves(False, {}, {}, frozenset()))
    keys = schema.tasks["t"].keys
    after = new.tasks["t"].keys
    assert moves.gone.isdisjoint(after)
    assert set(keys) - moves.gone <= set(after)
    assert set(after) == {label for key in keys for label in moves.successors(key)}
    items = data.draw(st.lists(st.lists(st.sampled_from(keys), unique=True, max_size=4), max_size=8))
    for labels in items:
        moved = moves.move(labels)
        assert set(moved.labels) <= set(after)
        assert moved.unsettled == any(label in moves.split for label in labels)
        # what an item is about stays what it is about
        wanted = {new for label in labels if label not in moves.split for new in moves.successors(label)}
        assert set(moved.labels) == wanted
        assert moves.move(moved.labels) == (moved.labels, False)
    # so many items have a label as had one of those that it came from
    for label in after:
        came_from = {key for key in keys if key not in moves.split and label in moves.successors(key)}
        assert sum(label in moves.move(one).labels for one in items) == sum(
            not came_from.isdisjoint(one) for one in items
        )
