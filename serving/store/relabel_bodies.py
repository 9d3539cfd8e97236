"""Labels in what events and digests tell, under their new names."""

from collections.abc import Mapping, Sequence
from typing import Any

from models.migration.moves import Migration


def event_body(migration: Migration, body: Mapping[str, Any]) -> dict[str, Any]:
    """What an event tells; labels that are to be given anew stay as they were said."""
    said = body.get("labels")
    if not isinstance(said, dict) or "unsettled" in body:
        return dict(body)
    kept, unsettled = migration.answers(said)
    return {**body, "labels": {**{task: list(labels) for task, labels in unsettled.items()}, **kept}}


def digest_body(migration: Migration, body: Mapping[str, Any]) -> dict[str, Any]:
    """What a digest tells, so that the next one is compared with it: labels that became one are counted together."""
    found = dict(body)
    for name, task in (("categories", "category"), ("sentiments", "sentiment")):
        found[name] = _counted(migration, task, body.get(name, []))
    for name in ("items", "reminders", "escalations"):
        found[name] = [_shown(migration, one) for one in body.get(name, [])]
    return {name: value for name, value in found.items() if name in body}


def _counted(migration: Migration, task: str, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    counted: dict[str, dict[str, Any]] = {}
    for row in rows:
        for label in migration.move(task, [row["label"]]).labels:
            same = counted.get(label, {"count": 0, "before": None})
            told = [count for count in (row["before"], same["before"]) if count is not None]
            counted[label] = {
                "label": label,
                "count": row["count"] + same["count"],
                "before": sum(told) if told else None,
            }
    return list(counted.values())


def _shown(migration: Migration, one: Mapping[str, Any]) -> dict[str, Any]:
    feeling = migration.move("sentiment", [one["sentiment"]]).labels if one["sentiment"] else ()
    categories = list(migration.move("category", one["categories"]).labels)
    return {**one, "categories": categories, "sentiment": feeling[0] if feeling else None}
