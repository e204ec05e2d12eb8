"""EDM's stochastic step against algorithm 2 of Karras et al. 2022, written out in noise levels."""

import math

import pytest
import torch

from fromnoise.diffusion.process import VE, Linear
from fromnoise.diffusion.samplers import start_noise, walk
from fromnoise.diffusion.samplers.multistep import DPMpp
from fromnoise.diffusion.samplers.stochastic import EDMStochastic
from fromnoise.diffusion.time_grids import GRIDS
from fromnoise.testing import Gaussian

S_NOISE, S_MIN, S_MAX = 1.003, 0.05, 50.0  # the paper's, table 5, ImageNet


def denoised(x, level):
    """E[x0 | x] for images N(0.4, 0.5^2)."""
    return 0.4 + 0.25 / (0.25 + level**2) * (x - 0.4)


def algorithm_2(x, z, level, following, churn):
    gamma = min(churn, math.sqrt(2) - 1) if S_MIN <= level <= S_MAX else 0.0
    raised = level * (1 + gamma)
    x = x + math.sqrt(raised**2 - level**2) * S_NOISE * z
    slope = (x - denoised(x, raised)) / raised
    ahead = x + (following - raised) * slope
    later = (ahead - denoised(ahead, following)) / following
    return x + (following - raised) * (slope + later) / 2


@pytest.mark.parametrize("level, following", [(2.0, 1.0), (60.0, 30.0), (0.04, 0.02)])
@pytest.mark.parametrize("churn", [0.2, 0.4])
def test_a_step_is_algorithm_2s(level, following, churn):
    x, z = torch.linspace(-2, 2, 8, dtype=torch.float64).view(2, 1, 2, 2) * level, torch.ones(2, 1, 2, 2).double()
    t, s = (torch.full((2,), value, dtype=torch.float64) for value in (level, following))
    moved, _, _ = EDMStochastic(churn).step(Gaussian(VE()), VE(), x, t, s, None, lambda: z)
    torch.testing.assert_close(moved, algorithm_2(x, z, level, following, churn), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("order", [2, 3])
@pytest.mark.parametrize("churn", [3, 5, 8, 20, 80])
@pytest.mark.parametrize("steps, within", [(8, 0.03), (12, 0.17), (20, 0.17), (50, 0.07), (200, 0.02)])
def test_a_multistep_sampler_under_churn_keeps_the_spread_of_what_it_samples(order, steps, churn, within):
    """Images N(0.4, 0.5^2): what is remembered under other noise must not be extrapolated until it grows."""
    oracle, seeds = Gaussian(Linear()), range(48)
    x = start_noise(oracle.process, (1, 8, 8), seeds)
    grid = GRIDS["few_steps"](oracle.process, steps)
    *_, last = walk(oracle, x, seeds=seeds, sampler=DPMpp(order, churn / steps), grid=grid)
    assert float(last.x.std()) == pytest.approx(0.5, abs=within)
