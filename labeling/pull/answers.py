"""What a labeler answered: the result of a Label Studio annotation, read by the label schema."""

import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from labeling.studio.interface import CANNOT_TELL, NOT_FEEDBACK, NOTE, SET_ASIDE
from models.errors import as_list, did_you_mean
from models.labels import LabelSchema, Task

#: Labels by task; a task that was not asked or not answered is not in it.
Labels = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Answer:
    """What one labeler said of one item.

    ``labels`` by task, as keys of the schema in its order; empty where nothing applies. ``set_aside`` is CANNOT_TELL
    or NOT_FEEDBACK, and there are no labels then. ``faults`` say why the answer cannot be used; its labels are then
    what was chosen, as it was sent.
    """

    labels: Labels
    set_aside: str | None = None
    note: str | None = None
    faults: tuple[str, ...] = ()


def asked_tasks(config: str, schema: LabelSchema) -> tuple[list[str], list[str]]:
    """Tasks of the schema that an interface asks for, and what a person should know where it is not the schema's own.

    An interface can be edited by hand. A control that it lost gets no answers, which must not be read as "nothing
    applies"; one that it gained is not read at all.

    Args:
        config: the labelling configuration of the project, XML.
        schema: the tasks that are read.
    """
    try:
        root = ET.fromstring(config)  # noqa: S314 (the server that is trusted with the labels checked it)
    except ET.ParseError as error:
        return [], [f"the project's interface is no XML ({error}); paste that of `feedback label config` into it"]
    controls = [element.get("name", "") for element in root.iter() if element.get("toName")]
    asked = [name for name in schema.tasks if name in controls]
    notes = []
    if lost := [name for name in schema.tasks if name not in controls]:
        notes.append(
            f"the project's interface does not ask for {', '.join(lost)}: expected the controls"
            f" {', '.join(schema.tasks)}, got {', '.join(controls) or 'none'}; its items stay without these labels. Was"
            " it edited by hand? Make it anew with `feedback label config`, or name the schema it was made from with"
            " --labels"
        )
    if gained := [name for name in controls if name not in {*schema.tasks, SET_ASIDE, NOTE}]:
        notes.append(
            f"the project's interface also asks for {', '.join(gained)}, which the label schema does not know: these"
            " answers stay in Label Studio; declare the task in the label schema to use them"
        )
    return asked, notes


def read_answer(result: Sequence[Mapping[str, Any]], schema: LabelSchema, asked: Collection[str]) -> Answer:
    """Read the result of an annotation.

    Args:
        result: regions, each with ``from_name``, ``type`` and ``value``, as Label Studio sends them.
        schema: the tasks and their labels.
        asked: tasks that the interface asked for; a multi task among them without an answer says "nothing applies".
    """
    chosen: dict[str, list[str]] = {}
    notes: list[str] = []
    faults: list[str] = []
    for region in result:
        name, value = region.get("from_name"), region.get("value")
        kind = "text" if name == NOTE else "choices"
        if name != NOTE and name != SET_ASIDE and name not in schema.tasks:
            continue
        said = value.get(kind) if isinstance(value, dict) else None
        said = [said] if isinstance(said, str) else said
        if not isinstance(said, list) or not all(isinstance(one, str) for one in said):
            faults.append(f"{name}: expected a list of {kind}, got {value!r:.200}")
        elif name == NOTE:
            notes += said
        else:
            chosen[str(name)] = chosen.get(str(name), []) + said
    note = "\n".join(notes).strip() or None
    aside = chosen.pop(SET_ASIDE, [])
    if aside and not faults:
        if aside[0] in (CANNOT_TELL, NOT_FEEDBACK) and len(aside) == 1:
            return Answer({}, aside[0], note)
        faults.append(f"{SET_ASIDE}: expected {CANNOT_TELL} or {NOT_FEEDBACK}, got {', '.join(aside)}")
    return _checked(chosen, note, faults, schema, asked)


def _checked(
    chosen: Mapping[str, Sequence[str]],
    note: str | None,
    faults: list[str],
    schema: LabelSchema,
    asked: Collection[str],
) -> Answer:
    labels: dict[str, tuple[str, ...]] = {}
    for name, task in schema.tasks.items():
        if name not in chosen:
            if task.kind == "multi" and name in asked:
                labels[name] = ()
            continue
        keys = [key_of(choice, task) or choice for choice in chosen[name]]
        faults += [
            f"unknown {name} choice {key!r}; {did_you_mean(key, task.keys)}" for key in keys if key not in task.index
        ]
        if task.kind == "single" and len(keys) != 1:
            faults.append(f"{name}: expected one choice, got {len(keys)}: {', '.join(keys)}")
        labels[name] = tuple(key for key in task.keys if key in keys)
    if (
        not faults
        and not any(name in chosen or labels.get(name) for name in schema.tasks)
        and _needs_one(schema, asked)
    ):
        faults.append("expected an answer, or why the item was set aside; got neither")
    if faults:
        return Answer({name: tuple(choices) for name, choices in chosen.items()}, None, note, tuple(faults))
    return Answer(labels, None, note)


def key_of(choice: str, task: Task) -> str | None:
    """The label of a choice that is sent by its title, since the interface lost its alias; None unless it is one."""
    if choice in task.index:
        return choice
    titles = Counter(label.title for label in task.labels)
    return next((label.key for label in task.labels if label.title == choice and titles[choice] == 1), None)


def _needs_one(schema: LabelSchema, asked: Collection[str]) -> bool:
    """Whether an empty answer says nothing: a single task that must be answered was asked for."""
    return not asked or any(schema.tasks[name].kind == "single" for name in asked)


def explain(faults: Sequence[str]) -> str:
    """Why an answer is left out, and what to do."""
    return (
        f"the answer cannot be used; correct it in Label Studio, or the label schema, and pull again{as_list(faults)}"
    )
