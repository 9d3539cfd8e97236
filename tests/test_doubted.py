"""Doubted labels: found by the check, looked at again in a real Label Studio, corrected in the next training."""

import json
import random
from contextlib import chdir

import pytest
from labelstudio_support import environment_of, new_project
from support import read_jsonl, write_jsonl
from typer.testing import CliRunner

from feedback import app
from labeling.bench.labeler import answer_tasks
from labeling.choice.selection import Candidate, Mix, choose
from labeling.push.sources import from_file
from labeling.studio.tasks import task_data
from models.doubts import doubts_of
from models.labels import derive_schema
from models.progress import Silent
from models.records import FeedbackItem

WORDS = {"good": ["lovely", "great", "fine"], "bad": ["awful", "poor", "nasty"]}


def labelled(count, wrong):
    """Rows whose words tell the label, of which the first ones have the other."""
    chance = random.Random(5)
    rows = []
    for number in range(count):
        told, other = ("good", "bad") if number % 2 else ("bad", "good")
        words = [*chance.sample(WORDS[told], 3), "parcel", str(number)]
        rows.append({"id": f"r{number}", "text": " ".join(words), "sentiment": other if number < wrong else told})
    return rows


@pytest.fixture(scope="module")
def doubted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("doubted")
    write_jsonl(folder / "base.jsonl", labelled(240, 8))
    with chdir(folder):
        command = ["data", "check", "--data", "base.jsonl", "--encoder", "none", "--doubted", "doubted.jsonl"]
        done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert "8 row(s) with doubted labels are in doubted.jsonl; next: feedback label push" in done.stderr
    return folder


def test_the_check_writes_the_rows_with_what_it_doubts_the_most_doubtful_first(doubted):
    rows = read_jsonl(doubted / "doubted.jsonl")
    base = {row["id"]: row for row in read_jsonl(doubted / "base.jsonl")}
    assert {row["id"] for row in rows} == {f"r{number}" for number in range(8)}
    for row in rows:
        about = row.pop("meta")["doubt"]["sentiment"]
        assert row == base[row["id"]]
        assert about["given"] == [row["sentiment"]]
        assert about["likely"] == ["bad" if row["sentiment"] == "good" else "good"]
    margins = [
        max(one["margin"] for one in row["meta"]["doubt"].values()) for row in read_jsonl(doubted / "doubted.jsonl")
    ]
    assert margins == sorted(margins, reverse=True)


def test_doubted_labels_are_shown_looked_at_and_replaced_in_training(doubted, studio, studio_client, monkeypatch):
    monkeypatch.chdir(doubted)
    schema = derive_schema({"sentiment": [("good",), ("bad",)]})
    (doubted / "labels.toml").write_text(schema.to_toml(), encoding="utf-8")
    with new_project(studio_client, schema) as project:

        def label(*arguments):
            command = ["label", *arguments, "--project", str(project.id)]
            done = CliRunner().invoke(app, command, env=environment_of(studio))
            assert done.exit_code == 0, done.output
            return done

        told = json.loads(label("push", "--from", "doubted.jsonl", "--n", "50", "--blind", "0.3", "--json").stdout)
        assert (told["added"], told["why"]) == (8, {"doubted": 8})
        tasks = list(studio_client.tasks.list(project=project.id, fields="all"))
        right = {row["id"]: row["sentiment"] for row in labelled(240, 0)}
        for task in tasks:
            before = "bad" if right[task.data["external_id"]] == "good" else "good"
            assert task.data.get("context") in (f"sentiment before: {before}", None)
        assert sum("context" not in task.data for task in tasks) == told["blind"] > 0
        truth = {item: {"sentiment": (sentiment,)} for item, sentiment in right.items()}
        assert answer_tasks(studio_client, project.id, truth, None, lambda units: None) == 8
        label("pull", "--labels", "labels.toml", "--out", "corrections.jsonl")
    for row in read_jsonl(doubted / "corrections.jsonl"):
        assert row["sentiment"] == right[row["id"]]
        assert row["meta"]["correction"]["why"] == "doubted"
        assert row["meta"]["doubt"]["sentiment"]["given"] != [row["sentiment"]]
    command = ["train", "--data", "base.jsonl", "--data", "corrections.jsonl", "--encoder", "none", "--out", "model"]
    assert CliRunner().invoke(app, [*command, "--set", "threads=1"]).exit_code == 0
    changes = json.loads((doubted / "model/report.json").read_text())["corrections"]
    assert (changes["corrected"], changes["confirmed"], changes["added"]) == (8, 0, 0)
    checks = json.loads((doubted / "model/report.json").read_text())["data_checks"]
    assert "doubtful-labels" not in {found["check"] for found in checks}


def test_doubted_items_come_first_and_are_no_sample(doubted):
    found, _ = from_file(str(doubted / "doubted.jsonl"), {}, Silent())
    others = [Candidate(f"o{number}", FeedbackItem(text=f"text number {number}")) for number in range(40)]
    both = choose([*others, *found], 20, Mix(audit=0.5))
    assert [one.candidate.id for one in both.chosen[:8]] == [one.id for one in found]
    assert {one.probability for one in both.chosen[:8]} == {None}
    assert both.rate == pytest.approx(0.5 * 12 / 40)
    assert [one.candidate.id for one in choose([*others, *found], 3, Mix()).chosen] == [one.id for one in found[:3]]
    known = {one.id: one.item.text for one in found}
    assert choose(found, 20, Mix(audit=1), known) == ([], 0.0, [])
    same = Candidate("a", found[0].item)
    assert [one.why for one in choose([same, found[0]], 5, Mix()).chosen] == ["doubted"]


@pytest.mark.parametrize("meta", [{}, {"doubt": "none"}, {"doubt": {"sentiment": "good"}}, {"doubt": 3}])
def test_what_somebody_else_calls_a_doubt_is_none(meta):
    item = FeedbackItem(text="late", meta=meta)
    assert doubts_of(item) == {}
    assert task_data("a", item) == {"text": "late", "external_id": "a"}


def test_several_tasks_and_no_label_are_shown():
    doubts = {
        "category": {"given": [], "likely": ["x"], "margin": 0.7},
        "sentiment": {"given": ["bad"], "likely": [], "margin": 0.6},
    }
    item = FeedbackItem(text="late", nps=3, meta={"doubt": doubts})
    assert task_data("a", item)["context"] == "NPS 3 of 10 · category before: none · sentiment before: bad"
    assert task_data("a", item, blind=True)["context"] == "NPS 3 of 10"
