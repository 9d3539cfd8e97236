"""The BentoML service: wiring only. What it does stands in :mod:`serving.classify`."""

import gc
import os
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
from models.recent import Recent  # noqa: E402
from models.records import FeedbackItem, Prediction  # noqa: E402
from serving.api import Explain, ItemResult, RawItems  # noqa: E402
from serving.batching.batcher import Batcher  # noqa: E402
from serving.batching.metrics import BatchMetrics  # noqa: E402
from serving.classify_api import Classifying, ClassifyRoute  # noqa: E402
from serving.feedback_api import Backend, FeedbackRoutes  # noqa: E402
from serving.gate import Gate  # noqa: E402
from serving.item_page import ItemPages  # noqa: E402
from serving.links import links_of  # noqa: E402
from serving.parent import end_with_parent, ends_with_this  # noqa: E402
from serving.readiness import Readiness, ReadinessDetail  # noqa: E402
from serving.request_metrics import RequestMetrics  # noqa: E402
from serving.routing.check import checked_rules  # noqa: E402
from serving.routing.compiled import Rules  # noqa: E402
from serving.routing.load import DEFAULT_RULES, load_rules  # noqa: E402
from serving.routing.watch import LiveRules  # noqa: E402
from serving.settings import MAX_BODY, MAX_UNDER_WAY, TIMEOUT, load_settings  # noqa: E402
from serving.similar import Similar  # noqa: E402
from serving.store.health import Health  # noqa: E402
from serving.store.schema import open_store  # noqa: E402

end_with_parent()
_settings = load_settings()
#: URLs that no span is made of: it would hold all of the URL, and so the token of a link, or words that somebody looked
#: for. Only what has neither is traced. OpenTelemetry searches a URL without its query for this.
_UNTRACED = r"^(?!https?://[^/]*/(classify|labelstudio/\w+)\Z)"


@bentoml.service(
    name="feedback-classifier",
    workers=_settings.workers,
    traffic={"timeout": TIMEOUT, "max_concurrency": MAX_UNDER_WAY * _settings.workers},
    logging={"access": {"enabled": False}},
    metrics={"enabled": False},  # see serving.request_metrics
    # spans go nowhere without an exporter, and cost time with every request
    tracing={"excluded_urls": [_UNTRACED if _settings.tracing else ".*"]},
)
class FeedbackService:
    """Classifies customer feedback and says which team owns it."""

    def __init__(self) -> None:
        # not before: the place where workers put their figures is known when BentoML has started
        from prometheus_client import Counter

        settings = _settings
        self._classifier = Classifier.load(settings.model, settings.threads)
        # what is loaded when it is first used is loaded before anybody waits
        self._classifier.predict([FeedbackItem(text="The first parcel arrived in time")])
        # only the thread that computes asks it
        known = Counter("feedback_recent_items", "Items answered as the same text was before")
        predict = Recent(self._classifier.predict, settings.recent, known.inc)
        self._batcher = Batcher(predict, settings.batching, BatchMetrics())
        changes = Counter("feedback_rules_changes", "Changed rules files, taken or refused", ["result"])
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
                predict=partial(self._batcher.said, timeout=TIMEOUT),
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
                predict=self._predict_elsewhere,
                schema=self._classifier.schema,
                version=version_of_model(self._classifier.model),
                threads=ThreadPoolExecutor(1, thread_name_prefix="labelstudio"),
                on_hint=partial(leave_hint, settings.labelstudio_folder),
                blind=partial(blind_items, settings.labelstudio_folder),
            )
        )
        self._classifying = Classifying(self._batcher, lambda: self._rules.current)
        _classifying.append(self._classifying)
        _readiness.model, _readiness.rules = self._classifier.model.version, self._rules
        _readiness.store = health
        # what is loaded now lives as long as the worker: collecting garbage among it costs 200 ms pauses
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 50, 100)

    @bentoml.on_deployment  # type: ignore[untyped-decorator]  # it has no types either
    @staticmethod
    def _deploy() -> None:
        # called in the process that then starts the workers
        os.environ.update(ends_with_this())

    @bentoml.api(route="/classify")  # type: ignore[untyped-decorator]  # BentoML's decorator has no types
    async def classify(self, items: RawItems, explain: Explain = False) -> list[ItemResult]:
        """Prediction and routing decision for each item, or the item's own error.

        Items are answered in order; a bad one does not harm the others.
        """
        return await self._classifying.enter(items, explain, list)

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]  # it has no types either
    def _stop(self) -> None:
        self._batcher.close()

    def _fit_rules(self, path: Path) -> Rules:
        # cases without a prediction ask the model
        return checked_rules(path, self._classifier.schema, self._predict_elsewhere)

    def _predict_elsewhere(self, items: Sequence[FeedbackItem]) -> Sequence[Prediction]:
        """What the model says, from the one thread that computes."""
        return self._batcher.compute(items, TIMEOUT)


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
#: What /classify works with.
_classifying: list[Classifying] = []
# the first is the outermost
_service.add_asgi_middleware(RequestMetrics)
_service.add_asgi_middleware(ItemPages, backend=lambda: _backend[0] if _backend else None)
_service.add_asgi_middleware(ClassifyRoute, classifying=lambda: _classifying[0] if _classifying else None)
_service.add_asgi_middleware(Gate, max_body=MAX_BODY, shapes={})
_service.add_asgi_middleware(FeedbackRoutes, backend=lambda: _backend[0] if _backend else None)
_service.add_asgi_middleware(
    BackendRoutes,
    answerer=lambda: _answerer[0] if _answerer else None,
    secret=_settings.labelstudio_secret.get_secret_value(),
)
_service.add_asgi_middleware(ReadinessDetail, state=_readiness)
