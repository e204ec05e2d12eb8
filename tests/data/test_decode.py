"""Every kind of image file to the pixels that it shows."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageOps

from fromnoise.data.decode import MAX_PIXELS, BadImage, DecodedImage, decode, peek, pillow_guard
from fromnoise.data.resize import Resize

RAMP = np.arange(256, dtype=np.uint8).reshape(16, 16)


def read(content: bytes, size: int = 16) -> DecodedImage:
    with pillow_guard():
        return decode(io.BytesIO(content), Resize(size, size))


def png(width: int, height: int, depth: int, colour: int, rows: bytes, chunks: bytes = b"") -> bytes:
    """A PNG by hand, for what Pillow does not write."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunks + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def test_grey_and_colour_come_through_unchanged(encoded: Callable[..., bytes]) -> None:
    grey = read(encoded(Image.fromarray(RAMP)))
    assert (grey.pixels[..., 0] == RAMP).all() and grey.mode == "L" and grey.remarks == ()
    colour = np.stack([RAMP, RAMP[::-1], RAMP.T], -1)
    assert (read(encoded(Image.fromarray(colour))).pixels == colour).all()


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bit_grey_is_divided_by_257_and_rounded(encoded: Callable[..., bytes], kind: str) -> None:
    values = (np.arange(256, dtype=np.uint16) * 257 + 100).clip(max=65535).reshape(16, 16)
    picture = read(encoded(Image.fromarray(values), kind))
    assert (picture.pixels[..., 0] == np.rint(values / 257)).all()
    assert len(picture.remarks) == 1 and "16-bit grey" in picture.remarks[0] and "8 bits" in picture.remarks[0]


@pytest.mark.parametrize("depth", [1, 257])
def test_a_tiff_may_say_that_0_is_white(encoded: Callable[..., bytes], depth: int) -> None:
    values = RAMP.astype(np.uint8 if depth == 1 else np.uint16) * depth
    black = struct.pack("<HHIH", 262, 3, 1, 1)  # PhotometricInterpretation: 0 is black
    content = encoded(Image.fromarray(values), "TIFF")
    assert content.count(black) == 1 and (read(content).pixels[..., 0] == RAMP).all()
    assert (read(content.replace(black, black[:-2] + b"\0\0")).pixels[..., 0] == 255 - RAMP).all()


def test_sixteen_bit_colour_keeps_its_upper_bits() -> None:
    values = np.random.default_rng(0).integers(0, 65536, (16, 16, 3)).astype(">u2")
    picture = read(png(16, 16, 16, 2, b"".join(b"\0" + row.tobytes() for row in values)))
    assert (picture.pixels == values >> 8).all()
    assert len(picture.remarks) == 1 and "16-bit colour" in picture.remarks[0] and "8 bits" in picture.remarks[0]


def test_wide_integers_and_floats_are_refused(encoded: Callable[..., bytes]) -> None:
    small = np.full((16, 16), 514, dtype=np.int32)
    assert (read(encoded(Image.fromarray(small), "TIFF")).pixels == 2).all()
    for values in (np.full((16, 16), 70_000, np.int32), np.full((16, 16), -1, np.int32)):
        with pytest.raises(BadImage, match="32-bit"):
            read(encoded(Image.fromarray(values), "TIFF"))
    with pytest.raises(BadImage, match=r"float.* 8 or 16 bits"):
        read(encoded(Image.fromarray(np.full((16, 16), 0.5, np.float32)), "TIFF"))


def test_one_bit_is_black_and_white(encoded: Callable[..., bytes]) -> None:
    picture = read(encoded(Image.fromarray(RAMP > 127)))
    assert (picture.pixels[..., 0] == np.where(RAMP > 127, 255, 0)).all()
    assert picture.mode == "1" and len(picture.remarks) == 1 and "1-bit" in picture.remarks[0]


def test_cmyk_shows_the_colours_it_prints(encoded: Callable[..., bytes]) -> None:
    red = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    for kind in ("TIFF", "JPEG"):
        picture = read(encoded(red, kind))
        assert np.abs(picture.pixels.astype(int) - (255, 0, 0)).max() < 8
        assert len(picture.remarks) == 1 and "CMYK" in picture.remarks[0] and "RGB" in picture.remarks[0]


def test_a_palette_counts_by_the_colours_used(encoded: Callable[..., bytes]) -> None:
    image = Image.fromarray((RAMP // 128).astype(np.uint8)).convert("P")
    image.putpalette([0, 0, 0, 90, 90, 90, 255, 0, 0])  # red is never used
    picture = read(encoded(image))
    assert picture.pixels.shape[-1] == 1 and set(picture.pixels.ravel()) == {0, 90}
    assert len(picture.remarks) == 1 and "palette" in picture.remarks[0] and "grey" in picture.remarks[0]
    image.putpalette([0, 0, 255, 90, 90, 90])
    picture = read(encoded(image, "GIF"))
    assert picture.pixels.shape[-1] == 3 and tuple(picture.pixels[0, 0]) == (0, 0, 255)
    assert len(picture.remarks) == 1 and "palette" in picture.remarks[0] and "RGB" in picture.remarks[0]


def test_alpha_is_kept_in_all_its_disguises(encoded: Callable[..., bytes]) -> None:
    rgba = np.stack([RAMP, RAMP, 255 - RAMP, RAMP], -1)
    rgba[0, 0] = 0  # what is hidden is black
    assert (read(encoded(Image.fromarray(rgba))).pixels == rgba).all()
    grey = read(encoded(Image.fromarray(np.stack([RAMP, RAMP], -1), "LA")))
    assert grey.pixels.shape[-1] == 2 and grey.transparent
    assert not read(encoded(Image.new("RGBA", (16, 16), (1, 2, 3, 255)))).transparent
    palette = Image.fromarray((RAMP // 128).astype(np.uint8)).convert("P")
    palette.putpalette([255, 0, 0, 0, 255, 0])
    picture = read(encoded(palette, transparency=0))
    assert tuple(picture.pixels[0, 0]) == (0, 0, 0, 0) and tuple(picture.pixels[-1, -1]) == (0, 255, 0, 255)


def test_one_transparent_colour_becomes_alpha(encoded: Callable[..., bytes]) -> None:
    grey = read(encoded(Image.fromarray(RAMP), transparency=7))
    assert grey.pixels.shape[-1] == 2 and int((grey.pixels[..., 1] == 0).sum()) == 1
    colour = read(encoded(Image.new("RGB", (16, 16), (1, 2, 3)), transparency=(1, 2, 3)))
    assert (colour.pixels[..., 3] == 0).all()


@pytest.mark.parametrize("turn", range(1, 9))
def test_images_are_turned_upright(encoded: Callable[..., bytes], turn: int) -> None:
    pixels = np.random.default_rng(turn).integers(0, 256, (12, 20, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = turn
    content = encoded(Image.fromarray(pixels), exif=exif)
    upright = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(content))))
    height, width = peek(io.BytesIO(content))
    assert (height, width) == upright.shape[:2]
    assert (decode(io.BytesIO(content), Resize(height, width)).pixels == upright).all()


def test_a_turned_photograph_is_shrunk_the_right_way_round(encoded: Callable[..., bytes]) -> None:
    pixels = np.zeros((400, 800, 3), dtype=np.uint8)
    pixels[:, 400:] = 255  # white on the right; orientation 6 turns it to the bottom
    exif = Image.Exif()
    exif[0x0112] = 6
    with pillow_guard():
        picture = decode(io.BytesIO(encoded(Image.fromarray(pixels), "JPEG", exif=exif)), Resize(64, 32))
    assert picture.pixels.shape == (64, 32, 3)
    assert picture.pixels[:28].max() < 20 and picture.pixels[36:].min() > 235


def test_big_photographs_shrink_to_what_a_full_decode_gives(encoded: Callable[..., bytes]) -> None:
    y, x = np.mgrid[0:600, 0:900]
    pixels = np.stack([128 + 100 * np.sin(x / 40), 128 + 100 * np.cos(y / 50), (x + y) / 6], -1).astype(np.uint8)
    fast = read(encoded(Image.fromarray(pixels), "JPEG", quality=95), 32).pixels.astype(int)
    slow = read(encoded(Image.fromarray(pixels)), 32).pixels.astype(int)
    assert np.abs(fast - slow).max() <= 6


def test_the_first_frame_of_an_animation_is_used(encoded: Callable[..., bytes]) -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "green", "blue")]
    for kind in ("GIF", "WEBP", "TIFF"):
        how = {"lossless": True} if kind == "WEBP" else {}
        picture = read(encoded(frames[0], kind, save_all=True, append_images=frames[1:], **how))
        assert tuple(picture.pixels[3, 3][:3]) == (255, 0, 0)
        assert any("frames" in remark for remark in picture.remarks)


def test_files_that_end_early_are_noticed(encoded: Callable[..., bytes]) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    for kind in ("JPEG", "PNG", "BMP"):
        content = encoded(noise, kind)
        with pytest.raises(BadImage) as caught:
            read(content[: len(content) // 2])
        assert str(caught.value)
    with pytest.raises(BadImage):
        read(encoded(noise, "JPEG")[:3000])


@pytest.mark.parametrize("content", [b"", b"hello", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM" + bytes(60), b"II*\0" * 9])
def test_what_is_no_image_is_a_bad_image_and_nothing_else(content: bytes) -> None:
    for use in (peek, lambda file: decode(file, Resize(16, 16))):
        with pytest.raises(BadImage) as caught, pillow_guard():
            use(io.BytesIO(content))
        assert str(caught.value)


def test_damaged_bytes_never_raise_anything_else(encoded: Callable[..., bytes]) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 24, 3), dtype=np.uint8))
    draw = np.random.default_rng(1)
    outcomes = set()
    for kind in ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF"):
        whole = encoded(noise, kind)
        for _ in range(60):
            broken = bytearray(whole)
            for place in draw.integers(0, len(broken), 5):
                broken[place] = draw.integers(0, 256)
            try:
                outcomes.add(read(bytes(broken)).pixels.shape[:2])
            except BadImage:
                outcomes.add("bad")
    assert outcomes == {(16, 16), "bad"}


def test_bombs_are_refused_before_they_are_decoded() -> None:
    side = int(MAX_PIXELS**0.5) + 1
    for width in (side, 3 * side):  # beyond our own limit, and beyond Pillow's too
        with pytest.raises(BadImage, match="64,000,000"), pillow_guard():
            peek(io.BytesIO(png(width, side, 8, 0, b"")))


def test_other_formats_are_not_opened(encoded: Callable[..., bytes]) -> None:
    with pytest.raises(BadImage, match="PNG, JPEG"):
        read(encoded(Image.fromarray(RAMP), "TGA"))
    with pytest.raises(BadImage, match=r"JPEG 2000.* convert"):
        read(encoded(Image.fromarray(RAMP), "JPEG2000"))
