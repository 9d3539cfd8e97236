"""Every command in the documentation, run as it stands there."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import ROOT, free_port

from serving.server import wait_until_ready

PAGES = [
    "README.md",
    *sorted(
        str(path.relative_to(ROOT))
        for name in ("models", "training", "serving", "labeling")
        for path in (ROOT / name).rglob("*.md")
    ),
]
BLOCK = re.compile(r"^```(sh|python|toml)\n(.*?)^```", re.MULTILINE | re.DOTALL)
NOT_RUN = ("source .venv/bin/activate",)  # the tests run inside the environment
WITHOUT_COMMANDS = {"training/data/starter/DATASHEET.md", "training/data/pairs/DATASHEET.md"}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what a clone has, without environment and models."""
    files = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    for name in files:
        if (ROOT / name).is_file():
            (tmp_path / "clone" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tmp_path / "clone" / name)
    (tmp_path / "clone/artifacts").mkdir()
    return tmp_path / "clone"


def environment(checkout: Path) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    home = checkout.parent / "home"
    home.mkdir(exist_ok=True)
    return {**os.environ, "PATH": path, "HOME": str(home), "PYTHONPATH": str(checkout), "BENTOML_DO_NOT_TRACK": "True"}


def blocks(page: str, port: int) -> Iterator[tuple[str, str]]:
    for kind, code in BLOCK.findall((ROOT / page).read_text(encoding="utf-8")):
        if kind != "toml" and not code.startswith(NOT_RUN):
            yield kind, code.replace("127.0.0.1:3000", f"127.0.0.1:{port}")


@pytest.mark.parametrize("page", [page for page in PAGES if page not in WITHOUT_COMMANDS])
def test_the_commands_of_a_page_run_in_their_order(page, checkout):
    port = free_port()
    found = list(blocks(page, port))
    assert found
    servers = []
    try:
        for kind, code in found:
            if code.startswith("feedback serve") and "--once" not in code:
                command = ["bash", "-c", f"exec {code.strip()} --port {port}"]
                servers.append(subprocess.Popen(command, cwd=checkout, env=environment(checkout)))
                wait_until_ready(servers[-1], f"http://127.0.0.1:{port}")
                continue
            code = re.sub(r"(feedback serve .*--once)", rf"\1 --port {port}", code)
            command = [sys.executable, "-c", code] if kind == "python" else ["bash", "-euo", "pipefail", "-c", code]
            done = subprocess.run(
                command,
                cwd=checkout,
                env=environment(checkout),
                capture_output=True,
                text=True,
                timeout=900,
                check=False,
            )
            assert done.returncode == 0, f"{code}\n{done.stderr}"
            assert "Traceback" not in done.stderr
    finally:
        for server in servers:
            server.terminate()
            server.wait(20)


def test_make_demo_trains_measures_serves_and_asks(checkout):
    (checkout / ".venv").symlink_to(Path(sys.executable).parent.parent, target_is_directory=True)
    # -o: the environment is there; nothing is to be installed into it from this copy
    command = ["make", "-o", ".venv/installed", "demo", "ONCE=1", "TRAIN=--encoder none", f"PORT={free_port()}"]
    environ = environment(checkout)
    first = subprocess.run(command, cwd=checkout, env=environ, capture_output=True, text=True, timeout=900, check=False)
    assert first.returncode == 0, first.stderr
    assert "majority" in first.stdout
    assert "zh-Hant" in first.stdout
    assert (checkout / "artifacts/demo/manifest.json").is_file()
    start = time.monotonic()
    again = subprocess.run(command, cwd=checkout, env=environ, capture_output=True, text=True, timeout=900, check=False)
    assert again.returncode == 0
    assert "fitting" not in again.stderr, f"a second demo trained again, {time.monotonic() - start:.0f} s"


def test_links_in_the_documentation_lead_somewhere():
    broken = []
    for page in [*PAGES, "CONTRIBUTING.md", "CHANGELOG.md"]:
        for target in re.findall(r"\]\(([^)#]+)\)", (ROOT / page).read_text(encoding="utf-8")):
            if "://" not in target and not ((ROOT / page).parent / target).exists():
                broken.append(f"{page}: {target}")
    assert broken == []
