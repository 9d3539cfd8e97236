"""What the texts are like: languages, lengths, how much of them the encoder will not read."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from models.progress import Advance
from models.text import UNKNOWN, detect_language, fingerprint, normalise
from training.checks.finding import EXAMPLES, Finding
from training.datasets import Row

#: From this share of cut texts on, a larger ``max_length`` is worth its time.
_MANY_CUT = 0.05
#: Of a language with fewer rows, its figures are chance; with a smaller share of those detected, it is a slip
#: of the detector.
_FEWEST_OF_A_LANGUAGE = 20
_SMALLEST_SHARE = 0.01
#: The language of shorter texts is too often guessed wrong to contradict anyone.
_FEWEST_LETTERS = 60
_DETECTED = 5_000


def check_texts(rows: Sequence[Row], *, encoder: Path | None, max_length: int, advance: Advance) -> Iterator[Finding]:
    """All texts alike, languages that are declared wrongly or rare, texts that are cut.

    Languages are detected in at most 5,000 rows, spread evenly. ``encoder`` is the folder whose
    tokenizer says what is cut at ``max_length`` tokens; None leaves that out.
    """
    if len({fingerprint(row.item.text) for row in rows}) == 1 and len(rows) > 1:
        yield Finding(
            "one-text", f"all {len(rows):,} rows have the same text; nothing can be learned from them", len(rows)
        )
    yield from _languages(rows, advance)
    if encoder is not None:
        yield from _truncation(rows, encoder, max_length)


def _languages(rows: Sequence[Row], advance: Advance) -> Iterator[Finding]:
    some = rows[:: -(-len(rows) // _DETECTED)]
    found = []
    for row in some:
        found.append(detect_language(normalise(row.item.text)))
        advance(1)
    declared = {row.item.language for row in some}
    mix = Counter((row.item.language or language) for row, language in zip(some, found, strict=True))
    mix = Counter({tag: n for tag, n in mix.items() if tag in declared or n >= _SMALLEST_SHARE * len(some)})
    known = {language: count / len(some) for language, count in mix.most_common()}
    few = {
        language: count
        for language, count in sorted(mix.items())
        if language != UNKNOWN and count * len(rows) / len(some) < _FEWEST_OF_A_LANGUAGE
    }
    if few and len(mix) > 1:
        yield Finding(
            "rare-languages",
            f"{len(few)} language(s) have fewer than {_FEWEST_OF_A_LANGUAGE} rows: {', '.join(sorted(few))}; answers "
            "in them rest on the others",
            sum(few.values()),
            details={"languages": known},
        )
    wrong = [
        row.place
        for row, language in zip(some, found, strict=True)
        if row.item.language
        and language != UNKNOWN
        and _letters(row.item.text) >= _FEWEST_LETTERS
        and _base(row.item.language) != _base(language)
    ]
    if wrong:
        yield Finding(
            "languages",
            f"{len(wrong)} of {len(some):,} row(s) looked at are written in another language than they say",
            len(wrong),
            [[place] for place in wrong[:EXAMPLES]],
        )


def _truncation(rows: Sequence[Row], encoder: Path, max_length: int) -> Iterator[Finding]:
    from models.encoding import load_tokenizer

    texts = [normalise(row.item.text) for row in rows]
    lengths = np.array([len(ids) for ids in load_tokenizer(encoder)(texts, verbose=False)["input_ids"]])
    cut = np.flatnonzero(lengths > max_length)
    if len(cut) / len(rows) > _MANY_CUT:
        yield Finding(
            "truncation",
            f"{len(cut)} row(s), {len(cut) / len(rows):.1%}, are longer than the {max_length} tokens that the encoder "
            f"reads (median {np.median(lengths):.0f}, 95 % have at most {np.percentile(lengths, 95):.0f}); their "
            "middle is not read: set max_length higher if that matters, it costs time",
            len(cut),
            [[rows[number].place] for number in cut[:EXAMPLES]],
            {"share": len(cut) / len(rows), "max_length": max_length},
        )


def _letters(text: str) -> int:
    """Letters of a text, a Chinese one counting as three."""
    return sum(3 if "\u3400" <= sign <= "\u9fff" else 1 for sign in text if sign.isalpha())


def _base(language: str) -> str:
    return language.partition("-")[0].lower()
