"""The look that all curves share: white ground, few lines, colours that colour-blind readers tell apart.

Matplotlib is used through its objects only (`Figure`, never pyplot), so no global state is read or left behind.
Colours: M. Okabe and K. Ito, "Color Universal Design" (2008), in an order that also differs in lightness.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fromnoise.figures.text import clean, width

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#AA4499", "#E69F00", "#56B4E9", "#222222")
MARKERS = ("o", "s", "^", "D", "v", "<", ">")
INK = "#262626"
QUIET = "#606060"
FAINT = "#e6e6e6"

SMALL = 10.5
NORMAL = 11.5
TITLE = 12.5
_EDGE = 0.14  # inches of white around everything
_LEGEND_ROW = 15.8  # points
_ABOVE_LEGEND = 14.0
_LEGEND_ROOM, _LEGEND_HANDLE, _LEGEND_PIXELS = 620, 62, 15  # in a page's pixels


def mark(number: int) -> tuple[str, str]:
    """(colour, marker) of the series of that number; no two of the first 49 are alike."""
    again = number // len(COLOURS)
    return COLOURS[number % len(COLOURS)], MARKERS[(number + again) % len(MARKERS)]


def new_figure(wide: float, high: float) -> Figure:
    """An empty figure of `wide` x `high` inches (100 of a page's pixels each) that lays itself out."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(wide, high), layout="constrained", facecolor="white")
    figure.set_layout_engine("constrained", w_pad=_EDGE, h_pad=_EDGE)
    return figure


def settled(figure: Figure) -> Figure:
    """`figure` with its layout worked out once, so that it is drawn the same each time."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    return figure


def dress(axes: Axes, *, title: str, x_label: str, y_label: str, pad: float = 10.0) -> None:
    """Titles, labels, a faint horizontal grid and two thin axes; `pad` is the points between title and plot."""
    axes.set_facecolor("white")
    axes.set_title(literal(title), loc="left", fontsize=TITLE, color=INK, pad=pad)
    axes.set_xlabel(literal(x_label), fontsize=NORMAL, color=QUIET, labelpad=6)
    axes.set_ylabel(literal(y_label), fontsize=NORMAL, color=QUIET, labelpad=8)
    axes.grid(visible=True, axis="y", color=FAINT, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=SMALL, colors=QUIET, length=3, width=0.8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set(color="#b0b0b0", linewidth=0.8)


def legend_above(figure: Figure, axes: Axes, handles: Sequence[Any], labels: Sequence[str]) -> float:
    """A frameless legend between title and plot, where it hides no data; returns the `pad` for the title.

    The figure grows by the lines of the legend after the first, so that the plot keeps its height.
    """
    longest = max(width(literal(label), _LEGEND_PIXELS) for label in labels)
    columns = max(1, min(len(labels), _LEGEND_ROOM // (longest + _LEGEND_HANDLE)))
    axes.legend(
        handles,
        [literal(label) for label in labels],
        loc="lower left",
        bbox_to_anchor=(-0.01, 1.0),
        ncols=columns,
        frameon=False,
        fontsize=SMALL,
        labelcolor=INK,
        handlelength=1.6,
        columnspacing=1.6,
        borderaxespad=0.2,
    )
    lines = -(-len(labels) // columns)
    figure.set_figheight(figure.get_figheight() + (lines - 1) * _LEGEND_ROW / 72)
    return _ABOVE_LEGEND + _LEGEND_ROW * lines


def count_axis(axis: Any) -> None:
    """Ticks that count things: 0, 50k, 1.2M."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axis.set_major_locator(MaxNLocator(nbins=7, steps=[1, 2, 2.5, 5, 10], integer=True))
    axis.set_major_formatter(FuncFormatter(lambda value, _: short_count(value)))


def short_count(value: float) -> str:
    """1200 as "1.2k", 3,000,000 as "3M", 400 as "400"."""
    for size, suffix in ((1e9, "B"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            unit = 1e3 if suffix == "k" else size
            return f"{value / unit:.4g}{suffix}"
    return f"{value:,.6g}"


def literal(words: str) -> str:
    """`words` as they are: no dollar starts a formula, no underscore hides a name from the legend."""
    words = clean(words).replace("$", r"\$")
    return f" {words}" if words.startswith("_") else words
