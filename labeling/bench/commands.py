"""The commands `label bench`: what the correction loop is worth, and how fast it is."""

import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from models import terminal

if TYPE_CHECKING:
    from labeling.studio.server import Studio

#: The public sets by which selection is judged: app reviews in two languages, and purchases in Chinese.
SETS = ("minibar_app_reviews", "online_shopping_10_cats")

bench = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Measure the correction loop with a real Label Studio."
)

AsJson = Annotated[bool, typer.Option("--json", help="Write JSON to standard output.")]


@bench.callback()
def _bench() -> None:
    """Measure the correction loop with a real Label Studio on this machine."""


@bench.command("worth")
def worth_command(
    data: Annotated[Path, typer.Option(metavar="DIR", help="The folder with the sets; they are not shipped.")],
    sets: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME", help="Folder in it with train.jsonl.gz and dev.jsonl.gz. Repeatable."),
    ] = None,
    seed: Annotated[list[int] | None, typer.Option(min=0, help="Decides which rows. Repeatable; else 1, 2, 3.")] = None,
    answers: Annotated[int, typer.Option(min=1, help="How many items are chosen and corrected.")] = 300,
    base: Annotated[int, typer.Option(min=10, help="How many labelled rows there are before.")] = 300,
    pool: Annotated[int, typer.Option(min=2, help="How many texts there are to choose from, at most.")] = 6000,
    encoder: Annotated[str, typer.Option(metavar="ID|PATH|none", help="none: the linear part, in minutes.")] = "none",
    as_json: AsJson = False,
) -> None:
    """Measure what corrections are worth: macro-F1 on untouched rows, chosen by `label push` against chosen by chance.

    Runs the commands of the loop as a user does, from training to training, in a Label Studio of its own.

    Example: feedback label bench worth --data data --set minibar_app_reviews
    """
    from labeling.bench.circle import measure, summary
    from labeling.bench.material import Size, sets_of
    from labeling.bench.tables import show

    found = sets_of(data, sets or SETS)
    where = str(Path(encoder).absolute()) if Path(encoder).is_dir() else encoder
    with _studio() as (studio, folder):
        rows = measure(found, seed or [1, 2, 3], Size(base, pool, answers), where, studio, folder, terminal.Terminal())
    figures = {"base": base, "pool": pool, "encoder": encoder, "rows": rows, "summary": summary(rows)}
    if as_json:
        json.dump(figures, sys.stdout, ensure_ascii=False, indent=2, allow_nan=False)
        sys.stdout.write("\n")
        return
    show(figures)


@bench.command("speed")
def speed_command(
    items: Annotated[int, typer.Option(min=1, help="Items that are pushed.")] = 10_000,
    answers: Annotated[int, typer.Option(min=1, help="Corrections that are pulled.")] = 1000,
    as_json: AsJson = False,
) -> None:
    """Measure how long it takes to push items and to pull corrections; what the items say is made up.

    Example: feedback label bench speed --items 1000 --answers 100
    """
    from labeling.bench.speed import time_commands
    from labeling.bench.tables import show_speed
    from models.errors import ConfigError
    from models.labels import DEFAULT_SCHEMA, LabelSchema

    if answers > items:
        raise ConfigError(f"--answers {answers}: expected at most as many as --items, {items}; give fewer")
    with _studio() as (studio, folder):
        found = time_commands(items, answers, LabelSchema.load(DEFAULT_SCHEMA), studio, folder, terminal.Terminal())
    if as_json:
        json.dump(found._asdict(), sys.stdout, indent=2)
        sys.stdout.write("\n")
        return
    show_speed(found)


@contextmanager
def _studio() -> Iterator[tuple["Studio", Path]]:
    """A new Label Studio, and an empty folder to work in; both go when the block ends."""
    from labeling.studio.server import find_binary, running

    binary = find_binary()
    with tempfile.TemporaryDirectory(prefix="feedback-bench-", ignore_cleanup_errors=True) as place:
        work = Path(place) / "work"
        work.mkdir()
        with running(Path(place) / "labelstudio", binary, terminal.Terminal()) as studio:
            yield studio, work
