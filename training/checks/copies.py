"""Rows that say the same: exact and near duplicates, contradictory labels, overlap of train and dev."""

from collections import defaultdict
from collections.abc import Iterator, Sequence, Set

import numpy as np
from datasketch import MinHash, MinHashLSH

from models.progress import Advance
from models.text import fingerprint
from training.checks.finding import EXAMPLES, Finding
from training.datasets import Row

#: Two texts are near duplicates from this share of common character n-grams on (Jaccard).
NEAR = 0.8
#: Shorter ones are alike by chance.
_FEWEST_CHARACTERS = 20
_PERMUTATIONS = 64

Groups = list[list[int]]
#: Rows that differ in little, by their numbers, the first one first.
Pairs = Sequence[tuple[int, int]]


def copies(texts: Sequence[str]) -> Groups:
    """Groups of rows with the same fingerprint, each of two or more, in the order of their first row."""
    groups: dict[str, list[int]] = defaultdict(list)
    for number, text in enumerate(texts):
        groups[fingerprint(text)].append(number)
    return [group for group in groups.values() if len(group) > 1]


def near_copies(texts: Sequence[str], advance: Advance) -> list[tuple[int, int]]:
    """Pairs of rows that differ in little: different fingerprints of which most n-grams are common.

    Candidates come from MinHash signatures (Broder 1997) hashed in bands (Leskovec et al. 2014,
    chapter 3), and each is checked by the exact share of common n-grams. ``advance`` is called for
    each text.
    """
    index = MinHashLSH(threshold=NEAR, num_perm=_PERMUTATIONS)
    seen: dict[str, int] = {}
    grams: dict[int, set[bytes]] = {}
    pairs: list[tuple[int, int]] = []
    for number, text in enumerate(texts):
        advance(1)
        print_ = fingerprint(text)
        if len(print_) < _FEWEST_CHARACTERS or print_ in seen:
            continue
        seen[print_] = number
        grams[number] = _grams(print_)
        signature = MinHash(num_perm=_PERMUTATIONS, seed=1)
        signature.update_batch(grams[number])
        pairs += [
            (other, number) for other in sorted(index.query(signature)) if _common(grams[other], grams[number]) >= NEAR
        ]
        index.insert(number, signature)
    return pairs


def check_copies(rows: Sequence[Row], tasks: Sequence[str], near: Pairs) -> Iterator[Finding]:
    """Duplicates within one file, and the same text with different labels; ``near`` are its near copies."""
    texts = [row.item.text for row in rows]
    same = copies(texts)
    differing = [group for group in same if _contradicts([rows[number] for number in group], tasks)]
    if same:
        extra = sum(len(group) - 1 for group in same)
        yield Finding(
            "duplicates",
            f"{extra} row(s) repeat the text of another (case, accents and signs apart), {_share(extra, len(rows))}; "
            "they count double in training, keep one of each",
            extra,
            _places(rows, same),
        )
    if differing:
        count = sum(map(len, differing))
        yield Finding(
            "contradictions",
            f"{len(differing)} text(s) stand in the data with different labels, in {count} row(s); decide which "
            "label is right",
            count,
            _places(rows, differing),
        )
    if near:
        count = len({number for pair in near for number in pair})
        yield Finding(
            "near-duplicates",
            f"{count} row(s) differ from another in little: {NEAR:.0%} or more of their character n-grams are the "
            "same; they make the figures look better than they are if they fall on both sides of a split",
            count,
            _places(rows, [list(pair) for pair in near]),
        )


def check_overlap(rows: Sequence[Row], dev: Set[int], across: Pairs) -> Iterator[Finding]:
    """Texts of dev that train has too, in the same or nearly the same words.

    Args:
        rows: those of both.
        dev: the numbers of those to measure by.
        across: near copies of which the second is in dev, the first not.
    """
    known: dict[str, int] = {}
    for number, row in enumerate(rows):
        if number not in dev:
            known.setdefault(fingerprint(row.item.text), number)
    twice = [
        (known[print_], number) for number in sorted(dev) if (print_ := fingerprint(rows[number].item.text)) in known
    ]
    if twice:
        yield _overlap("overlap", "have a text that the training data has too", rows, len(dev), twice)
    if across:
        yield _overlap("near-overlap", "differ in little from a row of the training data", rows, len(dev), across)


def _overlap(check: str, what: str, rows: Sequence[Row], measured: int, pairs: Pairs) -> Finding:
    count = len({second for _, second in pairs})
    return Finding(
        check,
        f"{count} row(s) of dev {what}, {_share(count, measured)}; the figures on dev flatter the model, "
        "take them out of one of the two",
        count,
        [(rows[first].place, rows[second].place) for first, second in pairs[:EXAMPLES]],
    )


def _contradicts(rows: Sequence[Row], tasks: Sequence[str]) -> bool:
    for task in tasks:
        given = {tuple(sorted(labels)) for row in rows if (labels := row.item.labels(task)) is not None}
        if len(given) > 1:
            return True
    return False


def _places(rows: Sequence[Row], groups: Groups) -> list[list[str]]:
    return [[rows[number].place for number in group[:EXAMPLES]] for group in groups[:EXAMPLES]]


def _share(count: int, rows: int) -> str:
    return f"{count / rows:.1%} of {rows:,}"


def _grams(text: str) -> set[bytes]:
    return {text[start : start + 5].encode() for start in range(len(text) - 4)}


def _common(one: set[bytes], other: set[bytes]) -> float:
    return float(np.divide(len(one & other), len(one | other)))
