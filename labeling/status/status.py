"""How labelling stands: progress, time, agreement, what predictions do to answers, how good the model is on it."""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Sequence
from statistics import median, quantiles
from typing import Any

from labeling.pull.corrections import Answered, answered
from labeling.pull.joining import Rule, one_each
from labeling.pull.pull import MARK
from labeling.state import State
from labeling.status.agreement import agreement
from labeling.status.estimates import per_label, share_of
from models.labels import LabelSchema


def status(
    state: State, schema: LabelSchema, rule: Rule = "majority", adjudicators: Collection[str] = ()
) -> dict[str, Any]:
    """All figures of one project, as far as answers were pulled.

    ``progress`` counts items; ``people`` tells of each annotator the answers and the seconds of one; ``agreement`` is
    Krippendorff's alpha by task; ``acceptance`` compares predictions that were shown with those that were not;
    ``audit`` measures the model on what chance chose; ``open`` are the items on which annotators differ; ``rejects``
    say what cannot be used and why.
    """
    found = answered(state, schema, rule, adjudicators)
    people = [[one.labels for one in one_each(item.given) if one.set_aside is None] for item in found.items]
    settled = [item for item in found.items if item.joined.labels]
    marks = state.rows("SELECT value FROM marks WHERE name = ?", MARK)
    return {
        "pulled_until": marks[0]["value"] if marks else None,
        "progress": _progress(state, found.items),
        "people": _people(state),
        "agreement": {
            "answered_twice": sum(len(answers) > 1 for answers in people),
            "tasks": agreement(people, schema),
        },
        "acceptance": _acceptance(settled, schema),
        "audit": _audit([item for item in settled if item.probability], schema) | _audit_size(state, found.items),
        "open": [
            {"item": item.item_id, "what": list(item.joined.open), "by": [one.annotator for one in item.given]}
            for item in found.items
            if item.joined.open
        ],
        "rejects": [str(reject) for reject in found.rejects],
    }


def _progress(state: State, items: Sequence[Answered]) -> dict[str, int]:
    counts = Counter(row["state"] for row in state.rows("SELECT state FROM annotations"))
    (chosen,) = state.rows("SELECT count(*) AS all_, count(task_id) AS pushed FROM items")
    (skipped,) = state.rows(
        "SELECT count(*) AS n FROM items WHERE task_id IN (SELECT task_id FROM annotations WHERE state = 'skipped')"
        " AND task_id NOT IN (SELECT task_id FROM annotations WHERE state IN ('live', 'unreadable'))"
    )
    (waiting,) = state.rows(
        "SELECT count(*) AS n FROM items WHERE task_id IS NOT NULL"
        " AND task_id NOT IN (SELECT task_id FROM annotations WHERE state != 'deleted')"
    )
    aside = Counter(item.joined.set_aside for item in items if item.joined.set_aside is not None)
    return {
        "items": chosen["all_"],
        "pushed": chosen["pushed"],
        "waiting": waiting["n"],
        "settled": sum(bool(item.joined.labels) for item in items),
        "to_be_settled": sum(bool(item.joined.open) for item in items),
        "cannot_tell": aside["cannot_tell"],
        "not_feedback": aside["not_feedback"],
        "skipped": skipped["n"],
        "annotations": counts["live"],
        "unreadable_annotations": counts["unreadable"],
        "deleted_annotations": counts["deleted"],
    }


def _people(state: State) -> dict[str, Any]:
    seconds: dict[str, list[float]] = defaultdict(list)
    answers: Counter[str] = Counter()
    for row in state.rows("SELECT annotator, seconds FROM annotations WHERE state = 'live'"):
        answers[row["annotator"]] += 1
        if row["seconds"] is not None:
            seconds[row["annotator"]].append(row["seconds"])
    everybody = [one for times in seconds.values() for one in times]
    found = {who: {"answers": count, **_times(seconds[who])} for who, count in answers.most_common()}
    return {"all": {"answers": answers.total(), **_times(everybody)}, "each": found}


def _times(seconds: Sequence[float]) -> dict[str, float | None]:
    """The middle one and that which nine of ten do not exceed: of a page that was left open the mean would tell."""
    if not seconds:
        return {"median_seconds": None, "most_seconds": None}
    most = quantiles(seconds, n=10, method="inclusive")[-1] if len(seconds) > 1 else seconds[0]
    return {"median_seconds": round(median(seconds), 1), "most_seconds": round(most, 1)}


def _acceptance(items: Sequence[Answered], schema: LabelSchema) -> dict[str, Any]:
    """Shares of predictions that are what people settled on: of those shown, left as they were; of the others, met.

    What is shown draws people to it (anchoring), so that the first is too high by about the difference.
    """
    return {
        task: {
            name: share_of([task not in item.changed for item in items if item.blind == blind and _judged(item, task)])
            for name, blind in (("shown", False), ("blind", True))
        }
        for task in schema.tasks
    }


def _judged(item: Answered, task: str) -> bool:
    return task in item.joined.labels and item.predicted is not None and task in item.predicted


def _audit_size(state: State, items: Sequence[Answered]) -> dict[str, int]:
    (drawn,) = state.rows("SELECT count(*) AS n FROM items WHERE probability > 0")
    return {"drawn": drawn["n"], "answered": sum(bool(item.probability) for item in items)}


_SLICES: dict[str, Callable[[Answered], str | None]] = {
    "language": lambda item: item.language,
    "team": lambda item: team if isinstance(team := item.record.meta.get("team"), str) else None,
    "model": lambda item: item.model_version,
    "shown": lambda item: "blind" if item.blind else "shown",
}


def _audit(items: Sequence[Answered], schema: LabelSchema) -> dict[str, Any]:
    tasks: dict[str, Any] = {}
    for name, task in schema.tasks.items():
        judged = [item for item in items if _judged(item, name)]
        if not judged:
            continue
        slices: dict[str, dict[str, list[Answered]]] = {by: defaultdict(list) for by in _SLICES}
        for item in judged:
            for by, value_of in _SLICES.items():
                if (value := value_of(item)) is not None:
                    slices[by][value].append(item)
        tasks[name] = {
            "accuracy": _accuracy(judged, name),
            # how many items of the source the judged ones stand for
            "stands_for": round(sum(1 / (item.probability or 1) for item in judged)),
            "per_label": per_label(
                task.keys,
                [item.joined.labels[name] for item in judged],
                [(item.predicted or {})[name] for item in judged],
                [item.probability or 1 for item in judged],
            ),
            "slices": {
                by: {value: _accuracy(some, name) for value, some in sorted(found.items())}
                for by, found in slices.items()
                if found
            },
        }
    return {"tasks": tasks}


def _accuracy(items: Sequence[Answered], task: str) -> dict[str, Any]:
    return share_of([task not in item.changed for item in items], [item.probability or 1 for item in items])
