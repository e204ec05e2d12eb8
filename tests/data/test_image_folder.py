"""Folders and .zip files of images, as people have them."""

from __future__ import annotations

import os
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fromnoise.common.errors import DataError
from fromnoise.data import DataOptions, describe, load, splits

Folder = Callable[..., Path]
IMAGE = (8, 8, 3)


def options(path: Path, **how: object) -> DataOptions:
    return DataOptions(source=str(path), **how)  # type: ignore[arg-type]


def zipped(folder: Path, prefix: str = "") -> Path:
    target = folder.with_suffix(".zip")
    with zipfile.ZipFile(target, "w") as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, prefix + path.relative_to(folder).as_posix())
    return target


def failure(path: Path, **how: object) -> str:
    with pytest.raises(DataError) as caught:
        load(options(path, **how))
    assert caught.value.exit_code == 3
    return str(caught.value)


def test_class_folders_become_labels_in_sorted_order(folder: Folder) -> None:
    root = folder({"dog/2.PNG": IMAGE, "dog/1.jpg": IMAGE, "cat/deep/a.JpEg": IMAGE, "ant/x.webp": IMAGE})
    data = load(options(root))
    assert data.spec.classes == ("ant", "cat", "dog")
    assert data.labels is not None and data.labels.tolist() == [0, 1, 2, 2]
    assert data.images.shape == (4, 3, 8, 8) and data.notes == ()
    assert describe(data) == "pictures: 4 images, 8x8 RGB, 3 classes"


def test_files_come_in_the_order_of_their_paths(folder: Folder, pixels: Callable[..., np.ndarray]) -> None:
    root = folder({"b.png": IMAGE, "a.png": IMAGE, "c/d.png": IMAGE})
    data = load(options(root))
    wanted = [pixels(number, *IMAGE) for number in (1, 0, 2)]
    assert all((image.permute(1, 2, 0).numpy() == want).all() for image, want in zip(data.images, wanted))


def test_train_and_test_folders_are_splits(folder: Folder) -> None:
    files = {f"{split}/{name}/{i}.png": IMAGE for split in ("train", "test") for name in "ab" for i in range(2)}
    root = folder({**files, "train/c/0.png": IMAGE, "cover.png": IMAGE})
    assert splits(options(root)) == ("train", "test")
    train, test = load(options(root)), load(options(root), "test")
    assert (len(train), len(test)) == (5, 4)
    assert train.spec.classes == test.spec.classes == ("a", "b", "c")
    assert test.labels is not None and test.labels.tolist() == [0, 0, 1, 1]
    assert describe(test) == "pictures (test): 4 images, 8x8 RGB, 3 classes"
    assert train.notes == ("1 image outside train/ and test/ left aside",)


@pytest.mark.parametrize("name", ["val", "valid", "validation", "Test"])
def test_validation_folders_serve_as_test(folder: Folder, name: str) -> None:
    root = folder({"train/1.png": IMAGE, "train/2.png": IMAGE, f"{name}/1.png": IMAGE})
    assert splits(options(root)) == ("train", "test")
    assert len(load(options(root), "test")) == 1


def test_a_missing_test_split_is_said(folder: Folder) -> None:
    root = folder({"a/1.png": IMAGE, "b/2.png": IMAGE})
    assert splits(options(root)) == ("train",)
    with pytest.raises(DataError, match="pictures has no test split"):
        load(options(root), "test")


def test_a_test_class_that_train_lacks_is_an_error(folder: Folder) -> None:
    root = folder({"train/a/1.png": IMAGE, "train/b/1.png": IMAGE, "test/a/1.png": IMAGE, "test/z/1.png": IMAGE})
    assert "train split lacks: z" in failure(root)


def test_test_images_without_class_folders_have_no_classes(folder: Folder) -> None:
    root = folder({"train/a/1.png": IMAGE, "train/b/1.png": IMAGE, "test/1.png": IMAGE})
    test = load(options(root), "test")
    assert test.labels is None and test.spec.classes == ()
    assert test.notes == ("the test images lie in no class folders, so they have no classes",)


def test_images_directly_in_the_folder_have_no_labels(folder: Folder) -> None:
    data = load(options(folder({"1.png": IMAGE, "2.png": IMAGE})))
    assert data.labels is None and describe(data) == "pictures: 2 images, 8x8 RGB, no classes"
    mixed = load(options(folder({"1.png": IMAGE, "a/2.png": IMAGE, "b/2.png": IMAGE}, "mixed")))
    assert mixed.labels is None
    assert mixed.notes == ("1 image lies beside the subfolders, which are therefore no classes",)


def test_one_class_alone_is_no_class(folder: Folder) -> None:
    assert load(options(folder({"cat/1.png": IMAGE, "cat/2.png": IMAGE}))).labels is None


def test_an_empty_class_folder_is_said(folder: Folder) -> None:
    root = folder({"a/1.png": IMAGE, "b/1.png": IMAGE})
    (root / "empty").mkdir()
    data = load(options(root))
    assert data.spec.classes == ("a", "b")
    assert data.notes == ("folder empty holds no image and is no class",)


def test_what_is_no_image_is_counted_and_junk_is_not(folder: Folder) -> None:
    junk = {".hidden.png": b"x", ".git/a.png": b"x", "__MACOSX/a/._1.png": b"x", "Thumbs.db": b"x", ".DS_Store": b"x"}
    text = {"notes.txt": b"x", "a/more.txt": b"x", "labels.csv": b"x", "README": b"x"}
    root = folder({"a/1.png": IMAGE, "b/1.png": IMAGE, **junk, **text})
    for path in (root, zipped(root)):
        data = load(options(path))
        assert len(data) == 2 and data.spec.classes == ("a", "b")
        assert data.notes == ("4 files that are no image left aside (.csv 1, .txt 2, no suffix 1)",)


def test_a_zip_is_read_as_its_folder_and_never_unpacked(folder: Folder, tmp_path: Path) -> None:
    files = {f"{split}/{name}/{i}.png": IMAGE for split in ("train", "val") for name in "ab" for i in range(2)}
    root = folder(files)
    plain = load(options(root))
    for prefix in ("", "wrapped/", "twice/wrapped/"):
        path = zipped(root, prefix)
        before = sorted(tmp_path.rglob("*"))
        data = load(options(path))
        assert data.fingerprint == plain.fingerprint and data.spec == plain.spec
        assert load(options(path), "test").fingerprint == load(options(root), "test").fingerprint
        assert sorted(tmp_path.rglob("*")) == before
        assert data.name == "pictures"


def test_hostile_zip_members_are_only_names(folder: Folder, tmp_path: Path, encoded: Callable[..., bytes]) -> None:
    image = [encoded(Image.new("RGB", (8, 8), colour)) for colour in ("red", "green", "blue")]
    target = tmp_path / "hostile.zip"
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("../../escape/a.png", image[0])
        archive.writestr("/etc/b.png", image[1])
        archive.writestr("win\\dows\\c.png", image[2])
    data = load(options(target))
    assert data.spec.classes == ("escape", "etc", "win") and len(data) == 3
    assert not (tmp_path.parent.parent / "escape").exists()


def test_broken_zips_are_data_errors(folder: Folder, tmp_path: Path) -> None:
    text = tmp_path / "text.zip"
    text.write_bytes(b"not a zip")
    assert "text.zip cannot be opened as .zip" in failure(text)
    whole = zipped(folder({f"{i}.png": (32, 32, 3) for i in range(3)}))
    content = bytearray(whole.read_bytes())
    content[400:420] = bytes(20)  # inside the first member's data
    broken = tmp_path / "broken.zip"
    broken.write_bytes(content)
    assert "0.png in" in failure(broken) and "skip" in failure(broken)
    assert len(load(options(broken, on_bad_image="skip"))) == 2


def test_the_real_zip(rgb_zip: Path) -> None:
    data = load(options(rgb_zip, holdout=0.0))
    assert describe(data) == "cifar10-jpeg-2500: 2,500 images, 32x32 RGB, 10 classes"
    assert data.label_counts.tolist() == [250] * 10 and data.notes == ()
    assert splits(options(rgb_zip)) == ("train",)


BROKEN: dict[str, object] = {
    "empty.png": b"",
    "text.jpg": b"these are words",
    "ok1.png": IMAGE,
    "ok2.png": IMAGE,
}


def test_a_broken_file_is_named_with_the_way_out(folder: Folder) -> None:
    message = failure(folder(BROKEN))
    assert message.startswith("empty.png in ") and "it is empty, nor can 1 other file;" in message
    assert "--on_bad_image skip" in message


def test_broken_files_are_skipped_and_counted(folder: Folder, encoded: Callable[..., bytes]) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    half = encoded(noise, "JPEG")[:2000]
    data = load(options(folder({**BROKEN, "half.jpg": half}), on_bad_image="skip", resolution="8"))
    assert len(data) == 2
    assert (
        "3 files that cannot be read left out: empty.png (it is empty), half.jpg (it ends too early)" in data.notes[-1]
    )


def test_a_truncated_jpeg_is_found_although_its_header_is_good(folder: Folder, encoded: Callable[..., bytes]) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    root = folder({"a.png": (64, 64, 3), "b.jpg": encoded(noise, "JPEG")[:2000]})
    assert failure(root).startswith("b.jpg in ") and "it ends too early" in failure(root)


def test_nothing_left_after_skipping_is_an_error(folder: Folder) -> None:
    root = folder({"a.png": b"x", "b.png": b""})
    assert "has 2 images, and none can be read, e.g. a.png" in failure(root, on_bad_image="skip")
    root = folder({"a/1.png": IMAGE, "a/2.png": IMAGE, "b/1.png": b""}, "classes")
    assert "no readable image of b" in failure(root, on_bad_image="skip")


def test_no_images_one_image_and_missing_folders(folder: Folder, tmp_path: Path) -> None:
    message = failure(folder({}))
    assert "holds no images" in message and ".jpeg" in message and ".webp" in message
    assert "(2 other files in it)" in failure(folder({"a.txt": b"", "b.csv": b""}, "texts"))
    assert "holds no images under train/" in failure(folder({"train/a.txt": b"", "test/1.png": IMAGE}, "notrain"))
    assert "one image, but at least 2" in failure(folder({"1.png": IMAGE}, "one"))
    assert "one image, but at least 2" in failure(folder({"1.png": IMAGE}, "one") / "1.png")
    assert "(1 file could not be read)" in failure(folder({"1.png": IMAGE, "2.png": b""}, "two"), on_bad_image="skip")
    assert "there is no file or folder" in failure(tmp_path / "nowhere")


def test_mixed_sizes_are_cropped_to_64_and_it_is_said(folder: Folder) -> None:
    data = load(options(folder({"a.png": (100, 200, 3), "b.jpg": (90, 70, 3), "c.png": (20, 30, 3)})))
    assert data.images.shape == (3, 3, 64, 64)
    assert data.notes[0].startswith("sizes differ (20x30 to 100x200): short side resized to 64, centre cropped")
    assert data.notes[1] == "1 image was enlarged more than 2 times (the smallest is 20x30)"
    wide = load(options(folder({"a.png": (100, 200, 3), "b.png": (90, 70, 3)}, "w"), resolution="48x64"))
    assert wide.images.shape == (2, 3, 48, 64)


def test_channels_follow_the_whole_set(folder: Folder) -> None:
    grey = load(options(folder({"a.png": (8, 8, 1), "b.png": (8, 8, 1)}, "grey")))
    assert grey.images.shape[1] == 1
    mixed = load(options(folder({"a.png": (8, 8, 1), "b.png": IMAGE, "c.png": (8, 8, 1)}, "mixed")))
    assert mixed.images.shape[1] == 3 and mixed.notes == ("converted: 2 grey images to RGB",)
    assert (mixed.images[0, 0] == mixed.images[0, 1]).all()


def test_alpha_is_kept_when_most_images_have_it(folder: Folder, encoded: Callable[..., bytes]) -> None:
    clear = encoded(Image.new("RGBA", (8, 8), (200, 100, 0, 128)))
    solid = encoded(Image.new("RGBA", (8, 8), (200, 100, 0, 255)))
    kept = load(options(folder({"a.png": clear, "b.png": clear, "c.png": (8, 8, 1)}, "kept")))
    assert kept.images.shape[1] == 4 and kept.images[0, :, 0, 0].tolist() == [200, 100, 0, 128]
    assert kept.images[2, 3].min() == 255
    assert kept.notes == ("converted: 1 grey image to RGBA; 1 opaque image given full alpha",)
    laid = load(options(folder({"a.png": clear, "b.png": solid, "c.png": solid}, "laid")))
    assert laid.images.shape[1] == 3
    assert laid.images[0, :, 0, 0].tolist() == [227, 177, 127] and laid.images[1, :, 0, 0].tolist() == [200, 100, 0]
    assert laid.notes == ("converted: 1 transparent image laid over white",)


def test_conversions_are_counted(folder: Folder, encoded: Callable[..., bytes]) -> None:
    cmyk = encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG")
    deep = encoded(Image.fromarray(np.full((8, 8), 257 * 9, dtype=np.uint16)))
    root = folder({"a.jpg": cmyk, "b.jpg": cmyk, "c.png": deep, "d.png": IMAGE})
    notes = load(options(root)).notes
    assert notes == ("converted: 1 16-bit grey image to 8 bits; 2 CMYK images to RGB; 1 grey image to RGB",)


def test_odd_things_among_images_cause_no_traceback(folder: Folder) -> None:
    root = folder({"a/1.png": IMAGE, "b/2.png": IMAGE, "dir.png/3.png": IMAGE})
    (root / "a" / "loop").symlink_to(root, target_is_directory=True)
    (root / "b" / "self").symlink_to(root / "b" / "self")
    (root / "b" / "broken.png").symlink_to(root / "nothing.png")
    assert "b/broken.png" in failure(root)
    data = load(options(root, on_bad_image="skip"))
    assert data.spec.classes == ("a", "b", "dir.png") and len(data) == 3


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes are a Unix thing")
def test_a_pipe_is_not_waited_for(folder: Folder) -> None:
    root = folder({"1.png": IMAGE, "2.png": IMAGE})
    os.mkfifo(root / "pipe.png")
    assert "it is no plain file" in failure(root)


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="this system refuses such names itself")
def test_names_that_are_no_text_can_be_printed(folder: Folder) -> None:
    root = folder({"b/2.png": IMAGE})
    strange = os.fsencode(root) + b"/\xff\xfe\nclass"
    Path(os.fsdecode(strange)).mkdir()
    image = (root / "b" / "2.png").read_bytes()
    for name, content in ((b"/\xe9.png", image), (b"/\xe8.png", b"")):
        with open(strange + name, "wb") as file:
            file.write(content)
    message = failure(root)
    assert message.encode("ascii") and "\\xe8.png" in message
    data = load(options(root, on_bad_image="skip"))
    assert data.spec.classes == ("b", "\\xff\\xfe\\nclass")
    assert all(note.encode("ascii") for note in data.notes)


def test_threads_give_what_one_thread_gives(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    root = folder({f"{i}.png": (40 + i, 50, 3) for i in range(12)} | {"5b.png": b""})
    alone = load(options(root, on_bad_image="skip"))
    monkeypatch.setattr("fromnoise.data.decode_many._WORTH_THREADS", 0)
    monkeypatch.setattr("fromnoise.data.decode_many._CHUNK", 5)
    together = load(options(root, on_bad_image="skip"))
    assert together.fingerprint == alone.fingerprint and together.notes == alone.notes
