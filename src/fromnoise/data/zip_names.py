"""The names inside a .zip, whose format states an encoding only for those in UTF-8.

Other names are bytes: UTF-8 where they are valid as such, else the one of three encodings of Windows and DOS in which
all of them are words; else they are shown by their bytes, as the names of a folder are that are no text.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Sequence

_UTF_8 = 0x800  # the flag of a name in UTF-8
_JAPANESE = re.compile(r"[\u3005-\u3007\u3041-\u309f\u30a1-\u30fe\u4e00-\u9fff\uff01-\uff0f]+")
_CHINESE = re.compile(r"[\u4e00-\u9fff\u3001-\u3011\uff01-\uff0f]+")
_ASCII_LETTER = re.compile("[A-Za-z]")


def member_names(members: Sequence[zipfile.ZipInfo], where: str) -> tuple[list[str], tuple[str, ...]]:
    """The members' names as text, in order, and what to say about them."""
    raw = [_bytes(info) for info in members]
    # Whole names: a backslash may be the second half of a character, so they are split after they are decoded.
    unstated = {name for name in raw if name is not None and not name.isascii()}
    if not unstated:
        return [info.filename for info in members], ()
    encoding = _encoding(unstated)
    texts = [
        info.filename if name is None else name.decode(encoding or "utf-8", "strict" if encoding else "surrogateescape")
        for info, name in zip(members, raw, strict=True)
    ]
    if encoding == "utf-8":
        return texts, ()
    how = f"read as {encoding.upper()}" if encoding else "shown by their bytes"
    return texts, (f"names in {where} state no encoding: {how}; pack them as UTF-8 if that is wrong",)


def _bytes(info: zipfile.ZipInfo) -> bytes | None:
    """A name's bytes as they are in the archive; None where it is known to be text."""
    if info.flag_bits & _UTF_8:
        return None
    try:
        return info.orig_filename.partition("\0")[0].encode("cp437")  # what zipfile decoded it with
    except UnicodeEncodeError:
        return None


def _encoding(names: set[bytes]) -> str:
    """The encoding in which all names are words; "" where there is none."""
    for encoding, plausible in _ENCODINGS:
        try:
            texts = [name.decode(encoding) for name in names]
        except UnicodeDecodeError:
            continue
        if all(plausible(part) for text in texts for part in re.split(r"[/\\.]", text) if not part.isascii()):
            return encoding
    return ""


def _japanese(word: str) -> bool:
    # European letters beside ASCII ones would also pass as characters of two bytes.
    return not _ASCII_LETTER.search(word) and bool(_JAPANESE.fullmatch("".join(c for c in word if not c.isascii())))


def _chinese(word: str) -> bool:
    return not _ASCII_LETTER.search(word) and bool(_CHINESE.fullmatch("".join(c for c in word if not c.isascii())))


def _european(word: str) -> bool:
    return all(c.isascii() or c.isalpha() for c in word)


_ENCODINGS = (("utf-8", lambda _: True), ("cp932", _japanese), ("gbk", _chinese), ("cp437", _european))
