"""A finding: what was checked, how severe the result is, what was measured, and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Level = Literal["error", "warning", "ok"]
LEVELS: tuple[Level, ...] = ("error", "warning", "ok")


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Arguments:
        name: two or three words.
        level: "error", "warning" or "ok".
        message: one or two sentences with the measured numbers.
        advice: what to do next, or "".
        numbers: the same numbers for programs, plain JSON.
    """

    name: str
    level: Level
    message: str
    advice: str = ""
    numbers: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """A plain dict."""
        return asdict(self)


def by_severity(findings: Sequence[Finding]) -> list[Finding]:
    """Errors first, then warnings, then ok; within each the order of the checks."""
    return sorted(findings, key=lambda finding: LEVELS.index(finding.level))
