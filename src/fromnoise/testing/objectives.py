"""What every training objective has to keep, on every process and for every prediction that go with it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fromnoise.common.image_spec import ImageSpec
from fromnoise.diffusion.denoiser import Denoiser
from fromnoise.diffusion.objective import Objective, TrainingNoise, training_loss
from fromnoise.diffusion.prediction import PREDICTIONS, Prediction, prediction_target, solve_x0_eps
from fromnoise.diffusion.process import Process
from fromnoise.testing.expect import expect, expect_close, random
from fromnoise.testing.pairs import compatible_pairs, is_compatible

SPEC = ImageSpec(1, 3, 3, ("a", "b"))
COUNT = 2000


def check_objective(objective: Objective) -> None:
    """AssertionError where `objective` breaks a promise: draws are a function of seed and step, times stay in range,
    labels are dropped image by image, the right output has no loss, and a wrong one w(SNR) times its x0 error.
    """
    taken = 0
    for pair, (prediction, process) in compatible_pairs({name: make() for name, make in PREDICTIONS.items()}).items():
        if not is_compatible(objective.times, process):
            continue
        taken += 1
        where = f"{type(objective.weighting).__name__} with {type(objective.times).__name__}, {pair}"
        _check_draw(objective, process, where)
        _check_loss(objective, process, prediction, where)
    expect(taken > 0, f"{objective}: it refuses every process and prediction")


def _check_draw(objective: Objective, process: Process, where: str) -> None:
    shape = (COUNT, *SPEC.shape)
    one, same, other = (objective.draw(process, shape, seed=0, step=step) for step in (3, 3, 4))
    expect(torch.equal(one.eps, same.eps) and torch.equal(one.t, same.t), f"{where}: the same step draws differently")
    expect(not torch.equal(one.eps, other.eps), f"{where}: two steps draw the same noise")
    low, high = float(one.t.min()), float(one.t.max())
    expect(
        low > 0 and low >= process.t_min and high <= process.t_max, f"{where}: times from {low:g} to {high:g} are drawn"
    )
    share = float(one.drop_label.double().mean())
    expect(abs(share - objective.label_dropout) < 0.04, f"{where}: {share:.1%} of the labels are dropped")


class _Constant(nn.Module):
    """A network whose output is always the same."""

    def __init__(self, output: Tensor) -> None:
        super().__init__()
        self.output = nn.Parameter(output)

    def forward(self, x: Tensor, code: Tensor, label: Tensor | None = None) -> Tensor:
        return self.output


def _check_loss(objective: Objective, process: Process, prediction: Prediction, where: str) -> None:
    drawn = objective.draw(process, (64, *SPEC.shape), seed=0, step=0)
    drawn = TrainingNoise(
        drawn.eps.double(), drawn.t.clamp(1e-3 * process.t_max, 0.99 * process.t_max), drawn.drop_label
    )
    x0, label = random(64, *SPEC.shape), torch.zeros(64, dtype=torch.int64)
    truth = prediction_target(prediction, process, x0, drawn.eps, drawn.t)

    def loss(output: Tensor) -> Tensor:
        denoiser = Denoiser(_Constant(output), process, prediction, SPEC)
        return training_loss(denoiser, objective, x0, label, drawn).per_image.detach()

    expect_close(loss(truth), torch.zeros(64), 1e-9, f"{where}: the right output has a loss")
    wrong = truth + 0.1
    losses = loss(wrong).double()
    expect(losses.shape == (64,) and bool((losses >= 0).all()), f"{where}: the loss is one number >= 0 an image")
    if objective.weighting.in_output_space:
        return
    found, _ = solve_x0_eps(prediction, process, process.corrupt(x0, drawn.eps, drawn.t), drawn.t, wrong)
    error = ((found - x0) ** 2).flatten(1).mean(1)
    wanted = objective.weighting(process.snr(drawn.t)) * error
    expect_close(losses / wanted, torch.ones(64).double(), 1e-3, f"{where}: not w(SNR) times the x0 error")
