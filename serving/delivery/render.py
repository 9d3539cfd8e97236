"""What people read: a subject, a plain text and an HTML page of a message, for e-mail and chat."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from serving.delivery.message import Message
from serving.delivery.plain import TEXT, isolated, one_line, shown

#: Longest subject, and the longest text of one item in a digest and in chat, in characters.
SUBJECT, DIGEST_TEXT, CHAT_TEXT = 120, 280, 600

#: What a person is told first, by kind of message.
_HEADLINES = {
    "item": "New feedback for {team}",
    "notice": "For your information: {owner} has this feedback",
    "reminder": "Overdue: this feedback waits for {team}",
    "escalation": "Escalated: {owner} has not dealt with this feedback in time",
}
#: What the items of a digest are shown for.
_LISTS = {
    "escalations": "Overdue at other teams",
    "reminders": "Overdue now",
    "items": "Worth reading",
}
_SUBJECTS = {"item": "", "notice": "For your information: ", "reminder": "Overdue: ", "escalation": "Escalated: "}


class Rendered(NamedTuple):
    """A message for people. ``subject`` is one line of at most :data:`SUBJECT` characters."""

    subject: str
    text: str
    html: str


def render(message: Message) -> Rendered:
    """The message for people, whatever stands in the text of a customer: it is shown, and is never markup.

    Texts are cut after 1,500 characters, those in a digest after 280. Times are in UTC, those of a digest in the zone
    of its team.
    """
    subject, values, name = _digest(message) if message.kind == "digest" else _item(message)
    values["subject"] = subject
    return Rendered(
        subject,
        _templates().get_template(f"{name}.txt").render(values).rstrip() + "\n",
        _templates().get_template(f"{name}.html").render(values),
    )


def render_chat(message: Message, treat: Callable[[str], str], *, markdown: bool) -> tuple[str, str]:
    """A subject and a text for a chat service, shorter than an e-mail.

    Args:
        message: what is told.
        treat: makes a text of strangers harmless in the service; the subject is left to the caller.
        markdown: whether the link is one of Markdown, and not an address by itself.
    """
    if message.kind == "digest":
        subject, values, name = _digest(message, treat)
    else:
        subject, values, name = _item(message, treat, CHAT_TEXT)
    values["markdown"] = markdown
    return subject, _templates().get_template(f"{name}.chat.txt").render(values).strip()


def _item(
    message: Message, treat: Callable[[str], str] = isolated, limit: int = TEXT
) -> tuple[str, dict[str, Any], str]:
    plain, data = shown(message.data), shown(message.data, limit, treat)
    urgency, categories = plain["urgency"], plain["categories"]
    start = f"[{urgency}] " if message.kind == "item" and urgency in ("high", "urgent") else _SUBJECTS[message.kind]
    subject = one_line(start + (", ".join(categories) or "feedback"), SUBJECT // 2) + ": "
    subject += isolated(one_line(message.data["text"], SUBJECT - 2 - len(subject)))
    source = " · ".join(filter(None, (data["source"], data["channel"], data["external_id"])))
    facts = [
        ("Category", ", ".join(data["categories"]) or "none"),
        ("Sentiment", data["sentiment"] or "not known"),
        ("Urgency", data["urgency"]),
        ("Due", _moment(plain["due_at"]) if plain["due_at"] else "no time set"),
        ("Received", _moment(plain["received_at"])),
        ("Language", data["language"] or "not known"),
        ("Source", source or "not known"),
        ("Owner", data["owner"]),
        ("Why here", "; ".join(data["reasons"]) or data["rule"]),
        ("Tags", ", ".join(data["tags"])),
        ("Item", data["id"]),
    ]
    values = {
        "kind": message.kind,
        "headline": _HEADLINES[message.kind].format(team=treat(one_line(message.team)), owner=data["owner"]),
        "facts": [(label, value) for label, value in facts if value],
        "item": data,
    }
    return subject, values, "item"


def _digest(message: Message, treat: Callable[[str], str] = isolated) -> tuple[str, dict[str, Any], str]:
    raw = message.data
    data, zone = shown(raw, DIGEST_TEXT, treat), ZoneInfo(raw["time_zone"])
    start, end = (datetime.fromisoformat(raw[name]).astimezone(zone) for name in ("opens_at", "closes_at"))
    days = _days(start.date(), max(start, end - timedelta(microseconds=1)).date())
    many = {0: "No feedback", 1: "1 piece of feedback"}.get(raw["count"], f"{raw['count']:,} pieces of feedback")
    compared = raw["before"] is not None
    tables = [
        ("Categories", _bars(data["categories"], compared)),
        ("Sentiment", _bars(data["sentiments"], compared)),
        ("Languages", _bars(data["languages"], compared)),
    ]
    for part in ("items", "reminders", "escalations"):
        for one, given in zip(data[part], raw[part], strict=True):
            one["received"] = _moment(given["received_at"], zone)
            one["due"] = given["due_at"] and _moment(given["due_at"], zone)
    values = {
        "digest": data,
        "headline": f"{many} for {data['title']}",
        "period": f"{_moment(start, zone)} to {_moment(end, zone)} ({raw['time_zone']})",
        "change": _change(raw["count"], raw["before"], compared),
        "tables": [(title, rows) for title, rows in tables if rows],
        "lists": [(title, data[part]) for part, title in _LISTS.items() if data[part]],
    }
    tail = f", {days}"
    subject = isolated(one_line(f"{many} for {raw['title']}", SUBJECT - 2 - len(tail))) + tail
    return subject, values, "digest"


def _bars(rows: list[dict[str, Any]], compared: bool) -> list[dict[str, Any]]:
    """Counts with the length of their bars, in percent of the longest."""
    most = max((row["count"] for row in rows), default=0) or 1
    return [
        row
        | {
            "share": max(1, round(100 * row["count"] / most)) if row["count"] else 0,
            "change": _change(row["count"], row["before"], compared),
        }
        for row in rows
    ]


def _change(count: int, before: int | None, compared: bool) -> str:
    if not compared or before is None:
        return ""
    return "as before" if count == before else f"{count - before:+,}".replace("-", "−")


def _moment(value: str | datetime, zone: ZoneInfo | None = None) -> str:
    """`Tue 10 March 2026, 12:00`, in the zone, or in UTC and saying so."""
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    moment = moment.astimezone(zone or UTC)
    return f"{moment:%a} {moment.day} {moment:%B %Y, %H:%M}{'' if zone else ' UTC'}"


def _days(first: date, last: date) -> str:
    """`9 March`, `9–15 March`, `28 February – 6 March`."""
    if first == last:
        return f"{last.day} {last:%B}"
    if (first.year, first.month) == (last.year, last.month):
        return f"{first.day}–{last.day} {last:%B}"
    return f"{first.day} {first:%B} – {last.day} {last:%B}"


@cache
def _templates() -> Environment:
    return Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
