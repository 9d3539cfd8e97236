"""Learning which texts are of the kind that a model is made for; see :mod:`models.scope`."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.cluster import KMeans
from sklearn.covariance import LedoitWolf
from sklearn.metrics import roc_auc_score

from models.classifier import PartScores
from models.records import NOT_FEEDBACK, LabeledItem
from models.scope import Centres, Scope, Strangeness
from models.scores import Array
from training.languages import rows_under

if TYPE_CHECKING:
    from models.transformer import TransformerModel

#: Fewest texts from which it is told how strange texts in scope are.
FEWEST_ROWS = 50
#: And texts in a language in that language.
FEWEST_OF_LANGUAGE = 100
#: Training texts whose vectors are looked at: enough for a covariance in a few hundred dimensions.
_MOST_ROWS = 4_000
#: A point for so many texts, at most so many points: they need not be the labels, of which there may be several tasks.
_TEXTS_PER_POINT, _MOST_POINTS = 8, 64
#: Shares of texts in scope that could be taken for out of scope.
_SHARES = (0.01, 0.02, 0.05, 0.1, 0.2)


def fit_centres(transformer: "TransformerModel", texts: Sequence[str], seed: int) -> Centres | None:
    """Where the vectors of normalised training texts lie; None if they are fewer than :data:`FEWEST_ROWS`.

    The points are those of k-means; the covariance around them is shrunk as Ledoit and Wolf (2004)
    have it, so that it can be inverted with fewer texts than dimensions.
    """
    if len(texts) < FEWEST_ROWS:
        return None
    drawn = np.random.default_rng(seed).permutation(len(texts))[:_MOST_ROWS]
    vectors = transformer.read([texts[row] for row in drawn]).vectors.astype(np.float64)
    points = min(_MOST_POINTS, len(vectors) // _TEXTS_PER_POINT)
    found = KMeans(points, n_init=1, random_state=seed).fit(vectors)
    around = LedoitWolf(assume_centered=True).fit(vectors - found.cluster_centers_[found.labels_])
    scale = np.linalg.cholesky(around.precision_)
    return Centres(found.cluster_centers_.astype(np.float32), scale.astype(np.float32))


def fit_scope(parts: PartScores, languages: Sequence[str], share: float) -> Scope | None:
    """What is in scope, from what the parts say of N texts in these languages that they were not trained on.

    None if there are fewer than :data:`FEWEST_ROWS`; a language counts by itself from
    :data:`FEWEST_OF_LANGUAGE` on. ``share``, in [0, 1), of such texts will be taken for out of scope.
    """
    if len(languages) < FEWEST_ROWS:
        return None
    distance = None if parts.distance is None else _by_language(parts.distance, languages)
    return Scope(share=share, unknown=_by_language(parts.unknown, languages), distance=distance)


def _by_language(measured: Array, languages: Sequence[str]) -> dict[str, Strangeness]:
    often = {tag: rows for tag, rows in rows_under(languages).items() if rows.sum() >= FEWEST_OF_LANGUAGE}
    return {"": Strangeness.of(measured)} | {tag: Strangeness.of(measured[rows]) for tag, rows in often.items()}


def is_out_of_scope(item: LabeledItem, tasks: Iterable[str], labels: Sequence[str]) -> bool:
    """Whether one of ``labels`` stands on the item for any of ``tasks``, or a person said that it is no feedback."""
    return item.set_aside == NOT_FEEDBACK or any(label in labels for task in tasks for label in item.labels(task) or ())


def scope_figures(
    familiarity: Sequence[float] | None, told: Sequence[bool], outside: Sequence[bool]
) -> dict[str, Any] | None:
    """How well texts out of scope are told from the others; None where the model does not tell.

    Args:
        familiarity: of N texts, or None.
        told: which of them the model takes for out of scope.
        outside: which of them are.

    Returns:
        ``in_scope`` and ``out_of_scope``, the numbers of texts; ``mistaken``, the share of the first that was
        taken for the second; ``recall``, the share of the second that was found; ``auroc``, the chance
        that one of the second is less familiar than one of the first; and ``recall_at``: pairs of a share of the
        first, taken for out of scope by a bound of its own, and the share of the second found by it. None for
        what there are no texts of.
    """
    if familiarity is None:
        return None
    known, flagged, beyond = np.asarray(familiarity), np.asarray(told, bool), np.asarray(outside, bool)
    inside, strange = known[~beyond], known[beyond]
    both = len(inside) > 0 and len(strange) > 0
    return {
        "in_scope": len(inside),
        "out_of_scope": len(strange),
        "mistaken": float(flagged[~beyond].mean()) if len(inside) else None,
        "recall": float(flagged[beyond].mean()) if len(strange) else None,
        "auroc": float(roc_auc_score(beyond, -known)) if both else None,
        "recall_at": [[share, float((strange < np.quantile(inside, share)).mean())] for share in _SHARES]
        if both
        else None,
    }
