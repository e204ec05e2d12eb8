"""Pictures as bytes and addresses: the same bytes for the same picture, sizes a page can use."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from fromnoise.common.errors import UsageError
from fromnoise.figures.animation import gif_bytes
from fromnoise.figures.curves import loss_curve
from fromnoise.figures.encode import as_image, data_uri, is_drawn, page_size, png_bytes
from fromnoise.figures.grid import grid


def test_a_picture_survives_its_encoding(pictures):
    picture = grid(pictures(4, channels=3))
    head, _, body = data_uri(picture).partition(",")
    assert head == "data:image/png;base64"
    assert (np.asarray(Image.open(io.BytesIO(base64.b64decode(body)))) == np.asarray(picture)).all()


def test_a_figure_is_sharp_and_the_same_each_time():
    figure = loss_curve(range(1, 50), np.linspace(1, 0.1, 49))
    width, height = page_size(figure)
    assert as_image(figure).size == (2 * width, 2 * height)
    again = loss_curve(range(1, 50), np.linspace(1, 0.1, 49))
    assert png_bytes(figure) == png_bytes(again)
    assert is_drawn(figure) and not is_drawn(as_image(figure))


def test_bytes_pass_and_are_named_by_what_they_are(pictures):
    picture = grid(pictures(2))
    content = png_bytes(picture)
    assert png_bytes(content) is content and page_size(content) == picture.size
    moving = gif_bytes([pictures(2)])
    assert data_uri(moving).startswith("data:image/gif;base64,")
    with pytest.raises(UsageError, match=r"GIF.*PNG"):
        png_bytes(moving)


@pytest.mark.parametrize("encode", [png_bytes, data_uri, page_size, as_image])
@pytest.mark.parametrize(
    "thing, named",
    [(b"<svg>", "b'<svg>'"), ("figure.png", "str"), (None, "NoneType"), (np.zeros((2, 2), np.uint8), "ndarray")],
)
def test_what_is_no_picture_is_refused(encode, thing, named):
    with pytest.raises(UsageError, match=rf"{named}.*PNG"):
        encode(thing)
