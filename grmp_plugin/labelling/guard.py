"""Which requests are answered: the right host, secret, origin and size."""

import hmac
import ipaddress
import socket
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST_BYTES = 4096
"""Most bytes of a request's body."""

_LOCAL_NAMES = frozenset({"localhost"})


class Guard:
    """Passes on requests that come from the page; every answer tells the browser to load nothing else.

    Args:
        app: What answers.
        secret: First part of every path.
        names: Host names of this machine, beside `localhost` and addresses.
        policy: Content-Security-Policy of every answer.
    """

    def __init__(self, app: ASGIApp, secret: str, names: frozenset[str], policy: str) -> None:
        self._app, self._secret, self._policy = app, secret, policy
        self._names = _LOCAL_NAMES | {name.casefold() for name in names}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        refused = self._refusal(scope)
        if refused is not None:
            code, why = refused
            answer = JSONResponse({"error": why}, code)
            await answer(scope, receive, self._with_headers(send))
            return
        body = await _whole_body(receive)
        if body is None:
            answer = JSONResponse({"error": "too large"}, 413)
            await answer(scope, receive, self._with_headers(send))
            return
        await self._app(scope, _once(body, receive), self._with_headers(send))

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        """Status and reason for which a request is refused; None where it is answered."""
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        # A page of a foreign name that leads to this machine's address must not read the answers.
        if len(hosts) != 1 or not self._is_own(urlsplit(f"//{hosts[0]}").hostname):
            return 403, "unknown host"
        secret = scope["path"].split("/", 2)[1] if scope["path"].startswith("/") else ""
        if not hmac.compare_digest(secret.encode(), self._secret.encode()):
            return 404, "not found"
        if scope["method"] not in ("GET", "HEAD", "POST"):
            return 405, "not allowed"
        origin = headers.get("origin")
        foreign = origin is not None and urlsplit(origin).netloc != hosts[0]
        if foreign or (scope["method"] == "POST" and origin is None):
            return 403, "foreign origin"
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > MOST_BYTES:
            return 413, "too large"
        return None

    def _is_own(self, host: str | None) -> bool:
        if host is None:
            return False
        if host.casefold() in self._names:
            return True
        try:
            ipaddress.ip_address(host)
        except ValueError:
            return False
        return True  # no name that could have been led here

    def _with_headers(self, send: Send) -> Send:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["content-security-policy"] = self._policy
                headers["x-content-type-options"] = "nosniff"
                headers["referrer-policy"] = "no-referrer"
                headers["cross-origin-resource-policy"] = "same-origin"
                headers["cross-origin-opener-policy"] = "same-origin"
                headers["cache-control"] = "no-store"
            await send(message)

        return sending


def own_names(host: str) -> frozenset[str]:
    """Names under which colleagues may reach this machine, with the one that was declared."""
    return frozenset({host, socket.gethostname(), socket.getfqdn()})


async def _whole_body(receive: Receive) -> bytes | None:
    """The body of a request; None where it is too large, whatever its headers say."""
    body = b""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return body
        part: bytes = message.get("body", b"")
        body += part
        if len(body) > MOST_BYTES:
            return None
        if not message.get("more_body", False):
            return body


def _once(body: bytes, receive: Receive) -> Callable[[], Awaitable[Message]]:
    """A `receive` that gives the body, and then what the connection gives."""
    given = False

    async def receiving() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receiving
