"""bentofile.yaml builds, and what it builds answers by itself."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from support import ROOT, free_port

from serving.server import ask, wait_until_ready


def test_a_bento_is_built_and_serves_without_the_checkout(linear_folder, tmp_path):
    source = tmp_path / "source"
    for name in ("models", "serving", "labeling"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "bentofile.yaml", source)
    shutil.copytree(linear_folder, source / "artifacts/current")
    environment = {**os.environ, "BENTOML_HOME": str(tmp_path / "home"), "BENTOML_DO_NOT_TRACK": "True"}
    bentoml = [sys.executable, "-m", "bentoml"]
    build = subprocess.run(
        [*bentoml, "build", "--output", "tag"], cwd=source, env=environment, capture_output=True, text=True, check=True
    )
    tag = build.stdout.strip().removeprefix("__tag__:")
    shutil.rmtree(source)
    port = free_port()
    command = [*bentoml, "serve", tag, "--port", str(port), "--host", "127.0.0.1", "--quiet"]
    with subprocess.Popen(command, cwd=tmp_path, env=environment) as process:
        try:
            wait_until_ready(process, f"http://127.0.0.1:{port}")
            results = ask(f"http://127.0.0.1:{port}", [{"text": "The parcel never came"}])
        finally:
            process.terminate()
    assert results[0]["error"] is None
    assert results[0]["decision"]["team"]
    assert json.loads(manifest(tmp_path / "home").read_text())["name"] == "linear"


def manifest(home: Path) -> Path:
    return next(home.rglob("artifacts/current/manifest.json"))
