"""The command `label`: thin parsers around importable functions."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from labeling.bench.commands import bench
from labeling.pull.commands import pull_command, status_command
from labeling.push.command import push_command
from labeling.studio import commands as studio_commands
from models import terminal

label = typer.Typer(no_args_is_help=True, add_completion=False, help="Work with Label Studio.")


@label.callback()
def _label() -> None:
    """Work with Label Studio."""


@label.command("config")
def label_config(
    labels: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Label schema; else the one that is shipped.")
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Where to write it; else it is printed.")] = None,
) -> None:
    """Make the labelling interface of Label Studio from a label schema.

    Example: feedback label config --labels labels.toml --out interface.xml
    """
    from labeling.studio.interface import labeling_interface
    from models.files import atomic_write
    from models.labels import DEFAULT_SCHEMA, LabelSchema

    interface = labeling_interface(LabelSchema.load(labels or DEFAULT_SCHEMA))
    if out is None:
        sys.stdout.write(interface)
        return
    with atomic_write(out) as file:
        file.write(interface)
    terminal.say(f"written to {out}; next: paste it into the project's Settings > Labeling Interface > Code")


label.command("studio")(studio_commands.studio_command)
label.command("project")(studio_commands.project_command)
label.command("connect")(studio_commands.connect_command)
label.command("push")(push_command)
label.command("pull")(pull_command)
label.command("status")(status_command)
label.add_typer(bench, name="bench")
