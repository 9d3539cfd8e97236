"""The command `bench`: what the project measures itself by."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from models import terminal
from models.files import atomic_write, write_json

PLAN = Path(__file__).parent / "quality.toml"

bench = typer.Typer(no_args_is_help=True, add_completion=False, help="Measure the project, beside others.")


@bench.callback()
def _bench() -> None:
    """Measure the project, beside others."""


@bench.command("quality")
def quality(
    data: Annotated[Path, typer.Option(metavar="DIR", help="The folder with the sets; they are not shipped.")],
    out: Annotated[
        Path,
        typer.Option(metavar="DIR", help="For models and figures, kept from run to run; take a new one for new code."),
    ] = Path("artifacts/bench"),
    plan: Annotated[Path, typer.Option(metavar="FILE", help="What is measured.")] = PLAN,
    threads: Annotated[int | None, typer.Option(min=1, help="Compute threads; else the free cores.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Train on each set and measure on rows that training never saw; with few labels beside SetFit.

    Needs the extra `peers`. Stopped, the same command goes on after the last model that was measured.
    """
    from training.bench.plan import load_plan
    from training.bench.quality import measure
    from training.bench.tables import markdown, tables

    report = measure(load_plan(plan), data, out, threads=threads, progress=terminal.Terminal())
    write_json(out / "quality.json", report)
    with atomic_write(out / "quality.md") as file:
        file.write(markdown(report))
    if as_json:
        sys.stdout.write((out / "quality.json").read_text(encoding="utf-8"))
        return
    for title, columns, rows, names in tables(report):
        terminal.table(title, columns, rows, left=names)
    terminal.say(f"written to {out / 'quality.md'}, with the command of every row")
