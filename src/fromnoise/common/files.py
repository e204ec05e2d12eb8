"""The one way a file reaches the disk: whole or not at all."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import shutil
import stat
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from fromnoise.common.errors import WriteError
from fromnoise.common.leftovers import temporary_name

ADVICE = "choose a file in a folder you may write to"


def write_bytes(path: str | os.PathLike[str], content: bytes, *, durable: bool = False, advice: str = ADVICE) -> Path:
    """Write `content` to `path` at once; missing parent folders are created. Returns the path.

    Arguments:
        durable: return only when the content is on the disk, so that it survives a power cut.
        advice: what to do where this fails, for the error's last words.

    Raises:
        WriteError: the place cannot be written; the target is then what it was before.
    """
    target = Path(path)
    write_files([(target, content)], durable=durable, advice=advice)
    return target


def write_files(contents: Iterable[tuple[Path, bytes]], *, durable: bool = False, advice: str = ADVICE) -> None:
    """Write each (path, content), or none of them: each takes its place when all have been written.

    Arguments and errors of `write_bytes`; an interruption leaves what was there, too.
    """
    target = Path()
    try:
        with ExitStack() as stack:
            for target, content in contents:
                temporary = stack.enter_context(replacing(target))
                if durable:
                    write_through(temporary, content)
                else:
                    temporary.write_bytes(content)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise WriteError(f"cannot write '{target}' ({reason}); {advice}") from error


def write_json(path: str | os.PathLike[str], content: Any, *, durable: bool = False, advice: str = ADVICE) -> Path:
    """Write `content` to `path` as indented JSON; arguments, result and errors of `write_bytes`."""
    return write_bytes(path, json.dumps(content, indent=1).encode(), durable=durable, advice=advice)


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """A temporary neighbour of `target` to write to: it takes the target's name at the end, or goes with an error.

    Missing parent folders are made, and go with an error too.
    """
    made = [folder for folder in target.parents if not folder.exists()]
    # The neighbour's name does not grow with the target's, so a long name that fits also fits here.
    neighbour = target.with_name(temporary_name()) if target.name else target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield neighbour
        neighbour.replace(target)
    except BaseException:
        with suppress(OSError):  # it was never made, or its folder cannot be reached: nothing is left behind
            neighbour.unlink()
        remove_empty(made)
        raise


def remove_empty(folders: Iterable[Path]) -> None:
    """Remove those of `folders` that are there and empty, in order."""
    for folder in folders:
        with suppress(OSError):  # another one that resists keeps none of the rest
            folder.rmdir()


def bytes_in(folder: Path) -> int:
    """Bytes of all files below `folder`, 0 where there is none; what goes while they are counted does not count."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += Path(place, name).stat().st_size
    return total


def write_through(path: Path, content: bytes) -> None:
    """Write `content` to `path`, and return when it is on the disk."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Return when the names in `folder` are on the disk, so that a rename survives a power cut; nothing on Windows."""
    if os.name == "nt":
        return
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # file systems that cannot: nothing more can be done
            raise
    finally:
        os.close(number)


def exchange(one: Path, other: Path) -> bool:
    """Let two neighbours change their names in one step, without a moment in which one is missing; False where the
    system has no such step (Linux has)."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError, TypeError):
        return False
    here, swap = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    return bool(rename(here, os.fsencode(one), here, os.fsencode(other), ctypes.c_uint(swap)) == 0)


def read_regular(path: Path, most: int | None = None) -> bytes:
    """The content of the file `path`; OSError for a device or a pipe, which may never end, and beyond `most` bytes."""
    about = path.stat()
    if not stat.S_ISREG(about.st_mode):
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    if most is not None and about.st_size > most:
        raise OSError(errno.EFBIG, f"{about.st_size:,} bytes are more than such a file holds", str(path))
    return path.read_bytes()


def tail(path: Path, size: int) -> bytes:
    """The last `size` bytes of a file; nothing where it cannot be read, or is a pipe or a device."""
    try:
        about = path.stat()
        if not stat.S_ISREG(about.st_mode):  # a pipe would never end
            return b""
        with path.open("rb", buffering=0) as file:
            file.seek(max(0, about.st_size - size))
            return file.read(size)
    except OSError:
        return b""


def check_writable(path: str | os.PathLike[str]) -> None:
    """WriteError where `write_bytes` to `path` is bound to fail: said before hours of work, not after them."""
    target, reason = Path(path), ""
    near = next(parent for parent in (*target.parents, Path()) if os.path.exists(parent))  # noqa: PTH110 - never raises
    try:
        if stat.S_ISDIR(target.stat().st_mode):
            reason = "a folder has that name"
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:  # a name that is too long, or a place that cannot be looked into
        reason = error.strerror or type(error).__name__
    if not reason and not (near.is_dir() and os.access(near, os.W_OK)):
        reason = f"{near} cannot be written in"
    if reason:
        raise WriteError(f"cannot write '{target}' ({reason}); {ADVICE}")


def reason_of(error: Exception) -> str:
    """What the system or a check says of a file, with the file's name and without the words of an exception."""
    if isinstance(error, OSError) and error.strerror:
        return f"{Path(error.filename).name}: {error.strerror}" if error.filename else error.strerror
    return str(error)


def disk_free(folder: Path) -> int:
    """Bytes that are free on the disk of `folder`, or of the nearest folder above it that exists."""
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    return shutil.disk_usage(there).free
