"""Whether a text is of the kind a model learned from.

Each part has a measure of its own of how strange a text is: the linear part the share of its n-grams that it
never saw, the encoder the distance of its vector from those of the training texts, as Mahalanobis takes it
(Lee et al. 2018). How familiar a text is then means the same for both: the share of texts held back, all in scope,
that are as strange or stranger. (In statistics a conformal p-value, Bates et al. 2023: of texts of the same kind
a share ``p`` falls below ``p``, whatever the measure.)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from safetensors.numpy import load_file, save_file

from models.languages import nearest
from models.scores import Array

FILE = "centres.safetensors"
#: Steps from the least to the most strange of the texts held back.
_STEPS = 200


class Strangeness(BaseModel):
    """How strange texts in scope are by one measure: ``quantiles`` in equal steps, the least strange first."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    quantiles: Annotated[tuple[float, ...], Field(min_length=2)]

    @classmethod
    def of(cls, measured: Array) -> Self:
        """From what was measured of texts in scope (N)."""
        found = np.quantile(measured.astype(np.float64), np.linspace(0, 1, _STEPS + 1))
        return cls(quantiles=tuple(round(float(value), 5) for value in found))

    def familiarity(self, measured: Array) -> Array:
        """For each of N texts the share of texts in scope, in [0, 1], that are as strange as it or stranger."""
        less = np.searchsorted(np.asarray(self.quantiles), np.round(measured.astype(np.float64), 5), side="left")
        return (1 - less / len(self.quantiles)).astype(np.float32)


#: How strange texts in scope are, per language; under "" those of all languages, for any other.
ByLanguage = Mapping[str, Strangeness]


class Scope(BaseModel):
    """What is in scope: texts of a familiarity of ``share`` or more, which that share of such texts misses.

    ``unknown`` is by the n-grams never seen, ``distance`` by the encoder, where there is one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    share: Annotated[float, Field(ge=0, lt=1)]
    unknown: ByLanguage
    distance: ByLanguage | None = None


def familiarity(known: ByLanguage, measured: Array, languages: Sequence[str]) -> Array:
    """For each of N texts in these languages, of which this was measured, the share in [0, 1] of texts in scope,
    of the narrowest tag known that it is under, that are as strange or stranger (N)."""
    result = known[""].familiarity(measured)
    own = {language: nearest(language, known) for language in set(languages)}
    for tag in set(own.values()) - {""}:
        there = np.array([own[language] == tag for language in languages])
        result[there] = known[tag].familiarity(measured[there])
    return result


@dataclass(frozen=True)
class Centres:
    """Where the vectors of training texts lie: ``points`` (C, H), and ``scale`` (H, H), which makes distances
    comparable in all directions: the Cholesky factor of the inverse covariance around the points."""

    points: NDArray[np.float32]
    scale: NDArray[np.float32]

    def distance(self, vectors: Array) -> Array:
        """Mahalanobis distance (N,) of vectors (N, H) from the nearest point."""
        ours, theirs = vectors @ self.scale, self.points @ self.scale
        squares = (ours**2).sum(axis=1)[:, None] - 2 * ours @ theirs.T + (theirs**2).sum(axis=1)
        nearest: Array = np.sqrt(np.maximum(squares.min(axis=1), 0))
        return nearest

    def save(self, folder: Path) -> None:
        """Write the arrays into ``folder``."""
        arrays: Mapping[str, NDArray[np.float32]] = {"points": self.points, "scale": self.scale}
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, folder / FILE)

    @classmethod
    def load(cls, folder: Path) -> Self | None:
        """Read what :meth:`save` wrote, None if nothing was; the caller has verified the files."""
        return cls(**load_file(folder / FILE)) if (folder / FILE).exists() else None
