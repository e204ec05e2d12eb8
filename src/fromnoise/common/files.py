"""The one way a figure or page reaches the disk: whole or not at all."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

from fromnoise.common.errors import WriteError


def write_bytes(path: str | os.PathLike[str], content: bytes) -> Path:
    """Write `content` to `path` at once: into a temporary neighbour, then renamed over the target.

    Missing parent folders are created. Returns the path.
    Raises WriteError when the place cannot be written; the target is then what it was before.
    """
    target = Path(path)
    # The neighbour's name does not grow with the target's, so a long name that fits also fits here.
    neighbour = target.with_name(f".{uuid.uuid4().hex[:12]}.tmp") if target.name else target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        neighbour.write_bytes(content)
        neighbour.replace(target)
    except OSError as error:
        _remove(neighbour)
        reason = error.strerror or type(error).__name__
        raise WriteError(f"cannot write '{target}' ({reason}); choose a file in a folder you may write to") from error
    except BaseException:
        _remove(neighbour)
        raise
    return target


def check_writable(path: str | os.PathLike[str]) -> None:
    """WriteError where `write_bytes` to `path` is bound to fail: said before hours of work, not after them."""
    target = Path(path)
    near = next(parent for parent in (*target.parents, Path()) if parent.exists())
    if target.is_dir() or not near.is_dir() or not os.access(near, os.W_OK):
        reason = "a folder has that name" if target.is_dir() else f"{near} cannot be written in"
        raise WriteError(f"cannot write '{target}' ({reason}); choose a file in a folder you may write to")


def _remove(path: Path) -> None:
    try:
        path.unlink()
    except OSError:  # it was never made, or its folder cannot be reached: nothing is left behind
        return
