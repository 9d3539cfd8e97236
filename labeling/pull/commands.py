"""The commands `label pull` and `label status`: thin parsers around importable functions."""

import json
import os
import sys
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from models import terminal
from models.errors import DataError


class RuleName(StrEnum):
    """How annotators of one item are joined; see :data:`labeling.pull.joining.Rule`."""

    MAJORITY = "majority"
    AGREE = "agree"


Project = Annotated[int, typer.Option(metavar="ID", envvar="LABEL_STUDIO_PROJECT", help="The project, by its number.")]
Labels = Annotated[Path | None, typer.Option(metavar="FILE", help="Label schema; else the one that is shipped.")]
Joining = Annotated[RuleName, typer.Option(help="More than half of an item's annotators decide, or all must agree.")]
Adjudicators = Annotated[
    list[str] | None,
    typer.Option("--adjudicator", metavar="EMAIL", help="Whose answer is final where others differ. Repeatable."),
]
Url = Annotated[str | None, typer.Option(metavar="URL", help="Label Studio; else LABEL_STUDIO_URL.")]


def pull_command(
    project: Project,
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where to write the corrections, JSON Lines.")] = Path(
        "artifacts/labeling/corrections.jsonl"
    ),
    report_to: Annotated[
        str | None, typer.Option("--report", metavar="URL", help="Also hand them on to the service there.")
    ] = None,
    rule: Joining = RuleName.MAJORITY,
    adjudicator: Adjudicators = None,
    labels: Labels = None,
    full: Annotated[bool, typer.Option("--full", help="Compare everything, not only what changed.")] = False,
    url: Url = None,
    key: Annotated[str | None, typer.Option(metavar="KEY", help="Its key; better LABEL_STUDIO_API_KEY.")] = None,
) -> None:
    """Take in what labelers answered, and write what they settled as corrections.

    Example: feedback label pull --project 1 --out corrections.jsonl --report http://127.0.0.1:3000
    """
    from labeling.backend.hints import hint_since, take_hint
    from labeling.pull.corrections import answered, write_corrections
    from labeling.pull.handed import adopt
    from labeling.pull.pull import pulling, take_in
    from labeling.pull.reporting import report
    from labeling.push.queue import state_file
    from labeling.state import FOLDER
    from labeling.studio.client import URL_VARIABLE, connect
    from models.labels import DEFAULT_SCHEMA, LabelSchema
    from models.rejects import RejectLog

    progress = terminal.Terminal()
    schema = LabelSchema.load(labels or DEFAULT_SCHEMA)
    client = connect(url, key)
    path = state_file(url or os.environ.get(URL_VARIABLE, ""), project)
    hint = hint_since(FOLDER, project)
    # nobody else pulls until all is handed on: of two, the older answer would else come to the service last
    with pulling(path, progress) as state:
        settled_now = partial(answered, state, schema, rule.value, adjudicator or [])
        adopt(state, lambda: {one.item_id: one.joined for one in settled_now().items})
        pulled = take_in(client, project, state, schema, progress, full=full)
        take_hint(FOLDER, project, hint)
        for note in pulled.notes:
            terminal.warn(note)
        terminal.say(
            f"project {project}: {pulled.new} new answer(s), {pulled.edited} edited, {pulled.deleted} deleted,"
            f" {pulled.skipped} of them skipped"
        )
        found = settled_now()
        settled = write_corrections(out, found.items, schema)
        waiting = sum(bool(item.joined.open) for item in found.items)
        with RejectLog(out.with_name(f"{out.name}.rejects.jsonl"), str(out)) as log:
            for reject in (*pulled.rejects, *found.rejects):
                log.add(reject)
            # after the others: it may stop, and they are to be kept
            if report_to is not None:
                done, refused = report(report_to, state, found.items, progress)
                terminal.say(f"{done} correction(s) handed on to {report_to}")
                for reject in refused:
                    log.add(reject)
        if log.count:
            terminal.warn(log.summary())
    if waiting:
        terminal.say(f"{waiting} item(s) wait until annotators agree; see: feedback label status --project {project}")
    terminal.say(f"{settled} correction(s) in {out}; next: feedback train --data BASE --data {out} --out DIR")


def status_command(
    project: Project,
    rule: Joining = RuleName.MAJORITY,
    adjudicator: Adjudicators = None,
    labels: Labels = None,
    url: Url = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON to standard output.")] = False,
) -> None:
    """Show how labelling stands, as of the last pull; Label Studio itself is not asked.

    Example: feedback label status --project 1
    """
    from labeling.push.queue import state_file
    from labeling.state import State
    from labeling.status.status import status
    from labeling.status.tables import show
    from labeling.studio.client import URL_VARIABLE
    from models.labels import DEFAULT_SCHEMA, LabelSchema

    address = url or os.environ.get(URL_VARIABLE, "")
    path = state_file(address, project)
    if not path.exists():
        raise DataError(
            f"{path}: expected what is known of project {project} at {address or '(no LABEL_STUDIO_URL)'}, found"
            " nothing; run feedback label push or pull first, from the same folder and with the same address"
        )
    state = State(path)
    try:
        figures = status(state, LabelSchema.load(labels or DEFAULT_SCHEMA), rule.value, adjudicator or [])
    finally:
        state.close()
    if as_json:
        json.dump(figures, sys.stdout, ensure_ascii=False, indent=2, allow_nan=False)
        sys.stdout.write("\n")
        return
    show(figures, project)
