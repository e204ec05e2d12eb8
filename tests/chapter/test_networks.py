"""The chapter's networks as runs: epochs counted rightly, also over a stop, and parts never taken for the whole."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from fromnoise.chapter.networks import Trained, report_losses, train
from fromnoise.chapter.parts import QUICK, WHOLE, WHOLE_TRAINING, Parts, stated
from fromnoise.chapter.published import EPOCH_LOSSES, PARAMETERS
from fromnoise.chapter.telling import Quantity, Telling, tabled, told
from fromnoise.common.errors import Interrupted
from fromnoise.data import DataOptions, load
from fromnoise.run import Run
from fromnoise.train.hardware import Device

SMALL = Parts(quick=True, basic=3000, batch_size=64, previews=0)


def telling(folder: Path, source: str = "digits", parts: Parts = SMALL) -> Telling:
    """A Telling whose images are the 1,500 digits to train on, whatever it believes its source to be."""
    data = load(DataOptions(source="digits"))
    spec = replace(data.spec, low=0.0)
    return Telling(folder, parts, source, data, spec, 0, Device("cpu", "asked for"))


def trained(steps: int, count: int = 60_000) -> Trained:
    """A network that has seen `steps` batches of 128 of `count` images, with the losses 1, 2, 3, ..."""
    config = SimpleNamespace(train=SimpleNamespace(train_batch_size=128))
    run = SimpleNamespace(record={"data": {"count": count}}, config=config)
    seen = [min(128 * (i % 469 + 1), count) + i // 469 * count for i in range(steps)]
    return Trained("BasicUNet", run, "chapter-basic", {}, None, seen, [i + 1.0 for i in range(steps)], 1.0)


def test_the_mean_loss_of_an_epoch_is_that_of_its_steps():
    whole = trained(3 * 469)
    assert whole.images == WHOLE_TRAINING
    assert whole.epochs() == [np.mean(range(1 + 469 * i, 470 + 469 * i)) for i in range(3)]
    assert trained(469 + 468).epochs() == [235.0, None, None]


def test_the_last_loss_is_of_the_last_steps_and_counts_their_images():
    assert trained(160).last() == (40 * 128, np.mean(range(121, 161)))
    assert trained(3 * 469).last() == (49 * 128 + 96, np.mean(range(1358, 1408)))
    assert trained(1).last() == (128, 1.0)


def test_whole_epochs_stand_beside_the_published_ones(tmp_path, capsys):
    page = telling(tmp_path, "mnist", WHOLE)
    report_losses(page, trained(3 * 469))
    assert [q.name for q in page.quantities] == [f"BasicUNet, mean loss of epoch {i}" for i in (1, 2, 3)]
    assert tuple(q.published for q in page.quantities) == EPOCH_LOSSES["BasicUNet"]
    assert [q.ours for q in page.quantities] == [235.0, 704.0, 1173.0]
    assert "published 0.026962" in capsys.readouterr().out


def test_a_part_has_no_epochs_but_a_last_loss_of_its_own_name(tmp_path):
    page = telling(tmp_path, "mnist", QUICK)
    report_losses(page, trained(160))
    *epochs, last = page.quantities
    assert [q.ours for q in epochs] == [None] * 3
    assert all(q.note == "quick: 20,480 of 180,000 images, so this epoch was not completed" for q in epochs)
    assert last == Quantity(
        "BasicUNet, mean loss of the last 5,120 images", page.number, None, 140.5, "quick: 20,480 of 180,000 images"
    )


def test_other_images_are_not_compared(tmp_path):
    page = telling(tmp_path)
    report_losses(page, trained(160))
    page.measured("BasicUNet, parameters", 309_057, PARAMETERS["BasicUNet"])
    assert [q.published for q in page.quantities] == [None, None]
    assert tabled(page.quantities)[0] == ("quantity", "ours", "note")


def test_a_chapter_that_was_stopped_goes_on_where_it_was(tmp_path):
    straight = train(telling(tmp_path / "a"), "BasicUNet", "basic-unet", "chapter-basic", SMALL.basic)
    stopped = telling(tmp_path / "b")
    place = tmp_path / "b" / "runs" / "quick" / "basic-unet"
    begun = Run.create("digits", recipe="chapter-basic", output_dir=place, settings=straight.settings, device="cpu")
    with pytest.raises(Interrupted):
        for _ in begun.steps(max_time=0):
            pass
    assert 0 < int(begun.newest_checkpoint().name) < SMALL.basic
    resumed = train(stopped, "BasicUNet", "basic-unet", "chapter-basic", SMALL.basic)
    assert resumed.losses == pytest.approx(straight.losses, abs=1e-6)
    assert resumed.seen == straight.seen and None not in resumed.epochs()[:1]
    again = train(stopped, "BasicUNet", "basic-unet", "chapter-basic", SMALL.basic)
    assert again.losses == resumed.losses, "what is finished is not trained again"
    assert stopped.trained[0]["part"] == "quick: 3,000 of 180,000 images"


def test_what_a_number_stands_for():
    assert stated(180_000, WHOLE) == "180,000 images"
    assert stated(20_480, QUICK) == "quick: 20,480 of 180,000 images"
    assert stated(500, WHOLE) == "a part: 500 of 180,000 images"


def test_numbers_as_they_are_read():
    assert [told(v) for v in (309057, 0.02056, 3e-8, None, [8, 1], "x")] == [
        "309,057",
        "0.020560",
        "3.0e-08",
        "–",
        "(8, 1)",
        "x",
    ]
    assert told(0.5, 3) == "0.500" and told(0.0, 0) == "0"
    quantity = Quantity("q", "3.3", 0.02, 0.021)
    assert quantity.difference == "+5.0 %" and replace(quantity, ours=0.02).difference == "none"
    assert replace(quantity, ours=None).difference == "" and replace(quantity, published=[8]).difference == ""
