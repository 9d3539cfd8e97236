"""What the benchmark of quality measures, as a TOML file says."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from training.config import load_file

Setting = str | int | float


class Target(BaseModel):
    """A figure of a task that is to be reached: of all rows, or of one product.

    ``scope_recall`` is the share of the texts out of scope that is found where 5 % of those in scope
    are mistaken for them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: str
    figure: Literal["accuracy", "macro_f1", "micro_f1", "scope_recall"]
    least: Annotated[float, Field(gt=0, lt=1)]
    product: str | None = None


class LabelledSet(BaseModel):
    """``train.jsonl.gz`` and ``dev.jsonl.gz`` in a folder, and how a model is trained on them.

    Of more than ``rows`` training rows a sample is taken, by a hash of the text.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    folder: str
    encoders: Annotated[tuple[str, ...], Field(min_length=1)] = ("multilingual",)
    rows: Annotated[int, Field(ge=1)] | None = None
    settings: dict[str, Setting] = {}
    targets: tuple[Target, ...] = ()


class FewLabels(BaseModel):
    """A set of which so many rows of each combination of labels are learned from, beside SetFit on the same rows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    folder: str
    task: str
    encoder: str = "multilingual"
    per_label: tuple[Annotated[int, Field(ge=1)], ...]
    settings: dict[str, Setting] = {}


class Plan(BaseModel):
    """All of it. ``seed`` is that of the full trainings, ``few_seeds`` of the samples with few labels."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = 13
    few_seeds: tuple[int, ...] = (1, 2, 3)
    sets: Annotated[tuple[LabelledSet, ...], Field(alias="set")] = ()
    few: tuple[FewLabels, ...] = ()


def load_plan(file: Path) -> Plan:
    """The plan in ``file``; ConfigError with every fault at once."""
    return load_file(Plan, file, "plan")
