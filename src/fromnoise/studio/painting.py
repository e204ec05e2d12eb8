"""Inpainting by a brush: what `fromnoise edit RUN inpaint` makes of an image and a mask.

The command needs both as files. They lie in edits/brush/ of the run folder, named by what they show, and the KEPT used
last stay.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fromnoise.common.errors import WriteError
from fromnoise.common.files import write_bytes
from fromnoise.common.text import quoted
from fromnoise.figures.encode import png_bytes
from fromnoise.model.samples import to_image
from fromnoise.run.folder import RunFolder
from fromnoise.studio.pictures import as_file, numbers_of, picture, region
from fromnoise.studio.run_data import RunData
from fromnoise.studio.sampling import Models, Wish, edited, span, text_of
from fromnoise.studio.work import Check

if TYPE_CHECKING:
    from fromnoise.editing.editor import Editor
    from fromnoise.editing.result import Edit

PLACE, KEPT = "brush", 64
_NAME = re.compile(r"(image|mask)-[0-9a-f]{16}\.png")


@dataclass(frozen=True)
class Painted:
    """An image and what is painted over it: see `pictures.picture` and `pictures.region`.

    Arguments:
        resample: how often each step is taken.
    """

    source: str
    number: int
    pixels: str
    mask: str
    resample: int


def make_inpainting(
    models: Models, folder: RunFolder, wish: Wish, check: Check, data: RunData, painted: Painted, seeds: Sequence[int]
) -> dict[str, Any]:
    """The image with what is painted over made again, once for each seed; `files` are those that the command names.

    `unkept` says why they could not be kept, where that is so.
    A training image is named by its number, and has its own class and conditions; any other is a file, and these are
    named.
    """
    run, model = models.get(folder, wish)
    image, own = picture(model.spec, data, folder, painted.source, painted.number, painted.pixels)
    selected, by_number = region(model.spec, painted.mask), painted.source == "training"
    if painted.source == "validation":
        numbers = numbers_of(model.spec, data, folder, painted.source, painted.number)
        label = own if wish.label is None else wish.label
        wish = replace(wish, label=label, conditions={**numbers, **wish.conditions})
    files = {"mask": _png(selected[..., None].astype(np.uint8) * 255)}
    given: Any = painted.number
    if not by_number:
        files["image"] = _png(image[0].permute(1, 2, 0).numpy())
        given = as_file(run, files["image"]).pixels[0].permute(1, 2, 0).numpy()
    words, unkept = ["inpaint", "--image", str(painted.number)], list[str]()

    def work(editor: Editor) -> Edit:
        edit = editor.inpaint(given, selected, seeds=seeds, resample=painted.resample, **wish.on)
        paths, unkept[:] = _kept(folder, files)  # now that nothing was refused
        words[2:] = [words[2] if by_number else quoted(paths["image"]), "--mask", quoted(paths["mask"])]
        words.extend(["--seeds", span(seeds), *(["--resample", str(painted.resample)] if painted.resample > 1 else [])])
        return edit

    made = edited(models, folder, wish, check, words, "inpaint", work)
    return {**made, "files": {kind: text_of(content) for kind, content in files.items()}, "unkept": unkept}


def _kept(folder: RunFolder, files: Mapping[str, bytes]) -> tuple[dict[str, Path], list[str]]:
    """The paths of the files by their kinds, and what has to be said about them."""
    try:
        return {kind: keep(folder, kind, content) for kind, content in files.items()}, []
    except WriteError as error:  # a folder that is only looked at: the page has the files, the command their names
        return {kind: Path(f"{kind}.png") for kind in files}, [str(error)]


def keep(folder: RunFolder, kind: str, content: bytes) -> Path:
    """The path of the file of this content in edits/brush/; WriteError where it cannot lie there."""
    place = folder.edits / PLACE
    if not place.resolve().is_relative_to(folder.path.resolve()):
        raise WriteError(f"{place} leads out of the run folder; remove the link")
    path = write_bytes(place / f"{kind}-{sha256(content).hexdigest()[:16]}.png", content)
    _forget(place)
    return path


def _forget(place: Path) -> None:
    """Remove the oldest of our files beyond KEPT."""
    with suppress(OSError):
        ours = [one for one in os.scandir(place) if _NAME.fullmatch(one.name) and one.is_file(follow_symlinks=False)]
        ours.sort(key=lambda one: one.stat(follow_symlinks=False).st_mtime_ns, reverse=True)
        for one in ours[KEPT:]:
            Path(one.path).unlink()


def _png(array: NDArray[np.uint8]) -> bytes:
    return png_bytes(to_image(array))
