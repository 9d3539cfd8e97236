"""What people found wrong with items, laid to the model, to a rule, or to the labels that there are."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, Engine, func, select

from serving.routing.decision import HANDED_ON
from serving.store.engine import reading
from serving.store.tables import corrections, decisions, events, items


class Mistakes(NamedTuple):
    """Of the ``items`` that a rule gave to a team: how many people found wrong, and what was to blame.

    ``model``: the category was corrected. ``labels``: no label fits. ``rule``: the category is right, or nobody said
    otherwise, and still the team said that the item is not its own. Each item counts once, in this order: labels,
    model, rule.
    """

    rule: str
    items: int
    by_model: int
    by_rule: int
    by_labels: int

    @property
    def wrong(self) -> int:
        """All of them."""
        return self.by_model + self.by_rule + self.by_labels


def mistakes(engine: Engine, since: datetime) -> list[Mistakes]:
    """Per rule, of items that came in since then; the rule with the most mistakes first.

    Raises:
        StoreError: the store cannot be used.
    """
    with reading(engine) as connection:
        counts = connection.execute(
            select(items.c.rule, func.count()).where(items.c.received_at >= since).group_by(items.c.rule)
        )
        total: Counter[str] = Counter({rule: count for rule, count in counts if rule != HANDED_ON})
        blamed = Counter(_blamed(connection, since, total))
    found = [
        Mistakes(rule, count, *(blamed[rule, what] for what in ("model", "rule", "labels")))
        for rule, count in total.items()
    ]
    return sorted(found, key=lambda one: (-one.wrong, -one.items, one.rule))


def _blamed(connection: Connection, since: datetime, total: Counter[str]) -> Iterator[tuple[str, str]]:
    """The rule that an item came by, and what is to blame, of each with which something was wrong.

    Items that were handed on are added to the ``total`` of the rule that they came by.
    """
    lately = items.c.received_at >= since
    given_back = select(events.c.item_key).join(items, items.c.key == events.c.item_key)
    handed = set(connection.execute(given_back.where(lately, events.c.kind == "not_ours")).scalars())
    said = select(corrections.c.item_key, corrections.c.labels, corrections.c.shown)
    said = said.join(items, items.c.key == corrections.c.item_key).where(lately, corrections.c.task == "category")
    right: dict[int, str] = {}
    for key, labels, shown in connection.execute(said.order_by(corrections.c.key)):  # the last word counts
        right[key] = "labels" if not labels else "model" if sorted(labels) != sorted(shown or []) else ""
    first = select(decisions.c.item_key, decisions.c.body).where(decisions.c.cause == "intake")
    keys = sorted(handed | {key for key, what in right.items() if what})
    for start in range(0, len(keys), 1000):
        wanted = first.where(decisions.c.item_key.in_(keys[start : start + 1000]))
        for key, body in connection.execute(wanted):
            if key in handed:
                total[body["rule"]] += 1
            yield body["rule"], right.get(key) or "rule"
