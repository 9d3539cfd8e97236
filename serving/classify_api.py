"""The endpoint POST /classify: what waits at the same time is computed together.

BentoML's own endpoint is the description of it, and would answer alike; but it makes the JSON schema of the answer anew
for every request, which takes longer than all else.
"""

import asyncio
import logging
import time
from collections.abc import Callable, MutableMapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeVar

from pydantic import JsonValue, TypeAdapter

from models.errors import FeedbackError
from models.records import FeedbackItem, Said
from serving.api import ClassifyRequest, ItemResult
from serving.batching.batcher import Batcher
from serving.batching.limits import OverloadedError
from serving.classify import checked, results_of
from serving.gate import App, Gate, Receive, Send, error_body, send_answer
from serving.routing.compiled import Rules
from serving.settings import MAX_BODY, TIMEOUT

log = logging.getLogger(__name__)

PATH = "/classify"
#: Seconds after which a caller may try again while the service starts.
_SOON = 5
_RESULTS = TypeAdapter(list[ItemResult])
_Shape = TypeVar("_Shape")


class Classifying(NamedTuple):
    """Classifies raw items with others that wait."""

    batcher: Batcher
    rules: Callable[[], Rules]

    def enter(
        self, raw_items: Sequence[JsonValue], explain: bool, shape: Callable[[list[ItemResult]], _Shape]
    ) -> "asyncio.Future[_Shape]":
        """The results in this shape, which is given to them by the thread that computes.

        Raises:
            OverloadedError: they would wait too long.
        """
        moment, rules = datetime.now(UTC), self.rules()
        items = [checked(raw) for raw in raw_items]

        def finish(said: Sequence[Said]) -> _Shape:
            return shape(results_of(raw_items, items, said, rules, moment, explain=explain))

        good = [item for item in items if isinstance(item, FeedbackItem)]
        if good:
            return self.batcher.enter(good, time.monotonic() + TIMEOUT, finish)
        answer: asyncio.Future[_Shape] = asyncio.get_running_loop().create_future()
        answer.set_result(finish([]))
        return answer


class ClassifyRoute:
    """ASGI middleware that answers POST /classify and passes the rest on.

    Who cannot be taken now is refused before anything of the request is read; ``classifying`` gives what it works
    with, once the service has started.
    """

    def __init__(self, app: App, *, classifying: Callable[[], Classifying | None]) -> None:
        self._app, self._classifying = app, classifying
        self._own = Gate(self._answer, max_body=MAX_BODY, shapes={PATH: ClassifyRequest})

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer or pass on."""
        if scope["type"] != "http" or scope["path"] != PATH or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        ready = self._classifying()
        if ready is None:
            await _later(send, 503, "the service is starting", _SOON)
            return
        try:
            ready.batcher.check()
        except OverloadedError as error:
            await _refuse(send, error)
            return
        await self._own({**scope, "ready": ready}, receive, send)

    async def _answer(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        ready: Classifying = scope["ready"]
        wanted = ClassifyRequest.model_validate_json((await receive())["body"])
        try:
            answer = ready.enter(wanted.items, wanted.explain, _RESULTS.dump_json)
        except OverloadedError as error:
            await _refuse(send, error)
            return
        listening = asyncio.ensure_future(_until_gone(receive, answer))
        try:
            body = await answer
        except asyncio.CancelledError:
            if listening.done():  # nobody is there any more
                return
            raise
        except FeedbackError as error:
            await send_answer(send, error.http_status, error_body(str(error)))
        except Exception as error:  # noqa: BLE001  (what it says may be what a customer wrote)
            log.error("a request failed: %s", type(error).__name__)
            await send_answer(send, 500, error_body("the model failed; the log of the service says more"))
        else:
            await send_answer(send, 200, body)
        finally:
            listening.cancel()


async def _until_gone(receive: Receive, answer: "asyncio.Future[bytes]") -> None:
    """Cancel the answer when who asked hangs up."""
    while (await receive())["type"] != "http.disconnect":
        continue
    answer.cancel()


async def _refuse(send: Send, error: OverloadedError) -> None:
    await _later(send, error.http_status, str(error), error.retry_after)


async def _later(send: Send, status: int, message: str, seconds: int) -> None:
    await send_answer(send, status, error_body(message), [(b"retry-after", str(seconds).encode())])
