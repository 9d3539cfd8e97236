"""What takes part in a comparison."""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from models.scores import Array

#: What is compared with what: encoders with the pipeline of transformers, n-grams with scikit-learn.
Group = Literal["encoder", "n-grams", "floor"]


class Contender(NamedTuple):
    """Something that answers texts.

    ``answer`` gives probabilities (N, K) of the task, or None where they are none of the reference's: of another model,
    or of no model at all. ``equal`` tells that they have to be the reference's.
    """

    name: str
    group: Group
    answer: Callable[[Sequence[str]], Array | None]
    equal: bool = False
