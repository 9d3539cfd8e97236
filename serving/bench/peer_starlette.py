"""For comparison, the model in Starlette, of which FastAPI is made, as one begins: an endpoint computes in a thread.

An encoder is run by a pipeline of `transformers`, with a head of its own that was never trained, since only the time
counts; a model without one by :class:`Classifier`.
"""

import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from models.threads import calm_barriers, use_threads

calm_barriers()

from anyio import CapacityLimiter, to_thread  # noqa: E402  (compute libraries are loaded after their settings)
from starlette.applications import Starlette  # noqa: E402
from starlette.requests import Request  # noqa: E402
from starlette.responses import JSONResponse  # noqa: E402
from starlette.routing import Route  # noqa: E402

from models import artifact  # noqa: E402
from models.classifier import Classifier  # noqa: E402
from models.reading import ENCODER, settings_of  # noqa: E402
from models.records import FeedbackItem  # noqa: E402

Answer = Callable[[Sequence[str]], list[Any]]


def _answerer(folder: Path) -> Answer:
    encoder = folder / artifact.TRANSFORMER / ENCODER
    if not encoder.is_dir():
        classifier = Classifier.load(folder, 1)
        return lambda texts: [
            classifier.predict([FeedbackItem(text=text)])[0].model_dump(mode="json", by_alias=True) for text in texts
        ]
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline, utils

    utils.logging.set_verbosity_error()
    use_threads(1)
    tokenizer = AutoTokenizer.from_pretrained(encoder)
    network = AutoModelForSequenceClassification.from_pretrained(encoder, num_labels=12)
    classify = pipeline("text-classification", model=network, tokenizer=tokenizer, device="cpu")
    longest = settings_of(folder / artifact.TRANSFORMER)["max_length"]
    return lambda texts: classify(list(texts), truncation=True, max_length=longest, top_k=None)


@asynccontextmanager
async def _loaded(app: Starlette) -> AsyncIterator[None]:
    app.state.answer, app.state.one = _answerer(Path(os.environ["FEEDBACK_MODEL"])), CapacityLimiter(1)
    yield


async def _classify(request: Request) -> JSONResponse:
    texts = (await request.json())["texts"]
    # one at a time: several would fight for the same core
    answers = await to_thread.run_sync(request.app.state.answer, texts, limiter=request.app.state.one)
    return JSONResponse(answers)


async def _ready(_: Request) -> JSONResponse:
    return JSONResponse({"ready": True})


app = Starlette(routes=[Route("/classify", _classify, methods=["POST"]), Route("/readyz", _ready)], lifespan=_loaded)
