"""What the optimiser is given: clipped gradients, beta2, weight decay, and a rate that falls to 0."""

import pytest
import torch
from torch import nn

from fromnoise.common.image_spec import ImageSpec
from fromnoise.diffusion.denoiser import Denoiser
from fromnoise.diffusion.objective import Objective
from fromnoise.diffusion.prediction import X0
from fromnoise.diffusion.process import Linear
from fromnoise.diffusion.time_sampling import UniformTimes
from fromnoise.diffusion.weighting import Unit
from fromnoise.settings import TrainOptions
from fromnoise.train.lr_schedule import learning_rate
from fromnoise.train.trainer import Trainer

SPEC = ImageSpec(1, 4, 4)


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, x, code, label=None):
        return self.layer(x)


class Fixed:
    steps_per_epoch = 5

    def batch(self, step):
        return torch.full((8, 1, 4, 4), 40 * (step % 5), dtype=torch.uint8), None

    def images_before(self, step):
        return 8 * step


def after_a_step(**options):
    torch.manual_seed(0)
    denoiser = Denoiser(Layer(), Linear(), X0(), SPEC)
    options = TrainOptions(train_batch_size=8, lr_warmup_images=0, **options)
    trainer = Trainer(denoiser, Objective(Unit(), UniformTimes()), Fixed(), options, total=80)
    next(trainer.steps())
    return trainer


@pytest.mark.parametrize("limit", [1e-3, 1e-2])
def test_the_gradients_norm_is_clipped(limit):
    def norm(**options):
        return float(nn.utils.get_total_norm([p.grad for p in after_a_step(**options).net.parameters()]))

    assert norm(max_grad_norm=None) > 0.05
    assert norm(max_grad_norm=limit) == pytest.approx(limit, rel=1e-3)


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "muon"])
def test_adams_second_beta_is_the_settings(optimizer):
    groups = after_a_step(optimizer=optimizer, adam_beta2=0.7).optimizer.param_groups
    assert all(group["betas"] == (0.9, 0.7) for group in groups if "betas" in group)
    assert any("betas" in group for group in groups)


def test_weight_decay_shrinks_weights_by_rate_times_decay():
    """AdamW: w <- w - rate * decay * w before Adam's own move, which does not know of it (Loshchilov & Hutter 2019)."""
    torch.manual_seed(0)
    start = [p.detach().clone() for p in Layer().parameters()]
    plain, decayed = (after_a_step(optimizer="adamw", learning_rate=0.01, weight_decay=decay) for decay in (0.0, 5.0))
    for begin, a, b in zip(start, plain.net.parameters(), decayed.net.parameters(), strict=True):
        torch.testing.assert_close(a - b, 0.01 * 5.0 * begin, rtol=1e-4, atol=1e-6)


def test_the_linear_schedule_is_half_at_half_way_and_zero_at_the_end():
    options = TrainOptions(learning_rate=2.0, lr_schedule="linear", lr_warmup_images=0)
    rates = [learning_rate(options, images, 1000) for images in (0, 250, 500, 750, 1000, 1200)]
    assert rates == pytest.approx([2.0, 1.5, 1.0, 0.5, 0.0, 0.0])
