"""The command line as a user meets it: a process, its exit code, what it prints and leaves."""

import csv
import gzip
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support import ROOT, STARTER, read_jsonl, write_jsonl

from models.labels import LabelSchema
from models.records import Prediction


def feedback(*arguments: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "feedback", *map(str, arguments)]
    environment = {**os.environ, "COLUMNS": "200", "NO_COLOR": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_help_names_every_command():
    done = feedback("--help")
    assert done.returncode == 0
    for command in ("labels", "train", "evaluate", "classify", "serve", "rules", "label"):
        assert command in done.stdout


def test_help_imports_no_heavy_library():
    code = "import sys, feedback\ntry: feedback.main()\nexcept SystemExit: pass\nprint(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code, "--help"], cwd=ROOT, capture_output=True, text=True, check=True)
    modules = done.stdout.splitlines()[-1]
    for heavy in ("torch", "transformers", "sklearn", "numpy", "bentoml", "pydantic", "spacy", "datasets"):
        assert f"'{heavy}'" not in modules


@pytest.mark.parametrize("command", ["train", "evaluate", "classify", "serve", "labels", "rules", "label"])
def test_every_command_explains_itself(command):
    done = feedback(command, "--help")
    assert done.returncode == 0
    assert "Usage:" in done.stdout


def test_train_evaluate_classify_on_a_csv(tmp_path, linear_folder):
    rows = read_jsonl(STARTER / "train.jsonl")[:400]
    with (tmp_path / "feedback.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["id", "text", "categories", "sentiment", "shop"])
        table.writerows([row["id"], row["text"], "|".join(row["categories"]), row["sentiment"], "a"] for row in rows)
    trained = feedback("train", "--data", "feedback.csv", "--encoder", "none", "--out", "models/first", cwd=tmp_path)
    assert trained.returncode == 0, trained.stderr
    assert "model written to models/first" in trained.stderr
    measured = feedback(
        "evaluate", "--model", "models/first", "--data", "feedback.csv", "--json", "figures.json", cwd=tmp_path
    )
    assert measured.returncode == 0, measured.stderr
    assert "majority" in measured.stdout
    assert json.loads((tmp_path / "figures.json").read_text())["tasks"]["sentiment"]["n"] == 400
    done = feedback("classify", "--model", linear_folder, "--in", "feedback.csv", "--out", "out.csv", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    with (tmp_path / "out.csv").open(newline="", encoding="utf-8") as file:
        answers = list(csv.DictReader(file))
    assert [answer["id"] for answer in answers] == [row["id"] for row in rows]
    assert {answer["predicted_sentiment"] for answer in answers} <= {"negative", "neutral", "positive"}
    assert [answer["sentiment"] for answer in answers] == [row["sentiment"] for row in rows]
    again = feedback("evaluate", "--model", "models/first", "--data", "out.csv", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert json.loads(answers[0]["meta"]) == {"shop": "a"}


def test_classify_keeps_order_writes_gzip_and_puts_bad_rows_aside(tmp_path, linear_folder):
    data = write_jsonl(tmp_path / "in.jsonl", [{"text": "good", "id": str(n), "own": n} for n in range(600)])
    data.write_text(data.read_text() + "{broken\n" + '{"text": ""}\n')
    done = feedback("classify", "--model", linear_folder, "--in", data, "--out", tmp_path / "out.jsonl.gz")
    assert done.returncode == 0
    assert f"{data}:601: not valid JSON" in done.stderr
    with gzip.open(tmp_path / "out.jsonl.gz", "rt", encoding="utf-8") as file:
        answers = [json.loads(line) for line in file]
    assert [answer["id"] for answer in answers] == [str(n) for n in range(600)]
    assert answers[5]["meta"] == {"own": 5}
    assert Prediction.model_validate(answers[0]["prediction"]).label_schema == LabelSchema.load().digest
    rejects = read_jsonl(tmp_path / "out.jsonl.gz.rejects.jsonl")
    assert [reject["place"].rsplit(":", 1)[1] for reject in rejects] == ["601", "602"]


def test_a_cell_that_a_spreadsheet_would_run_is_quoted(tmp_path, linear_folder):
    write_jsonl(tmp_path / "in.jsonl", [{"text": '=HYPERLINK("http://x")', "id": "+1"}])
    feedback("classify", "--model", linear_folder, "--in", tmp_path / "in.jsonl", "--out", tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(newline="", encoding="utf-8") as file:
        row = next(csv.DictReader(file))
    assert row["text"].startswith("'=")
    assert row["id"] == "'+1"


def test_labels_init_derives_a_schema_that_check_accepts(tmp_path):
    made = feedback("labels", "init", "--data", STARTER / "dev.jsonl", "--out", tmp_path / "labels.toml")
    assert made.returncode == 0, made.stderr
    assert "category (multi): 19 labels" in made.stderr
    assert feedback("labels", "check", tmp_path / "labels.toml").returncode == 0
    again = feedback("labels", "init", "--data", STARTER / "dev.jsonl", "--out", tmp_path / "labels.toml")
    assert (again.returncode, "exists already" in again.stderr) == (2, True)


def test_rules_check_accepts_the_shipped_rules_and_finds_faults(tmp_path):
    assert feedback("rules", "check").returncode == 0
    (tmp_path / "rules.toml").write_text('version = 1\ndefault = { team = "nobody" }\nteams = {}\n')
    done = feedback("rules", "check", tmp_path / "rules.toml")
    assert done.returncode == 2
    assert "unknown team 'nobody'" in done.stderr


def bad_folder(tmp_path: Path) -> None:
    rows = [{"text": "good", "sentiment": "positive"}, {"text": "bad", "sentiment": "negative"}]
    write_jsonl(tmp_path / "good.jsonl", rows * 20)
    write_jsonl(tmp_path / "label.jsonl", [{"text": "x", "sentiment": "angry"}])
    write_jsonl(tmp_path / "long.jsonl", [{"text": "x" * 100_000, "sentiment": "positive"}])
    (tmp_path / "broken.jsonl").write_text('{"text": "x", \n')
    (tmp_path / "empty.jsonl").write_text("")
    write_jsonl(tmp_path / "blank.jsonl", [{"text": "", "sentiment": "positive"}])
    (tmp_path / "column.csv").write_text("review,sentiment\ngood,positive\n")
    (tmp_path / "labels.toml").write_text('[tasks.sentiment]\nkind = "both"\nlabels = []\n')


TRAIN = ["train", "--encoder", "none", "--out", "model", "--data"]
BAD_INPUT = {
    "unknown label": ([*TRAIN, "label.jsonl", "--labels", "LABELS"], 2, "unknown sentiment label 'angry'"),
    "missing column": ([*TRAIN, "column.csv"], 2, "expected a column 'text', got columns review, sentiment"),
    "empty file": ([*TRAIN, "empty.jsonl"], 2, "empty.jsonl: expected at least one row"),
    "broken line": ([*TRAIN, "broken.jsonl"], 2, "broken.jsonl:1: not valid JSON"),
    "empty text": ([*TRAIN, "blank.jsonl"], 2, "blank.jsonl:1: text: expected some text, got an empty one"),
    "100,000 characters": ([*TRAIN, "long.jsonl"], 2, "expected at most 50,000 characters, got 100,000"),
    "no such file": ([*TRAIN, "nowhere.jsonl"], 2, "nowhere.jsonl: no such file"),
    "unknown format": ([*TRAIN, "labels.toml"], 2, "unknown format"),
    "faulty schema": ([*TRAIN, "good.jsonl", "--labels", "labels.toml"], 2, "tasks.sentiment.kind"),
    "unknown encoder": (["train", "--encoder", "nope", "--out", "m", "--data", "good.jsonl"], 2, "Ways to get one"),
    "unknown setting": ([*TRAIN, "good.jsonl", "--set", "epoch=3"], 2, "did you mean epochs"),
    "setting of a wrong type": ([*TRAIN, "good.jsonl", "--set", "epochs=many"], 2, "epochs: input should be"),
    "missing option": (["train"], 2, "Missing option"),
    "no model": (["evaluate", "--model", "nowhere", "--data", "good.jsonl"], 1, "nowhere: expected a model"),
    "damaged model": (["evaluate", "--model", "damaged", "--data", "good.jsonl"], 1, "the model is damaged"),
    "wrong labels for a model": (["evaluate", "--model", "MODEL", "--data", "topic.jsonl"], 2, "nothing to measure"),
    "unknown output format": (["classify", "--model", "MODEL", "--in", "good.jsonl", "--out", "o.xls"], 2, "o.xls"),
    "serving a damaged model": (["serve", "--model", "damaged"], 1, "the model is damaged"),
    "rules for other labels": (["serve", "--model", "MODEL", "--rules", "rules.toml"], 2, "unknown category label"),
    "schema check": (["labels", "check", "labels.toml"], 2, "tasks.sentiment.kind"),
}


@pytest.mark.parametrize("name", BAD_INPUT)
def test_bad_input_is_explained_without_a_traceback_and_leaves_nothing(name, tmp_path, linear_folder):
    bad_folder(tmp_path)
    write_jsonl(tmp_path / "topic.jsonl", [{"text": "x", "meta": {"topic": "a"}}])
    (tmp_path / "rules.toml").write_text(
        'version = 1\ndefault = { team = "t" }\nteams = { t = { title = "T" } }\n'
        '[[rules]]\nname = "r"\nwhen = { category = ["nothing"] }\nthen = { team = "t" }\n'
    )
    shutil.copytree(linear_folder, tmp_path / "damaged")
    weights = tmp_path / "damaged/linear/linear.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    before = {path.name for path in tmp_path.iterdir()}
    arguments, code, message = BAD_INPUT[name]
    places = {"MODEL": str(linear_folder), "LABELS": str(ROOT / "models/labels.toml")}
    done = feedback(*[places.get(argument, argument) for argument in arguments], cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert message in done.stderr.replace("│", "").replace("'epochs'", "epochs")
    assert "Traceback" not in done.stderr
    left = {path.name for path in tmp_path.iterdir()} - before
    assert all(name.endswith(".rejects.jsonl") for name in left)


def test_a_file_of_rejects_can_be_read_again_and_is_not_lost(tmp_path, linear_folder):
    rejects = write_jsonl(tmp_path / "out.csv.rejects.jsonl", [{"text": "good"}])
    done = feedback("classify", "--model", linear_folder, "--in", rejects, "--out", tmp_path / "out.csv")
    assert (done.returncode, "would be written over it" in done.stderr) == (2, True)
    assert read_jsonl(rejects) == [{"text": "good"}]


def test_serve_takes_the_model_from_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("FEEDBACK_MODEL", str(tmp_path / "elsewhere"))
    done = feedback("serve")
    assert done.returncode == 1
    assert "elsewhere: expected a model" in done.stderr


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_training_that_is_stopped_leaves_nothing_behind(sent, code, tmp_path):
    rows = read_jsonl(STARTER / "train.jsonl")
    data = write_jsonl(tmp_path / "data.jsonl", rows)
    command = [sys.executable, "-m", "feedback", "train", "--data", str(data), "--encoder", "none"]
    with subprocess.Popen([*command, "--out", str(tmp_path / "m")], cwd=ROOT, stderr=subprocess.PIPE) as process:
        while not list(tmp_path.glob(".m.*.part")):
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(sent)
        process.communicate(timeout=30)
    assert process.returncode == code
    assert [path.name for path in tmp_path.iterdir()] == ["data.jsonl"]


def test_a_port_in_use_is_named_with_the_way_out(linear_folder):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = feedback("serve", "--model", linear_folder, "--port", str(port))
    assert done.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in done.stderr
    assert "--port" in done.stderr


def test_serve_shows_samples_and_stops(linear_folder):
    from support import free_port

    samples = ["--samples", STARTER / "samples.jsonl", "--once", "--port", str(free_port())]
    done = feedback("serve", "--model", linear_folder, *samples)
    assert done.returncode == 0, done.stderr
    for language in ("en", "it", "pl", "ro", "zh-Hans", "zh-Hant"):
        assert f" {language} " in done.stdout
    assert "triage" in done.stdout  # of so weak a model every answer goes to people
