"""The guidance scale as an input: what is learned, on images for which the guided prediction is known."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor, nn

from fromnoise.common.errors import UsageError
from fromnoise.common.image_spec import GuidanceInput, ImageSpec
from fromnoise.common.labels import classes_of, guidance_of, numbers_of, unconditional, with_guidance
from fromnoise.diffusion.denoiser import Denoiser, Estimate
from fromnoise.diffusion.guidance import Autoguidance, BoundedNoise, ClassifierFreeGuidance, GuidanceAsInput
from fromnoise.diffusion.objective import Objective, TrainingNoise, training_loss
from fromnoise.diffusion.prediction import EDM, X0, Eps, Prediction, V, Velocity
from fromnoise.diffusion.process import VE, Linear, Normal, Process, broadcast_like
from fromnoise.diffusion.samplers import SAMPLERS
from fromnoise.diffusion.samplers.loop import sample
from fromnoise.diffusion.time_sampling import TIME_DISTRIBUTIONS
from fromnoise.diffusion.vp import VP
from fromnoise.diffusion.weighting import Unit
from fromnoise.nets import build_net
from fromnoise.nets.unet import UNet
from fromnoise.settings import NetOptions
from fromnoise.testing.oracles import Gaussian, Mixture

SPEC = ImageSpec(1, 2, 2, ("dark", "light"), guidance_input=GuidanceInput(3.0, (0.2, 0.7)))
MEANS, STD = (-0.6, 0.7), 0.3


@dataclass(frozen=True)
class TwoClasses:
    """E[x0 | x_t, class] and E[x0 | x_t] of two classes of normal pixels, and what guidance makes of them."""

    process: Process

    def image(self, xt: Tensor, t: Tensor, label: Tensor) -> Tensor:
        """The guided prediction, by classes, no class and scales in `label`."""
        kinds = [Gaussian(self.process, mean=mean, std=STD) for mean in MEANS]
        whole = Mixture(self.process, weights=(0.5, 0.5), means=MEANS, stds=(STD, STD))
        images = torch.stack([one(xt, t).x0 for one in (*kinds, whole)])
        own, scale = images[classes_of(label), torch.arange(len(xt))], guidance_of(label, 0)
        return own if scale is None else torch.lerp(images[2], own, broadcast_like(scale, xt))


class OracleNet(nn.Module):
    """The output that stands for the oracle's image at time t, plus a parameter for each class and for none."""

    def __init__(self, process: Process, prediction: Prediction, t: Tensor) -> None:
        super().__init__()
        self.process, self.prediction, self.t = process, prediction, t
        self.off = nn.Parameter(torch.zeros(3, dtype=torch.float64))

    def forward(self, x: Tensor, code: Tensor, label: Tensor) -> Tensor:
        t = self.t.expand(len(x))
        xt = x / broadcast_like(self.prediction.input_scale(self.process, t), x)
        x0 = TwoClasses(self.process).image(xt, t, label)
        alpha, sigma = (broadcast_like(one, x) for one in self.process.scales(t))
        p, q = (broadcast_like(one, x) for one in self.prediction.row(self.process, t))
        return p * x0 + q * (xt - alpha * x0) / sigma + self.off[classes_of(label)][:, None, None, None]


@pytest.mark.parametrize(
    ("process", "prediction", "t"),
    [
        (Linear(Normal()), X0(), 0.5),
        (Linear(Normal()), Velocity(), 0.5),
        (VP(), Eps(), 400.0),
        (VP(), V(), 400.0),
        (VE(), EDM(sigma_data=0.7), 0.6),
    ],
)
def test_the_guided_prediction_is_the_optimum(process: Process, prediction: Prediction, t: float):
    """At the oracle the mean gradient is 0 within its error, and not at the unguided one."""
    count = 60_000
    draw = torch.Generator().manual_seed(1)
    label = torch.randint(2, (count,), generator=draw)
    mean = torch.tensor(MEANS, dtype=torch.float64)[label][:, None, None, None]
    x0 = mean + STD * torch.randn(count, 1, 1, 1, generator=draw, dtype=torch.float64)
    noise = torch.randn(count, 1, 1, 1, generator=draw, dtype=torch.float64)
    times = torch.full((count,), t, dtype=torch.float64)
    spec = replace(SPEC, height=1, width=1)
    net = OracleNet(process, prediction, torch.tensor([t], dtype=torch.float64))
    denoiser = Denoiser(net, process, prediction, spec)
    objective = Objective(Unit(), TIME_DISTRIBUTIONS["uniform"])
    kept = torch.zeros(count, dtype=torch.bool)

    def gradient(scale: float) -> tuple[Tensor, Tensor]:
        drawn = TrainingNoise(noise, times, kept, torch.full((count,), scale))
        terms = training_loss(denoiser, objective, x0, label, drawn)
        (slope,) = torch.autograd.grad(terms.mean(), net.off)
        return slope[:2], 2 * terms.per_image.detach().mean().sqrt() / count**0.5

    for scale in (1.0, 2.0, 2.5):
        slope, error = gradient(scale)
        assert (slope.abs() < 4 * error).all(), (scale, slope, error)
    net.forward = lambda x, code, given: OracleNet.forward(net, x, code, classes_of(given))  # type: ignore[method-assign]
    slope, error = gradient(2.0)
    assert (slope.abs() > 8 * error).all()


def test_no_gradient_passes_the_unconditional_prediction():
    process = Linear(Normal())
    net = OracleNet(process, X0(), torch.tensor([0.5], dtype=torch.float64))
    denoiser = Denoiser(net, process, X0(), SPEC)
    seen: list[int] = []
    net.register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
    scale = torch.tensor([1.0, 2.0, 1.0, 2.5])
    drawn = TrainingNoise(
        torch.randn(4, 1, 2, 2).double(),
        torch.full((4,), 0.5).double(),
        torch.tensor([False, False, True, False]),
        scale,
    )
    objective = Objective(Unit(), TIME_DISTRIBUTIONS["uniform"])
    training_loss(
        denoiser, objective, torch.zeros(4, 1, 2, 2).double(), torch.tensor([0, 1, 0, 1]), drawn
    ).mean().backward()
    assert seen == [4, 4]  # the second time the guided images alone, with and without their class
    assert net.off.grad is not None and net.off.grad[2] != 0  # of the image whose label is dropped
    alone = training_loss(
        denoiser, objective, torch.zeros(1, 1, 2, 2).double(), torch.tensor([1]), drawn.part(slice(1, 2))
    )
    (slope,) = torch.autograd.grad(alone.mean(), net.off)
    assert slope[2] == 0 and slope[1] != 0


def test_scales_are_drawn_where_guidance_acts():
    objective = Objective(Unit(), TIME_DISTRIBUTIONS["uniform"], 0.1, guidance=SPEC.guidance_input)
    plain = Objective(Unit(), TIME_DISTRIBUTIONS["uniform"], 0.1)
    drawn, same = (one.draw(Linear(Normal()), (4000, 1, 1, 1), seed=1, step=2) for one in (objective, plain))
    assert torch.equal(drawn.eps, same.eps) and torch.equal(drawn.t, same.t) and same.scale is None
    scale = drawn.scale
    assert scale is not None and 2.9 < float(scale.max()) <= 3 and float(scale.min()) == 1
    guided = scale > 1
    assert not (guided & drawn.drop_label).any()
    assert float(drawn.t[guided].min()) >= 0.2 and float(drawn.t[guided].max()) <= 0.7
    assert 0.15 < float(guided.double().mean()) < 0.3
    assert torch.equal(drawn.part(slice(3, 9)).scale, scale[3:9])  # type: ignore[arg-type]


def test_a_label_carries_the_scale():
    label = torch.tensor([1, 0])
    given = with_guidance(label, torch.tensor([2.0, 1.5]), 0)
    assert torch.equal(classes_of(given), label) and guidance_of(given, 0).tolist() == [2.0, 1.5]  # type: ignore[union-attr]
    assert guidance_of(unconditional(given, 2), 0).tolist() == [1.0, 1.0]  # type: ignore[union-attr]
    numbers = torch.tensor([[1.0, 0.3], [0.0, torch.nan]])
    both = with_guidance(numbers, torch.tensor([2.0, 1.5]), 1)
    assert torch.equal(numbers_of(both, 1).nan_to_num(9), numbers[:, 1:].nan_to_num(9))
    assert guidance_of(numbers, 1) is None and guidance_of(both, 1).tolist() == [2.0, 1.5]  # type: ignore[union-attr]


@pytest.mark.parametrize("kind", ["unet", "dit"])
def test_a_network_with_the_input_is_the_plain_one_at_scale_1(kind: str):
    torch.manual_seed(0)
    net = build_net(NetOptions(kind=kind, width=32, depth=1), SPEC)  # type: ignore[arg-type]
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.1)
    plain = build_net(NetOptions(kind=kind, width=32, depth=1), replace(SPEC, guidance_input=None))  # type: ignore[arg-type]
    extra = set(net.state_dict()) - set(plain.state_dict())
    assert extra == {f"embed.guidance.layers.{i}.{part}" for i in (0, 2) for part in ("weight", "bias")}
    plain.load_state_dict({name: value for name, value in net.state_dict().items() if name not in extra})
    x, code, label = torch.randn(3, 1, 2, 2), torch.tensor([9.0, 500.0, 800.0]), torch.tensor([0, 1, 2])
    one, two = (with_guidance(label, torch.full((3,), scale), 0) for scale in (1.0, 2.0))
    assert torch.equal(net(x, code, one), plain(x, code, label)) and torch.equal(
        net(x, code, label), plain(x, code, label)
    )
    assert not torch.allclose(net(x, code, two), plain(x, code, label))


def test_only_what_is_not_guided_is_bounded():
    torch.manual_seed(0)
    net = UNet(SPEC, width=8, depth=1, bounded=True)
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.5)
    label = with_guidance(torch.tensor([0, 0]), torch.tensor([1.0, 2.0]), 0)
    out = net(torch.randn(1, 1, 2, 2).expand(2, -1, -1, -1), torch.full((2,), 300.0), label)
    assert float(out[0].detach().abs().max()) <= 1 < float(out[1].detach().abs().max())


@pytest.mark.parametrize("kind", ["basic_unet", "unet2d"])
def test_other_networks_refuse(kind: str):
    if kind == "unet2d":
        pytest.importorskip("diffusers")
    with pytest.raises(UsageError, match=kind):
        build_net(NetOptions(kind=kind, channels=(32, 32)), replace(SPEC, height=8, width=8))  # type: ignore[arg-type]


class OracleDenoiser:
    """`TwoClasses` as an estimator, with and without a scale in the label."""

    def __init__(self, process: Process) -> None:
        self.process, self.spec, self.oracle = process, SPEC, TwoClasses(process)

    def num_evaluations(self, t: Tensor, label: Tensor | None) -> int:
        return 1

    def __call__(self, xt: Tensor, t: Tensor, label: Tensor | None = None):
        assert label is not None
        x0 = self.oracle.image(xt, t, label)
        alpha, sigma = (broadcast_like(one, xt) for one in self.process.scales(t))
        return Estimate(x0, (xt - alpha * x0) / sigma, x0)


@pytest.mark.parametrize("name", ["ddim", "unipc_2", "heun"])
def test_it_samples_as_two_evaluations_do_in_one(name: str):
    inner, label = OracleDenoiser(Linear(Normal())), torch.tensor([0, 1, 1])
    grid = torch.linspace(1, 0, 7, dtype=torch.float64)
    ends = []
    for kind in (ClassifierFreeGuidance, GuidanceAsInput):
        *_, last = sample(kind(inner, 2.0, (0.2, 0.7)), seeds=range(3), sampler=SAMPLERS[name], grid=grid, label=label)
        *_, unguided = sample(inner, seeds=range(3), sampler=SAMPLERS[name], grid=grid, label=label)
        ends.append((last, last.evaluations - unguided.evaluations))
    (two, more), (one, none) = ends
    torch.testing.assert_close(one.x, two.x, atol=1e-5, rtol=1e-5)
    assert more >= 3 and none == 0
    assert not torch.allclose(one.x, unguided.x, atol=1e-3)


def test_autoguidance_goes_along():
    inner, xt, t = OracleDenoiser(Linear(Normal())), torch.randn(2, 1, 2, 2), torch.full((2,), 0.5)
    guide = BoundedNoise(inner, floor=0.9)  # another model, as far as it goes
    label = torch.tensor([0, 1])
    ways = (kind(Autoguidance(inner, guide, 1.5), 2.0) for kind in (ClassifierFreeGuidance, GuidanceAsInput))
    one, two = (way(xt, t, label).x0 for way in ways)
    torch.testing.assert_close(one, two, atol=1e-5, rtol=1e-5)
