"""Other libraries that answer by n-grams, trained on the same rows."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import spacy
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import FeatureUnion, make_pipeline
from spacy.training import Example

from models.labels import Task
from training.bench.speed.contender import Contender
from training.datasets import Dataset

#: Updates of spaCy's models: how long one takes does not depend on what it has learned.
_UPDATES = 3
_BAGS = {"@architectures": "spacy.TextCatBOW.v3", "exclusive_classes": True, "ngram_size": 2, "no_output_layer": False}
_WINDOWS = {
    "@architectures": "spacy.TextCatReduce.v1",
    "exclusive_classes": True,
    "use_reduce_mean": True,
    "use_reduce_first": False,
    "use_reduce_last": False,
    "use_reduce_max": False,
    "tok2vec": {
        "@architectures": "spacy.HashEmbedCNN.v2",
        "pretrained_vectors": None,
        "width": 96,
        "depth": 4,
        "embed_size": 2000,
        "window_size": 1,
        "maxout_pieces": 3,
        "subword_features": True,
    },
}


def gram_peers(rows: Dataset, task: Task, name: str) -> list[Contender]:
    """scikit-learn with the n-grams and settings of the linear part, and spaCy's bag of words and windows of words.

    Args:
        rows: what they learn from.
        task: one with a single answer.
        name: of that task.
    """
    labelled = rows.labelled(name)
    texts = [rows.texts[row] for row in labelled]
    labels = rows.targets[name][labelled].argmax(axis=1)
    return [
        _scikit(texts, labels),
        _spacy("spaCy, bag of words", _BAGS, texts, labels, task),
        _spacy("spaCy, windows of words (CNN)", _WINDOWS, texts, labels, task),
    ]


def _scikit(texts: Sequence[str], labels: Any) -> Contender:
    grams: dict[str, Any] = {"sublinear_tf": True, "min_df": 2, "dtype": np.float32, "max_features": 200_000}
    words: dict[str, Any] = {"ngram_range": (1, 2), "token_pattern": r"\w+|[^\w\s]"}
    pipeline = make_pipeline(
        FeatureUnion(
            [
                ("words", TfidfVectorizer(**words, **grams)),
                ("characters", TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 5), **grams)),
            ]
        ),
        LogisticRegression(C=10, max_iter=300),
    ).fit(texts, labels)
    return Contender("scikit-learn, TF-IDF", "n-grams", lambda given: pipeline.predict_proba(given))


def _spacy(name: str, model: dict[str, Any], texts: Sequence[str], labels: Any, task: Task) -> Contender:
    language = spacy.blank("xx")
    classes = [str(number) for number in range(len(task.labels))]
    part: Any = language.add_pipe("textcat", config={"model": model})
    for label in classes:
        part.add_label(label)
    examples = [
        Example.from_dict(language.make_doc(text), {"cats": {one: float(one == str(label)) for one in classes}})
        for text, label in zip(texts, labels, strict=True)
    ]
    optimizer = language.initialize(lambda: examples)
    for _ in range(_UPDATES):
        language.update(examples[:64], sgd=optimizer)

    def answer(given: Sequence[str]) -> None:
        for _ in language.pipe(given, batch_size=256):
            pass

    return Contender(name, "n-grams", answer)
