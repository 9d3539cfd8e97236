"""The folder of unfinished work: what a run is made from, and that nobody else is at work there."""

import fcntl
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState

from models.errors import ConfigError, InputError, as_list
from models.files import sha256, write_json
from training.encoder.config import ExtendConfig

RECIPE = "recipe.json"


@dataclass(frozen=True)
class Inputs:
    """What a run is made from."""

    teacher: str
    pairs: Sequence[Path]
    in_domain: Sequence[Path]
    mono: Sequence[Path]
    languages: Sequence[str]


def recipe_of(inputs: Inputs, teacher: Path, config: ExtendConfig) -> dict[str, Any]:
    """Everything the result depends on."""
    for path in (*inputs.pairs, *inputs.in_domain, *inputs.mono):
        if not path.is_file():
            raise InputError(f"{path}: no such file")
    return {
        "teacher": inputs.teacher,
        "teacher_weights": {file.name: sha256(file) for file in sorted(teacher.glob("*.safetensors"))},
        "languages": list(inputs.languages),
        "pairs": {path.name: sha256(path) for path in inputs.pairs},
        "in_domain": {path.name: sha256(path) for path in inputs.in_domain},
        "mono": {path.name: sha256(path) for path in inputs.mono},
        "processes": processes().num_processes,
        "settings": config.model_dump(mode="json", exclude={"threads"}),
    }


def processes() -> Any:
    """Where this process stands among those that torchrun started."""
    return PartialState(cpu=not torch.cuda.is_available())


@contextmanager
def open_workspace(out: Path, recipe: dict[str, Any]) -> Iterator[Path]:
    """The folder of unfinished work, for this recipe and one run at a time."""
    workspace = out.with_name(f"{out.name}.work")
    workspace.mkdir(parents=True, exist_ok=True)
    with (workspace / "lock").open("w") as lock:
        if processes().is_main_process:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise InputError(
                    f"{workspace}: another run is at work here; wait for it, or give another --out"
                ) from None
            begun = workspace / RECIPE
            before = json.loads(begun.read_text(encoding="utf-8")) if begun.exists() else recipe
            if different := [key for key in recipe if before.get(key) != recipe[key]]:
                changed = [f"{key}: {before.get(key)} then, {recipe[key]} now" for key in different]
                raise ConfigError(
                    f"{workspace}: work was begun here with other settings; give those, another --out, "
                    f"or remove the folder{as_list(changed)}"
                )
            write_json(begun, recipe)
        processes().wait_for_everyone()
        yield workspace
