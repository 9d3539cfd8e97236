"""Answers to what came lately, so that a text that comes again is not computed again."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from hashlib import blake2b

from models.records import FeedbackItem, Predict, Prediction


class Recent:
    """A ``predict`` that remembers its last ``most`` answers, about 2 kB each; no text is kept, only its digest.

    For one model, and not for several threads at once. ``told`` is called with the number of items that were not
    computed.
    """

    def __init__(self, predict: Predict, most: int, told: Callable[[int], None] = lambda items: None) -> None:
        self._predict, self._most, self._told = predict, most, told
        self._kept: OrderedDict[bytes, Prediction] = OrderedDict()

    def __call__(self, items: Sequence[FeedbackItem]) -> list[Prediction]:
        """One prediction per item, in order."""
        keys = [_key(item) for item in items]
        found = {key: self._kept[key] for key in keys if key in self._kept}
        missing = {key: item for key, item in zip(keys, items, strict=True) if key not in found}
        self._told(len(keys) - len(missing))
        if missing:
            found |= zip(missing, self._predict(list(missing.values())), strict=True)
        for key in dict.fromkeys(keys):
            self._kept[key] = found[key]
            self._kept.move_to_end(key)
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)
        return [found[key] for key in keys]


def _key(item: FeedbackItem) -> bytes:
    """Of what an answer depends on."""
    said = f"{item.language or ''}\0{item.text}"
    return blake2b(said.encode("utf-8", "surrogatepass"), digest_size=16).digest()
