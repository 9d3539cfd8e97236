"""Training on several files: the labels given last count, no item is on both sides, the report says what changed."""

import json
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import STARTER, read_jsonl, write_jsonl
from typer.testing import CliRunner

from feedback import app
from models.errors import DataError, SchemaError
from models.labels import LabelSchema
from models.progress import Silent
from models.records import LabeledItem
from models.text import fingerprint
from training.config import TrainConfig
from training.corrections import apart, correct
from training.crossing import folds_of
from training.datasets import Row, build, split
from training.gather import Rows
from training.identity import item_keys
from training.train import train

TASKS = ("category", "sentiment")


def row(text: str, place: str = "base:1", **fields) -> Row:
    return Row(place, LabeledItem(text=text, **fields))


def corrected(base: list[Row], *later: Row, dev: list[Row] | None = None):
    notes: list[str] = []
    rows, held, changes = correct(base, dev or [], [("corrections.jsonl", list(later))], TASKS, notes)
    return rows, held, changes, notes


def labels(row: Row) -> tuple:
    return tuple(row.item.labels(task) for task in TASKS)


def test_a_correction_replaces_the_label_of_the_same_id():
    base = [row("Too slow", id="1", categories=["a"], sentiment="negative"), row("Fine", id="2", categories=["b"])]
    later = row("Too slow", "c:1", id="1", categories=["b", "c"])
    (first, second), _, changes, notes = corrected(base, later)
    assert labels(first) == (("b", "c"), ("negative",))  # what was not asked again stays
    assert (first.place, labels(second), notes) == ("c:1", (("b",), None), [])
    assert changes.as_json()["tasks"] == {"category": {"changed": 1, "given": 0, "same": 0, "most": [["a", "b, c", 1]]}}
    assert (changes.corrected, changes.confirmed, changes.added) == (1, 0, 0)


def test_every_copy_of_the_text_gets_the_label_whatever_its_id():
    base = [row("Too slow!", id="1", category="a"), row("too slow", category="a"), row("other", category="a")]
    rows, _, changes, _ = corrected(base, row("TOO SLOW", id="x", category="b"))
    assert [labels(one)[0] for one in rows] == [("b",), ("b",), ("a",)]
    assert (changes.rows, changes.corrected) == (1, 1)


def test_one_label_may_become_several_and_none():
    base = [row("x y", id="1", category="a"), row("z w", id="2", category="a")]
    rows, _, changes, _ = corrected(base, row("x y", id="1", categories=["a", "b"]), row("z w", id="2", categories=[]))
    assert [labels(one)[0] for one in rows] == [("a", "b"), ()]
    assert changes.as_json()["tasks"]["category"]["most"] == [["a", "a, b", 1], ["a", "(none)", 1]]


def test_new_items_are_added_once_and_the_last_file_wins():
    first = ("one.jsonl", [row("new", id="7", category="a"), row("new", id="7", category="b")])
    second = ("two.jsonl", [row("new", id="7", category="c")])
    rows, _, changes = correct([row("old", category="a")], [], [first, second], TASKS, [])
    assert [labels(one)[0] for one in rows] == [("a",), ("c",)]
    assert (changes.files, changes.added, changes.corrected) == (["one.jsonl", "two.jsonl"], 1, 2)


def test_what_nobody_can_tell_is_taken_out_and_what_is_no_feedback_has_no_labels():
    base = [row("a b", id="1", category="a"), row("c d", id="2", category="a")]
    cannot = row("a b", id="1", meta={"set_aside": "cannot_tell"})
    spam = row("c d", id="2", meta={"set_aside": "not_feedback"})
    rows, _, changes, _ = corrected(base, cannot, spam, row("e f", meta={"set_aside": "cannot_tell"}))
    assert [(one.item.text, labels(one), one.item.set_aside) for one in rows] == [("c d", (None, None), "not_feedback")]
    assert (changes.withdrawn, changes.set_aside, changes.added) == (2, 1, 0)


def test_a_row_of_dev_is_corrected_too_and_stays_there():
    rows, dev, changes, _ = corrected([row("a", category="x")], row("b", category="y"), dev=[row("b", category="x")])
    assert ([labels(one)[0] for one in rows], [labels(one)[0] for one in dev]) == ([("x",)], [("y",)])
    assert changes.corrected == 1


def test_ids_that_are_but_row_numbers_are_not_believed():
    base = [row(f"base text {number}", id=str(number), category="a") for number in range(9)]
    later = [row(f"later text {number}", id=str(number), category="b") for number in range(9)]
    rows, _, changes, (note,) = corrected(base, *later)
    assert (len(rows), changes.added) == (18, 9)
    assert note.startswith("corrections.jsonl: 9 row(s) have the id of a row with another text")
    notes: list[str] = []
    assert len(apart(base, later, notes)) == 9
    assert len(notes) == 1


def test_an_edited_text_of_a_known_id_is_the_same_item():
    base = [row(f"text {number}", id=f"i{number}", category="a") for number in range(4)]
    later = [row("text 0", id="i0", category="b"), row("another wording", id="i1", category="b")]
    rows, _, _, notes = corrected(base, *later)
    assert [one.item.text for one in rows] == ["text 0", "another wording", "text 2", "text 3"]
    assert notes == []


ROWS = st.lists(
    st.builds(
        lambda text, number: row(text, id=number),
        st.sampled_from(["aa", "AA", "b b", "cc", "dd", "ee", "ff"]),
        st.none() | st.sampled_from("12345"),
    ),
    min_size=1,
    max_size=20,
)


@settings(max_examples=200, deadline=None)
@given(ROWS, st.floats(0.05, 0.95))
def test_no_item_stands_on_both_sides_by_id_or_by_text(rows, share):
    sides = split(rows, share)
    assert sorted(number for side in sides for number in side) == list(range(len(rows)))
    learn, dev = ([rows[number] for number in side] for side in sides)
    texts_of = {}
    for one in rows:
        texts_of.setdefault(one.item.id, set()).add(fingerprint(one.item.text))
    for one in learn:
        for other in dev:
            assert fingerprint(one.item.text) != fingerprint(other.item.text)
            if one.item.id is not None and len(texts_of[one.item.id]) <= 5:
                assert one.item.id != other.item.id


def test_an_id_of_many_texts_is_no_item():
    rows = [row(f"text {number}", id="customer") for number in range(200)]
    assert len(set(item_keys([one.item for one in rows]))) == 200


def test_rows_of_an_item_are_left_out_together():
    schema = LabelSchema.model_validate(
        {"tasks": {"category": {"kind": "single", "labels": [{"key": "a"}, {"key": "b"}]}}}
    )
    rows = [row(f"text {n} {v}", id=str(n), category="ab"[n % 2]) for n in range(12) for v in range(2)]
    for fold in folds_of(Rows(rows, build([one.item for one in rows], schema)), schema):
        held = {rows[number].item.id for number in fold.held}
        assert len(fold.held) == 2 * len(held)


@pytest.fixture
def files(tmp_path):
    base = read_jsonl(STARTER / "train.jsonl")[:300]
    fixed = [{**one, "categories": ["other"], "sentiment": "neutral"} for one in base[:6]]
    fixed += [{"text": "Where is the manual for the blue kettle?", "categories": [], "sentiment": "neutral"}]
    fixed += [{"text": base[7]["text"], "id": base[7]["id"], "meta": {"set_aside": "cannot_tell"}}]
    fixed += [{"text": "asdf qwer asdf qwer", "meta": {"set_aside": "not_feedback"}}]
    return write_jsonl(tmp_path / "base.jsonl", base), write_jsonl(tmp_path / "corrections.jsonl", fixed)


def test_the_command_takes_several_files_and_tells_what_they_changed(files, tmp_path):
    base, fixed = files
    out = tmp_path / "model"
    command = ["train", "--data", str(base), "--data", str(fixed), "--encoder", "none", "--out", str(out)]
    done = CliRunner().invoke(app, [*command, "--labels", "models/labels.toml"])
    assert done.exit_code == 0, done.output
    assert "1 added, 1 taken out because nobody can tell, 1 no feedback" in " ".join(done.stderr.split())
    told = json.loads((out / "report.json").read_text())["corrections"]
    assert (told["files"], told["rows"], told["added"]) == (["corrections.jsonl"], 9, 1)
    assert told["corrected"] + told["confirmed"] == 6
    assert told["tasks"]["category"]["changed"] >= 5
    assert "→ other" in (out / "report.html").read_text()
    card = (out / "README.md").read_text()
    assert "## Corrections" in card
    assert "9 row(s) of corrections.jsonl" in card
    assert read_jsonl(base)[0]["text"] not in (out / "report.html").read_text()


def test_what_dev_has_is_not_learned_from(files, tmp_path):
    base, fixed = files
    dev = write_jsonl(tmp_path / "dev.jsonl", read_jsonl(base)[:50])
    run = train(
        str(base),
        tmp_path / "model",
        TrainConfig(encoder="none"),
        dev=str(dev),
        corrections=[str(fixed)],
        progress=Silent(),
    )
    assert any(note.startswith("49 row(s) are of items that dev has too") for note in run.notes), run.notes
    assert json.loads((tmp_path / "model/manifest.json").read_text())["data"] | {"fingerprint": ""} == {
        "rows": 251,
        "dev_rows": 49,
        "fingerprint": "",
    }


def test_the_same_rows_on_both_sides_are_refused(files, tmp_path):
    base, _ = files
    with pytest.raises(DataError, match="expected rows beside those of --dev, got none"):
        train(str(base), tmp_path / "model", TrainConfig(encoder="none"), dev=str(base), progress=Silent())


def test_a_correction_to_no_label_does_not_fit_a_task_of_one_answer(files, tmp_path):
    rows = [{"text": f"text {n}", "category": "ab"[n % 2]} for n in range(20)]
    base = write_jsonl(tmp_path / "one.jsonl", rows)
    fixed = write_jsonl(tmp_path / "fixed.jsonl", [{"text": "text 1", "categories": []}])
    schema = tmp_path / "labels.toml"
    labels_ = '[[tasks.category.labels]]\nkey = "a"\n[[tasks.category.labels]]\nkey = "b"\n'
    schema.write_text(f'version = 1\n[tasks.category]\nkind = "single"\n{labels_}')
    with pytest.raises(SchemaError, match="category: expected one label a row, got 0"):
        train(
            str(base),
            tmp_path / "model",
            TrainConfig(encoder="none"),
            corrections=[str(fixed)],
            labels=schema,
            progress=Silent(),
        )


def test_what_was_added_because_it_is_hard_is_learned_from_and_not_measured_by():
    def answered(name: str, number: int, why: str, probability: float | None = None) -> Row:
        about = {"why": why, "probability": probability}
        fields = {"id": f"{name}{number}", "category": "b", "meta": {"correction": about}}
        return row(f"{name} {number}", f"{name}:{number}", **fields)

    base = [row(f"base {number}", f"base:{number}", id=f"base{number}", category="a") for number in range(200)]
    later = [answered("base", number, "doubted") for number in range(200)]
    later += [answered("hard", number, "uncertain") for number in range(200)]
    later += [answered("drawn", number, "uncertain", 0.1) for number in range(200)]
    rows, _, changes, _ = corrected(base, *later)
    assert (changes.added, changes.corrected) == (400, 200)
    _, dev = split(rows, 0.3)
    held = Counter(rows[number].place.partition(":")[0] for number in dev)
    assert held["hard"] == 0
    assert held["base"] > 40, "a correction makes no harder item of one that was there"
    assert held["drawn"] > 40, "what chance drew is a sample"
    hard = [one for one in rows if not one.sample]
    assert len(hard) == 200
    assert all(split(hard, 0.3)), "nothing else could be measured by"
