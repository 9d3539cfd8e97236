"""The BentoML service: wiring only. What it does stands in :mod:`serving.classify`."""

import asyncio
import gc
import os
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from models.threads import calm_barriers

calm_barriers()
os.environ.setdefault("BENTOML_DO_NOT_TRACK", "True")

import bentoml  # noqa: E402  (compute libraries are loaded after their settings)

from models.classifier import Classifier  # noqa: E402
from serving.api import ClassifyRequest, ItemResult, RawItems  # noqa: E402
from serving.classify import classify  # noqa: E402
from serving.gate import Gate  # noqa: E402
from serving.routing.load import DEFAULT_RULES, load_rules  # noqa: E402
from serving.settings import MAX_BODY, MAX_WAITING, TIMEOUT, Settings  # noqa: E402


@bentoml.service(
    name="feedback-classifier",
    workers=1,
    traffic={"timeout": TIMEOUT, "max_concurrency": MAX_WAITING},
    logging={"access": {"enabled": False}},
)
class FeedbackService:
    """Classifies customer feedback and says which team owns it."""

    def __init__(self) -> None:
        settings = Settings()
        self._classifier = Classifier.load(settings.model)
        # rules the operator gave must fit the model; of the default ones some may never hold
        schema = self._classifier.schema if settings.rules else None
        self._rules = load_rules(settings.rules or DEFAULT_RULES, schema)
        self._compute = ThreadPoolExecutor(max_workers=1, thread_name_prefix="classify")
        if self._classifier.transformer is not None:
            from models.threads import use_threads

            self._compute.submit(use_threads, settings.threads).result()
        # what is loaded now lives as long as the worker: collecting garbage among it costs 200 ms pauses
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 50, 100)

    @bentoml.api(route="/classify")  # type: ignore[untyped-decorator]  # BentoML's decorator has no types
    async def classify(self, items: RawItems) -> list[ItemResult]:
        """Prediction and routing decision for each item, or the item's own error.

        Items are answered in order; a bad one does not harm the others.
        """
        work = partial(self._answer, items, time.monotonic() + TIMEOUT)
        return await asyncio.get_running_loop().run_in_executor(self._compute, work)

    def _answer(self, items: list[Any], deadline: float) -> list[ItemResult]:
        # whoever asked has been told 504 by then: the work would only delay the others
        return [] if time.monotonic() > deadline else classify(items, self._classifier, self._rules)


# the decorator makes a bentoml.Service of the class, which its types do not say
_service: Any = FeedbackService
_service.add_asgi_middleware(Gate, max_body=MAX_BODY, shapes={"/classify": ClassifyRequest})
