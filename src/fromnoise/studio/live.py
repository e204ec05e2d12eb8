"""Server-sent events: what has changed, as soon as it has; a comment now and then where nothing has."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import StreamingResponse

from fromnoise.studio.replies import to_json
from fromnoise.studio.security import Refused

MOST_STREAMS = 64
_BETWEEN = 1.0  # seconds between two looks
_SHARE = 20.0  # a look takes at most this part of the time
_SILENCE = 15.0


class Streams:
    """The streams that are open, and when a page was last heard of, by `time.monotonic`."""

    def __init__(self) -> None:
        self.open, self.closing, self._used = 0, False, time.monotonic()

    @property
    def idle(self) -> float:
        """Seconds since the last stream was closed or a page said that it is open; 0 while a stream is open."""
        return 0.0 if self.open else time.monotonic() - self._used

    def heard(self) -> None:
        """A page is open: some views follow no stream, and a hidden page rests."""
        self._used = time.monotonic()

    def respond(self, name: str, look: Callable[[], dict[str, Any]]) -> StreamingResponse:
        """A stream of events `name`: of the parts that `look` finds those that changed; Refused beyond MOST_STREAMS.

        An event holds `changed`, by name, and `gone`, a list of names. An event `ended` is the last one, where what is
        looked at is not there any more.
        """
        if self.open >= MOST_STREAMS:
            raise Refused(503, f"{MOST_STREAMS} pages are open; close some")
        return StreamingResponse(self._events(name, look), media_type="text/event-stream")

    async def _events(self, name: str, look: Callable[[], dict[str, Any]]) -> AsyncIterator[str]:
        self.open += 1
        try:
            before: dict[str, Any] = {}
            said = 0.0
            while not self.closing:
                began = time.monotonic()
                try:
                    found = await run_in_threadpool(look)
                except HTTPException:  # the run was removed or renamed: an answer that has begun cannot be a 404
                    yield "event: ended\ndata: \n\n"
                    return
                took = time.monotonic() - began
                changed = {key: value for key, value in found.items() if key not in before or before[key] != value}
                gone = [key for key in before if key not in found]
                if changed or gone or not said:
                    yield f"event: {name}\ndata: {to_json({'changed': changed, 'gone': gone})}\n\n"
                    before, said = found, time.monotonic()
                elif time.monotonic() - said > _SILENCE:
                    yield ": still here\n\n"
                    said = time.monotonic()
                await self._pause(max(_BETWEEN, _SHARE * took))
        finally:
            self.open -= 1
            self._used = time.monotonic()

    async def _pause(self, seconds: float) -> None:
        """Wait, but not beyond the end of the server."""
        until = time.monotonic() + seconds
        while not self.closing and (left := until - time.monotonic()) > 0:
            await asyncio.sleep(min(left, 0.25))
