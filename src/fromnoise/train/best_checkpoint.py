"""The checkpoint with the lowest score, and which checkpoints are kept: the newest few, and the best.

checkpoints/best.json  {"images": 120000, "by": "validation loss", "value": 0.0123}
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fromnoise.common.errors import WriteError
from fromnoise.common.progress import report_progress
from fromnoise.common.stored_json import read_stored, write_stored
from fromnoise.train.checkpoint_files import list_checkpoints, remove_checkpoint

VALIDATION_LOSS = "validation loss"
_FORMER_NAMES = {"held-out loss": VALIDATION_LOSS}  # in the best.json of older runs


@dataclass(frozen=True)
class Score:
    """A measure of the weights after `images` images: its name (`by`) and its value; lower is better."""

    images: int
    by: str
    value: float


def best_score(folder: Path) -> Score | None:
    """The score of the best checkpoint in `folder`; None where none is recorded, or where it is gone."""
    try:
        score = _score(read_stored(folder / "best.json"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        report_progress(f"warning: {folder / 'best.json'} is damaged ({reason}), so no checkpoint counts as the best")
        return None
    return score if any(int(path.name) == score.images for path in list_checkpoints(folder)) else None


def _score(content: dict[str, Any]) -> Score:
    """The score that best.json holds; ValueError for anything else."""
    if set(content) != {"images", "by", "value"}:
        raise ValueError(f"it holds {', '.join(content)[:60] or 'nothing'}")
    images, by, value = content["images"], content["by"], content["value"]
    if (
        type(images) is not int
        or not isinstance(by, str)
        or type(value) not in (int, float)
        or not math.isfinite(value)
    ):
        raise ValueError(f"{str(content)[:60]} is not a score")
    return Score(images, _FORMER_NAMES.get(by, by), float(value))


def record_score(folder: Path, score: Score, keep: int) -> None:
    """Record the score of the newest checkpoint where it is the lowest so far; then the former best may be deleted.

    Scores by another measure are not compared: the new one takes their place. A score that is not finite is ignored.
    """
    before = best_score(folder)
    if not math.isfinite(score.value) or (before and before.by == score.by and before.value <= score.value):
        return
    write_stored(folder / "best.json", asdict(score), durable=True, advice="free some space")
    prune_checkpoints(folder, keep)


def prune_checkpoints(folder: Path, keep: int) -> None:
    """Delete all checkpoints but the newest `keep` and the best; raises WriteError."""
    best = best_score(folder)
    try:
        for old in list_checkpoints(folder)[:-keep]:
            if best is None or int(old.name) != best.images:
                remove_checkpoint(old)
    except OSError as error:
        raise WriteError(
            f"cannot remove old checkpoints in {folder}: {error.strerror}; allow writing there, or choose another "
            "--output_dir"
        ) from error
