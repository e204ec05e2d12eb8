"""What every request passes before a route sees it, and what every answer carries.

- Host: only this machine's names, so that another name that leads here (DNS rebinding) reaches nothing.
- Origin and Sec-Fetch-Site: only this page itself; another site can at most link to it.
- Token: in the address that the studio prints, then a SameSite cookie. Without it nothing can be changed, and a studio
  that serves other machines shows nothing either.
- Bodies are bounded in bytes and in time. Paths never come from a client: routes look names up in lists.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import re
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST_BODY_BYTES = 65_536
MOST_PIXELS_BYTES = 8_000_000  # of a wish that holds an image of the model's size
MOST_UPLOAD_BYTES = 20_000_000  # of an image file
MOST_HELD_BYTES = 64_000_000  # of all bodies at once
MOST_BODY_SECONDS = 10.0  # between two pieces of a body
MOST_UPLOAD_SECONDS = 120.0
CHANGING = ("POST",)
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


class Refused(Exception):
    """A request that is not answered; `status` is that of HTTP, the text one sentence."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status

    def response(self) -> Response:
        """The answer."""
        return JSONResponse({"error": str(self)}, self.status)


@dataclass(frozen=True)
class Access:
    """Who may do what.

    Arguments:
        names: hosts that may be named in Host, beside addresses where `closed`; lower case, without the port.
        port: where the studio listens.
        token: what lets a browser change things.
        closed: whether reading needs the token too.
    """

    names: frozenset[str]
    port: int
    token: str
    closed: bool = False

    @property
    def cookie(self) -> str:
        """The cookie's name: browsers share cookies between the ports of a machine."""
        return f"fromnoise-{self.port}"

    def knows_host(self, host: str) -> bool:
        """Whether `host`, the value of a Host header, is a name of this studio."""
        if self.port == 80 and not host.endswith(":80"):  # which browsers leave out
            host += ":80"
        name, colon, port = host.lower().rpartition(":")
        if not colon or port != str(self.port):
            return False
        return name in self.names or (self.closed and _is_address(name))

    def has_token(self, headers: Headers) -> bool:
        """Whether the cookie holds the token."""
        token = cookie_parser(headers.get("cookie", "")).get(self.cookie)  # past those that other programs set
        return token is not None and self.is_token(token)

    def is_token(self, text: str) -> bool:
        """Whether `text` is the token, compared in a time that tells nothing."""
        return hmac.compare_digest(text.encode(), self.token.encode())


class Guard:
    """Lets through to `app` what `access` allows."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self.app, self.access, self.held = app, access, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        guarded = _with_headers(send)
        try:
            if scope["type"] != "http":
                raise Refused(400, "only HTTP is served here")
            answer = self._checked(scope)
        except Refused as refused:
            answer = refused.response()
        if answer is not None:
            return await answer(scope, receive, guarded)
        body = _Bounded(receive, self, _bounds(scope["path"])[1])
        try:
            await self.app(scope, body, guarded)
        finally:
            self.held -= body.bytes

    def _checked(self, scope: Scope) -> Response | None:
        """None where the request may pass, or the answer that sets the cookie. Raises Refused."""
        headers, method = Headers(scope=scope), scope["method"]
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self.access.knows_host(hosts[0]):
            raise Refused(403, "this host is not served; open the address that the studio printed")
        self._check_origin(headers, hosts[0], scope)
        if method not in ("GET", "HEAD", *CHANGING):
            raise Refused(405, f"{method} is not answered; use GET or POST")
        if scope["path"] == "/" and (tokens := parse_qs(scope["query_string"].decode("latin-1")).get("token")):
            return self._welcome(tokens[0])
        if (method in CHANGING or self.access.closed) and not self.access.has_token(headers):
            raise Refused(401, "the token is missing; open the address that the studio printed")
        if method in CHANGING:
            _check_body(headers, *_bounds(scope["path"]))
        return None

    def _check_origin(self, headers: Headers, host: str, scope: Scope) -> None:
        """Raise Refused where another site's page asks."""
        origin = headers.get("origin")
        if origin is not None and origin.lower() != f"http://{host.lower()}":
            raise Refused(403, "another site may not ask here")
        if origin is None and scope["method"] in CHANGING:
            raise Refused(403, "the origin is missing; only the studio's own page may change things")
        if headers.get("sec-fetch-site") in ("cross-site", "same-site"):
            link = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
            if not (link and scope["method"] == "GET" and scope["path"] == "/"):
                raise Refused(403, "another site may not ask here")

    def _welcome(self, token: str) -> Response:
        """The page's address without the token, which the cookie holds from now on."""
        if not self.access.is_token(token):
            raise Refused(401, "the token is not this studio's; open the address that it printed")
        answer = RedirectResponse("/", 303)
        answer.set_cookie(self.access.cookie, self.access.token, httponly=True, samesite="strict", path="/")
        return answer


class _Bounded:
    """Receives a body up to its bounds; Refused beyond them."""

    def __init__(self, receive: Receive, guard: Guard, most: int) -> None:
        self.receive, self.guard, self.most, self.bytes, self.ended = receive, guard, most, 0, False
        self.until = time.monotonic() + MOST_UPLOAD_SECONDS

    async def __call__(self) -> Message:
        if self.ended:
            return await self.receive()  # a stream waits here for the client to leave
        try:
            left = max(0.0, self.until - time.monotonic())
            message = await asyncio.wait_for(self.receive(), min(MOST_BODY_SECONDS, left))
        except TimeoutError:
            raise Refused(408, "the body did not arrive in time") from None
        came = len(message.get("body", b""))
        self.bytes += came
        self.guard.held += came
        self.ended = not message.get("more_body", False)
        if self.bytes > self.most:
            raise Refused(413, f"the body has more than {self.most:,} bytes")
        if self.guard.held > MOST_HELD_BYTES:
            raise Refused(503, "too much is sent at once; try again in a moment")
        return message


_WIDER = {  # what takes more than a few fields
    re.compile("/api/runs/[^/]+/(look|inpaint)"): ("application/json", MOST_PIXELS_BYTES),
    re.compile("/api/runs/[^/]+/image"): ("application/octet-stream", MOST_UPLOAD_BYTES),
}


def _bounds(path: str) -> tuple[str, int]:
    """(the type, the most bytes) of a body that is sent to `path`."""
    found = (bounds for pattern, bounds in _WIDER.items() if pattern.fullmatch(path))
    return next(found, ("application/json", MOST_BODY_BYTES))


def _check_body(headers: Headers, kind: str, most: int) -> None:
    """Raise Refused for a body of another type, or that announces more bytes than are read."""
    if headers.get("content-type", "").partition(";")[0].strip().lower() != kind:
        raise Refused(415, f"the body is of another type; send {kind}")
    length = headers.get("content-length", "0")
    if not length.isdecimal() or int(length[:20]) > most:
        raise Refused(413, f"the body has more than {most:,} bytes")


def _with_headers(send: Send) -> Send:
    """`send` that adds what every answer carries; a route may have set another policy for its own content."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
            headers.setdefault("cache-control", "no-store")
        await send(message)

    return sending


def _is_address(name: str) -> bool:
    """Whether `name` is a number and no name: nobody can let another's name lead to it."""
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def refusal(_: Any, error: Exception) -> Response:
    """The answer for a Refused that a route has raised."""
    assert isinstance(error, Refused)
    return error.response()
