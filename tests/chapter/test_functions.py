"""The chapter's own functions, written out here as the chapter has them, against the library's."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import fromnoise
from fromnoise.chapter.functions import corrupt, sample_with_step
from fromnoise.common.errors import UsageError
from fromnoise.common.image_spec import ImageSpec
from fromnoise.diffusion.vp import VPLinear
from fromnoise.nets.basic_unet import BasicUNet
from fromnoise.nets.unet2d import UNet2D

CLOSE = {torch.float64: 1e-12, torch.float32: 1e-5}


class Odd(nn.Module):
    """A network nobody else has: two random layers with a sine between them."""

    def __init__(self) -> None:
        super().__init__()
        self.into, self.out = nn.Conv2d(1, 7, 3, padding=1), nn.Conv2d(7, 1, 3, padding=1)

    def forward(self, x, code=None, label=None):
        return self.out(torch.sin(3 * self.into(x)))


def chapter_loop(net, x, n_steps):
    """Section 3.4.1 written out: at step i, x moves the share 1 / (n - i) of the way to the prediction."""
    xs, predictions = [x], []
    for i in range(n_steps):
        with torch.no_grad():
            prediction = net(x)
        m = 1 / (n_steps - i)
        x = x * (1 - m) + prediction * m
        predictions.append(prediction)
        xs.append(x)
    return x, xs, predictions


@pytest.mark.parametrize("n_steps", [1, 5, 40])
@pytest.mark.parametrize("make", [BasicUNet, Odd])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_chapters_loop_is_our_sampler(make, n_steps, dtype):
    torch.manual_seed(n_steps)
    net, x = make().to(dtype), torch.rand(3, 1, 28, 28, dtype=dtype)
    theirs, ours = chapter_loop(net, x, n_steps), sample_with_step(net, x, n_steps)
    assert len(ours[1]) == n_steps + 1 and len(ours[2]) == n_steps
    for expected, found in zip([theirs[0], *theirs[1], *theirs[2]], [ours[0], *ours[1], *ours[2]], strict=True):
        assert found.dtype == dtype
        assert (found - expected).abs().max() <= CLOSE[dtype]
    assert (ours[0] - x).abs().max() > 0.01, "nothing moved"


def test_sampling_leaves_its_start_alone_and_ends_at_the_last_prediction():
    torch.manual_seed(0)
    net, x = Odd(), torch.rand(2, 1, 8, 12)
    before = x.clone()
    end, history, predictions = sample_with_step(net, x, 4)
    assert torch.equal(x, before) and torch.equal(history[0], before)
    assert torch.equal(history[-1], end)
    assert torch.allclose(end, predictions[-1], atol=1e-6)


def test_the_network_gets_the_time_code():
    seen = []

    class Listening(nn.Module):
        def forward(self, x, code, label):
            seen.append((code.tolist(), label))
            return x

    sample_with_step(Listening(), torch.rand(2, 1, 4, 4), 4)
    assert seen == [([t, t], None) for t in (1000.0, 750.0, 500.0, 250.0)]


def test_less_than_one_step_is_refused():
    with pytest.raises(UsageError, match="n_steps is 0"):
        sample_with_step(Odd(), torch.rand(1, 1, 4, 4), 0)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_corrupt_is_the_chapters_formula_on_torchs_own_noise(dtype):
    x = torch.rand(5, 3, 6, 4, dtype=dtype, generator=torch.Generator().manual_seed(1))
    amount = torch.linspace(0, 1, 5, dtype=dtype)
    torch.manual_seed(7)
    ours = corrupt(x, amount)
    torch.manual_seed(7)
    noise = torch.rand_like(x)
    share = amount.view(-1, 1, 1, 1)
    assert (ours - (x * (1 - share) + noise * share)).abs().max() <= CLOSE[dtype] / 10
    assert torch.equal(ours[0], x[0]) and torch.equal(ours[-1], noise[-1])


def test_corrupt_takes_its_noise_or_a_generator():
    x, amount, noise = torch.zeros(2, 1, 3, 3), torch.tensor([0.5, 1.0]), torch.rand(2, 1, 3, 3)
    assert torch.equal(corrupt(x, amount, noise=noise), noise * amount.view(-1, 1, 1, 1))
    one, two = (corrupt(x, amount, generator=torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(one, two)


@pytest.mark.parametrize(
    ("x", "amount", "noise", "named"),
    [
        (torch.zeros(2, 1, 3, 3, dtype=torch.uint8), torch.zeros(2), None, r"torch\.uint8"),
        (torch.zeros(2, 1, 3, 3), torch.zeros(3), None, r"amount.*\(3,\).*\b2\b"),
        (torch.zeros(2, 1, 3, 3), torch.zeros(2, 1, 1, 1), None, r"amount.*\(2, 1, 1, 1\).*\b2\b"),
        (torch.zeros(2, 1, 3, 3), torch.zeros(2), torch.zeros(1, 1, 3, 3), r"noise.*\(1, 1, 3, 3\).*\(2, 1, 3, 3\)"),
    ],
)
def test_corrupt_refuses_what_does_not_fit(x, amount, noise, named):
    with pytest.raises(UsageError, match=named):
        corrupt(x, amount, noise=noise)


def test_the_functions_are_found_under_their_names():
    assert fromnoise.corrupt is corrupt and fromnoise.sample_with_step is sample_with_step
    assert fromnoise.BasicUNet is BasicUNet


def test_parameters_and_shapes_are_the_chapters():
    x = torch.rand(8, 1, 28, 28)
    basic, larger = BasicUNet(in_channels=1, out_channels=1), UNet2D(ImageSpec(1, 28, 28), time_conditioning=False)
    assert sum(p.numel() for p in basic.parameters()) == 309_057
    assert sum(p.numel() for p in larger.parameters()) == 1_707_009
    with torch.no_grad():
        assert basic(x).shape == x.shape
        assert larger(x[:1]).shape == x[:1].shape


def test_vp_is_ddpms_process():
    """Against a float64 reference written out here to 1e-12, and against diffusers, which is float32, to 1e-5."""
    from diffusers import DDPMScheduler

    torch.manual_seed(0)
    x, noise = 2 * torch.rand(8, 1, 28, 28, dtype=torch.float64) - 1, torch.randn(8, 1, 28, 28, dtype=torch.float64)
    k = torch.linspace(0, 999, 8).long()
    beta = 1e-4 + (0.02 - 1e-4) * torch.arange(1000, dtype=torch.float64) / 999
    bar = torch.stack([torch.prod(1 - beta[: i + 1]) for i in k.tolist()]).view(-1, 1, 1, 1)
    reference = bar.sqrt() * x + (1 - bar).sqrt() * noise
    assert (VPLinear().corrupt(x, noise, k + 1) - reference).abs().max() <= 1e-12
    theirs = DDPMScheduler(num_train_timesteps=1000).add_noise(x.float(), noise.float(), k)
    assert (VPLinear().corrupt(x.float(), noise.float(), k + 1) - theirs).abs().max() <= 1e-5
