"""Pictures that say how they are to be turned: once, in every format, sizes included."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngImageFile

from fromnoise.data import load
from fromnoise.data.decode import decode, peek
from fromnoise.data.resize import Resize

CORNER = np.zeros((24, 36, 3), np.uint8)
CORNER[:, :18], CORNER[:6] = (255, 0, 0), 255


def turned(turn: int, kind: str) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = turn
    how = {"lossless": True} if kind == "WEBP" else {"quality": 100} if kind in ("JPEG", "AVIF") else {}
    file = io.BytesIO()
    Image.fromarray(CORNER).save(file, kind, exif=exif, **how)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("turn", range(1, 9))
def test_a_picture_is_turned_once_in_every_format(kind: str, turn: int) -> None:
    content = turned(turn, kind)
    with Image.open(io.BytesIO(content)) as image:
        upright = np.asarray(ImageOps.exif_transpose(image))
    height, width = peek(io.BytesIO(content))
    assert (height, width) == upright.shape[:2] == ((24, 36) if turn < 5 else (36, 24))
    found = decode(io.BytesIO(content), Resize(height, width))
    assert (found.pixels == upright).all()
    assert ("image turned upright by EXIF" in found.remarks) == (turn != 1)


def test_the_size_of_a_png_is_read_without_its_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    def loaded(self: PngImageFile) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(PngImageFile, "load", loaded)
    for turn, size in ((1, (24, 36)), (6, (36, 24))):
        assert peek(io.BytesIO(turned(turn, "PNG"))) == size
    file = io.BytesIO()
    Image.fromarray(CORNER).save(file, "PNG")
    assert peek(file) == (24, 36)


@pytest.mark.parametrize("kind", [b"eXIf", b"iTXt"])
def test_what_a_png_says_behind_its_pixels_counts(kind: bytes) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    xmp = b'XML:com.adobe.xmp\0\0\0\0\0<x tiff:Orientation="6"/>'
    body = exif.tobytes().removeprefix(b"Exif\0\0") if kind == b"eXIf" else xmp
    chunk = struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    held = io.BytesIO()
    Image.fromarray(CORNER).save(held, "PNG")
    plain = held.getvalue()
    content = plain[:-12] + chunk + plain[-12:]
    with Image.open(io.BytesIO(content)) as image:
        upright = np.asarray(ImageOps.exif_transpose(image))
    assert upright.shape[:2] == peek(io.BytesIO(content)) == (36, 24)
    assert (decode(io.BytesIO(content), Resize(36, 24)).pixels == upright).all()


def test_the_fingerprint_is_of_pixels_not_of_formats_or_names(folder: Callable[..., object]) -> None:
    def places(kind: str, name: str) -> dict[str, bytes]:
        return {f"{c}/{name}{turn}.{kind.lower()}": turned(turn, kind) for c in "ab" for turn in (1, 3, 6, 8)}

    found = [load(str(folder(places(kind, name), kind))) for kind, name in (("PNG", "x"), ("TIFF", "y"), ("WEBP", "z"))]
    assert len({data.fingerprint for data in found}) == 1
    assert len({data.notes for data in found}) == 1
