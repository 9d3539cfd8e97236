"""What was handed on to the service of each item, so that the same is never handed on twice.

It is written down before it is sent, with the name by which the service knows it if it comes again: one that was sent
and not answered for is sent again under that name, and what was settled anew meanwhile under another.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime

from labeling.pull.joining import Joined
from labeling.state import State


def content_of(labels: Mapping[str, Sequence[str]], annotations: Iterable[int]) -> str:
    """What tells a correction from another of the same item, as JSON: its labels, and the annotations that counted.

    Nothing else is in it: neither what was skipped or deleted nor an edit that left the labels is another correction.
    """
    said = {"labels": {task: sorted(keys) for task, keys in labels.items()}, "annotations": sorted(annotations)}
    return json.dumps(said, ensure_ascii=False, sort_keys=True)


def taken_contents(state: State) -> dict[str, str | None]:
    """What the service has taken last, by item; None where a file of an earlier version does not tell."""
    return {row[0]: row[1] for row in state.rows("SELECT item_id, content FROM reports WHERE taken_at IS NOT NULL")}


def adopt(state: State, items: Callable[[], Mapping[str, Joined]]) -> None:
    """Of what was handed on before its content was kept: take it to be what is settled now, before anything is pulled.

    Args:
        state: what is known.
        items: gives all that is answered, by item; only called where there is such a file.
    """
    if not state.rows("SELECT 1 FROM reports WHERE content IS NULL LIMIT 1"):
        return
    with state.changing() as connection:
        connection.executemany(
            "UPDATE reports SET content = ? WHERE item_id = ? AND content IS NULL",
            [(_content(joined), item_id) for item_id, joined in items().items()],
        )
        connection.execute("DELETE FROM reports WHERE content IS NULL")


def begin(state: State, items: Mapping[str, Joined]) -> dict[str, str]:
    """Write what is about to be handed on; the name of each correction by its item.

    The name depends on those before it: what was changed and changed back is not the first again.
    """
    names = {}
    with state.changing() as connection:
        for item_id, joined in items.items():
            wanted = "SELECT content, origin_id FROM reports WHERE item_id = ?"
            content, before = connection.execute(wanted, (item_id,)).fetchone() or (None, "")
            now = _content(joined)
            names[item_id] = before if content == now else _name(item_id, before, now, joined)
            connection.execute(
                "INSERT OR REPLACE INTO reports (item_id, content, origin_id) VALUES (?, ?, ?)",
                (item_id, now, names[item_id]),
            )
    return names


def settle(state: State, names: Mapping[str, str]) -> None:
    """Write that the service has taken these corrections, by item."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    with state.changing() as connection:
        connection.executemany(
            "UPDATE reports SET taken_at = ? WHERE item_id = ? AND origin_id = ?",
            [(now, item_id, name) for item_id, name in names.items()],
        )


def is_taken(item_id: str, joined: Joined, taken: Mapping[str, str | None]) -> bool:
    """Whether the service has this as it is; ``taken`` is from :func:`taken_contents`."""
    return item_id in taken and taken[item_id] in (None, _content(joined))


def _content(joined: Joined) -> str:
    return content_of(joined.labels, (one.annotation_id for one in joined.by))


def _name(item_id: str, before: str, content: str, joined: Joined) -> str:
    # every server counts its annotations from one; the service knows corrections of all of them
    at = max(one.updated_at for one in joined.by)
    return hashlib.sha256("\n".join((item_id, before, content, at)).encode()).hexdigest()
