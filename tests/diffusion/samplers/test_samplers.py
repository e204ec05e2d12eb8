"""Samplers against closed forms: each keeps its promises, attains its order, and is refused where it cannot be."""

import itertools
import math
from dataclasses import dataclass, replace

import pytest
import torch

from fromnoise.common.errors import UsageError
from fromnoise.common.image_spec import ImageSpec
from fromnoise.diffusion.guidance import extrapolate
from fromnoise.diffusion.process import VE, Linear, Uniform
from fromnoise.diffusion.samplers import SAMPLERS, sample, start_noise, walk
from fromnoise.diffusion.samplers.ddim import DDIM
from fromnoise.diffusion.samplers.euler import Euler, Heun
from fromnoise.diffusion.samplers.multistep import UniPC, mean_weights
from fromnoise.diffusion.samplers.registry import LESS_ON_PEAKS, ORDERS, STATED_ON
from fromnoise.diffusion.samplers.stochastic import EDMStochastic
from fromnoise.diffusion.time_grids import GRIDS, UniformGrid, recommended_grid
from fromnoise.diffusion.vp import VPCosine, VPLinear
from fromnoise.testing import Gaussian, Mixture, Point, TwoPoints, attained_order, check_sampler
from fromnoise.testing.cases import PROCESS_CASES
from fromnoise.testing.orders import start

DETERMINISTIC = {name: sampler for name, sampler in SAMPLERS.items() if not sampler.stochastic}
STATED_FOR = {
    "vp_zero": "vp_cosine",
    "vp_limit": "vp",
    "vp_scaled_limit": "vp_scaled",
    "vp_cosine_limit": "vp_cosine",
    **{name: name for name in STATED_ON},
}


def end(denoiser, sampler, grid, x):
    return list(walk(denoiser, x, seeds=range(len(x)), sampler=sampler, grid=grid))[-1].x


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_keeps_its_promises(name):
    check_sampler(SAMPLERS[name])


@pytest.mark.parametrize("kind", STATED_FOR)
@pytest.mark.parametrize("name", DETERMINISTIC)
def test_the_stated_order_is_the_measured_one(name, kind):
    stated, process = ORDERS[name][STATED_ON.index(STATED_FOR[kind])], PROCESS_CASES[kind]
    if stated is None:
        with pytest.raises(UsageError):
            SAMPLERS[name].check(process)
        return
    assert attained_order(SAMPLERS[name], process, GRIDS[recommended_grid(process)]) == pytest.approx(stated, abs=0.2)


@pytest.mark.parametrize("kind", ["linear", "vp", "vp_scaled"])
@pytest.mark.parametrize("name", DETERMINISTIC)
def test_on_narrow_peaks_an_order_is_less_by_what_is_stated_at_most(name, kind):
    stated, process = ORDERS[name][STATED_ON.index(kind)], PROCESS_CASES[kind]
    if stated is not None:
        grid = GRIDS[recommended_grid(process)]
        assert attained_order(SAMPLERS[name], process, grid, Mixture(process)) >= stated - LESS_ON_PEAKS


@dataclass(frozen=True)
class Guided(Mixture):
    """Two of three peaks, guided away from all three between two times, each step wholly or not at all."""

    inside: tuple[float, float] = (0.25, 0.92)
    stated: bool = True

    def __call__(self, xt, t, label=None):
        own = Mixture(self.process, self.spec, (0.5, 0.5), self.means[:2], self.stds[:2])(xt, t)
        if not self.inside[0] <= float(t[0]) <= self.inside[1]:
            return own
        guided = extrapolate(super().__call__(xt, t), own, 1.5)
        return replace(guided, guidance=1.5) if self.stated else guided


def guided_flow(oracle, x, grid, steps=200):
    """Midpoint steps within each step of `grid`, whose start says whether it is guided."""
    for t, s in itertools.pairwise(grid.tolist()):
        times = torch.linspace(t, s, steps + 1, dtype=torch.float64)
        always = replace(oracle, inside=(-1, 2) if oracle.inside[0] <= t <= oracle.inside[1] else (2, 2))
        for a, b in itertools.pairwise(times):
            middle = ((a + b) / 2).repeat(len(x))
            first = always(x, a.repeat(len(x)))
            slope = always(x + (b - a) / 2 * (first.eps - first.x0), middle)
            x = x + (b - a) * (slope.eps - slope.x0)
    return x


@pytest.mark.parametrize("name, gain", [("unipc_3", 1.0), ("dpmpp_3m", 1.0), ("ipndm_4", 1.5)])
def test_high_orders_fall_back_where_guidance_begins_and_ends(name, gain):
    """In few steps they were up to three times as far from the guided flow as the second order is."""
    process, x = Linear(), torch.linspace(-2, 2, 33, dtype=torch.float64).view(-1, 1, 1, 1)
    oracle = Guided(process, ImageSpec(1, 1, 1))
    grids = [GRIDS["few_steps"](process, steps) for steps in (5, 8, 10)]
    truths = [guided_flow(oracle, x, grid) for grid in grids]

    def distance(sampler, stated=True):
        ends = [end(replace(oracle, stated=stated), SAMPLERS[sampler], grid, x) for grid in grids]
        return sum(float((one - truth).square().mean()) for one, truth in zip(ends, truths, strict=True)) ** 0.5

    assert gain * distance(name) < distance(name, stated=False)
    assert distance(name) < 1.5 * distance("unipc_2")


def test_the_second_order_keeps_its_memory_across_guidance():
    process = Linear()
    oracle, grid = Guided(process, ImageSpec(1, 1, 1)), GRIDS["few_steps"](process, 5)
    x = torch.linspace(-2, 2, 9, dtype=torch.float64).view(-1, 1, 1, 1)
    for name in ("unipc_2", "dpmpp_2m"):
        assert torch.equal(*(end(replace(oracle, stated=said), SAMPLERS[name], grid, x) for said in (True, False)))


def test_euler_is_ddim_on_straight_paths_and_in_noise_levels():
    for process, sampler in [(Linear(), Euler("native")), (VPLinear(), Euler()), (VE(), Euler("sigma"))]:
        grid = GRIDS[recommended_grid(process)](process, 7)
        x = start(Gaussian(process), process.t_max)
        ddim, euler = (end(Gaussian(process), one, grid, x) for one in (DDIM(), sampler))
        torch.testing.assert_close(ddim, euler, rtol=0, atol=1e-11)


def test_mix_and_euler_ancestral_are_other_names():
    assert SAMPLERS["euler_ancestral"] == SAMPLERS["ddpm"] == DDIM(eta=1.0)
    process, x = Linear(Uniform()), torch.rand(2, 1, 2, 2, dtype=torch.float64)
    ends = [end(TwoPoints(process), SAMPLERS[name], UniformGrid()(process, 5), x) for name in ("mix", "ddim")]
    assert torch.equal(*ends)
    with pytest.raises(UsageError, match=r"'mix'.*'ddim'"):
        SAMPLERS["mix"].check(VPLinear())


def test_heun_in_native_time_on_ve_is_edms_algorithm():
    """Algorithm 1 of Karras et al. 2022, written out, but for the step into t_min: its slope is (x - D) / sigma."""
    process, oracle, grid = VE(), Gaussian(VE()), GRIDS["karras"](VE(), 9)
    x = start(oracle, 80.0)
    ours = end(oracle, Heun("native"), grid, x)
    for t, s in itertools.pairwise(grid):
        slope = (x - oracle(x, t.repeat(2)).x0) / t
        ahead = x + (s - t) * slope
        if s > process.t_min:
            slope = (slope + (ahead - oracle(ahead, s.repeat(2)).x0) / s) / 2
        x = x + (s - t) * slope
    torch.testing.assert_close(ours, x, rtol=0, atol=1e-10)
    assert process.t_min == 0.002


@pytest.mark.parametrize("kind", [kind for kind, process in PROCESS_CASES.items() if process.t_min])
def test_the_step_into_the_least_time_takes_one_evaluation_to_the_bit(kind):
    """On every process as many, and in five steps no further from the flow than with a correction there."""
    process = PROCESS_CASES[kind]
    oracle, grid = Mixture(process), GRIDS["karras"](process, 5)
    x = start(oracle, process.t_max)
    *_, last = walk(oracle, x, seeds=[0, 1], sampler=Heun(), grid=grid)
    assert last.evaluations == 2 * 3 + 1 + 1
    above = grid.clone()
    above[-2] *= 1.001  # where it counts as a step of its own
    truth, corrected = oracle.flow(x, float(grid[0]), 0.0), end(oracle, Heun(), above, x)
    assert 1.2 * (last.x - truth).square().mean() < (corrected - truth).square().mean()


def test_churn_without_churn_is_heun():
    oracle, grid = Gaussian(VE()), GRIDS["karras"](VE(), 9)
    x = start(oracle, 80.0)
    assert torch.equal(end(oracle, EDMStochastic(churn=0.0), grid, x), end(oracle, Heun(), grid, x))
    assert not torch.equal(end(oracle, EDMStochastic(churn=0.2), grid, x), end(oracle, Heun(), grid, x))


@pytest.mark.parametrize("h", [0.05, 1.0, 7.0])
def test_the_mean_through_x0_predictions_is_exact_for_polynomials(h):
    """int w u^k du by parts: m_k = 1 / (1 - e^-h) - k m_(k-1) / h."""
    nodes, moments = [0.0, -0.7, -1.9], [1.0]
    for k in (1, 2):
        moments.append(-1 / math.expm1(-h) - k / h * moments[-1])
    weights = mean_weights(nodes, h)
    for k in range(3):
        assert sum(w * u**k for w, u in zip(weights, nodes, strict=True)) == pytest.approx(moments[k], abs=1e-9)


def test_unipc_mends_at_no_further_evaluation():
    evaluated, process = [], VPLinear()

    class Counting(Gaussian):
        def __call__(self, xt, t, label=None):
            evaluated.append(float(t[0]))
            return super().__call__(xt, t, label)

    grid = GRIDS["karras"](process, 6)
    steps = list(walk(Counting(process), start(Gaussian(process), 1000.0), seeds=[0, 1], sampler=UniPC(2), grid=grid))
    assert evaluated == grid[:-1].tolist() and [step.evaluations for step in steps] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("process", [VPCosine(), Linear()], ids=str)
@pytest.mark.parametrize("name", DETERMINISTIC)
def test_sampling_may_start_where_nothing_of_the_image_is_left(process, name):
    if name == "mix" and not isinstance(process, Linear):
        return
    got = end(Point(process), SAMPLERS[name], UniformGrid()(process, 4), start(Point(process), process.t_max))
    assert got.isfinite().all()


def test_the_uniform_prior_carries_the_weights_of_two_points():
    """Images are 0 with chance 0.3 and 1 with 0.7; many exact steps from uniform noise keep those weights."""
    process = Linear(Uniform())
    oracle = TwoPoints(process, spec=ImageSpec(1, 1, 1))
    x = (torch.arange(1000, dtype=torch.float64).view(-1, 1, 1, 1) + 0.5) / 1000
    for name in ("ddim", "euler", "heun", "dpmpp_2m", "unipc_2"):
        got = end(oracle, SAMPLERS[name], UniformGrid()(process, 400), x)
        assert (got > 0.5).double().mean().item() == pytest.approx(0.7, abs=0.01), name


def test_renoising_halves_the_variance_and_states_it():
    """With a denoiser that returns the mean, only the last x0 prediction is left: its variance, not the data's."""
    process, oracle = Linear(), Gaussian(Linear())
    x = torch.randn(4000, 1, 1, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    made = end(oracle, SAMPLERS["renoise"], UniformGrid()(process, 20), x)
    assert 0.5 < float(made.std()) / oracle.std < 0.9
    assert SAMPLERS["renoise"].biased and not any(SAMPLERS[name].biased for name in DETERMINISTIC)


@pytest.mark.parametrize("name", ["ddim", "ddpm", "edm", "unipc_2", "renoise"])
def test_sample_i_comes_from_seed_i_alone(name):
    denoiser = Gaussian(VPLinear())
    grid = GRIDS["trailing"](VPLinear(), 5)

    def samples(seeds):
        return list(sample(denoiser, seeds=seeds, sampler=SAMPLERS[name], grid=grid))[-1].x

    together = samples(range(6))
    torch.testing.assert_close(samples([4]), together[4:5], rtol=0, atol=1e-6)
    torch.testing.assert_close(samples([5, 0]), together[[5, 0]], rtol=0, atol=1e-6)
    assert not torch.equal(start_noise(Linear(), (1, 2, 2), [0]), start_noise(Linear(), (1, 2, 2), [1]))


def test_what_cannot_be_is_refused():
    with pytest.raises(UsageError, match="grid"):
        next(sample(Gaussian(Linear()), seeds=[0], sampler=DDIM(), grid=torch.tensor([0.0, 1.0])))
    for name in ("ddpm", "edm"):
        with pytest.raises(UsageError, match=r"Uniform.*'ddim'"):
            next(sample(Gaussian(Linear(Uniform())), seeds=[0], sampler=SAMPLERS[name], grid=torch.tensor([1.0, 0.0])))
