"""A run: one folder that holds a model, how it was trained, and all that was made from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fromnoise.common.lazy import lazy

if TYPE_CHECKING:
    from fromnoise.run.run import Run

__all__ = ["Run"]

__getattr__, __dir__ = lazy(__name__, {"Run": "fromnoise.run.run"})
