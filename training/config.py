"""Every setting of a training run, with its default, in one place."""

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models.errors import ConfigError, as_list, did_you_mean
from models.runtimes.runtime import Name
from models.validation import describe

NO_ENCODER = "none"

Positive = Annotated[int, Field(ge=1)]


class TrainConfig(BaseModel):
    """Settings of a run; written to the artifact as they were used.

    Unknown keys are refused. ``epochs`` is an upper bound: training stops early when the macro-F1
    on dev has not grown for ``patience`` epochs, and the best epoch is kept. ``threads`` of None
    means the cores that are free at the start.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    encoder: str = "multilingual"
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 13
    threads: Positive | None = None
    dev_share: Annotated[float, Field(gt=0, lt=0.5)] = 0.15

    #: How the encoder is trained; auto chooses by the data (see regime.py).
    regime: Literal["auto", "frozen", "contrastive", "full"] = "auto"
    epochs: Positive | None = None
    patience: Positive = 2
    batch_size: Positive = 32
    learning_rate: Annotated[float, Field(gt=0, lt=1)] = 1e-4
    head_learning_rate: Annotated[float, Field(gt=0, lt=1)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0, lt=1)] = 0.01
    warmup_share: Annotated[float, Field(ge=0, lt=1)] = 0.06
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    max_length: Annotated[int, Field(ge=8, le=8192)] = 128
    bf16: bool = True
    #: Layers of the encoder, from below, that the full training leaves as they are: faster, and a little less good.
    frozen_layers: Annotated[int, Field(ge=0)] = 0

    #: Of the contrastive training, for few labels.
    contrast_epochs: Positive | None = None
    contrast_rate: Annotated[float, Field(gt=0, lt=1)] = 2e-4

    #: Runtimes beside the reference that are tried, to run the model faster; see models/runtimes.
    runtimes: tuple[Name, ...] = ("torch-bf16", "onnx-fp32", "onnx-int8", "openvino-fp32", "openvino-bf16")

    linear_strength: Annotated[float, Field(gt=0)] = 10.0
    linear_features: Positive = 200_000

    #: Share of the answers that are not marked for a person that is to be right; and the confidence below
    #: which they are marked where there are too few rows to tell.
    precision: Annotated[float, Field(gt=0, lt=1)] = 0.9
    abstain_below: Annotated[float, Field(ge=0, le=1)] = 0.4

    #: Labels that say that a text is none the model is for: they are not learned, only told apart as such;
    #: and the share of texts in scope that may be mistaken for such a text.
    out_of_scope: tuple[str, ...] = ()
    scope_share: Annotated[float, Field(ge=0, lt=0.5)] = 0.02

    def epochs_for(self, rows: int) -> int:
        """The bound on epochs: as set, or 3 for large data and up to 12 where rows are few.

        A small set needs more passes for the same number of steps.
        """
        return self.epochs or max(3, min(12, round(9_000 / max(rows, 1))))

    def contrast_epochs_for(self, rows: int) -> int:
        """Epochs of the contrastive training: as set, or 4 to 12, fewer the more rows there are."""
        return self.contrast_epochs or max(4, min(12, round(7_500 / max(rows, 1))))


Settings = TypeVar("Settings", bound=BaseModel)


def load_config(file: Path | None, settings: Sequence[str], **given: Any) -> TrainConfig:
    """The settings of a training run; see :func:`load_settings`."""
    return load_settings(TrainConfig, file, settings, **given)


def load_settings(kind: type[Settings], file: Path | None, settings: Sequence[str], **given: Any) -> Settings:
    """A configuration from a TOML file, ``key=value`` settings and values given by name.

    The later wins; a setting of several values separates them by commas. Raises ConfigError with
    every fault at once.
    """
    values: dict[str, Any] = {}
    if file is not None:
        values.update(_toml(file))
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals:
            raise ConfigError(f"--set {setting}: expected key=value, e.g. --set epochs=3")
        key, value = key.strip(), value.strip()
        several = key in kind.model_fields and get_origin(kind.model_fields[key].annotation) is tuple
        values[key] = [part.strip() for part in value.split(",") if part.strip()] if several else value
    values.update({key: value for key, value in given.items() if value is not None})
    return _validated(kind, values)


def load_file(kind: type[Settings], file: Path, what: str) -> Settings:
    """What a TOML file holds, which is called ``what``; ConfigError with every fault at once."""
    try:
        return kind.model_validate(_toml(file))
    except ValidationError as error:
        raise ConfigError(f"{file}: faulty {what}{as_list(describe(error))}") from None


def _toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{file}: no such file") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{file}: not a readable TOML file: {error}") from None


def _validated(kind: type[Settings], values: Mapping[str, Any]) -> Settings:
    known = list(kind.model_fields)
    unknown = [f"no setting {key!r}; {did_you_mean(key, known)}" for key in values if key not in known]
    try:
        config = kind.model_validate({key: value for key, value in values.items() if key in known})
    except ValidationError as error:
        raise ConfigError(f"configuration: faulty settings{as_list([*unknown, *describe(error)])}") from None
    if unknown:
        raise ConfigError(f"configuration: faulty settings{as_list(unknown)}")
    return config
