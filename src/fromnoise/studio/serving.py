"""The server: a socket of this machine, the address for the browser, and the end."""

from __future__ import annotations

import asyncio
import errno
import secrets
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from starlette.datastructures import State
from uvicorn.protocols.http.h11_impl import H11Protocol

from fromnoise.common.errors import PortError, UsageError
from fromnoise.studio.app import build_app
from fromnoise.studio.security import Access

PORT = 8420
LEAST_TOKEN = 16
_TRIED = 100  # ports after the first
_MOST_CONNECTIONS = 512
_FIRST_REQUEST = 10.0  # seconds that a connection may take for its first request
_LINGER = 120.0  # seconds without a page and work, after which `until_closed` ends: hidden pages speak once a minute
_LOCAL = frozenset({"127.0.0.1", "localhost", "[::1]"})


@dataclass(frozen=True)
class Place:
    """Where to listen. port: None for PORT, or the next that is free. token: given where other machines may ask."""

    host: str = "127.0.0.1"
    port: int | None = None
    token: str | None = None

    def access(self, port: int) -> Access:
        """Who may do what there; UsageError for a host that others reach without a token."""
        local = self.host in ("127.0.0.1", "localhost", "::1")
        if not local and self.token is None:
            raise UsageError(
                f"--host {self.host} lets other machines in, and no token was given; add --token with at least "
                f"{LEAST_TOKEN} characters, or leave --host out"
            )
        if self.token is not None and not (
            len(self.token) >= LEAST_TOKEN and self.token.isalnum() and self.token.isascii()
        ):
            raise UsageError(f"--token is not one of at least {LEAST_TOKEN} letters and digits; give such a one")
        names = _LOCAL if local else _LOCAL | {self.host.lower(), socket.gethostname().lower()}
        return Access(names, port, self.token or secrets.token_hex(16), closed=self.token is not None)


def listen(place: Place) -> socket.socket:
    """A socket that listens; PortError where the port is taken, with the next that is free."""
    first = PORT if place.port is None else place.port
    for port in range(first, min(first + _TRIED, 65536)):
        try:
            found = _bound(place.host, port)
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                reason = error.strerror or str(error)
                raise UsageError(
                    f"cannot listen on --host {place.host} ({reason}); give an address of this machine"
                ) from error
            continue
        if place.port in (None, port):
            return found
        found.close()
        raise PortError(f"port {first} is taken; the next free one is {port}: add --port {port}, or leave --port out")
    raise PortError(f"the ports from {first} on are taken; give another --port")


def _bound(host: str, port: int) -> socket.socket:
    family, kind, number, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[
        0
    ]
    found = socket.socket(family, kind, number)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
        found.listen(128)
    except OSError:
        found.close()
        raise
    return found


def serve(root: Path, place: Place, announce: Callable[[str], Any], until_closed: bool = False) -> None:
    """Serve the runs below `root` until the process is stopped.

    Arguments:
        announce: gets the address with the token, once it can be opened.
        until_closed: end also by itself, two minutes after the last page was closed, where nothing is at work.

    Raises:
        UsageError, PortError: for a place that cannot be listened on.
    """
    place.access(0)
    listening = listen(place)
    port = listening.getsockname()[1]
    access = place.access(port)
    app = build_app(root, access)
    name = f"[{place.host}]" if ":" in place.host else place.host
    shown = {"0.0.0.0": socket.gethostname(), "[::]": socket.gethostname()}.get(name, name)
    config = uvicorn.Config(
        app,
        http=_Impatient,
        ws="none",
        log_level="error",
        access_log=False,
        server_header=False,
        timeout_keep_alive=10,
        timeout_graceful_shutdown=2,
        limit_concurrency=_MOST_CONNECTIONS,
        lifespan="off",
    )

    server = _Server(config, app.state, until_closed)
    server.announce = lambda: announce(f"http://{shown}:{port}/?token={access.token}")
    try:
        with listening:
            server.run(sockets=[listening])
    finally:
        app.state.tools.close()


class _Server(uvicorn.Server):
    """Announces itself, ends the streams when it ends, and ends by itself where nobody looks and nothing is at work."""

    announce: Callable[[], Any]

    def __init__(self, config: uvicorn.Config, state: State, until_closed: bool) -> None:
        super().__init__(config)
        self.index, self.streams, self.trainings, self.tools = state.index, state.streams, state.trainings, state.tools
        self.until_closed = until_closed

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and say so."""
        await super().startup(sockets)
        asyncio.get_running_loop().run_in_executor(None, self.index.rows)  # so that the first page need not wait
        self.announce()

    async def on_tick(self, counter: int) -> bool:
        """Whether to end; asked ten times a second."""
        if counter % 10 == 0:
            self.trainings.advance()
        if self.until_closed and counter % 50 == 49 and self.streams.idle > _LINGER and not self._works():
            self.should_exit = True
        ending = await super().on_tick(counter)
        self.streams.closing = self.streams.closing or ending or self.should_exit
        return ending

    def _works(self) -> bool:
        waits = bool(self.trainings.waiting) or self.tools.at_work
        return waits or any(row["state"] == "training" for row in self.index.rows().values())

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the streams, then the rest."""
        self.streams.closing = True
        await super().shutdown(sockets)


class _Impatient(H11Protocol):
    """Closes a connection that brings no whole request head in time: it would keep a place from others."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait."""
        super().connection_made(transport)
        self.loop.call_later(_FIRST_REQUEST, self._close_if_silent)

    def _close_if_silent(self) -> None:
        if self.cycle is None and not self.transport.is_closing():
            self.transport.close()
