"""Rows whose labels are doubted, as a file of which people take a second look."""

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from models.doubts import DOUBT
from models.files import atomic_write
from training.checks.finding import Finding
from training.datasets import Row


def write_doubted(path: Path, rows: Sequence[Row], findings: Sequence[Finding]) -> int:
    """Write the rows of the findings `doubtful-labels` as JSON Lines, the most doubtful first; how many they are.

    Each is the record as it was read, with its labels, and in ``meta.doubt`` by task what :class:`models.doubts.Doubt`
    holds.
    """
    doubts: dict[str, dict[str, Any]] = defaultdict(dict)
    for found in findings:
        if found.check == "doubtful-labels" and found.details is not None:
            for each in found.details["labels"]:
                # of several labels of a task the most doubtful comes first, and stands for it
                about = {key: each[key] for key in ("given", "likely", "margin")}
                doubts[each["place"]].setdefault(found.details["task"], about)
    chosen = [row for row in rows if row.place in doubts]
    chosen.sort(key=lambda row: -max(each["margin"] for each in doubts[row.place].values()))
    with atomic_write(path) as file:
        for row in chosen:
            record = row.item.model_dump(mode="json", exclude_unset=True)
            record["meta"] = {**row.item.meta, DOUBT: doubts[row.place]}
            file.write(json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n")
    return len(chosen)
