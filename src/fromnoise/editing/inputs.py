"""Pictures and masks that somebody gives to a run: brought to what its model works with, or refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from fromnoise.common.errors import DataError, UsageError
from fromnoise.common.text import hw, printable
from fromnoise.data.decode import BadImage, decode, peek
from fromnoise.data.resize import Fit

if TYPE_CHECKING:
    from fromnoise.run import Run

T = TypeVar("T")
Source: TypeAlias = str | Path | int | NDArray[np.uint8]
Mask: TypeAlias = str | Path | NDArray[Any]

_WHITE = 128  # from here on a mask's grey counts as white
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}


@dataclass(frozen=True)
class Given:
    """A picture that was given. pixels: uint8 (1, C, H, W). label: its class if it is a training picture, or None."""

    pixels: Tensor
    name: str
    label: int | None = None
    note: str = ""


def picture(run: Run, source: Source) -> Given:
    """The picture at a path, the training picture of a number (or of text that is one), or uint8 (H, W, C) itself.

    A file is cropped or squeezed to the model's size as training pictures were, and brought to its channels. Raises
    UsageError for a number beyond the training pictures or an array of another shape, DataError for a file that is
    missing or cannot be read.
    """
    if isinstance(source, np.ndarray):
        return _from_array(run, source)
    if isinstance(source, int | np.integer) or re.fullmatch(r"-?\d+", str(source)):
        return _training_picture(run, int(str(source)))
    spec, path = run.spec, Path(source)
    fit = Fit(spec.height, spec.width, crop=run.settings.data.center_crop)
    size = _read(path, peek)
    pixels = _with_channels(_read(path, lambda file: decode(file, fit)).pixels, spec.channels)
    wanted, note = (spec.height, spec.width), ""
    if size != wanted:
        how = "resized and centre cropped" if fit.crop else "squeezed"
        note = f"{printable(path.name)} is {hw(*size)}: {how} to {hw(*wanted)}"
    return Given(_batch(pixels), printable(path.stem), note=note)


def mask(run: Run, source: Mask) -> Tensor:
    """Where to paint: bool (1, 1, H, W), true where the image at a path is white (or transparent) or an array true.

    Raises UsageError for a size other than the model's and for a mask without white, DataError for a file that is
    missing or cannot be read.
    """
    wanted = (run.spec.height, run.spec.width)
    if isinstance(source, np.ndarray):
        name, size, chosen = "", source.shape, source.astype(bool)
    else:
        path, name = Path(source), f" {printable(Path(source).name)}"
        size = _read(path, peek)
        chosen = None
    if size != wanted:
        raise UsageError(
            f"the mask{name} is {'x'.join(map(str, size))}, but the pictures are {hw(*wanted)}; give one of that size"
        )
    if chosen is None:
        chosen = _with_channels(_read(path, lambda file: decode(file, Fit(*wanted))).pixels, 1)[..., 0] >= _WHITE
    if not chosen.any():
        raise UsageError(f"the mask{name} has no white in it, so nothing is to change; make white what shall")
    return torch.from_numpy(np.ascontiguousarray(chosen))[None, None]


def _training_picture(run: Run, number: int) -> Given:
    data = run.data
    if not 0 <= number < len(data):
        raise UsageError(
            f"training picture {number} was asked for, but they are numbered 0 to {len(data) - 1}; give one of those, "
            f"or ./{number} for a file of that name"
        )
    pixels, labels = data.fetch(torch.tensor([number]))
    return Given(pixels.cpu(), f"picture {number}", int(labels[0]) if labels is not None and run.spec.classes else None)


def _from_array(run: Run, pixels: NDArray[np.uint8]) -> Given:
    spec = run.spec
    wanted = (spec.height, spec.width, spec.channels)
    if pixels.dtype != np.uint8 or pixels.shape != wanted:
        raise UsageError(f"the picture is {pixels.dtype} {pixels.shape}, but uint8 {wanted} is needed; convert it")
    return Given(_batch(pixels), "given")


def _batch(pixels: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(np.require(pixels.transpose(2, 0, 1), requirements=["C", "W"]))[None]


def _read(path: Path, use: Callable[[BinaryIO], T]) -> T:
    """What `use` makes of the file at `path`; DataError where it cannot be read."""
    try:
        with path.open("rb") as file:
            return use(file)
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(f"the picture {printable(str(path))} cannot be opened ({reason}); check the path") from error
    except BadImage as error:
        raise DataError(f"the picture {printable(str(path))} cannot be used: {error}; give another") from error


def _with_channels(pixels: NDArray[np.uint8], channels: int) -> NDArray[np.uint8]:
    """uint8 (H, W, 1..4) as (H, W, channels): over white where the model knows no transparency."""
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    if channels < 4 and image.mode in ("LA", "RGBA"):
        over = image.convert("RGBA")
        image = Image.new("RGBA", over.size, "white")
        image.alpha_composite(over)
    found = np.asarray(image.convert(_MODES[channels]))
    return found if found.ndim == 3 else found[..., None]
