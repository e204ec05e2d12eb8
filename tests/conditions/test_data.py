"""Numbers beside images, from an .npz and from metadata files; what is missing, and what is refused."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fromnoise.cli import main
from fromnoise.common.errors import DataError, FromNoiseError, UsageError
from fromnoise.data import Batches, load
from fromnoise.data.inspection import inspect
from fromnoise.settings import DataOptions


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Thirty images of two classes with a metadata.csv of angle and size; one angle is not given."""
    rng, rows = np.random.default_rng(0), []
    for i in range(30):
        Image.fromarray(rng.integers(0, 255, (8, 8), dtype=np.uint8)).save(tmp_path / f"{i:02}.png")
        rows.append([f"{i:02}.png", "ab"[i % 2], "" if i == 3 else i / 10, i])
    with (tmp_path / "metadata.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["file_name", "label", "angle", "size"], *rows])
    return tmp_path


def test_a_column_of_metadata_becomes_a_condition(folder: Path) -> None:
    data = load(folder, conditions="size,angle", holdout=0)
    assert [one.name for one in data.spec.conditions] == ["size", "angle"] and data.spec.classes == ("a", "b")
    expected = torch.tensor([[i, float("nan") if i == 3 else i / 10] for i in range(30)])
    torch.testing.assert_close(data.conditions, expected, equal_nan=True)
    size = data.spec.conditions[0]
    assert (size.least, size.most, size.mean) == (0, 29, 14.5) and size.std == pytest.approx(np.arange(30).std())


def test_a_batch_holds_class_and_numbers_together(folder: Path) -> None:
    data = load(folder, conditions="size", holdout=0)
    batches = Batches(data, 30, seed=0)
    _, label = batches.batch(0)
    order = batches.indices(0)
    assert label is not None and label.dtype == torch.float32
    assert torch.equal(label, torch.stack([order % 2, order], dim=1).float())


def test_jsonl_is_read_alike(folder: Path) -> None:
    wanted = load(folder, conditions="angle,size")
    with (folder / "metadata.csv").open(newline="") as file:
        rows = [{**row, "angle": float(row["angle"]) if row["angle"] else None} for row in csv.DictReader(file)]
    (folder / "metadata.csv").unlink()
    (folder / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert load(folder, conditions="angle,size").fingerprint == wanted.fingerprint


def test_a_file_without_a_number_leaves_that_of_another(folder: Path) -> None:
    wanted = load(folder, conditions="angle,size").conditions
    rows = [{"file_name": "00.png", "text": "a word"}, {"file_name": "01.png", "angle": None}]
    (folder / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    torch.testing.assert_close(load(folder, conditions="angle,size").conditions, wanted, equal_nan=True)


def test_two_numbers_for_an_image_are_refused_and_one_twice_is_not(folder: Path) -> None:
    with (folder / "metadata.csv").open("a", newline="") as file:
        csv.writer(file).writerow(["05.png", "b", 0.5, ""])
    assert load(folder, conditions="angle", holdout=0).conditions[5] == 0.5
    with (folder / "metadata.csv").open("a", newline="") as file:
        csv.writer(file).writerow(["05.png", "b", 0.7, 5])
    words = r"metadata.csv in .* gives 05.png two numbers in the column angle \(0.5 and 0.7\); leave one of them"
    with pytest.raises(DataError, match=words):
        load(folder, conditions="angle")


def test_the_first_row_of_jsonl_may_lack_a_number(folder: Path) -> None:
    (folder / "metadata.csv").unlink()
    rows = [{"file_name": f"{i:02}.png", **({"angle": i} if i else {})} for i in range(30)]
    (folder / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    numbers = load(folder, conditions="angle", holdout=0).conditions[:, 0]
    assert bool(numbers[0].isnan()) and numbers[1:].tolist() == list(range(1, 30))


def test_held_out_images_keep_their_own_numbers(folder: Path) -> None:
    data = load(folder, conditions="size")
    assert data.held_out is not None
    whole = torch.cat([part.conditions for part in (data, data.held_out)])[:, 0]
    assert len(data.held_out.conditions) == len(data.held_out) and whole.sort().values.tolist() == list(range(30))
    first = int(data.conditions[0, 0])
    with Image.open(folder / f"{first:02}.png") as image:
        assert np.array_equal(np.asarray(image), data.images[0, 0].numpy())


def test_a_broken_file_takes_its_number_with_it(folder: Path) -> None:
    (folder / "04.png").write_bytes(b"no image")
    data = load(folder, conditions="size", holdout=0, on_bad_image="skip")
    assert data.conditions[:, 0].tolist() == [i for i in range(30) if i != 4]


def test_a_store_gives_the_same_numbers(folder: Path) -> None:
    plain = load(folder, conditions="angle", store="never")
    for _ in range(2):  # made, then opened
        stored = load(folder, conditions="angle", store="always")
        assert torch.equal(stored.conditions.nan_to_num(-9), plain.conditions.nan_to_num(-9))
        assert stored.fingerprint == plain.fingerprint
    assert load(folder, conditions="size", store="always").fingerprint != plain.fingerprint


def test_images_with_other_numbers_are_other_images(folder: Path) -> None:
    before, without = load(folder, conditions="size").fingerprint, load(folder).fingerprint
    text = (folder / "metadata.csv").read_text().replace(",29", ",28")
    (folder / "metadata.csv").write_text(text)
    assert load(folder, conditions="size").fingerprint != before and load(folder).fingerprint == without


def test_keys_of_an_npz_go_with_their_split(stroke_file: Path) -> None:
    data = load(stroke_file, conditions="slant")
    test = load(stroke_file, "test", conditions="slant")
    with np.load(stroke_file) as arrays:
        assert np.array_equal(data.conditions[:, 0].numpy(), arrays["slant"], equal_nan=True)
        assert np.array_equal(test.conditions[:, 0].numpy(), arrays["slant_test"])
    assert not any("slant" in note for note in data.notes), "it is not left aside"
    assert "conditions slant" in inspect(DataOptions(str(stroke_file), conditions="slant")).summary


def test_a_test_split_may_lack_the_numbers(tmp_path: Path) -> None:
    images = np.zeros((4, 8, 8), np.uint8)
    np.savez(tmp_path / "x.npz", x_train=images, angle_train=np.arange(4), x_test=images)
    assert load(tmp_path / "x.npz", "test", conditions="angle").conditions.isnan().all()


@pytest.mark.parametrize(
    ("arrays", "wanted", "named"),
    [
        ({"slant": np.arange(4.0)}, "thickness", "thickness"),
        ({"slant": np.arange(3.0)}, "slant", "slant"),
        ({"slant": np.array(["a", "b", "c", "d"])}, "slant", "slant"),
        ({"slant": np.array([0, 1, np.inf, 2])}, "slant", "slant"),
        ({"slant": np.ones(4)}, "slant", "slant"),
        ({"slant": np.full(4, np.nan)}, "slant", "slant"),
    ],
)
def test_what_is_no_number_for_each_image_is_refused(
    tmp_path: Path, arrays: dict[str, np.ndarray], wanted: str, named: str
) -> None:
    np.savez(tmp_path / "x.npz", images=np.zeros((4, 8, 8), np.uint8), **arrays)
    with pytest.raises(DataError, match=named):
        load(tmp_path / "x.npz", conditions=wanted)


def test_columns_that_are_not_there_or_hold_words_are_refused(folder: Path) -> None:
    with pytest.raises(DataError, match=r"tilt.*angle"):
        load(folder, conditions="tilt")
    with pytest.raises(DataError, match=r"'a'.*label"):
        load(folder, conditions="label")
    with pytest.raises(DataError, match="slant"):
        load("digits", conditions="slant")


@pytest.mark.parametrize("text", ["", "a,,b", "a,a", "a=1"])
def test_names_are_checked_before_anything_is_read(text: str) -> None:
    with pytest.raises(UsageError, match="conditions") as caught:
        load("digits", conditions=text)
    assert isinstance(caught.value, FromNoiseError) and caught.value.exit_code == 2


def test_an_inspection_names_range_and_gaps(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "inspect", str(folder), "--conditions", "angle,size", "--out", str(folder / "x.png")]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith(("angle", "size:"))]
    assert len(lines) == 2 and "0 to 2.9" in lines[0] and "1" in lines[0].rpartition("known of")[2]
    assert "0 to 29" in lines[1] and "known" not in lines[1]
