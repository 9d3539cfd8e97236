"""Sentence pairs and monolingual sentences, read and checked.

A pair is a JSON object with the English sentence under ``en`` and its translations, each under
its language's BCP 47 tag; ``sentiment`` and ``categories`` if somebody labelled it; ``source`` and
``licence`` for the card. A monolingual sentence is one with ``text`` and ``language``.
"""

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.errors import ConfigError, DataError, did_you_mean
from models.formats import json_rows
from models.rejects import Reject, RejectLog
from models.text import fingerprint, normalise

ENGLISH = "en"
#: A language tag, with a script or a region perhaps: it, zh-Hant, pt-BR.
_TAG = re.compile("[a-z]{2,3}(-[A-Z][A-Za-z]{1,3})?")
_SURROGATE = re.compile("[\ud800-\udfff]")

Rows = np.ndarray[Any, np.dtype[np.int64]]
Floats = np.ndarray[Any, np.dtype[np.float64]]


#: How many lines were read of a (source, licence), as the lines name them.
Sources = Counter[tuple[str, str]]


@dataclass(frozen=True)
class Pairs:
    """English sentences (N) and, per language, their translations (N; "" where there is none).

    ``weight`` (N): how often a pair is drawn, beside the others of its language. ``labels`` (N):
    what a pair was labelled with, such as ``sentiment negative``; empty where it was not.
    """

    english: list[str]
    translations: Mapping[str, list[str]]
    weight: Floats
    labels: list[tuple[str, ...]]

    def __len__(self) -> int:
        return len(self.english)

    def rows_of(self, language: str) -> Rows:
        """The rows that have a text in ``language``."""
        texts = self.english if language == ENGLISH else self.translations[language]
        return np.flatnonzero([bool(text) for text in texts])

    def text(self, row: int, language: str) -> str:
        """The sentence in ``row``, in ``language``."""
        return (self.english if language == ENGLISH else self.translations[language])[row]

    def take(self, rows: Sequence[int] | Rows) -> "Pairs":
        """The pairs in ``rows``."""
        return Pairs(
            [self.english[row] for row in rows],
            {language: [texts[row] for row in rows] for language, texts in self.translations.items()},
            self.weight[np.asarray(rows, np.int64)],
            [self.labels[row] for row in rows],
        )


def read_pairs(files: Mapping[Path, float], languages: Sequence[str], rejects: RejectLog) -> tuple[Pairs, Sources]:
    """The pairs of ``files`` that have at least one of ``languages``; bad lines go to ``rejects``.

    Args:
        files: each with the weight of its pairs.
        languages: BCP 47 tags as the files have them.
        rejects: where bad lines go.

    Raises:
        DataError: a file is missing, damaged or has no pair at all.
        ConfigError: a language is English, named twice, or in no pair.
    """
    check_languages(languages)
    english: list[str] = []
    translations: dict[str, list[str]] = {language: [] for language in languages}
    weights: list[float] = []
    labels: list[tuple[str, ...]] = []
    seen: Counter[str] = Counter()
    sources: Sources = Counter()
    for file, weight in files.items():
        before = sum(seen.values())
        for place, row in _objects(file, rejects):
            sentence = _text(row, ENGLISH)
            if not sentence:
                rejects.add(Reject(place, f"expected the English sentence under {ENGLISH!r}", row))
                continue
            others = {key for key, value in row.items() if isinstance(value, str) and value.strip()} - {ENGLISH}
            seen.update(key for key in others if key in languages or _TAG.fullmatch(key))
            found = [_text(row, language) for language in languages]
            if not any(found):
                continue
            sources[_source(file, row)] += 1
            english.append(sentence)
            for texts, text in zip(translations.values(), found, strict=True):
                texts.append(text)
            weights.append(weight)
            labels.append(_labels(row))
        if sum(seen.values()) == before:
            raise DataError(f"{file}: expected pairs, JSON objects with 'en' and a language, got none")
    for language, texts in translations.items():
        if not any(texts):
            raise ConfigError(f"language {language!r}: no pair has it; {did_you_mean(language, sorted(seen))}")
    return Pairs(english, translations, np.array(weights), labels), sources


def read_mono(
    files: Sequence[Path], languages: Sequence[str], rejects: RejectLog, sources: Sources
) -> dict[str, list[str]]:
    """Monolingual sentences per language, English among them; other languages are left aside.

    Counts what is used in ``sources``.

    Raises:
        DataError: a file is missing, damaged, or has no sentence in any of the languages.
    """
    texts: dict[str, list[str]] = {language: [] for language in (ENGLISH, *languages)}
    for file in files:
        before = sum(map(len, texts.values()))
        for place, row in _objects(file, rejects):
            text, language = row.get("text"), row.get("language")
            if not (isinstance(text, str) and isinstance(language, str)):
                rejects.add(Reject(place, "expected 'text' and 'language'", row))
            elif text.strip() and language in texts:
                texts[language].append(normalise(text))
                sources[_source(file, row)] += 1
        if sum(map(len, texts.values())) == before:
            raise DataError(
                f"{file}: expected sentences in {', '.join(texts)}, JSON objects with 'text' and 'language', got none"
            )
    return texts


def check_languages(languages: Sequence[str]) -> None:
    """Refuse an empty list, a language named twice, and English, which every pair has."""
    if not languages:
        raise ConfigError("--languages: expected at least one, e.g. --languages it,pl")
    for language in languages:
        if languages.count(language) > 1:
            raise ConfigError(f"--languages: {language!r} stands twice; name each once")
        if language == ENGLISH:
            raise ConfigError("--languages: English is the teacher's language and always among them; leave it out")


def hold_back(pairs: Pairs, languages: Sequence[str], count: int) -> tuple[Pairs, dict[str, Pairs]]:
    """Pairs to learn from, and per language up to ``count`` pairs to measure by.

    Held back are the English sentences that hash lowest, so that the choice depends on the
    sentences alone; every pair with such a sentence, in any spelling, is held back for all
    languages. A language chooses at most a tenth of its pairs. No question is a translation that
    stands beside another sentence too: it would have two right answers, and be learned with the other.

    Raises:
        DataError: a language has too few pairs to hold one back.
    """
    keys = [fingerprint(text) for text in pairs.english]
    copies: dict[str, list[int]] = defaultdict(list)
    for row, key in enumerate(keys):
        copies[key].append(row)
    order = sorted(copies, key=lambda key: hashlib.sha256(key.encode()).digest())
    chosen: set[str] = set()
    held: dict[str, Pairs] = {}
    for language in languages:
        texts = pairs.translations[language]
        only = _only_beside(keys, texts)
        left = sum(map(bool, texts)) // 10
        taken: list[int] = []
        for key in order:
            if len(taken) == count or not left:
                break
            known = [row for row in copies[key] if texts[row]]
            questions = [row for row in known if row in only]
            if questions and len(known) <= left:
                taken.append(min(questions, key=lambda row: (texts[row], pairs.english[row])))
                left -= len(known)
                chosen.add(key)
        if not taken:
            raise DataError(
                f"language {language!r}: expected at least 10 pairs with different sentences, so that a tenth "
                f"can be held back, got {sum(map(bool, texts))} pair(s)"
            )
        held[language] = pairs.take(taken)
    rest = [row for row, key in enumerate(keys) if key not in chosen]
    return pairs.take(rest), held


def with_english(pairs: Pairs, sentences: Sequence[str], held_back: Mapping[str, Pairs]) -> Pairs:
    """``pairs``, and English ``sentences`` that nobody translated, less those that are held back.

    The teacher's word on them is to be had for nothing, and they keep the student's English wide.
    """
    hidden = {fingerprint(text) for held in held_back.values() for text in held.english}
    added = [text for text in dict.fromkeys(sentences) if fingerprint(text) not in hidden]
    return Pairs(
        [*pairs.english, *added],
        {language: [*texts, *[""] * len(added)] for language, texts in pairs.translations.items()},
        np.append(pairs.weight, np.ones(len(added))),
        [*pairs.labels, *[()] * len(added)],
    )


def _only_beside(keys: Sequence[str], texts: Sequence[str]) -> set[int]:
    """The rows whose text stands, in any spelling, beside no other key than their own."""
    answers = [fingerprint(text) if text else "" for text in texts]
    owner: dict[str, str | None] = {}
    for key, answer in zip(keys, answers, strict=True):
        owner[answer] = key if owner.get(answer, key) == key else None
    return {row for row, answer in enumerate(answers) if answer and owner[answer] == keys[row]}


def _labels(row: Mapping[str, Any]) -> tuple[str, ...]:
    categories = row.get("categories") or row.get("category")
    categories = categories if isinstance(categories, list) else [categories]
    given = [*(("category", label) for label in categories), ("sentiment", row.get("sentiment"))]
    return tuple(f"{task} {label.strip()}" for task, label in given if isinstance(label, str) and label.strip())


def _text(row: Mapping[str, Any], key: str) -> str:
    """The text under ``key`` as models see it, "" if there is none."""
    value = row.get(key)
    return normalise(value) if isinstance(value, str) else ""


def _source(file: Path, row: Mapping[str, Any]) -> tuple[str, str]:
    """Of "owner/name:folder/file" the part before the colon, so that the card lists repositories."""
    return str(row.get("source") or file.name).partition(":")[0], str(row.get("licence") or "not stated")


def _objects(file: Path, rejects: RejectLog) -> Iterator[tuple[str, dict[str, Any]]]:
    if not file.is_file():
        raise DataError(f"{file}: no such file")
    for place, row in json_rows(file):
        if isinstance(row, Reject):
            rejects.add(row)
        elif any(isinstance(value, str) and _SURROGATE.search(value) for value in row.values()):
            rejects.add(Reject(place, "expected Unicode text, got a lone surrogate", row))
        else:
            yield place, row
