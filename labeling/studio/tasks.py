"""An item and a prediction as Label Studio's task and prediction."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from labeling.studio.interface import CONTEXT, TEXT
from models.doubts import doubts_of
from models.errors import SchemaError, as_list
from models.records import FeedbackItem, ModelName, Prediction, unsettled_of

if TYPE_CHECKING:
    from label_studio_sdk.label_interface.interface import LabelInterface

#: Field of a task that holds the id of its item: Label Studio gives tasks ids of its own only.
EXTERNAL_ID = "external_id"

#: Between the parts of the context of a task.
BETWEEN = " · "
_SHOWN_FAULTS = 5


def task_data(item_id: str, item: FeedbackItem, *, blind: bool = False) -> dict[str, str]:
    """The data of a task: what the labelling interface shows, and the id of the item.

    Nothing in it tells what the item was chosen for, so that a labeler judges all alike; but where the labels it has
    are doubted it shows these, unless it is to be judged ``blind``.
    """
    data = {TEXT: item.text, EXTERNAL_ID: item_id}
    line = BETWEEN.join(part for part in (context_of(item), "" if blind else _labels_before(item)) if part)
    return data | {CONTEXT: line} if line else data


def _labels_before(item: FeedbackItem) -> str:
    return BETWEEN.join(f"{task} before: {', '.join(doubt.given) or 'none'}" for task, doubt in doubts_of(item).items())


def context_of(item: FeedbackItem) -> str:
    """What is known of an item beside its text, in a line; empty if nothing is."""
    known = [
        item.channel and item.channel.replace("_", " "),
        None if item.rating is None else f"rating {item.rating:g} of 5",
        None if item.nps is None else f"NPS {item.nps} of 10",
        None if item.csat is None else f"CSAT {item.csat:g} of 7",
        None if item.ces is None else f"CES {item.ces:g} of 7",
        item.product,
        item.customer_tier and f"{item.customer_tier} customer",
        item.country,
        item.created_at and item.created_at.date().isoformat(),
        labelled_before(unsettled_of(item.meta)),
    ]
    return BETWEEN.join(" ".join(part.split()) for part in known if part)


def labelled_before(labels: Mapping[str, Sequence[str]]) -> str | None:
    """Labels by task that an item had until one of them was split, in words; None if there are none."""
    said = ", ".join(label for given in labels.values() for label in given)
    return f"labelled before: {said}" if said else None


def version_of(prediction: Prediction) -> str:
    """What Label Studio calls the model of a prediction: its name and its version."""
    return version_of_model(prediction.model)


def version_of_model(model: ModelName) -> str:
    """What Label Studio calls a model: its name and its version."""
    return f"{model.name}-{model.version}"


def shown_prediction(prediction: Prediction) -> dict[str, Any]:
    """A prediction as Label Studio shows it: the labels of each task as the answer of the control of that name.

    Its ``score`` in [0, 1] is the confidence of the least sure task, so that a sort by score brings what is hardest
    first. A task to which no label applies has no answer.
    """
    return {
        "model_version": version_of(prediction),
        "score": min((answer.confidence for answer in prediction.tasks.values()), default=0.0),
        "result": [
            {"from_name": name, "to_name": TEXT, "type": "choices", "value": {"choices": list(answer.labels)}}
            for name, answer in prediction.tasks.items()
            if answer.labels
        ],
    }


def check_predictions(interface: "LabelInterface", shown: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
    """Raise SchemaError unless a project's interface can show all of these; the server takes anything.

    Args:
        interface: that of the project.
        shown: predictions as :func:`shown_prediction` makes them, each with the id of its item.
    """
    faults = list(_faults(interface, shown))
    if faults:
        more = [f"and {len(faults) - _SHOWN_FAULTS:,} more"] if len(faults) > _SHOWN_FAULTS else []
        raise SchemaError(
            f"{len(faults):,} answer(s) that the project's labelling interface does not know, so nothing was sent; make"
            " one of the model's label schema with `feedback label config`, or use a model of the project's labels"
            f"{as_list(faults[:_SHOWN_FAULTS] + more)}"
        )


def _faults(interface: "LabelInterface", shown: Iterable[tuple[str, Mapping[str, Any]]]) -> Iterator[str]:
    found: dict[tuple[str, tuple[str, ...]], str] = {}  # the same answers come again and again
    for item_id, prediction in shown:
        score = prediction["score"]
        if not 0 <= score <= 1:
            yield f"item {item_id}: expected a confidence from 0 to 1, got {score}"
        for region in prediction["result"]:
            key = region["from_name"], tuple(region["value"]["choices"])
            if key not in found:
                alone = {**prediction, "score": 0.5, "result": [region]}
                found[key] = "; ".join(interface.validate_prediction(alone, return_errors=True))
            if found[key]:
                yield f"item {item_id}: {found[key]}"
