"""Which files are read, what becomes of the others, and what never loses a picture: metadata, memory, lying headers."""

from __future__ import annotations

import io
import random
import re
import struct
import threading
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from fromnoise.common.errors import DataError
from fromnoise.data import formats as known
from fromnoise.data import load
from fromnoise.data.decode import BadImage, decode, peek, pillow_guard
from fromnoise.data.in_flight import InFlight
from fromnoise.data.resize import Resize

Folder = Callable[..., Path]
PIXELS = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)


def file(kind: str = "PNG", pixels: np.ndarray = PIXELS, **how: object) -> bytes:
    held = io.BytesIO()
    Image.fromarray(pixels).save(held, kind, **how)
    return held.getvalue()


def test_every_format_that_is_read(folder: Folder) -> None:
    files = {"a.jfif": "JPEG", "b.ppm": "PPM", "c.avif": "AVIF", "d.pnm": "PPM", "e.webp": "WEBP", "f.jpe": "JPEG"}
    grey = {"g.pgm": file("PPM", PIXELS[..., 0]), "h.pbm": file("PPM", PIXELS[..., 0] > 127)}
    data = load(str(folder({name: file(kind) for name, kind in files.items()} | grey)), holdout=0.0)
    assert len(data) == 8 and (data.images[1] == data.images[3]).all()
    assert (data.images[1].numpy() == PIXELS.transpose(2, 0, 1)).all()


def test_pictures_that_cannot_be_read_are_named_and_the_others_read(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known, "heif_installed", lambda: False)
    odd = dict.fromkeys(("1.heic", "2.heif", "3.svg", "4.psd", "5.dng", "6.exr", "7.jxl", "8.jp2", "9.pdf"), b"x")
    (note,) = load(str(folder({**odd, "a.png": file(), "b.png": file()}))).notes[:1]
    names = ("2 HEIC", "1 SVG", "1 Photoshop", "1 DNG", "1 OpenEXR", "1 JPEG XL", "1 JPEG 2000", "1 PDF")
    assert all(name in note for name in names) and "pip install pillow-heif" in note and "to PNG" in note
    with pytest.raises(DataError, match=r"2 HEIC images.*pip install pillow-heif"):
        load(str(folder({"1.heic": b"x", "2.heic": b"y"}, "phone")))


def test_heic_under_another_name_is_named(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fromnoise.data.open_image.heif_installed", lambda: False)
    heic = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"
    with pytest.raises(DataError, match=r"a\.jpg.*HEIC.*pillow-heif"):
        load(str(folder({"a.jpg": heic, "b.png": file()})))


def test_heic_is_read_by_its_extra(folder: Folder) -> None:
    pytest.importorskip("pillow_heif").register_heif_opener()
    flat = np.full((16, 16, 3), (200, 100, 50), np.uint8)
    content = file("HEIF", flat, quality=100)
    data = load(str(folder({"a.heic": content, "b.HEIC": content, "c.jpg": content})))
    assert len(data) == 3 and np.abs(data.images[0].numpy().transpose(1, 2, 0).astype(int) - flat).max() < 6


def chunk(kind: bytes, body: bytes, spoil: int = 0) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body) ^ spoil)


def segment(kind: int, body: bytes) -> bytes:
    return bytes([0xFF, kind]) + struct.pack(">H", len(body) + 2) + body


def spoilt() -> dict[str, bytes]:
    """Good pixels beside metadata that Pillow refuses."""
    text = PngImagePlugin.PngInfo()
    text.add_text("workflow", "x" * 2_000_000, zip=True)
    png, jpeg = file(), file("JPEG")
    return {
        "text": file(pnginfo=text),
        "many texts": png[:33] + chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(1_000_000))) * 70 + png[33:],
        "profile": file(icc_profile=bytes(3_000_000)),
        "late text": png[:-12] + chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(2_000_000))) + png[-12:],
        "check sum": png[:33] + chunk(b"tEXt", b"a\0b", spoil=1) + png[33:],
        "exif": png[:33] + chunk(b"eXIf", b"garbage!") + png[33:],
        "jfif": jpeg[:2] + segment(0xE0, b"JFIF\0") + jpeg[2:],
        "icc": jpeg[:2] + segment(0xE2, b"ICC_PROFILE\0") + jpeg[2:],
        "adobe": jpeg[:2] + segment(0xEE, b"Adobe") + jpeg[2:],
        "jpeg exif": jpeg[:2] + segment(0xE1, b"Exif\0\0garbage!") + jpeg[2:],
    }


@pytest.mark.parametrize("name", spoilt())
def test_metadata_that_is_refused_loses_no_pixels(name: str) -> None:
    content = spoilt()[name]
    plain = file("JPEG" if content.startswith(b"\xff\xd8") else "PNG")
    with pillow_guard():
        assert peek(io.BytesIO(content)) == (16, 16)
        found = decode(io.BytesIO(content), Resize(16, 16))
        assert (found.pixels == decode(io.BytesIO(plain), Resize(16, 16)).pixels).all()


def test_an_avif_that_pillow_cannot_read_is_said_to_be_one(monkeypatch: pytest.MonkeyPatch) -> None:
    content = file("AVIF")
    monkeypatch.delitem(Image.OPEN, "AVIF")
    for use in (peek, lambda given: decode(given, Resize(16, 16))):
        with pytest.raises(BadImage, match="AVIF image, which this version of Pillow cannot read; update Pillow"):
            use(io.BytesIO(content))


def test_damaged_pixels_are_refused_all_the_same() -> None:
    png = file()
    broken = png.replace(b"IDAT", b"IDAT\xff\xff", 1)
    with pytest.raises(BadImage), pillow_guard():
        decode(io.BytesIO(broken), Resize(16, 16))


@pytest.mark.parametrize("policy", ["error", "skip"])
@pytest.mark.parametrize("error", [MemoryError(), OSError("out of memory when reading image file"), OSError(12, "no")])
def test_a_lack_of_memory_is_called_that(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, error: Exception, policy: str
) -> None:
    root = folder({"a.png": file(), "b.png": file()})

    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", fails)
    with pytest.raises(DataError, match="memory") as caught:
        load(str(root), on_bad_image=policy)  # type: ignore[arg-type]
    assert caught.value.exit_code == 3 and "broken" not in str(caught.value)


def test_damaged_tiffs_print_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    whole = [file("TIFF", compression=kind) for kind in ("tiff_lzw", "tiff_adobe_deflate", "jpeg")]
    bad = 0
    for seed in range(60):
        draw, content = random.Random(seed), bytearray(whole[seed % 3])
        for _ in range(3):
            content[draw.randrange(8, len(content))] = draw.randrange(256)
        try:
            with pillow_guard():
                decode(io.BytesIO(content), Resize(8, 8))
        except BadImage:
            bad += 1
    printed = capfd.readouterr()
    assert bad > 5 and printed.err == "" and printed.out == ""


def test_a_member_that_holds_more_than_it_claims_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for i in range(3):
            archive.writestr(f"{i}.png", file() + bytes(100_000))
    size = struct.pack("<I", len(file()) + 100_000)
    content = path.read_bytes()
    place = content.index(b"PK\x01\x02")
    path.write_bytes(content[:place] + content[place:].replace(size, struct.pack("<I", 50), 1))
    with pytest.raises(DataError, match=re.escape("0.png")):
        load(str(path))
    assert len(load(str(path), on_bad_image="skip")) == 2


def test_pixels_in_flight_are_bounded() -> None:
    room, most, held, lock = InFlight(100), [0], [0], threading.Lock()

    def work(weight: int) -> None:
        with room.taking(weight):
            with lock:
                held[0] += weight
                most[0] = max(most[0], held[0])
            with lock:
                held[0] -= weight

    threads = [threading.Thread(target=work, args=(weight,)) for weight in [60, 30, 250, 50, 10] * 20]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert not any(thread.is_alive() for thread in threads) and held[0] == 0
    assert most[0] == 250, "what is too heavy goes alone"


def test_a_mixed_folder_stays_about_its_own_size(folder: Folder) -> None:
    sides = np.random.default_rng(0).integers(24, 33, (200, 2))
    data = load(str(folder({f"{i}.png": (int(h), int(w), 3) for i, (h, w) in enumerate(sides)})), holdout=0.0)
    assert len(data) == 200 and 24 <= data.spec.height == data.spec.width <= 32
    assert any(f"{data.spec.height}x{data.spec.width}" in note and "--resolution" in note for note in data.notes)
