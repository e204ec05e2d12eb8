"""An article in one file: sections of text, images, tables and commands become one HTML page.

The page loads nothing else: styles and images are inside, there are no scripts, and its own policy forbids both scripts
and requests. The template page.html escapes every value; texts are Markdown, without HTML.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import Markup

from fromnoise.common.errors import UsageError
from fromnoise.common.files import write_bytes
from fromnoise.common.text import visible
from fromnoise.figures.encode import FigureLike, data_uri, is_drawn, page_size

Cell = str | int | float | None
Table = Sequence[Sequence[Cell]]

_MOST_WITHOUT_CONTENTS = 4
_COLUMN = 780  # wider images stretch into the wings, and are made smaller on narrow screens
_CODE_COLUMN = 84  # characters; longer lines of code stretch into the right wing
_NUMBER = re.compile(r"[+\-−±~≈<>≤≥]?\s*\d[\d,.]*(e[+-]?\d+)?(\s?(%|×|x|s|ms|min|h|k|M|GB|MB|kB))?")
_EMPTY = {"", "-", "–", "—", "n/a"}


@dataclass(frozen=True)
class Section:
    """One part of a page; what is empty is left out. A section without a title continues the one above it.

    Arguments:
        title: its heading, which the contents list.
        text: paragraphs and lists in Markdown, with `code` and [links](https://...).
        image: a Pillow image, a matplotlib figure, or the bytes of a PNG or GIF.
        table: its first row is the heading; columns of numbers are aligned right.
        code: a block, kept as it is.
        output: what the code printed.
        caption: below the image, or the table where there is no image.
        alt: what the image shows, for those who cannot see it (else the title and caption).
    """

    title: str
    text: str = ""
    image: FigureLike | None = None
    table: Table | None = None
    code: str | None = None
    output: str | None = None
    caption: str = ""
    alt: str = ""


def page(title: str, lead: str, sections: Iterable[Section], footer: str = "", *, lang: str = "en") -> str:
    """The whole page as one string of HTML: heading, lead, contents (for more than 4 titles), sections, footer.

    lead and footer are texts like a section's. Raises UsageError for a table whose rows differ in length.
    """
    parts = list(sections)
    views = [_SectionView.of(part, name) for part, name in zip(parts, _ids(parts), strict=True)]
    titled = [view for view in views if view.title]
    contents = titled if len(titled) > _MOST_WITHOUT_CONTENTS else []
    template = _templates().get_template("page.html")
    html = template.render(title=title, lead=lead, sections=views, contents=contents, footer=footer, lang=lang)
    return visible(html)  # names from anywhere show as text, in the source of the page too


def write_page(path: str | os.PathLike[str], html: str) -> Path:
    """Write a page, whole or not at all; missing folders are created. Returns the path; raises WriteError."""
    return write_bytes(path, html.encode())


@cache
def _templates() -> Environment:
    loader = PackageLoader("fromnoise.report", ".")
    env = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True
    )
    env.filters["text"] = lambda words: Markup(_markdown().render(words))
    env.filters["line"] = lambda words: Markup(_markdown().renderInline(words))
    return env


@cache
def _markdown() -> MarkdownIt:
    """Paragraphs, lists, code and links, all else as it stands.

    Texts hold names of files and classes: emphasis would take their * and _, HTML and images are not for them.
    """
    markdown = MarkdownIt("zero").enable(["list", "backticks", "link"])
    markdown.validateLink = lambda url: url.startswith(("https://", "#"))  # type: ignore[method-assign]
    return markdown


def _ids(sections: Sequence[Section]) -> list[str]:
    """An address for every section, made from its title."""
    used: list[str] = []
    for number, section in enumerate(sections, start=1):
        slug = re.sub(r"[^a-z0-9]+", "-", section.title.lower()).strip("-")
        used.append(slug if slug and slug not in used else f"{slug or 'section'}-{number}")
    return used


@dataclass(frozen=True)
class _ImageView:
    """An image as the template needs it."""

    source: str
    width: int
    height: int
    style: str
    alt: str
    caption: str

    @staticmethod
    def of(image: FigureLike, section: Section) -> _ImageView:
        width, height = page_size(image)
        style = ("drawn" if is_drawn(image) else "pixels") + (" wide" if width > _COLUMN else "")
        alt = section.alt or ": ".join(part for part in (section.title, section.caption) if part) or "Figure"
        return _ImageView(data_uri(image), width, height, style, alt, section.caption)


@dataclass(frozen=True)
class _TableView:
    """A table as the template needs it: its first row and first column are headings. numeric: one a column."""

    heading: list[str]
    rows: list[list[str]]
    numeric: list[bool]
    label: str
    caption: str

    @staticmethod
    def of(table: Table, title: str, caption: str) -> _TableView:
        if not table or any(len(row) != len(table[0]) for row in table):
            raise UsageError(
                f"the table of '{title}' has rows of {[len(row) for row in table]} cells; give rows of one length, "
                "with the heading first"
            )
        heading, *rows = [[_cell(cell) for cell in row] for row in table]
        numeric = [_is_numeric([row[i] for row in rows]) for i in range(len(heading))]
        rows = [[_signed(cell) if yes else cell for cell, yes in zip(row, numeric)] for row in rows]
        return _TableView(heading, rows, numeric, caption or title or "Table", caption)


@dataclass(frozen=True)
class _SectionView:
    """A section as the template needs it."""

    id: str
    title: str
    text: str
    image: _ImageView | None
    table: _TableView | None
    code: str | None
    wide: bool
    output: str | None

    @staticmethod
    def of(section: Section, name: str) -> _SectionView:
        image = None if section.image is None else _ImageView.of(section.image, section)
        below = "" if image else section.caption
        table = None if section.table is None else _TableView.of(section.table, section.title, below)
        code, output = (words if words is None else words.strip("\n") for words in (section.code, section.output))
        wide = max(map(len, (code or "").splitlines()), default=0) > _CODE_COLUMN
        return _SectionView(name, section.title, section.text, image, table, code, wide, output)


def _cell(value: Cell) -> str:
    """A value as it is read: 309057 as 309,057, floats in up to 6 digits, nothing as a dash."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.6g}" if isinstance(value, float) else value


def _signed(cell: str) -> str:
    """A number with a true minus sign, as wide as the plus."""
    return f"−{cell[1:]}" if len(cell) > 1 and cell[0] == "-" else cell


def _is_numeric(cells: Sequence[str]) -> bool:
    filled = [cell.strip() for cell in cells if cell.strip() not in _EMPTY]
    return bool(filled) and all(_NUMBER.fullmatch(cell) for cell in filled)
