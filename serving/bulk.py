"""Classifying a file of feedback: rows in, rows with predictions out, in constant memory."""

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import IO, Any

from models.classifier import Classifier
from models.errors import DataError
from models.labels import LabelSchema
from models.progress import Progress
from models.readers import read_items
from models.records import LIST_SEPARATOR, LabeledItem, Prediction
from models.rejects import RejectLog
from serving.cells import safe, text_file

OUT_FORMATS = (".jsonl", ".jsonl.gz", ".csv", ".csv.gz")
_CHUNK = 256

Writer = Callable[[LabeledItem, Prediction], None]


def classify_file(
    classifier: Classifier, source: str, out: Path, *, columns: Mapping[str, str] | None = None, progress: Progress
) -> tuple[int, str | None]:
    """Write the items of ``source`` with their predictions to ``out``, in the same order.

    JSON Lines hold each record and its ``prediction``; a CSV file has the columns of a record and
    ``predicted_`` ones per task, for people (cells that a spreadsheet would run are quoted with an
    apostrophe). Bad rows go to ``OUT.rejects.jsonl``. ``out`` appears when all is done.

    Returns:
        The number of rows classified, and what was left out in words, or None.

    Raises:
        DataError: the source cannot be read, or the name of ``out`` tells no format.
    """
    name = out.name.lower()
    if not name.endswith(OUT_FORMATS):
        raise DataError(f"{out}: unknown format; expected a name that ends with one of {', '.join(OUT_FORMATS)}")
    count = 0
    with (
        RejectLog(out.with_name(f"{out.name}.rejects.jsonl"), source) as log,
        text_file(out) as file,
        progress.stage(f"classifying {source}", None, "texts") as advance,
    ):
        write = _csv_writer(file, classifier.schema) if ".csv" in name else _json_writer(file)
        for chunk in _chunks(log.usable(read_items(source, columns))):
            for item, prediction in zip(chunk, classifier.predict(chunk), strict=True):
                write(item, prediction)
            count += len(chunk)
            advance(len(chunk))
        if not count:
            raise DataError(f"{source}: no row can be classified; {log.summary()}")
    return count, log.summary() if log.count else None


def _chunks(items: Iterable[LabeledItem]) -> Iterator[list[LabeledItem]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, _CHUNK)):
        yield chunk


def _json_writer(file: IO[str]) -> Writer:
    def write(item: LabeledItem, prediction: Prediction) -> None:
        record = item.model_dump(mode="json", exclude_unset=True)
        record["prediction"] = prediction.model_dump(mode="json")
        file.write(json.dumps(record, ensure_ascii=False) + "\n")

    return write


def _csv_writer(file: IO[str], schema: LabelSchema) -> Writer:
    given = list(LabeledItem.model_fields)
    answers = [f"predicted_{task}{part}" for task in schema.tasks for part in ("", "_confidence", "_abstained")]
    scores = [f"predicted_{name}_score" for name, task in schema.tasks.items() if task.values]
    table = csv.DictWriter(file, [*given, "predicted_language", "predicted_out_of_scope", *answers, *scores])
    table.writeheader()

    def write(item: LabeledItem, prediction: Prediction) -> None:
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
        table.writerow({name: safe(value) for name, value in row.items()})

    return write
