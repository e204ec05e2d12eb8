"""Which picture files are read, by their names, and what to do with the others: they are pictures all the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from importlib.util import find_spec

from fromnoise.common.extras import PACKAGES
from fromnoise.common.text import count, printable, some

SUFFIXES = (
    *(".avif", ".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm"),
    *(".tif", ".tiff", ".webp"),
)
_HEIF = (".heic", ".heics", ".heif", ".heifs", ".hif")
_UNREADABLE = {
    "SVG": (".svg", ".svgz"),
    "Photoshop": (".psb", ".psd"),
    "camera RAW": (
        *(".3fr", ".arw", ".cr2", ".cr3", ".crw", ".erf", ".iiq", ".kdc", ".mef", ".mrw", ".nef", ".nrw"),
        *(".orf", ".pef", ".raf", ".raw", ".rw2", ".sr2", ".srf", ".srw", ".x3f"),
    ),
    "DNG": (".dng",),
    "OpenEXR": (".exr",),
    "Radiance HDR": (".hdr",),
    "PFM": (".pfm",),
    "JPEG XL": (".jxl",),
    "JPEG 2000": (".j2c", ".j2k", ".jp2", ".jpc", ".jpf", ".jpx"),
    "JPEG XR": (".hdp", ".jxr", ".wdp"),
    "PDF": (".pdf",),
    "PostScript": (".ai", ".eps", ".ps"),
    "DICOM": (".dcm", ".dicom"),
    "NIfTI": (".nii",),
    "FITS": (".fit", ".fits", ".fts"),
    "Targa": (".tga",),
    "QOI": (".qoi",),
    "GIMP": (".xcf",),
    "icon": (".cur", ".icns", ".ico"),
    "PCX": (".pcx",),
    "DDS": (".dds",),
    "animated PNG": (".apng",),
    "Krita": (".kra",),
    "DjVu": (".djvu",),
    "WMF": (".emf", ".wmf"),
    "SGI": (".rgb", ".sgi"),
}
_NAMES = {suffix: name for name, suffixes in _UNREADABLE.items() for suffix in suffixes} | dict.fromkeys(_HEIF, "HEIC")
HEIF_ADVICE = f"pip install {PACKAGES['heif']} (the extra [heif]) to read HEIC"


def is_readable(suffix: str) -> bool:
    """Whether files with this suffix (".png", lower case) are read here; those of HEIF where its extra is installed."""
    return suffix in SUFFIXES or (suffix in _HEIF and heif_installed())


def heif_installed() -> bool:
    """Whether the extra that reads HEIF is here."""
    return find_spec("pillow_heif") is not None


def left_aside(suffixes: Mapping[str, int]) -> tuple[str, ...]:
    """What to say of files that are not read: pictures by their format and the way to read them, and the others."""
    others = {suffix: number for suffix, number in sorted(suffixes.items()) if suffix not in _NAMES}
    notes: tuple[str, ...] = ()
    if pictures := unread_pictures(suffixes):
        notes = (f"left aside, as they cannot be read here: {pictures}",)
    if others:
        kinds = some([f"{printable(suffix)} {number:,}" for suffix, number in others.items()])
        total = sum(others.values())
        verb = "is not an image" if total == 1 else "are not images"
        notes += (f"{count(total, 'file')} that {verb} left aside ({kinds})",)
    return notes


def unread_pictures(suffixes: Mapping[str, int]) -> str:
    """`12 HEIC images; ...` with what to do, of those files whose suffix is that of a picture; empty for none."""
    pictures: Counter[str] = Counter()
    for suffix, number in suffixes.items():
        if suffix in _NAMES:
            pictures[_NAMES[suffix]] += number
    if not pictures:
        return ""
    ordered = sorted(pictures.items(), key=lambda item: (-item[1], item[0]))
    named = some([count(number, f"{name} image") for name, number in ordered])
    advice = HEIF_ADVICE if "HEIC" in pictures and not heif_installed() else ""
    rest = [name for name in pictures if name != "HEIC" or not advice]
    convert = f"convert {'the others' if advice else 'them'} to PNG" if rest else "or convert them to PNG or JPEG"
    return f"{named}; {', '.join(part for part in (advice, convert) if part)}"
