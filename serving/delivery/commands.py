"""The commands `feedback deliver …`: thin parsers around importable functions."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from models import terminal

if TYPE_CHECKING:
    from sqlalchemy import Engine

deliver = typer.Typer(no_args_is_help=True, add_completion=False)

Store = Annotated[
    str | None, typer.Option(metavar="URL", help="The store; else FEEDBACK_STORE or SQLite in artifacts/.")
]
Rules = Annotated[Path | None, typer.Option(metavar="FILE", help="Routing rules, which name the channels.")]


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

    from serving.delivery.senders import senders
    from serving.delivery.worker import Remembered, Worker
    from serving.routing.load import DEFAULT_RULES, load_rules
    from serving.routing.watch import LiveRules

    engine, path = _opened(store), _rules(rules)
    live = LiveRules(path or DEFAULT_RULES, load_rules, lambda taken: None)
    known = Remembered(lambda: live.current, lambda rules: senders(rules.file.channels))
    worker = Worker(engine, known)
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
def deliver_status(
    store: Store = None, as_json: Annotated[bool, typer.Option("--json", help="Write JSON to standard output.")] = False
) -> None:
    """Show per channel what waits, is under way, was delivered and was given up.

    Example: feedback deliver status
    """
    import json
    from datetime import UTC, datetime

    from serving.delivery.outbox import status

    rows = status(_opened(store))
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

    count = redrive(_opened(store), channel, datetime.now(UTC))
    terminal.say(f"{count:,} message(s) will be sent again")


def _opened(store: str | None) -> "Engine":
    from serving.rules_inputs import open_store

    return open_store(store)


def _rules(rules: Path | None) -> Path | None:
    from serving.settings import load_settings

    return rules or load_settings({}).rules
