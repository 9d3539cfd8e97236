"""Which runtimes answer as well as the reference does; the others are not admitted for the model."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from models.classifier import Answers, Classifier, language_of
from models.encoding import UNREADABLE, hub_tokeniser, padding_of
from models.labels import LabelSchema
from models.progress import Progress
from models.reading import ENCODER, fast_tokeniser
from models.records import LabeledItem
from models.runtimes.admission import Admission, Parity
from models.runtimes.choice import open_exported, runs_here
from models.runtimes.export import export
from models.runtimes.onnx import SMALL, WHOLE
from models.runtimes.runtime import REFERENCE, Name, Runtime
from models.runtimes.torch import TorchRuntime
from models.text import normalise
from models.threads import free_cores
from models.transformer import TransformerModel
from training.metrics import quality

#: Rows that runtimes are compared on, at most: each of them answers all.
_MOST_ROWS = 1_000
#: What torch and the libraries raise over an encoder that they cannot write.
_UNWRITABLE = (*UNREADABLE, ImportError, IndexError, NotImplementedError)


def try_runtimes(
    classifier: Classifier,
    model: TransformerModel,
    folder: Path,
    items: Sequence[LabeledItem],
    names: Iterable[Name],
    threads: int | None,
    progress: Progress,
) -> tuple[Admission, str | None]:
    """Export the encoder, and compare every runtime with the reference.

    Args:
        classifier: the model, tuned.
        model: its transformer part.
        folder: where that has been saved; what runtimes need is written beside it, and what none needs is not kept.
        items: labelled rows, held back where there are such; at most :data:`_MOST_ROWS` of them are read.
        names: the runtimes to try; those that this machine does not have are left out.
        threads: to compute with; None for the free cores.
        progress: shows the stages.

    Returns:
        what each did, and why the encoder could not be exported, if it could not.
    """
    names, why = [name for name in names if name != REFERENCE and runs_here(name)], None
    drawn = np.random.default_rng(0).permutation(len(items))[:_MOST_ROWS]
    rows = [items[row] for row in sorted(drawn)]
    if any(not name.startswith("torch") for name in names):
        with progress.stage("exporting the encoder"):
            why = _exported(model, folder, [normalise(row.text) for row in rows])
        names = [name for name in names if why is None or name.startswith("torch")]
    threads = threads or free_cores()
    tried: dict[Name, Parity] = {}
    if names and rows:
        with progress.stage("comparing runtimes", len(rows) * (len(names) + 1), "texts") as advance:
            expected = _answers(classifier, rows)
            advance(len(rows))
            for name, runtime in _opened(model, folder, names, threads):
                given = _answers(replace(classifier, transformer=model.reader(runtime)), rows)
                tried[name] = _parity(classifier.schema, rows, expected, given)
                advance(len(rows))
    admission = Admission(padding=padding_of(model.tokenizer), tried=tried)
    admission.save(folder)
    _tidy(folder, admission.names)
    return admission, why


def _exported(model: TransformerModel, folder: Path, texts: Sequence[str]) -> str | None:
    """Why not, if not."""
    try:
        if fast_tokeniser(folder / ENCODER)(texts) != hub_tokeniser(model.tokenizer)(texts):
            return "its tokenizer.json does not give the token ids that its tokenizer gives"
        export(model.network.encoder, folder)
    except _UNWRITABLE as error:
        return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return None


def _opened(
    model: TransformerModel, folder: Path, names: Sequence[Name], threads: int
) -> Iterator[tuple[Name, Runtime]]:
    """One after the other, so that no two are in memory."""
    for name in names:
        if name.startswith("torch"):
            yield name, TorchRuntime(model.network.encoder, bf16=name == "torch-bf16", threads=threads)
        else:
            yield name, open_exported(folder, name, threads)


def _answers(classifier: Classifier, rows: Sequence[LabeledItem]) -> Answers:
    return classifier.answers(classifier.part_scores([row.text for row in rows]), [language_of(row) for row in rows])


def _parity(schema: LabelSchema, rows: Sequence[LabeledItem], expected: Answers, given: Answers) -> Parity:
    lost: dict[str, float] = {}
    for name in schema.tasks:
        labelled = [place for place, row in enumerate(rows) if row.labels(name) is not None]
        if labelled:
            truth = [rows[place].labels(name) or () for place in labelled]
            ours, theirs = (
                quality(truth, [answers.tasks[name][place].labels for place in labelled])["macro_f1"]
                for answers in (expected, given)
            )
            lost[name] = round(float(ours - theirs), 5)
    shift = max(float(np.abs(expected.probabilities[name] - given.probabilities[name]).max()) for name in schema.tasks)
    return Parity(lost=lost, shift=round(shift, 5), rows=len(rows))


def _tidy(folder: Path, admitted: Sequence[Name]) -> None:
    """Remove what no runtime that is admitted reads."""
    whole = any(name in ("onnx-fp32", "openvino-fp32", "openvino-bf16") for name in admitted)
    for file, needed in ((WHOLE, whole), (SMALL, "onnx-int8" in admitted)):
        if not needed:
            (folder / file).unlink(missing_ok=True)
