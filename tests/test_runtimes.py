"""Runtimes: what they answer beside the reference, which are admitted, and which is chosen."""

import subprocess
import sys
from pathlib import Path
from typing import get_args

import numpy as np
import psutil
import pytest
from pydantic import SecretStr
from support import ROOT, free_port

from models.artifact import TRANSFORMER
from models.classifier import Classifier
from models.errors import ArtifactError, ConfigError
from models.labels import LabelSchema
from models.progress import Silent
from models.runtimes.admission import FILE, Admission, Parity
from models.runtimes.choice import fastest, load_reader, open_reader, runs_here
from models.runtimes.memory import remembered
from models.runtimes.runtime import REFERENCE, Name
from serving.commands import check_model_and_rules
from serving.server import running
from serving.settings import Settings

TEXTS = ["the parcel is late", "great", "la consegna è in ritardo, nessuno risponde " * 30, "包裹坏了"]


def test_exported_runtimes_answer_as_the_reference_does(model_folder: Path) -> None:
    schema, folder = LabelSchema.load(ROOT / "models/labels.toml"), model_folder / TRANSFORMER
    expected = open_reader(folder, schema, REFERENCE, 1).read(TEXTS)
    tried = Admission.load(folder).tried
    assert set(tried) == {name for name in get_args(Name) if name != REFERENCE and runs_here(name)}
    assert {"onnx-fp32", "openvino-fp32"} <= set(Admission.load(folder).names)
    for name, parity in tried.items():
        if not parity.admitted:
            continue
        found = open_reader(folder, schema, name, 1).read(TEXTS)
        assert found.truncated == expected.truncated == [False, False, True, False]
        close = 1e-4 if name.endswith("fp32") else 0.2
        assert np.abs(found.vectors - expected.vectors).max() < close
        assert parity.shift < close


def test_a_runtime_that_loses_is_not_admitted() -> None:
    kept, refused = (Parity(lost={"category": 0.0, "sentiment": lost}, shift=0.1, rows=9) for lost in (0.003, 0.0031))
    assert Admission(tried={"onnx-int8": refused, "onnx-fp32": kept}).names == [REFERENCE, "onnx-fp32"]


def test_a_tie_that_falls_the_other_way_is_no_loss() -> None:
    assert Parity(lost={"sentiment": 0.02}, shift=0.01, rows=50).admitted
    assert not Parity(lost={"sentiment": 0.02}, shift=0.011, rows=50).admitted


def test_the_fastest_is_one_of_those_admitted(model_folder: Path) -> None:
    folder = model_folder / TRANSFORMER
    names = [name for name in Admission.load(folder).names if runs_here(name)]
    assert fastest(folder, names, 1) in names


def test_what_is_not_admitted_is_refused(model_folder: Path, tmp_path: Path) -> None:
    folder = model_folder / TRANSFORMER
    schema = LabelSchema.load(ROOT / "models/labels.toml")
    with pytest.raises(ConfigError, match="expected one of torch-fp32"):
        load_reader(folder, schema, "1", 1, "onnx-int4")
    # before the service is started, whose worker would fail again and again
    with pytest.raises(ConfigError, match="expected one of torch-fp32"):
        check_model_and_rules(model_folder, None, "onnx-int4")
    (tmp_path / FILE).write_text('{"tried": {"onnx-int4": {}}}')
    with pytest.raises(ArtifactError, match=r"runtimes\.json"):
        Admission.load(tmp_path)


def test_what_was_measured_is_remembered(tmp_path: Path) -> None:
    measured = []

    def measure() -> str:
        measured.append(1)
        return "b"

    file = tmp_path / "cache" / "runtimes.json"
    assert [remembered("k", ("a", "b"), measure, file) for _ in range(3)] == ["b", "b", "b"]
    assert len(measured) == 1
    assert remembered("k", ("a",), lambda: "a", file) == "a"
    file.write_text("{broken")
    assert remembered("k", ("a", "b"), measure, file) == "b"


def test_an_exported_encoder_runs_without_torch(model_folder: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from models.classifier import Classifier; "
        "from models.records import FeedbackItem; "
        "found = Classifier.load(Path(sys.argv[1]), 1, 'onnx-fp32').predict([FeedbackItem(text='late')]); "
        "assert found[0].tasks; assert 'torch' not in sys.modules and 'transformers' not in sys.modules"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code, str(model_folder)], check=True, cwd=ROOT)


def test_the_service_runs_the_encoder_by_what_it_is_told(model_folder: Path, tmp_path: Path) -> None:
    store = SecretStr(f"sqlite:///{tmp_path / 'feedback.db'}")
    settings = Settings(model=model_folder, store=store, threads=1, runtime="onnx-fp32")
    with running(settings, "127.0.0.1", free_port(), Silent()) as process:
        loaded = {
            Path(one.path).name
            for child in psutil.Process(process.pid).children(recursive=True)
            for one in child.memory_maps()
        }
    assert any("onnxruntime" in name for name in loaded)
    # had it looked for the fastest, it would have tried the others
    assert not [name for name in loaded if "torch" in name or "openvino" in name]


def test_a_loaded_model_can_be_saved_again(model_folder: Path, tmp_path: Path) -> None:
    Classifier.load(model_folder, 1, "onnx-fp32").save(tmp_path)
    kept = {file.name for file in (tmp_path / TRANSFORMER).iterdir()}
    assert kept >= {"encoder.onnx", "runtimes.json", "heads.safetensors", "encoder"}
