"""The commands `classify` and `serve`: thin parsers around importable functions."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from models import terminal
from models.errors import ConfigError
from models.progress import Progress
from serving.options import Columns, Model, Rules, Store, Threads, load_model

if TYPE_CHECKING:
    from serving.bulk.engine import Engine

classify = typer.Typer(add_completion=False)
serve = typer.Typer(add_completion=False)


class EngineName(StrEnum):
    """What classifies a file: this process, or workers on Ray."""

    PROCESS = "process"
    RAY = "ray"


@classify.command("classify")
def classify_command(
    model: Annotated[Path, typer.Option("--model", metavar="DIR", help="The model.")],
    source: Annotated[str, typer.Option("--in", metavar="FILE", help="Feedback: JSONL, CSV, Parquet, or hf:NAME.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where the answers go: .jsonl, .csv (.gz too), .parquet.")],
    column: Columns = None,
    shard: Annotated[
        str, typer.Option(metavar="I/N", help="Only every N-th row from the I-th on, for several machines.")
    ] = "1/1",
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where the same command was stopped, also by kill -9.")
    ] = False,
    engine: Annotated[
        EngineName, typer.Option(help="This process, or workers on Ray (needs the extra `ray`).")
    ] = EngineName.PROCESS,
    ray_address: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="A Ray cluster, or `auto`; else Ray is started here.")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Workers on Ray; else one per free core.")] = None,
    threads: Threads = None,
) -> None:
    """Classify a file of feedback, row by row, of any size.

    Bad rows go to OUT.rejects.jsonl. OUT appears when all is done.

    Example: feedback classify --model artifacts/current --in feedback.csv --out answers.csv
    """
    from models.readers import columns_of
    from serving.bulk.classifying import classify_file, shard_of

    columns, part = columns_of(column), shard_of(shard)
    if engine is EngineName.PROCESS and (ray_address is not None or workers is not None):
        raise ConfigError("--ray-address and --workers are for --engine ray; add it, or leave them out")
    progress = terminal.Terminal()
    with _engine(engine, model, ray_address, workers, threads, progress) as at_work:
        try:
            rows, left_out = classify_file(
                at_work, source, out, progress=progress, columns=columns, shard=part, resume=resume, lost=_say_lost
            )
        except (KeyboardInterrupt, SystemExit, OSError):
            terminal.say(f"stopped; the same command with --resume goes on (what is done is in {out}.work)")
            raise
    if left_out:
        terminal.warn(left_out)
    terminal.say(f"{rows:,} row(s) classified, written to {out}")


@contextmanager
def _engine(
    name: EngineName,
    model: Path,
    address: str | None,
    workers: int | None,
    threads: int | None,
    progress: Progress,
) -> "Iterator[Engine]":
    if name is EngineName.PROCESS:
        from serving.bulk.engine import InProcess

        yield InProcess(load_model(model, progress, threads))
        return
    try:
        from serving.bulk.on_ray import on_ray
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"--engine ray: {error.name} is not installed; pip install 'feedback-classifier[ray]'"
        ) from None
    with on_ray(model, address=address, workers=workers, threads=threads, progress=progress) as engine:
        yield engine


def _say_lost(rows: int) -> None:
    terminal.warn(f"a run that was stopped had done {rows:,} rows; they are done again (--resume would go on there)")


@serve.command("serve")
def serve_command(
    model: Model = None,
    rules: Rules = None,
    store: Store = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 3000,
    workers: Annotated[
        int | None, typer.Option(min=1, max=64, help="Processes that answer, each with the model in memory; else 1.")
    ] = None,
    threads: Threads = None,
    samples: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Feedback to send to it once it is ready, and show.")
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Stop after the samples.")] = False,
    deliver: Annotated[
        bool, typer.Option("--deliver/--no-deliver", help="Send what is due, by a worker beside the service.")
    ] = True,
) -> None:
    """Serve a model over HTTP: POST /classify answers, POST /feedback keeps and delivers too.

    Example: feedback serve --model artifacts/current
    """
    from contextlib import ExitStack

    from serving.beside import delivering
    from serving.links import links_of
    from serving.server import DECIDED, ask, base_url, check_ended_well, read_samples, running, sample_rows, until_ended
    from serving.settings import load_settings
    from serving.store.schema import open_store

    if once and samples is None:
        raise ConfigError("--once stops after the samples; give some with --samples FILE")
    settings = load_settings(model=model, rules=rules, store=store, workers=workers, threads=threads)
    links_of(settings)  # faults of settings are said before anything is started
    schema = check_model_and_rules(settings.model, settings.rules, settings.runtime)
    open_store(settings.address).dispose()  # a service that cannot be had is said here, and not by its child for ever
    items = [] if samples is None else read_samples(samples)
    url = base_url(host, port)
    with ExitStack() as stack:
        process = stack.enter_context(running(settings, host, port, terminal.Terminal()))
        worker = stack.enter_context(delivering(settings, terminal.warn)) if deliver and not once else None
        if items:
            raw = [item.model_dump(mode="json", include={"text", "nps", "channel"}) for item in items]
            results = ask(url, raw, path="/feedback")
            columns = ["text", "language", *schema, *DECIDED]
            terminal.table(f"POST {url}/feedback", columns, sample_rows(items, results), left=len(columns))
        if once:
            return
        terminal.say(f"serving on {url}; stop with Ctrl-C. Try:")
        terminal.say(f"""curl -s {url}/classify -H 'Content-Type: application/json' \\
  -d '{{"items": [{{"text": "The parcel came late and the lid is cracked"}}]}}'""")
        try:
            status = until_ended(process, worker.look if worker else lambda: None)
        except KeyboardInterrupt:
            terminal.say("stopping")
        else:
            check_ended_well(status)


def check_model_and_rules(model: Path, rules: Path | None, runtime: str | None = None) -> tuple[str, ...]:
    """Verify both before anything is started, and that the model can be run by this runtime; returns the model's tasks.

    Rules the caller chose must fit the model; of the shipped ones it is only said which cannot hold.
    """
    import tomllib

    from models import artifact
    from models.labels import LabelSchema
    from serving.routing.check import checked_rules
    from serving.routing.load import DEFAULT_RULES, read_rules

    artifact.verify(model)
    if runtime is not None and (model / artifact.TRANSFORMER).is_dir():
        from models.runtimes.choice import check_wanted

        check_wanted(model / artifact.TRANSFORMER, runtime)
    schema = LabelSchema.model_validate(tomllib.loads((model / artifact.LABELS).read_text(encoding="utf-8")))
    if rules is not None:
        checked_rules(rules, schema)
    elif problems := read_rules(DEFAULT_RULES, schema).findings:
        terminal.warn(
            f"{len(problems)} condition(s) of the shipped rules name labels this model does not have, so their rules "
            "never hold and items go to triage; write your own and give them with --rules"
        )
    return tuple(schema.tasks)
