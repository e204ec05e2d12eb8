"""The model card on disk: README.md of a run folder, and of what is exported from it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fromnoise.common.errors import CheckpointError, UsageError
from fromnoise.common.files import write_bytes
from fromnoise.common.progress import report_progress
from fromnoise.report.model_card import CardContents, model_card
from fromnoise.run.facts import facts
from fromnoise.run.folder import RunFolder

if TYPE_CHECKING:
    from fromnoise.run.opened import OpenedRun
    from fromnoise.settings import SampleOptions

_OURS, _HEADER = b"\n- fromnoise\n", 1000  # a tag of every model card, and the bytes in which it is looked for


def model_title(run: OpenedRun) -> str:
    """The model's name: its data and its recipe."""
    return f"{run.metadata['data']['name']}, {run.settings.recipe}"


def write_run_card(run: OpenedRun, name: str = "") -> Path:
    """Write README.md into the run folder, which is called `name` in it, or as it is; returns its path."""
    name = name or run.path.resolve().name
    command = shlex.join(["fromnoise", "sample", name])
    usage = f"""\
```python
import fromnoise as fn

run = fn.Run({name!r})  # this folder
run.sample(16).save("samples.png")
```

or `{command}`. `fromnoise export` writes it for diffusers, ONNX and the browser."""
    return write_card(run, run.path / "README.md", usage)


def write_card(
    run: OpenedRun,
    path: Path,
    usage: str,
    exported: Sequence[tuple[str, str]] = (),
    *,
    licence: str = "other",
    loader: str = "",
    sampling: SampleOptions | None = None,
) -> Path:
    """Write the card of `run` to `path`, and beside it samples.png with its samples where there are some.

    Arguments:
        usage: how to load it, in Markdown.
        exported: rows about the export.
        licence, loader: as in `CardContents`.
        sampling: of what was exported; the run's own if not given.
    """
    shown = _sample_image(run)
    link = ""
    if shown is not None:
        inside = shown.is_relative_to(path.parent)
        link = shown.relative_to(path.parent).as_posix() if inside else "samples.png"
        if not inside:
            write_bytes(path.with_name(link), shown.read_bytes())
    content = card_content(run, usage, exported, licence=licence, loader=loader, image=link, sampling=sampling)
    return write_bytes(path, content)


def card_content(
    run: OpenedRun,
    usage: str,
    exported: Sequence[tuple[str, str]] = (),
    *,
    licence: str = "other",
    loader: str = "",
    image: str = "",
    sampling: SampleOptions | None = None,
) -> bytes:
    """The card of `run`, which shows the file `image`; arguments as for `write_card`."""
    card = CardContents(
        title=model_title(run),
        facts=facts(run, sampling),
        usage=usage,
        evaluation=sound_json(run.folder, run.folder.evaluation),
        image=image,
        licence=licence,
        exported=exported,
        loader=loader,
    )
    return model_card(card).encode()


def card_beside(path: Path) -> Path:
    """Where the card of the exported file `path` goes; UsageError where somebody's own text is there.

    It keeps the file's ending, so that model.onnx and model.pt2 have a card each.
    """
    card = path.with_name(f"{path.name}.md")
    with suppress(OSError):
        if _OURS not in card.read_bytes()[:_HEADER]:
            raise UsageError(
                f"'{card}' is there and is not a model card of fromnoise, which goes there; give another name"
            )
    return card


def sound_json(folder: RunFolder, path: Path) -> dict[str, Any] | None:
    """What a verb wrote to `path`; None where it wrote nothing, and where it is damaged, which is said."""
    try:
        return folder.read_json(path)
    except CheckpointError as error:
        report_progress(f"warning: left out: {error}")
        return None


def _sample_image(run: OpenedRun) -> Path | None:
    """The run's own figure of samples, else its last preview, else None."""
    there = [run.folder.figures / "samples.png", *sorted(run.folder.samples.glob("preview-*.png"), reverse=True)]
    return next((path for path in there if path.is_file()), None)
