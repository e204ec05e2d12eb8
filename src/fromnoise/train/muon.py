"""Muon: momentum whose matrices are made orthogonal before each step (Jordan et al. 2024, "Muon").

    M <- m M + (1 - m) G
    W <- (1 - rate decay) W - rate 0.2 sqrt(max(rows, cols)) orthogonal((1 - m) G + m M)

A convolution's kernels (out, in, k, k) are a matrix (out, in k k). The factor makes a step as long as one of Adam's
(Liu et al. 2025, "Muon is scalable", section 2.2), so that one learning rate serves both: whatever is no matrix of
hidden channels (biases, embeddings, the layers that touch pixels) goes by AdamW.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

HIDDEN = 16  # channels on both sides from which on a weight is a matrix between hidden layers
_STEPS = ((3.4445, -4.7750, 2.0315),) * 5


def orthogonal(matrices: Tensor) -> Tensor:
    """About U V^T of each matrix (N, rows, cols) = U S V^T: five Newton-Schulz steps bring every s to 0.7 .. 1.2.

    x <- a x + b x^3 + c x^5 for each singular value x, from matrices scaled to a Frobenius norm of 1. They are all
    polynomials of the Gram matrix, so that the long side is met twice only, however many steps there are.
    """
    wide = matrices if matrices.shape[1] <= matrices.shape[2] else matrices.mT
    x = wide / wide.norm(dim=(1, 2), keepdim=True).clamp(min=1e-12)
    gram, eye = x @ x.mT, torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
    product: Tensor = eye.expand_as(gram)
    for a, b, c in _STEPS:
        factor = a * eye + b * gram + c * (gram @ gram)
        product, gram = factor @ product, factor @ gram @ factor
    found: Tensor = product @ x
    return found if wide is matrices else found.mT


def is_matrix(weight: Tensor) -> bool:
    """Whether `weight` joins hidden channels to hidden channels."""
    return weight.ndim >= 2 and min(weight.shape[:2]) >= HIDDEN


class Muon(torch.optim.Optimizer):
    """Muon for the matrices among the parameters of `net`, AdamW for all others, at one learning rate.

    An update where `found_inf` (a tensor, set before `step`) is 1 changes nothing; that is decided on the device.
    """

    found_inf: Tensor | None = None

    def __init__(
        self, net: nn.Module, lr: float, betas: tuple[float, float], weight_decay: float, momentum: float = 0.95
    ) -> None:
        tables = {id(layer.weight) for layer in net.modules() if isinstance(layer, nn.Embedding)}
        matrices = [p for p in net.parameters() if is_matrix(p) and id(p) not in tables]
        chosen = {id(p) for p in matrices}
        others = [p for p in net.parameters() if id(p) not in chosen]
        groups = [{"params": others, "muon": False}, {"params": matrices, "muon": True}]
        defaults = {"lr": lr, "betas": betas, "weight_decay": weight_decay, "momentum": momentum}
        super().__init__([group for group in groups if group["params"]], defaults)

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One update by the gradients that are there."""
        for group in self.param_groups:
            moved = [p for p in group["params"] if p.grad is not None]
            if group["muon"]:
                for alike in _by_shape(moved):
                    self._orthogonal_step(alike, group)
            elif moved:
                self._adam_step(moved, group)

    def _orthogonal_step(self, weights: list[Tensor], group: dict[str, Any]) -> None:
        """All matrices of one shape together: one batched product instead of many small ones."""
        for weight in weights:
            if not self.state[weight]:
                self.state[weight]["momentum"] = torch.zeros_like(weight)
        buffers = [self.state[weight]["momentum"] for weight in weights]
        gradient, memory = (_stacked(values) for values in ([weight.grad for weight in weights], buffers))
        sound = torch.ones((), device=gradient.device) if self.found_inf is None else 1 - self.found_inf
        gradient = torch.where(sound.bool(), gradient, 0.0)
        memory = memory.lerp(gradient, (1 - group["momentum"]) * sound)
        found = orthogonal(gradient.lerp(memory, group["momentum"]))
        step = sound * group["lr"] * 0.2 * max(found.shape[1:]) ** 0.5 * found
        shrunk = _stacked(weights) * (1 - sound * group["lr"] * group["weight_decay"])
        for old, new in ((buffers, memory), (weights, shrunk - step)):
            torch._foreach_copy_(old, list(new.view(len(weights), *weights[0].shape).unbind()))

    def _adam_step(self, weights: list[Tensor], group: dict[str, Any]) -> None:
        for weight in weights:
            if not self.state[weight]:
                self.state[weight].update(
                    step=torch.zeros((), device=weight.device),
                    exp_avg=torch.zeros_like(weight),
                    exp_avg_sq=torch.zeros_like(weight),
                )
        rows = [self.state[weight] for weight in weights]
        adamw(
            weights,
            [weight.grad for weight in weights],  # type: ignore[misc]
            [row["exp_avg"] for row in rows],
            [row["exp_avg_sq"] for row in rows],
            [],
            [row["step"] for row in rows],
            fused=True,
            found_inf=self.found_inf,
            amsgrad=False,
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=1e-8,
            maximize=False,
        )


def _stacked(values: list[Any]) -> Tensor:
    """Tensors (rows, ...) of one shape as matrices (N, rows, cols)."""
    return torch.stack(values).flatten(2)


def _by_shape(weights: Iterable[Tensor]) -> list[list[Tensor]]:
    found: dict[torch.Size, list[Tensor]] = {}
    for weight in weights:
        found.setdefault(weight.shape, []).append(weight)
    return list(found.values())
