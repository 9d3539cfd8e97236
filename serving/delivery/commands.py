"""The commands `feedback deliver …`: thin parsers around importable functions."""

from typing import Annotated

import typer

from models import terminal
from serving.options import Json, Rules, Store
from serving.settings import load_settings

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

    from serving.delivery.senders import senders
    from serving.delivery.worker import Remembered, Worker
    from serving.routing.load import DEFAULT_RULES, load_rules
    from serving.routing.watch import LiveRules
    from serving.store.schema import open_store

    settings = load_settings(rules=rules, store=store)
    engine = open_store(settings.address)
    live = LiveRules(settings.rules or DEFAULT_RULES, load_rules, lambda taken: None)
    known = Remembered(lambda: live.current, lambda rules: senders(rules.file.channels))
    worker = Worker(engine, known, timedelta(seconds=settings.lease))
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
def deliver_status(store: Store = None, as_json: Json = False) -> None:
    """Show per channel what waits, is under way, was delivered and was given up.

    Example: feedback deliver status
    """
    import json
    from datetime import UTC, datetime

    from serving.delivery.outbox import status
    from serving.store.schema import open_store

    rows = status(open_store(load_settings(store=store).address))
    if as_json:
        typer.echo(json.dumps(rows, default=str, indent=2))
        return
    now = datetime.now(UTC)
    shown = []
    for row in rows:
        condition = "works"
        if row["disabled_at"] is not None:
            condition = "switched off by its receiver"
        elif row["rests_until"] is not None and row["rests_until"] > now:
            condition = f"rests until {row['rests_until']:%H:%M:%S} UTC"
        age = "" if row["oldest"] is None else f"{(now - row['oldest']).total_seconds() / 60:,.0f} min"
        counts = [f"{row[name]:,}" for name in ("new", "leased", "done", "dead")]
        shown.append([row["channel"], condition, *counts, age])
    terminal.table("outbox", ["channel", "", "waiting", "under way", "delivered", "given up", "oldest"], shown, left=2)


@deliver.command("redrive")
def deliver_redrive(
    channel: Annotated[str | None, typer.Option(metavar="NAME", help="Only of this channel.")] = None,
    store: Store = None,
) -> None:
    """Send again what was given up, and switch channels on again.

    Example: feedback deliver redrive --channel inbox-support
    """
    from datetime import UTC, datetime

    from serving.delivery.outbox import redrive
    from serving.store.schema import open_store

    count = redrive(open_store(load_settings(store=store).address), channel, datetime.now(UTC))
    terminal.say(f"{count:,} message(s) will be sent again")
