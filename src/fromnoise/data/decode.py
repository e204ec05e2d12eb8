"""One image file, of any kind and from anybody, to uint8 pixels without silent damage.

| mode as stored              | becomes | how                                                            |
|-----------------------------|---------|----------------------------------------------------------------|
| 1, L                        | grey    | 1-bit as 0 and 255                                             |
| I;16, I (16-bit values)     | grey    | v / 257, rounded; a plain conversion would clip at 255          |
| LA, La                      | grey    | with alpha                                                     |
| P                           | RGB     | grey if every pixel's colour is grey; alpha from transparency  |
| RGB, RGBA, RGBa, RGBX, PA   | RGB     | with alpha, a transparent colour (tRNS) too                    |
| CMYK, YCbCr, HSV            | RGB     | Pillow's conversion                                            |
| F, I beyond 16 bits, others | refused | their scale is not in the file                                 |

Then the EXIF orientation is applied, and only then is the image brought to the wanted shape. The whole file is
decoded, so a truncated one is noticed. Files are hostile: formats are an allow-list, and the size is looked at
before any pixel is.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from fromnoise.common.text import printable
from fromnoise.data.resize import Resize

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")
MAX_PIXELS = 64_000_000

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_CONVERSIONS: dict[str, tuple[str, tuple[str, ...]]] = {
    "1": ("L", ("1-bit image to grey",)),
    "La": ("LA", ()),
    "RGBa": ("RGBA", ()),
    "RGBX": ("RGB", ()),
    "CMYK": ("RGB", ("CMYK image to RGB",)),
    "YCbCr": ("RGB", ("YCbCr image to RGB",)),
    "HSV": ("RGB", ("HSV image to RGB",)),
}
_GREY_16 = ("I", "I;16", "I;16B", "I;16L", "I;16N")


class BadImage(Exception):
    """Why a file cannot be used, as the end of a sentence that begins with its name."""


@dataclass(frozen=True)
class DecodedImage:
    """A decoded image.

    pixels: uint8 (H, W, C) with C = 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA. mode: as stored. remarks: what was
    done to it, in words that follow a number ("CMYK image to RGB").
    """

    pixels: NDArray[np.uint8]
    mode: str
    remarks: tuple[str, ...] = ()

    @property
    def transparent(self) -> bool:
        """Whether any pixel lets the background through."""
        return self.pixels.shape[-1] in (2, 4) and bool((self.pixels[..., -1] < 255).any())


@contextmanager
def pillow_guard() -> Iterator[None]:
    """Pillow's chatter about odd files is silenced, but its bomb warning becomes that file's error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def peek(file: BinaryIO) -> tuple[int, int]:
    """(height, width) from the header, upright by EXIF; BadImage for what no header can be read from."""
    with _complaints(), _opened(file) as image:
        # Pillow would decode a whole PNG to look for late EXIF; such files are only measured lying down.
        late = image.format == "PNG" and "exif" not in image.info
        turned = not late and _orientation(image) in (5, 6, 7, 8)
        return (image.width, image.height) if turned else (image.height, image.width)


def decode(file: BinaryIO, resize: Resize) -> DecodedImage:
    """The image, upright, 8 bits a channel, at the wanted shape; BadImage when any of it cannot be read."""
    with _complaints(), _opened(file) as image:
        mode, remarks = image.mode, []
        if getattr(image, "is_animated", False):
            image.seek(0)
            remarks.append("file with several frames, of which the first is used")
        packing, turn = _packing(image), _orientation(image)
        _shrink_while_decoding(image, resize, turned=turn >= 5)
        image.load()
        plain, said = _to_eight_bits(image, packing)
        remarks += said
        if turn in _UPRIGHT:
            plain = plain.transpose(_UPRIGHT[turn])
            remarks.append("image turned upright by EXIF")
        pixels = np.asarray(resize.apply(plain))
        return DecodedImage(pixels if pixels.ndim == 3 else pixels[..., None], mode, tuple(remarks))


@contextmanager
def _opened(file: BinaryIO) -> Iterator[Image.Image]:
    if not file.read(1):
        raise BadImage("it is empty")
    file.seek(0)
    with Image.open(file, formats=FORMATS) as image:
        if image.width * image.height > MAX_PIXELS:
            raise BadImage(f"its {image.width:,} x {image.height:,} pixels are more than {MAX_PIXELS:,}")
        yield image


@contextmanager
def _complaints() -> Iterator[None]:
    """Any exception becomes BadImage: damaged files make decoders raise nearly every type there is."""
    try:
        yield
    except BadImage:
        raise
    except UnidentifiedImageError as error:
        raise BadImage(f"it is not a {', '.join(FORMATS)} image") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise BadImage(f"it has more than {MAX_PIXELS:,} pixels") from error
    except Exception as error:
        text = printable(str(error)) or type(error).__name__
        raise BadImage("it ends too early" if "truncated" in text.lower() else text) from error


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 (upright) to 8; 1 as well when the EXIF block itself is damaged."""
    try:
        turn = image.getexif().get(0x0112, 1)
    except Exception:  # damaged metadata beside good pixels should not lose them
        return 1
    return turn if isinstance(turn, int) and turn in _UPRIGHT else 1


def _shrink_while_decoding(image: Image.Image, resize: Resize, *, turned: bool) -> None:
    """JPEG can be decoded at 1/2, 1/4 or 1/8: taken while at least twice the wanted size remains."""
    if image.format not in ("JPEG", "MPO"):
        return
    height, width = (image.width, image.height) if turned else (image.height, image.width)
    left, top, right, bottom = resize.region(height, width)
    wide = int(width * 2 * resize.width / (right - left)) + 1
    high = int(height * 2 * resize.height / (bottom - top)) + 1
    image.draft(None, (high, wide) if turned else (wide, high))


def _packing(image: Image.Image) -> str:
    """How the file packs its samples ("RGB;16B"); known until the pixels are loaded."""
    tile = getattr(image, "tile", None)
    args = tile[0].args if tile else ""
    first = args[0] if isinstance(args, tuple) and args else args
    return first if isinstance(first, str) else ""


def _to_eight_bits(image: Image.Image, packing: str) -> tuple[Image.Image, list[str]]:
    """The image as L, LA, RGB or RGBA, and remarks."""
    mode = image.mode
    if mode in _GREY_16:
        return _sixteen_bit_grey(image, 4095 if packing == "I;12" else 65535), ["16-bit grey image to 8 bits"]
    if mode in ("P", "PA"):
        return _palette(image)
    if mode in _CONVERSIONS:
        goal, said = _CONVERSIONS[mode]
        return image.convert(goal), list(said)
    if mode not in ("L", "LA", "RGB", "RGBA"):
        kind = "floating-point values" if mode == "F" else f"values of mode {mode}"
        raise BadImage(f"its {kind} have no agreed scale (save it with 8 or 16 bits)")
    remarks = ["16-bit colour image to its upper 8 bits"] if ";16" in packing else []
    if "transparency" in image.info:
        image = image.convert({"L": "LA", "RGB": "RGBA"}.get(mode, mode))
    return image, remarks


def _sixteen_bit_grey(image: Image.Image, top: int) -> Image.Image:
    """round(255 v / top); Pillow's own conversion to L clips at 255 instead."""
    values: NDArray[Any] = np.asarray(image)
    if values.min() < 0 or values.max() > top:
        raise BadImage("its 32-bit values have no agreed scale (save it with 8 or 16 bits)")
    return Image.fromarray(((values.astype(np.uint32) * 255 + top // 2) // top).astype(np.uint8))


def _palette(image: Image.Image) -> tuple[Image.Image, list[str]]:
    """A palette image as L, LA, RGB or RGBA, by the colours that its pixels use."""
    alpha = image.mode == "PA" or "transparency" in image.info
    plain = image.convert("RGBA" if alpha else "RGB")
    red, green, blue = np.asarray(plain)[..., :3].transpose(2, 0, 1)
    if np.array_equal(red, green) and np.array_equal(green, blue):
        return plain.convert("LA" if alpha else "L"), ["palette image to grey"]
    return plain, ["palette image to RGB"]
