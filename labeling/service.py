"""Items to be labelled from the running service, and what its model says of items."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import httpx
from pydantic import ValidationError

from labeling.choice.selection import Candidate
from models.errors import FeedbackError
from models.progress import Progress
from models.records import FeedbackItem, Prediction
from models.validation import describe

#: What stands for the service in place of a file, and where that is if nothing says otherwise.
STORE, SERVICE_VARIABLE, SERVICE = "store", "FEEDBACK_URL", "http://127.0.0.1:3000"

#: Items of one page, and items and characters of one request: no more than the service takes.
PAGE, _ITEMS, _CHARACTERS = 200, 64, 100_000
_TIMEOUT = 60.0
#: What the service says decided where a team said that an item is not its own.
_HANDED_ON = "handed-on"
_STRANGER = "what answered is no feedback service, or one of another version; check the address"


class ServiceError(FeedbackError):
    """The service cannot be reached, or it refused."""


def from_service(url: str, filters: Mapping[str, str], progress: Progress) -> list[Candidate]:
    """The items that a service has stored, the newest first, each with its latest prediction.

    Args:
        url: address of the service.
        filters: those of ``GET /feedback``, by name.
        progress: told of every page.

    Raises:
        ServiceError: it does not answer, or does not take a filter.
    """
    found = []
    with progress.stage(f"reading items of {url}", None, "items") as advance:
        for page in _pages(url.rstrip("/"), filters):
            found += [_stored(url, row) for row in page]
            advance(len(page))
    return found


def ask_service(url: str, items: Sequence[FeedbackItem]) -> list[Prediction]:
    """What the model in service says of items, in their order.

    Raises:
        ServiceError: it does not answer, or refuses one.
    """
    found: list[Prediction] = []
    with _client(url) as client:
        for batch in _batches(items):
            body = {"items": [item.model_dump(mode="json", exclude_unset=True) for item in batch]}
            answers = _answer(url, partial(client.post, "/classify", json=body))
            try:
                found += [Prediction.model_validate(answer["prediction"]) for answer in answers]
            except (ValidationError, KeyError, TypeError) as error:
                raise ServiceError(f"{url}: an item was not classified: {error}; use one version") from None
    return found


def _batches(items: Sequence[FeedbackItem]) -> Iterator[list[FeedbackItem]]:
    batch: list[FeedbackItem] = []
    size = 0
    for item in items:
        if batch and (len(batch) == _ITEMS or size + len(item.text) > _CHARACTERS):
            yield batch
            batch, size = [], 0
        batch.append(item)
        size += len(item.text)
    if batch:
        yield batch


def _pages(url: str, filters: Mapping[str, str]) -> Iterator[list[dict[str, Any]]]:
    wanted = {**filters, "include": "prediction", "limit": str(PAGE)}
    with _client(url) as client:
        while True:
            page = _answer(url, partial(client.get, "/feedback", params=wanted))
            try:
                items, cursor = page["items"], page["next"]
            except (KeyError, TypeError):
                raise ServiceError(f"{url}: {_STRANGER}") from None
            yield items
            if cursor is None:
                return
            wanted["cursor"] = cursor


def _client(url: str) -> httpx.Client:
    try:
        return httpx.Client(base_url=url, timeout=_TIMEOUT, trust_env=False)
    except httpx.InvalidURL as error:
        raise ServiceError(f"{url}: expected an address like {SERVICE}: {error}") from None


def _answer(url: str, ask: Callable[[], httpx.Response]) -> Any:
    try:
        answer = ask()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ServiceError(
            f"{url}: the service does not answer ({error}); start it with `feedback serve`, say in"
            f" {SERVICE_VARIABLE} where it is, or give a file with --from"
        ) from None
    try:
        body = answer.json()
        if answer.status_code != 200:
            raise ServiceError(f"{url}: the service refused ({answer.status_code}): {body['error']}")
    except (ValueError, KeyError, TypeError):
        raise ServiceError(f"{url}: {_STRANGER}") from None
    return body


def _stored(url: str, row: Mapping[str, Any]) -> Candidate:
    try:
        return Candidate(
            id=row["id"],
            item=FeedbackItem.model_validate(row["record"]),
            prediction=Prediction.model_validate(row["prediction"]),
            flag="not ours" if row["rule"] == _HANDED_ON else "needs review" if row["needs_review"] else None,
        )
    except (ValidationError, KeyError) as error:
        what = "; ".join(describe(error)) if isinstance(error, ValidationError) else f"no {error}"
        raise ServiceError(f"{url}: an item is not as this version knows items: {what}; use one version") from None
