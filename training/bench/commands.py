"""The command `bench`: what the project measures itself by."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from models import terminal
from models.files import atomic_write, write_json

PLAN = Path(__file__).parent / "quality.toml"
STARTER = Path("training/data/starter")
#: For figures and pictures.
OUT = Path("artifacts/bench")

bench = typer.Typer(no_args_is_help=True, add_completion=False, help="Measure the project.")


@bench.callback()
def _bench() -> None:
    """Measure the project: quality on public sets and speed beside others, large files, a cold start."""


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


@bench.command("speed")
def speed(
    model: Annotated[Path, typer.Option(metavar="DIR", help="A model with an encoder.")],
    data: Annotated[
        Path, typer.Option(metavar="FILE", help="Labelled rows that peers by n-grams learn from.")
    ] = STARTER / "train.jsonl",
    test: Annotated[Path, typer.Option(metavar="FILE", help="Labelled rows to answer.")] = STARTER / "test.jsonl",
    out: Annotated[Path, typer.Option(metavar="DIR", help="For figures and picture.")] = OUT,
    texts: Annotated[int, typer.Option(min=1, help="Posts, and reviews, to make of the test rows.")] = 128,
    rounds: Annotated[int, typer.Option(min=1, help="Times that all are measured.")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """How fast a model answers on one core, beside other libraries with the same weights on the same texts.

    Needs the extra `peers`. Beside it stand the matrix products of the encoder alone, which nothing can undercut.
    """
    from training.bench.speed.run import bench_speed
    from training.bench.speed.tables import picture, tables

    report = bench_speed(model, str(data), str(test), terminal.Terminal(), count=texts, rounds=rounds)
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "speed.json", report)
    picture(report, out / "speed.png")
    if as_json:
        sys.stdout.write((out / "speed.json").read_text(encoding="utf-8"))
        return
    for title, columns, rows in tables(report):
        terminal.table(title, columns, rows)
    terminal.say(f"figures and picture written to {out}: speed.json, speed.png")


@bench.command("files")
def files(
    model: Annotated[Path, typer.Option(metavar="DIR", help="The model.")],
    rows: Annotated[
        list[int] | None, typer.Option(min=2, help="Rows of a file. Repeatable; else 10,000 to 1 million.")
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, help="How often files of up to 30,000 rows are classified.")] = 3,
    threads: Annotated[int | None, typer.Option(min=1, help="Compute threads; else the free cores.")] = None,
    out: Annotated[
        Path, typer.Option(metavar="FILE", help="For the figures, as JSON; a picture lies beside it, as PNG.")
    ] = OUT / "files.json",
) -> None:
    """Classify files of 10 thousand to 1 million written texts: do time and memory grow as they should?

    Example: feedback bench files --model artifacts/current
    """
    from training.bench.files import ROWS, bench_files
    from training.bench.growth import bars, draw, table_of, verdict

    growth = bench_files(model, terminal.Terminal(), rows=rows or ROWS, repeats=repeats, threads=threads)
    write_json(out, {**growth, "bars": [figure.as_dict() for figure in bars(growth)]})
    draw(growth, out.with_suffix(".png"))
    terminal.table(f"feedback classify --model {model}", *table_of(growth), left=0)
    terminal.say(verdict(growth))
    terminal.say(f"written to {out}, drawn in {out.with_suffix('.png')}")


@bench.command("start")
def start(
    model: Annotated[Path, typer.Option(metavar="DIR", help="The model.")],
    repeats: Annotated[int, typer.Option(min=1, help="How often each command is run.")] = 5,
    out: Annotated[Path, typer.Option(metavar="FILE", help="For the figures, as JSON.")] = OUT / "start.json",
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Run commands that have hardly anything to do: how long does the program take to start?

    Example: feedback bench start --model artifacts/current
    """
    from training.bench.start import bars, bench_start, row_of

    found = bench_start(model, terminal.Terminal(), repeats=repeats)
    write_json(out, {"commands": found, "bars": [figure.as_dict() for figure in bars(found)]})
    if as_json:
        sys.stdout.write(out.read_text(encoding="utf-8"))
        return
    columns = ["command", "seconds", "lowest to highest", "of processors", "wanted", ""]
    terminal.table("from start to end of a command", columns, [row_of(one) for one in found])


@bench.command("training")
def training(
    data: Annotated[Path, typer.Option(metavar="FILE", help="Labelled rows to learn from.")] = STARTER / "train.jsonl",
    dev: Annotated[Path, typer.Option(metavar="FILE", help="Labelled rows to measure by.")] = STARTER / "dev.jsonl",
    labels: Annotated[Path, typer.Option(metavar="FILE", help="Label schema.")] = Path("models/labels.toml"),
    setting: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A setting of our training. Repeatable.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="How many trainings of each kind.")] = 5,
    out: Annotated[Path, typer.Option(metavar="FILE", help="For the figures, as JSON.")] = OUT / "training.json",
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Train to the same quality as the Trainer with its own settings does, and with few labels beside SetFit.

    Needs the extra `peers`. Example: feedback bench training --set threads=1
    """
    from models.labels import LabelSchema
    from models.readers import read_items
    from models.rejects import Reject
    from training.bench.learning import FEW, bench_learning, table
    from training.config import load_config

    rows, held = ([item for item in read_items(str(file)) if not isinstance(item, Reject)] for file in (data, dev))
    config = load_config(None, setting or [])
    numbers = range(config.seed, config.seed + seeds)
    report = bench_learning(rows, held, LabelSchema.load(labels), config, numbers, terminal.Terminal())
    write_json(out, report)
    if as_json:
        sys.stdout.write(out.read_text(encoding="utf-8"))
        return
    columns = [
        "seed",
        "macro-F1 of the Trainer",
        "ours as far, s",
        "the Trainer, s",
        f"ours, {FEW} rows a label",
        "SetFit",
    ]
    terminal.table(f"training, {report['rows']:,} rows, {report['task']}", columns, table(report))


@bench.command("summary")
def summary(
    folder: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where the figures lie.")] = OUT,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """All that is wanted and was measured, in one table and one picture (summary.json, summary.png).

    Example: make bench
    """
    from training.bench.bars import picture, read_bars

    found = read_bars(folder)
    write_json(folder / "summary.json", [{"about": about, **bar.as_dict()} for about, bar in found])
    picture(found, folder / "summary.png")
    if as_json:
        sys.stdout.write((folder / "summary.json").read_text(encoding="utf-8"))
        return
    rows = [[about, *bar.as_row()] for about, bar in found]
    columns = ["", "", "median", "lowest to highest", "wanted", ""]
    terminal.table("What the project wants to reach", columns, rows, left=2)
    terminal.say(f"written to {folder}: summary.json, summary.png")
