"""The labelling interface: what a labeler sees in Label Studio, made from a label schema."""

import re
import xml.etree.ElementTree as ET
from html import escape

from models import records
from models.errors import SchemaError, as_list
from models.labels import Label, LabelSchema, Task

#: Fields of a Label Studio task: the feedback, and (optional, a string) what is known about it.
TEXT, CONTEXT = "text", "context"

#: Controls beside those of the tasks, which are called as the tasks are; of the first the answers are
#: CANNOT_TELL and NOT_FEEDBACK.
SET_ASIDE, NOTE = records.SET_ASIDE, "note"
CANNOT_TELL, NOT_FEEDBACK = records.CANNOT_TELL, records.NOT_FEEDBACK

_DIGITS = "12345678"
_LETTERS = "qwetasdfgzxcvbyiopjklnm"  # without h, r and u, which Label Studio keeps for itself

_SMALL = "font-size: 14px; opacity: 0.7; margin: 0"
_ROW = "display: flex; flex-wrap: wrap; gap: 0 32px"

_JOINER = "\u2060"  # invisible; makes a text something else to a parser and the same to a reader
_NAME = re.compile(r"[^\W\d_][\w .-]*")
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_BOOLEANS = frozenset({"true", "false"})  # what the labelling page makes of such an attribute
# beside its own names, those that one of Label Studio's parsers takes for a boolean or a number
_NO_NAMES = _BOOLEANS | {"nan", "inf", "infinity", TEXT, CONTEXT, SET_ASIDE, NOTE}

# Asked of the tag itself and not only of the View around it, because only then are answers that
# became invisible left out of what is submitted; with the choices named, because a control that
# was answered and emptied again still counts as answered.
_UNLESS_ASIDE = {
    "visibleWhen": "choice-unselected",
    "whenTagName": SET_ASIDE,
    "whenChoiceValue": f"{CANNOT_TELL},{NOT_FEEDBACK}",
}


def labeling_interface(schema: LabelSchema) -> str:
    """The Label Studio labelling configuration for a label schema.

    A task of the schema becomes a control of the same name: check boxes for a multi task, radio
    buttons for a single one, families as columns under their titles, descriptions as hints. What
    comes back, and what predictions hold, is the label key, whatever the title. Hotkeys: digits
    for single tasks, letters for multi tasks, as far as they go.

    A single task must be answered, unless the labeler sets the item aside because they cannot
    tell or because it is no feedback: then the tasks disappear and come back without answers.
    No answer to a multi task says that nothing applies.

    Args:
        schema: the tasks and their labels.

    Returns:
        XML that reads the fields TEXT and, where given, CONTEXT of a Label Studio task. Both are
        strings; CONTEXT is a line with channel, rating, product, date or whatever is known.

    Raises:
        SchemaError: task names or texts that Label Studio cannot hold; all of them are listed.
    """
    _check(schema)
    hotkeys = _hotkeys(schema)
    root = ET.Element("View")
    # without a type, a server in secure mode takes the text for an address to fetch
    ET.SubElement(root, "Text", name=TEXT, value=f"${TEXT}", valueType="text")
    # a Header, unlike a Table, may lack its field, and takes one line
    ET.SubElement(root, "Header", value=f"${CONTEXT}", size="5", style=_SMALL)
    tasks = ET.SubElement(root, "View", _UNLESS_ASIDE)
    for name, task in schema.tasks.items():
        _add_task(tasks, name, task, hotkeys)
    aside = ET.SubElement(root, "Choices", name=SET_ASIDE, toName=TEXT, choice="single", layout="inline")
    ET.SubElement(aside, "Choice", value="Cannot tell", alias=CANNOT_TELL, hotkey="9")
    ET.SubElement(aside, "Choice", value="Not feedback", alias=NOT_FEEDBACK, hotkey="0")
    note = ET.SubElement(root, "TextArea", name=NOTE, toName=TEXT, placeholder="Note", rows="2")
    # one note, sent with the answers and not by a button of its own
    note.attrib |= {"maxSubmissions": "1", "editable": "true", "showSubmitButton": "false"}
    ET.indent(root)
    return ET.tostring(root, encoding="unicode") + "\n"


def _add_task(parent: ET.Element, name: str, task: Task, hotkeys: dict[tuple[str, str], str]) -> None:
    title = task.title or name
    ET.SubElement(parent, "Header", value=_shown(title))
    if task.description:
        ET.SubElement(parent, "Header", value=_shown(task.description), size="5", style=_SMALL)
    choices = ET.SubElement(parent, "Choices", _UNLESS_ASIDE, name=name, toName=TEXT, choice="multiple")
    if task.kind == "single":
        # "single" would draw check boxes
        choices.attrib |= {"choice": "single-radio", "required": "true", "requiredMessage": f"{title}: choose one."}
    columns = ET.SubElement(choices, "View", style=_ROW)
    groups: dict[str | None, ET.Element] = {}
    for label in task.labels:
        family = label.family if "/" in label.key else None
        if family not in groups:
            groups[family] = ET.SubElement(columns, "View", {} if family else {"style": _ROW})
            if family:
                ET.SubElement(groups[family], "Header", value=_shown(task.families.get(family) or family), size="5")
        _add_label(groups[family], label, hotkeys.get((name, label.key)))


def _add_label(parent: ET.Element, label: Label, hotkey: str | None) -> None:
    name = label.title or label.key.rpartition("/")[2]
    choice = ET.SubElement(parent, "Choice", value=_shown(name), alias=label.key)
    if label.key in _BOOLEANS:
        # of all attributes only `value` is never taken for a boolean; `html` is shown in its place
        choice.attrib = {"value": label.key, "html": escape(name) + _JOINER}
    if label.description:
        choice.set("hint", label.description + _JOINER * (label.description in _BOOLEANS))
    if hotkey is not None:
        choice.set("hotkey", hotkey)


def _shown(text: str) -> str:
    # $word would be replaced by a field of the task
    return text.replace("$", "$" + _JOINER)


def _hotkeys(schema: LabelSchema) -> dict[tuple[str, str], str]:
    digits, letters = list(_DIGITS), list(_LETTERS)
    keys = {}
    for name, task in schema.tasks.items():
        first, then = (digits, letters) if task.kind == "single" else (letters, digits)
        for label in task.keys:
            if first or then:
                keys[name, label] = (first or then).pop(0)
    return keys


def _check(schema: LabelSchema) -> None:
    problems = []
    for name, task in schema.tasks.items():
        if name.lower() in _NO_NAMES or not _NAME.fullmatch(name):
            problems.append(
                f"task {name!r}: expected a name of letters, digits, spaces and . - _ that starts with a letter"
                f" and is none of {', '.join(sorted(_NO_NAMES))}; rename it"
            )
        texts = [name, task.title, task.description, *task.families, *task.families.values()]
        texts += [text for label in task.labels for text in (label.key, label.title, label.description)]
        problems += [
            f"task {name!r}: {text!r} holds a character that XML cannot; remove it"
            for text in texts
            if _NOT_XML.search(text)
        ]
    if problems:
        raise SchemaError(f"no Label Studio interface can be made from this schema{as_list(problems)}")
