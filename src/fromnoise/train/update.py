"""One update of the weights: loss, gradient, optimizer; eager, compiled, or captured as a CUDA graph.

loss = mean_i loss_i;   g = grad loss, clipped to a norm;   weights <- optimizer(weights, g, learning rate)

Where memory runs out, the gradient is the sum over micro-batches of the same batch with the same noise:

    g = sum_k grad (1/B sum_{i in micro-batch k} loss_i)
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext

import torch
from torch import Tensor, nn

from fromnoise.common.errors import MemoryLimitError
from fromnoise.common.memory import is_out_of_memory, release_memory
from fromnoise.diffusion.denoiser import Denoiser
from fromnoise.diffusion.objective import LossTerms, Objective, TrainingNoise, training_loss
from fromnoise.train.cuda_graph import CudaGraphCallable, TensorFunction
from fromnoise.train.rounded import Rounded


class UpdateStep:
    """Moves the weights of `denoiser.net` by one batch, and returns the batch's losses (B,).

    Nothing in it waits for the device. Where loss or gradient are not finite, nothing moves; that too is decided on
    the device. Where memory runs out, the step is done again with micro-batches of half the size: before the optimizer
    moves weights, an attempt that fails leaves all as it was.

    Arguments:
        batch_size: of a full batch. `compile` and `capture` are for these: the last batch of an epoch may be smaller,
            and runs eagerly.
        max_grad_norm: the gradient's norm is clipped to it; None leaves it as it is.

    Attributes:
        micro_batch: the most images that go through the network at once; fewer where memory runs out.
        moving: whether weights are being moved, so that they are those of no step.
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
        self.micro_batch = batch_size
        self._parameters = list(self.net.parameters())  # listed once: a walk through the modules takes a while
        device = next(self.net.parameters()).device
        self.compiled = False
        self.moving = False  # while the optimizer moves weights, after which nothing can be done again
        self._denoiser = denoiser
        self._rounded: Rounded | None = None
        if denoiser.autocast and device.type == "cpu":
            self._rounded = Rounded(self.net, denoiser.autocast)
            self._denoiser = denoiser.with_net(self._rounded.net)
        self._full_batch: TensorFunction = self._update
        self._learning_rate = torch.zeros((), device=device)  # a tensor: a captured step reads it from its place

    def compile(self) -> None:
        """Let torch.compile fuse the network's kernels; `net` itself stays the plain network."""
        self._denoiser = self._denoiser.with_net(torch.compile(self.net, dynamic=False))  # type: ignore[arg-type]
        self.compiled, self._rounded = True, None

    def capture(self) -> None:
        """Capture the update as a CUDA graph in one of the next calls, and replay it from then on."""
        self._full_batch = CudaGraphCallable(self._update, self._learning_rate.device)

    def __call__(self, x0: Tensor, label: Tensor | None, noise: TrainingNoise, learning_rate: float) -> Tensor:
        """Update with clean images x0 (B, C, H, W), labels (B,) or None and the step's noise, all on the device.

        Raises MemoryLimitError, and has moved nothing, where a single image does not fit the memory.
        """
        self._learning_rate.fill_(learning_rate)
        while True:
            try:
                return self._attempt(x0, label, noise.eps, noise.t, noise.drop_label, noise.scale)
            except (MemoryError, RuntimeError, MemoryLimitError) as error:  # the last from parts without a gradient
                if self.moving or not (isinstance(error, MemoryLimitError) or is_out_of_memory(error)):
                    raise
            # Here and not above: the error holds on to all that was computed.
            self._halve(min(len(x0), self.micro_batch))

    def _attempt(self, x0: Tensor, *others: Tensor | None) -> Tensor:
        if len(x0) == self.batch_size:
            return self._full_batch(x0, *others)
        # Compiling for another size would take longer than all such batches.
        with torch.compiler.set_stance("force_eager") if self.compiled else nullcontext():
            return self._update(x0, *others)  # type: ignore[arg-type]

    def _halve(self, tried: int) -> None:
        """Use micro-batches of half of `tried`; MemoryLimitError below one image."""
        captured = isinstance(self._full_batch, CudaGraphCallable)
        if captured:  # its memory is free again; it is captured anew, or at a single image no more
            self._full_batch = self._update
        if tried <= 1 and not captured:
            raise MemoryLimitError(
                "a training step does not fit the memory, not even with one image at a time; use a smaller network "
                "(such as --set net.width=16) or a lower --resolution, or free some memory"
            )
        self.optimizer.zero_grad(set_to_none=True)
        release_memory()
        self.micro_batch = -(-tried // 2)
        if captured and tried > 1:
            self.capture()

    def _update(self, x0: Tensor, label: Tensor | None, *noise: Tensor) -> Tensor:
        self.optimizer.zero_grad(set_to_none=True)
        loss, per_image = self._gradient(x0, label, TrainingNoise(*noise), len(x0))
        finite = self._move(loss)
        per_image = torch.where(finite, per_image, torch.nan)  # a step that moved nothing has no loss
        self.moving = False
        return per_image

    def _move(self, loss: Tensor) -> Tensor:
        """Clip the gradient and move the weights, unless it or `loss` is not finite; returns whether they are.

        `moving` holds until the caller has all that it needs memory for.
        """
        norm = nn.utils.get_total_norm([p.grad for p in self._parameters if p.grad is not None])
        if self.max_grad_norm is not None:
            nn.utils.clip_grads_with_norm_(self._parameters, self.max_grad_norm, norm)
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate
        # The fused optimizers skip an update where this flag is 1; it is what torch's own gradient scaler sets.
        finite = torch.isfinite(loss) & torch.isfinite(norm)
        self.optimizer.found_inf = (~finite).to(torch.float32)  # type: ignore[attr-defined]
        # A step that is captured moves nothing yet.
        self.moving = not (loss.is_cuda and torch.cuda.is_current_stream_capturing())
        if loss.device.type != "mps" or finite:  # there the kernels do not look at the flag
            self.optimizer.step()
        return finite

    def _gradient(self, x0: Tensor, label: Tensor | None, noise: TrainingNoise, count: int) -> tuple[Tensor, Tensor]:
        """Add the gradient of the sum of losses / count to the weights'; returns (that sum, losses (B,))."""
        losses, per_image = [], []
        if self._rounded:
            self._rounded.refresh()
        for part in self._micro_batches(len(x0)):
            terms = self._terms(part, x0, label, noise)
            loss = terms.mean() if len(terms.per_image) == count else terms.per_image.sum() / count
            loss.backward()
            if self._rounded:
                self._rounded.hand_over()
            losses.append(loss.detach())
            per_image.append(terms.per_image.detach())
        if len(losses) == 1:
            return losses[0], per_image[0]
        return torch.stack(losses).sum(), torch.cat(per_image)

    def _terms(self, part: slice, x0: Tensor, label: Tensor | None, noise: TrainingNoise) -> LossTerms:
        """The losses of these images of the batch."""
        label = None if label is None else label[part]
        return training_loss(self._denoiser, self.objective, x0[part], label, noise.part(part))

    def _micro_batches(self, count: int) -> Iterator[slice]:
        """Slices of at most `micro_batch` images that cover 0 to `count`."""
        return (slice(begin, begin + self.micro_batch) for begin in range(0, count, self.micro_batch))
