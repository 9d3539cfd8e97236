"""What is sent, the way every channel gets it."""

from datetime import datetime
from typing import Any, Literal, NamedTuple

#: An item that the team owns; one that it is only told of; one that is overdue; one that is overdue at another team;
#: and the items of a period together.
Kind = Literal["item", "notice", "reminder", "escalation", "digest"]


class Message(NamedTuple):
    """One delivery. ``delivery_id`` is the same at every attempt, so that a receiver can tell a repeated one.

    ``data`` is what a program reads: for a digest what :func:`serving.delivery.letters.linked` makes, for all other
    kinds what :func:`data_of` makes. Each item in it has a ``link`` to the page where a person acts on it, None
    where the service has no public address.
    """

    delivery_id: str
    kind: Kind
    team: str
    created_at: datetime
    data: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """The message as JSON: type, time and data, as Standard Webhooks lays them out."""
        return {
            "id": self.delivery_id,
            "type": f"feedback.{self.kind}",
            "timestamp": self.created_at.isoformat(),
            "team": self.team,
            "data": self.data,
        }


def data_of(item: dict[str, Any], link: str | None = None) -> dict[str, Any]:
    """What a team is told of a stored item, from what :func:`serving.store.record.latest` knows of it; all of it JSON.

    ``link`` is where a person acts on it.
    """
    decision = item["decision"]
    shown = ("id", "external_id", "source", "text", "language", "channel", "categories", "sentiment")
    state = ("rule", "urgency", "due_at", "needs_review", "state", "received_at")
    found = {name: item[name] for name in (*shown, *state)}
    found |= {"reasons": decision["reasons"], "tags": decision["tags"], "owner": item["team"], "link": link}
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in found.items()}
