"""Labels that are doubted, as a record carries them from a check of the data to labelers."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from models.records import FeedbackItem

#: Under this name `meta` tells what is doubted, by task.
DOUBT = "doubt"


class Doubt(BaseModel):
    """Labels of one task that are likely wrong: those ``given``, those that are ``likely`` right, and the ``margin`` in
    [0, 1] by which a model that did not see the row finds these more probable."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    given: tuple[str, ...]
    likely: tuple[str, ...]
    margin: Annotated[float, Field(ge=0, le=1)]


_DOUBTS = TypeAdapter(dict[str, Doubt])


def doubts_of(item: FeedbackItem) -> Mapping[str, Doubt]:
    """What is doubted of an item, by task; empty if nothing is, or a sender means something else by the name."""
    try:
        return _DOUBTS.validate_python(item.meta.get(DOUBT, {}))
    except ValidationError:
        return {}
