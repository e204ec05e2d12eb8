"""One image file, of any kind and from anybody, to uint8 pixels without silent damage.

| mode as stored              | becomes | how                                                            |
|-----------------------------|---------|----------------------------------------------------------------|
| 1, L                        | grey    | 1-bit as 0 and 255                                             |
| I;16, I (16-bit values)     | grey    | v / 257, rounded; a plain conversion would clip at 255; then    |
|                             |         | inverted where a TIFF says that 0 is white                      |
| LA, La, LA with 16 bits     | grey    | with alpha                                                     |
| P                           | RGB     | grey if every visible pixel is; alpha from transparency        |
| RGB, RGBA, RGBa, RGBX, PA   | RGB     | with alpha, a transparent colour (tRNS) too                    |
| CMYK, YCbCr, HSV            | RGB     | Pillow's conversion                                            |
| F, I beyond 16 bits, others | refused | their scale is not in the file; `data.range` gives it           |

Then the EXIF orientation is applied, and only then is the image brought to the wanted shape. What is fully
transparent is black, whatever colour lies hidden there. The whole file is decoded, so a truncated one is noticed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from fromnoise.data.metadata import turned_late
from fromnoise.data.open_image import FORMATS, MAX_PIXELS, BadImage, opened, pillow_guard
from fromnoise.data.resize import Resize, without_hidden_colours
from fromnoise.data.value_range import Stored, ValueRange

__all__ = ["FORMATS", "MAX_PIXELS", "BadImage", "DecodedImage", "decode", "peek", "pillow_guard"]

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
# How Pillow reads 16-bit colour, by the upper of two bytes, and the name by which it reads the lower one instead.
_LOWER = {";16B": ";16L", ";16L": ";16B", ";16N": ";16B"}
_EIGHT_BITS = Stored(0, 255, 255)
_FULL_16 = ValueRange(0, 65535)
_UNSCALED = "(save it with 8 or 16 bits, or give the values of black and white, such as --set data.range=0-1)"


@dataclass(frozen=True)
class DecodedImage:
    """A decoded image.

    pixels: uint8 (H, W, C) with C = 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA. mode: as stored. remarks: what was
    done to it, in words that follow a number ("CMYK image to RGB"). stored: its values in the file.
    """

    pixels: NDArray[np.uint8]
    mode: str
    remarks: tuple[str, ...] = ()
    stored: Stored = _EIGHT_BITS

    @property
    def transparent(self) -> bool:
        """Whether any pixel lets the background through."""
        return self.pixels.shape[-1] in (2, 4) and bool((self.pixels[..., -1] < 255).any())


def peek(file: BinaryIO) -> tuple[int, int]:
    """(height, width) as `decode` will find it, by the header; BadImage for what no header can be read from."""

    def upright_size(image: Image.Image) -> tuple[int, int]:
        height, width = image.height, image.width
        if image.format == "TIFF":  # some versions of Pillow give its size upright, others as it is stored
            height, width = (int(image.tag_v2[tag]) for tag in (257, 256))  # type: ignore[attr-defined]
        elif image.format == "PNG" and image.fp is not None and turned_late(image.fp):  # type: ignore[attr-defined]
            image.load()
        return (width, height) if _orientation(image) >= 5 else (height, width)

    return opened(file, upright_size)


def decode(file: BinaryIO, resize: Resize, values: ValueRange | None = None) -> DecodedImage:
    """The image, upright, 8 bits a channel, at the wanted shape.

    Arguments:
        values: the stored values of black and white; without them, all that the file's bits hold.

    Raises:
        BadImage: when any of it cannot be read.
    """
    return opened(file, lambda image: _decoded(image, resize, values))


def _decoded(image: Image.Image, resize: Resize, values: ValueRange | None) -> DecodedImage:
    mode, remarks = image.mode, []
    if getattr(image, "is_animated", False):
        image.seek(0)
        remarks.append("file with several frames, of which the first is used")
    # A TIFF is turned while it is loaded, and says so no more; other formats may say it only at their end.
    was_turned = image.format == "TIFF" and _orientation(image) != 1
    _shrink_while_decoding(image, resize)
    plain, stored, said = _loaded(image, values)
    remarks += said
    turn = _orientation(image)
    if turn in _UPRIGHT:
        plain = plain.transpose(_UPRIGHT[turn])
    if turn in _UPRIGHT or was_turned:
        remarks.append("image turned upright by EXIF")
    pixels = np.asarray(resize.apply(plain))
    pixels = without_hidden_colours(pixels if pixels.ndim == 3 else pixels[..., None])
    return DecodedImage(pixels, mode, tuple(remarks), stored)


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 (upright) to 8; 1 as well when the EXIF block itself is damaged."""
    try:
        turn = Image.Image.getexif(image).get(0x0112, 1)  # PNG's own would decode the pixels first
    except Exception:  # damaged metadata beside good pixels should not lose them
        return 1
    return turn if isinstance(turn, int) and turn in _UPRIGHT else 1


def _shrink_while_decoding(image: Image.Image, resize: Resize) -> None:
    """JPEG can be decoded at 1/2, 1/4 or 1/8: taken while at least twice the wanted size remains."""
    if image.format not in ("JPEG", "MPO"):
        return
    turned = _orientation(image) >= 5
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


def _loaded(image: Image.Image, values: ValueRange | None) -> tuple[Image.Image, Stored, list[str]]:
    """The image as L, LA, RGB or RGBA, its values as they were stored, and remarks."""
    packing, mode = _packing(image), image.mode
    if packing == "LA;16B":
        return _grey_alpha_16(image, values)
    if ";16" in packing and mode in ("RGB", "RGBA"):
        return _colour_16(image, packing, values)
    image.load()
    if mode in (*_GREY_16, "F"):
        deep, stored, said = _deep_grey(image, 4095 if packing == "I;12" else 65535, values)
        return ImageOps.invert(deep) if _white_is_zero(image) else deep, stored, said
    if mode in ("P", "PA"):
        image, said = _palette(image)
    elif mode in _CONVERSIONS:
        goal, some = _CONVERSIONS[mode]
        image, said = image.convert(goal), list(some)
    elif mode in ("L", "LA", "RGB", "RGBA"):
        said = []
        if "transparency" in image.info:
            image = image.convert({"L": "LA", "RGB": "RGBA"}.get(mode, mode))
    else:
        raise BadImage(f"its values of mode {mode} have no agreed scale (save it with 8 or 16 bits)")
    stored = _extrema(image)
    if values is None or values.high > 255:  # that range is of files with more than 8 bits
        return image, stored, said
    said += _clipped(stored, values)
    tables = [list(range(256)) if band == "A" else values.table() for band in image.getbands()]
    return image.point([level for table in tables for level in table]), stored, said


def _white_is_zero(image: Image.Image) -> bool:
    """Whether 0 is white, as a TIFF may say: Pillow sees to it where there are 8 bits or fewer."""
    return image.format == "TIFF" and image.tag_v2.get(262) == 0  # type: ignore[attr-defined]


def _clipped(stored: Stored, values: ValueRange) -> list[str]:
    beyond = stored.low < values.low or stored.high > values.high
    return [f"image with values outside {values}, which were clipped"] if beyond else []


def _extrema(image: Image.Image) -> Stored:
    """The lowest and highest of the values that can be seen."""
    found: Any = image.getextrema()
    pairs = [found] if len(image.getbands()) == 1 else list(found)
    if image.mode in ("LA", "RGBA"):
        if pairs[-1][0] == 0:  # what is hidden does not count
            pixels = np.asarray(image)
            seen = pixels[..., :-1][pixels[..., -1] > 0]
            return Stored(int(seen.min()), int(seen.max()), 255) if seen.size else Stored(0, 0, 255)
        pairs = pairs[:-1]
    return Stored(min(int(low) for low, _ in pairs), max(int(high) for _, high in pairs), 255)


def _deep_grey(image: Image.Image, top: int, values: ValueRange | None) -> tuple[Image.Image, Stored, list[str]]:
    """round(255 v / top); Pillow's own conversion to L clips at 255 instead."""
    pixels: NDArray[Any] = np.asarray(image)
    low, high = float(pixels.min()), float(pixels.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise BadImage("some of its values are no finite numbers; replace them")
    floating = image.mode == "F"
    if values is None and (floating or low < 0 or high > top):
        raise BadImage(f"its {'floating-point' if floating else '32-bit'} values have no agreed scale {_UNSCALED}")
    stored = Stored(low, high, top)
    said = [f"{'floating-point' if floating else '16-bit grey'} image to 8 bits"]
    if not floating and low >= 0 and high <= 65535:
        pixels = pixels.astype(np.uint16)
    if values is not None:
        said += _clipped(stored, values)
    return Image.fromarray((values or ValueRange(0, top)).grey_levels(pixels)), stored, said


def _grey_alpha_16(image: Image.Image, values: ValueRange | None) -> tuple[Image.Image, Stored, list[str]]:
    """Grey and alpha of 16 bits, which Pillow would give as RGBA: its four bytes are read as they are."""
    image.tile = [image.tile[0]._replace(args="RGBA")]  # type: ignore[attr-defined]
    parts = np.asarray(image).astype(np.uint16)
    grey, alpha = parts[..., 0] << 8 | parts[..., 1], parts[..., 2] << 8 | parts[..., 3]
    del parts
    seen = grey[alpha > 0]
    stored = Stored(int(seen.min()), int(seen.max()), 65535) if seen.size else Stored(0, 0, 65535)
    said = ["16-bit grey image with alpha to 8 bits"] + (_clipped(stored, values) if values else [])
    levels = [(values or _FULL_16).grey_levels(grey), _FULL_16.grey_levels(alpha)]
    return Image.merge("LA", [Image.fromarray(level) for level in levels]), stored, said


def _colour_16(image: Image.Image, packing: str, values: ValueRange | None) -> tuple[Image.Image, Stored, list[str]]:
    """16-bit colour: its upper 8 bits; both bytes, each read in a pass of its own, where those tell too little."""
    file, kind = image.fp, (image.format or "",)  # type: ignore[attr-defined]
    image.load()
    upper = _extrema(image)
    if values is None and upper.high >= 16:
        stored = Stored(int(upper.low) << 8, int(upper.high) << 8 | 255, 65535)
        return image, stored, ["16-bit colour image to its upper 8 bits"]
    file.seek(0)
    with Image.open(file, formats=kind) as other:
        tile = other.tile[0]
        name = packing[:-4] + _LOWER[packing[-4:]]
        args = (name, *tile.args[1:]) if isinstance(tile.args, tuple) else name
        other.tile = [tile._replace(args=args)]
        lower = np.asarray(other)
        high = np.asarray(image)
        depth = np.left_shift(high[..., :3], 8, dtype=np.uint16) | lower[..., :3]
    seen = depth[high[..., 3] > 0] if high.shape[-1] == 4 else depth
    stored = Stored(int(seen.min()), int(seen.max()), 65535) if seen.size else Stored(0, 0, 65535)
    if values is None:
        return image, stored, ["16-bit colour image to its upper 8 bits"]
    plain = Image.fromarray(values.grey_levels(depth))
    if high.shape[-1] == 4:
        plain.putalpha(image.getchannel("A"))
    return plain, stored, ["16-bit colour image to 8 bits", *_clipped(stored, values)]


def _palette(image: Image.Image) -> tuple[Image.Image, list[str]]:
    """A palette image as L, LA, RGB or RGBA, by the colours of the pixels that can be seen."""
    alpha = image.mode == "PA" or "transparency" in image.info
    plain = image.convert("RGBA" if alpha else "RGB")
    pixels = np.asarray(plain)
    hidden = pixels[..., 3] == 0 if alpha else np.False_
    red, green, blue = pixels[..., :3].transpose(2, 0, 1)
    if np.all((red == green) & (green == blue) | hidden):
        return plain.convert("LA" if alpha else "L"), ["palette image to grey"]
    return plain, ["palette image to RGB"]
