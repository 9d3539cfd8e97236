"""Handing corrections on to the service that the items came from, over HTTP.

Each is sent at least once; the service knows one that comes again by its origin and writes it once. What was
taken as it is now is not sent again, since somebody may have corrected it there since.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from labeling.pull import handed
from labeling.pull.corrections import Answered
from labeling.service import ServiceError
from labeling.state import State
from models.errors import ConfigError
from models.progress import Progress
from models.rejects import Reject

if TYPE_CHECKING:
    import httpx

ORIGIN = "labelstudio"
TIMEOUT = 30.0
#: What the service takes of a name or an id, in characters.
_LONGEST = 200
#: Corrections between two notes of what was handed on.
_BATCH = 50
_REPEATED = 500


def report(url: str, state: State, items: Sequence[Answered], progress: Progress) -> tuple[int, list[Reject]]:
    """Hand on what is settled and was not handed on as it is now.

    What was set aside is not sent: the service keeps labels, and there are none.

    Args:
        url: address of the service.
        state: remembers what was handed on; from :func:`labeling.pull.pull.pulling`, since of two that hand on at once
            the older answer might come last.
        items: from :func:`labeling.pull.corrections.answered`.
        progress: told of every batch.

    Returns:
        How many were handed on, and those that the service does not take, with its reason.

    Raises:
        ConfigError: ``url`` is no address.
        ServiceError: the service is away; what was handed on is remembered, and the same call goes on.
    """
    import httpx

    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(f"--report: expected the address of a service like http://127.0.0.1:3000, got {url!r}")
    waiting = [item for item in items if item.joined.labels and not item.reported]
    done = 0
    rejects = []
    local = parts.hostname in ("localhost", "127.0.0.1", "::1")
    with (
        httpx.Client(timeout=TIMEOUT, trust_env=not local) as client,
        progress.stage(f"handing on to {url}", len(waiting), "corrections") as advance,
    ):
        for start in range(0, len(waiting), _BATCH):
            batch = waiting[start : start + _BATCH]
            names = handed.begin(state, {item.item_id: item.joined for item in batch})
            taken: dict[str, str] = {}
            try:
                for item in batch:
                    place = f"{url.rstrip('/')}/feedback/{quote(item.item_id, safe='')}/events"
                    event = event_of(item, names[item.item_id])
                    answer = client.post(place, json=event)
                    if answer.status_code in (404, 409, 422):
                        rejects.append(Reject(f"item {item.item_id}", _said(answer), event))
                    elif answer.status_code >= 300:
                        raise ServiceError(_away(url, _said(answer), done + len(taken), len(waiting)))
                    else:
                        taken[item.item_id] = names[item.item_id]
            except httpx.HTTPError as error:
                reason = str(error)[:_REPEATED] or type(error).__name__
                raise ServiceError(_away(url, reason, done + len(taken), len(waiting))) from None
            finally:
                handed.settle(state, taken)
            done += len(taken)
            advance(len(batch))
    return done, rejects


def event_of(item: Answered, origin_id: str) -> dict[str, object]:
    """A settled item as the event that the service takes, under a name."""
    actor = ", ".join(one.annotator for one in item.joined.by)
    note = "\n".join(item.notes)
    return {
        "kind": "corrected",
        "actor": actor if len(actor) <= _LONGEST else f"{actor[: _LONGEST - 1]}…",
        "labels": {task: list(labels) for task, labels in item.joined.labels.items()},
        "origin": ORIGIN,
        "origin_id": origin_id,
        **({"note": note[:4000]} if note else {}),
    }


def _said(answer: "httpx.Response") -> str:
    return f"the service answered {answer.status_code}: {answer.text[:_REPEATED]}"


def _away(url: str, reason: str, done: int, all_: int) -> str:
    return (
        f"handing on to {url}: {reason}; {done} of {all_} corrections were handed on, the others are kept; see whether"
        " the service runs, then pull again"
    )
