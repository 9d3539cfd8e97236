"""The commands `labels`, `train` and `evaluate`: thin parsers around importable functions."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from models import terminal
from models.errors import ConfigError
from models.files import atomic_write, write_json
from models.progress import Silent
from training.taxonomy.command import migrate_command

Columns = Annotated[
    list[str] | None,
    typer.Option("--column", metavar="FIELD=NAME", help="What the data calls a field, e.g. text=Review. Repeatable."),
]
Data = Annotated[
    str, typer.Option("--data", metavar="FILE", help="Labelled feedback: JSONL, CSV, Parquet, or hf:NAME.")
]

Strict = Annotated[
    list[str] | None,
    typer.Option(metavar="CHECK", help="A check whose findings are errors, or all. Repeatable."),
]

labels = typer.Typer(no_args_is_help=True, add_completion=False, help="Derive a label schema, check or change it.")
train = typer.Typer(add_completion=False)
evaluate = typer.Typer(add_completion=False)
compare = typer.Typer(add_completion=False)


@labels.command("init")
def labels_init(
    data: Data,
    out: Annotated[Path, typer.Option(help="Where to write the schema.")] = Path("labels.toml"),
    column: Columns = None,
) -> None:
    """Derive a label schema from labelled feedback.

    Edit it then: titles and descriptions are what labelers see, and the order is class order.
    """
    from models.readers import columns_of, read_items
    from models.rejects import RejectLog
    from training.datasets import derive

    if out.exists():
        raise ConfigError(f"{out}: exists already; give another name with --out, or remove it")
    with RejectLog(out.with_name(f"{out.name}.rejects.jsonl"), data) as log:
        schema = derive(log.usable(read_items(data, columns_of(column))))
    with atomic_write(out) as file:
        file.write(schema.to_toml())
    if log.count:
        terminal.warn(log.summary())
    for name, task in schema.tasks.items():
        terminal.say(f"{name} ({task.kind}): {len(task.labels)} labels")
    terminal.say(f"written to {out}; next: add titles and descriptions, then feedback labels check {out}")


@labels.command("check")
def labels_check(
    file: Annotated[Path, typer.Argument(help="The schema to check.")] = Path("labels.toml"),
) -> None:
    """Check a label schema and report every fault at once."""
    from models.labels import LabelSchema

    schema = LabelSchema.load(file)
    counts = ", ".join(f"{name} ({task.kind}, {len(task.labels)} labels)" for name, task in schema.tasks.items())
    terminal.say(f"{file}: sound; {counts}")


labels.command("migrate")(migrate_command)


@train.command("train")
def train_command(
    data: Annotated[
        list[str],
        typer.Option(
            metavar="FILE",
            help="Labelled feedback: JSONL, CSV, Parquet, or hf:NAME. Repeatable: a later file, such as corrections "
            "by labelers, replaces the labels of the same items.",
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="A new folder for the model.")],
    dev: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Labelled feedback to stop and calibrate by; else a share of --data."),
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Label schema; else derived from the data.")
    ] = None,
    encoder: Annotated[
        str | None,
        typer.Option(metavar="ID|PATH|none", help="Pretrained encoder (default multilingual); none: the linear part."),
    ] = None,
    config: Annotated[Path | None, typer.Option(metavar="FILE", help="Settings in TOML.")] = None,
    setting: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="One setting, e.g. epochs=3. Repeatable.")
    ] = None,
    column: Columns = None,
    download: Annotated[bool, typer.Option("--download", help="Allow fetching the encoder from the hub.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a model that is in DIR.")] = False,
    strict: Strict = None,
    search: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Try N settings of the fine-tuning, and take the best on dev."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Train a model: an encoder with a head per task, beside linear n-gram heads.

    Example: feedback train --data feedback.jsonl --data corrections.jsonl --out artifacts/current
    """
    from models.readers import columns_of
    from training.checks.check import strict_checks
    from training.config import load_config
    from training.processes import is_follower
    from training.report.regime import in_words
    from training.train import train as run

    settings = load_config(config, setting or [], encoder=encoder)
    result = run(
        data[0],
        out,
        settings,
        dev=dev,
        corrections=data[1:],
        labels=labels,
        columns=columns_of(column),
        strict=strict_checks(strict or []),
        search=search,
        download=download,
        overwrite=overwrite,
        progress=Silent() if is_follower() else terminal.Terminal(),
    )
    if is_follower():
        return
    for note in result.notes:
        terminal.warn(note)
    if as_json:
        json.dump(result.report, sys.stdout, ensure_ascii=False)
    elif result.report is not None:
        rows = "every row, left out in turn," if result.report["crossed"] else "the rows held back (dev),"
        show(result.report, f"On {rows} which also chose thresholds and weights")
        if "regime" in result.report:
            terminal.say(f"encoder: {in_words(result.report['regime'])}")
        if search is not None:
            _show_trials(result.report["search"])
    terminal.say(f"model written to {out}; next: feedback evaluate --model {out} --data FILE")


def _show_trials(trials: list[dict[str, Any]]) -> None:
    from training.report.trials import columns, rows, verdict

    terminal.table("Trials of the search", columns(trials), rows(trials), left=2)
    terminal.say(verdict(trials))


@evaluate.command("evaluate")
def evaluate_command(
    model: Annotated[Path, typer.Option(metavar="DIR", help="The model.")],
    data: Data,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the figures here.")] = None,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a report for people here, with the worst errors' texts.")
    ] = None,
    column: Columns = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Compute threads; else the free cores.")] = None,
) -> None:
    """Measure a model on labelled feedback, beside a majority and a linear-only baseline."""
    from models.readers import columns_of
    from training.evaluate import evaluate_file

    figures, notes = evaluate_file(
        model, data, columns=columns_of(column), threads=threads, html=html, progress=terminal.Terminal()
    )
    for note in notes:
        terminal.warn(note)
    if json_file is not None:
        write_json(json_file, figures)
        terminal.say(f"figures written to {json_file}")
    if html is not None:
        terminal.say(f"report written to {html}")
    show(figures, f"{model} on {data}")


@compare.command("compare")
def compare_command(
    one: Annotated[Path, typer.Argument(metavar="A", help="A model.")],
    other: Annotated[Path, typer.Argument(metavar="B", help="Another one.")],
    data: Data,
    column: Columns = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Compute threads; else the free cores.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Compare two models on the same rows: is B better than A, and could that be chance?

    Example: feedback compare artifacts/current artifacts/next --data test.jsonl
    """
    from models.readers import columns_of
    from training.compare import METRICS, compare_files

    rejects = Path(f"{Path(data).name}.rejects.jsonl")
    found, notes = compare_files(
        one, other, data, rejects=rejects, columns=columns_of(column), threads=threads, progress=terminal.Terminal()
    )
    for note in notes:
        terminal.warn(note)
    if as_json:
        json.dump(found, sys.stdout, ensure_ascii=False, indent=2)
        sys.stdout.write("\n")
        return
    rows = []
    for task, figures in found.items():
        for metric in METRICS:
            low, high = figures[metric]["interval"]
            verdict = "B is better" if low > 0 else "A is better" if high < 0 else "could be chance"
            numbers = [f"{figures[metric][key]:.3f}" for key in ("first", "second")]
            difference = f"{figures[metric]['difference']:+.3f} ({low:+.3f} to {high:+.3f})"
            rows.append([task, metric.replace("_f1", "-F1"), verdict, str(figures["n"]), *numbers, difference])
        rows.append(
            [
                *(task, "rows that one alone has right", "", str(figures["n"])),
                *(str(figures["only_first_right"]), str(figures["only_second_right"]), ""),
            ]
        )
    columns = ["task", "figure", "", "rows", "A", "B", "B less A (95 %)"]
    terminal.table(f"A: {one}, B: {other}, on {data}", columns, rows, left=3)


def show(figures: dict[str, Any], title: str) -> None:
    """Print the figures of a model as a table, baselines first."""
    rows = []
    for task, whole in figures["tasks"].items():
        parts = {name: found[task] for name, found in figures["parts"].items() if task in found}
        # a model without an encoder is its own linear baseline
        parts["combined" if "transformer" in parts else "linear (the model)"] = whole
        for part, found in parts.items():
            keys = ("accuracy", "macro_f1", "micro_f1", "ece", "coverage", "kept_precision", "answered_by_linear")
            numbers = [found.get(key) for key in keys]
            rows.append([task, part, str(whole["n"]), *["" if n is None else f"{n:.3f}" for n in numbers]])
    columns = [
        "task",
        "part",
        "rows",
        "accuracy",
        "macro-F1",
        "micro-F1",
        "calibration error",
        "coverage",
        "precision of it",
        "by linear",
    ]
    terminal.table(title, columns, rows, left=2)
    for task, whole in figures["tasks"].items():
        for label, count in whole["unknown_labels"].items():
            terminal.warn(f"{task} label {label!r} is not known to the model: {count} row(s) counted as errors")
