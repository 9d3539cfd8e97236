"""The pages of the documentation, and running their commands as they stand there, in a copy of the project."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

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


def checkout(folder: Path) -> Path:
    """A copy, in ``folder``, of what a clone has, without environment and models."""
    files = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    for name in files:
        if (ROOT / name).is_file():
            (folder / "clone" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / "clone" / name)
    (folder / "clone/artifacts").mkdir()
    return folder / "clone"


def environment(checkout: Path) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    home = checkout.parent / "home"
    home.mkdir(exist_ok=True)
    return {**os.environ, "PATH": path, "HOME": str(home), "PYTHONPATH": str(checkout), "BENTOML_DO_NOT_TRACK": "True"}


def blocks(page: str, port: int) -> Iterator[tuple[str, str]]:
    for kind, code in BLOCK.findall((ROOT / page).read_text(encoding="utf-8")):
        if kind != "toml" and not code.startswith(NOT_RUN):
            yield kind, code.replace("127.0.0.1:3000", f"127.0.0.1:{port}")


def run_page(page: str, checkout: Path) -> None:
    """Run the commands of a page in their order; AssertionError for one that fails."""
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
