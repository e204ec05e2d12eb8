"""Networks. Each takes (x, code, label) and knows nothing of processes, predictions or samplers.

Names load when they are first used, so that a network loads without the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fromnoise.common.lazy import lazy

if TYPE_CHECKING:
    from fromnoise.nets.registry import NETWORKS, build_net

__all__ = ["NETWORKS", "build_net"]

__getattr__, __dir__ = lazy(__name__, dict.fromkeys(__all__, "fromnoise.nets.registry"))
