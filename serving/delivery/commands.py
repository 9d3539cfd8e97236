"""The commands `feedback deliver …`: thin parsers around importable functions."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from models import terminal
from models.errors import ConfigError, did_you_mean
from serving.options import Json, Model, Rules, Store
from serving.settings import load_settings

#: Feedback that comes with the project.
SAMPLES = Path(__file__).parent.parent.parent / "training/data/starter/train.jsonl"

deliver = typer.Typer(no_args_is_help=True, add_completion=False)


@deliver.callback(epilog="Start with: feedback deliver status")
def _deliver() -> None:
    """Send what the rules say, see what waits, send again what was given up."""


@deliver.command("run")
def deliver_run(
    rules: Rules = None,
    store: Store = None,
    once: Annotated[bool, typer.Option("--once", help="Send what is due now, and end.")] = False,
) -> None:
    """Deliver until stopped; `feedback serve` does it beside the service.

    Example: feedback deliver run --once
    """
    import signal
    import time
    from datetime import timedelta

    from serving.delivery.letters import letters
    from serving.delivery.rounds import rounds
    from serving.delivery.senders import senders
    from serving.delivery.worker import Remembered, Worker
    from serving.links import links_of
    from serving.parent import end_with_parent
    from serving.routing.load import DEFAULT_RULES, load_rules
    from serving.routing.watch import LiveRules
    from serving.store.schema import open_store

    end_with_parent()
    settings = load_settings(rules=rules, store=store)
    engine = open_store(settings.address)
    live = LiveRules(settings.rules or DEFAULT_RULES, load_rules, lambda taken: None)
    known = Remembered(lambda: live.current, lambda rules: senders(rules.file))
    worker = Worker(
        engine,
        known,
        letters(engine, links_of(settings)),
        rounds(engine, lambda: live.current),
        timedelta(seconds=settings.lease),
    )
    if once:
        start = time.monotonic()
        count = worker.drain()
        terminal.say(f"{count:,} message(s) delivered in {time.monotonic() - start:.1f} s")
        return
    live.start()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: worker.stop())
    terminal.say("delivering; stop with Ctrl-C")
    worker.run()
    live.stop()


@deliver.command("status")
def deliver_status(rules: Rules = None, store: Store = None, as_json: Json = False) -> None:
    """Show per channel what waits, is under way, was delivered and was given up, and what a channel lacks.

    Example: feedback deliver status
    """
    import json

    from serving.delivery.outbox import status
    from serving.store.schema import open_store

    settings = load_settings(rules=rules, store=store)
    rows = status(open_store(settings.address))
    found = _lacking(rows, settings.rules)
    if as_json:
        told = [{**row, "lacks": ": ".join(found.get(row["channel"], ())) or None} for row in rows]
        typer.echo(json.dumps(told, default=str, indent=2))
        return
    now = datetime.now(UTC)
    shown = []
    for row in rows:
        condition = "works"
        if row["channel"] in found:
            condition, _ = found[row["channel"]]
        elif row["disabled_at"] is not None:
            condition = "switched off by its receiver"
        elif row["rests_until"] is not None and row["rests_until"] > now:
            condition = f"rests until {row['rests_until']:%H:%M:%S} UTC"
        age = "" if row["oldest"] is None else f"{(now - row['oldest']).total_seconds() / 60:,.0f} min"
        counts = [f"{row[name]:,}" for name in ("new", "leased", "done", "dead")]
        shown.append([row["channel"], condition, *counts, age])
    terminal.table("outbox", ["channel", "", "waiting", "under way", "delivered", "given up", "oldest"], shown, left=2)
    _tell(found)


def _lacking(rows: Sequence[Mapping[str, Any]], rules: Path | None) -> dict[str, tuple[str, str]]:
    """What channels lack over which something is still to be sent, and what helps."""
    from models.errors import RulesError
    from serving.delivery.senders import lacking
    from serving.routing.load import DEFAULT_RULES, load_rules

    left = [row["channel"] for row in rows if row["new"] or row["leased"] or row["dead"]]
    try:
        file = load_rules(rules or DEFAULT_RULES).file
    except RulesError as error:  # what waits is worth knowing all the same
        terminal.warn(f"what channels lack is not known: {error}")
        return {}
    return {name: lack for name in left if (lack := lacking(name, file)) is not None}


def _tell(found: Mapping[str, tuple[str, str]]) -> None:
    for name, (what, remedy) in found.items():
        terminal.warn(f"messages wait for channel {name}, which is {what}: {remedy}")


@deliver.command("digest")
def deliver_digest(
    team: Annotated[
        str | None, typer.Option(metavar="NAME", help="Whose; else that of the team for which most waits.")
    ] = None,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write it as it looks in e-mail, for one team.")
    ] = None,
    rules: Rules = None,
    store: Store = None,
    as_json: Json = False,
) -> None:
    """Show what would stand in the next digest if it were sent now; nothing is sent.

    Example: feedback deliver digest --team support
    """
    import json

    from models.files import atomic_write
    from serving.delivery.digests import waiting_teams
    from serving.delivery.letters import next_digest
    from serving.delivery.render import render
    from serving.links import links_of
    from serving.routing.load import DEFAULT_RULES, load_rules
    from serving.store.schema import open_store

    settings = load_settings(rules=rules, store=store)
    ready = load_rules(settings.rules or DEFAULT_RULES)
    if team is not None and team not in ready.file.teams:
        raise ConfigError(f"unknown team {team!r}; {did_you_mean(team, ready.file.teams)}")
    if html is not None and team is None:
        raise ConfigError("--html writes the digest of one team; name it with --team")
    engine, links, now = open_store(settings.address), links_of(settings), datetime.now(UTC)
    waiting = waiting_teams(engine)
    names = [team] if team is not None else list(waiting)
    if as_json:
        found = [next_digest(engine, ready, name, links, now).data for name in names]
        typer.echo(json.dumps(found, ensure_ascii=False, indent=2))
        return
    if not names:
        terminal.say("nothing waits for a digest")
        return
    shown = render(next_digest(engine, ready, names[0], links, now))
    if html is not None:
        with atomic_write(html) as file:
            file.write(shown.html)
        terminal.say(f"written to {html}")
        return
    if team is None:
        counts = [[name, f"{count:,}"] for name, count in waiting.items()]
        terminal.table("digests", ["team", "items that wait for it"], counts, left=1)
        terminal.say(f"that of {names[0]}, if it were sent now (others with --team NAME):\n")
    typer.echo(shown.text, nl=False)


@deliver.command("redrive")
def deliver_redrive(
    channel: Annotated[str | None, typer.Option(metavar="NAME", help="Only of this channel.")] = None,
    anew: Annotated[
        bool,
        typer.Option("--anew", help="Over the channels that teams have now; for a channel that is not in the rules."),
    ] = False,
    rules: Rules = None,
    store: Store = None,
) -> None:
    """Send again what was given up, at once what waits, and switch channels on again.

    Example: feedback deliver redrive --channel inbox-support
    """
    from serving.delivery.moving import move
    from serving.delivery.outbox import redrive, status
    from serving.routing.load import DEFAULT_RULES, load_rules
    from serving.routing.rules import DEFAULT_CHANNEL
    from serving.store.schema import open_store

    settings = load_settings(rules=rules, store=store)
    now = datetime.now(UTC)
    if not anew:
        engine = open_store(settings.address)
        count = redrive(engine, channel, now)
        terminal.say(f"{count:,} message(s) will be sent again")
        _tell(_lacking([row for row in status(engine) if channel in (None, row["channel"])], settings.rules))
        return
    if channel is None:
        raise ConfigError("--anew moves what is left of one channel; name it with --channel")
    file = load_rules(settings.rules or DEFAULT_RULES).file
    if channel == DEFAULT_CHANNEL or channel in file.channels:
        raise ConfigError(f"channel {channel} is in the rules, and --anew is for one that is not; leave it out")
    count = move(open_store(settings.address), channel, file.channels_by_team, now)
    terminal.say(f"{count:,} message(s) will be sent over the channels that their teams have now")


@deliver.command("bench")
def deliver_bench(
    model: Model = None,
    store: Annotated[
        str | None, typer.Option(metavar="URL", help="An empty store to write to; else a SQLite file that is removed.")
    ] = None,
    data: Annotated[Path, typer.Option(metavar="FILE", help="Feedback to send.")] = SAMPLES,
    count: Annotated[int, typer.Option("--items", min=1000, help="Items in the store that is asked.")] = 1_000_000,
    repeats: Annotated[int, typer.Option(min=1, help="How often each thing is measured.")] = 5,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the service meanwhile.")] = 3000,
    as_json: Json = False,
) -> None:
    """Measure taking in, delivering and asking, beside what the model, the database and plain requests alone do.

    Example: feedback deliver bench --model artifacts/current --items 100000
    """
    import json
    import tempfile

    from serving.bench.deliver import bench_delivery
    from serving.bench.intake import bench_intake
    from serving.bench.queries import bench_queries
    from serving.server import read_samples

    progress = terminal.Terminal()
    with tempfile.TemporaryDirectory() as folder:
        settings = load_settings(model=model, store=store or f"sqlite:///{folder}/bench.db", threads=1)
        # first, since it makes the keys of its items itself
        figures = bench_queries(settings.address, count, progress, repeats=repeats)
        texts = [item.text for item in read_samples(data)]
        figures = [
            *bench_intake(settings, texts, port, progress, repeats=repeats),
            *bench_delivery(settings.address, progress, repeats=repeats),
            *figures,
        ]
    if as_json:
        typer.echo(json.dumps([figure.as_dict() for figure in figures], indent=2))
        return
    columns = ["", "median", "lowest to highest", "wanted", ""]
    kind = "PostgreSQL" if settings.address.startswith("postgresql") else "SQLite"
    terminal.table(f"{kind}, {count:,} items stored", columns, [figure.as_row() for figure in figures], left=1)
