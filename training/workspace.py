"""The folder of unfinished work beside a result, so that the same command goes on where it was stopped.

``OUT.work`` holds the recipe of the run, everything its result depends on, and its checkpoints. It
is locked while a run is at work there, and removed when the result is written.
"""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from models.files import write_json
from models.workspace import own_workspace, path_of
from training.processes import is_follower, processes

RECIPE = "recipe.json"
#: Written into a checkpoint when all of it is on disk.
_COMPLETE = "complete.json"

#: Called with the folder and what differs, a line each, where work was begun with another recipe.
Changed = Callable[[Path, list[str]], None]


@contextmanager
def open_workspace(out: Path, recipe: Mapping[str, Any], changed: Changed) -> Iterator[Path]:
    """The workspace for ``out``, for this recipe and one run at a time.

    Raises:
        InputError: another run is at work there, or a folder of that name is somebody's own.
    """
    with own_workspace(out) as workspace:
        begun = workspace / RECIPE
        before = json.loads(begun.read_text(encoding="utf-8")) if begun.exists() else recipe
        if different := [key for key in recipe if before.get(key) != recipe[key]]:
            changed(workspace, [f"{key}: {before.get(key)} then, {recipe[key]} now" for key in different])
        write_json(begun, recipe)
        yield workspace


@contextmanager
def open_run(out: Path, recipe: Mapping[str, Any], changed: Changed) -> Iterator[Path]:
    """The same, of which every process that trains along has its share; see :mod:`training.processes`."""
    with ExitStack() as stack:
        if not is_follower():
            workspace = stack.enter_context(open_workspace(out, recipe, changed))
            # what is not whole is removed before others look
            last_checkpoint(workspace)
        processes().wait_for_everyone()
        yield path_of(out)


def last_checkpoint(workspace: Path) -> Path | None:
    """The newest checkpoint that was written to its end; unfinished ones are removed."""
    found = {int(path.name.rpartition("-")[2]): path for path in workspace.glob("checkpoint-*")}
    for path in found.values():
        if not (path / _COMPLETE).exists():
            shutil.rmtree(path)
    whole = [number for number, path in found.items() if path.exists()]
    return found[max(whole)] if whole else None


class MarkComplete(TrainerCallback):
    """Marks a checkpoint of the Trainer when it is written, so that :func:`last_checkpoint` knows it is whole."""

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.is_world_process_zero:
            folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            write_json(folder / _COMPLETE, {"step": state.global_step})
