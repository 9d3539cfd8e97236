"""What a labelling interface offers, read without the SDK, which a service has no room for."""

import xml.etree.ElementTree as ET

from models.labels import LabelSchema

_SHOWN = 5


def missing_answers(interface: str, schema: LabelSchema) -> list[str]:
    """What a schema knows and a labelling interface does not, in words: controls, and labels of controls.

    Args:
        interface: the project's labelling configuration.
        schema: the tasks and labels that a model answers with.
    """
    try:
        root = ET.fromstring(interface)  # noqa: S314 - expat bounds what entities may grow to
    except (ET.ParseError, ValueError):
        return ["its labelling interface is not XML"]
    offered = {
        choices.get("name"): {choice.get("alias") or choice.get("value") for choice in choices.iter("Choice")}
        for choices in root.iter("Choices")
    }
    found = []
    for name, task in schema.tasks.items():
        if name not in offered:
            found.append(f"it has no control {name!r}")
        elif lacking := [key for key in task.keys if key not in offered[name]]:
            more = f" and {len(lacking) - _SHOWN} more" if len(lacking) > _SHOWN else ""
            found.append(f"its control {name!r} has no {', '.join(map(repr, lacking[:_SHOWN]))}{more}")
    return found
