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
#: Written into a checkpoint when all of it is on disk: the names and sizes of its files.
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
    """The newest checkpoint of which all is there that was written; those of which something is missing are removed."""
    found = _checkpoints(workspace)
    for path in found.values():
        if not _is_whole(path):
            shutil.rmtree(path)
    whole = [number for number, path in found.items() if path.exists()]
    return found[max(whole)] if whole else None


class KeepCheckpoints(TrainerCallback):
    """Marks a checkpoint of the Trainer when it is written, so that :func:`last_checkpoint` knows it is whole, and
    then removes older ones.

    The Trainer itself would remove them before: who is killed at that has neither. ``newest`` are kept, and the best.
    """

    def __init__(self, newest: int = 1) -> None:
        self._newest = newest

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        # every process writes a file of its own
        processes().wait_for_everyone()
        if not state.is_world_process_zero:
            return
        workspace = Path(args.output_dir)
        folder = workspace / f"checkpoint-{state.global_step}"
        write_json(folder / _COMPLETE, {"step": state.global_step, "files": _sizes(folder)})
        best = state.best_model_checkpoint and Path(state.best_model_checkpoint).name
        for _, path in sorted(_checkpoints(workspace).items())[: -self._newest]:
            if path.name != best:
                # without its mark it is not taken for whole, however much of it a kill leaves
                (path / _COMPLETE).unlink(missing_ok=True)
                shutil.rmtree(path)


def _checkpoints(workspace: Path) -> dict[int, Path]:
    return {int(path.name.rpartition("-")[2]): path for path in workspace.glob("checkpoint-*")}


def _is_whole(checkpoint: Path) -> bool:
    try:
        marked = json.loads((checkpoint / _COMPLETE).read_bytes())
        return bool(marked["files"].items() <= _sizes(checkpoint).items())
    except (OSError, ValueError, KeyError):
        return False


def _sizes(folder: Path) -> dict[str, int]:
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != _COMPLETE]
    return {str(path.relative_to(folder)): path.stat().st_size for path in sorted(files)}
