"""An article in one file: sections of text, pictures, tables and commands become one HTML page.

The page asks for nothing else: styles and pictures are inside, there are no scripts, and its own policy forbids
both scripts and requests. Every word is escaped before anything else happens to it.
"""

from __future__ import annotations

import html
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from fromnoise.common.errors import UsageError
from fromnoise.common.files import write_bytes
from fromnoise.figures.encode import FigureLike, data_uri, is_drawn, page_size

Cell = str | int | float | None
Table = Sequence[Sequence[Cell]]

_MOST_WITHOUT_CONTENTS = 4
_CODE_COLUMN = 84  # characters; longer lines of code stretch into the right wing
_COLUMN = 780  # wider pictures stretch into the wings, and are made smaller on narrow screens
_CODE = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\[([^\]\n]+)\]\((https://[^\s()]+)\)")
_NUMBER = re.compile(r"[+\-−±~≈<>≤≥]?\s*\d[\d,.]*(e[+-]?\d+)?(\s?(%|×|x|s|ms|min|h|k|M|GB|MB|kB))?")
_EMPTY = {"", "-", "–", "—", "n/a"}
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


@dataclass(frozen=True)
class Section:
    """One part of a page; what is empty is left out. A section without a title continues the one above it.

    text: short paragraphs with a blank line between them; `words in backticks` are set as code, and
    [words](https://...) as a link. image: a Pillow image, a matplotlib figure, or the bytes of a PNG or GIF. table: its
    first row is the heading; columns of numbers are aligned right. code, output: a block, kept as it is, and what it
    printed. caption: below the image, or the table where there is no image. alt: what the image shows, for those who
    cannot see it (else the title and caption).
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
    named = _with_ids(parts)
    body = "\n".join(_section(part, name) for part, name in named)
    contents = _contents([(part.title, name) for part, name in named if part.title])
    closing = f"<footer>\n{_paragraphs(footer)}\n</footer>\n" if footer else ""
    return (
        f'<!DOCTYPE html>\n<html lang="{_escape(lang)}">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="color-scheme" content="light dark">\n<link rel="icon" href="data:,">\n'
        f"<title>{_escape(title.replace(chr(96), ''))}</title>\n<style>\n{_styles()}</style>\n</head>\n<body>\n"
        f"<header>\n<h1>{_inline(title)}</h1>\n{_paragraphs(lead, 'lead')}\n{contents}</header>\n"
        f"<main>\n{body}\n</main>\n{closing}</body>\n</html>\n"
    )


def write_page(path: str | os.PathLike[str], html: str) -> Path:
    """Write a page, whole or not at all; missing folders are created. Returns the path; raises WriteError."""
    # Names of files may hold bytes that are no text; they must not stop a report from being written.
    return write_bytes(path, html.encode("utf-8", "replace"))


def _styles() -> str:
    return resources.files("fromnoise.report").joinpath("page.css").read_text(encoding="utf-8")


def _escape(words: str) -> str:
    return html.escape(words, quote=True)


def _inline(words: str) -> str:
    """Escaped words with `code` spans and links outside of them."""
    parts = _CODE.split(_escape(words))  # every second part was in backticks
    parts[::2] = [_LINK.sub(r'<a href="\2">\1</a>', part) for part in parts[::2]]
    parts[1::2] = [f"<code>{part}</code>" for part in parts[1::2]]
    return "".join(parts)


def _paragraphs(words: str, style: str = "") -> str:
    opening = f'<p class="{style}">' if style else "<p>"
    found = (" ".join(block.split()) for block in re.split(r"\n\s*\n", words))
    return "\n".join(f"{opening}{_inline(block)}</p>" for block in found if block)


def _with_ids(sections: Sequence[Section]) -> list[tuple[Section, str]]:
    """Every section with an address of its own, made from its title."""
    used: set[str] = set()
    named: list[tuple[Section, str]] = []
    for number, section in enumerate(sections, start=1):
        slug = re.sub(r"[^a-z0-9]+", "-", section.title.lower()).strip("-")
        name = slug if slug and slug not in used else f"{slug or 'section'}-{number}"
        used.add(name)
        named.append((section, name))
    return named


def _contents(entries: Sequence[tuple[str, str]]) -> str:
    if len(entries) <= _MOST_WITHOUT_CONTENTS:
        return ""
    items = "\n".join(f'<li><a href="#{name}">{_inline(title)}</a></li>' for title, name in entries)
    return f'<nav aria-label="Contents">\n<ol>\n{items}\n</ol>\n</nav>\n'


def _section(section: Section, name: str) -> str:
    parts = [f"<h2>{_inline(section.title)}</h2>" if section.title else "", _paragraphs(section.text)]
    if section.image is not None:
        parts.append(_figure(section))
    if section.table is not None:
        parts.append(_table(section.table, section.title, "" if section.image is not None else section.caption))
    if section.code is not None:
        lines = section.code.strip("\n").splitlines()
        style = ' class="wide"' if max(map(len, lines), default=0) > _CODE_COLUMN else ""
        code = _escape("\n".join(lines))
        parts.append(f'<pre{style} tabindex="0"><code>{code}</code></pre>')
    if section.output is not None:
        parts.append(f'<pre class="output" tabindex="0">{_escape(section.output.strip(chr(10)))}</pre>')
    return f'<section id="{name}">\n' + "\n".join(part for part in parts if part) + "\n</section>"


def _figure(section: Section) -> str:
    assert section.image is not None
    width, height = page_size(section.image)
    style = "drawn" if is_drawn(section.image) else "pixels"
    style += " wide" if width > _COLUMN else ""
    alt = _escape(section.alt or ": ".join(part for part in (section.title, section.caption) if part) or "Figure")
    caption = f"\n<figcaption>{_inline(section.caption)}</figcaption>" if section.caption else ""
    return (
        f'<figure>\n<div class="card"><img class="{style}" alt="{alt}" width="{width}" height="{height}" '
        f'src="{data_uri(section.image)}"></div>{caption}\n</figure>'
    )


def _table(table: Table, title: str, caption: str) -> str:
    """A table whose first row and first column are headings; it scrolls by itself where the screen is narrow."""
    if not table or any(len(row) != len(table[0]) for row in table):
        raise UsageError(
            f"the table of '{title}' has rows of {[len(row) for row in table]} cells; give rows of one length, "
            "with the heading first"
        )
    heading, *rows = [[_cell(cell) for cell in row] for row in table]
    numeric = [_is_numeric([row[i] for row in rows]) for i in range(len(heading))]
    styles = [' class="number"' if yes else "" for yes in numeric]
    rows = [[_signed(cell) if yes else cell for cell, yes in zip(row, numeric)] for row in rows]
    head = "".join(f'<th scope="col"{style}>{_inline(cell)}</th>' for cell, style in zip(heading, styles))
    body = "\n".join(_row(row, styles) for row in rows)
    under = f"<caption>{_inline(caption)}</caption>\n" if caption else ""
    label = _escape(caption or title or "Table")
    return (
        f'<div class="scroll" role="region" aria-label="{label}" tabindex="0">\n<table>\n{under}'
        f"<thead>\n<tr>{head}</tr>\n</thead>\n<tbody>\n{body}\n</tbody>\n</table>\n</div>"
    )


def _row(cells: Sequence[str], styles: Sequence[str]) -> str:
    first = f'<th scope="row"{styles[0]}>{_inline(cells[0])}</th>'
    rest = "".join(f"<td{style}>{_inline(cell)}</td>" for cell, style in zip(cells[1:], styles[1:]))
    return f"<tr>{first}{rest}</tr>"


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
    told = [cell.strip() for cell in cells if cell.strip() not in _EMPTY]
    return bool(told) and all(_NUMBER.fullmatch(cell) for cell in told)
