"""The model card on disk: README.md of a run folder, and of what is exported from it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fromnoise.common.errors import CheckpointError
from fromnoise.common.files import write_bytes
from fromnoise.common.progress import report_progress
from fromnoise.report.model_card import CardContents, model_card
from fromnoise.run.facts import facts
from fromnoise.run.folder import RunFolder

if TYPE_CHECKING:
    from fromnoise.run.opened import OpenedRun


def model_title(run: OpenedRun) -> str:
    """The model's name: its data and its recipe."""
    return f"{run.metadata['data']['name']}, {run.settings.recipe}"


def write_run_card(run: OpenedRun) -> Path:
    """Write README.md into the run folder; returns its path."""
    name = run.path.resolve().name
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
    image: bool = True,
) -> Path:
    """Write the card of `run` to `path`, and beside it samples.png with its samples where `image` and there are some.

    Arguments:
        usage: how to load it, in Markdown.
        exported: rows about the export.
        licence, loader: as in `CardContents`.
    """
    shown = _sample_image(run) if image else None
    link = ""
    if shown is not None:
        inside = shown.is_relative_to(path.parent)
        link = shown.relative_to(path.parent).as_posix() if inside else "samples.png"
        if not inside:
            write_bytes(path.with_name(link), shown.read_bytes())
    card = CardContents(
        title=model_title(run),
        facts=facts(run),
        usage=usage,
        evaluation=sound_json(run.folder, run.folder.evaluation),
        image=link,
        licence=licence,
        exported=exported,
        loader=loader,
    )
    return write_bytes(path, model_card(card).encode())


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
