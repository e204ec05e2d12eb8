"""What the optimizer is given: clipped gradients, beta2 and weight decay."""

import pytest
import torch
from torch import nn


@pytest.fixture
def after_a_step(make_trainer):
    """after_a_step(**train options): a trainer after its first step, at the full learning rate."""

    def step(**options):
        trainer = make_trainer(lr_warmup_images=0, **options)
        next(trainer.steps())
        return trainer

    return step


@pytest.mark.parametrize("limit", [1e-3, 1e-2])
def test_the_gradients_norm_is_clipped(after_a_step, limit):
    def norm(**options):
        return float(nn.utils.get_total_norm([p.grad for p in after_a_step(**options).net.parameters()]))

    assert norm(max_grad_norm=None) > 0.05
    assert norm(max_grad_norm=limit) == pytest.approx(limit, rel=1e-3)


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "muon"])
def test_adams_second_beta_is_the_settings(after_a_step, optimizer):
    groups = after_a_step(optimizer=optimizer, adam_beta2=0.7).optimizer.param_groups
    assert all(group["betas"] == (0.9, 0.7) for group in groups if "betas" in group)
    assert any("betas" in group for group in groups)


def test_weight_decay_shrinks_weights_by_rate_times_decay(make_trainer, after_a_step):
    """AdamW: w <- w - rate * decay * w before Adam's own move, which does not know of it (Loshchilov & Hutter 2019)."""
    start = [p.detach().clone() for p in make_trainer().net.parameters()]
    plain, decayed = (after_a_step(optimizer="adamw", learning_rate=0.01, weight_decay=decay) for decay in (0.0, 5.0))
    for begin, a, b in zip(start, plain.net.parameters(), decayed.net.parameters(), strict=True):
        torch.testing.assert_close(a - b, 0.01 * 5.0 * begin, rtol=1e-4, atol=1e-6)
