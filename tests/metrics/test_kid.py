"""The kernel distance against scikit-learn's kernel; unbiased, with an honest error."""

import pytest
import torch
from sklearn.metrics.pairwise import polynomial_kernel

from fromnoise.common.errors import DataError
from fromnoise.common.seeds import generator
from fromnoise.metrics.kid import kernel_difference, kernel_distance


def normal(count, dim, seed=0, shift=0.0):
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(seed)) + shift


def by_sklearn(x, y):
    xx, yy, xy = (polynomial_kernel(a, b, degree=3, gamma=None, coef0=1) for a, b in ((x, x), (y, y), (x, y)))
    n, m = len(x), len(y)
    return (xx.sum() - xx.trace()) / (n * (n - 1)) + (yy.sum() - yy.trace()) / (m * (m - 1)) - 2 * xy.mean()


@pytest.mark.parametrize("counts", [(40, 25), (4, 4), (203, 61)])
def test_it_is_the_unbiased_estimate_with_scikit_learns_kernel(counts):
    x, y = normal(counts[0], 6, 1).double(), normal(counts[1], 6, 2, shift=0.5).double()
    assert kernel_distance(x, y).value == pytest.approx(by_sklearn(x.numpy(), y.numpy()), rel=1e-10)


def test_the_error_is_that_of_leaving_out_one_group_after_the_other():
    x, y = normal(40, 3, 1).double(), normal(60, 3, 2, shift=0.3).double()
    ours = x[torch.randperm(40, generator=generator(0, "kernel", 0))].view(20, 2, 3)
    theirs = y[torch.randperm(60, generator=generator(0, "kernel", 1))].view(20, 3, 3)
    kept = [[i for i in range(20) if i != g] for g in range(20)]
    without = [by_sklearn(ours[k].flatten(0, 1).numpy(), theirs[k].flatten(0, 1).numpy()) for k in kept]
    spread = sum((one - sum(without) / 20) ** 2 for one in without) * 19 / 20
    assert kernel_distance(x, y).stderr == pytest.approx(spread**0.5, rel=1e-8)


def test_the_difference_of_pairs_is_known_better_than_either():
    y, found = normal(300, 4, 99), []
    for seed in range(60):
        x = normal(200, 4, seed, shift=0.5)
        found.append((kernel_difference(x + 0.05, x, y), kernel_distance(x + 0.05, y), kernel_distance(x, y)))
    difference, first, second = found[0]
    assert difference.value == pytest.approx(first.value - second.value, rel=1e-9)
    assert difference.stderr < second.stderr / 4
    values = torch.tensor([one[0].value for one in found])
    errors = torch.tensor([one[0].stderr for one in found])
    assert float(errors.square().mean().sqrt()) == pytest.approx(float(values.std()), rel=0.3)


def test_of_many_rows_only_some_are_taken():
    x, y = normal(500, 4), normal(400, 4, 1)
    some = kernel_distance(x, y, most=50)
    assert some.value != kernel_distance(x, y).value and some.stderr > kernel_distance(x, y).stderr


def test_no_bias_and_an_error_that_holds():
    found = [kernel_distance(normal(100, 4, 2 * seed), normal(150, 4, 2 * seed + 1)) for seed in range(80)]
    values = torch.tensor([one.value for one in found])
    assert abs(float(values.mean())) < 3 * float(values.std()) / 80**0.5
    errors = torch.tensor([one.stderr for one in found])
    assert 1 < float(errors.square().mean().sqrt()) / float(values.std()) < 1.9  # careful on sets of one kind
    apart = [kernel_distance(normal(100, 4, 2 * s, shift=0.7), normal(150, 4, 2 * s + 1)) for s in range(80)]
    error = torch.tensor([one.stderr for one in apart]).square().mean().sqrt()
    assert float(error) == pytest.approx(float(torch.tensor([one.value for one in apart]).std()), rel=0.25)
    far = kernel_distance(normal(100, 4), normal(150, 4, 1, shift=1.0))
    assert far.value > 5 * far.stderr


def test_the_seed_decides_the_groups_and_they_the_error_alone():
    x, y = normal(100, 4), normal(100, 4, 1)
    first, other = kernel_distance(x, y), kernel_distance(x, y, seed=1)
    assert first == kernel_distance(x, y)
    assert first.value == pytest.approx(other.value) and first.stderr != other.stderr


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(DataError, match=r"\b3\b.*at least 4"):
        kernel_distance(normal(3, 2), normal(9, 2))
    with pytest.raises(DataError, match=r"\b3\b.*at least 4"):
        kernel_distance(normal(9, 2), normal(3, 2))
    with pytest.raises(DataError, match=r"\b2\b.*\b3\b"):
        kernel_distance(normal(9, 2), normal(9, 3))
