"""Items with their predictions, as the lines of a file."""

import csv
import io
import json
from collections.abc import Callable, Iterable
from typing import Any

from models.labels import LabelSchema
from models.records import LIST_SEPARATOR, LabeledItem, Prediction
from serving.cells import safe

#: Of each format: the name of its files, before `.gz`.
JSON, CSV, PARQUET = ".jsonl", ".csv", ".parquet"
FORMATS = (JSON, f"{JSON}.gz", CSV, f"{CSV}.gz", PARQUET)

Answer = tuple[LabeledItem, Prediction]
#: Makes the text of the file of some answers.
Lines = Callable[[Iterable[Answer]], str]


def as_json(answers: Iterable[Answer]) -> str:
    """A line each: the record, and its ``prediction``."""
    return "".join(
        json.dumps(
            item.model_dump(mode="json", exclude_unset=True) | {"prediction": prediction.model_dump(mode="json")},
            ensure_ascii=False,
        )
        + "\n"
        for item, prediction in answers
    )


def columns(schema: LabelSchema) -> list[str]:
    """The columns of a table of answers: those of a record, and ``predicted_`` ones per task."""
    answers = [f"predicted_{task}{part}" for task in schema.tasks for part in ("", "_confidence", "_abstained")]
    scores = [f"predicted_{name}_score" for name, task in schema.tasks.items() if task.values]
    return [*LabeledItem.model_fields, "predicted_language", "predicted_out_of_scope", *answers, *scores]


def cells(item: LabeledItem, prediction: Prediction) -> dict[str, Any]:
    """What stands in the columns of one answer; lists as text, columns without a value are left out."""
    row: dict[str, Any] = item.model_dump(mode="json", exclude_unset=True)
    if "categories" in row:
        row["categories"] = LIST_SEPARATOR.join(row["categories"])
    if "meta" in row:
        row["meta"] = json.dumps(row["meta"], ensure_ascii=False)
    row["predicted_language"] = prediction.language
    row["predicted_out_of_scope"] = prediction.out_of_scope
    for name, answer in prediction.tasks.items():
        row[f"predicted_{name}"] = LIST_SEPARATOR.join(answer.labels)
        row[f"predicted_{name}_confidence"] = answer.confidence
        row[f"predicted_{name}_abstained"] = answer.abstained
        if answer.score is not None:
            row[f"predicted_{name}_score"] = answer.score
    return row


def as_cells(answers: Iterable[Answer]) -> str:
    """A line each: the columns as JSON, of which :mod:`serving.bulk.parquet` makes a table."""
    return "".join(json.dumps(cells(*answer), ensure_ascii=False) + "\n" for answer in answers)


def csv_lines(schema: LabelSchema) -> tuple[str, Lines]:
    """The first line of a CSV file, and what makes the others: for people, so that cells which a spreadsheet would
    run are quoted with an apostrophe."""
    names = columns(schema)

    def written(rows: Iterable[dict[str, Any]]) -> str:
        text = io.StringIO(newline="")
        csv.DictWriter(text, names).writerows({name: safe(value) for name, value in row.items()} for row in rows)
        return text.getvalue()

    return written([{name: name for name in names}]), lambda answers: written(cells(*answer) for answer in answers)


def lines_of(name: str, schema: LabelSchema) -> tuple[str, Lines]:
    """How a file of this name begins, and what makes its lines; the name ends with one of FORMATS."""
    kind = name.lower().removesuffix(".gz")
    if kind.endswith(CSV):
        return csv_lines(schema)
    return "", as_cells if kind.endswith(PARQUET) else as_json
