"""One update by many processes: each has the gradient of its share of the batch, and all take the sum.

    g = sum over processes, sum over its slots i of grad loss_i / B

All gradients travel in one row, with the loss and a mark for each parameter that has a gradient. It is sent after the
last backward pass, not piece by piece within it: so a process whose memory runs out does its share again with smaller
micro-batches while the others wait, and one that fails makes all stop before any weight has moved.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fromnoise.common.errors import UsageError
from fromnoise.common.text import count
from fromnoise.diffusion.denoiser import Denoiser
from fromnoise.diffusion.objective import Objective, TrainingNoise
from fromnoise.settings import TrainOptions
from fromnoise.train.hardware import choose_compile, choose_graph
from fromnoise.train.row import parts
from fromnoise.train.update import UpdateStep
from fromnoise.train.votes import Votes


class SharedUpdate(UpdateStep):
    """`UpdateStep` for this process's share of a batch; returns the mean loss of the whole batch, (1,).

    Arguments:
        batch_size: of a full batch, all processes together.
        votes: agreed on after the gradient of the share is there, and before weights move.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        objective: Objective,
        optimizer: torch.optim.Optimizer,
        batch_size: int,
        max_grad_norm: float | None,
        votes: Votes,
    ) -> None:
        group = votes.group
        share = len(range(batch_size)[group.slots])
        super().__init__(denoiser, objective, optimizer, share, max_grad_norm)
        self.group, self.votes, self.whole = group, votes, batch_size
        self._weights: list[Tensor] = [p for p in self.net.parameters() if p.requires_grad]
        self._row, self._gradients = _row_for(self._weights)
        self._marks = self._row.new_zeros(len(self._weights))  # 1 where this process has a gradient
        self._own: list[bool] = []  # the same, by parameter
        self._read: tuple[list[bool], list[bool]] = [], []  # `_own`, and where any process had one, when that was read

    def __call__(self, x0: Tensor, label: Tensor | None, noise: TrainingNoise, learning_rate: float) -> Tensor:
        """Update with the share's images and labels, and the noise of the whole batch.

        Raises what `Votes.agree` does, and has moved nothing then.
        """
        images, failed = len(noise.t), None
        try:
            if len(x0):
                super().__call__(x0, label, noise.part(self.group.slots), learning_rate)
            else:  # of a last batch with fewer images than there are processes
                self._learning_rate.fill_(learning_rate)
                self._row.zero_()
        except Exception as error:
            failed = error
        self.votes.agree(failed)
        self.group.sum_(self._row)
        if images != self.whole:
            self._row.mul_(self.whole / images)
        self._take_gradients()
        loss = torch.where(self._move(self._row[-1]), self._row[-1:], torch.nan)
        self.moving = False
        return loss

    def _update(self, x0: Tensor, label: Tensor | None, *noise: Tensor) -> Tensor:
        """Put the gradient of the share into the row: the sum of its losses' gradients, divided by the whole batch."""
        self.optimizer.zero_grad(set_to_none=True)
        loss, per_image = self._gradient(x0, label, TrainingNoise(*noise), self.whole)
        own = [weight.grad is not None for weight in self._weights]
        if own != self._own:
            self._own = own
            self._marks.copy_(torch.tensor(own))
        for weight, place in zip(self._weights, self._gradients, strict=True):
            if weight.grad is None:
                place.zero_()
            else:
                place.copy_(weight.grad)
        self._row[-len(own) - 1 : -1].copy_(self._marks)
        self._row[-1].copy_(loss)
        return per_image

    def _take_gradients(self) -> None:
        """Give each weight its part of the sum; none to those for which no process has any."""
        own, moved = self._read
        if own != self._own or not moved or self._row.device.type == "cpu":  # reading waits for a GPU
            moved = (self._row[-len(self._weights) - 1 : -1] > 0).tolist()
            self._read = self._own, moved
        for weight, place, has in zip(self._weights, self._gradients, moved, strict=True):
            weight.grad = place.to(weight.dtype) if has else None


def _row_for(weights: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
    """(zeros for all gradients, a mark for each and the loss; the place of each gradient, laid out as its weight)."""
    row = weights[0].new_zeros(sum(weight.numel() for weight in weights) + len(weights) + 1).detach()
    return row, parts(row, weights)  # the fused optimizers walk memory


def check_shares(options: TrainOptions, world: int) -> None:
    """UsageError where a process would have no image of a batch, or fewer than micro-batches."""
    batch, parts = options.train_batch_size, options.gradient_accumulation_steps
    if world > batch:
        raise UsageError(
            f"there are {world} processes, but only {count(batch, 'image')} in a batch; start fewer "
            "processes, or give a larger --train_batch_size"
        )
    share = -(-batch // world)
    if parts > share:
        raise UsageError(
            f"gradient_accumulation_steps is {parts}, but a process has only {count(share, 'image')} in a batch; give "
            f"at most {share}"
        )


def build_update(
    denoiser: Denoiser, objective: Objective, optimizer: torch.optim.Optimizer, options: TrainOptions, votes: Votes
) -> UpdateStep:
    """The update of the processes that vote, compiled and captured where `options` say so or the device gains by it."""
    parts = (denoiser, objective, optimizer, options.train_batch_size, options.max_grad_norm)
    update = UpdateStep(*parts) if votes.group.world == 1 else SharedUpdate(*parts, votes)
    update.micro_batch = -(-update.batch_size // options.gradient_accumulation_steps)
    kind = next(denoiser.net.parameters()).device.type
    if choose_compile(kind, options.compile).on:
        update.compile()
    if choose_graph(kind, options.cuda_graph).on:
        update.capture()
    return update
