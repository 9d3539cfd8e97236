"""What the correction loop is worth and how fast it is: measured on few rows, in a real Label Studio."""

import gzip
import json
import os
import subprocess

import pytest
from support import ROOT, STARTER, read_jsonl
from typer.testing import CliRunner

from feedback import app
from labeling.bench.circle import summary
from labeling.bench.material import Size, draw, sets_of
from labeling.studio.server import find_binary
from models.errors import ConfigError, DataError
from models.labels import LabelSchema
from models.text import fingerprint

SENTIMENT = LabelSchema.model_validate(
    {
        "tasks": {
            "sentiment": {"kind": "single", "labels": [{"key": key} for key in ("negative", "neutral", "positive")]}
        }
    }
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A set of starter rows with the sentiment alone; one text of train stands in dev, too."""
    folder = tmp_path_factory.mktemp("sets")
    rows = [row for row in read_jsonl(STARTER / "train.jsonl") if row["language"] == "en"][:170]
    rows = [{key: row[key] for key in ("id", "text", "language", "sentiment", "channel")} for row in rows]
    (folder / "small").mkdir()
    for name, some in (("train", rows[:130]), ("dev", rows[129:])):
        text = "".join(json.dumps(row) + "\n" for row in some)
        (folder / f"small/{name}.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    return folder


def invoke(*arguments):
    environment = {"LABEL_STUDIO_BIN": str(find_binary(ROOT))}
    return CliRunner().invoke(app, ["label", "bench", *arguments], env=environment, catch_exceptions=False)


def test_the_loop_is_measured_from_training_to_training(data):
    small = ["--set", "small", "--seed", "1", "--base", "60", "--answers", "10"]
    done = invoke("worth", "--data", str(data), *small, "--json")
    assert done.exit_code == 0
    found = json.loads(done.stdout)
    (row,) = found["rows"]
    assert (row["set"], row["seed"], row["task"], row["answers"]) == ("small", 1, "sentiment", 10)
    assert all(0 < row[arm] < 1 for arm in ("before", "chosen", "chance"))
    assert sum(row["why"].values()) == 10
    steps = [" ".join(command.split()[1:3]) for command in row["commands"]]
    trained = ["train --data", "evaluate --model"]
    assert steps == ["labels init", *trained, "label push", "label pull", *trained, *trained]
    assert "--data base.jsonl --data corrections.jsonl" in row["commands"][5]
    assert "--data base.jsonl --data chance.jsonl" in row["commands"][7]
    (mean,) = found["summary"]
    assert mean["gain_chosen"] == pytest.approx((row["chosen"] - row["before"]) * 10)
    assert mean["spread_chosen"] is None


def test_what_is_measured_by_is_neither_learned_from_nor_chosen(data, tmp_path):
    drawn = draw(data / "small", SENTIMENT, Size(base=60, pool=500, answers=10), 1, tmp_path)
    base, pool, chance = (read_jsonl(path) for path in (drawn.base, drawn.pool, drawn.chance))
    texts = [fingerprint(row["text"]) for row in (*base, *pool)]
    dev = gzip.decompress((data / "small/dev.jsonl.gz").read_bytes()).decode().splitlines()
    assert len(set(texts)) == len(texts)
    assert not set(texts) & {fingerprint(json.loads(line)["text"]) for line in dev}
    assert all(row.keys() == {"text", "language", "sentiment"} for row in base)
    assert all(row.keys() == {"id", "text", "language"} for row in pool), "a label could be seen, or told by a field"
    assert [row["id"] for row in chance] == [row["id"] for row in pool[:10]]
    assert all(drawn.truth[row["id"]] == {"sentiment": (row["sentiment"],)} for row in chance)
    again = draw(data / "small", SENTIMENT, Size(60, 500, 10), 2, tmp_path / "other")
    assert {row["text"] for row in read_jsonl(again.base)} != {row["text"] for row in base}


def test_sets_that_are_missing_or_too_small_are_named(data, tmp_path):
    with pytest.raises(DataError, match=r"none/train\.jsonl\.gz: no such file; --data is the folder"):
        sets_of(data, ["small", "none"])
    with pytest.raises(DataError, match=r"expected more than 160 different texts that are not in dev.*got 129"):
        draw(data / "small", SENTIMENT, Size(base=100, pool=500, answers=60), 1, tmp_path)


def test_means_are_over_seeds_and_a_choice_that_gains_no_more_than_chance_is_told():
    rows = [
        {"set": "x", "seed": seed, "task": task, "answers": 200, "before": 0.5, "chosen": chosen, "chance": chance}
        for seed, task, chosen, chance in (
            (1, "a", 0.6, 0.5),
            (1, "b", 0.5, 0.56),
            (2, "a", 0.7, 0.6),
            (2, "b", 0.5, 0.5),
        )
    ]
    one, other, both = summary(rows)
    assert (one["gain_chosen"], one["gain_chance"]) == (pytest.approx(0.075), pytest.approx(0.025))
    assert one["spread_chosen"] == pytest.approx(0.05 / 2**0.5)
    assert (one["reached"], other["reached"], both["reached"]) == (True, False, True)
    assert both["gain_chosen"] == pytest.approx(0.0375)


def test_pushing_and_pulling_are_timed_as_whole_commands():
    found = json.loads(invoke("speed", "--items", "30", "--answers", "6", "--json").stdout)
    assert (found["pushed"], found["pulled"]) == (30, 6)
    assert found["pull_seconds"] > 0
    assert found["push_seconds"] > 0
    with pytest.raises(ConfigError, match="--answers 7: expected at most as many as --items, 6"):
        invoke("speed", "--items", "6", "--answers", "7")


def test_make_takes_the_folder():
    command = ["make", "--no-print-directory", "-n", "-o", ".venv/installed", "bench-labels", "DATA=some/folder"]
    environment = {**os.environ, "LABEL_STUDIO_BIN": str(find_binary(ROOT))}
    planned = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout
    assert planned.strip().endswith("feedback label bench worth --data some/folder")
