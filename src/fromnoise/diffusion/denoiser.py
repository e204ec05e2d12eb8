"""A network, a process and a prediction make a denoiser: an estimate of the clean image and of the noise in x_t."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from fromnoise.common.image_spec import ImageSpec
from fromnoise.common.memory import BatchLimit
from fromnoise.diffusion.prediction import Prediction, solve_x0_eps
from fromnoise.diffusion.process import Process, broadcast_like


@dataclass(frozen=True)
class Estimate:
    """Estimates at x_t: clean image x0, noise eps, and raw network output out, each (B, C, H, W).

    guidance: the scale of the classifier-free guidance that acted; estimates of two scales are not of one flow.
    """

    x0: Tensor
    eps: Tensor
    out: Tensor
    guidance: float = 1.0


class Estimator(Protocol):
    """Anything that maps (x_t, t, label) to an Estimate: a Denoiser, or one that wraps it."""

    @property
    def process(self) -> Process:
        """The path that x_t lies on."""

    @property
    def spec(self) -> ImageSpec:
        """Shape, classes and range of the images."""

    def num_evaluations(self, t: Tensor, label: Tensor | None) -> int:
        """How many evaluations of a network one call at times t (B,) with label (B,) or None takes."""

    def __call__(self, xt: Tensor, t: Tensor, label: Tensor | None = None) -> Estimate: ...


class Denoiser(nn.Module):
    """out = net(c_in x_t, code(t), label);  (x0, eps) by the prediction's 2x2 solve.

    Arguments:
        net: called as net(x, code, label); any nn.Module.
        spec: shape, classes and range of the images.
        autocast: the type that the network, and only the network, computes in; None for float32.
        limit: how many images the network is shown at once where there is no gradient; lowered as memory runs out.

    Raises:
        UsageError: where the prediction cannot be solved on the process.
    """

    def __init__(
        self,
        net: nn.Module,
        process: Process,
        prediction: Prediction,
        spec: ImageSpec,
        autocast: torch.dtype | None = None,
        limit: BatchLimit | None = None,
    ) -> None:
        super().__init__()
        prediction.check(process)
        self.net = net
        self.process = process
        self.prediction = prediction
        self.spec = spec
        self.autocast = autocast
        self.limit = limit or BatchLimit()

    def with_net(self, net: nn.Module) -> Denoiser:
        """The same around `net`, which is shared and not copied."""
        return Denoiser(net, self.process, self.prediction, self.spec, self.autocast, self.limit)

    def num_evaluations(self, t: Tensor, label: Tensor | None) -> int:
        """One."""
        return 1

    def predict(self, xt: Tensor, t: Tensor, label: Tensor | None = None) -> Tensor:
        """The network's output (B, C, H, W) in x_t's type, for x_t (B, C, H, W), t (B,), label (B,) or None."""
        scaled = broadcast_like(self.prediction.input_scale(self.process, t), xt) * xt
        code = self.process.code(t).to(device=xt.device, dtype=torch.float32)
        # Only the network may round to bf16: the solve below divides by small numbers.
        with torch.autocast(xt.device.type, dtype=self.autocast, enabled=self.autocast is not None):
            out = self._evaluate(scaled, code, label)
        return out.to(xt.dtype)

    def _evaluate(self, scaled: Tensor, code: Tensor, label: Tensor | None) -> Tensor:
        """The network's own output; without a gradient, of a part of the batch at a time where memory asks for it."""

        def part(rows: slice) -> Tensor:
            return cast(Tensor, self.net(scaled[rows], code[rows], None if label is None else label[rows]))

        if torch.is_grad_enabled():  # a training step, which has micro-batches of its own
            return cast(Tensor, self.net(scaled, code, label))
        return self.limit.map(part, len(scaled))

    def forward(self, xt: Tensor, t: Tensor, label: Tensor | None = None) -> Estimate:
        """The Estimate for x_t (B, C, H, W) at times t (B,) > 0; label (B,) or None for no class."""
        out = self.predict(xt, t, label)
        return Estimate(*solve_x0_eps(self.prediction, self.process, xt, t, out), out)
