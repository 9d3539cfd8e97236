"""The commands `import` and `export`: thin parsers around importable functions."""

from pathlib import Path
from typing import Annotated

import typer

from models import terminal
from models.errors import ConfigError
from serving.options import Columns, Json, Model, Rules, Store, Threads, load_model

mistakes_app = typer.Typer(add_completion=False)
import_app = typer.Typer(add_completion=False)
export_app = typer.Typer(add_completion=False)


@import_app.command("import")
def import_command(
    source: Annotated[Path, typer.Argument(metavar="FILE", help="Feedback: JSONL, CSV or Parquet.")],
    model: Model = None,
    rules: Rules = None,
    store: Store = None,
    column: Columns = None,
    threads: Threads = None,
) -> None:
    """Store the items of a file, classified and routed as if each had been sent to the service.

    What was stored before is left alone: a run that was stopped goes on when the same command is given again. Bad rows
    go to FILE.rejects.jsonl.

    Example: feedback import inbox.csv --model artifacts/current
    """
    from models.readers import columns_of
    from models.rejects import RejectLog
    from serving.bulk.importing import import_file
    from serving.routing.check import checked_rules
    from serving.routing.load import DEFAULT_RULES, load_rules
    from serving.settings import load_settings
    from serving.store.schema import open_store

    settings = load_settings(model=model, rules=rules, store=store, threads=threads)
    columns = columns_of(column)
    progress = terminal.Terminal()
    classifier = load_model(settings.model, progress, settings.threads)
    ready = checked_rules(settings.rules, classifier.schema) if settings.rules else load_rules(DEFAULT_RULES)
    engine = open_store(settings.address)
    with (
        RejectLog(source.with_name(f"{source.name}.rejects.jsonl"), str(source)) as log,
        progress.stage(f"storing {source}", None, "items") as advance,
    ):
        found = import_file(engine, source, classifier.predict, ready, log.add, advance, columns=columns)
    if log.count:
        terminal.warn(log.summary())
    terminal.say(f"{found.stored:,} item(s) stored, {found.duplicates:,} were there already, {found.refused:,} refused")


@export_app.command("export")
def export_command(
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where they go: .csv, .xlsx, .jsonl; .csv.gz, .jsonl.gz.")],
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="FIELD=VALUE", help="Only these, as GET /feedback filters. Repeatable."),
    ] = None,
    store: Store = None,
) -> None:
    """Write stored items to a file; no cell is one that a spreadsheet would run.

    Example: feedback export --only team=support --only state=routed --out open.xlsx
    """
    from datetime import UTC, datetime

    from pydantic import ValidationError

    from models.validation import describe
    from serving.settings import load_settings
    from serving.store.export import export
    from serving.store.queries import Filter, every
    from serving.store.schema import open_store

    fields = {}
    for one in only or []:
        name, equals, value = one.partition("=")
        if not equals:
            raise ConfigError(f"--only {one}: expected FIELD=VALUE, e.g. --only team=support")
        fields[name] = value
    try:
        wanted = Filter.model_validate(fields)
    except ValidationError as error:
        raise ConfigError(f"--only: {'; '.join(describe(error, Filter.model_fields))}") from None
    engine = open_store(load_settings(store=store).address)
    with terminal.Terminal().stage(f"writing {out}", None, "items") as advance:
        count = export(every(engine, wanted, datetime.now(UTC)), out, advance)
    terminal.say(f"{count:,} item(s) written to {out}")


@mistakes_app.command("mistakes")
def mistakes_command(
    days: Annotated[int, typer.Option(min=1, help="Of items that came in during so many days.")] = 30,
    store: Store = None,
    as_json: Json = False,
) -> None:
    """Show per rule what people found wrong with its items, laid to the model, to the rule or to the labels.

    A corrected category is the model's mistake; one that no label fits is that of the labels; an item that its team
    handed on although its category is right is the rule's.

    Example: feedback mistakes --days 7
    """
    import json
    from datetime import UTC, datetime, timedelta

    from serving.settings import load_settings
    from serving.store.mistakes import mistakes
    from serving.store.schema import open_store

    engine = open_store(load_settings(store=store).address)
    found = mistakes(engine, datetime.now(UTC) - timedelta(days=days))
    if as_json:
        typer.echo(json.dumps([one._asdict() for one in found], indent=2))
        return
    rows = [
        [one.rule, *(f"{count:,}" for count in (one.items, one.wrong, one.by_model, one.by_rule, one.by_labels))]
        for one in found
    ]
    columns = ["rule", "items", "wrong", "by the model", "by the rule", "by the labels"]
    terminal.table(f"items of {days} days, and what people found wrong", columns, rows, left=1)
