"""Rows by language."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.languages import tags_of


def rows_under(languages: Sequence[str]) -> dict[str, NDArray[np.bool_]]:
    """For every tag that some of N texts in these languages are under which of them are (N), by tag."""
    under: dict[str, list[str]] = defaultdict(list)
    for language in sorted(set(languages)):
        for tag in tags_of(language):
            under[tag].append(language)
    return {tag: np.isin(languages, own) for tag, own in sorted(under.items())}
