"""What callers send and get: the shapes of requests and answers."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, JsonValue, WithJsonSchema, field_validator

from models.records import MAX_TEXT, FeedbackItem, Prediction
from serving.routing.decision import Decision
from serving.settings import MAX_CHARACTERS, MAX_ITEMS

#: An item as it came in, checked one by one later, so that a bad one does not harm the others.
RawItem = Annotated[JsonValue, WithJsonSchema(FeedbackItem.model_json_schema())]
RawItems = Annotated[
    list[RawItem], Field(min_length=1, max_length=MAX_ITEMS, description="Feedback items; only `text` is required.")
]
Explain = Annotated[
    bool, Field(strict=True, description="Also say of each rule that was passed over which condition failed first.")
]


class ClassifyRequest(BaseModel):
    """Body of ``POST /classify``."""

    model_config = ConfigDict(extra="forbid")

    items: RawItems
    explain: Explain = False

    @field_validator("items")
    @classmethod
    def _is_a_bounded_amount_of_work(cls, items: list[JsonValue]) -> list[JsonValue]:
        texts = [item.get("text") for item in items if isinstance(item, dict)]
        total = sum(len(text) for text in texts if isinstance(text, str) and len(text) <= MAX_TEXT)
        if total > MAX_CHARACTERS:
            raise ValueError(
                f"expected at most {MAX_CHARACTERS:,} characters in all texts, got {total:,}; send fewer items"
            )
        return items


class ItemResult(BaseModel):
    """Answer to one item: prediction and decision, or the error that this item alone has.

    ``id`` is the item's own, if it had one; results stand in the order of the items.
    """

    id: str | None = None
    prediction: Prediction | None = None
    decision: Decision | None = None
    error: str | None = None
