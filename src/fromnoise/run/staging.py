"""A folder that is made beside its place, and put there whole or not at all."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fromnoise.common.errors import UsageError, WriteError
from fromnoise.common.files import check_writable


def vacant(path: Path) -> Path:
    """`path` where a folder can be made there, or an empty one is; UsageError or WriteError else."""
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise UsageError(f"{path} is there already; choose another --output_dir, or remove it")
    check_writable(path / "config.json")
    return path


@contextmanager
def staged_run(target: Path) -> Iterator[Path]:
    """A folder beside the vacant `target` to make a run in, which takes its place at the end, or goes with an error.

    Raises WriteError where it cannot be written.
    """
    staged = target.with_name(f".import-{uuid.uuid4().hex[:12]}")
    try:
        yield staged
        if target.exists():
            target.rmdir()
        staged.rename(target)
    except OSError as error:
        raise WriteError(f"cannot write '{target}' ({error.strerror or error}); choose another --output_dir") from error
    finally:
        shutil.rmtree(staged, ignore_errors=True)
