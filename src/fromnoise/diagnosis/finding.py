"""A finding: one thing that was looked at, how serious it is, what was measured, and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Level = Literal["fault", "worth knowing", "good"]
ORDER: tuple[Level, ...] = ("fault", "worth knowing", "good")


@dataclass(frozen=True)
class Finding:
    """name: two or three words. says: one or two sentences with the numbers. do: what to do next, or "".

    numbers: the same figures for programs, plain JSON.
    """

    name: str
    level: Level
    says: str
    do: str = ""
    numbers: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """A plain dict."""
        return asdict(self)


def by_weight(findings: Sequence[Finding]) -> list[Finding]:
    """Faults first, then what is worth knowing, then what is good; in each the order of the checks, causes first."""
    return sorted(findings, key=lambda finding: ORDER.index(finding.level))
