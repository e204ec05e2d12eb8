"""The Fréchet distance against scipy's matrix root and closed forms; its interval, its limit, its files."""

import io
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import torch

from fromnoise.common.errors import DataError, WriteError
from fromnoise.metrics.frechet import (
    Statistics,
    _weighted,
    frechet_distance,
    frechet_infinite,
    frechet_interval,
    load_statistics,
    save_statistics,
    statistics,
)


def normal(count, dim, seed=0, scale=1.0, shift=0.0):
    random = torch.Generator().manual_seed(seed)
    return torch.randn(count, dim, generator=random, dtype=torch.float64) * scale + shift


def mixed(count, dim, seed):
    return normal(count, dim, seed) @ normal(dim, dim, seed + 100) + normal(1, dim, seed + 200)


def gaussian(mu, sigma):
    return Statistics(torch.as_tensor(mu).double(), torch.as_tensor(sigma).double(), 0)


def by_scipy(a, b):
    root = scipy.linalg.sqrtm(a.sigma.numpy() @ b.sigma.numpy()).real
    gap = ((a.mu - b.mu) ** 2).sum()
    return float(gap + a.sigma.trace() + b.sigma.trace() - 2 * np.trace(root))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_statistics_are_those_of_numpy(dtype):
    features = (mixed(5000, 7, 1) + 1000).to(dtype)  # more than one piece, and far from the origin
    found = statistics(features)
    assert found.mu.dtype == found.sigma.dtype == torch.float64 and found.count == 5000
    np.testing.assert_allclose(found.mu, features.double().numpy().mean(0), rtol=1e-12)
    np.testing.assert_allclose(found.sigma, np.cov(features.double().numpy(), rowvar=False), rtol=1e-9, atol=1e-9)


def test_statistics_refuse_what_has_none():
    with pytest.raises(DataError, match=r"\b1\b.*at least 2"):
        statistics(torch.zeros(1, 3))
    with pytest.raises(DataError, match="finite"):
        statistics(torch.tensor([[0.0, 1.0], [float("nan"), 0.0]]))


@pytest.mark.parametrize("dim", [1, 2, 16, 64])
def test_distance_is_that_of_scipy(dim):
    a, b = statistics(mixed(300, dim, 1)), statistics(mixed(200, dim, 2))
    assert frechet_distance(a, b) == pytest.approx(by_scipy(a, b), rel=1e-6)
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-9)


def test_diagonal_gaussians_have_a_closed_form():
    a = gaussian([0.0, 1.0, 2.0], torch.diag(torch.tensor([1.0, 4.0, 9.0])))
    b = gaussian([1.0, 1.0, 0.0], torch.diag(torch.tensor([4.0, 4.0, 0.0])))
    assert frechet_distance(a, b) == pytest.approx(1 + 4 + (2 - 1) ** 2 + 0 + 3**2, rel=1e-12)


def test_a_rotation_of_the_space_changes_nothing():
    turn, _ = torch.linalg.qr(normal(5, 5, 3))
    values, others = torch.tensor([1.0, 2, 3, 4, 5]).double(), torch.tensor([5.0, 1, 1, 0.5, 0]).double()
    a = gaussian(torch.zeros(5), turn * values @ turn.T)
    b = gaussian(torch.ones(5) @ turn.T.float(), turn * others @ turn.T)
    expected = 5 + float((values.sqrt() - others.sqrt()).square().sum())
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-6)


def test_two_rotated_gaussians_of_the_plane():
    # tr (AB)^1/2 of 2x2 matrices = sqrt(tr AB + 2 sqrt(det A det B))
    turn = torch.tensor([[0.8, -0.6], [0.6, 0.8]]).double()
    a, b = torch.diag(torch.tensor([9.0, 1.0]).double()), turn * torch.tensor([4.0, 0.25]).double() @ turn.T
    shared = ((a @ b).trace() + 2 * (a.det() * b.det()).sqrt()).sqrt()
    expected = float(a.trace() + b.trace() - 2 * shared)
    assert frechet_distance(gaussian([0, 0], a), gaussian([0, 0], b)) == pytest.approx(expected, rel=1e-10)


def test_covariances_without_full_rank():
    few = statistics(mixed(10, 40, 1))
    assert 0 <= frechet_distance(few, few) < 1e-5 * float(few.sigma.trace())
    point = gaussian(torch.zeros(40), torch.zeros(40, 40))
    assert frechet_distance(few, point) == pytest.approx(float(few.mu.square().sum() + few.sigma.trace()), rel=1e-12)


def test_unlike_dimensions_are_refused():
    a, b = statistics(normal(10, 3)), statistics(normal(10, 4))
    for refused in (
        lambda: frechet_distance(a, b),
        lambda: frechet_interval(normal(10, 3), b),
        lambda: frechet_infinite(normal(10, 3), b),
    ):
        with pytest.raises(DataError, match=r"\b3\b.*\b4\b"):
            refused()


def test_interval_covers_the_distance_of_other_samples():
    reference = gaussian(torch.zeros(4), torch.eye(4))
    sets = [normal(200, 4, seed, scale=1.3, shift=0.3) for seed in range(60)]
    expected = sum(frechet_distance(statistics(features), reference) for features in sets) / 60
    bounds = [frechet_interval(features, reference, repeats=60, seed=1) for features in sets]
    held = sum(low <= expected <= high for low, high in bounds)
    assert 50 <= held <= 60  # 57 of 60 in the mean
    narrow = [frechet_interval(features, reference, level=0.5, repeats=60, seed=1) for features in sets]
    assert 18 <= sum(low <= expected <= high for low, high in narrow) <= 42


def test_interval_lies_around_the_figure_and_not_around_the_resampled_ones():
    # With 100 samples in 30 dimensions each resampled distance is far above the measured one.
    reference, features = gaussian(torch.zeros(30), torch.eye(30)), normal(100, 30)
    figure = frechet_distance(statistics(features), reference)
    low, high = frechet_interval(features, reference)
    assert low < figure < high and high - low < figure
    again = normal(100, 30)[torch.randint(100, (100,), generator=torch.Generator().manual_seed(1))]
    assert frechet_distance(statistics(again), reference) > high


def test_weighted_rows_count_as_often_as_they_say():
    features, weights = mixed(4500, 3, 1), torch.randint(4, (4500,), generator=torch.Generator().manual_seed(1))
    mu, sigma = _weighted(features, weights, torch.full((3,), 2.0).double())
    np.testing.assert_allclose(mu, np.average(features, axis=0, weights=weights), rtol=1e-9)
    np.testing.assert_allclose(sigma, np.cov(features, rowvar=False, fweights=weights), rtol=1e-9)


def test_interval_depends_on_the_seed_alone_and_stays_above_zero():
    reference = gaussian(torch.zeros(2), torch.eye(2))
    features = normal(50, 2)
    first = frechet_interval(features, reference, seed=3)
    assert first == frechet_interval(features, reference, seed=3) != frechet_interval(features, reference, seed=4)
    assert min(frechet_interval(normal(4, 2), reference, level=0.99)) >= 0


def test_resampled_sets_are_fewer_where_they_are_dear(monkeypatch):
    made = []
    monkeypatch.setattr("fromnoise.metrics.frechet._WORK", 1.0)
    monkeypatch.setattr(
        "fromnoise.metrics.frechet._weighted", lambda *given: made.append(1) or (torch.zeros(2), torch.eye(2).double())
    )
    frechet_interval(normal(50, 2), gaussian([0, 0], torch.eye(2)))
    assert len(made) == 20


def test_limit_removes_the_bias_of_few_samples():
    reference = gaussian(torch.zeros(20), torch.eye(20))
    features = normal(2000, 20)
    figure = frechet_distance(statistics(features), reference)
    found = [frechet_infinite(features, reference, seed=seed).value for seed in range(4)]
    assert figure > 0.05 and all(abs(limit) < figure / 2 for limit in found)
    again = frechet_infinite(features, reference, seed=0).value
    assert found[0] == pytest.approx(again, rel=1e-12) and found[0] != found[1]
    shifted = frechet_infinite(features + 1, reference).value
    assert shifted == pytest.approx(20, rel=0.05)


@pytest.mark.parametrize("shift, most", [(0.0, 2.5), (0.5, 1.6), (2.0, 1.6)])
def test_the_error_of_the_limit_is_its_scatter_about_the_closed_form(shift, most):
    """The distance of N(shift, I) to N(0, I) is d shift^2."""
    reference, dim = gaussian(torch.zeros(6), torch.eye(6)), 6
    limits = [frechet_infinite(normal(200, dim, seed, shift=shift), reference) for seed in range(40)]
    values, errors = (torch.tensor([getattr(one, name) for one in limits]) for name in ("value", "stderr"))
    scatter = float(values.std())
    assert abs(float(values.mean()) - dim * shift**2) < 4 * scatter / 40**0.5
    assert 0.7 < float(errors.mean()) / scatter < most
    assert ((values - dim * shift**2).abs() < 2 * errors).sum() >= 34


def test_few_images_have_no_limit():
    """Eight for each dimension that the features fill and four for each in all: of ten, 80; or 40, where few vary."""
    whole, flat = torch.eye(10), torch.diag(torch.tensor([1.0] * 2 + [1e-3] * 8))
    for covariance, least in ((whole, 80), (flat, 40)):
        reference = gaussian(torch.zeros(10), covariance)
        assert frechet_infinite(normal(least - 1, 10), reference) is None
        assert frechet_infinite(normal(least, 10), reference) is not None


def test_statistics_come_back_as_they_were(tmp_path):
    kept = statistics(normal(30, 5))
    save_statistics(tmp_path / "new" / "real.npz", kept)
    found, space = load_statistics(tmp_path / "new" / "real.npz")
    assert torch.equal(found.mu, kept.mu) and torch.equal(found.sigma, kept.sigma) and found.count == 30
    assert space == ""
    save_statistics(tmp_path / "new" / "real.npz", kept, "domain 1a2b")
    assert load_statistics(tmp_path / "new" / "real.npz")[1] == "domain 1a2b"
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["real.npz"]


def test_files_of_others_have_no_count_and_may_be_float32(tmp_path):
    np.savez_compressed(tmp_path / "edm.npz", mu=np.ones(3, np.float32), sigma=np.eye(3, dtype=np.float32))
    found, _ = load_statistics(str(tmp_path / "edm.npz"))
    assert found.count == 0 and found.mu.dtype == found.sigma.dtype == torch.float64
    assert torch.equal(found.sigma, torch.eye(3).double())


def test_a_place_that_cannot_be_written_keeps_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "real.npz"
    kept = statistics(normal(30, 5))
    save_statistics(path, kept)
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(WriteError, match=r"real\.npz.*No space left"):
        save_statistics(path, statistics(normal(40, 5)))
    assert load_statistics(path)[0].count == 30 and len(list(tmp_path.iterdir())) == 1
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteError):
        save_statistics(tmp_path / "file" / "real.npz", kept)


def packed(**arrays):
    held = io.BytesIO()
    np.savez(held, **arrays)
    return held.getvalue()


GOOD = packed(mu=np.zeros(3), sigma=np.eye(3))


class Trap:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was opened",))


def single():
    held = io.BytesIO()
    np.save(held, np.zeros(3))
    return held.getvalue()


def zipped():
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr("mu.npy", b"hello")
        archive.writestr("sigma.npy", b"")
    return held.getvalue()


BAD = {
    "empty": (b"", r"real.*\.npz.*\.npz"),
    "text": (b"mu,sigma\n0,1\n", r"real.*\.npz.*\.npz"),
    "npy": (single(), r"real.*\.npz.*\.npz"),
    "cut": (GOOD[: len(GOOD) // 2], r"real.*\.npz.*\.npz"),
    "flipped": (GOOD[:150] + bytes([GOOD[150] ^ 255]) + GOOD[151:], r"real.*\.npz.*\.npz"),
    "members": (zipped(), r"\bmu\b.*\bsigma\b.*\bcount\b"),
    "pickle": (packed(mu=np.array([Trap()] * 3), sigma=np.eye(3)), r"real.*\.npz.*\.npz"),
    "no sigma": (packed(mu=np.zeros(3)), r"real\.npz.*\bsigma\b"),
    "neither": (packed(mean=np.zeros(3)), r"real\.npz.*\bmu\b.*\bsigma\b"),
    "words": (packed(mu=np.array(["a", "b"]), sigma=np.eye(2)), r"\bmu\b.*\bsigma\b.*\bcount\b"),
    "complex": (packed(mu=np.zeros(2), sigma=np.eye(2) * 1j), r"\bmu\b.*\bsigma\b.*\bcount\b"),
    "count": (packed(mu=np.zeros(2), sigma=np.eye(2), count=np.zeros(2)), r"\bmu\b.*\bsigma\b.*\bcount\b"),
    "square": (packed(mu=np.zeros(3), sigma=np.zeros((3, 2))), r"\(3,\).*\(3, 2\)"),
    "other d": (packed(mu=np.zeros(3), sigma=np.eye(4)), r"\(3,\).*\(4, 4\)"),
    "flat": (packed(mu=np.zeros((1, 3)), sigma=np.eye(3)), r"\(1, 3\).*\(3, 3\)"),
    "nothing": (packed(mu=np.zeros(0), sigma=np.zeros((0, 0))), r"\(0,\).*\(0, 0\)"),
    "nan": (packed(mu=np.array([np.nan, 0]), sigma=np.eye(2)), r"\bmu\b.*finite"),
    "inf": (packed(mu=np.zeros(2), sigma=np.full((2, 2), np.inf)), r"\bmu\b.*finite"),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.filterwarnings("error")
def test_bad_files_are_refused_in_one_sentence(name, tmp_path):
    path = tmp_path / "real.npz"
    path.write_bytes(BAD[name][0])
    with pytest.raises(DataError, match=BAD[name][1]) as caught:
        load_statistics(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value) and caught.value.exit_code == 3


def test_any_damaged_byte_is_refused_or_harmless(tmp_path):
    path = tmp_path / "real.npz"
    for place in range(0, len(GOOD), 7):
        path.write_bytes(GOOD[:place] + bytes([GOOD[place] ^ 85]) + GOOD[place + 1 :])
        try:
            found, _ = load_statistics(path)
        except DataError:
            continue
        assert torch.equal(found.sigma, torch.eye(3).double()), place  # a date or the like


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"none\.npz.*No such file"):
        load_statistics(tmp_path / "none.npz")
    with pytest.raises(DataError, match=re.escape(str(tmp_path))):
        load_statistics(tmp_path)
