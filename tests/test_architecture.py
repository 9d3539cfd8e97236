"""What the shape of the project promises beyond the import contracts."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from support import ROOT

PACKAGES = ("models", "training", "serving", "labeling")


def imported_by(code: str) -> set[str]:
    script = f"import sys\n{code}\nprint(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("models", {"pydantic", "numpy", "torch"}),
        ("models.labels", {"numpy", "torch", "sklearn", "transformers"}),
        ("models.records", {"numpy", "torch"}),
        ("models.readers", {"numpy", "torch", "pyarrow", "datasets"}),
        ("models.classifier", {"torch", "transformers", "bentoml"}),
        ("training.commands", {"numpy", "torch", "sklearn", "bentoml"}),
        ("serving.commands", {"numpy", "torch", "sklearn", "bentoml"}),
        ("serving.routing.decide", {"numpy", "torch", "bentoml", "sqlalchemy"}),
        ("labeling.commands", {"numpy", "torch", "label_studio_sdk"}),
        ("labeling.backend.app", {"numpy", "torch", "label_studio_sdk", "pandas"}),
    ],
)
def test_importing_a_module_does_not_load_what_it_has_no_use_for(module, absent):
    assert not imported_by(f"import {module}") & absent


def test_packages_hold_no_code_in_their_init():
    for package in PACKAGES:
        assert (ROOT / package / "__init__.py").read_text() == ""


def test_modules_stay_small():
    lengths = {path: len(path.read_text().splitlines()) for name in PACKAGES for path in (ROOT / name).rglob("*.py")}
    assert len(lengths) > 30
    assert not {path: length for path, length in lengths.items() if length > 300}


def test_the_bento_installs_the_versions_that_are_tested():
    pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    bento = re.findall(r"^    - ([\w-]+)==(\S+)$", (ROOT / "bentofile.yaml").read_text(), re.MULTILINE)
    assert len(bento) > 10
    assert {name: version for name, version in bento if pins[name] != version} == {}


def test_every_dependency_is_pinned():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [
        *project["dependencies"],
        *(name for extra in project["optional-dependencies"].values() for name in extra),
    ]
    pins = {line.partition("==")[0].lower() for line in (ROOT / "constraints.txt").read_text().splitlines()}
    names = {re.match(r"[\w-]+", name)[0].lower() for name in wanted} - {"feedback-classifier"}
    assert len(names) > 20
    assert names <= pins


def test_constraints_name_no_place_of_a_machine():
    text = Path(ROOT / "constraints.txt").read_text()
    assert "/" not in text
    assert "torch==2.13.0\n" in text
