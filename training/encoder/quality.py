"""How good a model becomes on an encoder: fine-tuned, zero-shot, and with few labels."""

import hashlib
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from models.classifier import Classifier
from models.encoders import resolve_encoder, weights_of
from models.encoding import load_encoder, positions, vectors
from models.progress import Progress, Silent
from models.records import LabeledItem
from models.runtimes.runtime import REFERENCE
from models.text import normalise
from training import datasets
from training.config import TrainConfig
from training.encoder.suite import Suite, Task, find, rows_of, sample
from training.evaluate import report, score
from training.linear import fit_linear
from training.metrics import quality
from training.peers import has_setfit, setfit_answerer
from training.train import train

#: The part of a model that needs no encoder, and the name it has in the results.
LINEAR = "linear"
#: Parts of a model on an encoder: its transformer alone, with the linear part, and a regression on
#: its vectors as they are; and SetFit on the same encoder.
TRANSFORMER, COMBINED, PROBE, SETFIT = "transformer", "combined", "probe", "SetFit"
_MAX_LENGTH = 128


@dataclass(frozen=True)
class Result:
    """One figure: of a part of a model on an encoder (of the linear part: none), on a test."""

    task: str
    language: str
    encoder: str
    part: str
    seed: int
    metric: str
    value: float
    rows: int


class Results:
    """Figures as they come, a JSON line each, so that a stopped evaluation goes on where it was."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._done: dict[str, list[Result]] = {}
        for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
            if line.endswith("}"):  # the last one may have been cut off
                found = json.loads(line)
                self._done[found["run"]] = [Result(**result) for result in found["results"]]

    def get(self, run: str) -> list[Result] | None:
        """The figures of a run that was made before."""
        return self._done.get(run)

    def add(self, run: str, results: list[Result]) -> None:
        """Keep the figures of a run."""
        self._done[run] = results
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"run": run, "results": [asdict(result) for result in results]}) + "\n")


def measure_quality(
    suite: Suite,
    encoders: Sequence[str],
    folders: Sequence[Path],
    seeds: Sequence[int],
    results: Results,
    *,
    threads: int | None,
    progress: Progress,
) -> list[Result]:
    """Every task of the suite with every seed, and every encoder that the task is for."""
    digests = {name: _digest(name) for name in encoders}
    runs = [
        (task, name, seed)
        for task in suite.tasks
        for seed in seeds
        for name in (encoders[:1] if task.first_only else encoders)
    ]
    found: list[Result] = []
    with progress.stage("fine-tuning and testing", len(runs), "runs") as advance:
        for task, name, seed in runs:
            key = _key(task, suite, digests[name], seed)
            made = results.get(key)
            if made is None:
                made = list(_run(task, suite, name, folders, seed, threads))
                results.add(key, made)
            found += made
            advance(1)
    return found


def _digest(encoder: str) -> str:
    return "".join(weights_of(resolve_encoder(encoder)).values())


def _key(task: Task, suite: Suite, encoder: str, seed: int) -> str:
    what = [task.model_dump(), suite.train_rows, suite.test_rows, encoder, seed]
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16]


def _run(
    task: Task, suite: Suite, encoder: str, folders: Sequence[Path], seed: int, threads: int | None
) -> Iterator[Result]:
    languages = [task.train_language] if task.train_language else []
    learn = sample(rows_of(find(task.train, folders), task, languages), task, suite.train_rows, seed)
    file = find(task.test, folders)
    tests = {
        language: rows_of(file, task, [language] if language else [])[: suite.test_rows]
        for language in task.test_languages or ("",)
    }
    figures = _few if task.per_label else _tuned
    for language, part, value in figures(task, encoder, learn, tests, seed, threads):
        shown = "" if part == LINEAR else encoder
        yield Result(task.name, language, shown, part, seed, task.metric, value, len(tests[language]))


def _tuned(
    task: Task,
    encoder: str,
    learn: Sequence[LabeledItem],
    tests: Mapping[str, Sequence[LabeledItem]],
    seed: int,
    threads: int | None,
) -> Iterator[tuple[str, str, float]]:
    """A model trained as the command ``train`` does; a share of its rows is held back to stop by."""
    # the reference alone is measured, so no other runtime is tried
    told = {"encoder": encoder, "seed": seed, "threads": threads, "runtimes": ()}
    config = TrainConfig.model_validate({**told, **task.settings})
    with tempfile.TemporaryDirectory(prefix="feedback-encoder-") as folder:
        data = Path(folder) / "train.jsonl"
        data.write_text("".join(f"{item.model_dump_json(exclude_none=True)}\n" for item in learn), encoding="utf-8")
        model = train(str(data), Path(folder) / "model", config, progress=Silent()).folder
        classifier = Classifier.load(model, runtime=REFERENCE)
    counts = datasets.label_counts(datasets.build(learn, classifier.schema), classifier.schema)
    for language, rows in tests.items():
        figures = report(classifier, rows, score(classifier, rows, Silent()), counts)
        yield language, COMBINED, figures["tasks"][task.task][task.metric]
        for part in (LINEAR, TRANSFORMER):
            yield language, part, figures["parts"][part][task.task][task.metric]


def _few(
    task: Task,
    encoder: str,
    learn: Sequence[LabeledItem],
    tests: Mapping[str, Sequence[LabeledItem]],
    seed: int,
    threads: int | None,
) -> Iterator[tuple[str, str, float]]:
    """With few labels: a regression on the encoder's vectors, beside the linear part and, where installed, SetFit."""
    schema = datasets.derive(learn)
    labels = [(item.labels(task.task) or ("",))[0] for item in learn]
    linear = fit_linear(
        datasets.build(learn, schema),
        schema,
        strength=10.0,
        max_features=200_000,
        seed=seed,
        advance=lambda units: None,
    )
    folder = resolve_encoder(encoder)
    tokenizer, network = load_encoder(folder)
    texts = [normalise(item.text) for item in learn]
    asked = {language: [normalise(item.text) for item in rows] for language, rows in tests.items()}

    def read(texts: Sequence[str]) -> Any:
        return vectors(network, tokenizer, texts, max_length=_MAX_LENGTH)

    probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.02, max_iter=1000)).fit(read(texts), labels)
    keys = list(schema.tasks[task.task].index)
    most = min(_MAX_LENGTH, positions(network))
    sets = [(label,) for label in labels]
    peer = setfit_answerer(folder, texts, sets, max_length=most, seed=seed) if has_setfit() else None
    for language, rows in tests.items():
        truth = [item.labels(task.task) or () for item in rows]
        guesses = linear.probabilities(asked[language])[task.task]
        answers = {
            LINEAR: [keys[best] for best in np.argmax(guesses, axis=1)],
            PROBE: probe.predict(read(asked[language])),
            **({SETFIT: [label for (label,) in peer(asked[language])]} if peer else {}),
        }
        for part, given in answers.items():
            yield language, part, float(quality(truth, [(str(label),) for label in given])[task.metric])
