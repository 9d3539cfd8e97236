"""The comparison: its texts, who takes part, its figures and the bounds that the project has set itself."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from models import artifact
from models.classifier import Classifier, language_of
from models.errors import ConfigError
from models.figures import Figure, at_least
from models.labels import LabelSchema
from models.progress import Progress
from models.readers import read_items
from models.reading import ENCODER, fast_tokeniser, settings_of
from models.records import LabeledItem
from models.rejects import Reject
from models.runtimes.machine import cpu_name
from models.text import normalise
from models.threads import use_threads
from training import datasets
from training.bench.speed.contender import Contender
from training.bench.speed.encoder_peers import encoder_peers
from training.bench.speed.floor import floors
from training.bench.speed.gram_peers import gram_peers
from training.bench.speed.measure import measure
from training.bench.speed.ours import CASCADE, CHOSEN, LINEAR, ours, reference
from training.bench.speed.texts import Texts, as_they_are, of_length
from training.metrics import quality

#: Lengths in tokens that are measured: of a post, and of a review.
POST, REVIEW = 29, 120
#: What the project wants to reach: times the pipeline by the encoder and with the cascade, per cent of the floor, texts
#: a second by n-grams and times scikit-learn.
BY_ENCODER, BY_CASCADE, OF_FLOOR, BY_GRAMS, OF_SCIKIT = 6, 12, 60, 15_000, 2


def bench_speed(
    folder: Path, train: str, test: str, progress: Progress, *, count: int = 128, rounds: int = 5
) -> dict[str, Any]:
    """Measure on one core.

    Args:
        folder: a model with an encoder.
        train: labelled rows, which peers by n-grams learn from.
        test: labelled rows to answer, and to make posts and reviews of.
        progress: shows the stages.
        count: posts and reviews to make; of the rows as they are twice as many are answered.
        rounds: how often all is measured.

    Raises:
        InputError: model or rows cannot be used.
    """
    use_threads(1)
    classifier = Classifier.load(folder, 1)
    schema, part = classifier.schema, folder / artifact.TRANSFORMER
    task = _single(schema)
    own = ours(folder, classifier, task)
    learn, items = _rows(train), _rows(test)
    tokenise, longest = fast_tokeniser(part / ENCODER), settings_of(part)["max_length"]
    given = [normalise(item.text) for item in items]
    sets = [
        of_length(f"posts of {POST} tokens", given, POST, count, tokenise),
        of_length(f"reviews of {REVIEW} tokens", given, REVIEW, count, tokenise),
        as_they_are("test rows as they are", given[: 2 * count], tokenise),
    ]
    with progress.stage("training the peers"):
        grams = gram_peers(datasets.build(learn, schema), schema.tasks[task], task)
    contenders = [*own, *encoder_peers(part, schema, task), *grams, *floors(_config(part), tokenise, longest)]
    measured = [_on(one, contenders, folder, classifier, task, rounds, progress) for one in sets]
    return {
        "machine": cpu_name(),
        "model": classifier.model.model_dump(),
        "chosen": getattr(getattr(classifier.transformer, "runtime", None), "name", None),
        "cascade": _cascade(classifier, items),
        "sets": measured,
        "bars": [figure.as_dict() for figure in bars(measured)],
    }


def bars(sets: Sequence[dict[str, Any]]) -> list[Figure]:
    """Every bound, and what was found on the ``sets``."""
    posts, _, rows = ({rate["name"]: rate["median"] for rate in one["rates"]} for one in sets)
    pipeline, whole = (_best(some, "transformers") for some in (posts, rows))
    floor, scikit = _best(posts, "floor"), _best(posts, "scikit-learn")
    return [
        at_least("encoder beside transformers.pipeline (posts)", "×", [posts[CHOSEN] / pipeline], BY_ENCODER),
        at_least("encoder, share of the floor (posts)", "%", [100 * posts[CHOSEN] / floor], OF_FLOOR),
        at_least("with the cascade beside the pipeline (rows as they are)", "×", [rows[CASCADE] / whole], BY_CASCADE),
        at_least("n-grams (posts)", "texts/s", [posts[LINEAR]], BY_GRAMS),
        at_least("n-grams beside scikit-learn (posts)", "×", [posts[LINEAR] / scikit], OF_SCIKIT),
    ]


def _best(rates: Mapping[str, float], beginning: str) -> float:
    return max(rate for name, rate in rates.items() if name.startswith(beginning))


def _on(
    given: Texts,
    contenders: Sequence[Contender],
    folder: Path,
    classifier: Classifier,
    task: str,
    rounds: int,
    progress: Progress,
) -> dict[str, Any]:
    expected = reference(folder, classifier, given.texts)
    rates = measure(contenders, given, expected, task, rounds, progress)
    return {
        "name": given.name,
        "texts": len(given.texts),
        "tokens": given.tokens,
        "rates": [rate._asdict() for rate in rates],
    }


def _cascade(classifier: Classifier, items: Sequence[LabeledItem]) -> dict[str, Any]:
    """What the cascade answers by n-grams alone, and the macro-F1 of each task with it and without."""
    languages = [language_of(item) for item in items]
    some = classifier.predict(items)
    every = classifier.predictions(classifier.part_scores([item.text for item in items]), languages)
    found: dict[str, Any] = {"by_linear": sum(one.tier == "linear" for one in some) / len(some), "macro_f1": {}}
    for name in classifier.schema.tasks:
        labelled = [place for place, item in enumerate(items) if item.labels(name) is not None]
        truth = [items[place].labels(name) or () for place in labelled]
        if labelled:
            found["macro_f1"][name] = [
                quality(truth, [answers[place].tasks[name].labels for place in labelled])["macro_f1"]
                for answers in (some, every)
            ]
    return found


def _single(schema: LabelSchema) -> str:
    for name, task in schema.tasks.items():
        if task.kind == "single":
            return name
    raise ConfigError("bench speed: expected a model with a task of one answer, which the peers can give; got none")


def _rows(file: str) -> list[LabeledItem]:
    return [item for item in read_items(file) if not isinstance(item, Reject)]


def _config(part: Path) -> Any:
    from transformers import AutoConfig

    return AutoConfig.from_pretrained(part / ENCODER, local_files_only=True)
