"""The endpoints under /feedback and /groups: taking items in, looking them up, following them.

BentoML's own endpoints answer POST only, and always with 200; these stand beside them, behind the same gate, time
limit and limit of requests under way.
"""

import asyncio
import logging
import time
from collections.abc import Callable, MutableMapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError
from pydantic_core import to_json
from sqlalchemy import Engine
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from models.errors import FeedbackError, InputError, place_of
from models.labels import LabelSchema
from models.records import PredictEach
from models.validation import describe
from serving.api import ClassifyRequest
from serving.gate import App, Receive, Send
from serving.intake import TakenItem, take
from serving.life import Act, Words, act, act_on_group
from serving.links import Links
from serving.request_metrics import endpoint_of
from serving.routing.compiled import Rules
from serving.similar import Similar
from serving.store.engine import BUSY, StoreError
from serving.store.groups import MAX_ADDED, add_to_group, get_group, make_group
from serving.store.health import Health
from serving.store.queries import MAX_PAGE, Filter, find
from serving.store.record import get

log = logging.getLogger(__name__)

#: Seconds after which a caller may try again when the store is away.
RETRY_AFTER = 5
_Shape = TypeVar("_Shape", bound=BaseModel)
_STATUS = {"stored": 201, "duplicate": 200, "conflict": 409, "invalid": 422, "failed": 500}


class Backend(NamedTuple):
    """What the endpoints work with; ``predict`` may be called from any thread.

    ``readers`` are threads beside the ``writers``: what cannot be written does not keep anybody from reading.
    """

    engine: Engine
    predict: PredictEach
    rules: Callable[[], Rules]
    similar: Similar
    schema: LabelSchema
    links: Links | None
    health: Health
    writers: ThreadPoolExecutor
    readers: ThreadPoolExecutor


class PageOptions(BaseModel):
    """Which page of a list, how long, and whether each item comes with its latest ``prediction`` and its ``record``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cursor: str | None = None
    limit: int = Field(default=50, ge=1, le=MAX_PAGE)
    include: Literal["prediction"] | None = None


class UnreadyError(Exception):
    """The worker has not started yet."""


def feedback_app(backend: Callable[[], Backend | None]) -> Starlette:
    """The application; ``backend`` gives what it works with once the worker has started."""
    endpoints = _Endpoints(backend)
    return Starlette(
        routes=[
            Route("/feedback", endpoints.take, methods=["POST"]),
            Route("/feedback", endpoints.find, methods=["GET"]),
            Route("/feedback/{id:str}", endpoints.get, methods=["GET"]),
            Route("/feedback/{id:str}/events", endpoints.act, methods=["POST"]),
            Route("/groups", endpoints.make_group, methods=["POST"]),
            Route("/groups/{id:str}", endpoints.get_group, methods=["GET"]),
            Route("/groups/{id:str}/items", endpoints.add_to_group, methods=["POST"]),
            Route("/groups/{id:str}/events", endpoints.act_on_group, methods=["POST"]),
        ],
        exception_handlers={
            FeedbackError: _failed,
            UnreadyError: _unready,
            HTTPException: _refused,
            Exception: _broken,
        },
    )


class FeedbackRoutes:
    """ASGI middleware that answers what is under /feedback and /groups, and passes the rest on."""

    def __init__(self, app: App, *, backend: Callable[[], Backend | None]) -> None:
        self._app, self._own = app, feedback_app(backend)

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer or pass on."""
        if scope["type"] != "http" or scope["path"].split("/")[1:2] not in (["feedback"], ["groups"]):
            await self._app(scope, receive, send)
            return
        try:
            await self._own(scope, receive, send)
        except Exception as error:  # noqa: BLE001  (it has been answered; what it says may be what a customer wrote)
            log.error("%s %s failed: %s", scope["method"], endpoint_of(scope["path"]), place_of(error))


class _Endpoints:
    def __init__(self, backend: Callable[[], Backend | None]) -> None:
        self._backend = backend

    async def take(self, request: Request) -> Response:
        """One record, a list of them, or an object with `items`: stored, decided and on their way when answered."""
        body = await request.json()
        if isinstance(body, dict) and "items" not in body:
            (result,) = await self._write(partial(_take, raw=[body]))
            return _answer(_STATUS[result.status], result)
        try:
            request_of = ClassifyRequest.model_validate({"items": body} if isinstance(body, list) else body)
        except ValidationError as error:
            return _answer(422, {"error": "; ".join(describe(error, ClassifyRequest.model_fields, "body"))})
        results = await self._write(partial(_take, raw=request_of.items))
        return _answer(200, results)

    async def find(self, request: Request) -> Response:
        """A page of the items that fit the filter in the query."""
        given = dict(request.query_params)
        try:
            page = PageOptions.model_validate(
                {name: given.pop(name) for name in PageOptions.model_fields if name in given}
            )
            wanted = Filter.model_validate(given)
        except ValidationError as error:
            known = [*Filter.model_fields, *PageOptions.model_fields]
            return _answer(422, {"error": "; ".join(describe(error, known, "query"))})
        found = await self._read(
            lambda backend: find(
                backend.engine,
                wanted,
                datetime.now(UTC),
                cursor=page.cursor,
                limit=page.limit,
                predictions=page.include is not None,
            )
        )
        return _answer(200, {"items": found.items, "next": found.next})

    async def get(self, request: Request) -> Response:
        """All that is known of one item."""
        identity = request.path_params["id"]
        found = await self._read(lambda backend: get(backend.engine, identity))
        if found is None:
            return _no_item(identity)
        return _answer(200, found)

    async def act(self, request: Request) -> Response:
        """What somebody did with an item; 200 whether it changed anything or had been done before."""
        identity = request.path_params["id"]
        wanted = _body(Act, await request.json())
        done = await self._write(
            lambda backend: act(backend.engine, identity, wanted, backend.rules(), backend.schema, datetime.now(UTC))
        )
        return _no_item(identity) if done is None else _answer(200, done._asdict())

    async def make_group(self, request: Request) -> Response:
        """A group of items that are about the same."""
        wanted = _body(NewGroup, await request.json())
        made = await self._write(
            lambda backend: make_group(backend.engine, wanted.title, wanted.actor, datetime.now(UTC))
        )
        return _answer(201, {"id": made})

    async def get_group(self, request: Request) -> Response:
        """What a group is about, and how many of its items are in which state."""
        identity = request.path_params["id"]
        found = await self._read(lambda backend: get_group(backend.engine, identity))
        return _no_group(identity) if found is None else _answer(200, found)

    async def add_to_group(self, request: Request) -> Response:
        """Bring items into a group."""
        identity = request.path_params["id"]
        wanted = _body(Members, await request.json())
        added = await self._write(
            lambda backend: add_to_group(backend.engine, identity, wanted.items, wanted.actor, datetime.now(UTC))
        )
        return _no_group(identity) if added is None else _answer(200, {"added": added})

    async def act_on_group(self, request: Request) -> Response:
        """Bring all items of a group into a state."""
        identity = request.path_params["id"]
        wanted = _body(Act, await request.json())
        changed = await self._write(lambda backend: act_on_group(backend.engine, identity, wanted, datetime.now(UTC)))
        return _no_group(identity) if changed is None else _answer(200, {"changed": changed})

    async def _write(self, work: Callable[[Backend], Any]) -> Any:
        backend = self._started()
        return await in_thread(backend, backend.writers, partial(work, backend))

    async def _read(self, work: Callable[[Backend], Any]) -> Any:
        backend = self._started()
        return await in_thread(backend, backend.readers, partial(work, backend))

    def _started(self) -> Backend:
        backend = self._backend()
        if backend is None:
            raise UnreadyError
        return backend


async def in_thread(backend: Backend, threads: ThreadPoolExecutor, work: Callable[[], Any]) -> Any:
    """Work in one of these threads; what is found of the store is remembered.

    Raises:
        StoreError: the store is away, or no thread was free for as long as it may keep anybody waiting.
    """
    until = time.monotonic() + BUSY

    def begun() -> Any:
        if time.monotonic() > until:
            raise StoreError(f"the store cannot be used now: those before took longer than {BUSY:g} seconds")
        return work()

    try:
        return await asyncio.get_running_loop().run_in_executor(threads, begun)
    except StoreError as error:
        backend.health.failed(error)
        raise


class NewGroup(BaseModel):
    """A group to be made: what it is about, and who makes it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: Words
    actor: Words


class Members(BaseModel):
    """Ids of items that belong to a group, and who says so."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    items: Annotated[list[str], Field(min_length=1, max_length=MAX_ADDED)]
    actor: Words


def _body(shape: type[_Shape], body: JsonValue) -> _Shape:
    try:
        return shape.model_validate(body)
    except ValidationError as error:
        raise InputError("; ".join(describe(error, shape.model_fields, "body"))) from None


def _no_item(identity: str) -> Response:
    return _answer(404, {"error": f"no item {identity[:60]!r}; its id stands in the answer that stored it"})


def _no_group(identity: str) -> Response:
    return _answer(404, {"error": f"no group {identity[:60]!r}; its id stands in the answer that made it"})


def _take(backend: Backend, raw: Sequence[JsonValue]) -> list[TakenItem]:
    return take(backend.engine, raw, backend.predict, backend.rules(), backend.similar, datetime.now(UTC))


def _answer(status: int, content: object, headers: dict[str, str] | None = None) -> Response:
    return Response(to_json(content), status, headers, media_type="application/json")


async def _failed(_: Request, error: Exception) -> Response:
    status = getattr(error, "http_status", 500)
    headers = {"Retry-After": str(RETRY_AFTER)} if isinstance(error, StoreError) else None
    return _answer(status, {"error": str(error)}, headers)


async def _refused(_: Request, error: Exception) -> Response:
    return _answer(getattr(error, "status_code", 500), {"error": getattr(error, "detail", "")})


async def _broken(_: Request, __: Exception) -> Response:
    return _answer(500, {"error": "this failed; the log of the service says where"})


async def _unready(_: Request, __: Exception) -> Response:
    return _answer(503, {"error": "the service is starting"}, {"Retry-After": str(RETRY_AFTER)})
