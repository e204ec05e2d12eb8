"""Images that a page works on: of a run's own by their numbers, drawn by hand, or read from a file that was dropped."""

from __future__ import annotations

import binascii
import io
from base64 import b64decode
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fromnoise.common.errors import UsageError
from fromnoise.common.image_spec import ImageSpec
from fromnoise.common.text import hw
from fromnoise.data.decode import peek
from fromnoise.editing.inputs import InputImage, read_image
from fromnoise.figures.encode import png_bytes
from fromnoise.model.samples import to_image
from fromnoise.run.folder import RunFolder
from fromnoise.run.opened import OpenedRun
from fromnoise.studio.run_data import RunData
from fromnoise.studio.sampling import text_of


def picture(
    spec: ImageSpec, data: RunData, folder: RunFolder, source: str, number: int, pixels: str
) -> tuple[Tensor, str | None]:
    """(uint8 (1, C, H, W), the name of its class or None) of an image; UsageError for one that is not there.

    Arguments:
        source: "training", "validation" or "drawn".
        number: of a training or validation image.
        pixels: of a drawn one, base64 of uint8 (H, W, C).
    """
    if source == "drawn":
        return drawn(spec, pixels), None
    run = data.run(folder)
    images = run.data if source == "training" else run.held_out
    if images is None:
        raise UsageError("this run has no validation images; choose a training image")
    if not 0 <= number < len(images):
        raise UsageError(f"there is no {source} image {number}; give 0 to {len(images) - 1}")
    found = images.subset(torch.tensor([number]))
    return found.images[:], None if found.labels is None or not spec.classes else spec.classes[int(found.labels)]


def count_of(data: RunData, folder: RunFolder, source: str) -> int:
    """How many images `picture` can choose from; 0 of drawn ones."""
    if source == "drawn":
        return 0
    run = data.run(folder)
    images = run.data if source == "training" else run.held_out
    return 0 if images is None else len(images)


def numbers_of(spec: ImageSpec, data: RunData, folder: RunFolder, source: str, number: int) -> dict[str, float]:
    """The known numbers by name of an image that `picture` has found; {} for a drawn one."""
    run = data.run(folder) if spec.conditions and source != "drawn" else None
    images = None if run is None else run.data if source == "training" else run.held_out
    if images is None or images.conditions is None:
        return {}
    values = images.conditions[number].tolist()
    return {one.name: value for one, value in zip(spec.conditions, values, strict=True) if value == value}


def drawn(spec: ImageSpec, pixels: str) -> Tensor:
    """What a page has drawn: it can be nothing but pixels of the model's shape."""
    channels, height, width = spec.shape
    content = bytes_of(pixels)
    if len(content) != channels * height * width:
        raise UsageError(f"pixels are not {hw(height, width)} with {channels} channels; draw the image again")
    array = np.frombuffer(content, np.uint8).reshape(1, height, width, channels)
    return torch.from_numpy(array.copy()).permute(0, 3, 1, 2).contiguous()


def region(spec: ImageSpec, mask: str) -> NDArray[np.bool_]:
    """What a page has painted, bool (H, W): base64 of uint8, 255 where to inpaint and 0 elsewhere, some of each."""
    values = np.frombuffer(bytes_of(mask), np.uint8)
    if len(values) != spec.height * spec.width or not np.isin(values, (0, 255)).all():
        raise UsageError(f"the mask is not {hw(spec.height, spec.width)} of 0 and 255; paint it again")
    found: NDArray[np.bool_] = values.reshape(spec.height, spec.width) == 255
    if not found.any():
        raise UsageError("the mask selects no pixels; paint the region to inpaint")
    if found.all():
        raise UsageError("the mask selects every pixel; leave some of the image, or sample without one")
    return found


def dropped(folder: RunFolder, content: bytes) -> dict[str, Any]:
    """An image file as `fromnoise edit` reads it for this run: see `shown`; DataError where it cannot be read.

    With `size`, (height, width) of the file, and whether another size is `cropped`.
    """
    run = OpenedRun(folder, device="cpu")
    found = shown(as_file(run, content).pixels, None)
    return {**found, "size": peek(io.BytesIO(content)), "cropped": run.settings.data.center_crop}


def as_file(run: OpenedRun, content: bytes) -> InputImage:
    """The content of an image file, as `fromnoise edit` reads that file for the run; DataError where it cannot be."""
    return read_image(content, run.spec, run.settings.data.center_crop, run.metadata["data"].get("range", "full"))


def shown(images: Tensor, label: str | None) -> dict[str, Any]:
    """{image, pixels, label}: one image as PNG and as plain pixels, both base64."""
    array = images[0].permute(1, 2, 0).numpy()
    return {"image": text_of(png_bytes(to_image(array))), "pixels": text_of(array.tobytes()), "label": label}


def bytes_of(text: str) -> bytes:
    """The bytes that base64 stands for; none for what is not base64."""
    try:
        return b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
