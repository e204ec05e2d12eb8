"""Stored values that do not fill their bits, greys stored as colours, and the settings for both."""

from __future__ import annotations

import io
import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fromnoise.cli import main
from fromnoise.common.errors import DataError, UsageError
from fromnoise.common.image_spec import ImageSpec
from fromnoise.data import DataOptions, load, unseen
from fromnoise.data.stores import import_data
from fromnoise.data.value_range import Stored, detect, parse_range
from fromnoise.editing.inputs import read_image, read_mask

Folder = Callable[..., Path]


def file(pixels: np.ndarray, kind: str = "PNG") -> bytes:
    held = io.BytesIO()
    Image.fromarray(pixels).save(held, kind)
    return held.getvalue()


def noise(high: int, number: int, channels: int = 1) -> np.ndarray:
    values = np.random.default_rng(number).integers(0, high + 1, (16, 16, channels))
    values[0, 0], values[0, 1] = 0, high
    return values


def deep_png(values: np.ndarray) -> bytes:
    """A PNG of 16 bits with any number of channels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    height, width, channels = values.shape
    colour = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    head = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize(
    ("low", "high", "top", "read"),
    [
        *((0, 1, 255, "0-1"), (0, 1, 65535, "0-1"), (0, 16, 255, "0-16"), (0, 250, 65535, "0-255")),
        *((3, 1000, 65535, "0-1023"), (0, 4095, 65535, "0-4095"), (0, 4096, 65535, None)),
        *((0, 25, 255, None), (0, 255, 255, None), (7, 7, 255, None), (0, 0, 65535, None)),
    ],
)
def test_what_auto_takes_values_to_be(low: int, high: int, top: int, read: str | None) -> None:
    assert detect(Stored(low, high, top)) == (parse_range(read) if read else None)


@pytest.mark.parametrize("channels", [1, 3])
def test_twelve_bit_values_are_read_by_their_range(folder: Folder, channels: int) -> None:
    values = [noise(4095, i, channels) for i in range(4)]
    root = str(folder({f"{i}.png": deep_png(one) for i, one in enumerate(values)}))
    data = load(root)
    (note,) = [note for note in data.notes if note.startswith("range:")]
    assert "12-bit" in note and "--set data.range=full" in note and data.range == "0-4095"
    wanted = np.floor(np.stack(values) / 4095 * 255 + 0.5).transpose(0, 3, 1, 2)
    assert (data.images.numpy() == wanted).all()
    assert load(root, range="0-4095").fingerprint == data.fingerprint
    full = load(root, range="full")
    (note,) = [note for note in full.notes if note.startswith("range:")]
    assert full.images.max() <= 16 and "12-bit" in note and "--set data.range=0-4095" in note


def test_masks_are_black_and_white_at_any_size(folder: Folder) -> None:
    root = str(folder({f"{i}.png": file(noise(1, i)[..., 0].astype(np.uint8)) for i in range(3)}))
    data = load(root)
    assert data.images.unique().tolist() == [0, 255] and data.range == "0-1"
    assert len(load(root, resolution="8").images.unique()) > 10
    with pytest.raises(UsageError, match=r"data\.range is 0-4095"):
        load(root, range="0-4095")


def test_floating_point_files_need_a_range(folder: Folder) -> None:
    values = [np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8) for _ in range(2)]
    root = str(folder({f"{i}.tif": file(one, "TIFF") for i, one in enumerate(values)}))
    with pytest.raises(DataError, match=r"--set data\.range=0-1"):
        load(root)
    assert load(root, range="0-1").images[0, 0].flatten().tolist() == np.floor(values[0] * 255 + 0.5).ravel().tolist()


def test_both_splits_are_read_by_the_range_of_the_first(tmp_path: Path) -> None:
    train, test = np.stack([noise(16, i) for i in range(4)]), np.stack([noise(8, i) for i in range(9, 13)])
    path = tmp_path / "dark.npz"
    np.savez(path, x_train=train.astype(np.uint8), x_test=test.astype(np.uint8))
    options = DataOptions(str(path))
    alone, beside = load(options, "test"), unseen(options, load(options))
    assert beside is not None and alone.range == beside.range == "0-16"
    assert int(alone.images.max()) == int(beside.images.max()) == 128
    out = import_data(options, tmp_path / "store")
    kept = load(str(out))
    again = unseen(DataOptions(str(out)), kept)
    assert kept.range == "0-16" and again is not None and torch.equal(again.images[:], beside.images[:])


@pytest.mark.parametrize(("most", "kind"), [(4097, np.uint16), (255, np.uint8)])
def test_a_test_split_of_another_range_is_read_by_that_of_the_first(tmp_path: Path, most: int, kind: type) -> None:
    """Values beyond the range of the training images are clipped, and 8 bits have one of their own."""
    train, test = np.stack([noise(4095, i) for i in range(4)]), np.stack([noise(most, i) for i in range(9, 13)])
    path = tmp_path / "deep.npz"
    np.savez(path, x_train=train.astype(np.uint16), x_test=test.astype(kind))
    options = DataOptions(str(path))
    out = DataOptions(str(import_data(options, tmp_path / "store")))
    for given in (options, out):
        for found in (load(given, "test"), unseen(given, load(given))):
            assert found is not None and int(found.images[:].max()) == 255
            assert abs(float(found.images[:].float().mean()) - 127) < 20


@pytest.mark.parametrize(("kind", "opaque"), [(np.uint8, 255), (np.uint16, 65535)])
def test_alpha_of_arrays_has_its_own_range(tmp_path: Path, kind: type, opaque: int) -> None:
    colours = np.stack([noise(20, i, 3) for i in range(3)])
    alpha = np.full((3, 16, 16, 1), opaque * 0.5)
    alpha[0] = opaque
    colours[1, 0, 0], alpha[1, 0, 0] = 200, 0  # what is hidden does not count
    path = tmp_path / "clear.npz"
    np.savez(path, images=np.concatenate([colours, alpha], axis=-1).astype(kind))
    for setting, read_as in (("auto", "0-20"), ("0-40", "0-40")):
        data = load(str(path), range=setting)
        assert data.range == read_as and not any("clipped" in note for note in data.notes)
        assert int(data.images[:, :3].max()) == (255 if setting == "auto" else 128)
        assert sorted(data.images[:, 3].unique().tolist()) in ([0, 127, 255], [0, 128, 255])


def test_what_is_not_finite_is_refused_with_a_range_too(tmp_path: Path) -> None:
    images = np.zeros((3, 8, 8), dtype=np.float32)
    images[1, 2, 3] = np.nan
    np.savez(tmp_path / "nan.npz", images=images)
    with pytest.raises(DataError, match="not finite"):
        load(str(tmp_path / "nan.npz"), range="0-1")


def test_what_is_hidden_is_the_same_whatever_colour_it_has(folder: Folder, tmp_path: Path) -> None:
    clear = np.zeros((16, 16, 4), np.uint8)
    clear[4:12, 4:12] = (200, 40, 10, 255)
    hidden = np.where(clear[..., 3:] == 0, (90, 250, 3, 0), clear).astype(np.uint8)
    for size in (None, "8"):
        found = [load(str(folder({"a.png": file(one), "b.png": file(one)}, f"{i}{size}")), resolution=size)
                 for i, one in enumerate((clear, hidden))]  # fmt: skip
        assert len({data.fingerprint for data in found}) == 1
        for i, one in enumerate((clear, hidden)):
            np.savez(tmp_path / f"{i}.npz", images=np.stack([one, one]))
        arrays = [load(str(tmp_path / f"{i}.npz"), resolution=size) for i in (0, 1)]
        assert {data.fingerprint for data in arrays} == {found[0].fingerprint}


def test_sixteen_bit_grey_with_alpha_stays_grey(folder: Folder) -> None:
    values = np.concatenate([noise(65535, 0), np.full((16, 16, 1), 65535)], -1)
    data = load(str(folder({"a.png": deep_png(values), "b.png": deep_png(values)})))
    assert data.spec.channels == 1 and (data.images[0, 0].numpy() == np.rint(values[..., 0] / 257)).all()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "AVIF"])
def test_greys_stored_as_colours_are_said_and_taken_as_grey(folder: Folder, kind: str) -> None:
    pictures = [np.repeat(noise(255, i).astype(np.uint8), 3, -1) for i in range(3)]
    root = str(folder({f"{i}.{kind.lower()}": file(one, kind) for i, one in enumerate(pictures)}))
    data = load(root)
    assert data.spec.channels == 3 and any("--set data.channels=1" in note for note in data.notes)
    grey = load(root, channels=1)
    assert grey.spec.channels == 1 and not any("data.channels" in note for note in grey.notes)
    assert (grey.images.int() - data.images.int()).abs().max() <= 2
    assert load(root, channels=4).images[:, 3].min() == 255


def test_inspect_takes_the_settings_of_data(folder: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    root = str(folder({f"{i}.png": file(noise(1, i)[..., 0].astype(np.uint8)) for i in range(3)}))
    assert main(["data", "inspect", root, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["range"] == "0-1"
    assert main(["data", "inspect", root, "--json", "--set", "data.range=full"]) == 0
    assert json.loads(capsys.readouterr().out)["channels"][0]["max"] == 1


def test_images_to_edit_are_read_as_the_training_images_were(tmp_path: Path) -> None:
    spec = ImageSpec(1, 16, 16)
    Image.fromarray(noise(4095, 0)[..., 0].astype(np.uint16)).save(tmp_path / "deep.png")
    Image.fromarray(noise(255, 0)[..., 0].astype(np.uint8)).save(tmp_path / "plain.png")
    Image.fromarray(noise(1, 0)[..., 0].astype(np.uint8)).save(tmp_path / "mask.png")
    assert read_image(tmp_path / "deep.png", spec, True, "0-4095").pixels.max() == 255
    assert read_image(tmp_path / "deep.png", spec, True).pixels.max() < 17
    plain = read_image(tmp_path / "plain.png", spec, True, "0-1").pixels
    assert (plain[0, 0].numpy() == noise(255, 0)[..., 0]).all(), "it does not lie within that range"
    assert (read_mask(tmp_path / "mask.png", spec)[0, 0].numpy() == (noise(1, 0)[..., 0] == 1)).all()
