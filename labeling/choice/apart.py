"""Items that came with one id: a customer's or a product's, which says nothing of the item itself."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from models.text import fingerprint

if TYPE_CHECKING:
    from labeling.choice.selection import Candidate

#: What an id may be long, in characters, so that it has room for what tells it apart.
_LONGEST = 180


def told_apart(candidates: "Iterable[Candidate]", known: Mapping[str, str]) -> "list[Candidate]":
    """The candidates, those whose id stands for several texts known by id and text: ``ID#…``.

    All of them are, the first too: a correction under the bare id would be one of every row with it. What is known
    under its id keeps it.

    Args:
        candidates: all items of the source.
        known: texts of items that were chosen before, by id.
    """
    items = list(candidates)
    times = Counter(one.id for one in items)
    before = {name: fingerprint(known[name]) for name in times if name in known}
    texts: dict[str, set[str]] = defaultdict(set)
    for one in items:
        if times[one.id] > 1:
            texts[one.id].add(fingerprint(one.item.text))

    def named(one: "Candidate") -> "Candidate":
        if one.id not in before and len(texts.get(one.id, ())) < 2:
            return one
        mark = fingerprint(one.item.text)
        if before.get(one.id) == mark:
            return one
        name = f"{one.id[:_LONGEST]}#{hashlib.sha256(mark.encode()).hexdigest()[:16]}"
        # corrections go by the id that the record has
        return replace(one, id=name, item=one.item.model_copy(update={"id": name}), apart=True)

    return [named(one) for one in items]
