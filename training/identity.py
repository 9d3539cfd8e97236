"""Which rows are the same item: those of one id, and those of one text; and which must stay together."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from models.records import LabeledItem
from models.text import fingerprint

#: An id with more texts than this in one file names something else: a customer, a product.
_MOST_TEXTS = 5


def item_keys(items: Sequence[LabeledItem], near: Iterable[tuple[int, int]] = ()) -> list[str]:
    """Of each row a key that all rows of its item share, and no others.

    Rows are of one item if their texts have the same fingerprint or if they have the same id, also by way of others.
    The key is the least of the item's fingerprints, so that it is the same whatever else is in the data. The rows of
    each pair of ``near``, given by their numbers, share a key, too.
    """
    prints = [fingerprint(item.text) for item in items]
    texts_of: dict[str, set[str]] = defaultdict(set)
    for item, mark in zip(items, prints, strict=True):
        if item.id is not None:
            texts_of[item.id].add(mark)
    least: dict[str, str] = {}

    def root(mark: str) -> str:
        while least.get(mark, mark) != mark:
            mark = least[mark]
        return mark

    def join(marks: Iterable[str]) -> None:
        roots = set(map(root, marks))
        first = min(roots)
        for mark in roots:
            least[mark] = first

    for texts in texts_of.values():
        if 1 < len(texts) <= _MOST_TEXTS:
            join(texts)
    for one, other in near:
        join((prints[one], prints[other]))
    return [root(mark) for mark in prints]


def indispensable(items: Sequence[LabeledItem], keys: Sequence[str], tasks: Iterable[str]) -> set[str]:
    """The keys whose rows are more than half of those of some label: without them little is known of it."""
    found: set[str] = set()
    for task in tasks:
        given = [(key, label) for item, key in zip(items, keys, strict=True) for label in set(item.labels(task) or ())]
        of_label = Counter(label for _, label in given)
        found |= {key for (key, label), count in Counter(given).items() if 2 * count > of_label[label]}
    return found


def inseparable(items: Sequence[LabeledItem], near: Sequence[tuple[int, int]], tasks: Sequence[str]) -> list[str]:
    """Keys as those of :func:`item_keys` with ``near``; but near copies that are :func:`indispensable` for a label of
    ``tasks`` keep each its own: left out together they would be asked of a model that hardly knows the label."""
    alone, keys = item_keys(items), item_keys(items, near)
    most = indispensable(items, keys, tasks)
    return [own if key in most else key for own, key in zip(alone, keys, strict=True)]


class Known:
    """Rows of one file or more, found again by id and by text.

    Args:
        items: the rows.
        later: rows that will be looked for. Where their ids stand for other texts more often than for the same ones,
            ids are but row numbers, and ``numbered`` tells how many.
    """

    def __init__(self, items: Sequence[LabeledItem], later: Iterable[LabeledItem]) -> None:
        self._of_text: dict[str, list[int]] = defaultdict(list)
        self._of_id: dict[str, list[int]] = defaultdict(list)
        self._count = 0
        self.numbered = 0
        for item in items:
            self.add(item)
        met = [(item.id, fingerprint(item.text)) for item in later if item.id in self._of_id]
        other = sum(not set(self._of_id[name or ""]) & set(self._of_text.get(mark, [])) for name, mark in met)
        if 2 * other > len(met):
            self.numbered = other

    def add(self, item: LabeledItem) -> None:
        """One more row, after the others."""
        self._of_text[fingerprint(item.text)].append(self._count)
        if item.id is not None:
            self._of_id[item.id].append(self._count)
        self._count += 1

    def places(self, item: LabeledItem) -> list[int]:
        """Where rows of this item stand, in their order."""
        by_id = [] if item.id is None or self.numbered else self._of_id.get(item.id, [])
        return sorted({*by_id, *self._of_text.get(fingerprint(item.text), [])})


def row_numbers(count: int, file: str) -> str:
    """What a person should know where ids were taken for row numbers."""
    return (
        f"{file}: {count} row(s) have the id of a row with another text, which are more than have that of the same"
        " text; ids are taken for row numbers, and items are known by their text alone"
    )
