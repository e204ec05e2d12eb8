"""Which folders are splits and which are classes, in the layouts that people have."""

from __future__ import annotations

import json
import unicodedata
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from fromnoise.common.errors import DataError
from fromnoise.data import ArrayData, DataOptions, load, splits
from fromnoise.data.label_files import ordered

Folder = Callable[..., Path]
IMAGE = (8, 8, 3)


def files(*folders: str, number: int = 2) -> dict[str, object]:
    return {f"{folder}/{i}.png": IMAGE for folder in folders for i in range(number)}


def read(path: Path, split: str = "train", **how: object) -> ArrayData:
    return load(DataOptions(source=str(path), **how), split, holdout=0.0)  # type: ignore[arg-type]


def refusal(path: Path, **how: object) -> str:
    with pytest.raises(DataError) as caught:
        read(path, **how)
    assert caught.value.exit_code == 3
    return str(caught.value)


def counts(path: Path, **how: object) -> dict[str, int]:
    names = splits(DataOptions(source=str(path), **how))  # type: ignore[arg-type]
    return {name: len(read(path, name, **how)) for name in names}


@pytest.mark.parametrize(
    ("folders", "wanted", "classes"),
    [
        (["images/train", "images/val"], {"train": 2, "test": 2}, ()),  # YOLO
        (["train/images", "train/labels", "valid/images", "valid/labels"], {"train": 2, "test": 2}, ()),  # with masks
        (["images", "masks"], {"train": 2}, ()),
        (["data/cat", "data/dog"], {"train": 4}, ("cat", "dog")),
        (["train/cat", "train/dog", "val/cat", "test/cat"], {"train": 4, "val": 2, "test": 2}, ("cat", "dog")),
        (["cat/train", "cat/val", "dog/train", "dog/val"], {"train": 4, "test": 4}, ("cat", "dog")),
        (["cat/train", "cat/val", "cat/test", "dog/train"], {"train": 4, "val": 2, "test": 2}, ("cat", "dog")),
        (
            ["seg_train/seg_train/a", "seg_train/seg_train/b", "seg_test/seg_test/a"],
            {"train": 4, "test": 2},
            ("a", "b"),
        ),
        (["train2017", "val2017"], {"train": 2, "test": 2}, ()),
        (["train/bus", "train/train", "test/bus", "test/train"], {"train": 4, "test": 4}, ("bus", "train")),
        (["train", "test", "extra"], {"train": 2, "test": 2}, ()),
        (["train_station", "test_tube"], {"train": 4}, ("test_tube", "train_station")),
        (["2", "10", "9"], {"train": 6}, ("10", "2", "9")),
    ],
)
def test_layouts(folder: Folder, folders: list[str], wanted: dict[str, int], classes: tuple[str, ...]) -> None:
    beside = {"scripts/x.py": b"", "labels/train/0.txt": b"0 .5", "README.md": b"", "labels.csv": b"a,b"}
    root = folder(files(*folders) | beside)
    assert counts(root) == wanted
    assert all(read(root, split).spec.classes == classes for split in wanted)


@pytest.mark.parametrize(
    ("folders", "as_classes", "as_splits"),
    [
        (["bus", "car", "train"], ("bus", "car", "train"), {"train": 2}),
        (["bus", "car", "test"], ("bus", "car", "test"), {"train": 4, "test": 2}),
        (["bus", "car", "train", "test"], ("bus", "car", "test", "train"), {"train": 2, "test": 2}),
        (["bus/x", "bus/y", "train/x", "train/y"], ("bus", "train"), {"train": 4}),
    ],
)
def test_a_class_called_like_a_split_is_refused_with_both_readings(
    folder: Folder, folders: list[str], as_classes: tuple[str, ...], as_splits: dict[str, int]
) -> None:
    root = folder(files(*folders))
    message = refusal(root)
    assert all(value in message for value in ("data.splits=none", "data.splits=folders", f"{len(as_classes)} classes"))
    assert read(root, splits="none").spec.classes == as_classes
    assert counts(root, splits="folders") == as_splits


def test_splits_below_some_classes_only_are_refused(folder: Folder) -> None:
    root = folder(files("cat/train", "cat/test", "dog"))
    assert "dog" in refusal(root)
    assert read(root, splits="none").spec.classes == ("cat", "dog")


def test_images_beside_class_folders_are_refused_with_both_readings(folder: Folder) -> None:
    root = folder({**files("a", "b"), "cover.png": IMAGE})
    message = refusal(root)
    assert all(value in message for value in ("1 image", "2 classes", "data.classes=folders", "data.classes=none"))
    chosen, whole = read(root, classes="folders"), read(root, classes="none")
    assert (len(chosen), chosen.spec.classes) == (4, ("a", "b"))
    assert (len(whole), whole.labels) == (5, None)
    assert any("1 image" in note for note in chosen.notes)


def test_numbered_parts_of_one_sequence_are_no_classes_without_a_word(folder: Folder) -> None:
    root = folder({f"{i // 2:05d}/img{i:08d}.png": IMAGE for i in range(6)})
    assert all(value in refusal(root) for value in ("data.classes=folders", "data.classes=none"))
    assert read(root, classes="none").labels is None and len(read(root, classes="folders").spec.classes) == 3
    signs = folder({f"{i:05d}/{j:05d}.png": IMAGE for i in range(3) for j in range(2)}, "signs")
    assert len(read(signs).spec.classes) == 3


def test_names_in_either_normal_form_are_one_class(folder: Folder) -> None:
    composed, apart = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    root = folder({f"train/{apart}/1.png": IMAGE, "train/b/1.png": IMAGE, f"test/{composed}/1.png": IMAGE})
    twice = folder({f"{apart}/1.png": IMAGE, f"{composed}/2.png": IMAGE, "b/1.png": IMAGE}, "twice")
    assert read(root).spec.classes == read(root, "test").spec.classes == ("b", composed)
    assert read(twice).spec.classes == ("b", composed) and len(read(twice)) == 3


def test_classes_in_file_names_are_hinted_at(folder: Folder) -> None:
    root = folder({f"{name}_{i:03d}.png": IMAGE for name in ("cat", "dog") for i in range(3)})
    data = read(root)
    assert data.labels is None
    assert any("cat, dog" in note for note in data.notes)
    assert not read(folder({f"img{i}.png": IMAGE for i in range(6)}, "plain")).notes


@pytest.mark.parametrize(
    "junk",
    [
        *("@eaDir/1.jpg/SYNOPHOTO_THUMB_M.jpg", "#recycle/1.png", ".@__thumb/1.png"),
        *("__MACOSX/1.png", "$RECYCLE.BIN/1.png", "System Volume Information/1.png"),
        *(".ipynb_checkpoints/1-checkpoint.png", "__pycache__/1.png", "venv/lib/1.png"),
    ],
)
def test_what_systems_leave_behind_is_no_data(folder: Folder, junk: str) -> None:
    clean = read(folder(files("a", "b"), "clean"))
    environment: dict[str, object] = {"venv/pyvenv.cfg": b"", "a/venv/pyvenv.cfg": b""}
    for place in (junk, f"a/{junk}"):
        root = folder({**files("a", "b"), place: IMAGE, **environment}, place.replace("/", "-"))
        assert read(root).fingerprint == clean.fingerprint


# --- label files --------------------------------------------------------------------------------------------

SHARDS = {f"{i // 4:05d}/img{i:08d}.png": IMAGE for i in range(12)}


def as_zip(root: Path) -> Path:
    target = root.with_suffix(".zip")
    with zipfile.ZipFile(target, "w") as archive:
        for path in sorted(root.rglob("*.*")):
            archive.write(path, path.relative_to(root).as_posix())
    return target


@pytest.mark.parametrize("form", ["list", "dict", "one-hot"])
def test_dataset_json_gives_the_classes_of_folder_and_zip(folder: Folder, form: str) -> None:
    numbers = {name: i % 3 + 9 for i, name in enumerate(SHARDS)}
    rows: object = [[name, number] for name, number in numbers.items()]
    if form == "dict":
        rows = numbers
    if form == "one-hot":
        rows = [[name, [float(number == place) for place in range(12)]] for name, number in numbers.items()]
    root = folder({**SHARDS, "dataset.json": json.dumps({"labels": rows}).encode()})
    for path in (root, as_zip(root)):
        data = read(path)
        assert data.spec.classes == ("9", "10", "11")
        assert data.labels is not None and data.labels.tolist() == [i % 3 for i in range(12)]
    assert len(read(root, classes="folders").spec.classes) == 3 and read(root, classes="none").labels is None


@pytest.mark.parametrize("labels", [None, [[name, [0.5, 0.1]] for name in SHARDS], [[name, None] for name in SHARDS]])
def test_dataset_json_without_classes_means_none(folder: Folder, labels: object) -> None:
    assert read(folder({**SHARDS, "dataset.json": json.dumps({"labels": labels}).encode()})).labels is None


@pytest.mark.parametrize(
    ("content", "values"),
    [
        (b"{", ("dataset.json", "JSON")),
        (b"\xff\xfe", ("dataset.json", "UTF-8")),
        (b'{"labels": 3}', ("dataset.json", "list")),
        (b'{"labels": [["00000/img00000000.png", 1]]}', ("11 of 12 images", "img00000001.png", "data.classes=none")),
        (b'{"labels": [["other.png", 1]]}', ("1 file", "other.png")),
        (b'{"labels": [["00000/img00000000.png", 1.5]]}', ("1.5",)),
        (b"[" * 100_000, ("dataset.json",)),
    ],
)
def test_a_label_file_that_does_not_fit_is_refused(folder: Folder, content: bytes, values: tuple[str, ...]) -> None:
    message = refusal(folder({**SHARDS, "dataset.json": content}))
    assert all(value in message for value in values), message


def lines(rows: list[dict[str, object]]) -> bytes:
    return "\n".join(json.dumps(row) for row in rows).encode()


def table(rows: list[dict[str, object]]) -> bytes:
    return "\n".join([",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]).encode()


@pytest.mark.parametrize(("name", "write"), [("metadata.jsonl", lines), ("metadata.csv", table)])
def test_metadata_gives_the_classes_in_the_root_and_in_splits(
    folder: Folder, name: str, write: Callable[[list[dict[str, object]]], bytes]
) -> None:
    rows = [{"file_name": f"{i}.png", "text": "words", "label": ("dog", "cat")[i % 2]} for i in range(4)]
    root = folder({**{f"{i}.png": IMAGE for i in range(4)}, name: write(rows)}, "root")
    data = read(root)
    assert data.spec.classes == ("cat", "dog") and data.labels is not None and data.labels.tolist() == [1, 0, 1, 0]
    parts = files("train", "test", number=4)
    both = {f"{split}/{name}": write(rows[: 4 if split == "train" else None]) for split in ("train", "test")}
    split = folder({**parts, **both}, "split")
    assert read(split).spec.classes == read(split, "test").spec.classes == ("cat", "dog")
    above = [{**row, "file_name": f"train/{row['file_name']}"} for row in rows]
    half = folder({**parts, name: write(above)}, "half")
    assert read(half).spec.classes == ("cat", "dog") and read(half, "test").labels is None


def test_a_text_of_jsonl_may_hold_what_ends_lines_elsewhere(folder: Folder) -> None:
    rows = [{"file_name": f"{i}.png", "text": "one\u2028two\x85", "label": "ab"[i % 2]} for i in range(4)]
    content = "\r\n".join(json.dumps(row, ensure_ascii=False) for row in rows).encode()
    assert read(folder({**{f"{i}.png": IMAGE for i in range(4)}, "metadata.jsonl": content})).spec.classes == ("a", "b")


def test_a_file_with_two_classes_is_refused(folder: Folder) -> None:
    rows = "file_name,label\n0.png,a\n1.png,b\n./0.png,{}\n"
    images: dict[str, object] = {f"{i}.png": IMAGE for i in range(2)}
    assert read(folder({**images, "metadata.csv": rows.format("a").encode()}, "same")).spec.classes == ("a", "b")
    other = folder({**images, "metadata.csv": rows.format("b").encode()}, "other")
    assert "1 file" in (said := refusal(other)) and "0.png" in said and "1.png" not in said
    assert read(other, classes="none").labels is None


def test_rows_of_commas_alone_are_no_rows(folder: Folder) -> None:
    content = b"file_name,label\n0.png,a\n,\n1.png,b\n,\n"
    assert read(folder({**{f"{i}.png": IMAGE for i in range(2)}, "metadata.csv": content})).spec.classes == ("a", "b")


def test_classes_of_one_number_are_in_one_order() -> None:
    names = [f"{'0' * zeros}{number}" for number in (2, 1) for zeros in range(9)]
    for turn in range(len(names)):  # a set keeps the order of its making where hashes meet
        assert ordered(set(names[turn:] + names[:turn])) == tuple(sorted(names, key=lambda name: (int(name), name)))


def test_a_folder_has_its_own_name_beside_a_link_to_it(folder: Folder) -> None:
    root = folder(files("b", "m"))
    for link, target in (("a", "m"), ("z", "b"), ("deep", "..")):
        (root / link).symlink_to(root / target)
    assert read(root).spec.classes == ("b", "m")


def test_a_picture_that_links_to_itself_is_named(folder: Folder) -> None:
    root = folder(files("a", "b"))
    (root / "loop.png").symlink_to(root / "loop.png")
    with pytest.raises(DataError, match=r"loop\.png"):
        read(root, classes="none")


def test_metadata_without_labels_leaves_the_folders(folder: Folder) -> None:
    content = lines([{"file_name": "a/0.png", "text": "words"}])
    data = read(folder({**files("a", "b"), "metadata.jsonl": content}))
    assert data.spec.classes == ("a", "b") and any("label" in note for note in data.notes)


# --- names in a .zip ----------------------------------------------------------------------------------------


def packed(target: Path, names: list[str], encoding: str, image: bytes) -> Path:
    """A .zip whose member names are in `encoding`, which it does not state."""
    with zipfile.ZipFile(target, "w") as archive:
        for number, name in enumerate(names):
            archive.writestr("x" * len(f"{name}/{number}.png".encode(encoding)) + f"{number:02d}", image)
    content = target.read_bytes()
    for number, name in enumerate(names):
        wanted = f"{name}/{number}.png".encode(encoding)
        content = content.replace(b"x" * len(wanted) + f"{number:02d}".encode(), wanted + b"/x"[:0] + b"\0\0")
    target.write_bytes(content)
    return target


@pytest.mark.parametrize(
    ("encoding", "names"),
    [
        ("utf-8", ["猫", "犬", "été"]),
        ("cp932", ["猫", "犬", "表"]),
        ("cp932", ["ねこ", "イヌ"]),
        ("gbk", ["猫", "狗"]),
        ("cp437", ["größe", "café"]),
    ],
)
def test_names_of_a_zip_in_other_encodings(
    tmp_path: Path, encoding: str, names: list[str], encoded: Callable[..., bytes]
) -> None:
    from PIL import Image

    path = packed(tmp_path / "old.zip", names * 2, encoding, encoded(Image.new("RGB", (8, 8), "red")))
    data = read(path)
    assert set(data.spec.classes) == {unicodedata.normalize("NFC", name) for name in names}
    assert len(data) == 2 * len(names)
    assert bool([note for note in data.notes if "UTF-8" in note]) == (encoding != "utf-8")


def test_names_of_a_zip_that_are_no_words_are_shown_by_their_bytes(
    tmp_path: Path, encoded: Callable[..., bytes]
) -> None:
    from PIL import Image

    path = packed(tmp_path / "old.zip", ["кот", "пёс"], "cp866", encoded(Image.new("RGB", (8, 8), "red")))
    assert "\\xaa\\xae\\xe2" in read(path).spec.classes
