"""What is sent, the way every channel gets it."""

from datetime import datetime
from typing import Any, Literal, NamedTuple

Kind = Literal["item", "notice"]


class Message(NamedTuple):
    """One delivery. ``delivery_id`` is the same at every attempt, so that a receiver can tell a repeated one.

    ``kind``: an item that the team owns, or one that it is only told of. ``data`` is what a program reads.
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


def data_of(item: dict[str, Any]) -> dict[str, Any]:
    """What a team is told of a stored item, from what :func:`serving.store.queries.latest` knows of it."""
    decision = item["decision"]
    shown = ("id", "external_id", "source", "text", "language", "channel", "categories", "sentiment")
    state = ("rule", "urgency", "due_at", "needs_review", "state", "received_at")
    found = {name: item[name] for name in (*shown, *state)}
    found |= {"reasons": decision["reasons"], "tags": decision["tags"], "owner": item["team"]}
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in found.items()}
