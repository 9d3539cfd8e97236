"""The command `bench service`: what the service does over HTTP, beside others."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from models import terminal
from serving.options import Json, Model
from serving.settings import load_settings

#: Feedback that comes with the project.
SAMPLES = Path(__file__).parent.parent.parent / "training/data/starter/train.jsonl"

bench = typer.Typer(no_args_is_help=True, add_completion=False)


@bench.callback()
def _bench() -> None:
    """Measure the service."""


@bench.command("service")
def bench_service(
    model: Model = None,
    data: Annotated[Path, typer.Option(metavar="FILE", help="Feedback to send.")] = SAMPLES,
    out: Annotated[Path, typer.Option(metavar="DIR", help="For figures and a picture.")] = Path("artifacts/bench"),
    seconds: Annotated[float, typer.Option(min=0.2, help="For how long each case is measured.")] = 4.0,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds after which a caller gives up.")] = 2.0,
    repeats: Annotated[int, typer.Option(min=1, help="How often everything is measured.")] = 3,
    port: Annotated[int, typer.Option(min=1, max=65532, help="The first of four ports that are used.")] = 3000,
    as_json: Json = False,
) -> None:
    """Measure the service over HTTP, beside BentoML's adaptive batching and Starlette with the same model.

    Example: feedback bench service --model artifacts/current
    """
    from models.files import write_json
    from serving.bench.http import MOST_BUSY, bars, bench_http
    from serving.bench.http_report import COLUMNS, picture, table_rows
    from serving.server import read_samples

    settings = load_settings(model=model)
    texts = [item.text for item in read_samples(data)]
    rows = bench_http(settings, texts, port, terminal.Terminal(), seconds=seconds, timeout=timeout, repeats=repeats)
    wanted = bars(rows)
    found = {"bars": [figure.as_dict() for figure in wanted], "rows": [row.as_dict() for row in rows]}
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "service.json", found)
    picture(rows, out / "service.png")
    if as_json:
        sys.stdout.write((out / "service.json").read_text(encoding="utf-8"))
        return
    terminal.table(f"{settings.model}, {seconds:g} s a case, {repeats} times", COLUMNS, table_rows(rows), left=2)
    columns = ["", "median", "lowest to highest", "wanted", ""]
    terminal.table("what is wanted of one worker", columns, [figure.as_row() for figure in wanted], left=1)
    busiest = max(value for row in rows for value in row.busy)
    if busiest > MOST_BUSY:
        terminal.warn(f"the callers took up to {busiest:.0%} of a core: more might have been answered than they asked")
    terminal.say(f"the callers took at most {busiest:.0%} of a core; written to {out / 'service.json'} and .png")
