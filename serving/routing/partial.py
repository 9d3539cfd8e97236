"""What is sound of a document that has faults of shape, so that its other faults can be found in the same go."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

from serving.routing.faults import Fault, Path

#: In place of what is faulty, so that what refers to it is not called faulty too.
_STAND_INS: Mapping[str, Any] = {
    "teams": {"title": "x"},
    "channels": {"kind": "file"},
    "patterns": {"any": {"phrases": ["x"]}},
    "conditions": {"category": ["x"]},
    "rules": {"name": "x", "when": {"channel": "x"}, "then": {}},
}
#: Keys that cannot be left out of what they stand in.
_REQUIRED = frozenset({"title", "kind", "name", "when", "then", "team", "any"})


def without(data: dict[str, Any], shape: Sequence[Fault]) -> dict[str, Any]:
    """The document without what has the wrong shape: unknown keys are left out, other parts have a stand-in."""
    rest = deepcopy(data)
    for path in sorted({one.path for one in shape}, key=lambda one: -len(one)):
        if _left_out(rest, path):
            continue
        top = str(path[0]) if path else ""
        if top == "default":
            rest["default"] = {"team": next(iter(rest["teams"]), "x") if isinstance(rest.get("teams"), dict) else "x"}
        elif len(path) > 1 and top in _STAND_INS and _has(rest.get(top), path[1]):
            name = {"name": f"stand-in-{path[1]}"} if top == "rules" else {}
            rest[top][path[1]] = {**_STAND_INS[top], **name}
        else:
            rest.pop(top, None)
    return rest


def _left_out(rest: dict[str, Any], path: Path) -> bool:
    """Leave out the innermost key of ``path`` that may be missing, if it lies within a team, a rule or their like."""
    least = {"patterns": 3}.get(str(path[0]), 2 if path[0] in _STAND_INS else 1) if path else 1
    for length in range(len(path), least, -1):
        place: Any = rest
        for part in path[: length - 1]:
            place = place[part] if _has(place, part) else None
        last = path[length - 1]
        if isinstance(place, dict) and last in place and last not in _REQUIRED:
            del place[last]
            return True
    return False


def _has(held: object, part: str | int) -> bool:
    if isinstance(held, list):
        return isinstance(part, int) and part < len(held)
    return isinstance(held, dict) and part in held
