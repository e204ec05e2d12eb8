"""The hub, without its network: the library's own tables stand in for what it would send."""

from __future__ import annotations

import builtins
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fromnoise.common.errors import DataError, UsageError
from fromnoise.data import DataOptions, describe, load, splits


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, encoded: Callable[..., bytes]) -> Callable[..., None]:
    """hub({"train": labels, ...}): a data set `hf:me/pictures` with one image for each label, but none in some rows."""
    datasets = pytest.importorskip("datasets")

    def table(labels: list[int | None], kind: Any, without: tuple[int, ...]) -> Any:
        cells = [
            None if i in without else {"bytes": encoded(Image.new("RGB", (8, 8), (120 * i, 0, 0))), "path": None}
            for i in range(len(labels))
        ]
        features = datasets.Features({"id": datasets.Value("int64"), "photo": datasets.Image(), "label": kind})
        rows = {"id": list(range(len(labels))), "photo": cells, "label": labels}
        return datasets.Dataset.from_dict(rows, features=features)

    def serve(tables: dict[str, list[int | None]], kind: Any = None, without: tuple[int, ...] = ()) -> None:
        kind = kind or datasets.ClassLabel(names=["cat", "dog"])
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")  # so that no server is contacted
        monkeypatch.setattr(datasets, "get_dataset_split_names", lambda path, config: list(tables))
        monkeypatch.setattr(datasets, "load_dataset", lambda path, config, split: table(tables[split], kind, without))

    return serve


def test_images_and_class_labels_are_read(hub: Callable[..., None]) -> None:
    hub({"train": [0, 1, 1], "validation": [1, 0]})
    options = DataOptions(source="hf:me/pictures")
    assert splits(options) == ("train", "test")
    data = load(options)
    assert describe(data) == "pictures: 3 images, 8x8 RGB, 2 classes"
    assert data.spec.classes == ("cat", "dog") and data.labels is not None and data.labels.tolist() == [0, 1, 1]
    assert data.images[:, 0, 0, 0].tolist() == [0, 120, 240]
    assert load(DataOptions(source="hf:me/pictures", classes="none")).labels is None
    served, aside = load(options, "test").notes
    assert "validation" in served and "test" in served and aside.endswith(" id") and data.notes == (aside,)


def test_hidden_labels_and_other_columns_are_no_classes(hub: Callable[..., None]) -> None:
    datasets = pytest.importorskip("datasets")
    hub({"train": [0, 1], "test": [None, None]})
    test = load(DataOptions(source="hf:me/pictures"), "test")
    assert test.labels is None and "hides its labels" in test.notes[-1] and test.spec.classes == ()
    hub({"train": [4, 7]}, datasets.Value("int64"))
    unknown = load(DataOptions(source="hf:me/pictures"))
    (note,) = unknown.notes
    assert unknown.labels is None and "id, label" in note and "ClassLabel" in note
    with pytest.raises(DataError, match=r"pictures.*test.*train"):
        load(DataOptions(source="hf:me/pictures"), "test")


def test_tables_without_images_or_training_rows_are_data_errors(
    hub: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets = pytest.importorskip("datasets")
    hub({"test": [0]})
    with pytest.raises(DataError, match=r"hf:me/pictures.*test.*train"):
        load(DataOptions(source="hf:me/pictures"))
    hub({"train": [0]})
    text = datasets.Dataset.from_dict({"text": ["a"]})
    monkeypatch.setattr(datasets, "load_dataset", lambda path, config, split: text)
    with pytest.raises(DataError, match=r"hf:me/pictures.*\btext\b"):
        load(DataOptions(source="hf:me/pictures"))


def test_what_the_library_says_becomes_one_sentence(hub: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    hub({})

    def fail(path: str, config: str | None) -> list[str]:
        raise FileNotFoundError("Dataset 'me/pictures' doesn't exist\nand more lines")

    monkeypatch.setattr(datasets, "get_dataset_split_names", fail)
    with pytest.raises(DataError, match=r"hf:me/pictures.*Dataset 'me/pictures' doesn't exist") as caught:
        load(DataOptions(source="hf:me/pictures"))
    assert "more lines" not in str(caught.value)


def test_without_a_network_the_answer_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("datasets")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("FROMNOISE_OFFLINE", "0")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(DataError, match=r"http://127\.0\.0\.1:1.*HF_HUB_OFFLINE=1"):
        load(DataOptions(source="hf:me/pictures"))
    monkeypatch.setenv("FROMNOISE_OFFLINE", "1")
    with pytest.raises(DataError, match="FROMNOISE_OFFLINE"):
        load(DataOptions(source="hf:me/pictures"))


def test_the_missing_extra_is_named_with_its_pip_line(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "datasets":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.delitem(sys.modules, "datasets", raising=False)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UsageError) as caught:
        load(DataOptions(source="hf:me/pictures"))
    assert "pip install datasets" in str(caught.value) and caught.value.exit_code == 2


@pytest.mark.parametrize("source", ["hf:", "hf:a/b/c", "hf:/x"])
def test_names_that_cannot_be_are_usage_errors(source: str) -> None:
    with pytest.raises(UsageError, match=f"'{source}'.*hf:owner/name"):
        load(DataOptions(source=source))


def test_the_bytes_of_a_hub_image_are_those_of_its_file(hub: Callable[..., None]) -> None:
    hub({"train": [0, 1]})
    images = load(DataOptions(source="hf:me/pictures", resolution="16")).images.numpy()
    assert images.shape == (2, 3, 16, 16) and (images[1, 0] == 120).all() and not np.any(images[:, 1:])


def test_a_row_without_an_image_is_named_or_left_out(hub: Callable[..., None]) -> None:
    hub({"train": [0, 1, 1]}, without=(1,))
    with pytest.raises(DataError, match=r"row 1 .*no image"):
        load(DataOptions(source="hf:me/pictures"))
    kept = load(DataOptions(source="hf:me/pictures", on_bad_image="skip"))
    assert kept.images[:, 0, 0, 0].tolist() == [0, 240] and kept.labels is not None and kept.labels.tolist() == [0, 1]
