"""Numbers beside the published ones: epochs counted rightly, also over a stop, and a part is named as such."""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError

import numpy as np
import pytest

import fromnoise
from fromnoise.chapter import record as record_module
from fromnoise.chapter.published import EPOCH_LOSSES, PARAMETERS, WHOLE_TRAINING
from fromnoise.chapter.record import ChapterRecord, History, Quantity, readable
from fromnoise.common.errors import Interrupted
from fromnoise.run import Run


def history(steps: int, part: str = "180,000 images") -> History:
    """A BasicUNet that was trained on `steps` batches of 128 of 60,000 images, with the losses 1, 2, 3, ..."""
    seen = [min(128 * (i % 469 + 1), 60_000) + i // 469 * 60_000 for i in range(steps)]
    return History("BasicUNet", part, seen, [i + 1.0 for i in range(steps)], 469)


def record(folder, data: str = "mnist", quick: bool = False) -> ChapterRecord:
    return ChapterRecord(folder, data, 1500 if data == "digits" else 60_000, quick=quick, seed=0)


def test_the_mean_loss_of_an_epoch_is_that_of_its_steps():
    whole = history(3 * 469)
    assert whole.images == WHOLE_TRAINING
    assert whole.epochs() == [np.mean(range(1 + 469 * i, 470 + 469 * i)) for i in range(3)]
    assert history(469 + 468).epochs() == [235.0, None, None]


def test_the_last_loss_is_of_the_last_steps_and_counts_their_images():
    assert history(160).last() == (40 * 128, np.mean(range(121, 161)))
    assert history(3 * 469).last() == (49 * 128 + 96, np.mean(range(1358, 1408)))
    assert history(1).last() == (128, 1.0)


def test_the_curve_is_of_equal_parts_without_the_first():
    seen, means = history(160).curve(parts=4)
    assert seen == [80 * 128, 120 * 128, 160 * 128] and means == [60.5, 100.5, 140.5]
    assert history(1).curve() == ([128], [1.0])


def test_whole_epochs_stand_beside_the_published_ones(tmp_path, capsys):
    page = record(tmp_path)
    page.losses("3.3", history(3 * 469))
    assert [q.name for q in page.quantities] == [f"BasicUNet, mean loss of epoch {i}" for i in (1, 2, 3)]
    assert tuple(q.published for q in page.quantities) == EPOCH_LOSSES["BasicUNet"]
    assert [q.ours for q in page.quantities] == [235.0, 704.0, 1173.0]
    assert "0.026962" in capsys.readouterr().out
    head, *rows = page.comparison()
    assert head[:3] == ("quantity", "published", "ours") and next(row[1] for row in rows) == "0.026962"


def test_a_part_has_no_epochs_but_a_last_loss_of_its_own_name(tmp_path):
    page = record(tmp_path, quick=True)
    page.losses("3.3", history(160, page.part(20_480)))
    *epochs, last = page.quantities
    assert [q.ours for q in epochs] == [None] * 3
    assert all("20,480 of 180,000" in q.note for q in epochs)
    assert last == Quantity(
        "BasicUNet, mean loss of the last 5,120 images", "3.3", None, 140.5, "quick: 20,480 of 180,000 images"
    )


def test_other_images_are_not_compared(tmp_path):
    page = record(tmp_path, "digits")
    page.losses("3.3", history(160))
    page.measure("3.3", "BasicUNet, parameters", 309_057, PARAMETERS["BasicUNet"])
    assert [q.published for q in page.quantities] == [None, None] and len(page.comparison()) == 1


def test_a_training_that_was_stopped_continues_and_is_not_repeated(tmp_path):
    def begin(name):
        settings = {"train.num_images": 3000, "train.train_batch_size": 64, "train.previews": 0}
        place = tmp_path / name
        return Run.create("digits", recipe="chapter-basic", output_dir=place, settings=settings, device="cpu")

    page = record(tmp_path, "digits", quick=True)
    straight = page.train("BasicUNet", begin("a"))
    with pytest.raises(Interrupted):
        for _ in begin("b").steps(max_time=0):
            pass
    assert len(list((tmp_path / "b" / "checkpoints").iterdir())) > 0
    resumed = page.train("BasicUNet", begin("b"))
    assert resumed.losses == pytest.approx(straight.losses, abs=1e-6)
    assert resumed.seen == straight.seen and None not in resumed.epochs(2)
    assert page.train("BasicUNet", begin("b")).losses == resumed.losses
    assert page.trained[0]["part"] == "quick: 3,000 of 180,000 images"


def test_how_much_training_a_number_stands_for(tmp_path):
    assert record(tmp_path).part(180_000) == "180,000 images"
    assert record(tmp_path, quick=True).part(20_480) == "quick: 20,480 of 180,000 images"
    assert record(tmp_path).part(500) == "a part: 500 of 180,000 images"


def test_numbers_as_they_are_read():
    values = (309057, 0.02056, 3e-8, 0.0, None, [8, 1])
    assert [readable(v) for v in values] == ["309,057", "0.020560", "3.0e-08", "0.000000", "–", "(8, 1)"]
    assert Quantity("q", "3.3", 0.02, 0.021).difference == "+5.0 %"
    assert Quantity("q", "3.3", 0.02, 0.02).difference == "none"
    assert Quantity("q", "3.3", 0.02, None).difference == Quantity("q", "3.3", [8], 1).difference == ""


def test_the_sources_are_written_with_the_numbers(tmp_path):
    path = record(tmp_path).write(device="cpu", reason="asked for")
    sources = json.loads(path.read_text(encoding="utf-8"))["sources"]
    assert "huggingface/diffusion-models-class" in sources["networks and parameter counts"]
    assert "从零开始搭建扩散模型" in sources["published losses"]


def test_versions_are_known_where_fromnoise_is_not_installed(monkeypatch):
    def version(name):
        if name == "fromnoise":
            raise PackageNotFoundError(name)
        return "9.9"

    monkeypatch.setattr(record_module, "version", version)
    assert record_module.versions("torch")["fromnoise"] == fromnoise.__version__
