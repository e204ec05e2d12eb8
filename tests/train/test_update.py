"""One update: the plain training step of torch, and nothing at all where it is not finite."""

import copy
import functools
import math

import pytest
import torch

from fromnoise.diffusion.objective import training_loss
from fromnoise.train.update import UpdateStep


def step_inputs(trainer, step=0):
    x0 = trainer.denoiser.spec.encode(trainer.batches.batch(step)[0])
    return x0, trainer.objective.draw(trainer.denoiser.process, tuple(x0.shape), seed=0, step=step)


def weights(net):
    return torch.cat([p.detach().flatten() for p in net.parameters()])


def everything(trainer):
    """Weights and the optimizer's state."""
    state = [value for row in trainer.optimizer.state.values() for value in row.values()]
    return [tensor.clone() for tensor in (*trainer.net.parameters(), *state)]


@pytest.mark.parametrize("max_grad_norm", [None, 0.01])
def test_an_update_is_torchs_own_step(make_trainer, max_grad_norm):
    trainer = make_trainer(max_grad_norm=max_grad_norm, adam_beta2=0.9, weight_decay=0.1)
    net = copy.deepcopy(trainer.net)
    denoiser = trainer.denoiser.with_net(net)
    plain = torch.optim.AdamW(net.parameters(), betas=(0.9, 0.9), weight_decay=0.1)
    for step in range(3):
        x0, noise = step_inputs(trainer, step)
        losses = trainer.update(x0, None, noise, learning_rate=0.02)
        terms = training_loss(denoiser, trainer.objective, x0, None, noise)
        plain.zero_grad()
        terms.mean().backward()
        if max_grad_norm is not None:
            torch.nn.utils.clip_grad_norm_(net.parameters(), max_grad_norm)
        plain.param_groups[0]["lr"] = 0.02
        plain.step()
        torch.testing.assert_close(losses, terms.per_image.detach())
        torch.testing.assert_close(weights(trainer.net), weights(net))


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "muon"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_step_that_is_not_finite_moves_nothing(make_trainer, optimizer, value):
    trainer = make_trainer(hidden=True, optimizer=optimizer)
    x0, noise = step_inputs(trainer)
    trainer.update(x0, None, noise, learning_rate=0.01)
    before = everything(trainer)
    losses = trainer.update(torch.full_like(x0, value), None, noise, learning_rate=0.01)
    assert not losses.mean().isfinite()
    assert all(torch.equal(a, b) for a, b in zip(before, everything(trainer), strict=True))
    trainer.update(x0, None, noise, learning_rate=0.01)
    assert not torch.equal(before[0], next(trainer.net.parameters()))


def test_a_smaller_batch_does_not_go_through_the_function_for_full_ones(make_trainer, monkeypatch):
    trainer = make_trainer()
    calls = []
    monkeypatch.setattr(trainer.update, "_full_batch", lambda *inputs: calls.append(len(inputs[0])) or torch.zeros(8))
    x0, noise = step_inputs(trainer)
    trainer.update(x0, None, noise, learning_rate=0.01)
    half = trainer.objective.draw(trainer.denoiser.process, (4, 1, 4, 4), seed=0, step=1)
    assert len(trainer.update(x0[:4], None, half, learning_rate=0.01)) == 4 and calls == [8]


def test_a_compiled_update_is_the_plain_one_and_leaves_the_network_plain(make_trainer, monkeypatch):
    plain, compiled = make_trainer(), make_trainer()
    # The backend "eager" traces the network without compiling kernels, which would take a minute.
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager"))
    update = UpdateStep(compiled.denoiser, compiled.objective, compiled.optimizer, 8)
    update.compile()
    kind = type(compiled.net)
    for step in range(2):
        x0, noise = step_inputs(plain, step)
        small = plain.objective.draw(plain.denoiser.process, (4, 1, 4, 4), seed=1, step=step)
        for one in (plain.update, update):
            one(x0, None, noise, learning_rate=0.01)
            one(x0[:4], None, small, learning_rate=0.01)
    torch.testing.assert_close(weights(compiled.net), weights(plain.net))
    assert type(compiled.net) is kind and update.net is compiled.net is compiled.denoiser.net
