"""A bound on the pixels that several threads decode at once, so that memory does not grow with their number."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class InFlight:
    """Lets work in while all of it together weighs at most `most`; a heavier piece goes alone."""

    def __init__(self, most: int) -> None:
        self._most, self._weight = most, 0
        self._changed = threading.Condition()

    @contextmanager
    def taking(self, weight: int) -> Iterator[None]:
        """Waits until there is room for `weight`, and holds it."""
        with self._changed:
            self._changed.wait_for(lambda: not self._weight or self._weight + weight <= self._most)
            self._weight += weight
        try:
            yield
        finally:
            with self._changed:
                self._weight -= weight
                self._changed.notify_all()
