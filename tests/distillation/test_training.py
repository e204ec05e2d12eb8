"""What a network learns of trajectories: on normal images, the ends that the flow map names."""

import pytest
import torch

from fromnoise.diffusion.denoiser import Denoiser
from fromnoise.diffusion.objective import Objective, TrainingNoise, training_loss
from fromnoise.diffusion.prediction import EDM, X0
from fromnoise.diffusion.process import VE, Linear
from fromnoise.diffusion.samplers import SAMPLERS
from fromnoise.diffusion.samplers.base import EstimateFn
from fromnoise.diffusion.samplers.loop import sample
from fromnoise.diffusion.time_grids import LevelGrid, ShiftedGrid
from fromnoise.diffusion.time_sampling import UniformTimes
from fromnoise.diffusion.vp import VPLinear
from fromnoise.diffusion.weighting import Unit
from fromnoise.distillation.training import PointBatches, PointTrainer
from fromnoise.distillation.trajectories import Trajectories, second_grid
from fromnoise.metrics.frechet import frechet_distance, statistics
from fromnoise.settings import SampleOptions, TrainOptions
from fromnoise.testing import EndPoint, Gaussian
from fromnoise.testing.networks import Affine

COUNT = 512


def exact(oracle: Gaussian, grid: str = "uniform", steps: int = 60, seed: int = 0) -> Trajectories:
    """Trajectories along the exact flow, and second ones from their ends, noised to four levels."""
    process = oracle.process
    draw = torch.Generator().manual_seed(seed)
    noise, other = (torch.randn(COUNT, *oracle.spec.shape, generator=draw) for _ in range(2))
    begin = noise * oracle.scales(process.t_max)[1]
    end = oracle.flow(begin, process.t_max, 0.0)
    found, times = [], []
    for part, level in zip(torch.arange(COUNT).chunk(4), (0.95, 0.8, 0.65, 0.5), strict=True):
        stops = second_grid(process, SampleOptions(grid=grid, steps=steps), level)
        noised = process.corrupt(end[part], other[part], stops[:1].repeat(len(part)))
        found.append(torch.stack([oracle.flow(noised, float(stops[0]), float(stop)) for stop in stops], dim=1))
        times.append(stops.repeat(len(part), 1))
    points = torch.cat([torch.stack([begin, end], dim=1), torch.cat(found)], dim=1)
    return Trajectories(points, process.t_max, torch.cat(times), None, 0.0)


@pytest.mark.parametrize(
    ("process", "grid"), [(Linear(), "uniform"), (VPLinear(), "uniform"), (VE(), "karras")], ids=["linear", "vp", "ve"]
)
def test_batches_ask_for_what_a_perfect_consistency_model_predicts(process, grid):
    oracle, batches = Gaussian(process), PointBatches(process, 256, seed=0)
    batches.trajectories = exact(oracle, grid)
    x0, label, noise = batches.pairs(3)
    xt, model = process.corrupt(x0, noise.eps, noise.t), EndPoint(oracle)
    wanted = torch.cat([model(xt[i : i + 1], noise.t[i : i + 1]).x0 for i in range(len(xt))])
    torch.testing.assert_close(x0, wanted, rtol=0, atol=0.01)
    begins = noise.t == process.t_max
    assert 100 < int(begins.sum()) < 156 and noise.t.min() >= max(batches.least, process.t_min)
    starts = torch.isin(noise.t, batches.trajectories.stops[:, 0])
    assert 40 < int(starts.sum()) < 90 and torch.unique(noise.t[starts]).numel() == 4
    assert torch.unique(noise.t).numel() > 40  # others lie anywhere between
    assert label is None and not noise.drop_label.any() and batches.images_before(3) == 768
    again, other = batches.pairs(3), batches.pairs(4)
    assert torch.equal(again[0], x0) and not torch.equal(other[2].t, noise.t)


@pytest.mark.parametrize("seed", range(5))
def test_a_network_that_is_trained_on_them_samples_the_images_in_1_2_4_and_100_steps(seed):
    """By Fréchet distance, beside the perfect denoiser, which needs many steps."""
    oracle = Gaussian(Linear())
    points = PointBatches(oracle.process, 128, seed)
    points.trajectories = exact(oracle, seed=seed)
    denoiser = Denoiser(Affine(), oracle.process, EDM(oracle.std), oracle.spec)
    options = TrainOptions(learning_rate=0.05, lr_warmup_images=0, lr_schedule="linear", use_ema=False)
    for _ in PointTrainer(denoiser, points, options, 128 * 500, None).steps():
        pass
    denoiser.requires_grad_(False)
    images = oracle.mean + oracle.std * torch.randn(
        4000, *oracle.spec.shape, generator=torch.Generator().manual_seed(99)
    )

    def distance(estimate: EstimateFn, sampler: str, steps: int) -> float:
        grid = LevelGrid()(oracle.process, steps)
        *_, last = sample(estimate, seeds=range(2000), sampler=SAMPLERS[sampler], grid=grid)
        return frechet_distance(statistics(last.x.flatten(1)), statistics(images.flatten(1)))

    few = {steps: distance(denoiser, "renoise", steps) for steps in (1, 2, 4, 100)}
    own = {steps: distance(oracle, "ddim", steps) for steps in (1, 2, 4, 100)}
    assert max(few.values()) < 0.02, few
    assert own[1] > 0.9 and own[2] > 0.2 and own[100] < 0.02, own


def test_pseudo_huber_is_a_square_far_below_c_and_a_distance_far_above():
    process, spec = Linear(), Gaussian(Linear()).spec
    noise = TrainingNoise(torch.zeros(1, *spec.shape), torch.full((1,), 0.5), torch.zeros(1, dtype=torch.bool))

    def loss(error: float, c: float) -> float:
        net = Affine()
        net.terms.data[1, 0] = error
        net.requires_grad_(False)
        objective = Objective(Unit(), UniformTimes(), huber=c)
        terms = training_loss(Denoiser(net, process, X0(), spec), objective, torch.zeros(1, *spec.shape), None, noise)
        return float(terms.mean())

    assert loss(1e-2, 1.0) == pytest.approx(1e-4 / 2, rel=1e-2) and loss(1.0, 1e-3) == pytest.approx(1.0, rel=2e-3)
    assert loss(0.0, 0.1) == 0


def test_the_grid_of_a_tuned_recipe_needs_no_more_than_its_own_stops():
    """Straight pieces of a curved flow: where one begins and at pure noise, the end is the flow's."""
    oracle, found = Gaussian(Linear()), exact(Gaussian(Linear()), "few_steps", 5)
    assert found.stops.shape == (COUNT, len(ShiftedGrid(2.0, 1.4)(Linear(), 5)) - 2)
    for at_noise, times in ((1.0, {1.0}), (0.0, set(found.stops[:, 0].tolist()))):
        batches = PointBatches(Linear(), 64, seed=0, at_noise=at_noise)
        batches.trajectories = found
        x0, _, noise = batches.pairs(0)
        begins = torch.isin(noise.t, torch.tensor(sorted(times), dtype=noise.t.dtype))
        assert bool(begins.all()) if at_noise else 20 < int(begins.sum()) < 44
        xt = oracle.process.corrupt(x0, noise.eps, noise.t)
        for x, t, end in zip(xt[begins], noise.t[begins].tolist(), x0[begins], strict=True):
            torch.testing.assert_close(oracle.flow(x[None], t, 0.0), end[None], rtol=0, atol=1e-4)
