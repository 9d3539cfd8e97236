"""What a run is made from."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.encoders import weights_of
from models.errors import ConfigError, InputError, as_list
from models.files import sha256
from training import processes
from training.encoder.config import ExtendConfig


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
        "processes": processes.count(),
        "settings": config.model_dump(mode="json", exclude={"threads"}),
    }


def refuse(workspace: Path, changed: list[str]) -> None:
    """ConfigError where work was begun with another recipe: hours may stand in it."""
    raise ConfigError(
        f"{workspace}: work was begun here with other settings; give those, another --out, "
        f"or remove the folder{as_list(changed)}"
    )
