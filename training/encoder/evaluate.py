"""What an encoder is worth: one report of retrieval, quality, thrift and speed, beside others."""

import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from models.encoders import resolve_encoder
from models.encoding import load_encoder
from models.errors import ConfigError
from models.files import write_json
from models.progress import Progress
from models.rejects import RejectLog
from models.text import normalise
from models.threads import use_threads
from training.encoder.pairs import ENGLISH, Pairs, hold_back, read_pairs
from training.encoder.quality import COMBINED, LINEAR, PROBE, SETFIT, TRANSFORMER, Result, Results, measure_quality
from training.encoder.retrieval import both_ways
from training.encoder.speed import Footprint, Speed, measure_footprint, measure_speed
from training.encoder.suite import find, load_suite, rows_of

_MAX_LENGTH = 128
_SPEED_TEXTS = 200
_SPEED_ROUNDS = 5

Table = tuple[str, list[str], list[list[str]]]


@dataclass(frozen=True)
class Measures:
    """What is to be measured: retrieval with ``pairs``, quality with ``suite``; either may be left out.

    Held back are the same pairs as when the encoder was made, if files, languages and number are the same."""

    encoders: Sequence[str]
    pairs: Sequence[Path]
    languages: Sequence[str]
    held_back: int
    suite: Path | None
    data: Path
    seeds: int


@dataclass(frozen=True)
class Report:
    """Every figure: retrieval by encoder and language, quality, footprints and speed."""

    retrieval: dict[str, dict[str, dict[str, Any]]]
    quality: list[Result]
    footprints: list[Footprint]
    speed: list[Speed]


def evaluate(what: Measures, out: Path, *, threads: int | None, progress: Progress) -> Report:
    """Measure, and write ``report.json`` into ``out``; there also the figures of runs that were made
    before, which are not made again.

    Raises:
        InputError: an encoder, file or suite cannot be used, or there is nothing to measure.
    """
    if not what.pairs and what.suite is None:
        raise ConfigError("nothing to measure: give --pairs for retrieval, --suite for quality, or both")
    for name in what.encoders:
        resolve_encoder(name)
    out.mkdir(parents=True, exist_ok=True)
    threads = use_threads(threads)
    retrieval: dict[str, dict[str, dict[str, Any]]] = {}
    texts: dict[str, Sequence[str]] = {}
    if what.pairs:
        with RejectLog(out / "rejects.jsonl", str(what.pairs[0])) as rejects, progress.stage("reading pairs"):
            pairs, _ = read_pairs(dict.fromkeys(what.pairs, 1.0), what.languages, rejects)
            _, held = hold_back(pairs, what.languages, what.held_back)
        retrieval = _retrieval(what.encoders, held, progress)
        texts = {language: found.translations[language] for language, found in held.items()}
        texts[ENGLISH] = next(iter(held.values())).english
    quality: list[Result] = []
    if what.suite is not None:
        suite = load_suite(what.suite)
        folders = [what.data, what.suite.parent]
        results = Results(out / "results.jsonl")
        quality = measure_quality(
            suite, what.encoders, folders, range(1, what.seeds + 1), results, threads=threads, progress=progress
        )
        # speed on what customers write rather than on pairs
        first = [rows_of(find(task.test, folders), task, [])[:50] for task in suite.tasks]
        texts = texts or {"all": [normalise(item.text) for rows in first for item in rows]}
        sample = [normalise(item.text) for rows in first for item in rows][:_SPEED_TEXTS]
    else:
        sample = [text for rows in texts.values() for text in rows[:20]][:_SPEED_TEXTS]
    with progress.stage("measuring size and start", len(what.encoders), "encoders") as advance:
        footprints = [measure_footprint(name, texts, advance, threads=threads) for name in what.encoders]
    with progress.stage("measuring speed", _SPEED_ROUNDS + 1, "rounds") as advance:
        speed = measure_speed(what.encoders, sample, advance, rounds=_SPEED_ROUNDS, threads=1)
    report = Report(retrieval, quality, footprints, speed)
    write_json(out / "report.json", {**asdict(report), "threads": threads, "cores": os.cpu_count()})
    return report


def _retrieval(
    encoders: Sequence[str], held: dict[str, Pairs], progress: Progress
) -> dict[str, dict[str, dict[str, Any]]]:
    found: dict[str, dict[str, dict[str, Any]]] = {name: {} for name in encoders}
    with progress.stage("retrieval", len(encoders) * len(held), "languages") as advance:
        for name in encoders:
            tokenizer, encoder = load_encoder(resolve_encoder(name))
            for language, pairs in held.items():
                found[name][language] = both_ways(encoder, tokenizer, pairs, language, _MAX_LENGTH)
                advance(1)
    return found


def tables(report: Report) -> list[Table]:
    """The report for people: title, columns and rows of each table."""
    encoders = [found.encoder for found in report.footprints]
    return [*_retrieval_table(report, encoders), *_quality_table(report, encoders), *_cost_tables(report, encoders)]


def _retrieval_table(report: Report, encoders: list[str]) -> list[Table]:
    if not report.retrieval:
        return []
    ways = [f"to {ENGLISH}", f"from {ENGLISH}"]
    columns = ["language", "pairs", *[f"{name}, {way}" for name in encoders for way in ways]]
    rows = [
        [
            language,
            str(first["pairs"]),
            *[f"{report.retrieval[name][language][way]:.3f}" for name in encoders for way in ways],
        ]
        for language, first in report.retrieval[encoders[0]].items()
    ]
    return [("Share of held-back sentences that find their translation among all", columns, rows)]


def _quality_table(report: Report, encoders: list[str]) -> list[Table]:
    if not report.quality:
        return []
    values: dict[tuple[str, str, str], dict[tuple[str, str], list[float]]] = defaultdict(lambda: defaultdict(list))
    for result in report.quality:
        values[result.task, result.language, result.metric][result.part, result.encoder].append(result.value)
    parts = [(LINEAR, ""), *[(part, name) for name in encoders for part in (TRANSFORMER, COMBINED, PROBE, SETFIT)]]
    parts = [part for part in parts if any(part in cells for cells in values.values())]
    columns = ["task", "language", "figure", *[f"{name} {part}".strip() for part, name in parts]]
    rows = [[*key, *[_spread(cells.get(part, [])) for part in parts]] for key, cells in values.items()]
    return [("Quality, mean over seeds ± standard deviation", columns, rows)]


def _cost_tables(report: Report, encoders: list[str]) -> list[Table]:
    runtimes = list(dict.fromkeys(speed.runtime for speed in report.speed))
    rates = {(speed.encoder, speed.runtime): speed for speed in report.speed}
    rows = []
    for runtime in runtimes:
        cells = [rates[name, runtime] for name in encoders]
        texts = [f"{cell.texts_per_second:,.0f} ({cell.slowest:,.0f}-{cell.fastest:,.0f})" for cell in cells]
        ratio = [f"{cell.texts_per_second / cells[-1].texts_per_second:.2f}" for cell in cells[:-1]]
        rows.append([runtime, *texts, *ratio, *[f"{cell.likeness:.3f}" for cell in cells]])
    columns = ["runtime", *encoders, *[f"{name} : {encoders[-1]}" for name in encoders[:-1]]]
    columns += [f"cosine to fp32, {name}" for name in encoders]
    languages = list(report.footprints[0].tokens_per_text)
    cost = [
        [
            found.encoder,
            f"{found.weight_bytes / 1e6:.1f}",
            f"{found.cold_start_seconds:.1f}",
            *[f"{found.tokens_per_text[language]:.1f}" for language in languages],
        ]
        for found in report.footprints
    ]
    return [
        ("Texts a second, one thread, median (range) of alternating rounds", columns, rows),
        (
            "Cost",
            ["encoder", "MB", "seconds to start", *[f"tokens a text, {language}" for language in languages]],
            cost,
        ),
    ]


def _spread(values: Sequence[float]) -> str:
    if not values:
        return ""
    return f"{mean(values):.3f}" + (f" ± {stdev(values):.3f}" if len(values) > 1 else "")
