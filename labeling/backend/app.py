"""What Label Studio asks of a machine learning backend: predictions for the task that a labeler opens, and where to
tell of answers.

Bulk goes another way, by pushing. Label Studio reports success whatever a backend answers, so nothing here relies on
it; and it has no use for the owner's key, which it is sent with every /setup.
"""

import asyncio
import hmac
from base64 import b64decode
from collections.abc import Callable, Collection, Mapping, MutableMapping, Sequence
from concurrent.futures import Executor
from typing import Any, NamedTuple

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from labeling.backend.offered import missing_answers
from labeling.studio.interface import TEXT
from labeling.studio.tasks import EXTERNAL_ID, shown_prediction
from models.errors import FeedbackError
from models.labels import LabelSchema
from models.records import FeedbackItem, Predict
from models.validation import describe

#: The user of Basic authentication; the password is the secret.
USER = "feedback"
#: The header that holds the secret in what is told of answers: Label Studio has no Basic authentication there.
SECRET_HEADER = "X-Feedback-Secret"  # noqa: S105 - its name
#: What Label Studio is to tell of; all else it would send in vain.
ACTIONS = ("ANNOTATION_CREATED", "ANNOTATION_UPDATED", "ANNOTATIONS_DELETED")
#: Tasks that are predicted together; in between others have their turn.
_TOGETHER = 32


class Answerer(NamedTuple):
    """What the backend works with.

    ``predict`` and ``blind`` are called in ``threads``; ``version`` is what Label Studio calls the model, ``blind``
    tells which of these items nobody shall be shown a prediction of, ``on_hint`` is told the id of a project in which
    somebody answered, and must return at once.
    """

    predict: Predict
    schema: LabelSchema
    version: str
    threads: Executor
    on_hint: Callable[[int], None]
    blind: Callable[[Collection[str]], Collection[str]]


def backend_app(answerer: Callable[[], Answerer | None], secret: str) -> Starlette:
    """The application; GET /health, POST /setup, POST /predict, GET /versions and POST /webhook, all with the secret.

    Args:
        answerer: gives what it works with, once the service has started.
        secret: the password of Basic authentication, and what the header of /webhook holds.
    """
    endpoints = _Endpoints(answerer, secret)
    return Starlette(
        routes=[
            Route("/health", endpoints.health),
            Route("/setup", endpoints.setup, methods=["POST"]),
            Route("/predict", endpoints.predict, methods=["POST"]),
            Route("/versions", endpoints.versions),
            Route("/webhook", endpoints.webhook, methods=["POST"]),
        ],
        exception_handlers={HTTPException: _refused, FeedbackError: _failed},
    )


class BackendRoutes:
    """ASGI middleware that answers what is under /labelstudio, if there is a secret, and passes the rest on."""

    def __init__(self, app: Any, *, answerer: Callable[[], Answerer | None], secret: str) -> None:
        self._app, self._own = app, backend_app(answerer, secret) if secret else None

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        """Answer or pass on."""
        path = str(scope.get("path", ""))
        if self._own is None or scope["type"] != "http" or not path.startswith("/labelstudio/"):
            await self._app(scope, receive, send)
            return
        await self._own({**scope, "path": path.removeprefix("/labelstudio")}, receive, send)


class _Endpoints:
    def __init__(self, answerer: Callable[[], Answerer | None], secret: str) -> None:
        self._answerer, self._secret = answerer, secret

    async def health(self, request: Request) -> JSONResponse:
        """Whether it can answer."""
        self._started(request)
        return JSONResponse({"status": "UP"})

    async def setup(self, request: Request) -> JSONResponse:
        """Which model answers; 422 if the project lacks answers that it would give."""
        answerer = self._started(request)
        body = await _object(request)
        if missing := missing_answers(str(body.get("schema", "")), answerer.schema):
            raise HTTPException(422, f"the project cannot show what this model says: {'; '.join(missing)}")
        return JSONResponse({"model_version": answerer.version})

    async def versions(self, request: Request) -> JSONResponse:
        """All models there are."""
        return JSONResponse({"versions": [self._started(request).version]})

    async def predict(self, request: Request) -> JSONResponse:
        """A prediction for each task, in order; what is wrong with a task stands in its place and harms no other."""
        answerer = self._started(request)
        tasks = (await _object(request)).get("tasks")
        if not isinstance(tasks, list):
            raise HTTPException(422, "expected `tasks`, a list, got none")
        loop = asyncio.get_running_loop()
        results: list[Any] = []
        for start in range(0, len(tasks), _TOGETHER):
            some = tasks[start : start + _TOGETHER]
            results += await loop.run_in_executor(answerer.threads, _predictions, answerer, some)
        return JSONResponse({"results": results, "model_version": answerer.version})

    async def webhook(self, request: Request) -> JSONResponse:
        """Note that there is something to pull; what is told is not believed."""
        if not _same(request.headers.get(SECRET_HEADER, ""), self._secret):
            raise HTTPException(401, f"expected the secret in the header {SECRET_HEADER}")
        body = await _object(request)
        project = body.get("project")
        number = project.get("id") if isinstance(project, dict) else None
        if body.get("action") in ACTIONS and type(number) is int and number > 0:
            self._ready().on_hint(number)
        return JSONResponse({"status": "noted"})

    def _started(self, request: Request) -> Answerer:
        if not _same(request.headers.get("Authorization", ""), self._secret, basic=True):
            raise HTTPException(401, f"expected Basic authentication of {USER} with the secret")
        return self._ready()

    def _ready(self) -> Answerer:
        answerer = self._answerer()
        if answerer is None:
            raise HTTPException(503, "the service is starting; try again in a moment")
        return answerer


def _predictions(answerer: Answerer, tasks: Sequence[Any]) -> list[Any]:
    items = [_item(task) for task in tasks]
    blind = answerer.blind([item.id for item in items if isinstance(item, FeedbackItem) and item.id])
    good = [item for item in items if isinstance(item, FeedbackItem) and item.id not in blind]
    found = iter(answerer.predict(good) if good else ())
    results: list[Any] = []
    for item in items:
        if not isinstance(item, FeedbackItem):
            # without a result it is not stored, and stands in Label Studio's log
            results.append({"error": item})
        else:
            # an empty list is no prediction, and no error
            results.append([] if item.id in blind else shown_prediction(next(found)))
    return results


def _item(task: object) -> FeedbackItem | str:
    data = task.get("data") if isinstance(task, dict) else None
    if not isinstance(data, dict):
        return "expected a task with data, got none"
    known = data.get(EXTERNAL_ID)
    given = {"text": data.get(TEXT), "id": str(known)[:200] if isinstance(known, str | int) and known != "" else None}
    try:
        return FeedbackItem.model_validate(given)
    except ValidationError as error:
        return "; ".join(describe(error, FeedbackItem.model_fields))


async def _object(request: Request) -> Mapping[str, Any]:
    try:
        body = await request.json()
    except ValueError:
        raise HTTPException(400, "expected JSON, got something else") from None
    if not isinstance(body, dict):
        raise HTTPException(422, f"expected an object, got {type(body).__name__}")
    return body


def _same(given: str, secret: str, *, basic: bool = False) -> bool:
    if basic:
        scheme, _, encoded = given.partition(" ")
        try:
            given = b64decode(encoded, validate=True).decode() if scheme.lower() == "basic" else ""
        except ValueError:
            return False
        secret = f"{USER}:{secret}"
    # compared in a time that does not tell how much of it was right
    return hmac.compare_digest(given.encode(), secret.encode())


async def _failed(_: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"error": str(error)}, getattr(error, "http_status", 500))


async def _refused(_: Request, error: Exception) -> JSONResponse:
    status = getattr(error, "status_code", 500)
    headers = {"WWW-Authenticate": 'Basic realm="feedback"'} if status == 401 else None
    return JSONResponse({"error": getattr(error, "detail", "")}, status, headers)
