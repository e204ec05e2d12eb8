"""A picture file without its metadata: texts, profiles and EXIF blocks that a decoder refuses are no loss of pixels."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from io import BytesIO
from typing import BinaryIO

PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8"
_PIXELS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
_ORIENTATION = re.compile(rb"XML:com\.adobe\.xmp\0|Raw profile type exif\0", re.IGNORECASE)
_LARGEST = 512 * 2**20


def without_metadata(file: BinaryIO) -> Iterator[BinaryIO]:
    """The file with less and less beside its pixels: first what may turn it is kept, then nothing; none for others."""
    file.seek(0)
    content = file.read(_LARGEST)
    if content.startswith(PNG):
        yield BytesIO(_bare_png(content, turning=True))
        yield BytesIO(_bare_png(content, turning=False))
    elif content.startswith(JPEG):
        yield BytesIO(_bare_jpeg(content, exif=True))
        yield BytesIO(_bare_jpeg(content, exif=False))
    elif content[4:12] == b"ftypavif":
        # An item of another type is passed over; AVIF is turned by a property of its own.
        head, mark, rest = content.partition(b"mdat")
        yield BytesIO(head.replace(b"Exif", b"none") + mark + rest)


def png_chunks(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """(kind, place, bytes) of each whole chunk, head and check sum included, by seeking from one to the next."""
    place = len(PNG)
    while True:
        file.seek(place)
        head = file.read(8)
        if len(head) < 8:
            return
        size = struct.unpack(">I", head[:4])[0] + 12
        yield head[4:], place, size
        place += size


def turned_late(file: BinaryIO) -> bool:
    """Whether a PNG holds, behind its pixels, what may say how it is to be turned."""
    behind = False
    for kind, place, _ in png_chunks(file):
        behind |= kind == b"IDAT"
        if behind and (kind == b"eXIf" or (kind in (b"iTXt", b"tEXt", b"zTXt") and _turns(file, place))):
            return True
    return False


def _turns(file: BinaryIO, place: int) -> bool:
    file.seek(place + 8)
    return _ORIENTATION.match(file.read(32)) is not None


def _bare_png(content: bytes, *, turning: bool) -> bytes:
    file, parts = BytesIO(content), [PNG]
    for kind, place, size in png_chunks(file):
        if kind in _PIXELS or (turning and (kind == b"eXIf" or _turns(file, place))):
            parts.append(content[place : place + size])
    return b"".join(parts)


def _bare_jpeg(content: bytes, *, exif: bool) -> bytes:
    """Without application segments and comments, but for Adobe's, which tells the colours' kind."""
    parts, place = [JPEG], 2
    while place + 4 <= len(content) and content[place] == 0xFF and content[place + 1] != 0xDA:
        kind, size = content[place + 1], struct.unpack_from(">H", content, place + 2)[0] + 2
        body = content[place + 4 : place + size]
        aside = kind == 0xFE or 0xE0 <= kind <= 0xEF
        turns = exif and kind == 0xE1
        if not aside or turns or (kind == 0xEE and len(body) >= 12):
            parts.append(content[place : place + size])
        place += size
    return b"".join([*parts, content[place:]])
