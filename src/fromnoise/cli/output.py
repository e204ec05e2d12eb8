"""Standard output and standard error of the verbs: what cannot be printed there never ends the work.

The place may be full, closed, a pipe whose reader has left, or unable to show a letter. What is printed is text:
control characters, such as those that colour a terminal, in the name of a folder, are written as escapes.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from typing import IO, Any, cast

from fromnoise.common.text import visible


class Stream:
    """A stream that takes every text; `error` is what kept it from being written, None while all is well.

    Arguments:
        stream: where it goes, None where it goes nowhere.
        drawn: whether bars are drawn there, whose escapes must reach the terminal.
    """

    def __init__(self, stream: IO[str] | None, *, drawn: bool = False) -> None:
        self.stream, self.drawn = stream, drawn
        self.error: OSError | None = None

    def write(self, text: str) -> int:
        """Write `text` as far as the place can show it."""
        if self.stream is not None:
            coding = getattr(self.stream, "encoding", None) or "utf-8"
            shown = text if self.drawn else visible(text)
            with self._kept_going():
                self.stream.write(shown.encode(coding, "backslashreplace").decode(coding))
        return len(text)

    def flush(self) -> None:
        """Hand on what was written."""
        if self.stream is not None:
            with self._kept_going():
                self.stream.flush()

    def isatty(self) -> bool:
        """Whether this is a terminal."""
        return self.stream is not None and self.stream.isatty()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    @contextmanager
    def _kept_going(self) -> Iterator[None]:
        """Note an error, and leave the place to what comes later: the interpreter too writes what is left, at exit."""
        try:
            yield
        except (OSError, ValueError) as error:  # ValueError: it was closed
            self.error = error if isinstance(error, OSError) else OSError(errno.EBADF, os.strerror(errno.EBADF))
            with suppress(OSError, ValueError, AttributeError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), self.stream.fileno())  # type: ignore[union-attr]
            self.stream = None

    @property
    def full(self) -> OSError | None:
        """The error, unless the reader of a pipe has left, which is for the reader to do."""
        return None if isinstance(self.error, BrokenPipeError) else self.error


@contextmanager
def kept_streams(out: IO[str] | None, err: IO[str] | None) -> Iterator[Stream]:
    """Put streams that take everything in the places of `out` and `err`; gives the first."""
    for number in range(3):  # or the first file that is opened would be given the number, and what is printed
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    output = Stream(out)
    with redirect_stdout(cast(IO[str], output)), redirect_stderr(cast(IO[str], Stream(err, drawn=True))):
        yield output
