"""Stores: what is read from one is what would be in memory, bit for bit, whatever happened while it was made."""

from __future__ import annotations

import contextlib
import errno
import gzip
import os
import shutil
import struct
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from fromnoise.common.errors import DataError, UsageError, WriteError
from fromnoise.common.stored_json import read_stored
from fromnoise.data import Batches, DataOptions, decode_many, load, store_area
from fromnoise.data.decode import decode
from fromnoise.data.inspection import inspect
from fromnoise.data.loading import splits, unseen
from fromnoise.data.rows import Rows
from fromnoise.data.state import state_of
from fromnoise.data.stored import stores_folder
from fromnoise.data.stores import import_data

Make = Callable[..., Path]


def noise(*shape: int, kind: Any = np.uint8) -> np.ndarray:
    return np.random.default_rng(shape[0]).integers(0, np.iinfo(kind).max + 1, shape, dtype=kind)


def mixed(encoded: Callable[..., bytes]) -> dict[str, object]:
    """Pictures of many modes, sizes and classes."""
    half = Image.fromarray(noise(8, 9, 4))
    palette = Image.fromarray(noise(9, 8, 3)).quantize(7)
    files: dict[str, object] = {f"cat/{place}.png": (8, 8, 1) for place in range(14)}
    files |= {f"dog/{place}.png": (9, 8 + place % 2, 3) for place in range(14)}
    more = {"half": half, "palette": palette, "grey-alpha": Image.fromarray(noise(8, 8, 4)).convert("LA")}
    return files | {f"dog/{name}.png": encoded(image) for name, image in more.items()}


def clear(encoded: Callable[..., bytes]) -> dict[str, object]:
    """Opaque ones first, and most that are not."""
    pictures = [Image.fromarray(noise(place + 1, 8, 8)[0]) for place in range(3)]
    pictures += [Image.fromarray(noise(8, 8 + place % 2, 4)) for place in range(9)]
    return {f"{place:02}.png": encoded(picture) for place, picture in enumerate(pictures)}


def dark(encoded: Callable[..., bytes]) -> dict[str, object]:
    """Masks of few values, which another range makes visible."""
    return {f"{place:02}.png": encoded(Image.fromarray(noise(place + 2, 8, 8)[0] % 5)) for place in range(24)}


def deep(encoded: Callable[..., bytes]) -> dict[str, object]:
    """12-bit values in 16 bits."""
    return {
        f"{place}.png": encoded(Image.fromarray(noise(place + 2, 8, 8, kind=np.uint16)[0] % 4096)) for place in range(9)
    }


def split(encoded: Callable[..., bytes]) -> dict[str, object]:
    """A test split beside the images to train on."""
    return {f"{part}/{kind}/{n}.png": (8, 8, 3) for part in ("train", "test") for kind in "ab" for n in range(5)}


FOLDERS = {make.__name__: make for make in (mixed, clear, dark, deep, split)}
ARRAYS: dict[str, dict[str, np.ndarray]] = {
    "uint8": {"images": noise(30, 8, 8, 3), "labels": np.arange(30) % 3},
    "first": {"images": noise(30, 3, 8, 9)},
    "float": {"images": noise(30, 8, 8) / 255, "labels": np.arange(30) % 2},
    "deep": {"x_train": noise(30, 8, 8, kind=np.uint16) // 16, "x_test": noise(9, 8, 8, kind=np.uint16) // 16},
    "clear": {"images": np.where(noise(30, 8, 8, 1) > 99, noise(30, 8, 8, 4), 0).astype(np.uint8)},
}


def idx(path: Path, array: np.ndarray) -> None:
    head = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    path.write_bytes(gzip.compress(head + array.tobytes()))


@pytest.fixture
def source(
    tmp_path: Path, folder: Make, encoded: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], str]:
    """source("zip-mixed"): DATA of that kind."""

    def make(name: str) -> str:
        kind, _, what = name.partition("-")
        target = tmp_path / f"{name}.{kind}"
        if kind in ("folder", "zip"):
            root = folder(FOLDERS[what](encoded), name)
            if kind == "zip":
                with zipfile.ZipFile(target, "w") as archive:
                    for path in sorted(root.rglob("*.png")):
                        archive.write(path, path.relative_to(root))
                return str(target)
            return str(root)
        if kind == "npz":
            np.savez_compressed(target, **ARRAYS[what])
        elif kind == "npy":
            np.save(target, ARRAYS[what]["images"] if what != "grey" else noise(30, 8, 8))
        elif kind == "idx":
            target = tmp_path / "digits"
            target.mkdir()
            for part, number in (("train", 40), ("t10k", 12)):
                idx(target / f"{part}-images-idx3-ubyte.gz", noise(number, 8, 8))
                idx(target / f"{part}-labels-idx1-ubyte.gz", (np.arange(number) % 4).astype(np.uint8))
        elif kind == "hub":
            datasets = pytest.importorskip("datasets")
            labels = datasets.ClassLabel(names=["cat", "dog"])
            features = datasets.Features({"photo": datasets.Image(), "label": labels})
            cells = [{"bytes": encoded(Image.fromarray(noise(n + 1, 8, 8, 3)[0])), "path": None} for n in range(25)]
            table = datasets.Dataset.from_dict({"photo": cells, "label": [n % 2 for n in range(25)]}, features=features)
            monkeypatch.setenv("HF_HUB_OFFLINE", "1")
            monkeypatch.setattr(datasets, "get_dataset_split_names", lambda path, config: ["train"])
            monkeypatch.setattr(datasets, "load_dataset", lambda path, config, split: table)
            return "hf:me/pictures"
        else:
            return kind
        return str(target)

    return make


KINDS = [f"{kind}-{name}" for kind in ("folder", "zip") for name in FOLDERS]
KINDS += [
    *(f"npz-{name}" for name in ARRAYS),
    "npy-uint8",
    "npy-first",
    "npy-grey",
    "npy-float",
    "idx",
    "hub",
    "digits",
]
SETTINGS: tuple[dict[str, Any], ...] = ({}, {"channels": 1}, {"resolution": "6x7", "range": "full"}, {"holdout": 0.3})


@pytest.mark.parametrize("kind", KINDS)
def test_a_store_gives_what_memory_holds(kind: str, source: Callable[[str], str]) -> None:
    data = source(kind)
    for settings in SETTINGS:
        plain = DataOptions(data, **({"holdout": 0.2} | settings), store="never")
        for _ in range(2):  # made, then found
            _same(plain, replace(plain, store="always"))
    assert inspect(replace(plain, store="always")).fingerprint == inspect(plain).fingerprint


def _same(plain: DataOptions, stored: DataOptions) -> None:
    one, other = load(plain), load(stored)
    assert isinstance(other.images, Rows) and (isinstance(one.images, torch.Tensor) or plain.source.endswith(".npy"))
    assert splits(plain) == splits(stored)
    pairs = [(one, other), (unseen(plain, one), unseen(stored, other))]
    for a, b in pairs:
        if a is None or b is None:
            assert a is b
            continue
        assert torch.equal(a.images[:], b.images[:]) and (a.spec, a.range, a.name) == (b.spec, b.range, b.name)
        assert (a.labels is None and b.labels is None) or torch.equal(a.labels, b.labels)  # type: ignore[arg-type]
        assert a.fingerprint == b.fingerprint and set(a.notes) <= set(b.notes)
    batches = [Batches(data, 5, seed=3, random_flip=True) for data in (one, other)]
    for step in (0, 1, 7, 2):
        (a, _), (b, _) = (some.batch(step) for some in batches)
        assert torch.equal(a, b) and b.is_contiguous() and a.stride() == b.stride()


def no_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise AssertionError("a picture was opened")

    monkeypatch.setattr(Image, "open", refused)


def stored(root: Path | str, **settings: Any) -> Any:
    return load(DataOptions(str(root), **({"store": "always"} | settings)))


def test_images_of_a_store_are_not_decoded_again(folder: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    root = folder({f"{place}.png": (8, 8, 3) for place in range(30)})
    before = stored(root)
    no_decoding(monkeypatch)
    for settings in ({}, {"store": "auto"}, {"on_bad_image": "skip"}):
        assert stored(root, **settings).fingerprint == before.fingerprint
    assert len(stored(root, holdout=0.4)) == 18
    with pytest.raises(DataError, match="opened"):
        stored(root, store="never")


def test_what_was_left_out_of_a_store_is_named_where_it_is_not_to_be(folder: Make) -> None:
    root = folder({f"{place}.png": (8, 8, 3) for place in range(10)} | {"broken.png": b"nothing"})
    skipped = stored(root, on_bad_image="skip")
    with pytest.raises(DataError, match=r"broken\.png.*--on_bad_image skip"):
        stored(root)
    assert stored(root, on_bad_image="skip").fingerprint == skipped.fingerprint


@pytest.mark.parametrize("change", ["added", "removed", "written", "renamed"])
def test_a_store_follows_its_source(change: str, folder: Make, capsys: pytest.CaptureFixture[str]) -> None:
    root = folder({f"{place}.png": (8, 8, 3) for place in range(10)})
    stored(root)
    if change == "added":
        shutil.copy(root / "3.png", root / "33.png")
    elif change == "removed":
        (root / "3.png").unlink()
    elif change == "written":
        shutil.copy(root / "4.png", root / "3.png")
    else:
        (root / "3.png").rename(root / "zz.png")
    capsys.readouterr()
    assert stored(root).fingerprint == stored(root, store="never").fingerprint
    said = capsys.readouterr().err
    assert "changed" in said and root.name in said
    assert len(list(stores_folder().iterdir())) == 1


def test_another_spelling_of_a_folder_has_the_same_store(folder: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    root = folder({f"{place}.png": (8, 8, 3) for place in range(10)})
    before = stored(root)
    (root.parent / "link").symlink_to(root)
    no_decoding(monkeypatch)
    monkeypatch.chdir(root)
    for spelled in (".", f"../{root.name}", root.parent / "link"):
        assert stored(spelled).fingerprint == before.fingerprint


def test_a_link_that_leads_nowhere_hides_no_change(folder: Make) -> None:
    root = folder({f"{place}.png": (8, 8, 3) for place in range(10)})
    (root / "notes").symlink_to(root / "gone")
    (root / "round").symlink_to(root / "round")
    before = state_of([root])
    for place in range(10):
        (root / f"{place}.png").write_bytes(bytes(place))
        before, last = state_of([root]), before
        assert before != last


def test_many_images_are_stored_by_themselves(folder: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    root = folder({f"{place}.png": (8, 8, 3) for place in range(10)})
    assert isinstance(load(str(root)).images, torch.Tensor) and not stores_folder().exists()
    monkeypatch.setattr(store_area, "free_memory", lambda: 10 * 8 * 8 * 3 * 2 - 2)
    many = load(str(root))
    assert isinstance(many.images, Rows) and any("disk" in note for note in many.notes)
    monkeypatch.setattr(store_area, "free_memory", lambda: 10 * 8 * 8 * 3 * 2 + 2)
    assert isinstance(load(str(root), resolution="8").images, torch.Tensor)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")  # each of two processes would hold them
    assert isinstance(load(str(root), resolution="8x8").images, Rows)


def test_arrays_beyond_the_memory_are_unpacked_to_the_disk(
    source: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind in ("npz-uint8", "npz-deep", "idx"):
        data = source(kind)
        plain = load(data, store="never")
        for module in ("room", "store_area"):
            monkeypatch.setattr(f"fromnoise.data.{module}.free_memory", lambda: 500)
        large = load(data)
        assert isinstance(large.images, Rows) and large.fingerprint == plain.fingerprint
        monkeypatch.undo()
        monkeypatch.setenv("FROMNOISE_CACHE", str(Path(data).parent / "cache"))
    assert not list(stores_folder().rglob("spare"))


# -- interrupted, at once, damaged --------------------------------------------------------------------------------

IMPORT = """
import sys, time
from fromnoise.data import DataOptions, decode_many, load, store_area
store_area.BLOCK_BYTES = 800
before = decode_many.decode
def slow(*how):
    time.sleep(0.001)
    return before(*how)
decode_many.decode = slow
decode_many._CHUNK = 8
print(load(DataOptions(sys.argv[1], store="always", on_bad_image="skip")).fingerprint, flush=True)
"""


def importing(root: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", IMPORT, str(root)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_an_import_that_was_killed_goes_on(folder: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    root = folder({f"{place:03}.png": (8, 8, 1 + 2 * (place > 150)) for place in range(400)})
    (root / "250.png").write_bytes((root / "250.png").read_bytes()[:-40])
    plain = load(str(root), store="never", on_bad_image="skip")
    monkeypatch.setattr(store_area, "BLOCK_BYTES", 800)
    for number in (100, 200, 300):
        process = importing(root)
        while process.poll() is None and _journalled() < number:
            time.sleep(0.002)
        process.kill()
        process.communicate()
    decoded = []
    monkeypatch.setattr(decode_many, "decode", lambda *how: decoded.append(1) or decode(*how))
    assert stored(root, on_bad_image="skip").fingerprint == plain.fingerprint
    assert not decoded or len(decoded) < 200


def _journalled() -> int:
    """Images that the journal counts."""
    with contextlib.suppress(OSError, ValueError):
        return max(read_stored(path)["number"] for path in stores_folder().rglob("journal.json"))
    return 0


def test_two_processes_import_once(folder: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    root = folder({f"{place:03}.png": (8, 8, 3) for place in range(150)})
    processes = [importing(root) for _ in range(3)]
    told = [process.communicate(timeout=100) for process in processes]
    assert {out for out, _ in told} == {f"{load(str(root), store='never').fingerprint}\n"}
    assert sum("making the store" in err for _, err in told) == 1
    assert all("waiting" in err or "making" in err or not err for _, err in told)


def _flip(path: Path, place: int) -> None:
    with path.open("r+b") as file:
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ 16]))


def damage_pixels(split: Path) -> None:
    _flip(split / "pixels-3.u8", 700)


def damage_size(split: Path) -> None:
    with (split / "pixels-3.u8").open("ab") as file:
        file.write(b"more")


def damage_labels(split: Path) -> None:
    _flip(split / "labels.i8", 8)


def damage_manifest(split: Path) -> None:
    _flip(split / "store.json", 30)


def damage_gone(split: Path) -> None:
    (split / "pixels-3.u8").unlink()


DAMAGES = {damage_pixels: "700|images|pixels", damage_size: "bytes", damage_labels: "labels", damage_manifest: "store"}
DAMAGES |= {damage_gone: "pixels"}


@pytest.fixture
def classes(folder: Make) -> Path:
    return folder({f"{kind}/{place}.png": (8, 8, 3) for place in range(10) for kind in "ab"})


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_store_is_made_again(
    damage: Callable[[Path], None], classes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = stored(classes).fingerprint
    (split,) = stores_folder().glob("*/train")
    damage(split)
    capsys.readouterr()
    assert stored(classes).fingerprint == before
    assert "made again" in capsys.readouterr().err
    assert stored(classes).fingerprint == before and "made" not in capsys.readouterr().err


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_store_that_is_given_as_data_is_refused(
    damage: Callable[[Path], None], classes: Path, tmp_path: Path
) -> None:
    out = tmp_path / "copy"
    import_data(DataOptions(str(classes)), out)
    damage(out / "train")
    for _ in range(2):
        with pytest.raises(DataError, match=DAMAGES[damage]) as caught:
            load(str(out))
        assert str(out) in str(caught.value)


def test_a_store_is_data_on_another_machine(
    classes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = load(str(classes))
    import_data(DataOptions(str(classes)), tmp_path / "out")
    shutil.copytree(tmp_path / "out", tmp_path / "elsewhere", copy_function=shutil.copyfile)
    shutil.rmtree(classes)
    no_decoding(monkeypatch)
    there = load(tmp_path / "elsewhere")
    assert there.fingerprint == plain.fingerprint and there.spec == plain.spec and there.name == plain.name
    assert set(plain.notes) <= set(there.notes)
    monkeypatch.undo()
    monkeypatch.setenv("FROMNOISE_CACHE", str(tmp_path / "cache"))
    grey = load(tmp_path / "elsewhere", channels=1, classes="none", resolution="6")
    assert grey.spec.shape == (1, 6, 6) and grey.spec.classes == ()
    with pytest.raises(DataError, match=r"elsewhere.*test|pictures.*test"):
        load(tmp_path / "elsewhere", "test", holdout=0)


def test_a_folder_with_something_else_is_not_imported_into(classes: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    import_data(DataOptions(str(classes)), out)
    import_data(DataOptions(str(classes)), out)  # the same again
    with pytest.raises(UsageError, match="out"):
        import_data(DataOptions(str(classes), resolution="6"), out)
    with pytest.raises(UsageError, match="store"):
        import_data(DataOptions(str(classes)), classes / "store")
    with pytest.raises(UsageError, match="pictures"):
        import_data(DataOptions(str(classes)), classes)
    assert load(out).fingerprint == load(str(classes)).fingerprint


def test_without_room_on_the_disk_all_passes_stay_in_memory(
    folder: Make, encoded: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second pass, of another range, asks for a place again."""
    root = folder(dark(encoded))
    plain = load(str(root), store="never").fingerprint
    monkeypatch.setattr(store_area, "disk_free", lambda _: 100)
    monkeypatch.setattr(store_area, "free_memory", lambda: 24 * 8 * 8 + 10)
    assert load(str(root)).fingerprint == plain


def test_an_import_of_two_ranges_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "deep.npz"
    np.savez(path, x_train=noise(9, 8, 8, kind=np.uint16), x_test=noise(9, 8, 8, kind=np.uint16) // 32)
    out = import_data(DataOptions(str(path)), tmp_path / "store")
    before = load(str(out)).fingerprint
    assert load(str(import_data(DataOptions(str(path)), tmp_path / "store"))).fingerprint == before


def test_a_full_disk_leaves_nothing(classes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = load(str(classes)).fingerprint
    monkeypatch.setattr(store_area, "disk_free", lambda folder: 3000)
    with pytest.raises(WriteError, match=r"3\.\d kB.*3\.0 kB|3,?840|FROMNOISE_CACHE"):
        stored(classes)
    monkeypatch.setattr(store_area, "free_memory", lambda: 5000)  # it would be in a store, but there is no room
    assert isinstance(load(str(classes)).images, torch.Tensor)
    monkeypatch.undo()
    monkeypatch.setenv("FROMNOISE_CACHE", str(classes.parent / "cache"))
    rename = Path.replace

    def full(self: Path, target: Path) -> Path:
        if str(self).endswith("train.part"):
            raise OSError(errno.ENOSPC, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(WriteError, match="space"):
        stored(classes)
    monkeypatch.setattr(Path, "replace", rename)
    assert stored(classes).fingerprint == plain


MEMORY = """
import sys
from pathlib import Path
from fromnoise.data import Batches, DataOptions, load
from fromnoise.data.inspection import inspect
def held():
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon"))
    return int(line.split()[1])
load("digits")
inspect(DataOptions("digits"))
before = held()
data = load(DataOptions(sys.argv[1], store="always"))
peak = held()
inspect(DataOptions(sys.argv[1], store="always"))
batches = Batches(data, 64, seed=0)
for step in range(200):
    batches.batch(step)
    peak = max(peak, held())
print(data.fingerprint, peak - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
@pytest.mark.parametrize("kind", ["npz", "npy", "folder"])
def test_memory_does_not_grow_with_the_images(kind: str, tmp_path: Path) -> None:
    grown = []
    for number in (6_000, 18_000):
        images = noise(number, 32, 32, 3)
        source = tmp_path / f"{number}.{kind}"
        if kind == "npz":
            np.savez(source, images=images)
            import_data(DataOptions(str(source)), tmp_path / f"{number}")
            source = tmp_path / f"{number}"
        elif kind == "npy":
            np.save(source, images)
        else:
            source = tmp_path / f"{number}"
            source.mkdir()
            for place, image in enumerate(images[: number // 3]):
                Image.fromarray(image).save(source / f"{place:05}.bmp")
            load(source, store="always")  # which lists all names
        # The allocator is to give back at once what is freed, or the figures would be of what it keeps.
        environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "0"}
        command = [sys.executable, "-c", MEMORY, str(source)]
        found = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        grown.append(int(found.stdout.split()[1]))
    # 12,000 more images are 37 MB, and a third of that in the folder; of them only order and digests are in memory.
    assert grown[1] - grown[0] < 4_000, grown
