"""Work that takes a while, one piece after the other, in a short queue; a newer wish of a page replaces its older."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from fromnoise.studio.security import Refused

T = TypeVar("T")
MOST_WAITING = 8


class Replaced(Exception):
    """Raised inside a piece of work whose page has another wish by now."""


Check = Callable[[], None]
"""Raises Replaced where the work is not wanted any more."""


class Queue:
    """Pieces of work, each in the same thread, each wanted by a page."""

    def __init__(self) -> None:
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="studio")
        self._turn = asyncio.Lock()
        self._newest: dict[str, object] = {}
        self._waiting = 0

    async def do(self, page: str, work: Callable[[Check], T]) -> T:
        """What `work` returns, when its turn has come; Refused where the queue is full or a newer wish came."""
        if self._waiting >= MOST_WAITING:
            raise Refused(503, "too much is waiting already; try again in a moment")
        wish = self._newest[page] = object()

        def check() -> None:
            if self._newest.get(page) is not wish:
                raise Replaced

        self._waiting += 1
        try:
            async with self._turn:
                check()
                return await asyncio.get_running_loop().run_in_executor(self._worker, work, check)
        except Replaced:
            raise Refused(409, "a newer wish took its place") from None
        finally:
            self._waiting -= 1
            if self._newest.get(page) is wish:
                del self._newest[page]
