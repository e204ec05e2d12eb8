"""The classifier learns, none of its features is dead, it is kept, and trained again where the kept one is damaged."""

import json
from dataclasses import replace

import pytest
import torch

from fromnoise.common.errors import DataError
from fromnoise.common.image_spec import ImageSpec
from fromnoise.data import load
from fromnoise.data.image_data import ArrayData
from fromnoise.metrics import classifier_cache
from fromnoise.metrics import classifier_training as training
from fromnoise.metrics.classifier import Classifier, accuracy
from fromnoise.metrics.classifier_cache import cached_classifier
from fromnoise.metrics.classifier_training import recipe_hash, train_classifier
from fromnoise.settings import DataOptions


def stripes(count=64, classes=2, channels=1, size=8):
    """Images whose class is the place of a bright column."""
    labels = torch.arange(count) % classes
    images = torch.randint(
        0, 60, (count, channels, size, size), generator=torch.Generator().manual_seed(0), dtype=torch.uint8
    )
    images[torch.arange(count), :, :, 3 * labels] = 255
    return ArrayData("stripes", "train", images, labels, ImageSpec(channels, size, size, tuple("abcdef"[:classes])))


@pytest.fixture(scope="module")
def trained():
    return train_classifier(stripes(), steps=60)


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr(training, "_LEAST_STEPS", 20)


def same(first, second):
    return all(torch.equal(value, second.state_dict()[name]) for name, value in first.state_dict().items())


def test_it_learns(trained):
    assert accuracy(trained, stripes()) == 1.0


def test_features_are_float32_128_and_alive(trained):
    features = trained.features(stripes().images)
    assert features.shape == (64, 128) and features.dtype == torch.float32 and not features.requires_grad
    assert (features.std(0) > 0).all() and (features < 0).any()


def test_probabilities_sum_to_one_and_forward_gives_their_logits(trained):
    images = stripes().images
    probabilities = trained.probabilities(images)
    torch.testing.assert_close(probabilities.sum(1), torch.ones(64))
    with torch.no_grad():
        expected = (trained(images) / trained.temperature).softmax(1)
    torch.testing.assert_close(probabilities, expected)


def test_an_image_has_the_same_features_in_any_batch(trained):
    images = stripes().images
    trained.train()  # as a careless caller may leave it
    alone = trained.features(images[3:4])
    torch.testing.assert_close(trained.features(images.repeat(10, 1, 1, 1))[3:4], alone, rtol=1e-4, atol=1e-4)


def test_sure_answers_reach_beyond_what_label_smoothing_teaches(trained):
    top = trained.probabilities(stripes().images).max(1).values
    assert trained.temperature < 1 and top.min() > 1 - training._SMOOTHING / 2


def test_the_seed_decides_the_classifier_and_no_other_state_is_touched():
    state = torch.get_rng_state()
    first, again, other = (train_classifier(stripes(), seed=seed, steps=3) for seed in (4, 4, 5))
    assert same(first, again) and not same(first, other)
    assert first.weight_hash == again.weight_hash != other.weight_hash
    assert torch.equal(torch.get_rng_state(), state)


def test_epochs_count_what_is_seen(monkeypatch):
    seen = []
    forward = Classifier.forward
    monkeypatch.setattr(Classifier, "forward", lambda self, x: seen.append(self.training) or forward(self, x))
    train_classifier(stripes(256), epochs=1.5)
    assert sum(seen) == 3


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 5, 9), (4, 70, 33), (1, 200, 20)])
def test_any_size_and_channels(shape):
    images = torch.randint(0, 256, (6, *shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    data = ArrayData("odd", "train", images, torch.arange(6) % 3, ImageSpec(*shape, ("a", "b", "c")))
    net = train_classifier(data, steps=2)
    assert net.probabilities(images).shape == (6, 3) and net.features(images).isfinite().all()


def test_two_images_are_enough():
    data = stripes(2)
    assert accuracy(train_classifier(data, steps=40), data) == 1.0


def test_shifts_move_each_image_by_its_own_and_repeat_edges():
    ramp = torch.arange(28, dtype=torch.uint8).expand(200, 1, 28, 28)
    moved = training._shifted(ramp, torch.Generator().manual_seed(0)).int()
    offsets = moved[:, 0, 14, 14] - 14
    assert sorted(offsets.unique().tolist()) == [-2, -1, 0, 1, 2]
    expected = (torch.arange(28) + offsets[:, None]).clamp(0, 27).int()
    assert torch.equal(moved[:, 0, 5], expected)


def test_it_is_kept_and_read_back(tmp_path, short, monkeypatch):
    first = cached_classifier(stripes(), tmp_path / "new")
    (about,) = (tmp_path / "new").glob("*.json")
    said = json.loads(about.read_text())
    assert said["recipe_hash"] == recipe_hash() and said["weights"] == first.weight_hash and said["notes"] == []
    assert said["fingerprint"] == stripes().fingerprint
    assert len(list((tmp_path / "new").iterdir())) == 2
    monkeypatch.setattr(classifier_cache, "train_classifier", lambda *_, **__: pytest.fail("trained again"))
    again = cached_classifier(stripes(), tmp_path / "new")
    assert same(first, again) and not again.training


def test_other_data_seed_or_recipe_is_another_file(tmp_path, short, monkeypatch):
    cached_classifier(stripes(), tmp_path)
    cached_classifier(stripes(), tmp_path, seed=1)
    cached_classifier(stripes(63), tmp_path)
    before = recipe_hash()
    monkeypatch.setattr(training, "_SMOOTHING", 0.2)
    assert recipe_hash() != before
    cached_classifier(stripes(), tmp_path)
    assert len(list(tmp_path.glob("*.safetensors"))) == 4


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[-5] ^= 64
    path.write_bytes(content)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(path.read_bytes()[:100]),
        lambda path: path.write_bytes(b""),
        flip_a_bit,
        lambda path: path.with_suffix(".json").write_text("{"),
        lambda path: path.with_suffix(".json").write_text("[]"),
        lambda path: path.with_suffix(".json").unlink(),
    ],
    ids=["truncated", "empty", "bit", "json-cut", "json-list", "json-gone"],
)
def test_a_damaged_classifier_is_trained_again_and_noted(tmp_path, short, damage):
    first = cached_classifier(stripes(), tmp_path)
    (path,) = tmp_path.glob("*.safetensors")
    kept = path.read_bytes()
    damage(path)
    assert same(first, cached_classifier(stripes(), tmp_path))
    assert path.read_bytes() == kept
    assert len(json.loads(path.with_suffix(".json").read_text())["notes"]) == 1


def test_a_folder_that_cannot_be_written_only_costs_time(tmp_path, short):
    (tmp_path / "file").write_text("")
    assert accuracy(cached_classifier(stripes(), tmp_path / "file"), stripes()) >= 0.5


@pytest.mark.parametrize("forbidden", ["exists", "read_bytes"])
def test_a_folder_that_cannot_be_read_only_costs_time(tmp_path, short, monkeypatch, forbidden):
    def refuse(path, *_, **__):
        raise PermissionError(13, "Permission denied", str(path))

    first = cached_classifier(stripes(), tmp_path)
    monkeypatch.setattr(type(tmp_path), forbidden, refuse)
    assert same(first, cached_classifier(stripes(), tmp_path))


def test_data_that_cannot_teach_is_refused(tmp_path):
    data = stripes()
    bare = replace(data, labels=None, spec=ImageSpec(1, 8, 8))
    one = replace(data, labels=torch.zeros(64, dtype=torch.int64))
    for lesson, count in ((bare, 0), (one, 1)):
        with pytest.raises(DataError, match=rf"stripes.*\b{count}\b.*at least 2"):
            train_classifier(lesson)
        with pytest.raises(DataError, match=rf"stripes.*\b{count}\b.*at least 2"):
            cached_classifier(lesson, tmp_path)
    with pytest.raises(DataError, match=r"stripes.*label"):
        accuracy(Classifier(1, 2), bare)
    assert not list(tmp_path.iterdir())


def test_images_of_another_kind_are_refused(trained):
    with pytest.raises(DataError, match=r"uint8 \(2, 3, 8, 8\).*uint8 \(N, 1, H, W\)"):
        trained.features(torch.zeros(2, 3, 8, 8, dtype=torch.uint8))
    with pytest.raises(DataError, match="float32"):
        trained.probabilities(torch.zeros(2, 1, 8, 8))


def test_it_reads_the_real_digits():
    options = DataOptions(source="digits")
    net = train_classifier(load(options), steps=100)
    assert accuracy(net, load(options, "test")) >= 0.97


@pytest.mark.slow
def test_it_reads_mnist(mnist_dir):
    options = DataOptions(source="mnist")
    test = load(options, "test")
    net = train_classifier(load(options))
    assert accuracy(net, test) >= 0.99
    assert (net.features(test.images).std(0) > 1e-3).all()
    assert (net.probabilities(test.images).max(1).values > 0.9).float().mean() > 0.97
