"""Denoisers and their wrappers: what the network is given and what becomes of its output."""

import pytest
import torch
from torch import nn

from fromnoise.common.errors import UsageError
from fromnoise.common.image_spec import ImageSpec
from fromnoise.diffusion.denoiser import Denoiser
from fromnoise.diffusion.guidance import (
    Autoguidance,
    BoundedNoise,
    ClassifierFreeGuidance,
    Clipping,
    DynamicThresholding,
)
from fromnoise.diffusion.objective import Objective, training_loss
from fromnoise.diffusion.prediction import EDM, X0, Eps
from fromnoise.diffusion.process import VE, Linear, Normal, Uniform
from fromnoise.diffusion.samplers.euler import Euler
from fromnoise.diffusion.samplers.loop import sample
from fromnoise.diffusion.time_grids import UniformGrid
from fromnoise.diffusion.time_sampling import UniformTimes
from fromnoise.diffusion.vp import VPLinear
from fromnoise.diffusion.weighting import Unit

SPEC = ImageSpec(1, 4, 4, ("a", "b"))


class Echo(nn.Module):
    """Keeps its inputs, and returns the label's number everywhere."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, x, code, label=None):
        self.inputs = (x, code, label)
        answer = torch.zeros(len(x)) if label is None else label.float()
        return answer.view(-1, 1, 1, 1).expand_as(x) + self.weight


def test_the_network_sees_the_scaled_input_and_the_code():
    net = Echo()
    xt, t = torch.randn(3, 1, 4, 4), torch.tensor([0.1, 1.0, 50.0], dtype=torch.float64)
    Denoiser(net, VE(), EDM(0.5), SPEC)(xt, t, torch.tensor([0, 1, 2]))
    x, code, label = net.inputs
    torch.testing.assert_close(x, xt / (0.25 + t.float() ** 2).sqrt().view(-1, 1, 1, 1))
    torch.testing.assert_close(code, (t.log() / 4).float())
    assert label.tolist() == [0, 1, 2]


def test_impossible_pairs_are_refused_when_composed():
    with pytest.raises(UsageError):
        Denoiser(Echo(), Linear(), Eps(), SPEC)


def test_guidance_scale_one_is_conditional_and_zero_is_not():
    denoiser = Denoiser(Echo(), Linear(), X0(), SPEC)
    xt, t, label = torch.randn(2, 1, 4, 4), torch.full((2,), 0.5).double(), torch.tensor([0, 1])
    torch.testing.assert_close(ClassifierFreeGuidance(denoiser, 1.0)(xt, t, label).x0, denoiser(xt, t, label).x0)
    null = torch.full((2,), SPEC.null_label)
    torch.testing.assert_close(ClassifierFreeGuidance(denoiser, 0.0)(xt, t, label).x0, denoiser(xt, t, null).x0)
    # est = without + scale (with - without): 2 + 3 (label - 2)
    torch.testing.assert_close(
        ClassifierFreeGuidance(denoiser, 3.0)(xt, t, label).x0[:, 0, 0, 0], 2 + 3 * (label.float() - 2)
    )
    outside = ClassifierFreeGuidance(denoiser, 3.0, interval=(0.6, 1.0))(xt, t, label)
    torch.testing.assert_close(outside.x0, denoiser(xt, t, label).x0)


def test_guidance_counts_as_two_evaluations_where_it_pulls():
    denoiser, at = Denoiser(Echo(), Linear(), X0(), SPEC), (torch.full((2,), 0.5).double(), torch.tensor([0, 1]))
    costs = {scale: ClassifierFreeGuidance(denoiser, scale).num_evaluations(*at) for scale in (0.0, 1.0, 3.0)}
    assert costs == {0.0: 1, 1.0: 1, 3.0: 2}
    assert ClassifierFreeGuidance(denoiser, 3.0, interval=(0.6, 1.0)).num_evaluations(*at) == 1
    assert (
        Clipping(ClassifierFreeGuidance(denoiser, 3.0)).num_evaluations(*at) == 2
        and Autoguidance(denoiser, denoiser, 2.0).num_evaluations(*at) == 2
    )


@pytest.mark.parametrize("label", [None, torch.tensor([0, 1])], ids=["unlabelled", "labelled"])
@pytest.mark.parametrize("scale", [0.0, 1.0, 3.0])
@pytest.mark.parametrize("interval", [None, (0.6, 1.0)])
def test_the_nfe_is_what_the_network_evaluates(label, scale, interval):
    net, seen = Echo(), []
    net.register_forward_hook(lambda net, inputs, out: seen.append(len(out)))
    guided = ClassifierFreeGuidance(Denoiser(net, Linear(), X0(), SPEC), scale, interval)
    *_, last = sample(guided, seeds=[0, 1], sampler=Euler(), grid=UniformGrid()(Linear(), 4), label=label)
    assert last.evaluations == sum(seen) / 2


def test_guidance_gives_back_its_contrast():
    """Wholly rescaled, the guided image has the spread of the conditional one; eps still explains x_t."""

    class Slope(Echo):
        def forward(self, x, code, label=None):
            return x * (1 + label.view(-1, 1, 1, 1))

    denoiser = Denoiser(Slope(), Linear(), X0(), SPEC)
    xt, t, label = torch.randn(2, 1, 4, 4), torch.full((2,), 0.5).double(), torch.tensor([0, 1])
    conditional = denoiser(xt, t, label).x0
    plain, half, rescaled = (
        ClassifierFreeGuidance(denoiser, 3.0, rescale=share)(xt, t, label) for share in (0.0, 0.5, 1.0)
    )
    assert (plain.x0.flatten(1).std(1) - conditional.flatten(1).std(1)).abs().min() > 0.1
    torch.testing.assert_close(rescaled.x0.flatten(1).std(1), conditional.flatten(1).std(1))
    # Lin et al. 2024, eq. 16: phi of the rescaled image and 1 - phi of the guided one.
    torch.testing.assert_close(half.x0, 0.5 * rescaled.x0 + 0.5 * plain.x0)
    torch.testing.assert_close(0.5 * rescaled.x0 + 0.5 * rescaled.eps, xt)


def test_a_weaker_model_guides_without_classes():
    better, weaker = (Denoiser(Echo(), Linear(), X0(), ImageSpec(1, 4, 4)) for _ in range(2))
    with torch.no_grad():
        better.net.weight.fill_(1.0)
        weaker.net.weight.fill_(0.25)
        guided = Autoguidance(better, weaker, 2.0)(torch.zeros(1, 1, 4, 4), torch.full((1,), 0.5).double())
    assert guided.x0.unique().tolist() == [0.25 + 2 * 0.75]
    with pytest.raises(UsageError, match=r"VP\(.*Linear\("):
        Autoguidance(better, Denoiser(Echo(), VPLinear(), X0(), ImageSpec(1, 4, 4)), 2.0)


def test_thresholding_draws_in_what_leaves_the_range():
    class Bright(Echo):
        def forward(self, x, code, label=None):
            return torch.linspace(-4, 4, 16).view(1, 1, 4, 4).expand_as(x) * x[:, :, :1, :1]

    denoiser = Denoiser(Bright(), Linear(), X0(), ImageSpec(1, 4, 4, low=-1.0))
    xt, t = torch.tensor([1.0, 0.1]).view(2, 1, 1, 1).expand(2, 1, 4, 4), torch.full((2,), 0.5).double()
    inside = DynamicThresholding(denoiser, 1.0)(xt, t)
    torch.testing.assert_close(inside.x0[0, 0].flatten(), torch.linspace(-1, 1, 16))
    torch.testing.assert_close(inside.x0[1], denoiser(xt, t).x0[1])  # what lies in range stays
    torch.testing.assert_close(0.5 * inside.x0 + 0.5 * inside.eps, xt)
    clipped = DynamicThresholding(denoiser, 0.5)(xt, t).x0[0]
    assert (clipped.abs() == 1).sum() >= 8 and clipped.abs().max() == 1


def test_noise_is_bounded_where_there_is_little_only():
    denoiser = Denoiser(Echo(), Linear(), X0(), ImageSpec(1, 4, 4))
    xt, t = torch.randn(4, 1, 4, 4), torch.tensor([1.0, 0.2, 0.05, 1e-9], dtype=torch.float64)
    free, bounded = denoiser(xt, t), BoundedNoise(denoiser, floor=0.1)(xt, t)
    assert torch.equal(bounded.x0[:2], free.x0[:2]) and torch.equal(bounded.eps[:2], free.eps[:2])
    torch.testing.assert_close(bounded.eps[2:], (xt - free.x0 * (1 - t.float().view(-1, 1, 1, 1)))[2:] / 0.1)
    torch.testing.assert_close(0.95 * bounded.x0[2] + 0.05 * bounded.eps[2], xt[2])
    torch.testing.assert_close(bounded.x0[3], xt[3])


def test_guidance_without_classes_is_refused():
    denoiser = Denoiser(Echo(), Linear(), X0(), ImageSpec(1, 4, 4))
    with pytest.raises(UsageError, match="guidance_scale"):
        ClassifierFreeGuidance(denoiser, 2.0)


def test_clipping_keeps_x_t_explained():
    denoiser = Denoiser(Echo(), VPLinear(), X0(), SPEC)
    t = torch.tensor([500.0], dtype=torch.float64)
    xt = torch.randn(1, 1, 4, 4)
    estimate = Clipping(denoiser)(xt, t, torch.tensor([2]))
    assert (estimate.x0 == 1).all()
    torch.testing.assert_close(VPLinear().corrupt(estimate.x0, estimate.eps, t), xt)


def test_training_loss_is_the_chapters():
    net = Echo()
    denoiser = Denoiser(net, Linear(Uniform()), X0(), ImageSpec(1, 4, 4, low=0.0))
    objective = Objective(Unit(), UniformTimes())
    x0 = torch.rand(8, 1, 4, 4)
    noise = objective.draw(denoiser.process, tuple(x0.shape), seed=3, step=5)
    loss = training_loss(denoiser, objective, x0, None, noise)
    amount = noise.t.float().view(-1, 1, 1, 1)
    torch.testing.assert_close(net.inputs[0], x0 * (1 - amount) + noise.eps * amount)
    torch.testing.assert_close(loss.per_image, (x0**2).flatten(1).mean(1))


def test_draws_are_functions_and_labels_are_dropped_one_by_one():
    objective = Objective(Unit(), UniformTimes(), label_dropout=0.25)
    first, again = (objective.draw(Linear(Normal()), (4000, 1, 1, 1), seed=1, step=2) for _ in range(2))
    assert (
        torch.equal(first.eps, again.eps)
        and torch.equal(first.t, again.t)
        and torch.equal(first.drop_label, again.drop_label)
    )
    other = objective.draw(Linear(Normal()), (4000, 1, 1, 1), seed=1, step=3)
    assert not torch.equal(first.eps, other.eps)
    assert 0.22 < first.drop_label.float().mean() < 0.28
    net = Echo()
    denoiser = Denoiser(net, Linear(), X0(), SPEC)
    training_loss(denoiser, objective, torch.zeros(4000, 1, 1, 1), torch.ones(4000, dtype=torch.long), first)
    assert torch.equal(net.inputs[2] == SPEC.null_label, first.drop_label)
