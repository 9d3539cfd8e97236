"""The BentoML service: wiring only. What it does stands in :mod:`serving.classify`."""

import asyncio
import gc
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from models.threads import calm_barriers

calm_barriers()
os.environ.setdefault("BENTOML_DO_NOT_TRACK", "True")

import bentoml  # noqa: E402  (compute libraries are loaded after their settings)
from sqlalchemy import Engine  # noqa: E402

from labeling.backend.app import Answerer, BackendRoutes  # noqa: E402
from labeling.backend.blind import blind_items  # noqa: E402
from labeling.backend.hints import leave_hint  # noqa: E402
from labeling.studio.tasks import version_of_model  # noqa: E402
from models.classifier import Classifier  # noqa: E402
from models.records import FeedbackItem, Prediction  # noqa: E402
from serving.api import ClassifyRequest, Explain, ItemResult, RawItems  # noqa: E402
from serving.classify import classify  # noqa: E402
from serving.feedback_api import Backend, FeedbackRoutes  # noqa: E402
from serving.gate import Gate  # noqa: E402
from serving.item_page import ItemPages  # noqa: E402
from serving.links import links_of  # noqa: E402
from serving.parent import end_with_parent  # noqa: E402
from serving.readiness import Readiness, ReadinessDetail  # noqa: E402
from serving.routing.check import checked_rules  # noqa: E402
from serving.routing.compiled import Rules  # noqa: E402
from serving.routing.load import DEFAULT_RULES, load_rules  # noqa: E402
from serving.routing.watch import LiveRules  # noqa: E402
from serving.settings import MAX_BODY, MAX_WAITING, TIMEOUT, load_settings  # noqa: E402
from serving.similar import Similar  # noqa: E402
from serving.store.health import Health  # noqa: E402
from serving.store.schema import open_store  # noqa: E402

_settings = load_settings()


@bentoml.service(
    name="feedback-classifier",
    workers=_settings.workers,
    traffic={"timeout": TIMEOUT, "max_concurrency": MAX_WAITING},
    logging={"access": {"enabled": False}},
)
class FeedbackService:
    """Classifies customer feedback and says which team owns it."""

    def __init__(self) -> None:
        end_with_parent("bentoml")
        settings = _settings
        self._classifier = Classifier.load(settings.model, settings.threads)
        self._compute = ThreadPoolExecutor(1, thread_name_prefix="classify")
        changes = bentoml.metrics.Counter("feedback_rules_changes", "Changed rules files, taken or refused", ["result"])
        # rules the operator gave must fit the model; of the default ones some may never hold
        self._rules = LiveRules(
            settings.rules or DEFAULT_RULES,
            self._fit_rules if settings.rules else load_rules,
            lambda taken: changes.labels(result="taken" if taken else "refused").inc(),
        )
        self._rules.start()
        self._engine = open_store(settings.address)
        health = Health(self._engine)
        _backend.append(
            Backend(
                engine=self._engine,
                predict=self._predict_elsewhere,
                rules=lambda: self._rules.current,
                similar=Similar(self._engine),
                schema=self._classifier.schema,
                links=links_of(settings),
                health=health,
                writers=ThreadPoolExecutor(_writers(self._engine), thread_name_prefix="write"),
                readers=ThreadPoolExecutor(4, thread_name_prefix="read"),
            )
        )
        _answerer.append(
            Answerer(
                predict=self._classifier.predict,
                schema=self._classifier.schema,
                version=version_of_model(self._classifier.model),
                threads=self._compute,
                on_hint=partial(leave_hint, settings.labelstudio_folder),
                blind=partial(blind_items, settings.labelstudio_folder),
            )
        )
        _readiness.model, _readiness.rules = self._classifier.model.version, self._rules
        _readiness.store = health
        # what is loaded now lives as long as the worker: collecting garbage among it costs 200 ms pauses
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 50, 100)

    @bentoml.api(route="/classify")  # type: ignore[untyped-decorator]  # BentoML's decorator has no types
    async def classify(self, items: RawItems, explain: Explain = False) -> list[ItemResult]:
        """Prediction and routing decision for each item, or the item's own error.

        Items are answered in order; a bad one does not harm the others.
        """
        work = partial(self._answer, items, explain, time.monotonic() + TIMEOUT)
        return await asyncio.get_running_loop().run_in_executor(self._compute, work)

    def _fit_rules(self, path: Path) -> Rules:
        # cases without a prediction ask the model
        return checked_rules(path, self._classifier.schema, self._predict_elsewhere)

    def _predict_elsewhere(self, items: Sequence[FeedbackItem]) -> Sequence[Prediction]:
        """What the model says, from the one thread that computes."""
        return self._compute.submit(self._classifier.predict, items).result(TIMEOUT)

    def _answer(self, items: list[Any], explain: bool, deadline: float) -> list[ItemResult]:
        # whoever asked has been told 504 by then: the work would only delay the others
        if time.monotonic() > deadline:
            return []
        return classify(items, self._classifier, self._rules.current, explain=explain)


def _writers(engine: Engine) -> int:
    # four would fight for Python's lock, and take in a third fewer items a second on two cores. SQLite has one
    # writer anyway; with PostgreSQL one works while another waits for the network
    return 1 if engine.dialect.name == "sqlite" else 2


# the decorator makes a bentoml.Service of the class, which its types do not say
_service: Any = FeedbackService
_readiness = Readiness()
#: What /feedback, /groups and /act work with; empty until the worker has started.
_backend: list[Backend] = []
#: What /labelstudio works with.
_answerer: list[Answerer] = []
# the first is the outermost
_service.add_asgi_middleware(ItemPages, backend=lambda: _backend[0] if _backend else None)
_service.add_asgi_middleware(Gate, max_body=MAX_BODY, shapes={"/classify": ClassifyRequest})
_service.add_asgi_middleware(FeedbackRoutes, backend=lambda: _backend[0] if _backend else None)
_service.add_asgi_middleware(
    BackendRoutes,
    answerer=lambda: _answerer[0] if _answerer else None,
    secret=_settings.labelstudio_secret.get_secret_value(),
)
_service.add_asgi_middleware(ReadinessDetail, state=_readiness)
