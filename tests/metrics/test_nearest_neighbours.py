"""The nearest images are those of a plain search in float64; identical images are at exactly 0."""

import pytest
import torch

from fromnoise.common.errors import DataError
from fromnoise.common.image_spec import ImageSpec
from fromnoise.data.image_data import ArrayData
from fromnoise.data.mapped import map_pixels
from fromnoise.data.rows import Rows
from fromnoise.metrics.nearest_neighbours import nearest


def noise(count, *shape, seed=0, low=0, high=256):
    return torch.randint(low, high, (count, *shape), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def data_of(images):
    return ArrayData("noise", "train", images, None, ImageSpec(*images.shape[1:]))


def plain(samples, images, k):
    flat, others = samples.flatten(1).double(), images.flatten(1).double()
    squared = torch.stack([(others - one).square().mean(1) for one in flat])
    distances, indices = squared.sqrt().sort(dim=1, stable=True)
    return distances[:, :k], indices[:, :k]


@pytest.mark.parametrize("chunk", [1, 7, 300, 8192])
@pytest.mark.parametrize("k", [1, 3])
def test_it_equals_a_plain_search(k, chunk):
    images, samples = noise(300, 1, 8, 8), noise(20, 1, 8, 8, seed=1)
    distances, indices = nearest(samples, data_of(images), k=k, chunk=chunk)
    expected, where = plain(samples, images, k)
    assert distances.shape == indices.shape == (20, k)
    assert distances.dtype == torch.float32 and indices.dtype == torch.int64
    assert torch.equal(indices, where)
    torch.testing.assert_close(distances.double(), expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("shape", [(3, 48, 48), (1, 28, 28)])
def test_bright_images_that_differ_little_do_not_cancel(shape):
    images = noise(400, *shape, low=253)
    samples = images[:30].clone()
    samples[:, 0, 0, 0] ^= 3
    distances, indices = nearest(samples, data_of(images), k=2)
    expected, where = plain(samples, images, 2)
    assert torch.equal(indices[:, 0], torch.arange(30)) and torch.equal(indices, where)
    torch.testing.assert_close(distances.double(), expected, rtol=1e-6, atol=0)


def test_identical_images_are_at_exactly_zero():
    images = noise(500, 3, 16, 16)
    distances, indices = nearest(images[[7, 250, 499]], data_of(images))
    assert indices[:, 0].tolist() == [7, 250, 499] and distances[:, 0].tolist() == [0.0, 0.0, 0.0]


def test_one_pixel_is_measured_in_grey_levels():
    images = torch.zeros(5, 1, 2, 2, dtype=torch.uint8)
    images[1:] = 200
    sample = torch.zeros(1, 1, 2, 2, dtype=torch.uint8)
    sample[0, 0, 0, 0] = 40
    distances, indices = nearest(sample, data_of(images))
    assert indices.item() == 0 and distances.item() == 20.0  # sqrt(40^2 / 4)
    assert nearest(255 - images[:1], data_of(images[:1]))[0].item() == 255.0


def test_of_equals_the_earlier_comes_first():
    images = noise(1, 1, 4, 4).repeat(6, 1, 1, 1)
    assert nearest(images[:2], data_of(images), k=6)[1].tolist() == [[0, 1, 2, 3, 4, 5]] * 2


def test_large_images_are_taken_in_small_blocks(monkeypatch):
    fetched = []
    images, samples = noise(40, 3, 32, 32), noise(9, 3, 32, 32, seed=1)
    data = data_of(images)
    monkeypatch.setattr("fromnoise.metrics.nearest_neighbours._VALUES", 10 * 3 * 32 * 32)
    monkeypatch.setattr(ArrayData, "fetch", lambda self, i: fetched.append(len(i)) or (self.images[i], None))
    _, indices = nearest(samples, data, k=2)
    assert max(fetched) <= 12 and fetched[:4] == [10, 10, 10, 10]
    assert torch.equal(indices, plain(samples, images, 2)[1])


@pytest.mark.parametrize("mirrored", [False, True])
def test_samples_in_a_file_are_read_in_parts(tmp_path, monkeypatch, mirrored):
    images, samples = noise(60, 3, 8, 8), noise(50, 3, 8, 8, seed=1)
    (tmp_path / "samples").write_bytes(samples.numpy().tobytes())
    stored, read, whole = Rows(map_pixels(tmp_path / "samples", samples.shape)), [], Rows.__getitem__
    monkeypatch.setattr("fromnoise.metrics.nearest_neighbours._VALUES", 2 * 3 * 8 * 8)
    expected = nearest(samples, data_of(images), k=2, mirrored=mirrored)
    monkeypatch.setattr(Rows, "__getitem__", lambda self, key: read.append(whole(self, key)) or read[-1])
    found = nearest(stored, data_of(images), k=2, mirrored=mirrored)
    assert all(map(torch.equal, found, expected)) and [len(part) for part in read] == [32, 18]
    none = nearest(stored.select(torch.arange(0)), data_of(images), k=2, mirrored=mirrored)
    assert [part.shape for part in none] == [(0, 2), (0, 2)]


def test_more_samples_than_a_block():
    images, samples = noise(50, 1, 4, 4), noise(1100, 1, 4, 4, seed=1)
    distances, _ = nearest(samples, data_of(images))
    torch.testing.assert_close(distances.double(), plain(samples, images, 1)[0], rtol=1e-6, atol=0)


def test_no_samples_have_no_neighbours():
    distances, indices = nearest(noise(0, 1, 4, 4), data_of(noise(5, 1, 4, 4)), k=2)
    assert distances.shape == indices.shape == (0, 2)


def test_what_cannot_be_compared_is_refused():
    data = data_of(noise(5, 1, 4, 4))
    with pytest.raises(DataError, match=r"uint8 \(2, 3, 4, 4\).*\(N, 1, 4, 4\)"):
        nearest(noise(2, 3, 4, 4), data)
    with pytest.raises(DataError, match="float32"):
        nearest(torch.zeros(2, 1, 4, 4), data)
    for k in (0, 6):
        with pytest.raises(DataError, match=rf"\b{k}\b.*\b1 to 5\b"):
            nearest(noise(2, 1, 4, 4), data, k=k)
