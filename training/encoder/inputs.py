"""What a run is made from, and its workspace."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState

from models.encoders import weights_of
from models.errors import ConfigError, InputError, as_list
from models.files import sha256
from models.workspace import path_of
from training.encoder.config import ExtendConfig
from training.workspace import open_workspace


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
        "teacher_weights": weights_of(teacher),
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
def open_run(out: Path, recipe: dict[str, Any]) -> Iterator[Path]:
    """The workspace of a run, of which every process that torchrun started has its share.

    Raises:
        ConfigError: work was begun there with another recipe; hours may stand in it.
    """
    with ExitStack() as stack:
        workspace = path_of(out)
        if processes().is_main_process:
            stack.enter_context(open_workspace(out, recipe, _refuse))
        processes().wait_for_everyone()
        yield workspace


def _refuse(workspace: Path, changed: list[str]) -> None:
    raise ConfigError(
        f"{workspace}: work was begun here with other settings; give those, another --out, "
        f"or remove the folder{as_list(changed)}"
    )
