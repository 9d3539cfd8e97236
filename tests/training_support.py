"""Rows that are quickly learned from, and a training of them."""

from pathlib import Path

from models.progress import Silent
from training.config import TrainConfig
from training.train import train

GOOD = ["wonderful coffee", "great and friendly", "love it so much", "works very well", "really happy now"]
BAD = ["broken on arrival", "terrible and rude", "never again please", "waste of my money", "really angry now"]


def small_rows() -> list[dict]:
    rows = [{"text": f"{text} {n}", "sentiment": "positive", "category": "taste"} for text in GOOD for n in "abcdefgh"]
    rows += [{"text": f"{text} {n}", "sentiment": "negative", "category": "defect"} for text in BAD for n in "abcdefgh"]
    return rows


def run(data: Path, out: Path, encoder: str | Path = "none", **settings: object):
    columns = settings.pop("columns", None)
    labels = settings.pop("labels", None)
    overwrite = bool(settings.pop("overwrite", False))
    config = TrainConfig(encoder=str(encoder), **{"threads": 1, "runtimes": (), **settings})
    return train(str(data), out, config, labels=labels, columns=columns, overwrite=overwrite, progress=Silent())
