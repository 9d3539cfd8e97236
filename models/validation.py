"""What pydantic found wrong, in the words of this project."""

from collections.abc import Iterable

from pydantic import ValidationError

from models.errors import did_you_mean


def describe(error: ValidationError, fields: Iterable[str] = (), whole: str = "record") -> list[str]:
    """A pydantic error as lines of field, what was expected, what was got.

    ``fields``: the known field names, to suggest one where an unknown was given. ``whole``: what
    to call the value itself. The text of the feedback is never repeated.
    """
    known = list(fields)
    own = "; own fields go into 'meta'" if "meta" in known else ""
    reasons = []
    for detail in error.errors(include_url=False):
        where = ".".join(str(part) for part in detail["loc"]) or whole
        if detail["type"] == "missing":
            reasons.append(f"field {where!r} is missing")
        elif detail["type"] == "extra_forbidden":
            reasons.append(
                f"unknown field {where!r}; {did_you_mean(where, known)}{own}" if known else f"unknown field {where!r}"
            )
        else:
            got = detail["input"]
            shown = where != "text" and isinstance(got, str | int | float) and f", got {str(got)[:60]!r}"
            message = detail["msg"].removeprefix("Value error, ")
            reasons.append(f"{where}: {message[:1].lower()}{message[1:]}{shown or ''}")
    return reasons
