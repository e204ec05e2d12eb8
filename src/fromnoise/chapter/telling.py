"""What the sections share: where things go, what is drawn on, and everything told so far, printed as it comes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from fromnoise.chapter.parts import Parts
from fromnoise.common.image_spec import ImageSpec
from fromnoise.data.image_data import ArrayData
from fromnoise.figures.encode import FigureLike
from fromnoise.figures.grid import save
from fromnoise.report.html import Section, Table
from fromnoise.train.hardware import Device

Value = int | float | str | Sequence[int] | None


@dataclass(frozen=True)
class Quantity:
    """One number of the chapter. published: the chapter's own, None where it has none; ours: None where the part of
    the training that was done does not reach it. note: what part ours stands for, and what else to know. digits:
    after the point, where it is read.
    """

    name: str
    section: str
    published: Value
    ours: Value
    note: str = ""
    digits: int = 6

    def plain(self) -> dict[str, Any]:
        """What chapter.json holds."""
        return {name: value for name, value in asdict(self).items() if name != "digits"}

    @property
    def difference(self) -> str:
        """(ours - published) / published in percent, "none", or "" where one of them is missing or no number."""
        if not isinstance(self.published, int | float) or not isinstance(self.ours, int | float):
            return ""
        if self.ours == self.published:
            return "none"
        return f"{100 * (self.ours / self.published - 1):+.1f} %"


def told(value: Value, digits: int = 6) -> str:
    """A value as it is read: 309,057; 0.026962; 3.0e-08; (8, 1, 28, 28)."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.1e}" if 0 < abs(value) < 1e-4 else f"{value:.{digits}f}"
    if isinstance(value, int):
        return f"{value:,}"
    return value if isinstance(value, str) else f"({', '.join(map(str, value))})"


def tabled(quantities: Sequence[Quantity]) -> Table:
    """A table of numbers, with the published ones beside ours where there are any."""
    if not any(q.published is not None for q in quantities):
        return [("quantity", "ours", "note"), *[(q.name, told(q.ours, q.digits), q.note) for q in quantities]]
    head = ("quantity", "published", "ours", "difference", "note")
    rows = [(q.name, told(q.published, q.digits), told(q.ours, q.digits), q.difference, q.note) for q in quantities]
    return [head, *rows]


@dataclass
class Telling:
    """The chapter while it is told on `data`, read from `source`, into `folder`.

    spec: of the images as floats in [0, 1]. compared: whether the published numbers are for these images.
    """

    folder: Path
    parts: Parts
    source: str
    data: ArrayData
    spec: ImageSpec
    seed: int
    device: Device
    quantities: list[Quantity] = field(default_factory=list)
    sections: list[Section] = field(default_factory=list)
    trained: list[dict[str, Any]] = field(default_factory=list)
    number: str = ""
    tabulated: int = 0

    @property
    def compared(self) -> bool:
        """Whether there are published numbers for these images."""
        return self.source == "mnist"

    @property
    def invert(self) -> bool:
        """Grey pictures are drawn as ink on paper."""
        return self.spec.channels == 1

    def say(self, words: str) -> None:
        """Print a line of what is going on."""
        print(f"    {words}", flush=True)

    def begin(self, number: str, title: str, text: str, code: str | None = None) -> None:
        """A new section, "3.1" "Environment and data"."""
        self.number = number
        print(f"{number} {title}", flush=True)
        self.sections.append(Section(f"{number} {title}", text, code=code))

    def more(self, text: str, code: str | None = None) -> None:
        """Further text, and code, in the same section."""
        self.sections.append(Section("", text, code=code))

    def show(self, name: str, picture: FigureLike, caption: str) -> None:
        """A figure: written to figures/<section>-<name>.png, and shown on the page."""
        path = save(picture, self.folder / "figures" / f"{self.number}-{name}.png")
        self.say(f"wrote {path}")
        self.sections.append(Section("", image=picture, caption=caption))

    def record(self, name: str, ours: Value, published: Value = None, note: str = "", digits: int = 6) -> Quantity:
        """A number of this section; the published one is left out where it is not for these images."""
        quantity = Quantity(name, self.number, published if self.compared else None, ours, note, digits)
        self.quantities.append(quantity)
        return quantity

    def measured(self, name: str, ours: Value, published: Value = None, note: str = "", digits: int = 6) -> None:
        """Record a number, and print it."""
        quantity = self.record(name, ours, published, note, digits)
        beside = [f"published {told(quantity.published, digits)}"] if quantity.published is not None else []
        beside += [part for part in (f"difference {quantity.difference}" * bool(quantity.difference), note) if part]
        self.say(f"{name}: {told(ours, digits)}" + (f" ({'; '.join(beside)})" if beside else ""))

    def tabulate(self) -> None:
        """Set the numbers that came since the last such table on the page."""
        self.sections.append(Section("", table=tabled(self.quantities[self.tabulated :])))
        self.tabulated = len(self.quantities)

    def lay(self, table: Table, caption: str) -> None:
        """Another table on the page, for the numbers that came since the last one or for further ones."""
        self.sections.append(Section("", table=table, caption=caption))
        self.tabulated = len(self.quantities)

    def listed(self) -> list[dict[str, Any]]:
        """The quantities as plain dicts, for chapter.json."""
        return [quantity.plain() for quantity in self.quantities]
