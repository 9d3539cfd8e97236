"""Models trained and measured as the commands do it, one row of a table each, kept until something changes."""

import gzip
import hashlib
import json
import shlex
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from models.encoders import resolve_encoder, weights_of
from models.errors import ConfigError
from models.files import atomic_write, sha256, write_json
from models.processes import run_python
from models.progress import Progress
from models.readers import read_items
from models.records import LabeledItem
from models.rejects import Reject
from training.bench.plan import FewLabels, LabelledSet, Plan, Target
from training.datasets import of_each, ranked
from training.encoder.suite import find
from training.peers import has_setfit

Figures = dict[str, Any]

#: Share of the texts in scope that may be mistaken where the recall of texts out of scope is read.
_MISTAKEN = 0.05


def measure(plan: Plan, data: Path, out: Path, *, threads: int | None, progress: Progress) -> Figures:
    """Every row of the plan; one of an earlier run is measured again only if its set, encoder or settings changed.

    It is not known whether the code changed since: a table of one version has a folder of its own.

    Returns ``sets``: rows with ``set``, ``encoder``, ``task``, ``figures`` (of the whole model, and of its parts
    under ``parts``), ``seconds`` of the training, ``rows`` it learned from and was measured on, ``targets`` with
    what was reached, and ``commands``; and ``few``: rows with ``set``, ``encoder``, ``per_label`` and for this
    project and SetFit the macro-F1 and seconds of each seed.

    Raises:
        DataError: a set is not in the folder ``data``.
        ConfigError: SetFit is wanted for comparison and not installed.
        FeedbackError: a training or measuring failed; its own message stands above.
    """
    if plan.few and not has_setfit():
        raise ConfigError("few labels: expected SetFit for comparison, got none; install the extra peers")
    out.mkdir(parents=True, exist_ok=True)
    runs = [(found, encoder) for found in plan.sets for encoder in found.encoders]
    few = [(found, size, seed) for found in plan.few for size in found.per_label for seed in plan.few_seeds]
    sets: list[Figures] = []
    with progress.stage("sets", len(runs), "models") as advance:
        for labelled, encoder in runs:
            sets += _set_rows(labelled, _full(labelled, encoder, plan.seed, data, out, threads))
            advance(1)
    pairs: dict[tuple[str, str, int], list[Figures]] = defaultdict(list)
    with progress.stage("few labels", len(few), "models") as advance:
        for case, size, seed in few:
            pairs[case.name, case.encoder, size].append(_few(case, size, seed, data, out, threads))
            advance(1)
    return {
        "sets": sets,
        "few": [
            {"set": name, "encoder": encoder, "per_label": size, "runs": found}
            for (name, encoder, size), found in pairs.items()
        ],
    }


def _full(labelled: LabelledSet, encoder: str, seed: int, data: Path, out: Path, threads: int | None) -> Figures:
    train, dev = (find(f"{labelled.folder}/{split}.jsonl.gz", [data]) for split in ("train", "dev"))
    name = f"{labelled.folder}-{Path(encoder).name}"
    learn = (
        train
        if labelled.rows is None
        else _write(ranked(_items(train))[: labelled.rows], out / f"{name}.train.jsonl.gz")
    )
    model, figures = out / name, out / f"{name}.evaluate.json"
    commands = _commands(learn, dev, encoder, {"seed": seed, **labelled.settings}, threads, model, figures)

    def run() -> Figures:
        seconds = _feedback(commands[0])
        _feedback(commands[1])
        manifest = json.loads((model / "manifest.json").read_text(encoding="utf-8"))
        return {
            "set": labelled.name,
            "encoder": encoder,
            "seconds": seconds,
            "learned": manifest["data"]["rows"] + manifest["data"]["dev_rows"],
            "sampled": labelled.rows is not None,
            "commands": [_shown(command) for command in commands],
            **json.loads(figures.read_text(encoding="utf-8")),
        }

    return _kept(
        out / f"{name}.json", [sha256(learn), sha256(dev), weights_of(resolve_encoder(encoder)), commands], run
    )


def _set_rows(labelled: LabelledSet, found: Figures) -> Iterator[Figures]:
    shared = {key: found[key] for key in ("set", "encoder", "seconds", "learned", "sampled", "commands", "scope")}
    for task, figures in found["tasks"].items():
        parts = {part: each[task] for part, each in found["parts"].items() if task in each}
        targets = [
            {**target.model_dump(exclude_none=True), "reached": reached(target, found)}
            for target in labelled.targets
            if target.task == task
        ]
        kept = ("n", "accuracy", "macro_f1", "micro_f1", "ece", "coverage", "kept_precision", "answered_by_linear")
        whole = {key: figures.get(key) for key in kept}
        yield {**shared, "task": task, "figures": whole, "parts": parts, "targets": targets}


def reached(target: Target, found: Mapping[str, Any]) -> float | None:
    """The figure of a report that a target is for; None if it is not in it."""
    if target.figure == "scope_recall":
        pairs = (found.get("scope") or {}).get("recall_at") or []
        return next((recall for share, recall in pairs if share == _MISTAKEN), None)
    tasks = found["tasks"] if target.product is None else found["slices"].get("product", {}).get(target.product, {})
    value: float | None = tasks.get(target.task, {}).get(target.figure)
    return value


def _few(case: FewLabels, size: int, seed: int, data: Path, out: Path, threads: int | None) -> Figures:
    train, dev = (find(f"{case.folder}/{split}.jsonl.gz", [data]) for split in ("train", "dev"))
    name = f"{case.folder}-{Path(case.encoder).name}-{size}-{seed}"
    learn = few_rows(train, case.task, size, seed, out / f"{name}.train.jsonl")
    model, figures, peer = out / name, out / f"{name}.evaluate.json", out / f"{name}.setfit.json"
    commands = _commands(learn, dev, case.encoder, {"seed": seed, **case.settings}, threads, model, figures)
    other = ["--data", str(learn), "--test", str(dev), "--task", case.task, "--encoder", case.encoder]
    other += ["--seed", str(seed), "--max-length", str(case.settings.get("max_length", 128)), "--out", str(peer)]
    other += ["--threads", str(threads)] if threads else []

    def run() -> Figures:
        seconds = _feedback(commands[0])
        _feedback(commands[1])
        run_python(["-m", "training.bench.peer", *other])
        report = json.loads((model / "report.json").read_text(encoding="utf-8"))
        ours = json.loads(figures.read_text(encoding="utf-8"))["tasks"][case.task]
        theirs = json.loads(peer.read_text(encoding="utf-8"))
        return {
            "seed": seed,
            "regime": report["regime"],
            "ece": ours["ece"],
            "ours": {"macro_f1": ours["macro_f1"], "seconds": seconds},
            "SetFit": {"macro_f1": theirs["macro_f1"], "seconds": theirs["seconds"]},
            "commands": [*map(_shown, commands), f"python -m training.bench.peer {shlex.join(other)}"],
        }

    return _kept(
        out / f"{name}.json",
        [sha256(learn), sha256(dev), weights_of(resolve_encoder(case.encoder)), commands, other],
        run,
    )


def few_rows(file: Path, task: str, size: int, seed: int, out: Path) -> Path:
    """Write ``size`` rows of each combination of labels into ``out``, another choice for each seed."""
    labelled = [item for item in _items(file) if item.labels(task)]
    return _write(of_each(ranked(labelled, seed), task, size), out)


def _items(file: Path) -> list[LabeledItem]:
    return [item for item in read_items(str(file)) if not isinstance(item, Reject)]


def _write(items: Sequence[LabeledItem], out: Path) -> Path:
    lines = "".join(f"{item.model_dump_json(exclude_unset=True)}\n" for item in items).encode()
    with atomic_write(out, "wb") as file:
        # without the time of writing: the same rows are the same file
        file.write(gzip.compress(lines, mtime=0) if out.suffix == ".gz" else lines)
    return out


def _commands(
    learn: Path,
    dev: Path,
    encoder: str,
    settings: Mapping[str, object],
    threads: int | None,
    model: Path,
    figures: Path,
) -> list[list[str]]:
    """What trains a model, and what measures it."""
    wanted = settings if threads is None else {**settings, "threads": threads}
    given = [part for key, value in wanted.items() for part in ("--set", f"{key}={value}")]
    return [
        ["train", "--data", str(learn), "--encoder", encoder, *given, "--out", str(model), "--overwrite"],
        ["evaluate", "--model", str(model), "--data", str(dev), "--json", str(figures)],
    ]


def _shown(command: Sequence[str]) -> str:
    return f"feedback {shlex.join(command)}"


def _feedback(command: Sequence[str]) -> float:
    """Run the command ``feedback``; how many seconds it took."""
    return run_python(["-m", "feedback", *command]).seconds


def _kept(file: Path, what: Sequence[object], run: Any) -> Figures:
    """What ``run`` gave, from ``file`` if it was kept there for the same ``what``."""
    key = hashlib.sha256(json.dumps(what).encode()).hexdigest()[:16]
    if file.exists():
        kept: Figures = json.loads(file.read_text(encoding="utf-8"))
        if kept["key"] == key:
            found: Figures = kept["found"]
            return found
    found = run()
    write_json(file, {"key": key, "found": found})
    return found
