"""Helpers of the data room: small files of every kind, made on the spot."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(autouse=True)
def own_places(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Each test has its own cache, and no data set at hand."""
    monkeypatch.setenv("FROMNOISE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("FROMNOISE_DATA", raising=False)
    return tmp_path / "cache"


def _pixels(number: int, height: int, width: int, channels: int = 3) -> np.ndarray:
    shape = (height, width) if channels == 1 else (height, width, channels)
    return np.random.default_rng(number).integers(0, 256, shape, dtype=np.uint8)


@pytest.fixture
def pixels() -> Callable[..., np.ndarray]:
    """pixels(number, height, width, channels=3): uint8 noise, different for each number."""
    return _pixels


@pytest.fixture
def encoded() -> Callable[..., bytes]:
    """encoded(image, "PNG", ...): the bytes of an image file."""

    def encode(image: Image.Image, kind: str = "PNG", **how: object) -> bytes:
        buffer = io.BytesIO()
        image.save(buffer, kind, **how)
        return buffer.getvalue()

    return encode


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., Path]:
    """folder({"cat/1.png": (height, width, channels) or bytes}): a folder with these files."""

    def make(files: dict[str, object], name: str = "pictures") -> Path:
        root = tmp_path / name
        for place, (path, what) in enumerate(files.items()):
            target = root / path
            target.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(what, bytes):
                target.write_bytes(what)
            else:
                Image.fromarray(_pixels(place, *what)).save(target)
        root.mkdir(exist_ok=True)
        return root

    return make


@pytest.fixture
def idx() -> Callable[[np.ndarray], bytes]:
    """idx(array): the bytes of an IDX file of unsigned bytes."""

    def write(values: np.ndarray) -> bytes:
        head = struct.pack(f">BBBB{values.ndim}I", 0, 0, 8, values.ndim, *values.shape)
        return head + values.astype(np.uint8).tobytes()

    return write
