"""The files of the named data sets: found on this machine, or downloaded once and checked.

Looked for in $FROMNOISE_DATA/<name>, then in the cache ($FROMNOISE_CACHE, or the system's place for caches). A
download goes to a temporary file, its SHA-256 is compared with the published one, and only then does it take its
name: what is in the cache is whole. All mirrors are contacted at once and those that answer are used in order, so
without a network the answer comes after at most `PATIENCE` seconds, also where a name server does not answer.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import queue
import ssl
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from fromnoise.common.errors import DataError, WriteError, choose
from fromnoise.common.files import replacing
from fromnoise.common.progress import progress
from fromnoise.common.text import count, printable
from fromnoise.data.registry import DATASETS, Dataset, RemoteFile

if TYPE_CHECKING:
    from http.client import HTTPResponse

PATIENCE = 4.0  # seconds to wait for the first sign of life
_GRACE = 0.5  # seconds more for a mirror that comes earlier in the list
_STALL = 20.0  # seconds without a byte before a download is given up
_HEADERS = {"User-Agent": "fromnoise", "Accept-Encoding": "identity"}


class _Failed(Exception):
    """Why one mirror did not give one file."""


def cache_dir() -> Path:
    """$FROMNOISE_CACHE, or `fromnoise` in the system's place for caches; not created here."""
    chosen = os.environ.get("FROMNOISE_CACHE")
    if chosen:
        return expanded(chosen)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or _home() / "AppData" / "Local") / "fromnoise" / "Cache"
    if sys.platform == "darwin":
        return _home() / "Library" / "Caches" / "fromnoise"
    # https://specifications.freedesktop.org/basedir-spec: a relative path there is to be ignored
    given = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (given if given.is_absolute() else _home() / ".cache") / "fromnoise"


def expanded(path: str | Path) -> Path:
    """`path` with ~ as the home folder, or as it is where none is known; bytes that are no text are kept."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 - it raises where no home is known


def _home() -> Path:
    """The home folder; where none is known, a place that cannot be written, so that nothing is kept."""
    try:
        return Path.home()
    except RuntimeError:
        return Path(os.devnull)


def offline() -> bool:
    """Whether FROMNOISE_OFFLINE forbids downloads."""
    return os.environ.get("FROMNOISE_OFFLINE", "") not in ("", "0")


def places(name: str) -> tuple[Path, ...]:
    """The folders in which a data set's files are looked for, in order."""
    given = os.environ.get("FROMNOISE_DATA")
    return (*((expanded(given) / name,) if given else ()), cache_dir() / name)


def find(name: str, file: RemoteFile) -> Path | None:
    """Where a file of a data set is, as downloaded or unpacked, or None."""
    for folder in places(name):
        for candidate in (folder / file.name, folder / file.unpacked):
            if os.path.exists(candidate):  # noqa: PTH110 - False also where nobody may look
                return candidate
    return None


def available(name: str) -> bool:
    """Whether a named data set can be loaded without a download; UsageError for a name that is not known."""
    dataset = choose("data set", name, DATASETS)
    return all(find(name, file) is not None for file in dataset.files)


def fetch(name: str) -> dict[str, Path]:
    """The path of every file of a named data set, by file name; downloads what is missing.

    Raises UsageError for an unknown name, DataError when a file cannot be had (it names the file, its hash and
    the folder to put it in), WriteError when the cache cannot be written.
    """
    return obtain(name, choose("data set", name, DATASETS))


def obtain(name: str, dataset: Dataset) -> dict[str, Path]:
    """`fetch` for a data set that need not be in the catalogue."""
    return obtain_files(name, dataset.files, dataset.mirrors, "use digits, which needs no download")


def obtain_files(name: str, files: Sequence[RemoteFile], mirrors: Sequence[str], instead: str) -> dict[str, Path]:
    """The path of each of `files` by its name, from this machine or downloaded into the folder `name` of the cache.

    instead: what else would do, for the error where they cannot be had.
    """
    found = {file.name: find(name, file) for file in files}
    missing = [file for file in files if found[file.name] is None]
    if missing:
        _download(name, missing, mirrors, instead)
    return {file.name: found[file.name] or cache_dir() / name / file.name for file in files}


def _download(name: str, files: Sequence[RemoteFile], mirrors: Sequence[str], instead: str) -> None:
    folder = cache_dir() / name
    if offline():
        raise _missing(name, files, folder, "FROMNOISE_OFFLINE is set", instead)
    alive = answering([mirror + files[0].name for mirror in mirrors])
    if not alive:
        hosts = ", ".join(urlsplit(mirror).netloc for mirror in mirrors)
        raise _missing(name, files, folder, f"none of its mirrors is reachable ({hosts})", instead)
    bases = [url.removesuffix(files[0].name) for url in alive]
    for place, file in enumerate(files):
        reasons = []
        for base in bases:
            try:
                _transfer(base + file.name, file, folder)
                break
            except _Failed as error:
                reasons.append(f"{urlsplit(base).netloc}: {error}")
        else:
            why = f"no mirror gave {file.name} ({'; '.join(reasons)})"
            raise _missing(name, files[place:], folder, why, instead)


def _missing(name: str, files: Sequence[RemoteFile], folder: Path, why: str, instead: str) -> DataError:
    """The error that lists what to fetch by hand: files with their hashes, as `sha256sum` writes them."""
    listed = "".join(f"\n  {file.sha256}  {file.name}" for file in files)
    these = "this file" if len(files) == 1 else f"these {len(files)} files"
    return DataError(
        f"{name} lacks {count(len(files), 'file')} on this machine and cannot be downloaded: {why}; put {these} "
        f"(SHA-256 in front) in {printable(str(folder))}, or {instead}:{listed}"
    )


def answering(urls: Sequence[str], patience: float = PATIENCE) -> list[str]:
    """Those of `urls` whose server answers anything at all within `patience` seconds, in the given order."""
    answers: queue.SimpleQueue[tuple[str, bool]] = queue.SimpleQueue()
    for url in urls:
        # Threads, because no timeout covers a name server that does not answer; daemons, to leave without them.
        threading.Thread(target=_greet, args=(url, patience, answers), daemon=True).start()
    end, alive = time.monotonic() + patience, set()
    for _ in urls:
        try:
            url, answered = answers.get(timeout=max(end - time.monotonic(), 0.0))
        except queue.Empty:
            break
        if answered:
            alive.add(url)
            end = min(end, time.monotonic() + _GRACE)
    return [url for url in urls if url in alive]


def within_reach(url: str) -> bool:
    """Whether a server answers within `PATIENCE` seconds."""
    return bool(answering([url]))


def _greet(url: str, patience: float, answers: queue.SimpleQueue[tuple[str, bool]]) -> None:
    from urllib.error import HTTPError, URLError

    try:
        with _open(url, patience, "HEAD"):
            answers.put((url, True))
    except HTTPError:
        answers.put((url, True))
    except URLError as error:  # a certificate that cannot be checked is an answer too: the transfer reports it
        answers.put((url, isinstance(error.reason, ssl.SSLError)))
    except (OSError, ValueError):
        answers.put((url, False))


def _open(url: str, timeout: float, method: str = "GET") -> HTTPResponse:
    """The answer of a web server, as a file of the bytes that it sends: none of them unpacked."""
    from urllib.request import Request, urlopen

    context = ssl.create_default_context()
    if sys.platform == "darwin" and not context.get_ca_certs():  # python.org's Python brings none
        context.load_verify_locations("/etc/ssl/cert.pem")
    answer: HTTPResponse = urlopen(Request(url, headers=_HEADERS, method=method), timeout=timeout, context=context)
    return answer


def _transfer(url: str, file: RemoteFile, folder: Path) -> None:
    """Downloads one file under a temporary name, checks it, and gives it its name."""
    from http.client import HTTPException
    from urllib.error import HTTPError, URLError

    with _writable(folder):
        folder.mkdir(parents=True, exist_ok=True)
    try:
        with replacing(folder / file.name) as part, _open(url, _STALL) as response:
            _save(iter(lambda: response.read(1 << 16), b""), part, file)
    except HTTPError as error:
        raise _Failed(f"answered {error.code}") from error
    except URLError as error:
        raise _Failed(f"broke off ({error.reason})") from error
    except (OSError, HTTPException) as error:
        raise _Failed(f"broke off ({type(error).__name__})") from error


def _save(chunks: Iterable[bytes], part: Path, file: RemoteFile) -> None:
    """Writes chunks to `part`; _Failed when they are not the published bytes."""
    digest, size, head = hashlib.sha256(), 0, b""
    with _writable(part.parent):
        out = part.open("wb")
    with out, progress(f"downloading {file.name}", file.size, in_bytes=True) as advance:
        for chunk in chunks:
            head = head or chunk[:64]
            size += len(chunk)
            if size > file.size:
                break
            digest.update(chunk)
            with _writable(part.parent):
                out.write(chunk)
            advance(len(chunk))
        with _writable(part.parent):
            out.flush()
    if digest.hexdigest() == file.sha256 and size == file.size:
        return
    if head.lstrip()[:1] == b"<":
        raise _Failed("sent a web page instead of the file")
    if size < file.size:
        raise _Failed(f"sent {size:,} of {file.size:,} bytes")
    raise _Failed("sent other bytes than the published ones")


@contextlib.contextmanager
def _writable(folder: Path) -> Iterator[None]:
    """Turns the system's refusals inside into a WriteError with advice."""
    try:
        yield
    except OSError as error:
        raise WriteError(
            f"{printable(str(folder))} cannot be written ({error.strerror}); free space or rights there, or set "
            "FROMNOISE_CACHE to another folder"
        ) from error
