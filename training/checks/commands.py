"""The command `data`: thin parsers around importable functions."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from models import terminal
from training.commands import Columns, Data, Strict

#: Places of a finding that the table names.
_SHOWN = 5

data = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Check labelled feedback before a model learns from it."
)


@data.callback()
def _data() -> None:
    """Check labelled feedback before a model learns from it."""


@data.command("check")
def check_command(
    data: Data,
    dev: Annotated[
        str | None, typer.Option(metavar="FILE", help="Labelled feedback to measure by, to be held against --data.")
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Label schema; else derived from the data.")
    ] = None,
    encoder: Annotated[
        str, typer.Option(metavar="ID|PATH|none", help="The encoder that will read the texts; none: not looked at.")
    ] = "multilingual",
    max_length: Annotated[int, typer.Option(min=8, help="Tokens that it will read of each.")] = 128,
    rows: Annotated[int, typer.Option(min=1, help="Most rows whose labels a model judges.")] = 20_000,
    seed: Annotated[int, typer.Option(min=0, help="Of the choice of these.")] = 13,
    doubted: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write rows with doubted labels here, for `feedback label push --from FILE`."
        ),
    ] = None,
    column: Columns = None,
    strict: Strict = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Look for what spoils a model: copies, contradictions, rare labels, leaks, labels that are likely wrong.

    Training does the same and puts the findings into its report. Example: feedback data check --data feedback.jsonl
    --strict contradictions --strict overlap
    """
    from models.encoders import resolve_encoder
    from models.readers import columns_of
    from training.checks.check import check_file, forbid, strict_checks
    from training.config import NO_ENCODER

    chosen = strict_checks(strict or [])
    findings, notes = check_file(
        data,
        Path(f"{Path(data).name}.rejects.jsonl"),
        dev=dev,
        labels=labels,
        columns=columns_of(column),
        encoder=None if encoder == NO_ENCODER else resolve_encoder(encoder),
        max_length=max_length,
        judged=rows,
        seed=seed,
        doubted=doubted,
        progress=terminal.Terminal(),
    )
    for note in notes:
        terminal.warn(note)
    if as_json:
        json.dump([found.as_json() for found in findings], sys.stdout, ensure_ascii=False, indent=2)
        sys.stdout.write("\n")
    elif findings:
        shown = [[found.check, str(found.rows), found.message, _places(found.examples, data)] for found in findings]
        terminal.table(f"Findings in {data}", ["check", "rows", "what", "where"], shown, left=4)
    forbid(findings, chosen)
    if not findings:
        terminal.say(f"{data}: nothing found; next: feedback train --data {data} --out DIR")


def _places(examples: Sequence[Sequence[str]], data: str) -> str:
    groups = [[part.replace(f"{data}:", "line ") for part in group] for group in examples[:_SHOWN]]
    return "\n".join(", ".join(group[:2]) + (" …" if len(group) > 2 else "") for group in groups)
