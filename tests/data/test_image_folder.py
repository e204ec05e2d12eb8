"""Folders and .zip files of images, as people have them."""

from __future__ import annotations

import errno
import io
import os
import re
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fromnoise.common.errors import DataError
from fromnoise.data import DataOptions, describe, file_tree, load, splits

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
    (note,) = train.notes
    assert "1 image" in note and "train/" in note and "test/" in note


@pytest.mark.parametrize("name", ["val", "valid", "validation", "Test"])
def test_validation_folders_serve_as_test(folder: Folder, name: str) -> None:
    root = folder({"train/1.png": IMAGE, "train/2.png": IMAGE, f"{name}/1.png": IMAGE})
    assert splits(options(root)) == ("train", "test")
    assert len(load(options(root), "test")) == 1


def test_a_missing_test_split_is_said(folder: Folder) -> None:
    root = folder({"a/1.png": IMAGE, "b/2.png": IMAGE})
    assert splits(options(root)) == ("train",)
    with pytest.raises(DataError, match=r"pictures.*train.*test/"):
        load(options(root), "test")


def test_a_test_class_that_train_lacks_is_an_error(folder: Folder) -> None:
    root = folder({"train/a/1.png": IMAGE, "train/b/1.png": IMAGE, "test/a/1.png": IMAGE, "test/z/1.png": IMAGE})
    assert re.search(r"\bz\b", failure(root)) and not re.search(r"\b[bc]\b", failure(root))


def test_test_images_without_class_folders_have_no_classes(folder: Folder) -> None:
    root = folder({"train/a/1.png": IMAGE, "train/b/1.png": IMAGE, "test/1.png": IMAGE})
    test = load(options(root), "test")
    assert test.labels is None and test.spec.classes == ()
    (note,) = test.notes
    assert "test" in note


def test_images_directly_in_the_folder_have_no_labels(folder: Folder) -> None:
    data = load(options(folder({"1.png": IMAGE, "2.png": IMAGE})))
    assert data.labels is None and describe(data) == "pictures: 2 images, 8x8 RGB, no classes"


def test_one_class_alone_is_no_class(folder: Folder) -> None:
    assert load(options(folder({"cat/1.png": IMAGE, "cat/2.png": IMAGE}))).labels is None


def test_an_empty_class_folder_is_said(folder: Folder) -> None:
    root = folder({"a/1.png": IMAGE, "b/1.png": IMAGE})
    (root / "empty").mkdir()
    data = load(options(root))
    assert data.spec.classes == ("a", "b")
    (note,) = data.notes
    assert "empty" in note


def test_what_is_no_image_is_counted_and_junk_is_not(folder: Folder) -> None:
    junk = {".hidden.png": b"x", ".git/a.png": b"x", "__MACOSX/a/._1.png": b"x", "Thumbs.db": b"x", ".DS_Store": b"x"}
    text = {"notes.txt": b"x", "a/more.txt": b"x", "labels.csv": b"x", "README": b"x"}
    root = folder({"a/1.png": IMAGE, "b/1.png": IMAGE, **junk, **text})
    for path in (root, zipped(root)):
        data = load(options(path))
        assert len(data) == 2 and data.spec.classes == ("a", "b")
        (note,) = data.notes
        assert all(value in note for value in ("4 files", ".csv 1", ".txt 2"))


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


def test_folders_in_a_zip_of_windows_are_no_files(tmp_path: Path, encoded: Callable[..., bytes]) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("cat\\", b"")
        for number in range(4):
            archive.writestr(f"{('cat', 'dog')[number % 2]}\\{number}.png", encoded(Image.new("L", (8, 8), number)))
    data = load(str(tmp_path / "a.zip"), holdout=0)
    assert data.spec.classes == ("cat", "dog") and not any("not an image" in note for note in data.notes)


def test_broken_zips_are_data_errors(folder: Folder, tmp_path: Path) -> None:
    text = tmp_path / "text.zip"
    text.write_bytes(b"not a zip")
    assert "text.zip" in failure(text) and "skip" not in failure(text)
    whole = zipped(folder({f"{i}.png": (32, 32, 3) for i in range(3)}))
    content = bytearray(whole.read_bytes())
    content[400:420] = bytes(20)  # inside the first member's data
    broken = tmp_path / "broken.zip"
    broken.write_bytes(content)
    assert "0.png" in failure(broken) and "--on_bad_image skip" in failure(broken)
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
    assert "empty.png" in message and "pictures" in message and re.search(r"\b1\b", message)
    assert "--on_bad_image skip" in message and "text.jpg" not in message


def test_broken_files_are_skipped_and_counted(folder: Folder, encoded: Callable[..., bytes]) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    half = encoded(noise, "JPEG")[:2000]
    data = load(options(folder({**BROKEN, "half.jpg": half}), on_bad_image="skip", resolution="8"))
    assert len(data) == 2
    assert all(value in data.notes[-1] for value in ("3 files", "empty.png", "half.jpg"))


def test_a_truncated_jpeg_is_found_although_its_header_is_good(folder: Folder, encoded: Callable[..., bytes]) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    root = folder({"a.png": (64, 64, 3), "b.jpg": encoded(noise, "JPEG")[:2000]})
    assert "b.jpg" in failure(root) and "a.png" not in failure(root)


def test_a_disk_that_gives_no_more_of_a_file_names_it(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, encoded: Callable[..., bytes]
) -> None:
    class Failing(io.FileIO):
        def readinto(self, buffer: object) -> int:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        read = readall = readinto  # type: ignore[assignment]

    root = folder({"1.png": (8, 8, 3), "2.png": (8, 8, 3), "worn.png": (8, 8, 3)})
    plain = file_tree._open_file
    monkeypatch.setattr(file_tree, "_open_file", lambda path: (Failing if "worn" in path else plain)(path))
    with pytest.raises(DataError, match=r"worn\.png.*Input/output error.*--on_bad_image skip"):
        load(str(root), holdout=0)
    assert len(load(str(root), holdout=0, on_bad_image="skip")) == 2


def test_nothing_left_after_skipping_is_an_error(folder: Folder) -> None:
    root = folder({"a.png": b"x", "b.png": b""})
    message = failure(root, on_bad_image="skip")
    assert "2 images" in message and "a.png" in message
    root = folder({"a/1.png": IMAGE, "a/2.png": IMAGE, "b/1.png": b""}, "classes")
    assert re.search(r"\bb\b", failure(root, on_bad_image="skip"))


def test_no_images_one_image_and_missing_folders(folder: Folder, tmp_path: Path) -> None:
    message = failure(folder({}))
    assert "pictures" in message and ".jpeg" in message and ".webp" in message
    message = failure(folder({"a.txt": b"", "b.csv": b""}, "texts"))
    assert "2 other files" in message and ".jpeg" in message
    assert "train/" in failure(folder({"train/a.txt": b"", "test/1.png": IMAGE}, "notrain"))
    assert "at least 2" in failure(folder({"1.png": IMAGE}, "one"))
    assert "at least 2" in failure(folder({"1.png": IMAGE}, "one") / "1.png")
    assert "1 file " in failure(folder({"1.png": IMAGE, "2.png": b""}, "two"), on_bad_image="skip")
    assert str(tmp_path / "nowhere") in failure(tmp_path / "nowhere")


def test_mixed_sizes_are_cropped_to_64_and_it_is_said(folder: Folder) -> None:
    data = load(options(folder({"a.png": (100, 200, 3), "b.jpg": (90, 70, 3), "c.png": (20, 30, 3)})))
    assert data.images.shape == (3, 3, 64, 64)
    assert all(value in data.notes[0] for value in ("20x30", "100x200", "64"))
    assert "1 image" in data.notes[1] and "20x30" in data.notes[1]
    wide = load(options(folder({"a.png": (100, 200, 3), "b.png": (90, 70, 3)}, "w"), resolution="48x64"))
    assert wide.images.shape == (2, 3, 48, 64)


def test_channels_follow_the_whole_set(folder: Folder) -> None:
    grey = load(options(folder({"a.png": (8, 8, 1), "b.png": (8, 8, 1)}, "grey")))
    assert grey.images.shape[1] == 1
    mixed = load(options(folder({"a.png": (8, 8, 1), "b.png": IMAGE, "c.png": (8, 8, 1)}, "mixed")))
    assert mixed.images.shape[1] == 3
    assert len(mixed.notes) == 1 and "2 grey" in mixed.notes[0] and "RGB" in mixed.notes[0]
    assert (mixed.images[0, 0] == mixed.images[0, 1]).all()


def test_alpha_is_kept_when_most_images_have_it(folder: Folder, encoded: Callable[..., bytes]) -> None:
    clear = encoded(Image.new("RGBA", (8, 8), (200, 100, 0, 128)))
    solid = encoded(Image.new("RGBA", (8, 8), (200, 100, 0, 255)))
    kept = load(options(folder({"a.png": clear, "b.png": clear, "c.png": (8, 8, 1)}, "kept")))
    assert kept.images.shape[1] == 4 and kept.images[0, :, 0, 0].tolist() == [200, 100, 0, 128]
    assert kept.images[2, 3].min() == 255
    assert len(kept.notes) == 1 and all(value in kept.notes[0] for value in ("1 grey", "RGBA", "1 opaque"))
    laid = load(options(folder({"a.png": clear, "b.png": solid, "c.png": solid}, "laid")))
    assert laid.images.shape[1] == 3
    assert laid.images[0, :, 0, 0].tolist() == [227, 177, 127] and laid.images[1, :, 0, 0].tolist() == [200, 100, 0]
    assert len(laid.notes) == 1 and all(value in laid.notes[0] for value in ("1 transparent", "white"))


def test_conversions_are_counted(folder: Folder, encoded: Callable[..., bytes]) -> None:
    cmyk = encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG")
    deep = encoded(Image.fromarray(np.full((8, 8), 257 * 9, dtype=np.uint16)))
    root = folder({"a.jpg": cmyk, "b.jpg": cmyk, "c.png": deep, "d.png": IMAGE})
    (note,) = load(options(root)).notes
    assert all(value in note for value in ("1 16-bit grey", "2 CMYK", "1 grey", "RGB"))


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
    assert "pipe.png" in failure(root)


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
