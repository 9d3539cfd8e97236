"""What goes in and what comes out: feedback items, labelled items, predictions."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)

from models.languages import spelled

#: Longest text accepted, in characters. More is a document, not feedback: it is refused with a
#: message. Below it, what is longer than the encoder reads is marked ``truncated``.
MAX_TEXT = 50_000

#: Between several labels in one cell of a table.
LIST_SEPARATOR = "|"

#: Under this name `meta` says why a person gave no labels: they could not tell, or the text is no feedback.
SET_ASIDE = "set_aside"
CANNOT_TELL, NOT_FEEDBACK = "cannot_tell", "not_feedback"

#: Under this name `meta` holds by task the labels that a person gave before one of them was split: until somebody
#: answers anew there is no label for the task.
UNSETTLED = "unsettled"

#: Under this name `meta` tells how labels came about that a labeler gave.
CORRECTION = "correction"

#: Stands for the character NUL.
NUL = "\u2400"

_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?")

Tier = Literal["linear", "combined"]


def _is_usable(text: str) -> str:
    if not text:
        raise ValueError("expected some text, got an empty one")
    if len(text) > MAX_TEXT:
        raise ValueError(f"expected at most {MAX_TEXT:,} characters, got {len(text):,}; shorten or split it")
    if not any(character.isprintable() and not character.isspace() for character in text):
        raise ValueError("expected some text, got only blanks or control characters")
    return text


def _is_storable(meta: Mapping[str, JsonValue]) -> Mapping[str, JsonValue]:
    try:
        json.dumps(meta, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError("expected Unicode text, got a lone surrogate; check the sender's encoding") from None
    return meta


def _is_no_flag(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("expected a number, got true or false")
    return value


def _is_unicode(text: object) -> object:
    if isinstance(text, str) and not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ValueError("expected Unicode text, got a lone surrogate; check the sender's encoding") from None
    return text


def storable(text: str) -> str:
    """A text as every database can hold it: :data:`NUL` in place of that character."""
    return text.replace("\x00", NUL)


def storable_if_text(value: object) -> object:
    """What :func:`storable` gives of a text, before it is checked: an id is to be the same wherever it is looked up."""
    return storable(value) if isinstance(value, str) else value


def _none_if_blank(value: object) -> object:
    return None if isinstance(value, str) and not value.strip() else value


def _is_iso(value: object) -> object:
    # pydantic would take a number for seconds since 1970, which is never what a file means
    if isinstance(value, int | float) or (isinstance(value, str) and _NUMBER.fullmatch(value.strip())):
        raise ValueError("expected a date and time like 2026-03-10T09:30:00+01:00, got a number")
    return value


def _in_utc_if_naive(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


Text = Annotated[
    str,
    BeforeValidator(_is_unicode),
    AfterValidator(_is_usable),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": MAX_TEXT}),
]
Word = Annotated[
    str,
    StringConstraints(min_length=1, max_length=200),
    BeforeValidator(storable_if_text),
    BeforeValidator(_is_unicode),
]
LanguageTag = Annotated[
    str,
    # 35 characters hold every tag that is in use (RFC 5646, section 4.4.1)
    StringConstraints(pattern=r"^[A-Za-z]{2,3}([-_][A-Za-z0-9]{1,8})*$", max_length=35),
    AfterValidator(spelled),
]
Country = Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{2}$", to_upper=True)]
Moment = Annotated[datetime, BeforeValidator(_is_iso), AfterValidator(_in_utc_if_naive)]
# described flat: pydantic's own schema of a JSON value refers to itself, which BentoML cannot embed
Meta = Annotated[
    Mapping[str, JsonValue],
    AfterValidator(_is_storable),
    WithJsonSchema({"type": "object", "additionalProperties": True}),
]
LabelKey = Annotated[str, StringConstraints(min_length=1, max_length=120, strip_whitespace=True)]


class FeedbackItem(BaseModel):
    """One piece of feedback as it came in, with what is known about it.

    Scales: ``rating`` 1–5, ``nps`` 0–10 (likelihood to recommend), ``csat`` and ``ces`` 1–7.
    ``created_at`` without a zone is taken as UTC. ``meta`` holds anything else the sender wants
    to keep.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, coerce_numbers_to_str=True)

    text: Text
    id: Word | None = None
    language: LanguageTag | None = None
    rating: Annotated[float, Field(ge=1, le=5), BeforeValidator(_is_no_flag)] | None = None
    nps: Annotated[int, Field(ge=0, le=10), BeforeValidator(_is_no_flag)] | None = None
    csat: Annotated[float, Field(ge=1, le=7), BeforeValidator(_is_no_flag)] | None = None
    ces: Annotated[float, Field(ge=1, le=7), BeforeValidator(_is_no_flag)] | None = None
    channel: Word | None = None
    country: Country | None = None
    product: Word | None = None
    customer_tier: Word | None = None
    created_at: Moment | None = None
    external_id: Word | None = None
    source: Word | None = None
    meta: Meta = {}


def unsettled_of(meta: Mapping[str, JsonValue]) -> Mapping[str, tuple[str, ...]]:
    """Labels by task that stand under UNSETTLED; what is of another form counts as none."""
    found = meta.get(UNSETTLED)
    if not isinstance(found, dict):
        return {}
    return {task: tuple(map(str, labels)) for task, labels in found.items() if isinstance(labels, list)}


class LabeledItem(FeedbackItem):
    """Feedback with the labels a person gave it; None where nobody did.

    ``category`` and ``categories`` are two spellings of one task: one label, or several. An
    empty ``categories`` says that a person looked and nothing applies. Labels of further tasks
    stand in ``meta`` under the task's name; under ``set_aside`` why a person gave none.
    """

    category: Annotated[LabelKey | None, BeforeValidator(_none_if_blank)] = None
    categories: tuple[LabelKey, ...] | None = None
    sentiment: Annotated[LabelKey | None, BeforeValidator(_none_if_blank)] = None

    @model_validator(mode="after")
    def _one_spelling_of_category(self) -> Self:
        if self.category is not None and self.categories is not None:
            raise ValueError("expected `category` or `categories`, got both; keep one")
        return self

    @property
    def set_aside(self) -> str | None:
        """CANNOT_TELL or NOT_FEEDBACK where a person said so, instead of giving labels."""
        reason = self.meta.get(SET_ASIDE)
        return reason if isinstance(reason, str) and reason in (CANNOT_TELL, NOT_FEEDBACK) else None

    @property
    def unsettled(self) -> Mapping[str, tuple[str, ...]]:
        """Labels by task that were given before one of them was split, and that are to be given anew."""
        return unsettled_of(self.meta)

    @property
    def drawn(self) -> bool:
        """Whether chance alone brought the item to whoever labelled it; not if it was chosen since it is hard."""
        about = self.meta.get(CORRECTION)
        return not isinstance(about, dict) or "why" not in about or bool(about.get("probability"))

    def labels(self, task: str) -> tuple[str, ...] | None:
        """The labels given for ``task``: None if not labelled, empty if none applies."""
        if task == "category":
            if self.categories is not None:
                return self.categories
            value: JsonValue = self.category
        else:
            value = self.sentiment if task == "sentiment" else self.meta.get(task)
        if isinstance(value, list):
            return tuple(stripped for label in value if (stripped := str(label).strip()))
        labels = () if value is None else (label.strip() for label in str(value).split(LIST_SEPARATOR))
        return tuple(label for label in labels if label) or None


class TaskPrediction(BaseModel):
    """The answer to one task.

    ``probabilities`` holds every label of the schema in class order, each in [0, 1]; they sum to
    one for a single task. ``labels`` are the chosen ones, the most probable first (to
    a single task a rare one may be chosen before one that is a little more probable). ``confidence``
    is the probability of the first chosen label. ``abstained`` means that it is too low to act on
    and a person should look; ``labels`` then still holds what would have been said. ``score``
    in [-1, 1] is the expected place on the task's scale, where it has one.
    """

    model_config = ConfigDict(frozen=True)

    labels: tuple[str, ...]
    confidence: float
    abstained: bool
    probabilities: Mapping[str, float]
    score: float | None = None


class ModelName(BaseModel):
    """Which model answered: its name, and the version, which is a digest of its content."""

    model_config = ConfigDict(frozen=True)

    name: str
    version: str


class Prediction(BaseModel):
    """What a model says about one text.

    ``familiarity`` in [0, 1] is the share of the texts a model was tuned on that were as strange to it
    or stranger, None where it had too few to tell; a text that is ``out_of_scope`` is of another kind
    than all it knows, and every task abstains. ``truncated`` tells that the encoder did not see the
    middle of the text. ``tier`` tells which part answered. ``label_schema``, in JSON ``schema``, is
    the digest of the label schema.
    """

    model_config = ConfigDict(frozen=True, populate_by_name=True, serialize_by_alias=True)

    tasks: Mapping[str, TaskPrediction]
    language: str
    familiarity: float | None = None
    out_of_scope: bool = False
    truncated: bool
    tier: Tier
    model: ModelName
    label_schema: str = Field(alias="schema")

    @cached_property
    def abstained(self) -> bool:
        """Whether any task abstained."""
        return any(task.abstained for task in self.tasks.values())


#: What a model does: a prediction for each item, in order.
Predict = Callable[[Sequence[FeedbackItem]], Sequence[Prediction]]
#: What is said of an item: a prediction, or why there is none.
Said = Prediction | Exception
#: What is said of each item, in order.
PredictEach = Callable[[Sequence[FeedbackItem]], Sequence[Said]]
