"""Edits against laws whose answers are known: what must come back comes back, what must stay stays."""

import itertools
import math
from dataclasses import dataclass, field

import pytest
import torch

from fromnoise.common.errors import UsageError
from fromnoise.common.image_spec import ImageSpec
from fromnoise.diffusion.editing import between, img2img, inpaint, interpolate, invert, lerp, slerp
from fromnoise.diffusion.process import VE, Linear, Normal, Uniform
from fromnoise.diffusion.samplers import SAMPLERS, sample, start_noise, walk
from fromnoise.diffusion.samplers.ddim import DDIM
from fromnoise.diffusion.samplers.loop import starting_point
from fromnoise.diffusion.samplers.registry import ORDERS, STATED_ON
from fromnoise.diffusion.time_grids import GRIDS, UniformGrid, recommended_grid
from fromnoise.diffusion.vp import VPLinear
from fromnoise.testing import Gaussian, Point, TwoPoints
from fromnoise.testing.cases import PROCESS_CASES
from fromnoise.testing.oracles import Oracle

DETERMINISTIC = [name for name, sampler in SAMPLERS.items() if not sampler.stochastic and name != "mix"]
IMAGES = torch.linspace(-0.6, 1.4, 8, dtype=torch.float64).view(2, 1, 2, 2)
UNIFORM = Linear(Uniform())


def last(steps):
    *_, step = steps
    return step


def draws(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def round_trip(oracle, name, steps, x0=IMAGES):
    """Errors: of the noise against the exact flow, of the image where both ways meet, and of it at 0."""
    process = oracle.process
    grid = GRIDS[recommended_grid(process)](process, steps)
    up = last(invert(oracle, x0, sampler=SAMPLERS[name], grid=grid))
    down = list(walk(oracle, up.x, seeds=[0] * len(x0), sampler=SAMPLERS[name], grid=grid))
    assert (up.t, up.s) == (grid[1], grid[0]) and down[-1].s == 0
    alpha, _ = oracle.scales(float(grid[-2]))
    truth = oracle.flow(alpha * x0, float(grid[-2]), float(grid[0]))
    off = (up.x - truth) / oracle.scales(float(grid[0]))[1], down[-2].x - alpha * x0, down[-1].x - x0
    return [float(error.abs().max()) for error in off]


def order(few, many):
    return math.log(few / many) / math.log(4)


# -- inversion ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name, power", [("ddim", 1), ("heun", 2), ("dpmpp_2m", 2), ("unipc_2", 2), ("ipndm_4", 2)])
def test_inversion_then_sampling_returns_the_image_at_the_samplers_order(name, power):
    """To 0, on a uniform grid, whose last step is of first order and 1 / n long: hence 2 at most (see ORDERS)."""
    few, many = (round_trip(Gaussian(Linear()), name, steps)[2] for steps in (40, 160))
    assert order(few, many) == pytest.approx(power, abs=0.3) and many < 0.03


@pytest.mark.parametrize("kind", ["linear", "vp", "ve"])
@pytest.mark.parametrize("name", ["ddim", "heun", "dpmpp_2m"])
def test_the_noise_of_a_image_comes_near_at_the_samplers_order(name, kind):
    """Upwards as downwards: at the order that ORDERS states."""
    few, many = (round_trip(Gaussian(PROCESS_CASES[kind]), name, steps)[0] for steps in (40, 160))
    assert order(few, many) == pytest.approx(ORDERS[name][STATED_ON.index(kind)], abs=0.3)


@pytest.mark.parametrize("kind", PROCESS_CASES)
@pytest.mark.parametrize("name", DETERMINISTIC)
def test_every_deterministic_sampler_comes_back_on_every_process(name, kind):
    """Where both ways meet, and at 0."""
    _, meeting, end = round_trip(Gaussian(PROCESS_CASES[kind]), name, 60)
    assert max(meeting, end) < 0.1


def test_a_distribution_of_two_points_comes_back_too():
    oracle = TwoPoints(Linear(), low=-1.0, high=1.0)
    x0 = torch.tensor([-1.0, 1, 1, -1], dtype=torch.float64).view(1, 1, 2, 2)
    noise, _, end = round_trip(oracle, "heun", 80, x0)
    assert noise < 0.1 and end < 1e-3


def test_inversion_refuses_chance_and_a_grid_without_a_way():
    x0, grid = IMAGES, UniformGrid()(Linear(), 5)
    for name in ("ddpm", "edm", "renoise"):
        with pytest.raises(UsageError, match=r"fresh noise.*'ddim'"):
            invert(Gaussian(Linear()), x0, sampler=SAMPLERS[name], grid=grid)
    with pytest.raises(UsageError, match=r"\b2 steps"):
        invert(Gaussian(Linear()), x0, sampler=DDIM(), grid=UniformGrid()(Linear(), 1))


# -- variations --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", PROCESS_CASES)
@pytest.mark.parametrize("name", ["ddim", "ddpm", "heun"])
def test_at_strength_1_nothing_of_the_image_is_used(name, kind):
    process = PROCESS_CASES[kind]
    if SAMPLERS[name].stochastic and not process.prior.gaussian:
        return
    grid, how = GRIDS[recommended_grid(process)](process, 6), {"seeds": [3, 8], "sampler": SAMPLERS[name]}
    oracle = Gaussian(process)
    varied = last(img2img(oracle, IMAGES[:1], strength=1.0, grid=grid, **how)).x
    assert torch.equal(varied, last(sample(oracle, grid=grid, **how)).x)


def test_the_stronger_the_further():
    """On two points the image comes back from little noise; the distance then grows."""
    oracle = TwoPoints(Linear(), low=-1.0, high=1.0, spec=ImageSpec(1, 16, 16))
    x0, grid = torch.sign(draws(1, 1, 16, 16)).float(), UniformGrid()(Linear(), 20)
    off = []
    for strength in (0.05, 0.3, 0.6, 0.8, 1.0):
        steps = list(img2img(oracle, x0, strength=strength, seeds=range(4), sampler=DDIM(), grid=grid))
        assert len(steps) == round(20 * strength) and steps[0].t == pytest.approx(strength)
        off.append(float((steps[-1].x - x0).square().mean().sqrt()))
    assert off[0] < 1e-6 and off == sorted(off) and off[-1] > 0.8
    assert len(list(img2img(oracle, x0, strength=1e-9, seeds=[0], sampler=DDIM(), grid=grid))) == 1
    for strength in (0, -0.5, 1.01, math.nan):
        with pytest.raises(UsageError, match=f"strength.*{strength}"):
            img2img(oracle, x0, strength=strength, seeds=[0], sampler=DDIM(), grid=grid)


def test_a_variation_starts_from_its_image_and_its_own_noise():
    grid = UniformGrid()(Linear(), 10)
    first = next(img2img(Point(Linear()), IMAGES, strength=0.5, seeds=[1, 2], sampler=DDIM(), grid=grid))
    start = 0.5 * IMAGES + 0.5 * start_noise(Linear(), (1, 2, 2), [1, 2])
    torch.testing.assert_close(0.5 * first.estimate.x0 + 0.5 * first.estimate.eps, start, rtol=0, atol=1e-12)


# -- holes -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pairs(Oracle):
    """Columns of two pixels, each normal with mean 0 and variance 1, correlation `rho`; normal noise."""

    spec: ImageSpec = field(default_factory=lambda: ImageSpec(1, 2, 4000))
    rho: float = 0.9

    def image(self, xt, alpha, sigma):
        up, down = xt[:, :, :1], xt[:, :, 1:]
        gains = [alpha * v / (alpha**2 * v + sigma**2) for v in (1 + self.rho, 1 - self.rho)]
        mean, half = gains[0] * (up + down) / 2, gains[1] * (up - down) / 2
        return torch.cat([mean + half, mean - half], 2)

    def flow(self, x, t, s):
        """Sum and difference are normal by themselves, and keep their standard scores."""
        (alpha_t, sigma_t), (alpha_s, sigma_s) = self.scales(t), self.scales(s)
        up, down = x[:, :, :1], x[:, :, 1:]
        kept = [
            ((alpha_s**2 * v + sigma_s**2) / (alpha_t**2 * v + sigma_t**2)) ** 0.5 for v in (1 + self.rho, 1 - self.rho)
        ]
        mean, half = kept[0] * (up + down) / 2, kept[1] * (up - down) / 2
        return torch.cat([mean + half, mean - half], 2)


def told_by_the_neighbour(process, name, resample):
    """(slope, variance about it) of the painted pixels over the known ones; the distribution has 0.9 and 0.19."""
    oracle, known = Pairs(process), draws(1, 1, 1, 4000)
    x0, mask = torch.cat([known, torch.zeros_like(known)], 2), torch.tensor([0, 1]).view(1, 1, 2, 1)
    grid = GRIDS[recommended_grid(process)](process, 20)
    how = {"seeds": [0], "sampler": SAMPLERS[name], "grid": grid}
    painted = last(inpaint(oracle, x0, mask, resample=resample, **how)).x[:, :, 1:]
    slope = float((known * painted).sum() / (known * known).sum())
    return slope, float((painted - slope * known).var())


@pytest.mark.parametrize("process", [Linear(), VPLinear(), VE()], ids=str)
def test_resampling_comes_near_the_true_conditional(process):
    """Plain replacement hears the neighbour too late: about half of the slope, twice the variance."""
    plain, some, many = (told_by_the_neighbour(process, "ddim", resample) for resample in (1, 4, 16))
    assert 0.4 < plain[0] < 0.6 and plain[1] > 0.35
    assert plain[0] + 0.2 < some[0] < many[0] and many == pytest.approx((0.9, 0.19), abs=0.05)
    assert told_by_the_neighbour(process, "heun", 16) == pytest.approx((0.9, 0.19), abs=0.05)


@pytest.mark.parametrize("kind", PROCESS_CASES)
@pytest.mark.parametrize("name", ["ddim", "ddpm", "dpmpp_2m", "unipc_2", "heun"])
def test_what_is_known_stays_exactly(name, kind):
    process = PROCESS_CASES[kind]
    if SAMPLERS[name].stochastic and not process.prior.gaussian:
        return
    mask = torch.tensor([[True, False], [False, True]]).view(1, 1, 2, 2)
    how = {"sampler": SAMPLERS[name], "grid": GRIDS[recommended_grid(process)](process, 6)}
    x = last(inpaint(Gaussian(process), IMAGES[:1], mask, seeds=[0, 1], **how)).x
    assert torch.equal(x[:, 0, 0, 1], IMAGES[0, 0, 0, 1].expand(2))
    assert torch.equal(x[:, 0, 1, 0], IMAGES[0, 0, 1, 0].expand(2))
    assert x[:, 0, 0, 0].isfinite().all() and x[0, 0, 0, 0] != x[1, 0, 0, 0]
    everything = last(inpaint(Gaussian(process), IMAGES[:1], mask | True, seeds=[0, 1], **how)).x
    if name in ("ddim", "heun"):  # with memory or chance the steps differ from those of `sample`
        torch.testing.assert_close(
            everything, last(sample(Gaussian(process), seeds=[0, 1], **how)).x, check_dtype=False, rtol=0, atol=1e-5
        )


@pytest.mark.parametrize("kind", PROCESS_CASES)
def test_the_way_back_up_has_the_right_distribution(kind):
    """A sampler that leaves x alone: after each return x_t must again be alpha_t x0 + sigma_t eps."""
    process, seen = PROCESS_CASES[kind], []
    if not process.prior.gaussian:
        return

    class Watching(DDIM):
        def step(self, estimate, process, x, t, s, carry, noise):
            seen.append(x)
            return process.corrupt(torch.full_like(x, 2.0), noise(), s), estimate(x, t), None

    spec = ImageSpec(1, 100, 100)
    grid = GRIDS[recommended_grid(process)](process, 6)[2:4]
    list(
        inpaint(
            Gaussian(process, spec), torch.full((1, 1, 100, 100), 2.0), torch.ones(1, 1, 1, 1), seeds=[0],
            sampler=Watching(), grid=grid, resample=2,
        )
    )  # fmt: skip
    alpha, sigma = (float(scale) for scale in process.scales(grid[:1]))
    assert len(seen) == 2
    assert float(seen[1].mean()) == pytest.approx(2 * alpha, abs=0.05 * sigma)
    assert float(seen[1].std()) == pytest.approx(sigma, rel=0.05)


def test_resampling_is_counted_and_draws_anew():
    drawn = []

    class Watching(DDIM):
        def step(self, estimate, process, x, t, s, carry, noise):
            assert torch.equal(noise(), noise())
            drawn.append(noise())
            return super().step(estimate, process, x, t, s, carry, noise)

    how = {"seeds": [0], "sampler": Watching(), "grid": UniformGrid()(Linear(), 4)}
    steps = list(inpaint(Gaussian(Linear()), IMAGES[:1], torch.ones(1, 1, 2, 2), resample=3, **how))
    assert [step.evaluations for step in steps] == [3, 6, 9, 10] and [step.s for step in steps] == [0.75, 0.5, 0.25, 0]
    assert len({tuple(draw.flatten().tolist()) for draw in drawn}) == 10


def test_what_is_known_has_other_noise_after_each_step():
    """x = alpha x0 + sigma eps outside of the mask, so eps can be read off each step."""
    process, x0 = Linear(), IMAGES[:1].float()
    how = {"seeds": [0], "sampler": DDIM(), "grid": UniformGrid()(process, 4)}
    steps = list(inpaint(Gaussian(process), x0, torch.zeros(1, 1, 2, 2), **how))[:-1]
    noises = [(step.x - (1 - step.s) * x0) / step.s for step in steps]
    assert len(noises) == 3
    for first, second in itertools.combinations(noises, 2):
        assert (first - second).abs().min() > 1e-3


def test_holes_that_cannot_be_painted():
    how = {"seeds": [0], "grid": UniformGrid()(UNIFORM, 4)}
    mask = torch.ones(1, 1, 2, 2)
    with pytest.raises(UsageError, match=r"resample.*Uniform"):
        inpaint(TwoPoints(UNIFORM), IMAGES[:1], mask, resample=2, sampler=DDIM(), **how)
    with pytest.raises(UsageError, match=r"resample.*\b0\b"):
        inpaint(Gaussian(Linear()), IMAGES[:1], mask, resample=0, sampler=DDIM(), **how)
    with pytest.raises(UsageError, match=r"Uniform.*'ddim'"):
        inpaint(TwoPoints(UNIFORM), IMAGES[:1], mask, sampler=SAMPLERS["ddpm"], **how)
    assert last(inpaint(TwoPoints(UNIFORM), IMAGES[:1], mask, sampler=DDIM(), **how)).x.isfinite().all()


# -- between two -------------------------------------------------------------------------------------------------------


def test_the_great_circle_keeps_the_length_and_turns_evenly():
    a, b = (noise / noise.norm() * 7 for noise in draws(2, 3, 8, 8))
    stops = slerp(a, b, torch.linspace(0, 1, 6, dtype=torch.float64))
    torch.testing.assert_close(stops.flatten(1).norm(dim=1), torch.full((6,), 7.0).double(), rtol=0, atol=1e-10)
    torch.testing.assert_close(stops[[0, -1]], torch.stack([a, b]), rtol=0, atol=1e-12)
    turns = (stops[1:] * stops[:-1]).flatten(1).sum(1)
    torch.testing.assert_close(turns, turns[:1].expand(5), rtol=0, atol=1e-9)


def test_one_direction_is_a_straight_line():
    a, shares = draws(1, 4, 4), torch.tensor([0.0, 0.25, 1.0], dtype=torch.float64)
    for b in (a, 2 * a, -a):
        torch.testing.assert_close(slerp(a, b, shares), lerp(a, b, shares), rtol=0, atol=1e-9)


def test_halfway_noise_has_its_distribution_where_the_prior_is_normal():
    half = torch.tensor([0.5], dtype=torch.float64)
    a, b = draws(2, 1, 64, 64)
    assert float(between(Linear(Normal()), a, b, half).std()) == pytest.approx(1, abs=0.03)
    assert float(lerp(a, b, half).std()) == pytest.approx(0.5**0.5, abs=0.03)
    c, d = (start_noise(UNIFORM, (1, 64, 64), [0, 1])).double()
    line = between(UNIFORM, c, d, half)
    assert torch.equal(line[0], (c + d) / 2) and float(line.min()) >= 0 and float(line.max()) < 1


@pytest.mark.parametrize("process", [Linear(), UNIFORM, VE(), VPLinear()], ids=str)
def test_interpolation_begins_and_ends_with_the_images_of_its_ends(process):
    oracle = TwoPoints(process) if process is UNIFORM else Gaussian(process)
    how = {"sampler": DDIM(), "grid": GRIDS[recommended_grid(process)](process, 6)}
    ends = starting_point(process, start_noise(process, oracle.spec.shape, [3, 17]), process.t_max)
    shares = torch.linspace(0, 1, 5, dtype=torch.float64)
    x = last(interpolate(oracle, *ends, shares=shares, **how)).x
    torch.testing.assert_close(x[[0, -1]], last(sample(oracle, seeds=[3, 17], **how)).x, rtol=0, atol=1e-6)


# -- all of them -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ddim", "ddpm", "unipc_2"])
def test_sample_i_comes_from_seed_i_alone(name):
    process, x0 = VPLinear(), IMAGES[:1].float()
    oracle, mask = Gaussian(process), torch.tensor([[1, 0], [0, 1]]).view(1, 1, 2, 2)
    how = {"sampler": SAMPLERS[name], "grid": GRIDS["trailing"](process, 5)}
    for edit in (
        lambda seeds: img2img(oracle, x0, strength=0.6, seeds=seeds, **how),
        lambda seeds: inpaint(oracle, x0, mask, seeds=seeds, resample=2, **how),
    ):
        together = last(edit(range(5))).x
        torch.testing.assert_close(last(edit([3])).x, together[3:4], rtol=0, atol=1e-6)
        torch.testing.assert_close(last(edit([4, 0])).x, together[[4, 0]], rtol=0, atol=1e-6)
        assert not torch.equal(together[0], together[1])


def test_labels_reach_the_denoiser():
    given = []

    class Listening(Gaussian):
        def __call__(self, xt, t, label=None):
            given.append(label.tolist())
            return super().__call__(xt, t, label)

    oracle, label = Listening(Linear()), torch.tensor([4, 7])
    how = {"sampler": DDIM(), "grid": UniformGrid()(Linear(), 2), "label": label}
    for steps in (
        img2img(oracle, IMAGES, strength=1.0, seeds=[0, 1], **how),
        inpaint(oracle, IMAGES, torch.ones(1, 1, 2, 2), seeds=[0, 1], **how),
        invert(oracle, IMAGES, **how),
        interpolate(oracle, *IMAGES, shares=torch.tensor([0.0, 1.0]), **how),
    ):
        given.clear()
        last(steps)
        assert given and all(labels == [4, 7] for labels in given)
