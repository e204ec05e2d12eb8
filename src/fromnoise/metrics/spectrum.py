"""Power of images by octave of spatial frequency: grain and blur show here, which other measures may overlook.

P(octave) = mean over its frequencies and images of |DFT(image)|^2 / pixels       in squared grey levels
dB = 10 log10(P(samples) / P(reference))

A frequency of r cycles per pixel belongs to the finest octave from 1/4 on, to the next from 1/8 to 1/4, and so on; the
mean (r = 0) to none. Images in colour are turned to orthonormal axes first, lightness along (1, 1, 1) and two colours,
whose powers count apart: fine detail of photographs is of lightness, so that coloured grain shows in the colours. White
noise of variance v adds v to each. Less than 1, noise of a single grey level, counts as 1: nobody sees it.

References: Durall et al. 2020, spectra of generated images, https://arxiv.org/abs/2003.01826
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from fromnoise.common.errors import DataError
from fromnoise.data.rows import Pixels
from fromnoise.metrics.checks import parts

_VALUES = 4 << 20  # pixels transformed at once
_FINEST = 0.25  # cycles per pixel from which a frequency belongs to the finest octave
_INVISIBLE = 1.0  # squared grey levels
_LIGHTNESS = (3**-0.5, 3**-0.5, 3**-0.5)
_COLOURS = ((2**-0.5, -(2**-0.5), 0.0), (6**-0.5, 6**-0.5, -2 * 6**-0.5))


@dataclass(frozen=True)
class SpectrumDistance:
    """dB of samples over reference in each octave, the coarsest first; none for images of one pixel.

    lightness: of grey levels, with those of opacity. colour: of differences between channels; none for grey images.
    """

    lightness: tuple[float, ...]
    colour: tuple[float, ...]

    @property
    def deviation(self) -> float | None:
        """The dB of the octave that is off the most, of either."""
        return max((*self.lightness, *self.colour), key=abs, default=None)

    @property
    def grain(self) -> float | None:
        """The dB of the finest octave of either, the one that is off more."""
        return max((*self.lightness[-1:], *self.colour[-1:]), key=abs, default=None)


def octave_power(images: Pixels) -> Tensor:
    """P of each octave, the coarsest first, of uint8 images (N, C, H, W): float64 (1, octaves), of RGB(A) (2, octaves).

    Raises:
        DataError: for images of another kind, or none.
    """
    if images.dtype != torch.uint8 or images.ndim != 4 or not images.numel():
        given = f"{str(images.dtype).removeprefix('torch.')} {tuple(images.shape)}"
        raise DataError(f"the images are {given}, but uint8 (N, C, H, W) with at least one image are needed")
    count, channels, height, width = images.shape
    axes = _axes(channels)
    power = torch.zeros(channels, height, width, dtype=torch.float64)
    for part in parts(count, _VALUES // images[0].numel()):
        turned = torch.einsum("ac,nchw->nahw", axes, images[part].cpu().double() - 127.5)
        power += torch.fft.fft2(turned).abs().square().sum(0)
    power /= count * height * width
    groups = [power[: channels - 2].mean(0), power[-2:].mean(0)] if channels > 2 else [power.mean(0)]
    octaves = _octaves(height, width)
    coarsest_first = range(int(octaves.max()), -1, -1)
    found = [[float(group[octaves == octave].mean()) for octave in coarsest_first] for group in groups]
    return torch.tensor(found, dtype=torch.float64)


def spectrum_distance(power: Tensor, reference: Tensor) -> SpectrumDistance:
    """The `octave_power` of samples beside that of real images of the same shape."""
    ratio = power.clamp(min=_INVISIBLE) / reference.clamp(min=_INVISIBLE)
    # Rounded, since transforms differ in their last bits from one place in memory to another.
    lightness, *colour = (10 * ratio.log10()).round(decimals=6).tolist()
    return SpectrumDistance(tuple(lightness), tuple(colour[0] if colour else ()))


def _axes(channels: int) -> Tensor:
    """The orthonormal axes (C, C): lightness, then opacity of RGBA, and colours last; grey levels stay as they are."""
    if channels < 3:
        return torch.eye(channels, dtype=torch.float64)
    axes = torch.zeros(channels, channels, dtype=torch.float64)
    axes[0, :3], axes[-2:, :3] = torch.tensor(_LIGHTNESS), torch.tensor(_COLOURS)
    axes[1:-2, 3:] = torch.eye(channels - 3)
    return axes


def _octaves(height: int, width: int) -> Tensor:
    """The octave of each frequency (H, W): 0 is the finest, -1 the mean."""
    vertical, horizontal = (torch.fft.fftfreq(side, dtype=torch.float64) for side in (height, width))
    radius = (vertical[:, None].square() + horizontal.square()).sqrt()
    below = math.log2(_FINEST) - radius.clamp(1e-9, _FINEST).log2()
    return torch.where(radius > 0, (below - 1e-6).ceil().long(), -1)
