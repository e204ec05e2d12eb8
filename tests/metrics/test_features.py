"""Spaces: fixed by their recipe and the data alone, and made for any images, labelled or not."""

import pytest
import torch
import torch.nn.functional as F

from fromnoise.common.image_spec import ImageSpec
from fromnoise.data import DataOptions, load
from fromnoise.data.image_data import ArrayData
from fromnoise.metrics import classifier_training, features
from fromnoise.metrics.classifier import Classifier, accuracy
from fromnoise.metrics.classifier_cache import cached_classifier
from fromnoise.metrics.features import domain, pixels, rotated


@pytest.fixture(scope="module")
def digits():
    return load(DataOptions("digits"))


def unlabelled(data):
    return ArrayData(data.name, data.split, data.images, None, ImageSpec(*data.spec.shape))


def test_pixels_are_the_principal_components(digits):
    from sklearn.decomposition import PCA

    space = pixels(digits)
    flat = digits.images.flatten(1).numpy() / 255
    theirs = PCA(n_components=64, svd_solver="full").fit(flat).transform(flat[:50])
    ours = space.of(digits.images[:50]).numpy()
    assert ours.shape == (50, space.dim) == (50, 64)
    assert abs(abs(ours) - abs(theirs)).max() < 1e-4  # the sign of a component is free


def test_large_images_are_averaged_down_before_their_components_are_found(monkeypatch):
    images = torch.randint(0, 256, (40, 3, 96, 48), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    space = pixels(ArrayData("large", "train", images, None, ImageSpec(3, 96, 48)))
    assert space.of(images).shape == (40, 64)
    whole = space.of(images)
    monkeypatch.setattr(features, "_VALUES", 7 * 3 * 96 * 48)  # so few at a time change nothing
    parts = pixels(ArrayData("large", "train", images, None, ImageSpec(3, 96, 48)))
    assert parts.weight_hash == space.weight_hash and torch.equal(parts.of(images), whole)
    few = pixels(ArrayData("few", "train", images[:, :1, :4, :4], None, ImageSpec(1, 4, 4)))
    assert few.dim == 16


def test_the_same_data_give_the_same_space_and_other_data_another(digits, tmp_path):
    assert pixels(digits).weight_hash == pixels(digits).weight_hash
    other = ArrayData("half", "train", digits.images[::2], digits.labels[::2], digits.spec)
    assert pixels(digits).weight_hash != pixels(other).weight_hash
    first, again = domain(digits, tmp_path / "a"), domain(digits, tmp_path / "a")
    assert first.weight_hash == again.weight_hash and first.recipe_hash == classifier_training.recipe_hash()
    assert first.classifier is not None and first.of(digits.images[:3]).shape == (3, first.dim)


def test_unlabelled_images_are_classified_by_rotation(digits, tmp_path, monkeypatch):
    monkeypatch.setattr(features, "_ROTATED", 400)
    space = domain(unlabelled(digits), tmp_path)
    assert space.classifier is None and "4 orientations" in space.about
    held_out = rotated(unlabelled(load(DataOptions("digits"), "test")))
    (path,) = tmp_path.glob("*.safetensors")
    net = cached_classifier(rotated(unlabelled(digits)), tmp_path)
    assert path.exists() and accuracy(net, held_out) > 0.7  # chance is 0.25


def test_rotated_images_are_labelled_by_rotation():
    image = torch.arange(16, dtype=torch.uint8).view(1, 1, 4, 4)
    square = rotated(ArrayData("one", "train", image, None, ImageSpec(1, 4, 4)))
    assert square.labels.tolist() == [0, 1, 2, 3] and torch.equal(square.images[2], image[0].flip(1, 2))
    wide = rotated(ArrayData("one", "train", image[:, :, :2], None, ImageSpec(1, 2, 4)))
    assert wide.images.shape == (4, 1, 2, 4) and torch.equal(wide.images[1], image[0, :, :2].flip(2))


def test_large_images_are_averaged_down_before_they_are_rotated(monkeypatch):
    images = torch.randint(0, 256, (5, 3, 128, 128), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(features, "_VALUES", 2 * 3 * 128 * 128)
    task = rotated(ArrayData("large", "train", images, None, ImageSpec(3, 128, 128)))
    assert task.images.shape == (20, 3, 64, 64) and task.spec.shape == (3, 64, 64)
    assert torch.equal(task.images[:5], F.avg_pool2d(images.float(), 2).round().byte())
    wide = rotated(ArrayData("wide", "train", images[:, :, :32], None, ImageSpec(3, 32, 128)))
    assert wide.images.shape == (20, 3, 16, 64) and wide.spec.classes[1] == "mirrored"


def test_the_recipe_of_rotated_images_names_what_was_averaged(monkeypatch):
    recipes = {}
    monkeypatch.setattr(features, "cached_classifier", lambda task, *where, **seed: Classifier(1, 4))
    for side in (64, 65):
        images = torch.zeros(1, 1, side, side, dtype=torch.uint8)
        data = ArrayData("some", "train", images, None, ImageSpec(1, side, side))
        recipes[side] = domain(data, None).recipe_hash
    assert recipes[64] == classifier_training.recipe_hash() != recipes[65]
