"""The conformance suite passes what is right and refuses the classic mistakes, each by the promise it breaks."""

from dataclasses import dataclass, replace
from itertools import product

import pytest
import torch
from torch import nn

from fromnoise.common.image_spec import Condition, GuidanceInput, ImageSpec
from fromnoise.data import DataOptions, load
from fromnoise.diffusion.objective import Objective
from fromnoise.diffusion.process import VE, Linear, broadcast_like
from fromnoise.diffusion.samplers.ddim import DDIM
from fromnoise.diffusion.samplers.euler import Heun
from fromnoise.diffusion.samplers.multistep import DPMpp
from fromnoise.diffusion.samplers.stochastic import Renoise
from fromnoise.diffusion.time_sampling import TIME_DISTRIBUTIONS
from fromnoise.diffusion.weighting import SNR, WEIGHTINGS
from fromnoise.nets import build_net
from fromnoise.settings import NetOptions
from fromnoise.testing import check_dataset, check_network, check_objective, check_process, check_sampler

SPEC = ImageSpec(3, 12, 20, ("a", "b", "c"))


@pytest.mark.parametrize("weighting, times", list(product(WEIGHTINGS, TIME_DISTRIBUTIONS)))
def test_every_objective_keeps_its_promises(weighting, times):
    check_objective(Objective(WEIGHTINGS[weighting], TIME_DISTRIBUTIONS[times], 0.1))


def test_data_keep_their_promises():
    data = load(DataOptions(source="digits"))
    check_dataset(data)
    check_dataset(replace(data, labels=None, spec=replace(data.spec, classes=())))


@pytest.mark.parametrize("kind", ["unet", "dit"])
@pytest.mark.parametrize("classes", [("a", "b"), ()], ids=["classes", "numbers"])
def test_networks_that_take_a_guidance_scale_keep_their_promises(kind, classes):
    numbers = () if classes else (Condition("slant", 0.0, 1.0, -1.0, 1.0),)
    spec = ImageSpec(1, 8, 8, classes, conditions=numbers, guidance_input=GuidanceInput(3.0))
    check_network(build_net(NetOptions(kind=kind, width=32, depth=1), spec), spec)


# -- samplers with a mistake -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class WrongSign(DDIM):
    """The noise with the other sign: x_s = alpha_s x0 - sigma_s eps."""

    def step(self, estimate, process, x, t, s, carry, noise):
        here = estimate(x, t)
        return process.corrupt(here.x0, -here.eps, s), here, None


@dataclass(frozen=True)
class OffByOne(DDIM):
    """Evaluates at the time it goes to."""

    def step(self, estimate, process, x, t, s, carry, noise):
        here = estimate(x, torch.maximum(s, torch.full_like(s, max(process.t_min, 1e-3))))
        return process.transfer(x, here.x0, t, s), here, None


@dataclass(frozen=True)
class WrongLetter(DDIM):
    """sigma_t where sigma_s belongs, in the share of the image."""

    def step(self, estimate, process, x, t, s, carry, noise):
        here = estimate(x, t)
        (alpha_t, sigma_t), (alpha_s, sigma_s) = process.scales(t), process.scales(s)
        share = alpha_s - alpha_t * (sigma_t if s[0] > 0 else sigma_s) / sigma_t
        return broadcast_like(sigma_s / sigma_t, x) * x + broadcast_like(share, x) * here.x0, here, None


@dataclass(frozen=True)
class FirstOrderHeun(Heun):
    """The slope at the end only."""

    def step(self, estimate, process, x, t, s, carry, noise):
        moved, here, _ = super().step(estimate, process, x, t, s, carry, noise)
        return 2 * moved - process.transfer(x, here.x0, t, s), here, None


@dataclass(frozen=True)
class HalvedCurve(DPMpp):
    """Third order as published: the quadratic term counts half, which leaves second order."""

    order: int = 3

    def step(self, estimate, process, x, t, s, carry, noise):
        third, here, estimates = super().step(estimate, process, x, t, s, carry, noise)
        second, _, _ = DPMpp(2).step(lambda *_: here, process, x, t, s, carry, noise)
        return (second + third) / 2, here, estimates


@dataclass(frozen=True)
class Forgetful(DDIM):
    """Writes into its input."""

    def step(self, estimate, process, x, t, s, carry, noise):
        here = estimate(x, t)
        return x.copy_(process.transfer(x, here.x0, t, s)), here, None


@dataclass(frozen=True)
class Neighbourly(DDIM):
    """Moves towards the mean of the batch."""

    def step(self, estimate, process, x, t, s, carry, noise):
        moved, here, _ = super().step(estimate, process, x, t, s, carry, noise)
        return moved + 0.01 * (moved.mean(0, keepdim=True) - moved), here, None


@dataclass(frozen=True)
class TooNoisy(DDIM):
    """Adds the noise of the step without taking it off what is kept."""

    eta: float = 1.0

    def step(self, estimate, process, x, t, s, carry, noise):
        moved, here, _ = super().step(estimate, process, x, t, s, carry, noise)
        return moved + 0.3 * broadcast_like(process.scales(s)[1], x) * noise(), here, None


@dataclass(frozen=True)
class Honest(Renoise):
    """Renoising that does not state what it does to the variance."""

    biased = False


@dataclass(frozen=True)
class Secretive(DDIM):
    """States that it is deterministic."""

    def step(self, estimate, process, x, t, s, carry, noise):
        moved, here, _ = super().step(estimate, process, x, t, s, carry, noise)
        return moved + 0 * noise(), here, None


@dataclass(frozen=True)
class Hoarding(DDIM):
    """Appends to the list that it was handed, so that the same step taken again sees another past."""

    def step(self, estimate, process, x, t, s, carry, noise):
        here = estimate(x, t)
        past = [] if carry is None else carry
        past.append(here.x0)
        return process.transfer(x, sum(past) / len(past), t, s), here, past


@dataclass(frozen=True)
class TooEarly(DDIM):
    """Evaluates at a tenth of s, which may be below t_min."""

    evaluations = 2

    def step(self, estimate, process, x, t, s, carry, noise):
        here = estimate(x, t)
        estimate(x, (s / 10).clamp(min=1e-9))
        return process.transfer(x, here.x0, t, s), here, None


@pytest.mark.parametrize(
    "sampler, named",
    [
        (WrongSign(), "point mass|order"),
        (OffByOne(), r"\bx at t\b"),
        (WrongLetter(), r"order .*\d\.\d+.*\b1\b"),
        (FirstOrderHeun("sigma"), "order"),
        (HalvedCurve(), r"order .*[12]\.\d+.*\b3\b"),
        (Forgetful(), r"\bx\b(?! at)"),
        (Neighbourly(), "batch"),
        (TooNoisy(), r"200 steps.*[+-]\d+\.\d%"),
        (Honest(), r"200 steps.*[+-]\d+\.\d%"),
        (Secretive(), "noise.*True.*False"),
        (Hoarding(), "handed"),
        (TooEarly(), "t_min"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else "",
)
def test_a_sampler_with_a_classic_mistake_is_refused(sampler, named):
    with pytest.raises(AssertionError, match=rf"{type(sampler).__name__}\b.*(?:{named})"):
        check_sampler(sampler)


# -- processes, networks, data and objectives with a mistake -----------------------------------------------------------


@dataclass(frozen=True)
class WrongRate(Linear):
    """sigma' with the other sign."""

    def rates(self, t):
        d_alpha, d_sigma = super().rates(t)
        return d_alpha, -d_sigma


@dataclass(frozen=True)
class NoisyStart(VE):
    """Never clean."""

    def scales(self, t):
        alpha, sigma = super().scales(t)
        return alpha, sigma + 0.01


@pytest.mark.parametrize("process, named", [(WrongRate(), "WrongRate.*sigma'"), (NoisyStart(), r"NoisyStart.*t = 0")])
def test_a_process_with_a_mistake_is_refused(process, named):
    with pytest.raises(AssertionError, match=named):
        check_process(process)


class Plain(nn.Module):
    """One layer and the time."""

    def __init__(self):
        super().__init__()
        self.used = nn.Conv2d(1, 1, 1)

    def forward(self, x, code, label=None):
        return self.used(x) + code[:, None, None, None] / 1000


class Idle(Plain):
    """A network in which a layer is never used."""

    def __init__(self):
        super().__init__()
        self.unused = nn.Conv2d(1, 1, 1)


class Normalised(Plain):
    """A network that looks at the whole batch."""

    def forward(self, x, code, label=None):
        return super().forward(x - x.mean(), code)


class Cropping(Plain):
    """A network that loses an edge of odd sizes."""

    def forward(self, x, code, label=None):
        return super().forward(x[..., : x.shape[-1] // 2 * 2], code)


NETWORKS = [
    (Idle(), r"Idle.*gradient.*unused\.weight"),
    (Normalised(), "Normalised.*batch"),
    (Cropping(), r"Cropping.*\(\d+, 1, \d+, \d+\).*\(\d+, 1, \d+, \d+\)"),
]


@pytest.mark.parametrize("net, named", NETWORKS)
def test_a_network_with_a_mistake_is_refused(net, named):
    with pytest.raises(AssertionError, match=named):
        check_network(net, ImageSpec(1, 8, 8))


def test_data_with_a_mistake_are_refused():
    data = load(DataOptions(source="digits"))
    with pytest.raises(AssertionError, match=r"label.*classes"):
        check_dataset(replace(data, labels=data.labels + 3))
    with pytest.raises(AssertionError, match=r"labels.*spec\.classes"):
        check_dataset(replace(data, labels=None))


@dataclass(frozen=True)
class Negative(SNR):
    """A loss that can be bettered for ever."""

    def __call__(self, snr):
        return -snr


@dataclass(frozen=True)
class FromZero(type(TIME_DISTRIBUTIONS["uniform"])):
    """Times that reach the clean image."""

    def sample(self, n, process, generator):
        return super().sample(n, process, generator) - process.t_min - 0.001 * process.t_max


def test_an_objective_with_a_mistake_is_refused():
    with pytest.raises(AssertionError, match=r"Negative.*>= 0"):
        check_objective(Objective(Negative(), TIME_DISTRIBUTIONS["uniform"]))
    with pytest.raises(AssertionError, match=r"FromZero.*-?0"):
        check_objective(Objective(SNR(), FromZero()))
