"""Labels of samples: the training set's frequencies, from each seed alone, and from a stream of their own."""

from pathlib import Path

import numpy as np
import pytest
import torch

from fromnoise.common.errors import UsageError
from fromnoise.common.image_spec import Condition, ImageSpec
from fromnoise.common.seeds import generator
from fromnoise.data import load
from fromnoise.model.labels import beyond_training, draw_labels, label_number, spread_labels
from fromnoise.model.samples import Samples


def test_labels_have_the_training_sets_frequencies():
    labels = draw_labels(range(2000), [100, 300, 0, 600])
    shares = labels.bincount(minlength=4) / 2000
    # Four standard deviations of a share of 2,000 draws are at most 0.045.
    torch.testing.assert_close(shares, torch.tensor([0.1, 0.3, 0.0, 0.6]), rtol=0, atol=0.045)


def test_spread_labels_are_as_often_as_the_training_has_them_and_evenly_spread():
    assert spread_labels(10, [5, 5, 5]).tolist() == [0, 1, 2, 0, 1, 2, 0, 1, 2, 0]
    labels = spread_labels(1000, [100, 300, 0, 600])
    assert labels.bincount(minlength=4).tolist() == [100, 300, 0, 600]
    for n in range(1, 1000):
        counts = labels[:n].bincount(minlength=4).double()
        assert float((counts - n * torch.tensor([0.1, 0.3, 0.0, 0.6])).abs().max()) < 1


def test_a_label_follows_from_its_seed_alone():
    assert draw_labels([7], [1] * 10) == draw_labels([3, 7], [1] * 10)[1]


def test_labels_do_not_share_the_stream_of_the_starting_noise():
    even = torch.ones(10, dtype=torch.float64)
    shared = torch.cat([torch.multinomial(even, 1, generator=generator(0, "sample", seed)) for seed in range(100)])
    agree = (draw_labels(range(100), [1] * 10) == shared).double().mean()
    assert agree < 0.3, "a tenth agree by chance"


def test_a_label_is_a_name_and_never_a_place() -> None:
    numbers = ImageSpec(1, 8, 8, ("3", "4", "10"))
    assert [label_number(label, numbers) for label in ("3", 4, "10")] == [0, 1, 2]
    words = ImageSpec(1, 8, 8, ("café", "dog"))
    assert label_number("cafe\u0301", words) == 0
    for label, spec in (("0", numbers), (2, numbers), ("0", words), ("-1", words)):
        with pytest.raises(UsageError, match=f"'{label}'") as caught:
            label_number(label, spec)
        assert caught.value.exit_code == 2


def test_a_thousand_classes_are_not_all_listed() -> None:
    with pytest.raises(UsageError) as caught:
        label_number("x", ImageSpec(1, 8, 8, tuple(f"class {i}" for i in range(1000))))
    assert len(str(caught.value)) < 400 and "990 more" in str(caught.value)


def test_files_of_samples_name_their_classes(tmp_path: Path) -> None:
    samples = Samples(np.zeros((2, 8, 8, 1), np.uint8), [5, 6], [1, 0], classes=("3", "T-shirt/top"))
    names = sorted(path.name for path in samples.save(tmp_path / "folder").iterdir())
    assert names == ["seed000005-labelT-shirt-top.png", "seed000006-label3.png"]
    data = load(str(samples.save(tmp_path / "s.npz")))
    assert data.spec.classes == samples.classes and data.labels is not None and data.labels.tolist() == [1, 0]


def test_the_ends_of_a_number_are_not_beyond_training() -> None:
    """They are kept in float32, where 0.1 is a little more and 0.9 a little less."""
    least, most = np.float32([0.1, 0.9]).tolist()
    spec = ImageSpec(1, 8, 8, conditions=(Condition("slant", 0.5, 0.2, least, most),))
    assert beyond_training({"slant": 0.1}, spec) == beyond_training({"slant": 0.9}, spec) == []
    assert [bool(beyond_training({"slant": value}, spec)) for value in (0.09, 0.91)] == [True, True]
