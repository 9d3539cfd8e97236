"""Another team for an item of which its team says that it is not its own."""

from datetime import datetime

from serving.routing.compiled import Rules
from serving.routing.decision import DEFAULT, HANDED_ON, OWNED, Decision
from serving.routing.rules import Outcome


def hand_on(before: Decision, first: Decision, rules: Rules, team: str | None, at: datetime) -> Decision:
    """The decision that takes the place of ``before``.

    Urgency, tags and the way of delivery stay; the time it has to be done in begins anew, by the working time of the
    new team. Nobody is told twice.

    Args:
        before: what was decided last.
        first: what was decided when the item came in; its rule says how much time there is.
        rules: those that serve now.
        team: whose the item is; None: nobody knows, so the team of the default outcome looks.
        at: when it is handed on, with a zone.
    """
    owner = team or rules.file.default.team
    why = f"handed on to {owner}" if team else f"nobody said whose it is, so {owner} looks"
    return before.model_copy(
        update={
            "team": owner,
            "rule": HANDED_ON,
            "due_at": due_again(first, rules, owner, at),
            "notify": (),
            "also": (),
            "needs_review": team is None,
            "reasons": (f"{before.team} said that it is not theirs", why),
            "passed_over": None,
            "rules_version": rules.digest,
        }
    )


def due_again(first: Decision, rules: Rules, team: str, at: datetime) -> datetime | None:
    """Until when ``team`` has to do, from ``at`` on, what ``first`` was decided for; None: no time is set."""
    hours = _outcome(first, rules).due_hours
    if hours is None or team not in rules.calendars:
        return None
    try:
        return rules.calendars[team].due(at, hours)
    except ValueError:  # a team that hardly works, which the rule never gave an item
        return None


def _outcome(first: Decision, rules: Rules) -> Outcome:
    """That of the rule which decided first; of the default where it is not among the rules any more."""
    named: dict[str, Outcome] = {rule.name: rule.then for rule in rules.file.rules}
    named |= {OWNED: rules.file.owned, DEFAULT: rules.file.default}
    return named.get(first.rule, rules.file.default)
