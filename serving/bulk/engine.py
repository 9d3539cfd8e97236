"""What answers the items of a file: this process, or workers elsewhere (:mod:`serving.bulk.on_ray`)."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from models.classifier import Classifier
from models.labels import LabelSchema
from models.records import LabeledItem
from serving.bulk.answers import lines_of


class Engine(Protocol):
    """A model at work on chunks of items. Reading, refusing, resuming and writing are the caller's."""

    @property
    def schema(self) -> LabelSchema:
        """Tasks and class order of the answers."""

    @property
    def version(self) -> str:
        """Which model answers."""

    def lines(self, chunks: Iterable[Sequence[LabeledItem]], name: str) -> Iterator[str]:
        """The lines of the file ``name`` for each chunk, in the order of the chunks.

        Chunks are taken as they are needed, a bounded number of them before their lines are out.
        """


class InProcess:
    """A model in this process."""

    def __init__(self, classifier: Classifier) -> None:
        self._classifier = classifier

    @property
    def schema(self) -> LabelSchema:
        """Tasks and class order of the answers."""
        return self._classifier.schema

    @property
    def version(self) -> str:
        """Which model answers."""
        return self._classifier.model.version

    def lines(self, chunks: Iterable[Sequence[LabeledItem]], name: str) -> Iterator[str]:
        """The lines of the file ``name`` for each chunk, in the order of the chunks."""
        _, written = lines_of(name, self.schema)
        for items in chunks:
            yield written(zip(items, self._classifier.predict(items), strict=True))
