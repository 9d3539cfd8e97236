"""Every command in the documentation, run as it stands there; those of training in a file of their own."""

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pages import PAGES, WITHOUT_COMMANDS, checkout, environment, run_page
from support import ROOT, free_port


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page not in WITHOUT_COMMANDS and not page.startswith("training")]
)
def test_the_commands_of_a_page_run_in_their_order(page: str, tmp_path: Path) -> None:
    run_page(page, checkout(tmp_path))


def test_make_demo_trains_measures_serves_and_asks(tmp_path: Path) -> None:
    clone = checkout(tmp_path)
    (clone / ".venv").symlink_to(Path(sys.executable).parent.parent, target_is_directory=True)
    # -o: the environment is there; nothing is to be installed into it from this copy
    command = ["make", "-o", ".venv/installed", "demo", "ONCE=1", "TRAIN=--encoder none", f"PORT={free_port()}"]
    environ = environment(clone)
    first = subprocess.run(command, cwd=clone, env=environ, capture_output=True, text=True, timeout=900, check=False)
    assert first.returncode == 0, first.stderr
    assert "majority" in first.stdout
    assert "zh-Hant" in first.stdout
    assert (clone / "artifacts/demo/manifest.json").is_file()
    start = time.monotonic()
    again = subprocess.run(command, cwd=clone, env=environ, capture_output=True, text=True, timeout=900, check=False)
    assert again.returncode == 0
    assert "fitting" not in again.stderr, f"a second demo trained again, {time.monotonic() - start:.0f} s"


def test_links_in_the_documentation_lead_somewhere() -> None:
    broken = []
    for page in [*PAGES, "CONTRIBUTING.md", "CHANGELOG.md"]:
        for target in re.findall(r"\]\(([^)#]+)\)", (ROOT / page).read_text(encoding="utf-8")):
            if "://" not in target and not ((ROOT / page).parent / target).exists():
                broken.append(f"{page}: {target}")
    assert broken == []
