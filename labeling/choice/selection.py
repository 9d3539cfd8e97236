"""What is worth a person's minute: which items are given to labelers, and why.

A part is drawn by chance, so that it tells how good the model is; the rest is what a model learns most from. Of texts
that differ in nothing but case, accents and signs, one stands for all.
"""

import unicodedata
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from labeling.choice.apart import told_apart
from labeling.choice.chance import audit_rate, lot
from labeling.choice.diversity import gram_rows, k_centre
from labeling.choice.uncertainty import uncertainties
from models.records import FeedbackItem, Prediction
from models.text import fingerprint

#: The most uncertain, that many times as many as are wanted, are what diversity chooses from; and how many at least and
#: at most. Of more, where nothing tells them apart, chance takes so many.
_POOL, _SMALLEST_POOL, _LARGEST_POOL = 4, 200, 20_000

Why = Literal[
    "doubted", "audit", "out of scope", "not ours", "needs review", "disagreement", "uncertain", "diverse", "split"
]

Share = Annotated[float, Field(ge=0, le=1)]
Weight = Annotated[float, Field(ge=0)]


class Mix(BaseModel):
    """What is chosen, in which proportions.

    ``audit`` is the share that chance draws; the rest goes to what needs ``review``, to ``disagreement`` and to what is
    ``uncertain`` and diverse, in the proportion of these weights. What one of them cannot fill, the last one takes.
    ``blind`` is the share, of all of them, that is shown without a prediction. ``seed`` decides all chance.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    audit: Share = 0.2
    review: Weight = 0.1
    disagreement: Weight = 0.25
    uncertain: Annotated[float, Field(gt=0)] = 0.65
    blind: Share = 0.1
    seed: int = 13


@dataclass(frozen=True)
class Candidate:
    """An item that may be given to a labeler.

    ``flag`` says why a person should look in any case, None if nothing does; ``disagreement`` in [0, 1] how far the
    parts of the model are apart, None if that is not known; ``doubt`` in [0, 1] by how much other labels are likelier
    than those it was given, None if these are not doubted. ``apart`` tells that its id was made of one that other
    texts have too.
    """

    id: str
    item: FeedbackItem
    prediction: Prediction | None = None
    flag: Literal["not ours", "needs review"] | None = None
    disagreement: float | None = None
    doubt: float | None = None
    apart: bool = False


@dataclass(frozen=True)
class Chosen:
    """A candidate that is given to a labeler: ``why``, whether ``blind``, and, if it is in the audit, the
    ``probability`` with which it got there."""

    candidate: Candidate
    why: Why
    probability: float | None
    blind: bool


class Selection(NamedTuple):
    """What was chosen, in the order in which it is shown; and ``rate``, the probability of the audit, with which of
    those known before are in it now."""

    chosen: list[Chosen]
    rate: float
    known_in_audit: list[str]


class _Text(NamedTuple):
    """A candidate that stands for its text, which is known by a fingerprint; ``unsure`` in [0, 1] is how unsure its
    prediction is beside those of the others."""

    print: str
    candidate: Candidate
    unsure: float


def choose(candidates: Iterable[Candidate], add: int, mix: Mix, known: Mapping[str, str] | None = None) -> Selection:
    """Choose ``add`` items.

    Items whose labels are doubted come before all else, the most doubtful first; they are no sample of anything, and in
    no audit. Of the others chance comes first and takes what it draws, be it more than is wanted; its share is right on
    average. Out of scope and not ours come before what else needs review.

    Args:
        candidates: all items of the source, also those that were chosen before: they count in the audit's probability.
        add: how many are wanted.
        mix: in which proportions.
        known: texts of items that were chosen before, by id; none with such a text is chosen again. Of another text
            with such an id, see :func:`labeling.choice.apart.told_apart`.
    """
    if add <= 0:
        return Selection([], 0.0, [])
    prints = {fingerprint(text): item_id for item_id, text in (known or {}).items()}
    texts: dict[str, Candidate] = {}
    listed: set[str] = set()
    for candidate in told_apart(candidates, known or {}):
        mark = fingerprint(candidate.item.text)
        if mark in prints:
            if candidate.doubt is None:
                listed.add(mark)
        elif mark not in texts or _rank(candidate) < _rank(texts[mark]):
            texts[mark] = candidate
    # in the order of their lots, whatever the order they came in
    unsure = uncertainties([one.prediction for one in texts.values()]).tolist()
    left = [_Text(*pair, share) for pair, share in zip(texts.items(), unsure, strict=True)]
    left.sort(key=lambda text: lot("order", mix.seed, text.print))
    doubted = [text for text in left if text.candidate.doubt is not None]
    left = [text for text in left if text.candidate.doubt is None]
    first: list[tuple[_Text, Why]] = [(text, "doubted") for text in sorted(doubted, key=_doubt)[:add]]
    add = min(add - len(first), len(left))
    rate = audit_rate(mix.audit, add, len(listed), len(listed) + len(left)) if add else 0.0
    picked: list[tuple[_Text, Why]] = [(text, "audit") for text in left if lot("audit", mix.seed, text.print) < rate]
    for take, wanted in _quotas(add - len(picked), mix):
        gone = {text.print for text, _ in picked}
        wanted = add - len(picked) if take is _uncertain else wanted
        picked += take([text for text in left if text.print not in gone], wanted, [text for text, _ in picked])
    picked.sort(key=lambda pair: lot("order", mix.seed, pair[0].print))
    return Selection(
        [
            Chosen(
                text.candidate, why, rate if why == "audit" else None, lot("blind", mix.seed, text.print) < mix.blind
            )
            for text, why in (*first, *picked)
        ],
        rate,
        sorted(prints[mark] for mark in listed if mark in prints and lot("audit", mix.seed, mark) < rate),
    )


def _rank(candidate: Candidate) -> tuple[bool, str]:
    """Which of several with one text stands for it: a doubted one, else that of the first id."""
    return candidate.doubt is None, candidate.id


def _doubt(text: _Text) -> float:
    return -(text.candidate.doubt or 0)


_Take = Callable[[Sequence[_Text], int, Sequence[_Text]], list[tuple[_Text, Why]]]


def _quotas(left: int, mix: Mix) -> list[tuple[_Take, int]]:
    whole = mix.review + mix.disagreement + mix.uncertain
    left = max(0, left)
    return [
        (_review, round(left * mix.review / whole)),
        (_disagreement, round(left * mix.disagreement / whole)),
        (_uncertain, left),  # and what the others could not fill
    ]


def _review(texts: Sequence[_Text], wanted: int, taken: Sequence[_Text]) -> list[tuple[_Text, Why]]:
    """What is not ours, all of it if there is room; then the unsure, spread, since odd texts are often odd alike."""
    flagged = {text.print: (text, why) for text in texts if (why := _flag(text.candidate)) is not None}
    first = [pair for pair in flagged.values() if pair[1] == "not ours"][:wanted]
    for kind in ("out of scope", "needs review"):
        pool = [text for text, why in flagged.values() if why == kind]
        first += [(text, kind) for text in _unsure(pool, wanted - len(first), [*taken, *(text for text, _ in first)])]
    return first


def _flag(candidate: Candidate) -> Why | None:
    said = candidate.prediction
    if said is not None and said.out_of_scope:
        return "out of scope"
    return candidate.flag or ("needs review" if said is not None and said.abstained else None)


def _disagreement(texts: Sequence[_Text], wanted: int, _: Collection[_Text]) -> list[tuple[_Text, Why]]:
    apart = [text for text in texts if text.candidate.disagreement]
    apart.sort(key=lambda text: -(text.candidate.disagreement or 0))
    return [(text, "disagreement") for text in apart[:wanted]]


def _uncertain(texts: Sequence[_Text], wanted: int, taken: Sequence[_Text]) -> list[tuple[_Text, Why]]:
    return [
        (text, "diverse" if text.candidate.prediction is None else "uncertain")
        for text in _unsure(texts, wanted, taken)
    ]


def _unsure(texts: Sequence[_Text], wanted: int, taken: Sequence[_Text]) -> list[_Text]:
    """So many of the most unsure, far from each other and from those taken."""
    if wanted <= 0:
        return []
    pool = sorted(texts, key=lambda text: -text.unsure)
    told = all(text.candidate.prediction is not None for text in pool)
    pool = pool[: min(max(_POOL * wanted, _SMALLEST_POOL), _LARGEST_POOL) if told else max(wanted, _LARGEST_POOL)]
    return pool if wanted >= len(pool) else _spread(pool, wanted, taken)


def _spread(pool: Sequence[_Text], wanted: int, taken: Sequence[_Text]) -> list[_Text]:
    """So many of the pool, far from each other and from those taken; each language has its share of the pool.

    By n-grams alone, texts of a language with many characters are the farthest of all, and it would get everything.
    """
    groups: dict[str, list[_Text]] = {}
    for text in pool:
        groups.setdefault(_tongue(text.candidate), []).append(text)
    exact = {tongue: wanted * len(group) / len(pool) for tongue, group in groups.items()}
    shares = {tongue: int(share) for tongue, share in exact.items()}
    rest = sorted(exact, key=lambda tongue: shares[tongue] - exact[tongue])  # the largest remainders first
    for tongue in rest[: wanted - sum(shares.values())]:
        shares[tongue] += 1
    found = []
    for tongue, group in groups.items():
        near = [text for text in taken if _tongue(text.candidate) == tongue]
        rows = gram_rows([text.candidate.item.text for text in (*group, *near)])
        found += [group[row] for row in k_centre(rows, shares[tongue], range(len(group), rows.shape[0]))]
    return found


def _tongue(candidate: Candidate) -> str:
    """The language of an item, else the script of its first letter."""
    said = candidate.item.language or (candidate.prediction and candidate.prediction.language)
    letter = next((character for character in candidate.item.text if character.isalpha()), " ")
    return said or unicodedata.name(letter, "").partition(" ")[0]
