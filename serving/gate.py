"""What every request passes before BentoML sees it: content type, size, strict JSON, shape.

BentoML's own parsing accepts bodies of any size, form data, NaN, duplicate and unknown keys.
"""

import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from typing import Any

from pydantic import BaseModel, JsonValue, RootModel, ValidationError

from models.validation import describe

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]


#: How many times the largest body is still read, to answer its sender.
_DISCARDED = 8


class RefusedError(Exception):
    """A request that is answered here, with its HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Gate:
    """ASGI middleware for POST requests.

    Args:
        app: what comes behind.
        max_body: bytes; a longer body is refused with 413, and never held in memory.
        shapes: per path the model that the body must have.
    """

    def __init__(self, app: App, *, max_body: int, shapes: Mapping[str, type[BaseModel]]) -> None:
        self._app, self._max_body, self._shapes = app, max_body, shapes

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Pass the request on, or answer with 400, 413, 415 or 422 and a message."""
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        try:
            body = await self._body(scope, receive)
            self._check(scope["path"], body)
        except RefusedError as refusal:
            await _answer(send, refusal)
            return
        await self._app(scope, _replay(body, receive), send)

    async def _body(self, scope: MutableMapping[str, Any], receive: Receive) -> bytes:
        headers = {name.lower(): value for name, value in scope["headers"]}
        kind = headers.get(b"content-type", b"").split(b";")[0].strip().lower().decode("latin-1")
        if kind != "application/json":
            raise RefusedError(415, f"expected content type application/json, got {kind or 'none'}")
        # of a body that is too large the rest is read and thrown away, up to a bound: a connection that is
        # closed while the caller still sends is reset, and the caller never sees the answer
        bound = self._max_body * _DISCARDED
        announced = headers.get(b"content-length", b"0")
        if announced.isdigit() and int(announced) > bound:
            raise RefusedError(413, self._too_large())
        parts: list[bytes] = []
        size, more = 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise RefusedError(400, "the body ended early")
            part = message.get("body", b"")
            size += len(part)
            if size <= self._max_body:
                parts.append(part)
            more = message.get("more_body", False) and size <= bound
        if size > self._max_body:
            raise RefusedError(413, self._too_large())
        return b"".join(parts)

    def _too_large(self) -> str:
        return f"expected a body of at most {self._max_body:,} bytes, got more; send fewer items a request"

    def _check(self, path: str, body: bytes) -> None:
        try:
            json.loads(body.decode(), object_pairs_hook=_unique, parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            raise RefusedError(400, f"the body is not valid JSON: {_without_content(error)}") from None
        # the reader that BentoML uses is stricter; what it refuses must not reach it, since it logs the input
        shape = self._shapes.get(path, _AnyJson)
        try:
            shape.model_validate_json(body)
        except ValidationError as error:
            status = 400 if error.errors()[0]["type"] == "json_invalid" else 422
            raise RefusedError(status, "; ".join(describe(error, shape.model_fields, "body"))) from None


class _AnyJson(RootModel[JsonValue]):
    """Where no shape is known: any JSON."""


def _without_content(error: Exception) -> str:
    return f"not UTF-8: {error.reason}" if isinstance(error, UnicodeDecodeError) else str(error)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("an object has the same key twice")
    return found


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _replay(body: bytes, receive: Receive) -> Receive:
    sent = False

    async def replayed() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replayed


async def _answer(send: Send, refusal: RefusedError) -> None:
    closing = [(b"connection", b"close")] if refusal.status == 413 else []
    await send_answer(send, refusal.status, error_body(str(refusal)), closing)


def error_body(message: str) -> bytes:
    """What is said of an error, as JSON."""
    return json.dumps({"error": message}).encode()


async def send_answer(
    send: Send,
    status: int,
    body: bytes,
    more: Sequence[tuple[bytes, bytes]] = (),
    content_type: bytes = b"application/json",
) -> None:
    """Answer a request from a middleware, with ``more`` headers."""
    headers = [(b"content-type", content_type), (b"content-length", str(len(body)).encode()), *more]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
