"""Where items to be labelled come from; those of a file."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from pydantic import ValidationError

from labeling.choice.selection import Candidate
from labeling.studio.tasks import version_of
from models.doubts import doubts_of
from models.errors import DataError
from models.progress import Progress
from models.readers import read_placed
from models.records import FeedbackItem, LabeledItem, Prediction
from models.rejects import Reject
from models.text import fingerprint
from models.validation import describe

_SHOWN_FAULTS = 5
_LABELS = frozenset(LabeledItem.model_fields) - frozenset(FeedbackItem.model_fields)


@dataclass(frozen=True)
class Source:
    """Where items come from.

    ``read`` gives all of them; ``ask`` tells what the present model says of some, None where nobody can.
    """

    read: Callable[[], Sequence[Candidate]]
    ask: Callable[[Sequence[FeedbackItem]], Sequence[Prediction]] | None = None

    def version(self, candidates: Sequence[Candidate]) -> str | None:
        """The present model, as Label Studio calls it: the one that can be asked, else that of the first prediction."""
        if self.ask is not None and candidates:
            return version_of(self.ask([candidates[0].item])[0])
        return next((version_of(one.prediction) for one in candidates if one.prediction is not None), None)

    def up_to_date(self, candidates: Sequence[Candidate], version: str | None) -> list[Candidate]:
        """The candidates, each with the prediction of this model; None where nobody can tell it."""
        fits = [one.prediction is not None and version_of(one.prediction) == version for one in candidates]
        asked = [one.item for one, fit in zip(candidates, fits, strict=True) if not fit]
        said: Iterator[Prediction | None] = iter(self.ask(asked) if self.ask and asked else [None] * len(asked))
        return [one if fit else replace(one, prediction=next(said)) for one, fit in zip(candidates, fits, strict=True)]


def from_file(
    path: str, columns: Mapping[str, str], progress: Progress, *, limit: int | None = None
) -> tuple[list[Candidate], str | None]:
    """The items of a file, with the predictions that `feedback classify` wrote beside them as JSON Lines.

    An item is known by its ``id``, else its ``external_id``, else its text. Labels in the file are left out, but for
    those that `feedback data check` doubted.

    Returns:
        The items, and what was left out in words, or None.

    Raises:
        DataError: the file cannot be read, or nothing in it can be used.
    """
    found: list[Candidate] = []
    faults: list[str] = []
    with progress.stage(f"reading {path}", None, "items") as advance:
        for place, row in islice(read_placed(path, columns), limit):
            one = row if isinstance(row, Reject) else _read(place, row)
            if isinstance(one, Reject):
                faults.append(str(one))
            else:
                found.append(one)
            advance(1)
    more = f"; and {len(faults) - _SHOWN_FAULTS} more" if len(faults) > _SHOWN_FAULTS else ""
    left_out = f"{len(faults)} row(s) left out: {'; '.join(faults[:_SHOWN_FAULTS])}{more}" if faults else None
    if not found:
        raise DataError(f"{path}: no row can be used; {left_out}")
    return found, left_out


def _read(place: str, row: LabeledItem) -> Candidate | Reject:
    try:
        return candidate_of(row)
    except ValidationError as error:
        return Reject(place, f"prediction: {'; '.join(describe(error))}", None)


def candidate_of(row: LabeledItem) -> Candidate:
    """A record to be labelled, without its labels, with the prediction in its ``meta``; ValidationError if that is
    none."""
    meta = dict(row.meta)
    said = meta.pop("prediction", None)
    fields = row.model_dump(exclude_unset=True, exclude=set(_LABELS)) | ({"meta": meta} if meta else {})
    if not meta:
        fields.pop("meta", None)
    item = FeedbackItem.model_validate(fields)
    prediction = None if said is None else Prediction.model_validate(said)
    doubt = max((each.margin for each in doubts_of(item).values()), default=None)
    return Candidate(item.id or item.external_id or _id_of(item.text), item, prediction, doubt=doubt)


def _id_of(text: str) -> str:
    return f"text-{hashlib.sha256(fingerprint(text).encode()).hexdigest()[:16]}"
