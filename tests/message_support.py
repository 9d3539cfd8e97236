"""Messages of every kind, as the outbox makes them."""

import subprocess
from pathlib import Path

from store_support import NOON

from serving.delivery.message import Message
from serving.routing.rules import Channel, DefaultOutcome, RulesFile, Team

HOSTILE = (
    "<script>alert(1)</script><img src=x onerror=y> </td></table> {{ 7 * 7 }} {% raw %} &amp;\x00\x1b[31m\x07"
    "\u202egnp.exe\u2066\u200b\ufeff <!channel> <@U1> @everyone @here @all <@&5> [x](http://evil.example) "
    "*b* _i_ `c` ~s~ <http://evil.example|y> <users/all> <at>Ann</at> :tada:\r\n.\r\nBcc: a@b.example\u2028 😀 שלום"
)

ITEM = {
    "id": "itm_12",
    "external_id": "a-1",
    "source": "shop",
    "text": "The lid is cracked and the tea leaks.\nPlease help.",
    "language": "en",
    "channel": "web",
    "categories": ["product/defect"],
    "sentiment": "negative",
    "rule": "broken-product",
    "urgency": "urgent",
    "due_at": "2026-03-11T12:00:00+02:00",
    "needs_review": True,
    "state": "routed",
    "received_at": "2026-03-10T12:00:00+00:00",
    "reasons": ["category is product/defect"],
    "tags": ["safety"],
    "owner": "support",
    "link": "https://feedback.example.com/act/a_b-c.d?x=1&y=2",
}

SHOWN = {
    name: ITEM[name] for name in ("id", "text", "language", "categories", "sentiment", "urgency", "due_at", "link")
} | {"received_at": "2026-03-09T12:00:00+00:00", "team": "support"}

DIGEST = {
    "team": "support",
    "title": "Customer support",
    "every": "day",
    "opens_at": "2026-03-08T22:00:00+00:00",
    "closes_at": "2026-03-09T22:00:00+00:00",
    "time_zone": "Europe/Bucharest",
    "count": 42,
    "before": 30,
    "categories": [
        {"label": "product/defect", "count": 12, "before": 7},
        {"label": "delivery/late", "count": 6, "before": 6},
        {"label": "other", "count": 0, "before": 1},
    ],
    "sentiments": [{"label": "negative", "count": 42, "before": 30}],
    "languages": [{"label": "ro", "count": 42, "before": None}],
    "open": 17,
    "overdue": 3,
    "items": [SHOWN],
    "reminders": [SHOWN | {"id": "itm_13"}],
    "escalations": [SHOWN | {"id": "itm_14", "team": "product"}],
}


def message(kind: str = "item", **changes) -> Message:
    data = DIGEST if kind == "digest" else ITEM
    return Message("msg_1", kind, "support", NOON, data | changes)


def hostile(kind: str, text: str = HOSTILE) -> Message:
    """A message in which every text is hostile."""

    def spoilt(value, name=""):
        if isinstance(value, dict):
            return {key: spoilt(one, key) for key, one in value.items()}
        if isinstance(value, list):
            return [spoilt(one) for one in value]
        fixed = name == "link" or name.endswith("_at") or name == "time_zone" or not isinstance(value, str)
        return value if fixed else text

    return message(kind, **spoilt(DIGEST if kind == "digest" else ITEM))


def rules_with(channels: dict[str, Channel], contact: str = "team@example.com") -> RulesFile:
    """Rules with these channels, and a team."""
    team = Team(title="Support", contact=contact)
    return RulesFile(default=DefaultOutcome(team="support"), teams={"support": team}, channels=channels)


def certificate(folder: Path, *names: str) -> tuple[Path, Path]:
    """A certificate that vouches for itself, for these names, and its key."""
    found = folder / "cert.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test"]
    command += ["-addext", "subjectAltName=" + ",".join(names), "-out", str(found[0]), "-keyout", str(found[1])]
    subprocess.run(command, check=True, capture_output=True)
    return found
