"""The baselines without a network, against closed forms."""

import pytest
import torch

from fromnoise.common.seeds import generator
from fromnoise.diagnosis.baselines import _Tiling, linear_filter, look_up
from fromnoise.diagnosis.noise_levels import choose_levels, denoising_errors
from fromnoise.diffusion.process import Linear, Uniform
from fromnoise.diffusion.vp import VPLinear

SHAPE = (1, 4, 4)


def gaussian(count, seed=0):
    """Images (N, 1, 4, 4) of a normal distribution with spread variances, and those variances."""
    random = generator(seed, "gaussian images")
    axes, _ = torch.linalg.qr(torch.randn(16, 16, generator=generator(0, "axes"), dtype=torch.float64))
    spread = torch.logspace(-2, 0, 16, dtype=torch.float64)
    x = (torch.randn(count, 16, generator=random, dtype=torch.float64) * spread.sqrt()) @ axes.T + 0.3
    return x.float().view(-1, *SHAPE), spread


@pytest.mark.parametrize("process", [Linear(), Linear(Uniform()), VPLinear()])
def test_the_linear_filter_reaches_wieners_error(process):
    known, spread = gaussian(20_000)
    fresh, _ = gaussian(1500, seed=1)
    levels = choose_levels(process, 0.5)
    found = denoising_errors(process, levels, fresh, None, linear_filter(process, known)).mean(1)
    alpha, sigma = process.scales(levels.times)
    noise = (sigma**2 * (1.0 if process.prior.gaussian else 1 / 12))[:, None]
    expected = (spread * noise / (alpha[:, None] ** 2 * spread + noise)).mean(1)
    assert torch.allclose(found, expected, rtol=0.06)


def test_the_look_up_is_the_posterior_mean():
    process, levels = Linear(), choose_levels(Linear(), 0.5)
    known = torch.stack([torch.full(SHAPE, -0.5), torch.full(SHAPE, 0.5)])
    predict = look_up(process, known)
    t = levels.times[3].repeat(1)
    xt = torch.full((1, *SHAPE), 0.04)
    alpha, sigma = process.scales(t)
    expected = 0.5 * torch.tanh(16 * 0.5 * alpha * 0.04 / sigma**2)
    assert predict(xt, t, None).mean() == pytest.approx(float(expected), rel=1e-4)
    assert look_up(Linear(Uniform()), known) is None


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (3, 20, 37)])
def test_tiling_and_back_is_the_identity(shape):
    x = torch.arange(2 * shape[0] * shape[1] * shape[2], dtype=torch.float32).view(2, *shape)
    tiling = _Tiling(shape)
    rows = tiling.rows(x)
    assert rows.shape[1] <= 1024 and torch.equal(tiling.images(rows), x)


def test_the_filter_of_tiles_learns_from_all_places():
    """Only the right half of the images varies, and they are so many that not all tiles are kept."""
    process, levels = Linear(), choose_levels(Linear(), 0.5)
    known = torch.zeros(20_000, 1, 16, 80)
    known[:, :, :, 32:] = torch.randn(20_000, 1, 1, 1, generator=generator(0, "brightness"))
    few = levels.times[-1].repeat(64)
    alpha, sigma = process.scales(few[:1])
    x0 = known[:64]
    xt = float(alpha) * x0 + float(sigma) * torch.randn(x0.shape, generator=generator(0, "noise"))
    assert float((linear_filter(process, known)(xt, few, None) - x0).square().mean()) < 0.01


def test_levels_of_a_table_are_its_entries():
    levels = choose_levels(VPLinear(), 0.5)
    assert torch.equal(levels.times, levels.times.round()) and len(levels.times) >= 8
    assert bool((levels.times[1:] < levels.times[:-1]).all())
    assert (
        levels.describe([0]) == "high noise" and levels.describe(list(range(len(levels.times)))) == "all noise levels"
    )
