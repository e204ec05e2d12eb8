"""The model card: what was trained, on what, how good it is, and how to load it, as Markdown with the Hub's header."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from fromnoise.common.errors import DataError
from fromnoise.common.text import visible
from fromnoise.evaluation.evaluation import Evaluation
from fromnoise.evaluation.summary import evaluation_table, protocol_table, verdict

TAGS = ("diffusion", "unconditional-image-generation", "fromnoise")
_USE = (
    "For learning and research: to see how a model of this size comes from noise to images, and as a baseline. It "
    "draws images like those it was trained on and knows nothing else; it was not checked for any other use."
)
_NOT_MEASURED = (
    "Not measured: `fromnoise evaluate` measures distances to real images, precision, recall and copies of training "
    "images, and writes them here."
)


@dataclass(frozen=True)
class CardContents:
    """What a card shows.

    Arguments:
        title: the model's name.
        facts: rows of (what, value): data, network, process, training, hardware.
        evaluation: the content of evaluation.json, or None.
        image: a file of samples beside the card, or "".
        licence: an identifier of the Hub, such as "apache-2.0".
        exported: rows of (what, value) about the export, such as what was compared; none in a run folder.
        usage: paragraphs and code blocks on how to load it, in Markdown.
        loader: the library that loads it, "" where there is none.
    """

    title: str
    facts: Sequence[tuple[str, str]]
    usage: str
    evaluation: Mapping[str, Any] | None = None
    image: str = ""
    licence: str = "other"
    exported: Sequence[tuple[str, str]] = field(default=())
    loader: str = ""


def model_card(card: CardContents) -> str:
    """The card as one string of Markdown."""
    header = [f"license: {card.licence}", *([f"library_name: {card.loader}"] if card.loader else []), "tags:"]
    header += [f"- {tag}" for tag in TAGS]
    parts = ["---", *header, "---", "", f"# {_plain(card.title)}", ""]
    if card.image:
        parts += [f"![samples]({card.image})", ""]
    parts += ["## How to load it", "", card.usage.strip(), ""]
    if card.exported:
        parts += ["## The export", "", _table([("", ""), *card.exported]), ""]
    parts += ["## How it was trained", "", _table([("", ""), *card.facts]), ""]
    parts += ["## How good it is", "", *_measures(card.evaluation), ""]
    parts += ["## Intended use", "", _USE, "", "## Licence", ""]
    chosen = f"`{card.licence}`." if card.licence != "other" else "Not chosen: whoever publishes the model chooses one."
    return visible("\n".join([*parts, chosen, "The licence of the training images is theirs to state.", ""]))


def _measures(content: Mapping[str, Any] | None) -> list[str]:
    if content is not None:
        with suppress(DataError):  # of an unknown schema, or damaged: evaluating again writes a new one
            found = Evaluation.from_json(content)
            protocol = "Protocol:\n\n" + _table([("", ""), *protocol_table(found.protocol)])
            return [verdict(found), "", _table(evaluation_table(found)), "", protocol]
    return [_NOT_MEASURED]


def _table(rows: Sequence[Sequence[Any]]) -> str:
    """A Markdown table; the first row is its heading."""
    lines = ["| " + " | ".join(_plain(str(cell)) for cell in row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + " --- |" * len(rows[0]), *lines[1:]])


def _plain(text: str) -> str:
    """Text that is no markup and stays on its line."""
    escaped = "".join(f"\\{letter}" if letter in "\\`*_[]<>|#" else letter for letter in text)
    return " ".join(escaped.split())
