"""What fromnoise wrote itself is no data, wherever it lies."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fromnoise.common.errors import DataError
from fromnoise.data import DataOptions, load
from fromnoise.figures.animation import animate
from fromnoise.figures.grid import grid, save
from fromnoise.model.samples import Samples

IMAGE = (8, 8, 3)
PHOTOS = {f"{name}/{i}.png": IMAGE for name in ("cat", "dog") for i in range(3)}
PIXELS = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)


def write_all(root: Path) -> None:
    """A figure, a film, a folder of samples and a run folder below `root`."""
    save(grid(PIXELS), root / "grid.png")
    animate([grid(PIXELS), grid(255 - PIXELS)], root / "cat" / "film.gif")
    Samples(PIXELS, list(range(4)), None).save(root / "samples")
    run = root / "runs" / "photos"
    for file, content in (("config.json", {"format": 2, "settings": {}, "spec": {}}), ("metrics.jsonl", {})):
        (run / "samples").mkdir(parents=True, exist_ok=True)
        (run / file).write_text(json.dumps(content))
    (run / "config.toml").write_text("")
    Image.fromarray(PIXELS[0]).save(run / "samples" / "old.png")


def test_our_own_output_is_left_aside_and_said(folder: Callable[..., Path]) -> None:
    root, clean = folder(PHOTOS), load(DataOptions(source=str(folder(PHOTOS, "clean"))))
    write_all(root)
    packed = Path(shutil.make_archive(str(root), "zip", root))
    for path in (root, packed):
        data = load(DataOptions(source=str(path)))
        assert data.fingerprint == clean.fingerprint and data.spec == clean.spec
        (note,) = data.notes
        assert all(value in note for value in ("1 run folder", "6 images", "runs/photos", "grid.png"))


def test_a_run_folder_or_figures_alone_are_refused(folder: Callable[..., Path]) -> None:
    root = folder({})
    write_all(root)
    for path, value in ((root / "runs" / "photos", "run folder"), (root / "cat", "film.gif")):
        with pytest.raises(DataError, match=value):
            load(DataOptions(source=str(path)))


def test_samples_alone_are_data(folder: Callable[..., Path]) -> None:
    root = folder({})
    write_all(root)
    data = load(DataOptions(source=str(root / "samples")))
    assert (data.images.permute(0, 2, 3, 1).numpy() == PIXELS).all()


def test_a_config_of_somebody_else_is_no_run(folder: Callable[..., Path]) -> None:
    others = {"config.toml": b"", "config.json": b'{"format": 1}', "a/config.json": b"[" * 9999, "a/config.toml": b""}
    data = load(DataOptions(source=str(folder({**PHOTOS, **others}))))
    assert len(data) == 6 and data.spec.classes == ("cat", "dog")


def test_a_damaged_archive_still_names_its_file(folder: Callable[..., Path], tmp_path: Path) -> None:
    target = tmp_path / "broken.zip"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(folder(PHOTOS) / "cat" / "0.png", "a.png")
    content = bytearray(target.read_bytes())
    content[40:60] = bytes(20)
    target.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.png"):
        load(DataOptions(source=str(target)))
