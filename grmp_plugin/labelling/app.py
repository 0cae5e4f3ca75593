"""What the page asks for: who rates, what comes next, votes, and pictures."""

import base64
import hashlib
import json
import math
import re
import unicodedata
from collections.abc import Callable
from dataclasses import asdict
from importlib.resources import files
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from grmp_plugin.errors import ImageError
from grmp_plugin.labelling.guard import Guard
from grmp_plugin.labelling.shown import ShownPictures
from grmp_plugin.labelling.store import Rater, Store
from grmp_plugin.labelling.votes import Window

_LONGEST_NAME = 40  # characters
_LONGEST = 1e6  # seconds of a vote
_LARGEST = 100_000  # side of a window, CSS pixels


class Pages:
    """Answers the page's requests.

    Args:
        store: The session.
        changed: Called after every change of the votes.
    """

    def __init__(self, store: Store, changed: Callable[[], None]) -> None:
        self._store, self._changed = store, changed
        self._pictures = ShownPictures()

    async def page(self, request: Request) -> Response:
        """The page itself."""
        page = page_text()
        return HTMLResponse(
            page.replace('<body data-mode="single">', '<body data-mode="pairs">')
            if self._store.pairs
            else page
        )

    async def enter(self, request: Request) -> Response:
        """Take in a rater by name, or recognise one who says that they come back."""
        data = await _data(request)
        name, back = _rater_name(data.get("name")), data.get("back") is True
        rater = await run_in_threadpool(self._store.enter, name)
        if rater is None and back:
            rater = await run_in_threadpool(self._store.rater, name=name)
        if rater is None:
            return JSONResponse({"error": "known"}, 409)
        return JSONResponse({"token": rater.token, "name": rater.name, "pairs": self._store.pairs})

    async def state(self, request: Request) -> Response:
        """Where the rater stands."""
        return await self._state_of(await self._rater(request))

    async def vote(self, request: Request) -> Response:
        """Record a vote, and say what comes next."""
        rater, data = await self._rater(request), await _data(request)
        arguments = (_whole(data, "task", 2**62), self._value(data), _number(data, "seconds", _LONGEST))
        window = Window(
            _whole(data, "width", _LARGEST), _whole(data, "height", _LARGEST), _number(data, "ratio", 100)
        )
        done = await run_in_threadpool(self._store.vote, rater, *arguments, window)
        if done:
            self._changed()
        return await self._state_of(rater, 200 if done else 409)

    async def undo(self, request: Request) -> Response:
        """Take back the rater's last vote."""
        rater = await self._rater(request)
        await run_in_threadpool(self._store.undo, rater)
        self._changed()
        return await self._state_of(rater)

    async def picture(self, request: Request) -> Response:
        """A picture of one of the rater's tasks."""
        rater = await self._rater(request)
        task, side = (int(request.path_params[name]) for name in ("task", "side"))
        path = await run_in_threadpool(self._store.picture_of, rater, min(task, 2**62), side)
        if path is None:
            raise HTTPException(404, "no such picture")
        try:
            content = await run_in_threadpool(self._pictures.png, path)
        except ImageError as error:
            return JSONResponse({"error": error.message}, 410)
        return Response(content, media_type="image/png")

    async def _rater(self, request: Request) -> Rater:
        token = request.headers.get("x-rater", "")
        rater = await run_in_threadpool(self._store.rater, token=token) if token else None
        if rater is None:
            raise HTTPException(401, "unknown rater")
        return rater

    async def _state_of(self, rater: Rater, code: int = 200) -> Response:
        state = await run_in_threadpool(self._store.state, rater)
        return JSONResponse(asdict(state) | {"name": rater.name, "pairs": self._store.pairs}, code)

    def _value(self, data: dict[str, Any]) -> int | None:
        value = data.get("value")
        allowed = (-1, 0, 1) if self._store.pairs else (1, 2, 3, 4, 5)
        if value is not None and (type(value) is not int or value not in allowed):
            raise HTTPException(400, "no such vote")
        return value


def build_app(store: Store, names: frozenset[str], changed: Callable[[], None]) -> ASGIApp:
    """The application that serves a session.

    Args:
        store: The session.
        names: Host names of this machine; see `Guard`.
        changed: Called after every change of the votes.
    """
    pages, below = Pages(store, changed), f"/{store.secret}"
    routes = [
        Route(f"{below}/", pages.page),
        Route(f"{below}/enter", pages.enter, methods=["POST"]),
        Route(f"{below}/state", pages.state),
        Route(f"{below}/vote", pages.vote, methods=["POST"]),
        Route(f"{below}/undo", pages.undo, methods=["POST"]),
        Route(f"{below}/picture/{{task:int}}/{{side:int}}", pages.picture),
    ]
    app = Starlette(routes=routes, exception_handlers={HTTPException: _refuse})
    return Guard(app, store.secret, names, content_policy(page_text()))


def page_text() -> str:
    """The HTML of the page, which loads nothing but pictures."""
    return files(__package__).joinpath("page.html").read_text(encoding="utf-8")


def content_policy(page: str) -> str:
    """A Content-Security-Policy that allows the page's own script and styles, by their digests."""
    script, style = (
        " ".join(_digest(text) for text in re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL))
        for tag in ("script", "style")
    )
    return (
        f"default-src 'none'; script-src {script}; style-src {style}; img-src blob: data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _refuse(_request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    return JSONResponse({"error": error.detail}, error.status_code)


async def _data(request: Request) -> dict[str, Any]:
    try:
        data = json.loads(await request.body())
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, "not JSON") from error
    if not isinstance(data, dict):
        raise HTTPException(400, "not an object")
    return data


def _rater_name(value: object) -> str:
    """A name of letters, digits and `.-_'`, so that it is harmless in pages, tables and spreadsheets."""
    name = " ".join(unicodedata.normalize("NFC", value).split()) if isinstance(value, str) else ""
    harmless = all(c.isalnum() or unicodedata.category(c).startswith("M") or c in " .-_'" for c in name)
    if not (name and harmless and name[0].isalnum() and len(name) <= _LONGEST_NAME):
        raise HTTPException(400, f"a name has 1 to {_LONGEST_NAME} letters, digits, spaces and . - _ '")
    return name


def _number(data: dict[str, Any], name: str, most: float) -> float:
    value: Any = data.get(name)
    if type(value) not in (int, float) or not math.isfinite(value) or not 0 <= value <= most:
        raise HTTPException(400, f"{name}: not a number from 0 to {most:g}")
    return float(value)


def _whole(data: dict[str, Any], name: str, most: int) -> int:
    value = data.get(name)
    if type(value) is not int or not 0 <= value <= most:
        raise HTTPException(400, f"{name}: not a whole number from 0 on")
    return value
