"""Denoisers that wrap a denoiser: guidance by class or by a weaker model, and keeping x0 and eps in range.

    guided = base + scale (better - base)

base is the unconditional model, or a weaker checkpoint (autoguidance). Clipping belongs outside of guidance: it is the
guided estimate that leaves the range.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from fromnoise.common.errors import UsageError
from fromnoise.common.image_spec import ImageSpec
from fromnoise.common.labels import unconditional, with_guidance
from fromnoise.diffusion.denoiser import Estimate, Estimator
from fromnoise.diffusion.process import Process, broadcast_like
from fromnoise.diffusion.weighting import NOISE_FLOOR


@dataclass(frozen=True)
class DenoiserWrapper:
    """A denoiser around `inner`, with its process, images and number of evaluations."""

    inner: Estimator

    @property
    def process(self) -> Process:
        """The inner denoiser's."""
        return self.inner.process

    @property
    def spec(self) -> ImageSpec:
        """The inner denoiser's."""
        return self.inner.spec

    def num_evaluations(self, t: Tensor, label: Tensor | None) -> int:
        """The inner denoiser's."""
        return self.inner.num_evaluations(t, label)

    def with_x0(self, estimate: Estimate, x0: Tensor, xt: Tensor, t: Tensor) -> Estimate:
        """`estimate` with this x0 and the noise that then explains x_t: eps = (x_t - alpha x0) / sigma, t > 0."""
        alpha, sigma = self.process.scales(t)
        return replace(estimate, x0=x0, eps=(xt - broadcast_like(alpha, xt) * x0) / broadcast_like(sigma, xt))


@dataclass(frozen=True)
class ClassifierFreeGuidance(DenoiserWrapper):
    """unconditional + scale (conditional - unconditional) at times t within `interval`, else the conditional model.

    Arguments:
        scale: 1 is the conditional model and 0 the unconditional one, one evaluation each; any other value takes two,
            made in one batch.
        interval: the least and greatest t at which guidance acts; None for all.
        rescale: how far x0 is brought back to the standard deviation of the conditional x0, 0 not at all, 1 wholly.
            Lin et al. rescale the network's output instead, which is another image. `out` stays without rescale.

    Raises:
        UsageError: for a model without classes and conditions.

    References: Ho & Salimans 2022, https://arxiv.org/abs/2207.12598
        Kynkäänniemi et al. 2024, guidance interval, https://arxiv.org/abs/2404.07724
        Lin et al. 2024, guidance rescale, section 3.4, https://arxiv.org/abs/2305.08891
    """

    scale: float
    interval: tuple[float, float] | None = None
    rescale: float = 0.0

    def __post_init__(self) -> None:
        check_classes(self.scale, self.spec)

    def num_evaluations(self, t: Tensor, label: Tensor | None) -> int:
        """Two of the inner denoiser's where there is guidance."""
        guided = label is not None and self.scale not in (0, 1) and self.acts_at(t)
        return self.inner.num_evaluations(t, label) * (2 if guided else 1)

    def __call__(self, xt: Tensor, t: Tensor, label: Tensor | None = None) -> Estimate:
        """The guided Estimate for x_t (B, C, H, W), t (B,), label (B,); without a label, the unguided one."""
        if label is None or self.scale == 1 or not self.acts_at(t):
            return self.inner(xt, t, label)
        null = unconditional(label, self.spec.null_label)
        if self.scale == 0:
            return replace(self.inner(xt, t, null), guidance=0.0)
        both = self.inner(torch.cat([xt, xt]), torch.cat([t, t]), torch.cat([label, null]))
        halves = zip(*(part.chunk(2) for part in _parts(both)), strict=True)
        conditional, base = (Estimate(*parts) for parts in halves)
        guided = extrapolate(base, conditional, self.scale)
        guided = replace(guided, guidance=self.scale)
        if not self.rescale:
            return guided
        share = _std(conditional.x0) / _std(guided.x0)
        return self.with_x0(guided, guided.x0 * (1 + self.rescale * (share - 1)), xt, t)

    def acts_at(self, t: Tensor) -> bool:
        """Whether guidance acts at the one time that all of t (B,) hold."""
        low, high = self.interval or (float("-inf"), float("inf"))
        return low <= float(t[0]) <= high


@dataclass(frozen=True)
class GuidanceAsInput(ClassifierFreeGuidance):
    """Classifier-free guidance in one evaluation, of a network that takes the scale as an input; 1 outside `interval`.

    Arguments: as for `ClassifierFreeGuidance`, with a scale within spec.guidance_input and without rescale.

    References: Meng et al. 2023, https://arxiv.org/abs/2210.03142
    """

    def num_evaluations(self, t: Tensor, label: Tensor | None) -> int:
        """The inner denoiser's."""
        return self.inner.num_evaluations(t, label)

    def __call__(self, xt: Tensor, t: Tensor, label: Tensor | None = None) -> Estimate:
        """The guided Estimate for x_t (B, C, H, W), t (B,), label (B,); without a label, the unguided one."""
        if label is None or self.scale == 1 or not self.acts_at(t):
            return self.inner(xt, t, label)
        scales = torch.full((len(xt),), self.scale, device=label.device)
        guided = with_guidance(label, scales, len(self.spec.conditions))
        return replace(self.inner(xt, t, guided), guidance=self.scale)


@dataclass(frozen=True)
class Autoguidance(DenoiserWrapper):
    """guide + scale (inner - guide): guidance by a weaker model of the same images, such as an earlier checkpoint.

    Needs no classes. scale, any number: 1 is the inner model alone, 0 the guide.

    Raises:
        UsageError: for a guide on another process, which takes x_t and t for other noise.

    References: Karras et al. 2024b, autoguidance, https://arxiv.org/abs/2406.02507
    """

    guide: Estimator
    scale: float

    def __post_init__(self) -> None:
        if self.guide.process != self.process:
            raise UsageError(
                f"the guide was trained on {self.guide.process}, but the model on {self.process}; give a guide on that"
            )

    def num_evaluations(self, t: Tensor, label: Tensor | None) -> int:
        """Both models'."""
        return self.inner.num_evaluations(t, label) + self.guide.num_evaluations(t, label)

    def __call__(self, xt: Tensor, t: Tensor, label: Tensor | None = None) -> Estimate:
        """The guided Estimate for x_t (B, C, H, W), t (B,), label (B,) or None."""
        return extrapolate(self.guide(xt, t, label), self.inner(xt, t, label), self.scale)


@dataclass(frozen=True)
class Clipping(DenoiserWrapper):
    """x0 clipped to the images' range.

    References: Ho et al. 2020, DDPM, https://arxiv.org/abs/2006.11239
    """

    def __call__(self, xt: Tensor, t: Tensor, label: Tensor | None = None) -> Estimate:
        """The clipped Estimate for x_t (B, C, H, W), t (B,) > 0, label (B,) or None."""
        estimate = self.inner(xt, t, label)
        return self.with_x0(estimate, estimate.x0.clamp(self.spec.low, self.spec.high), xt, t)


@dataclass(frozen=True)
class DynamicThresholding(DenoiserWrapper):
    """x0 that leaves the images' range is scaled into it.

    From the range's middle, in half-ranges: s = max(1, the `share` quantile of |x0|);  x0 <- clip(x0, -s, s) / s.

    References: Saharia et al. 2022, Imagen, section 2.3, https://arxiv.org/abs/2205.11487
    """

    share: float = 0.995

    def __call__(self, xt: Tensor, t: Tensor, label: Tensor | None = None) -> Estimate:
        """The Estimate with x0 in range for x_t (B, C, H, W), t (B,) > 0, label (B,) or None."""
        estimate, spec = self.inner(xt, t, label), self.spec
        middle, half = (spec.high + spec.low) / 2, (spec.high - spec.low) / 2
        x0 = (estimate.x0 - middle) / half
        s = broadcast_like(torch.quantile(x0.abs().flatten(1).float(), self.share, dim=1).clamp(min=1), x0)
        return self.with_x0(estimate, middle + half * x0.clamp(-s, s) / s, xt, t)


@dataclass(frozen=True)
class BoundedNoise(DenoiserWrapper):
    """A noise estimate that stays bounded at little noise, and the x0 that then explains x_t.

        eps <- w eps,   x0 <- w x0 + (1 - w) x_t / alpha,   w = min(1, r / floor),   r = sigma / (alpha + sigma)

    So eps = (x_t - alpha x0) / max(sigma, floor (alpha + sigma)), and an image without noise stays as it is. Without it
    the error of a network that predicts x0 itself counts 1 / sigma-fold, and a path from an image up to noise leaves
    that on which it comes back.

    References: Li & He 2025, section 4, which bounds the velocity so, https://arxiv.org/abs/2511.13720
    """

    floor: float = NOISE_FLOOR

    def __call__(self, xt: Tensor, t: Tensor, label: Tensor | None = None) -> Estimate:
        """The bounded Estimate for x_t (B, C, H, W), t (B,) > 0, label (B,) or None."""
        estimate = self.inner(xt, t, label)
        alpha, sigma = self.process.scales(t)
        share = (sigma / (alpha + sigma) / self.floor).clamp(max=1)
        kept = broadcast_like(share, xt)
        added = broadcast_like(torch.where(share < 1, (1 - share) / alpha, 0.0), xt)  # alpha may be 0 at pure noise
        return replace(estimate, x0=kept * estimate.x0 + added * xt, eps=kept * estimate.eps)


def check_classes(scale: float, spec: ImageSpec) -> None:
    """UsageError where guidance of `scale` needs classes or conditions that the images have not."""
    if scale != 1 and not spec.conditioned:
        raise UsageError(f"guidance_scale is {scale:g}, but this model was trained without classes; leave it at 1")


def check_guidance_input(scale: float, interval: Sequence[float] | None, rescale: float, spec: ImageSpec) -> None:
    """UsageError where a network that takes the guidance scale as an input was not trained for these."""
    trained = spec.guidance_input
    if trained is None or scale == 1:
        return
    if not 1 <= scale <= trained.most:
        raise UsageError(
            f"guidance_scale is {scale:g}, but this network takes scales from 1 to {trained.most:g} as an input; give "
            "one of these"
        )
    if rescale:
        raise UsageError(
            f"guidance_rescale is {rescale:g}, but this network takes the guidance scale as an input and makes no "
            "unguided image to rescale by; leave it at 0"
        )
    low, high = interval or (float("-inf"), float("inf"))
    if trained.interval and not trained.interval[0] <= low < high <= trained.interval[1]:
        given = "none" if interval is None else list(interval)
        raise UsageError(
            f"guidance_interval is {given}, but this network was trained with guidance at times "
            f"{trained.interval[0]:g} to {trained.interval[1]:g}; give times within these"
        )


def extrapolate(base: Estimate, better: Estimate, scale: float) -> Estimate:
    """base + scale (better - base), part by part."""
    x0, eps, out = (torch.lerp(a, b, scale) for a, b in zip(_parts(base), _parts(better), strict=True))
    return Estimate(x0, eps, out)


def _parts(estimate: Estimate) -> tuple[Tensor, Tensor, Tensor]:
    return estimate.x0, estimate.eps, estimate.out


def _std(x: Tensor) -> Tensor:
    """The standard deviation of each image, (B, 1, 1, 1)."""
    return x.flatten(1).std(1).clamp(min=1e-8)[:, None, None, None]
