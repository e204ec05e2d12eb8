"""Run the chapter's cells one after the other in one namespace, and lay out what they print and draw as a page."""

from __future__ import annotations

import contextlib
import linecache
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from fromnoise.chapter.cells import SCRIPT, Cell
from fromnoise.chapter.record import Shown, versions
from fromnoise.common.errors import Interrupted
from fromnoise.common.heard_signals import handled, heard
from fromnoise.report.html import Section, page, write_page


class Output:
    """Stands in for standard output while a cell runs: passes text on, and keeps it with what is shown, in order."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.kept: list[str | Shown] = []

    def write(self, text: str) -> int:
        """Keep `text`, joined to text just before it."""
        if self.kept and isinstance(self.kept[-1], str):
            self.kept[-1] += text
        else:
            self.kept.append(text)
        return int(self.stream.write(text))

    def flush(self) -> None:
        self.stream.flush()

    def show(self, shown: Shown) -> None:
        """Keep a figure or a table."""
        self.kept.append(shown)

    def sections(self) -> Iterator[Section]:
        """What was kept since the last call."""
        kept, self.kept = self.kept, []
        for item in kept:
            if isinstance(item, Shown):
                yield Section("", image=item.figure, table=item.table, caption=item.caption)
            elif item.strip():
                yield Section("", output=item)


def run_cells(cells: Sequence[Cell], names: dict[str, Any]) -> list[Section]:
    """Run the code among `cells` in the namespace `names`; returns the sections of a page.

    Raises what a cell raises, and Interrupted for Ctrl-C and SIGTERM: what is trained stays, and the same call
    continues there.
    """
    sections: list[Section] = []
    output, title = Output(sys.stdout), ""
    with contextlib.redirect_stdout(output), stopped_by_signals():
        for number, cell in enumerate(cells):
            if cell.kind == "markdown":
                title, text = heading(cell.source)
                print(title, file=output.stream, flush=True) if title else None
                sections.append(Section(title, text))
                continue
            file = f"<{SCRIPT}, cell {number}>"
            linecache.cache[file] = (len(cell.source), None, cell.source.splitlines(keepends=True), file)
            exec(compile(cell.source, file, "exec"), names)
            sections += [Section("", code=cell.source), *output.sections()]
    return sections


def heading(markdown: str) -> tuple[str, str]:
    """(the heading that the Markdown begins with, or "", the rest)."""
    first, _, rest = markdown.partition("\n")
    return (first.lstrip("# "), rest) if first.startswith("#") else ("", markdown)


def write_chapter(path: Path, sections: Sequence[Section], lang: str) -> Path:
    """Write the page; its first section is the title and the lead."""
    title, *rest = sections
    footer = f"Made by {', '.join(f'{name} {number}' for name, number in versions('torch', 'diffusers').items())}."
    return write_page(path, page(title.title, title.text, rest, footer, lang={"zh": "zh-CN"}.get(lang, lang)))


@contextlib.contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Interrupted with 130 for Ctrl-C and 143 for SIGTERM, wherever it comes."""

    def stop(number: int, frame: FrameType | None = None) -> NoReturn:
        message = "stopped; what is trained is kept, so run the same command again to go on"
        raise Interrupted(message, 128 + number)

    with handled(heard((signal.SIGINT, signal.SIGTERM)), stop):
        yield
