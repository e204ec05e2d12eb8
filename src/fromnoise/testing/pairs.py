"""Which parts go together: the pairs that are not refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, TypeVar

from fromnoise.common.errors import UsageError
from fromnoise.diffusion.process import Process
from fromnoise.testing.cases import PROCESS_CASES


class Checked(Protocol):
    """A prediction, a distribution of times, a grid or a sampler."""

    def check(self, process: Process) -> None:
        """Raise UsageError where this part makes no sense on `process`."""


Part = TypeVar("Part", bound=Checked)


def is_compatible(part: Checked, process: Process) -> bool:
    """Whether `part` accepts `process`."""
    try:
        part.check(process)
    except UsageError:
        return False
    return True


def compatible_pairs(
    parts: Mapping[str, Part], processes: Mapping[str, Process] = PROCESS_CASES
) -> dict[str, tuple[Part, Process]]:
    """Every pair of a part and a process that it accepts, by name: "trailing-vp"."""
    return {
        f"{name}-{kind}": (part, process)
        for name, part in parts.items()
        for kind, process in processes.items()
        if is_compatible(part, process)
    }
