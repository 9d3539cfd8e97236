"""The command `label push`: a thin parser around :func:`labeling.push.push.push`."""

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from models import terminal
from models.errors import ConfigError

if TYPE_CHECKING:
    from labeling.choice.selection import Candidate, Selection
    from labeling.push.push import Pushed
    from labeling.push.sources import Source

_SHOWN_TEXT = 60


def push_command(
    project: Annotated[
        int, typer.Option(metavar="ID", envvar="LABEL_STUDIO_PROJECT", help="The project, by its number.")
    ],
    source: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="store|URL|FILE",
            help="Items: of the service at FEEDBACK_URL (else http://127.0.0.1:3000), of one at URL, or of a file:"
            " JSONL with the predictions of `feedback classify`, CSV, Parquet.",
        ),
    ] = "store",
    n: Annotated[int, typer.Option("--n", min=0, help="How many tasks shall wait for an answer.")] = 200,
    model: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Model that predicts anew; else the service's or the file's.")
    ] = None,
    audit: Annotated[float, typer.Option(min=0, max=1, help="Share drawn by chance, to measure the model.")] = 0.2,
    blind: Annotated[float, typer.Option(min=0, max=1, help="Share shown without a prediction.")] = 0.1,
    seed: Annotated[int | None, typer.Option(help="Decides all chance; fixed by the first push to a project.")] = None,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="NAME=VALUE", help="Filter of GET /feedback, e.g. channel=email. Repeatable."),
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option("--column", metavar="FIELD=NAME", help="What the file calls a field. Repeatable."),
    ] = None,
    url: Annotated[str | None, typer.Option(metavar="URL", help="Label Studio; else LABEL_STUDIO_URL.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be chosen; send nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON to standard output.")] = False,
) -> None:
    """Fill a project of Label Studio with the items most worth a person's minute; the key is LABEL_STUDIO_API_KEY.

    Run again it adds nothing until answers were given and pulled; a push that was interrupted goes on.

    Example: feedback label push --project 1 --from store --n 200
    """
    from labeling.choice.selection import Mix
    from labeling.push import queue
    from labeling.push.push import preview, push
    from labeling.studio.client import URL_VARIABLE, connect

    progress = terminal.Terminal()
    mix = Mix(audit=audit, blind=blind)
    items = _source(source, model, only or [], column or [], progress)
    path = queue.state_file(url or os.environ.get(URL_VARIABLE, ""), project)
    if dry_run:
        chosen = preview(path, items, n, mix if seed is None else mix.model_copy(update={"seed": seed}))
        _show_selection(chosen, as_json)
        return
    done = push(connect(url), project, path, items, n, mix, progress, seed=seed)
    if as_json:
        json.dump(asdict(done), sys.stdout, indent=2)
        sys.stdout.write("\n")
    else:
        _say(done, project)


def _source(
    source: str, model: Path | None, only: list[str], column: list[str], progress: terminal.Terminal
) -> "Source":
    from labeling import service
    from labeling.push.sources import Source, from_file
    from models.readers import columns_of

    filters = dict(_filter(setting) for setting in only)
    if source == service.STORE or source.startswith(("http://", "https://")):
        if column:
            raise ConfigError("--column goes with a file; items of the service have the fields of a record")
        address = os.environ.get(service.SERVICE_VARIABLE, service.SERVICE) if source == service.STORE else source
        found = Source(
            lambda: service.from_service(address, filters, progress), lambda items: service.ask_service(address, items)
        )
    else:
        if filters:
            raise ConfigError("--only goes with --from store or an address; a file is taken whole")

        def read() -> "list[Candidate]":
            items, left_out = from_file(source, columns_of(column), progress)
            if left_out:
                terminal.warn(left_out)
            if model is None and all(one.prediction is None and one.doubt is None for one in items):
                terminal.say(
                    "the file has no predictions, so chance and diversity choose, and labelers see none; give --model"
                    " or a file that `feedback classify` wrote as JSON Lines"
                )
            return items

        found = Source(read)
    return found if model is None else _judged(found, model, progress)


def _judged(source: "Source", folder: Path, progress: terminal.Terminal) -> "Source":
    from labeling.choice.opinions import with_opinions
    from labeling.push.sources import Source
    from models.classifier import Classifier

    with progress.stage("loading the model"):
        classifier = Classifier.load(folder)
    return Source(lambda: with_opinions(classifier, source.read(), progress), classifier.predict)


def _filter(setting: str) -> tuple[str, str]:
    name, equals, value = setting.partition("=")
    if not (name and equals and value):
        raise ConfigError(f"--only {setting}: expected NAME=VALUE, e.g. --only channel=email")
    return name, value


def _show_selection(selection: "Selection", as_json: bool) -> None:
    rows = [
        {
            "id": one.candidate.id,
            "why": one.why,
            "probability": one.probability,
            "blind": one.blind,
            "text": one.candidate.item.text,
        }
        for one in selection.chosen
    ]
    if as_json:
        json.dump(rows, sys.stdout, ensure_ascii=False, indent=2)
        sys.stdout.write("\n")
        return
    table = [
        [str(row["id"]), str(row["why"]), "blind" if row["blind"] else "", _brief(str(row["text"]))] for row in rows
    ]
    terminal.table(f"{len(rows):,} item(s) would be pushed", ["item", "why", "", "text"], table, left=4)
    _say_apart(sum(one.candidate.apart for one in selection.chosen))
    terminal.say(f"an item is in the audit with a probability of {selection.rate:.4g}")


def _say_apart(count: int) -> None:
    if count:
        terminal.say(
            f"{count:,} of them have an id that other texts have too, such as a customer's or a product's: they are"
            " known as ID#… by id and text, and their corrections go by the text"
        )


def _brief(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _SHOWN_TEXT else f"{text[: _SHOWN_TEXT - 1]}…"


def _say(done: "Pushed", project: int) -> None:
    why = ", ".join(f"{count:,} {name}" for name, count in sorted(done.why.items(), key=lambda pair: -pair[1]))
    terminal.say(
        f"project {project}: {done.added:,} task(s) added{f' ({why})' if why else ''}, {done.blind:,} of them blind;"
        f" {done.open:,} wait for an answer"
    )
    _say_apart(done.apart)
    if done.resumed or done.found or done.removed:
        terminal.say(
            f"of an earlier push: {done.resumed:,} sent now, {done.found:,} found on the server, {done.removed:,} that"
            " were there twice removed"
        )
    if done.updated:
        terminal.say(f"{done.updated:,} open task(s) show the present model's prediction now")
    if done.without:
        terminal.warn(f"{done.without:,} task(s) are without a prediction of the present model; --model DIR makes them")
    if not done.added and not done.resumed and done.open:
        terminal.say("nothing to add: answers that were given since count when they were pulled; or give a larger --n")
