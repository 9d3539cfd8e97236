"""The command `encoder`: thin parsers around importable functions."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from models import terminal
from models.progress import Silent

encoder = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Make a multilingual encoder from an English one, and measure it."
)


@encoder.callback()
def _encoder() -> None:
    """Make a multilingual encoder from an English one, and measure it."""


@encoder.command("extend")
def extend_command(
    pairs: Annotated[
        list[Path],
        typer.Option(metavar="FILE", help='Sentence pairs, JSONL: {"en": …, "it": …, "pl": …}. Repeatable.'),
    ],
    languages: Annotated[
        str, typer.Option(metavar="TAG,TAG", help="Languages to learn, as the pairs name them: it,pl,zh-Hans.")
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="A new folder for the encoder.")],
    teacher: Annotated[str, typer.Option(metavar="ID|PATH", help="The English encoder.")] = "minilm",
    in_domain: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="Pairs of your own field, drawn more often. Repeatable.")
    ] = None,
    mono: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help='Sentences for the vocabulary, JSONL: {"text": …, "language": …}.'),
    ] = None,
    config: Annotated[Path | None, typer.Option(metavar="FILE", help="Settings in TOML.")] = None,
    setting: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="One setting, e.g. steps=2000. Repeatable.")
    ] = None,
    download: Annotated[bool, typer.Option("--download", help="Allow fetching the teacher from the hub.")] = False,
) -> None:
    """Teach an English encoder other languages, from sentence pairs.

    Stopped, even by kill -9, it goes on where it was when the same command is given again. Example:

    feedback encoder extend --pairs pairs.jsonl --languages it,pl --out encoders/own
    """
    from training.config import load_settings
    from training.encoder.config import ExtendConfig
    from training.encoder.extend import extend
    from training.encoder.inputs import Inputs
    from training.processes import is_follower

    tags = [tag.strip() for tag in languages.split(",") if tag.strip()]
    result = extend(
        Inputs(teacher, pairs, in_domain or [], mono or [], tags),
        out,
        load_settings(ExtendConfig, config, setting or []),
        progress=Silent() if is_follower() else terminal.Terminal(),
        download=download,
    )
    if is_follower():
        return
    for note in result.notes:
        terminal.warn(note)
    rows = [[language, f"{value:.3f}"] for language, value in result.retrieval.items()]
    terminal.table("Held-back sentences that find their English one", ["language", "found"], rows)
    terminal.say(f"encoder written to {out}; next: feedback train --encoder {out} --data FILE --out DIR")


@encoder.command("evaluate")
def evaluate_command(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where report.json goes; begun runs are kept there.")],
    encoders: Annotated[
        list[str],
        typer.Option(
            "--encoder", metavar="ID|PATH", help="What to measure. Repeat it to compare; ratios are to the last."
        ),
    ],
    pairs: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Sentence pairs, all that the encoder was made from. Repeatable."),
    ] = None,
    languages: Annotated[str, typer.Option(metavar="TAG,TAG", help="Languages of the pairs, as for extend.")] = "",
    held_back: Annotated[int, typer.Option(min=2, help="Pairs a language.")] = 300,
    suite: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Tasks to train and test on, in TOML; see training/encoder/suite.toml."),
    ] = None,
    data: Annotated[Path, typer.Option(metavar="DIR", help="Where the files of the suite lie.")] = Path(),
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each task, each with another seed and sample.")] = 3,
    threads: Annotated[int | None, typer.Option(min=1, help="Compute threads; else the free cores.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Measure encoders: retrieval, zero-shot, fine-tuned and few-label quality, thrift and speed.

    Example: feedback encoder evaluate --encoder multilingual --encoder minilm --pairs pairs.jsonl
    --languages it,pl --out artifacts/encoder-report
    """
    from training.encoder.evaluate import Measures, evaluate, tables

    tags = [tag.strip() for tag in languages.split(",") if tag.strip()]
    what = Measures(encoders, pairs or [], tags, held_back, suite, data, seeds)
    report = evaluate(what, out, threads=threads, progress=terminal.Terminal())
    if as_json:
        sys.stdout.write((out / "report.json").read_text(encoding="utf-8"))
        return
    for title, columns, rows in tables(report):
        terminal.table(title, columns, rows)
    terminal.say(f"report written to {out / 'report.json'}")
