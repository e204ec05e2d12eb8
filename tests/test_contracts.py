"""What every component keeps, whatever it computes: one short test a promise, over all registries.

A new line in a registry is covered here by itself. `fromnoise.testing` has the deeper checks of what is computed.
"""

import copy
import pickle

import pytest
import torch
from safetensors.torch import load, save

from fromnoise.common.image_spec import ImageSpec
from fromnoise.diffusion import denoiser, guidance, prediction, process, time_grids, time_sampling, vp, weighting
from fromnoise.diffusion.samplers import ddim, euler, ipndm, loop, multistep, registry, stochastic
from fromnoise.metrics.frechet import frechet_distance, statistics
from fromnoise.metrics.kid import kernel_distance
from fromnoise.metrics.precision_recall import precision_recall
from fromnoise.nets import NETWORKS, build_net
from fromnoise.settings import NetOptions
from fromnoise.testing import check_network, check_process, compatible_pairs
from fromnoise.testing.cases import PROCESS_CASES
from fromnoise.testing.networks import stirred
from fromnoise.testing.oracles import Gaussian

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
PREDICTIONS = {name: make(0.3) for name, make in prediction.PREDICTIONS.items()}
SAMPLERS = registry.SAMPLERS
MODULES = (process, vp, prediction, weighting, time_sampling, time_grids, ddim, euler, ipndm, multistep, stochastic)
REGISTRIES = {
    "process": PROCESS_CASES,
    "prior": process.PRIORS,
    "prediction": PREDICTIONS,
    "weighting": weighting.WEIGHTINGS,
    "times": time_sampling.TIME_DISTRIBUTIONS,
    "grid": time_grids.GRIDS,
    "sampler": SAMPLERS,
}
VALUES = {f"{kind}-{name}": value for kind, registered in REGISTRIES.items() for name, value in registered.items()}
# What a repr names: the classes of what is registered, and what their fields hold.
NAMES = {name: value for module in MODULES for name, value in vars(module).items()}
NAMES |= {type(value).__name__: type(value) for value in VALUES.values()}
SPEC = ImageSpec(3, 12, 20, ("a", "b", "c"))


def over(pairs):
    """Parametrised by the values of a dict, with its keys for names."""
    return [pytest.param(*(value if isinstance(value, tuple) else (value,)), id=key) for key, value in pairs.items()]


def noise(*shape):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def times(path, count=16):
    return torch.linspace(max(path.t_min, 0.01 * path.t_max), path.t_max, count, dtype=torch.float64)


# -- values ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", over(VALUES))
def test_a_value_is_frozen_and_equal_to_its_copies(value):
    for same in (copy.deepcopy(value), pickle.loads(pickle.dumps(value)), eval(repr(value), NAMES)):
        assert same == value and hash(same) == hash(value) and repr(same) == repr(value)
    with pytest.raises(AttributeError):
        value.sigma_data = 1.0
    assert all(other is value or other != value or repr(other) == repr(value) for other in VALUES.values())


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("path", over(PROCESS_CASES))
def test_a_process_keeps_its_equation_and_the_device(path, device):
    check_process(path)
    t = times(path).to(device)
    for values in (*path.scales(t), *path.rates(t), path.code(t), path.log_snr(t)):
        assert values.device.type == device and values.shape == t.shape


@pytest.mark.parametrize("part, path", over(compatible_pairs(PREDICTIONS)))
def test_a_prediction_is_solved_for_what_it_was_made_of(part, path):
    t, (x0, eps) = times(path), noise(2, 16, 1, 3, 3)
    target = prediction.prediction_target(part, path, x0, eps, t)
    solved = prediction.solve_x0_eps(part, path, path.corrupt(x0, eps, t), t, target)
    torch.testing.assert_close(torch.stack(solved), torch.stack([x0, eps]), rtol=0, atol=1e-9)
    assert (part.input_scale(path, t) > 0).all()


@pytest.mark.parametrize("weigh", over(weighting.WEIGHTINGS))
def test_a_weighting_is_positive_and_looks_at_each_snr_alone(weigh):
    snr = torch.logspace(-6, 6, 25, dtype=torch.float64)
    weights = weigh(snr)
    assert weights.shape == snr.shape and (weights > 0).all() and weights.isfinite().all()
    torch.testing.assert_close(torch.cat([weigh(one[None]) for one in snr]), weights, rtol=1e-12, atol=0)


@pytest.mark.parametrize("part, path", over(compatible_pairs(time_sampling.TIME_DISTRIBUTIONS)))
def test_training_times_stay_in_range_and_follow_from_the_generator(part, path):
    first, again, other = (part.sample(4096, path, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert first.dtype == torch.float64 and torch.equal(first, again) and not torch.equal(first, other)
    assert first.min() >= path.t_min and first.min() > 0 and first.max() <= path.t_max


@pytest.mark.parametrize("steps", [1, 2, 5, 40, 1000])
@pytest.mark.parametrize("part, path", over(compatible_pairs(time_grids.GRIDS)))
def test_a_grid_falls_from_the_start_to_zero(part, path, steps):
    grid = part(path, steps)
    assert grid.shape == (steps + 1,) and grid.dtype == torch.float64 and (grid[1:] < grid[:-1]).all()
    starts = path.t_max if not isinstance(part, time_grids.LeadingGrid) else 1 + (steps - 1) * (path.t_max // steps)
    assert grid[0] == pytest.approx(starts, rel=1e-12) and grid[-1] == 0


# -- samplers and wrappers ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("part, path", over(compatible_pairs(SAMPLERS)))
def test_a_sampler_keeps_shape_and_type_and_its_seeds(part, path, dtype):
    if not path.prior.gaussian:
        return
    grid, oracle = time_grids.GRIDS[time_grids.recommended_grid(path)](path, 3), Gaussian(path)
    x = (noise(2, 1, 2, 2) * path.scales(grid[:1])[1]).to(dtype)
    first, again = (list(loop.walk(oracle, x, seeds=[4, 9], sampler=part, grid=grid))[-1].x for _ in range(2))
    assert first.dtype == dtype and first.shape == x.shape and torch.equal(first, again)


WRAPPERS = {
    "guidance at 1": lambda inner: guidance.ClassifierFreeGuidance(inner, 1.0),
    "guidance outside of its interval": lambda inner: guidance.ClassifierFreeGuidance(inner, 3.0, (2.0, 3.0)),
    "autoguidance at 1": lambda inner: guidance.Autoguidance(inner, inner, 1.0),
    "autoguidance by itself": lambda inner: guidance.Autoguidance(inner, inner, 3.0),
    "clipping in a wide range": guidance.Clipping,
    "thresholding in a wide range": guidance.DynamicThresholding,
    "bounded noise where there is much": guidance.BoundedNoise,
}


@pytest.mark.parametrize("wrap", over(WRAPPERS))
def test_a_wrapper_that_has_nothing_to_do_changes_nothing(wrap):
    inner = Gaussian(process.Linear(), ImageSpec(1, 2, 2, ("a", "b"), low=-100.0, high=100.0))
    wrapped, x, t = wrap(inner), noise(3, 1, 2, 2), torch.full((3,), 0.5).double()
    label = torch.tensor([0, 1, 0])
    for part in ("x0", "eps"):
        torch.testing.assert_close(getattr(wrapped(x, t, label), part), getattr(inner(x, t, label), part))
    assert (wrapped.process, wrapped.spec) == (inner.process, inner.spec)


# -- networks ----------------------------------------------------------------------------------------------------------


def small(kind, **changes):
    return NetOptions(kind=kind, width=32 if kind == "dit" else 8, channels=(32, 32), depth=1, **changes)


@pytest.mark.parametrize("conditioning", [True, False], ids=["conditional", "unconditional"])
@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("spec", [SPEC, ImageSpec(4, 12, 20), ImageSpec(2, 9, 9)], ids=str)
def test_a_network_keeps_its_promises_with_and_without_conditioning(kind, spec, conditioning):
    options = small(kind, time_conditioning=conditioning, class_conditioning=conditioning)
    spec = spec if conditioning else ImageSpec(spec.channels, spec.height, spec.width)
    check_network(build_net(options, spec), spec, time_conditioning=conditioning)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("kind", NETWORKS)
def test_a_network_is_copied_saved_and_moved_whole(kind, device):
    net = stirred(build_net(small(kind), SPEC)).to(device)
    x, code, label = noise(2, *SPEC.shape).float().to(device), torch.tensor([9.0, 700.0]), torch.tensor([0, 3])
    restored = build_net(small(kind), SPEC).eval()
    restored.load_state_dict(load(save({key: value.contiguous() for key, value in net.state_dict().items()})))
    expected = net(x, code.to(device), label.to(device))
    for same in (copy.deepcopy(net), restored.to(device)):
        assert torch.equal(same(x, code.to(device), label.to(device)), expected)


@pytest.mark.parametrize("name", PREDICTIONS)
def test_a_denoisers_weights_all_learn_through_its_estimate(name):
    net = stirred(build_net(small("unet"), SPEC))
    whole = denoiser.Denoiser(net, vp.VP(), PREDICTIONS[name], SPEC)
    estimate = whole(noise(2, *SPEC.shape).float(), torch.tensor([1.0, 1000.0]).double(), torch.tensor([1, 3]))
    (estimate.x0.square().mean() + estimate.eps.square().mean()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() and p.grad.any() for p in whole.parameters())


# -- metrics -----------------------------------------------------------------------------------------------------------


def fd(a, b):
    return frechet_distance(statistics(a), statistics(b))


def kid(a, b):
    return kernel_distance(a, b).value


DISTANCES = {"FD": fd, "KID": kid}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("distance", over(DISTANCES))
def test_a_distance_is_symmetric_and_does_not_see_the_order(distance, dtype):
    a, b = noise(300, 6).to(dtype), (0.5 + 1.5 * noise(400, 6)).to(dtype)
    order = torch.randperm(300, generator=torch.Generator().manual_seed(1))
    assert distance(a, b) == pytest.approx(distance(b, a), rel=1e-4)
    assert distance(a[order], b) == pytest.approx(distance(a, b), rel=1e-4)
    assert distance(a, a[order]) < 0.05 * distance(a, b) and distance(a, b) > 0


def test_precision_and_recall_of_a_set_and_itself_are_whole():
    a = noise(200, 4)
    itself, apart = precision_recall(a, a), precision_recall(a, a + 100)
    assert (itself.precision, itself.recall) == (1.0, 1.0) and (apart.precision, apart.recall) == (0.0, 0.0)
