"""Samplers against closed forms: a Gaussian has an exact map, a point mass is hit at any number of steps."""

import math

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler

from fromnoise.denoiser import Estimate
from fromnoise.errors import UsageError
from fromnoise.images import ImageSpec
from fromnoise.process import VE, Linear, Normal, Uniform, VPCosine, VPLinear, bcast
from fromnoise.samplers import SAMPLERS, sample, start_noise
from fromnoise.samplers.ddim import DDIM
from fromnoise.times import GRIDS, Trailing, UniformGrid

SPEC = ImageSpec(1, 2, 2)
MEAN, STD = 0.4, 0.5
DETERMINISTIC = {name: sampler for name, sampler in SAMPLERS.items() if not sampler.stochastic}


class Gaussian:
    """The exact denoiser of images whose every pixel is N(MEAN, STD^2), on any process with a normal prior."""

    spec = SPEC

    def __init__(self, process):
        self.process = process

    def __call__(self, xt, t, label=None):
        alpha, sigma = (bcast(v, xt) for v in self.process.scales(t))
        variance = alpha**2 * STD**2 + sigma**2
        x0 = MEAN + alpha * STD**2 / variance * (xt - alpha * MEAN)
        return Estimate(x0, (xt - alpha * x0) / sigma, x0)


class Point:
    """The denoiser of a single image, the constant MEAN."""

    spec = SPEC

    def __init__(self, process):
        self.process = process

    def __call__(self, xt, t, label=None):
        alpha, sigma = (bcast(v, xt) for v in self.process.scales(t))
        x0 = torch.full_like(xt, MEAN)
        return Estimate(x0, (xt - alpha * x0) / sigma, x0)


def walk(denoiser, sampler, grid, x):
    return list(sample(denoiser, seeds=range(len(x)), sampler=sampler, grid=grid, x=x))[-1].x


def exact(process, x, t):
    """The Gaussian's ODE map from time t to the clean image: standard scores do not change along the flow."""
    alpha, sigma = (float(v) for v in process.scales(torch.tensor([t])))
    return MEAN + STD * (x - alpha * MEAN) / math.sqrt(alpha**2 * STD**2 + sigma**2)


CASES = [
    (Linear(Normal()), "uniform"),
    (VPLinear(), "uniform"),
    (VE(0.002, 80.0), "karras"),
]


@pytest.mark.parametrize("name", DETERMINISTIC)
@pytest.mark.parametrize("process, grid", [CASES[0], CASES[2]], ids=str)
def test_error_falls_with_the_order(process, grid, name):
    start = float(process.scales(torch.tensor([process.t_max]))[1])
    x = torch.linspace(-2, 2, 8, dtype=torch.float64).view(2, 1, 2, 2) * start
    truth = exact(process, x, process.t_max)
    errors = []
    for steps in (40, 80, 160):
        got = walk(Gaussian(process), SAMPLERS[name], GRIDS[grid](process, steps), x)
        errors.append((got - truth).abs().max().item())
    order = math.log2(errors[0] / errors[2]) / 2
    # A first-order last or first step may cost a second-order method part of its order on a uniform grid.
    assert order > (0.85 if SAMPLERS[name].order == 1 else 1.3), (errors, order)
    assert errors[2] < 0.03


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_vp_comes_close_to_the_exact_map(name):
    """Linear betas are steep at the clean end, so that a uniform grid shows no clean order; the map is still met."""
    x = torch.linspace(-2, 2, 8, dtype=torch.float64).view(2, 1, 2, 2)
    got = walk(Gaussian(VPLinear()), SAMPLERS[name], UniformGrid()(VPLinear(), 500), x)
    truth = exact(VPLinear(), x * float(VPLinear().scales(torch.tensor([1000.0]))[1]), 1000.0)
    torch.testing.assert_close(got, truth, rtol=0, atol=0.01 if SAMPLERS[name].order == 1 else 0.003)


@pytest.mark.parametrize("steps", [1, 2, 3, 10])
@pytest.mark.parametrize("process", [Linear(Uniform()), Linear(Normal()), VPLinear(), VPCosine(), VE()], ids=str)
def test_a_point_mass_is_hit_exactly(process, steps):
    x = torch.randn(2, 1, 2, 2, dtype=torch.float64) * process.t_max
    for name in ("ddim", "dpmpp_2m"):
        got = walk(Point(process), SAMPLERS[name], UniformGrid()(process, steps), x)
        torch.testing.assert_close(got, torch.full_like(got, MEAN), rtol=0, atol=1e-10)


@pytest.mark.parametrize("steps", [1, 2])
@pytest.mark.parametrize("name", SAMPLERS)
def test_one_and_two_steps_are_finite(name, steps):
    for process, grid in CASES:
        x = torch.randn(2, 1, 2, 2, dtype=torch.float64)
        assert walk(Gaussian(process), SAMPLERS[name], GRIDS[grid](process, steps), x).isfinite().all()


def test_euler_is_ddim_on_straight_paths():
    x = torch.randn(2, 1, 2, 2, dtype=torch.float64)
    grid = UniformGrid()(Linear(), 7)
    ddim, euler = (walk(Gaussian(Linear()), SAMPLERS[name], grid, x) for name in ("ddim", "euler"))
    torch.testing.assert_close(ddim, euler, rtol=0, atol=1e-12)


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_ddim_steps_are_diffusers_steps(eta):
    """Step by step at the same timesteps with the same noise, diffusers given the noise that we imply."""
    process, steps = VPLinear(), 10
    scheduler = DDIMScheduler(clip_sample=False, timestep_spacing="trailing")
    scheduler.set_timesteps(steps)
    grid = Trailing()(process, steps)
    x = torch.randn(2, 1, 2, 2)
    for i in range(steps):
        t, s = grid[i].repeat(2), grid[i + 1].repeat(2)
        estimate, z = Gaussian(process)(x, t), torch.randn(2, 1, 2, 2)
        ours, _, _ = DDIM(eta).step(Gaussian(process), process, x, t, s, None, lambda z=z: z)
        theirs = scheduler.step(estimate.eps, int(grid[i]) - 1, x, eta=eta, variance_noise=z).prev_sample
        torch.testing.assert_close(ours, theirs, rtol=0, atol=2e-5)
        x = ours


def test_ddpm_is_diffusers_ddpm(monkeypatch):
    process, x = VPLinear(), torch.randn(2, 1, 2, 2)
    scheduler = DDPMScheduler(clip_sample=False, prediction_type="sample")  # eps would divide by a tiny alpha
    z = torch.randn(2, 1, 2, 2)
    monkeypatch.setattr("diffusers.schedulers.scheduling_ddpm.randn_tensor", lambda *a, **k: z)
    for k in (1000, 500, 50):  # nearer 1 the float32 tables of diffusers lose digits of 1 - abar
        t, s = torch.tensor([k, k]).double(), torch.tensor([k - 1, k - 1]).double()
        estimate = Gaussian(process)(x, t)
        ours, _, _ = DDIM(1.0).step(Gaussian(process), process, x, t, s, None, lambda: z)
        theirs = scheduler.step(estimate.x0, k - 1, x).prev_sample
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


def test_ancestral_sampling_keeps_the_variance():
    """Mean and variance carried exactly through the affine steps of the Gaussian's denoiser, no Monte Carlo."""
    process, grid = VPLinear(), Trailing()(VPLinear(), 250)
    ask = Gaussian(process)
    mean, variance = 0.0, 1.0
    one = torch.ones(1, 1, 2, 2, dtype=torch.float64)
    for i in range(250):
        t, s = grid[i].repeat(1), grid[i + 1].repeat(1)

        def step(x, z, t=t, s=s):
            return float(DDIM(1.0).step(ask, process, x * one, t, s, None, lambda: z * one)[0][0, 0, 0, 0])

        shift = step(0.0, 0.0)
        by_x, by_z = step(1.0, 0.0) - shift, step(0.0, 1.0) - shift
        mean, variance = by_x * mean + shift, by_x**2 * variance + by_z**2
    assert mean == pytest.approx(MEAN, abs=5e-3)
    assert math.sqrt(variance) == pytest.approx(STD, rel=0.05)


def test_the_uniform_prior_carries_the_weights_of_two_points():
    """Images are 0 with chance 0.3 and 1 with 0.7; many exact steps from uniform noise keep those weights."""

    class TwoPoints:
        spec, process = ImageSpec(1, 1, 1), Linear(Uniform())

        def __call__(self, xt, t, label=None):
            alpha, sigma = (bcast(v, xt) for v in self.process.scales(t))
            here = [((xt - alpha * m) >= 0) & ((xt - alpha * m) <= sigma) for m in (0.0, 1.0)]
            weight = torch.stack([0.3 * here[0], 0.7 * here[1]])
            x0 = weight[1] / weight.sum(0).clamp(min=1e-12)
            return Estimate(x0, (xt - alpha * x0) / sigma, x0)

    x = (torch.arange(1000, dtype=torch.float64).view(-1, 1, 1, 1) + 0.5) / 1000
    got = walk(TwoPoints(), SAMPLERS["ddim"], UniformGrid()(Linear(), 400), x)
    assert (got > 0.5).double().mean().item() == pytest.approx(0.7, abs=0.01)


def test_picture_i_comes_from_seed_i_alone():
    denoiser = Gaussian(VPLinear())
    grid = Trailing()(VPLinear(), 5)

    def pictures(seeds):
        return list(sample(denoiser, seeds=seeds, sampler=SAMPLERS["ddpm"], grid=grid))[-1].x

    together = pictures(range(6))
    torch.testing.assert_close(pictures([4]), together[4:5], rtol=0, atol=1e-6)
    torch.testing.assert_close(pictures([5, 0]), together[[5, 0]], rtol=0, atol=1e-6)
    assert not torch.equal(start_noise(Linear(), (1, 2, 2), [0]), start_noise(Linear(), (1, 2, 2), [1]))


def test_what_cannot_be_is_refused():
    with pytest.raises(UsageError, match="fall"):
        next(sample(Gaussian(Linear()), seeds=[0], sampler=DDIM(), grid=torch.tensor([0.0, 1.0])))
    with pytest.raises(UsageError, match="deterministic"):
        next(sample(Gaussian(Linear(Uniform())), seeds=[0], sampler=DDIM(1.0), grid=torch.tensor([1.0, 0.0])))
