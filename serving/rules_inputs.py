"""What the commands `feedback rules …` are given: items, typed or stored, and bounds."""

from typing import TYPE_CHECKING

from models.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from models.records import FeedbackItem
    from serving.routing.history import Lines
    from serving.routing.replay import Bounds


def stored_item(store: str, identity: str) -> "FeedbackItem":
    """A stored item; ConfigError if there is none with this id."""
    from models.records import FeedbackItem
    from serving.store.record import get
    from serving.store.schema import open_store

    found = get(open_store(store), identity)
    if found is None:
        raise ConfigError(f"no item {identity!r} in the store; its id stands in the answer that stored it")
    return FeedbackItem.model_validate(found["item"])


def stored_lines(store: str) -> "Iterator[Lines]":
    """Every stored item as a replay reads it from a file; DataError if there is none."""
    import json

    from models.errors import DataError
    from serving.store.queries import past
    from serving.store.schema import open_store

    empty = True
    for one in past(open_store(store)):
        empty = False
        row = {**one.record, "prediction": one.prediction, "received_at": one.received_at.isoformat()}
        yield (f"stored item {one.id}", json.dumps(row).encode()), None
    if empty:
        raise DataError("the store has no items yet; give a file with --data")


def bounds_of(max_moved: str | None, max_load: list[str]) -> "Bounds":
    """Bounds of a replay from the options of the command line; ConfigError if they are none."""
    from serving.routing.replay import Bounds

    moved = None
    if max_moved is not None:
        number = max_moved.strip().removesuffix("%")
        try:
            moved = float(number) / (100 if "%" in max_moved else 1)
        except ValueError:
            raise ConfigError(f"--max-moved: expected a share like 5% or 0.05, got {max_moved!r}") from None
        if not 0 <= moved <= 1:
            raise ConfigError(f"--max-moved: expected a share from 0% to 100%, got {max_moved!r}")
    load = {}
    for one in max_load:
        team, equals, most = one.partition("=")
        count = most.removesuffix("/day")
        if not equals or not count.isdigit():
            raise ConfigError(f"--max-load: expected TEAM=N/day like support=200/day, got {one!r}")
        load[team] = int(count)
    return Bounds(moved, load)


def item_of(text: str, given: list[str]) -> "FeedbackItem":
    """An item from a text and FIELD=VALUE settings; ConfigError if it is none."""
    from pydantic import ValidationError

    from models.records import FeedbackItem
    from models.validation import describe

    fields: dict[str, object] = {"text": text}
    meta: dict[str, object] = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not equals:
            raise ConfigError(f"--set {one}: expected FIELD=VALUE, e.g. --set nps=3")
        (meta if name.startswith("meta.") else fields)[name.removeprefix("meta.")] = value
    try:
        return FeedbackItem.model_validate(fields | ({"meta": meta} if meta else {}))
    except ValidationError as error:
        raise ConfigError(f"the item: {'; '.join(describe(error, FeedbackItem.model_fields))}") from None
