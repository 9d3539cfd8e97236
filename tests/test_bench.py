"""The benchmark of quality: what it reads, keeps and tells."""

import gzip
import json
import subprocess
from collections import Counter

import pytest
from support import ROOT, STARTER, read_jsonl, write_jsonl

from models.errors import ConfigError, DataError, FeedbackError
from models.progress import Silent
from training.bench.commands import PLAN
from training.bench.plan import Plan, Target, load_plan
from training.bench.quality import few_rows, measure, reached
from training.bench.tables import markdown, tables


def write_set(folder, rows):
    folder.mkdir(parents=True)
    for split, some in (("train", rows[: len(rows) * 2 // 3]), ("dev", rows[len(rows) * 2 // 3 :])):
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in some)
        (folder / f"{split}.jsonl.gz").write_bytes(gzip.compress(text.encode(), mtime=0))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sets")
    rows = [row for row in read_jsonl(STARTER / "train.jsonl") if row["language"] in ("en", "it")]
    keys = ("text", "sentiment", "language", "product")
    write_set(folder / "starter", [{key: row[key] for key in keys if key in row} for row in rows[:300]])
    return folder


@pytest.fixture(scope="module")
def plan(bert):
    quick = {"max_length": 16, "epochs": 1, "contrast_epochs": 1}
    labelled = {
        "name": "a set",
        "folder": "starter",
        "encoders": [str(bert)],
        "rows": 120,
        "settings": quick,
        "targets": [{"task": "sentiment", "figure": "accuracy", "least": 0.99}],
    }
    few = {**labelled, "task": "sentiment", "per_label": [3], "encoder": str(bert), "name": "a few"}
    few = {key: few[key] for key in ("name", "folder", "encoder", "task", "per_label", "settings")}
    return Plan.model_validate({"few_seeds": [1], "set": [labelled], "few": [few]})


@pytest.fixture(scope="module")
def measured(plan, data, tmp_path_factory):
    out = tmp_path_factory.mktemp("bench")
    return out, measure(plan, data, out, threads=1, progress=Silent())


def test_the_plan_that_is_shipped_is_sound():
    plan = load_plan(PLAN)
    assert len(plan.sets) == 10
    assert {found.task for found in plan.few} == {"category"}


def test_faults_of_a_plan_are_named_at_once(tmp_path):
    (tmp_path / "plan.toml").write_text('[[set]]\nname = "x"\nfolder = "x"\nrows = 0\ncolour = "red"\n')
    with pytest.raises(ConfigError, match=r"(?s)rows.*colour|colour.*rows"):
        load_plan(tmp_path / "plan.toml")
    with pytest.raises(ConfigError, match="no such file"):
        load_plan(tmp_path / "none.toml")


def test_a_set_that_is_not_there_is_named(plan, tmp_path):
    with pytest.raises(DataError, match="starter/train"):
        measure(plan, tmp_path, tmp_path / "out", threads=1, progress=Silent())


def test_every_row_has_its_figures_and_commands(measured):
    _, report = measured
    (row,) = report["sets"]
    assert row["learned"] == 120
    assert row["figures"]["n"] == 100
    assert set(row["parts"]) == {"majority", "linear", "transformer"}
    assert row["targets"][0]["reached"] == row["figures"]["accuracy"]
    assert [command.split()[:2] for command in row["commands"]] == [["feedback", "train"], ["feedback", "evaluate"]]
    (few,) = report["few"]
    (run,) = few["runs"]
    assert run["regime"]["name"] in ("frozen", "contrastive")
    for side in ("ours", "SetFit"):
        assert 0 < run[side]["macro_f1"] <= 1
        assert run[side]["seconds"] > 0


def test_the_table_tells_what_was_missed_and_how_it_was_made(measured):
    _, report = measured
    text = markdown(report)
    assert "120 (sample) → 100" in text
    assert f"accuracy {report['sets'][0]['figures']['accuracy']:.3f} < 0.99" in text
    for command in report["sets"][0]["commands"]:
        assert command in text
    titles = [title for title, *_ in tables(report)]
    assert len(titles) == 2


def test_what_was_measured_is_kept_until_the_plan_changes(measured, plan, data):
    out, report = measured
    before = {path: path.stat().st_mtime_ns for path in out.rglob("manifest.json")}
    assert measure(plan, data, out, threads=1, progress=Silent()) == report
    assert {path: path.stat().st_mtime_ns for path in out.rglob("manifest.json")} == before
    labelled = plan.sets[0].model_copy(update={"rows": 119})
    changed = Plan.model_validate({"set": [labelled.model_dump()]})
    assert measure(changed, data, out, threads=1, progress=Silent())["sets"][0]["learned"] == 119


def test_a_training_that_fails_ends_it(plan, data, tmp_path):
    labelled = plan.sets[0].model_copy(update={"settings": {"epochs": 0}})
    with pytest.raises(FeedbackError, match=r"exit code 2 of: .*epochs=0"):
        measure(Plan.model_validate({"set": [labelled.model_dump()]}), data, tmp_path, threads=1, progress=Silent())


def test_few_rows_are_those_of_every_label_and_of_the_seed(tmp_path):
    rows = [{"text": f"text {n}", "category": f"label {n % 3}"} for n in range(60)]
    data = write_jsonl(tmp_path / "data.jsonl", rows)
    one, again, other = (
        few_rows(data, "category", 5, seed, tmp_path / f"{n}.jsonl") for n, seed in enumerate((1, 1, 2))
    )
    assert Counter(row["category"] for row in read_jsonl(one)) == {f"label {n}": 5 for n in range(3)}
    assert one.read_bytes() == again.read_bytes() != other.read_bytes()


def test_a_target_may_be_for_a_product_or_for_the_scope():
    found = {
        "tasks": {"sentiment": {"accuracy": 0.5}},
        "slices": {"product": {"hotels": {"sentiment": {"accuracy": 0.75}}}},
        "scope": {"recall_at": [[0.02, 0.4], [0.05, 0.6]]},
    }
    target = Target(task="sentiment", figure="accuracy", least=0.5)
    assert reached(target, found) == 0.5
    assert reached(target.model_copy(update={"product": "hotels"}), found) == 0.75
    assert reached(target.model_copy(update={"product": "trains"}), found) is None
    assert reached(target.model_copy(update={"figure": "scope_recall"}), found) == 0.6
    assert reached(target.model_copy(update={"figure": "scope_recall"}), {**found, "scope": None}) is None


def test_make_takes_the_folder():
    command = ["make", "--no-print-directory", "-n", "-o", ".venv/installed-test", "bench-quality", "DATA=some/folder"]
    planned = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert planned.strip().endswith("feedback bench quality --data some/folder")
