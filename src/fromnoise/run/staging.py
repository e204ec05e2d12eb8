"""Folders that appear whole or not at all: written beside their place, and put there in one step."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from fromnoise.common.errors import UsageError, WriteError
from fromnoise.common.files import check_writable, exchange, remove_empty
from fromnoise.common.leftovers import sweep, temporary_name

_OUTPUT_DIR = "choose another --output_dir"


def vacant(path: Path) -> Path:
    """`path` where a folder can be made there, or an empty one is; UsageError or WriteError else."""
    _check_name(path)
    if _is_taken(path, _OUTPUT_DIR):
        raise UsageError(f"{path} is there already; choose another --output_dir, or remove it")
    check_writable(path / "config.json")
    return path


def staged_run(target: Path) -> AbstractContextManager[Path]:
    """A `staged_folder` for a run at the vacant `target`."""
    return staged_folder(target, advice=_OUTPUT_DIR)


@contextmanager
def staged_folder(
    path: Path, mark: str | None = None, advice: str = "choose a place you may write to"
) -> Iterator[Path]:
    """A new folder beside `path` to write to, which takes its place at the end, or goes with an error.

    Of a link, the place is where it leads.

    Arguments:
        mark: the file by which a folder that is there is known to be ours, so that it may be replaced; None where an
            empty folder alone may be.
        advice: what to do where it cannot be written.

    Raises:
        UsageError: where `path` is something else than that.
        WriteError: where it cannot be written.
    """
    _check_name(path)
    if _is_taken(path, advice) and not (mark is not None and (path / mark).is_file()):
        raise UsageError(f"'{path}' is there and is not an export of fromnoise; give another name, or remove it")
    path = path.resolve() if path.is_symlink() else path
    made = [folder for folder in path.parents if not folder.exists()]
    folder, old = (path.with_name(temporary_name()) for _ in range(2))
    try:
        folder.mkdir(parents=True)
        sweep(path.parent, folders=True)
        yield folder
        _take_place(folder, path, old)
        made = []
    except WriteError as error:
        raise WriteError(str(error).replace(str(folder), str(path))) from error
    except OSError as error:
        raise WriteError(f"cannot write '{path}' ({error.strerror or error}); {advice}") from error
    finally:
        for left in (folder, old):
            shutil.rmtree(left, ignore_errors=True)
        remove_empty(made)


def _check_name(path: Path) -> None:
    """UsageError for the working folder or one above it: it cannot be replaced under those who are in it."""
    if path.name in ("", ".."):
        raise UsageError(f"'{path}' is the folder you are in, or one above it; give the name of a new folder")


def _is_taken(path: Path, advice: str) -> bool:
    """Whether there is something else than an empty folder; WriteError where that cannot be seen."""
    try:
        return path.exists() and not (path.is_dir() and not any(path.iterdir()))
    except OSError as error:
        raise WriteError(f"cannot write '{path}' ({error.strerror}); {advice}") from error


def _take_place(folder: Path, path: Path, old: Path) -> None:
    """Give `folder` the name `path`, in one step where the system has one; what had it goes to one of the others."""
    if path.exists() and exchange(folder, path):
        return
    if path.exists():
        path.rename(old)
    try:
        folder.rename(path)
    except OSError:
        if old.exists():
            old.rename(path)
        raise
