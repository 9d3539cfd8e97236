"""The page of one item, for people of its team: they follow a signed link from a message and need no login.

A GET changes nothing, since programs follow links in mails before people do; what is done is posted by a form.
"""

from collections.abc import Callable, Mapping, MutableMapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs
from zoneinfo import ZoneInfo

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from models.errors import FeedbackError
from models.validation import describe
from serving.feedback_api import RETRY_AFTER, Backend, UnreadyError, in_thread
from serving.gate import App, Receive, Send
from serving.life import STATES, Act, act, act_on_group
from serving.links import LinkError, Opened
from serving.store.engine import StoreError
from serving.store.groups import get_group
from serving.store.record import get
from serving.store.tables import OPEN

#: Bytes of a form that are read; a note has 4,000 characters, each written with up to twelve bytes.
_LARGEST_FORM = 64_000
_PAGE = Environment(
    loader=FileSystemLoader(Path(__file__).with_name("templates")), autoescape=True, undefined=StrictUndefined
).get_template("item.html.j2")
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex",
}
_LATER = _HEADERS | {"Retry-After": str(RETRY_AFTER)}


class ItemPages:
    """ASGI middleware that answers what is under /act and passes the rest on."""

    def __init__(self, app: App, *, backend: Callable[[], Backend | None]) -> None:
        pages = _Pages(backend)
        self._app = app
        self._own = Starlette(
            routes=[Route("/act/{token:str}", pages.show), Route("/act/{token:str}", pages.do, methods=["POST"])],
            exception_handlers={
                LinkError: _refused,
                FeedbackError: _failed,
                UnreadyError: _unready,
                ClientDisconnect: _gone,
            },
        )

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer or pass on."""
        own = scope["type"] == "http" and scope["path"].startswith("/act/")
        await (self._own if own else self._app)(scope, receive, send)


class _Pages:
    def __init__(self, backend: Callable[[], Backend | None]) -> None:
        self._backend = backend

    async def show(self, request: Request) -> Response:
        """The item, and what can be done with it."""
        backend, opened = self._open(request)
        return await self._page(backend, opened, 200, "")

    async def do(self, request: Request) -> Response:
        """Do what the form says, and show what came of it."""
        backend, opened = self._open(request)
        form = await _form(request)
        try:
            wanted = Act.model_validate(
                {
                    "kind": form.get("do", ""),
                    "actor": f"{opened.team} (by link)",
                    "note": form.get("note", ""),
                    "team": form.get("team") or None,
                }
            )
        except ValidationError as error:
            return await self._page(backend, opened, 422, "; ".join(describe(error, Act.model_fields, "form")))
        try:
            await in_thread(backend, backend.writers, lambda: _do(backend, opened, wanted, form.get("group", "")))
        except FeedbackError as error:
            return await self._page(backend, opened, error.http_status, str(error), _headers(error))
        # shown by a GET of its own, so that reloading the page does nothing twice; told by the last part of its address
        # alone, since a proxy may serve it below a path that is not known here
        return RedirectResponse(f"./{request.path_params['token']}", 303, _HEADERS)

    def _open(self, request: Request) -> tuple[Backend, Opened]:
        backend = self._backend()
        if backend is None:
            raise UnreadyError
        if backend.links is None:
            raise LinkError("This service does not open links any more.")
        return backend, backend.links.read(request.path_params["token"])

    async def _page(
        self, backend: Backend, opened: Opened, status: int, error: str, headers: Mapping[str, str] = _HEADERS
    ) -> Response:
        found = await in_thread(backend, backend.readers, lambda: _seen(backend, opened))
        if found is None:
            raise LinkError("The item of this link is not stored here any more.")
        return HTMLResponse(_PAGE.render(**found, error=error, refusal=""), status, headers)


def _do(backend: Backend, opened: Opened, wanted: Act, group: str) -> None:
    now = datetime.now(UTC)
    found = _seen(backend, opened)
    if found is None or not found["may_act"]:
        raise LinkError("The item is another team's now.")
    whole = group and found["group"] is not None and group == found["group"]["id"] and wanted.kind in STATES
    if whole:
        # a link is for one team: what is another's is not settled by it
        act_on_group(backend.engine, group, wanted, now, found["item"]["team"])
    else:
        act(backend.engine, opened.item, wanted, backend.rules(), backend.schema, now)


def _seen(backend: Backend, opened: Opened) -> dict[str, Any] | None:
    """What the page shows; None if there is no such item."""
    item = get(backend.engine, opened.item)
    if item is None:
        return None
    teams = backend.rules().file.teams
    named = {name: team.title for name, team in teams.items()}
    zone = ZoneInfo(teams[opened.team].time_zone if opened.team in teams else "UTC")
    category = backend.schema.tasks.get("category")
    titles = {} if category is None else {label.key: label.name for label in category.labels}
    heard = any(event["kind"] == "escalated" and event["body"]["to"] == opened.team for event in item["events"])
    group = item["group"] and get_group(backend.engine, item["group"])
    return {
        "item": item,
        "titles": titles,
        "teams": named,
        "team": opened.team,
        "group": group,
        "overdue": item["state"] in OPEN and item["due_at"] is not None and item["due_at"] < datetime.now(UTC),
        "may_act": item["team"] == opened.team or heard,
        "clock": lambda moment: f"{moment.astimezone(zone):%-d %B %Y, %H:%M}",
        "zone": zone.key,
    }


async def _form(request: Request) -> Mapping[str, str]:
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _LARGEST_FORM:
            raise LinkError("The note is too long.")
    return {name: values[-1] for name, values in parse_qs(body.decode("utf-8", "replace")).items()}


async def _refused(_: Request, error: Exception) -> Response:
    return HTMLResponse(_PAGE.render(refusal=str(error)), 403, _HEADERS)


async def _failed(_: Request, error: Exception) -> Response:
    status = getattr(error, "http_status", 500)
    page = _PAGE.render(refusal="This cannot be shown now. Try again in a moment.")
    return HTMLResponse(page, status, _headers(error))


async def _unready(_: Request, __: Exception) -> Response:
    return HTMLResponse(_PAGE.render(refusal="The service is starting. Try again in a moment."), 503, _LATER)


def _headers(error: Exception) -> Mapping[str, str]:
    return _LATER if isinstance(error, StoreError) else _HEADERS


async def _gone(_: Request, __: Exception) -> Response:
    return Response(status_code=400)
