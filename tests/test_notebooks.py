"""The notebooks: they run from end to end, use the packages and define nothing themselves."""

import ast
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from models.progress import Silent
from training.config import TrainConfig
from training.train import train

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
STARTER = ROOT / "training" / "data" / "starter"

DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
#: Paths that only exist where a notebook was run.
LOCAL_PATH = re.compile(r"/(?:home|root|work|Users|tmp)/|[A-Z]:\\\\")
FEWEST_IMAGES = 5

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def read(path):
    return nbformat.read(path, as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs(notebook):
    return [output for cell in code_cells(notebook) for output in cell.outputs]


def images(notebook):
    return [output for output in outputs(notebook) if "image/png" in output.get("data", {})]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model without an encoder, trained on the starter set."""
    folder = tmp_path_factory.mktemp("notebooks") / "linear"
    train(
        str(STARTER / "train.jsonl"),
        folder,
        TrainConfig(encoder="none"),
        dev=str(STARTER / "dev.jsonl"),
        labels=ROOT / "models" / "labels.toml",
        progress=Silent(),
    )
    return folder


def test_there_are_notebooks():
    assert NOTEBOOKS


@pytest.mark.parametrize("start", [".", "notebooks"])
@every_notebook
def test_a_notebook_runs_from_end_to_end(path, start, model, monkeypatch):
    monkeypatch.setenv("FEEDBACK_MODEL", str(model))
    monkeypatch.delenv("MPLBACKEND", raising=False)
    notebook = read(path)
    for cell in code_cells(notebook):
        cell.outputs = []

    NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(ROOT / start)}}
    ).execute()

    assert len(images(notebook)) >= FEWEST_IMAGES
    assert [output.text for output in outputs(notebook) if output.get("name") == "stderr"] == []


@every_notebook
def test_a_notebook_defines_no_functions_or_classes(path):
    found = [
        node.name
        for cell in code_cells(read(path))
        for node in ast.walk(ast.parse(cell.source))
        if isinstance(node, DEFINITIONS)
    ]
    assert found == []


@every_notebook
def test_a_notebook_is_stored_with_sound_outputs(path):
    notebook = read(path)
    assert all(cell.execution_count for cell in code_cells(notebook)), "run the notebook and save it with its outputs"
    assert len(images(notebook)) >= FEWEST_IMAGES
    assert [output for output in outputs(notebook) if output.output_type == "error"] == []
    assert [output.text for output in outputs(notebook) if output.get("name") == "stderr"] == []
    texts = [str({**output, "data": {**output.get("data", {}), "image/png": ""}}) for output in outputs(notebook)]
    assert [text for text in [str(notebook.metadata), *texts] if LOCAL_PATH.search(text)] == []
