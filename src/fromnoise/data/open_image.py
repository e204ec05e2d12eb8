"""Opening a picture file from anybody: by an allow-list of formats, its size looked at before any pixel is."""

from __future__ import annotations

import errno
import logging
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import BinaryIO, TypeVar

import PIL
from PIL import Image, UnidentifiedImageError

from fromnoise.common.text import printable
from fromnoise.data.formats import HEIF_ADVICE, heif_installed
from fromnoise.data.metadata import without_metadata

T = TypeVar("T")
# Without a handler, what Pillow logs about a damaged file would go to the terminal.
logging.getLogger("PIL").addHandler(logging.NullHandler())

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "AVIF")
MAX_PIXELS = 64_000_000
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_FOREIGN = {
    "JPEG XL": (b"\xff\x0a", b"\0\0\0\x0cJXL "),
    "JPEG 2000": (b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51"),
    "Photoshop": (b"8BPS",),
    "PDF": (b"%PDF",),
    "PostScript": (b"%!PS",),
    "OpenEXR": (b"v/1\x01",),
    "Radiance HDR": (b"#?RADIANCE", b"#?RGBE"),
    "SVG": (b"<svg",),
    "QOI": (b"qoif",),
    "DDS": (b"DDS ",),
    "icon": (b"\0\0\x01\0",),
    "FITS": (b"SIMPLE  =",),
}


class BadImage(Exception):
    """Why a file cannot be used, as the end of a sentence that begins with its name."""


@contextmanager
def pillow_guard() -> Iterator[None]:
    """Pillow's chatter about odd files is silenced, but its bomb warning becomes that file's error."""
    _silence_libtiff()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def opened(file: BinaryIO, use: Callable[[Image.Image], T]) -> T:
    """What `use` makes of the image; without its metadata where that is what stands in the way.

    Raises:
        BadImage: when any of it cannot be read.
        MemoryError: when there is not enough memory for it.
    """
    try:
        return _attempt(file, use)
    except BadImage as error:
        for bare in without_metadata(file):
            try:
                return _attempt(bare, use)
            except BadImage:
                continue
        raise error


def _attempt(file: BinaryIO, use: Callable[[Image.Image], T]) -> T:
    with _complaints(file):
        file.seek(0)
        head = file.read(32)
        if not head:
            raise BadImage("it is empty")
        file.seek(0)
        with Image.open(file, formats=_formats(head)) as image:
            if image.width * image.height > MAX_PIXELS:
                raise BadImage(f"its {image.width:,} x {image.height:,} pixels are more than {MAX_PIXELS:,}")
            return use(image)


def _formats(head: bytes) -> tuple[str, ...]:
    if head[4:8] == b"ftyp" and head[8:12] in _HEIF_BRANDS and b"avif" not in head:
        if not heif_installed():
            raise BadImage(f"it is a HEIC image; {HEIF_ADVICE}, or convert it to PNG or JPEG")
        import pillow_heif

        pillow_heif.register_heif_opener()
        return ("HEIF",)
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


@contextmanager
def _complaints(file: BinaryIO) -> Iterator[None]:
    """Any exception but a lack of memory becomes BadImage: damaged files make decoders raise nearly every type."""
    try:
        yield
    except BadImage:
        raise
    except UnidentifiedImageError as error:
        raise BadImage(_other(file)) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise BadImage(f"it has more than {MAX_PIXELS:,} pixels") from error
    except Exception as error:
        if lacks_memory(error):
            raise MemoryError from error
        text = printable(str(error)) or type(error).__name__
        raise BadImage("it ends too early" if "truncated" in text.lower() else text) from error


def lacks_memory(error: BaseException) -> bool:
    """Whether an exception of any library says that memory ran out."""
    if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
        return True
    text = str(error).lower()
    return "out of memory" in text or "not enough memory" in text or "cannot allocate" in text or "bad_alloc" in text


def _other(file: BinaryIO) -> str:
    """What is said of content that is of no format in the list."""
    file.seek(0)
    head = file.read(512)
    if head[4:8] == b"ftyp" and (b"avif" in head[8:32] or b"avis" in head[8:32]) and "AVIF" not in Image.OPEN:
        return "it is an AVIF image, which this version of Pillow cannot read; update Pillow, or convert it to PNG"
    for name, marks in _FOREIGN.items():
        if head.startswith(marks) or (name == "SVG" and b"<svg" in head):
            return f"it is a {name} picture, which cannot be read here; convert it to PNG"
    return f"it is not a {', '.join(FORMATS)} image"


@cache
def _silence_libtiff() -> None:
    """Ends what the C library prints about damaged files; where it cannot be found, nothing is done."""
    import ctypes

    from PIL import TiffImagePlugin  # noqa: F401 - loads the library

    try:
        if sys.platform.startswith("linux"):
            maps = Path("/proc/self/maps").read_text(errors="replace")
            paths = {line.split(maxsplit=5)[-1].strip() for line in maps.splitlines() if "/libtiff" in line}
        else:
            paths = {str(path) for path in Path(PIL.__file__).parent.glob(".dylibs/libtiff*")}
        for path in paths:
            library = ctypes.CDLL(path)
            library.TIFFSetErrorHandler(None)
            library.TIFFSetWarningHandler(None)
    except (OSError, AttributeError):
        return
