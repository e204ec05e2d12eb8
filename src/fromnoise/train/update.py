"""One update of the weights: loss, gradient, optimizer; eager, compiled, or captured as a CUDA graph.

loss = mean_i loss_i;   g = grad loss, clipped to a norm;   weights <- optimizer(weights, g, learning rate)
"""

from __future__ import annotations

from contextlib import nullcontext

import torch
from torch import Tensor, nn

from fromnoise.diffusion.denoiser import Denoiser
from fromnoise.diffusion.objective import Objective, TrainingNoise, training_loss
from fromnoise.settings import TrainOptions
from fromnoise.train.cuda_graph import CudaGraphCallable, TensorFunction
from fromnoise.train.hardware import choose_compile, choose_graph


class UpdateStep:
    """Moves the weights of `denoiser.net` by one batch, and returns the batch's losses (B,).

    Nothing in it waits for the device. Where loss or gradient are not finite, nothing moves; that too is decided on
    the device.

    Arguments:
        batch_size: of a full batch. `compile` and `capture` are for these: the last batch of an epoch may be smaller,
            and runs eagerly.
        max_grad_norm: the gradient's norm is clipped to it; None leaves it as it is.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        objective: Objective,
        optimizer: torch.optim.Optimizer,
        batch_size: int,
        max_grad_norm: float | None = None,
    ) -> None:
        self.net, self.objective, self.optimizer = denoiser.net, objective, optimizer
        self.batch_size, self.max_grad_norm = batch_size, max_grad_norm
        device = next(self.net.parameters()).device
        self.compiled = False
        self._denoiser = denoiser
        self._full_batch: TensorFunction = self._update
        self._learning_rate = torch.zeros((), device=device)  # a tensor: a captured step reads it from its place

    def compile(self) -> None:
        """Let torch.compile fuse the network's kernels; `net` itself stays the plain network."""
        self._denoiser = self._denoiser.with_net(torch.compile(self.net, dynamic=False))  # type: ignore[arg-type]
        self.compiled = True

    def capture(self) -> None:
        """Capture the update as a CUDA graph in one of the next calls, and replay it from then on."""
        self._full_batch = CudaGraphCallable(self._update, self._learning_rate.device)

    def __call__(self, x0: Tensor, label: Tensor | None, noise: TrainingNoise, learning_rate: float) -> Tensor:
        """Update with clean images x0 (B, C, H, W), labels (B,) or None and the step's noise, all on the device."""
        self._learning_rate.fill_(learning_rate)
        inputs = (x0, label, noise.eps, noise.t, noise.drop_label)
        if len(x0) == self.batch_size:
            return self._full_batch(*inputs)
        # Compiling for another size would take longer than all such batches.
        with torch.compiler.set_stance("force_eager") if self.compiled else nullcontext():
            return self._update(*inputs)

    def _update(self, x0: Tensor, label: Tensor | None, eps: Tensor, t: Tensor, drop_label: Tensor) -> Tensor:
        terms = training_loss(self._denoiser, self.objective, x0, label, TrainingNoise(eps, t, drop_label))
        loss = terms.mean()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.get_total_norm([p.grad for p in self.net.parameters() if p.grad is not None])
        if self.max_grad_norm is not None:
            nn.utils.clip_grads_with_norm_(self.net.parameters(), self.max_grad_norm, norm)
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate
        # The fused optimizers skip an update where this flag is 1; it is what torch's own gradient scaler sets.
        self.optimizer.found_inf = (~(torch.isfinite(loss.detach()) & torch.isfinite(norm))).float()  # type: ignore[attr-defined]
        self.optimizer.step()
        return terms.per_image.detach()


def build_update(
    denoiser: Denoiser, objective: Objective, optimizer: torch.optim.Optimizer, options: TrainOptions
) -> UpdateStep:
    """The update, compiled and captured where `options` say so or the device gains by it."""
    update = UpdateStep(denoiser, objective, optimizer, options.train_batch_size, options.max_grad_norm)
    kind = next(denoiser.net.parameters()).device.type
    if choose_compile(kind, options.compile).on:
        update.compile()
    if choose_graph(kind, options.cuda_graph).on:
        update.capture()
    return update
