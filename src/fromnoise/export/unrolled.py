"""A sampling plan around its network, as one module from noise to images: what ONNX and torch.export hold."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fromnoise.common.image_spec import ImageSpec
from fromnoise.common.labels import unconditional, with_guidance
from fromnoise.export.plan import Combination, SamplingPlan
from fromnoise.settings import SampleOptions

Number = float | Tensor
Place = tuple[Number, Number, Number, Number]
"""Of an evaluation: its time code, input_scale, x_weight and out_weight."""


class UnrolledSampler(nn.Module):
    """x0 = f(noise): the whole of sampling for a fixed number of steps.

    Arguments:
        net: called as net(x, code, label).
        plan: of the sampler's evaluations.
        spec: the images' range and classes.
        options: clipping, thresholding and guidance rescale; the rest is in the plan.
    """

    def __init__(self, net: nn.Module, plan: SamplingPlan, spec: ImageSpec, options: SampleOptions) -> None:
        super().__init__()
        self.net, self.plan, self.spec, self.options = net, plan, spec, options

    def forward(
        self,
        noise: Tensor,
        label: Tensor | None = None,
        guidance_scale: Tensor | None = None,
        fresh: Tensor | None = None,
    ) -> Tensor:
        """Images in the spec's range, (B, C, H, W).

        Arguments:
            noise: (B, C, H, W) from the prior.
            label: int64 (B,), where the model has classes.
            guidance_scale: () or (B, 1, 1, 1), where the plan has guided evaluations.
            fresh: (draws, B, C, H, W), where it has fresh noise.
        """
        draws = () if fresh is None else fresh.unbind(0)
        found: list[Tensor] = []
        for one in self.plan.evaluations:
            x = combine(one.x, noise, found, draws)
            at = one.code, one.input_scale, one.x_weight, one.out_weight
            found.append(self.x0(at, x, label, guidance_scale if one.guided else None))
        return combine(self.plan.sample, noise, found, draws)

    def x0(self, at: Place, x: Tensor, label: Tensor | None, guidance_scale: Tensor | None) -> Tensor:
        """The clean images of one evaluation, in their range; guided where a scale is given."""
        if guidance_scale is None or label is None:
            return self._in_range(self._denoise(at, x, label))
        if self.spec.guidance_input:
            scales = (torch.zeros_like(x[:, :1, :1, :1]) + guidance_scale).flatten()
            return self._in_range(self._denoise(at, x, with_guidance(label, scales, len(self.spec.conditions))))
        null = unconditional(label, self.spec.null_label)
        both = self._denoise(at, torch.cat([x, x]), torch.cat([label, null]))
        conditional, base = both[: x.shape[0]], both[x.shape[0] :]  # chunk would fix the batch size in ONNX
        x0 = base + guidance_scale * (conditional - base)
        if self.options.guidance_rescale:
            share = _deviation(conditional) / _deviation(x0)
            rescaled = x0 * (1 + self.options.guidance_rescale * (share - 1))
            x0 = torch.where(guidance_scale == 0, x0, rescaled)  # 0 leaves the class out, and its contrast with it
        return self._in_range(x0)

    def _denoise(self, at: Place, x: Tensor, label: Tensor | None) -> Tensor:
        code, input_scale, x_weight, out_weight = at
        codes = torch.zeros_like(x[:, 0, 0, 0]) + code
        out: Tensor = self.net(input_scale * x, codes, label)
        return x_weight * x + out_weight * out.to(x.dtype)

    def _in_range(self, x0: Tensor) -> Tensor:
        low, high = self.spec.low, self.spec.high
        if self.options.threshold is not None:
            middle, half = (high + low) / 2, (high - low) / 2
            x0 = (x0 - middle) / half
            most = torch.quantile(x0.abs().flatten(1).float(), self.options.threshold, dim=1).clamp(min=1)
            most = most[:, None, None, None].to(x0.dtype)
            return middle + half * x0.clamp(-most, most) / most
        return x0.clamp(low, high) if self.options.clip else x0


def combine(weights: Combination, noise: Tensor, x0: Sequence[Tensor], fresh: Sequence[Tensor]) -> Tensor:
    """The weighted sum that `weights` stands for."""
    total = weights.noise * noise
    # What is not known yet at that evaluation has no weight there, so the shorter one ends each sum.
    for weight, image in (*zip(weights.x0, x0, strict=False), *zip(weights.fresh, fresh, strict=False)):
        if weight:
            total = total + weight * image
    return total


def _deviation(x: Tensor) -> Tensor:
    return x.flatten(1).std(1).clamp(min=1e-8)[:, None, None, None]
