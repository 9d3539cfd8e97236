"""The comparison of speed runs, at a small size, and says what it measured and whether all say the same."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support import ROOT, STARTER, read_jsonl

from models.artifact import TRANSFORMER
from models.errors import ArtifactError
from models.progress import Silent
from models.reading import ENCODER, fast_tokeniser
from training.bench.speed.ours import CASCADE, CHOSEN, LINEAR
from training.bench.speed.run import bench_speed
from training.bench.speed.texts import of_length


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("few") / "test.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in read_jsonl(STARTER / "test.jsonl")[::30]))
    return file


def test_all_take_part_and_say_the_same(model_folder: Path, few: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "feedback", "bench", "speed", "--model", str(model_folder), "--test", str(few)]
    sizes = ["--texts", "6", "--rounds", "1", "--out", str(tmp_path)]
    done = subprocess.run([*command, *sizes], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "spaCy, bag of words" in done.stdout
    assert (tmp_path / "speed.png").read_bytes().startswith(b"\x89PNG")
    report = json.loads((tmp_path / "speed.json").read_text())
    assert [one["name"] for one in report["sets"]] == [
        "posts of 29 tokens",
        "reviews of 120 tokens",
        "test rows as they are",
    ]
    for one in report["sets"]:
        rates = {rate["name"]: rate for rate in one["rates"]}
        assert {CHOSEN, CASCADE, LINEAR, "ours, torch-fp32", "SetFit predict"} <= set(rates)
        assert all(rate["low"] <= rate["median"] <= rate["high"] and rate["low"] > 0 for rate in rates.values())
    for name, rate in ((rate["name"], rate) for rate in report["sets"][0]["rates"]):
        if name.startswith(("transformers", "sentence", "SetFit", "ours, torch-fp32")):
            assert rate["shift"] < 1e-4, name
            assert rate["changed"] == 0
    assert len(report["bars"]) == 5
    assert set(report["cascade"]["macro_f1"]) == {"category", "sentiment"}


def test_texts_are_of_the_length_and_all_different(model_folder: Path) -> None:
    tokenise = fast_tokeniser(model_folder / TRANSFORMER / ENCODER)
    given = [row["text"] for row in read_jsonl(STARTER / "test.jsonl")]
    made = of_length("posts", given, 29, 200, tokenise)
    assert len(made.texts) == len(set(made.texts)) == 200
    assert 20 < made.tokens < 36


def test_a_model_of_n_grams_alone_is_refused(linear_folder: Path, few: Path) -> None:
    with pytest.raises(ArtifactError, match="expected a model with an encoder"):
        bench_speed(linear_folder, str(few), str(few), Silent())
