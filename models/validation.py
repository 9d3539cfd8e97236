"""What pydantic found wrong, in the words of this project."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from pydantic import ValidationError

from models.errors import did_you_mean

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails


def describe(error: ValidationError, fields: Iterable[str] = (), whole: str = "record") -> list[str]:
    """A pydantic error as lines of field, what was expected, what was got.

    ``fields``: the known field names, to suggest one where an unknown was given. ``whole``: what
    to call the value itself. The text of the feedback is never repeated.
    """
    known = list(fields)
    found = []
    for detail in error.errors(include_url=False):
        where = ".".join(str(part) for part in detail["loc"])
        named = detail["type"] in ("missing", "extra_forbidden")
        said = describe_one(detail, known, where or whole)
        found.append(said if named else f"{where or whole}: {said}")
    return found


def describe_one(detail: "ErrorDetails", known: Sequence[str], where: str | None = None) -> str:
    """One fault that pydantic found, without its place; ``where`` is the place by its name, else its last key."""
    name = where if where is not None else str(detail["loc"][-1]) if detail["loc"] else "value"
    if detail["type"] == "missing":
        return f"field {name!r} is missing"
    if detail["type"] == "extra_forbidden":
        own = "; own fields go into 'meta'" if "meta" in known else ""
        return f"unknown field {name!r}; {did_you_mean(name, known)}{own}" if known else f"unknown field {name!r}"
    got = detail["input"]
    if detail["type"] in ("model_type", "model_attributes_type", "dict_type", "mapping_type"):
        return f"expected a table of names and values, got {type(got).__name__}"
    if detail["type"] in ("tuple_type", "list_type"):
        return f"expected a list, got {type(got).__name__}"
    message = detail["msg"].removeprefix("Value error, ")
    shown = f", got {str(got)[:60]!r}" if name != "text" and isinstance(got, str | int | float) else ""
    return f"{message[:1].lower()}{message[1:]}{shown}"
