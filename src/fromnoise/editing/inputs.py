"""Images and masks to edit, brought to the shape that a model works with or refused."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fromnoise.common.errors import DataError, UsageError
from fromnoise.common.image_spec import ImageSpec
from fromnoise.common.text import hw, printable
from fromnoise.data.channels import with_channels
from fromnoise.data.decode import BadImage, decode, peek, pillow_guard
from fromnoise.data.image_data import ArrayData
from fromnoise.data.resize import Resize
from fromnoise.data.value_range import ValueRange, parse_range

T = TypeVar("T")
ImageSource: TypeAlias = str | Path | int | NDArray[np.uint8]
MaskSource: TypeAlias = str | Path | NDArray[Any]

_WHITE = 128  # from here on a mask's grey counts as white


@dataclass(frozen=True)
class InputImage:
    """An image to edit.

    pixels: uint8 (1, C, H, W). label: of a training image, as in `fromnoise.common.labels`, None for any other.
    """

    pixels: Tensor
    name: str
    label: Tensor | None = None
    note: str = ""


def is_number(source: ImageSource) -> bool:
    """Whether `source` is the number of a training image, or text that is one."""
    return isinstance(source, int | np.integer) or (
        isinstance(source, str) and re.fullmatch(r"-?\d+", source) is not None
    )


def read_image(
    source: str | Path | bytes | NDArray[np.uint8], spec: ImageSpec, center_crop: bool, values: str = "full"
) -> InputImage:
    """The image at a path, or uint8 (H, W, C) itself, with the size and channels of `spec`.

    Arguments:
        source: bytes are the content of a file.
        center_crop: a file of another shape is cropped at its centre; without it the file is squeezed.
        values: the range that the training images were read by, for a file whose own values lie within it.

    Raises:
        UsageError: for an array of another shape or type.
        DataError: for a file that is missing or cannot be read.
    """
    if isinstance(source, np.ndarray):
        return _from_array(source, spec)
    file, wanted = source if isinstance(source, bytes) else Path(source), (spec.height, spec.width)
    resize = Resize(*wanted, crop=center_crop)
    size = _read(file, peek)
    pixels = with_channels(_decoded(file, resize, parse_range(values)), spec.channels)
    name, stem = ("it", "given") if isinstance(file, bytes) else (printable(file.name), printable(file.stem))
    how = "resized and centre cropped" if center_crop else "squeezed"
    note = "" if size == wanted else f"{name} is {hw(*size)}: {how} to {hw(*wanted)}"
    return InputImage(_batch(pixels), stem, note=note)


def training_image(number: int, data: ArrayData, spec: ImageSpec) -> InputImage:
    """The training image `number` of `data`; UsageError for a number out of range."""
    if not 0 <= number < len(data):
        raise UsageError(
            f"image {number} is not a training image: they are numbered 0 to {len(data) - 1}; give one of those, or "
            f"./{number} for a file of that name"
        )
    pixels, label = data.fetch(torch.tensor([number]))
    known = label if label is not None and spec.conditioned else None
    return InputImage(pixels.cpu(), f"image {number}", None if known is None else known.cpu())


def read_mask(source: MaskSource, spec: ImageSpec) -> Tensor:
    """The region to inpaint: bool (1, 1, H, W), true where the file at a path is white (or transparent), an array true.

    Raises UsageError for a size other than that of `spec` and for a mask that selects no pixel, DataError for a file
    that is missing or cannot be read.
    """
    wanted = (spec.height, spec.width)
    if isinstance(source, np.ndarray):
        name, size, selected = "", source.shape, source.astype(bool)
    else:
        path, name = Path(source), f" {printable(Path(source).name)}"
        size = _read(path, peek)
        selected = None
    if size != wanted:
        raise UsageError(
            f"the mask{name} is {'x'.join(map(str, size))}, but the images are {hw(*wanted)}; give one of that size"
        )
    if selected is None:
        selected = with_channels(_decoded(path, Resize(*wanted), ValueRange(0, 1)), 1)[..., 0] >= _WHITE
    if not selected.any():
        raise UsageError(f"the mask{name} selects no pixels; paint the region to inpaint white")
    return torch.from_numpy(np.ascontiguousarray(selected))[None, None]


def _from_array(pixels: NDArray[np.uint8], spec: ImageSpec) -> InputImage:
    wanted = (spec.height, spec.width, spec.channels)
    if pixels.dtype != np.uint8 or pixels.shape != wanted:
        raise UsageError(f"the image is {pixels.dtype} {pixels.shape}, but uint8 {wanted} is needed; convert it")
    return InputImage(_batch(pixels), "given")


def _batch(pixels: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(np.require(pixels.transpose(2, 0, 1), requirements=["C", "W"]))[None]


def _read(source: Path | bytes, use: Callable[[BinaryIO], T]) -> T:
    """What `use` makes of the file at a path, or with this content; DataError where it cannot be read."""
    name = "the image" if isinstance(source, bytes) else f"the image {printable(str(source))}"
    try:
        with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
            return use(file)
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(f"{name} cannot be opened ({reason}); check the path") from error
    except MemoryError as error:
        raise DataError(f"{name} does not fit into the memory that is free; give a smaller one") from error
    except BadImage as error:
        raise DataError(f"{name} cannot be used: {error}; give another") from error


def _decoded(source: Path | bytes, resize: Resize, values: ValueRange | None) -> NDArray[np.uint8]:
    """The pixels of a file, read by `values` where its own lie within them, or else by all that its bits hold."""
    with pillow_guard():
        found = _read(source, lambda file: decode(file, resize))
        if values is not None and values.low <= found.stored.low <= found.stored.high <= values.high:
            found = _read(source, lambda file: decode(file, resize, values))
    return found.pixels
