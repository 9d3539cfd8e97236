"""The command `labels migrate`: a thin parser around :mod:`training.taxonomy.migrate`."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from models import terminal

if TYPE_CHECKING:
    from models.migration.moves import Migration
    from training.taxonomy.migrate import Planned


def migrate_command(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The migration, in TOML.")],
    labels: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Label schema; else the one that is shipped, which stays.")
    ] = None,
    data: Annotated[
        list[str] | None, typer.Option(metavar="FILE", help="Labelled feedback, or corrections. Repeatable.")
    ] = None,
    rules: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Routing rules, and the cases beside them.")
    ] = None,
    cases: Annotated[Path | None, typer.Option(metavar="FILE", help="Cases that lie elsewhere.")] = None,
    store: Annotated[str | None, typer.Option(metavar="URL", help="The store of the service.")] = None,
    project: Annotated[
        int | None, typer.Option(min=1, metavar="ID", help="A project of Label Studio; key in LABEL_STUDIO_API_KEY.")
    ] = None,
    url: Annotated[str | None, typer.Option(metavar="URL", help="Label Studio; else LABEL_STUDIO_URL.")] = None,
    relabel: Annotated[
        int, typer.Option(min=0, help="Stored items at most that only a model labelled, to be labelled by people.")
    ] = 200,
    queue: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="What is to be labelled again; else beside FILE."),
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option("--column", metavar="FIELD=NAME", help="What the data calls a field. Repeatable."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change; change nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before it begins.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON to standard output.")] = False,
) -> None:
    """Rename, merge, split or retire labels in everything that holds them; what is not named stays as it is.

    All is checked before anything changes. A run that was stopped is finished by the same command.
    Items with a label that was split lose it, and are put to labelers again.

    Example: feedback labels migrate shipping.toml --labels labels.toml --data train.jsonl --dry-run
    """
    from models.labels import DEFAULT_SCHEMA, LabelSchema
    from models.migration.file import read_migration
    from models.migration.parts import Named, Part
    from models.readers import columns_of
    from training.taxonomy.migrate import apply, plan
    from training.taxonomy.parts import DataFile, SchemaFile

    progress = terminal.Terminal()
    columns = columns_of(column)
    migration = read_migration(file, LabelSchema.load(labels or DEFAULT_SCHEMA))
    waiting = queue or file.with_suffix(".relabel.jsonl")
    named = Named(rules, cases, store, project, url, relabel)
    parts: list[Part] = [DataFile(source, columns, migration) for source in data or []]
    for others in ctx.obj["parts"]():
        parts += others(migration, named)
    if labels is not None:
        parts.append(SchemaFile(labels, migration))
    planned = plan(parts, waiting, progress)
    _show(planned, migration, waiting, as_json=as_json, dry=dry_run)
    if dry_run:
        return
    if sys.stdin.isatty() and not yes:
        typer.confirm("Change all of this?", abort=True, err=True)
    apply(parts, planned, waiting, progress, terminal.say)
    terminal.say(_next(planned, waiting, labels, project))


def _show(planned: "Planned", migration: "Migration", queue: Path, *, as_json: bool, dry: bool) -> None:
    if as_json:
        lines = [line._asdict() for line in planned.lines]
        found = {"migration": migration.digest, "dry_run": dry, "changes": lines, "relabel": len(planned.queue)}
        json.dump(found | {"queue": str(queue), "notes": planned.notes}, sys.stdout, ensure_ascii=False, indent=2)
        sys.stdout.write("\n")
    else:
        rows = [[line.where, line.what, f"{line.changes:,}", f"{line.relabel:,}"] for line in planned.lines]
        title = f"what {'would change' if dry else 'changes'}"
        terminal.table(title, ["where", "what", "changes", "to label again"], rows, left=2)
    for note in planned.notes:
        terminal.warn(note)


def _next(planned: "Planned", queue: Path, labels: Path | None, project: int | None) -> str:
    said = ["migrated"]
    if labels is None:
        said.append(
            "the label schema was not named and is as it was; name it with --labels, as the last to be migrated"
        )
    if planned.queue:
        where = "" if project else "; name --project ID, and they are put to labelers"
        said.append(f"{len(planned.queue):,} item(s) are to be labelled again, listed in {queue}{where}")
    said.append(
        "a model that is trained already keeps the old labels: train anew; until then the service goes on with the"
        " rules that it has, and does not start with rules that name new labels"
    )
    return "; ".join(said)
