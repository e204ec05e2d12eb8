"""Bits per dimension: a variational upper bound on -log2 p(image), per pixel and channel.

-log p(x) <= KL(q(z_1|x) || p(z_1))  +  1/2 int E |eps - eps_hat(z_l)|^2 dl  +  E -log p(x|z_0)
             prior                      diffusion                              reconstruction

Kingma et al. 2021 (VDM), https://arxiv.org/abs/2107.00630, in continuous time. z_l is the image with noise at l = ln
SNR, and SNR |x0 - x0_hat|^2 = |eps - eps_hat|^2, so over l the diffusion term needs no weight and depends on the
process only through its ends.

The image is the uint8 one, without dequantisation noise. p(x|z_0) is a softmax over the 256 grey levels of the normal
density of z_0 / alpha_0 around each. Where z_0 lies is part of the code, and the cheapest place is taken, as VDM learns
it: a network that has learned that grey levels are whole numbers (or that a background is black) gains from less noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from fromnoise.common.errors import DataError, UsageError
from fromnoise.common.seeds import generator
from fromnoise.common.threads import following_load
from fromnoise.data.image_data import ArrayData
from fromnoise.diffusion.denoiser import Estimator
from fromnoise.diffusion.process import Process

_FINEST = 1 / 6  # grey levels of noise: one pixel in 370 is rounded to a neighbour, and the rest costs 0.02 bits
_ROUGHEST = 4.0  # grey levels: with more noise the softmax alone costs above 4 bits
_STRONGEST = 150.0  # noise beside half the range; what is left of the image costs 0.00003 bits
_AT_ONCE = 128  # images
_REACH = 8  # standard deviations of noise around z_0 in which grey levels are weighed


@dataclass(frozen=True)
class Likelihood:
    """bits = prior + reconstruction + diffusion, in bits per dimension (pixel and channel); less is better.

    stderr: of bits, over images. end: the noise of z_0 in grey levels. count: of how many images.
    """

    bits: float
    stderr: float
    prior: float
    reconstruction: float
    diffusion: float
    end: float
    count: int


def bits_per_dimension(
    denoiser: Estimator,
    data: ArrayData,
    *,
    count: int = 1000,
    draws: int = 20,
    seed: int = 0,
    device: str | torch.device = "cpu",
) -> Likelihood:
    """Bits per dimension of images of `data`, an upper bound on their negative log2-likelihood.

    bits = prior + reconstruction + diffusion      (see the module)

    One evaluation falls into each of `draws` equal slices of ln SNR, spread over the images; the borders of the slices
    are the candidates for z_0, between 1/6 and 4 grey levels of noise or at the process's t_min where that leaves
    more. The network is never evaluated below t_min; on a table (VP) it is evaluated between entries too. p(z_1) is
    N(0, sigma_1^2), what samplers start from. A model with classes is conditioned on the images' labels.

    Arguments:
        denoiser: in float32; an x0 prediction in bfloat16 loses fine grey levels.
        count: random images to measure, all if there are fewer.
        draws: network evaluations per image (NFE).

    Raises:
        UsageError: for a process whose noise is not normal.
        DataError: for images or labels unlike the model's, or fewer than 2 images.

    References:
        Kingma et al. 2021, https://arxiv.org/abs/2107.00630
    """
    _check(denoiser, data, count, draws)
    spec = denoiser.spec
    order = torch.randperm(len(data), generator=generator(seed, "likelihood images"))[:count]
    images, labels = data.fetch(order)
    images, labels = images.cpu(), labels.cpu() if labels is not None and spec.conditioned else None
    step = (spec.high - spec.low) / 255
    borders = _borders(denoiser.process, step, draws)
    power = [spec.encode(part).double().square().flatten(1).mean(1) for part in torch.split(images, _AT_ONCE)]
    errors = [_errors(denoiser, images, labels, borders[k : k + 2], (seed, k), device) for k in range(draws)]
    diffusion = (torch.stack(errors, dim=1) * borders.diff() / 2).cumsum(1)
    return _cheapest(images, torch.cat(power) * borders[0].exp() / 2, diffusion, _strength(borders[1:], step), seed)


def _check(denoiser: Estimator, data: ArrayData, count: int, draws: int) -> None:
    process, spec = denoiser.process, denoiser.spec
    if not process.prior.gaussian:
        raise UsageError(
            f"bits per dimension are defined for normal noise, but {type(process).__name__} has "
            f"{type(process.prior).__name__.lower()} noise here; train with normal noise to measure them"
        )
    if draws < 1:
        raise UsageError(f"draws = {draws}, but the network must be evaluated at least once per image; give 1 or more")
    if min(count, len(data)) < 2:
        raise DataError(f"{min(count, len(data))} images were given, but an average needs at least 2; give more")
    if data.spec.shape != spec.shape:
        raise DataError(f"the images are {data.spec.shape}, but the model makes {spec.shape}; give images of its shape")
    if spec.classes and data.labels is not None and int(data.labels.max()) >= len(spec.classes):
        raise DataError(
            f"labels go up to {int(data.labels.max())}, but the model has classes 0 to {len(spec.classes) - 1}; give "
            "data with its classes"
        )


def _strength(log_snr: Tensor, step: float) -> Tensor:
    """The noise beside the image, sigma / alpha, in grey levels."""
    return (-log_snr / 2).exp() / step


def _borders(process: Process, step: float, draws: int) -> Tensor:
    """ln SNR at the borders of the slices, float64 (draws + 1,), rising: from t_max to t_min, cut where nothing is."""
    ends = process.log_snr(torch.tensor([process.t_max, process.t_min], dtype=torch.float64))
    lowest = max(float(ends[0]), -2 * math.log(_STRONGEST * step * 255 / 2))
    highest = min(float(ends[1]), -2 * math.log(_FINEST * step))
    return torch.linspace(lowest, highest, draws + 1, dtype=torch.float64)


@torch.no_grad()
def _errors(
    denoiser: Estimator,
    images: Tensor,
    labels: Tensor | None,
    borders: Tensor,
    key: tuple[int, int],
    device: str | torch.device,
) -> Tensor:
    """Mean over dimensions of |eps - eps_hat|^2, float64 (N,), at ln SNR between the two `borders`."""
    seed, number = key
    # Image i's place in the slice: the images cover it evenly between them.
    first = torch.rand(1, generator=generator(seed, "likelihood levels", number), dtype=torch.float64)
    place = (torch.arange(len(images)) / len(images) + first) % 1
    times = denoiser.process.time_at_log_snr(torch.lerp(borders[:1], borders[1:], place))
    found = []
    for part in following_load(torch.split(torch.arange(len(images)), _AT_ONCE)):
        x0, t = denoiser.spec.encode(images[part]), times[part]
        eps = _noise(tuple(x0.shape[1:]), part, seed, number)
        label = None if labels is None else labels[part].to(device)
        predicted = denoiser(denoiser.process.corrupt(x0, eps, t).to(device), t, label).eps
        found.append((predicted.cpu().double() - eps.double()).square().flatten(1).mean(1))
    return torch.cat(found)


def _noise(shape: tuple[int, ...], which: Tensor, seed: int, number: int) -> Tensor:
    """Normal noise (B, *shape), each image's from its own number: the same however images are grouped."""
    draws = [torch.randn(shape, generator=generator(seed, "likelihood noise", number, i)) for i in which.tolist()]
    return torch.stack(draws)


def _cheapest(images: Tensor, prior: Tensor, diffusion: Tensor, noise: Tensor, seed: int) -> Likelihood:
    """The Likelihood at the end where it is least. prior: (N,), diffusion: (N, ends), noise: (ends,); all in nats."""
    found = []
    for end, strength in enumerate(noise.tolist()):
        if strength > max(_ROUGHEST, float(noise[-1])):
            continue
        terms = torch.stack([prior, _reconstruction(images, strength, seed), diffusion[:, end]]) / math.log(2)
        bits, (first, read, between) = terms.sum(0), terms.mean(1).tolist()
        stderr = float(bits.std()) / len(images) ** 0.5
        found.append(Likelihood(float(bits.mean()), stderr, first, read, between, strength, len(images)))
    return min(found, key=lambda one: one.bits)


def _reconstruction(images: Tensor, strength: float, seed: int) -> Tensor:
    """-log p(x|z_0), a dimension's mean, float64 (N,), for one z_0 an image with noise of so many grey levels.

    Only levels near z_0 are weighed; the others are too far to matter.
    """
    width = math.ceil(_REACH * strength) + 1
    near = torch.arange(-width, width + 1, dtype=torch.float64)
    found = []
    for part in torch.split(torch.arange(len(images)), _AT_ONCE):
        eps = _noise(tuple(images.shape[1:]), part, seed, -1).double()
        seen = images[part] + strength * eps
        total = torch.zeros_like(seen)
        for offset in near:
            level = seen.round() + offset
            weight = ((seen - level) / strength).square().div(-2).exp()
            total += torch.where((level >= 0) & (level <= 255), weight, 0.0)
        found.append((eps.square() / 2 + total.log()).flatten(1).mean(1))
    return torch.cat(found)
