"""How much each noise level counts in the loss.

A weighting is written once, as w(SNR) in front of the squared error of x0. For a network that predicts something
else one factor gives the same loss:  |out error|^2 = (det / sigma)^2 |x0 error|^2. `Unit` is the exception and the
usual default: it weighs the error of the network's output by 1.

Classes are named by their function of the SNR; "Weighting" is added where the name alone is a prediction's (EDM).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from fromnoise.diffusion.prediction import Prediction, determinant
from fromnoise.diffusion.process import Process

NOISE_FLOOR = 0.1  # sigma / (alpha + sigma), t on the linear path, below which an x0 error counts no more


class Weighting(ABC):
    """w(SNR), in front of |x0 error|^2, or of |out error|^2 where `in_output_space`."""

    in_output_space = False

    @abstractmethod
    def __call__(self, snr: Tensor) -> Tensor:
        """Weights (B,) for signal-to-noise ratios (B,)."""


@dataclass(frozen=True)
class Unit(Weighting):
    """1 in the space of the network's output: plain mean squared error, as in the chapter.

    References: Ho et al. 2020, DDPM, eq. 14, https://arxiv.org/abs/2006.11239
    """

    in_output_space = True

    def __call__(self, snr: Tensor) -> Tensor:
        """Ones."""
        return torch.ones_like(snr)


@dataclass(frozen=True)
class SNR(Weighting):
    """w = SNR: the noise-prediction loss, written for x0.

    References: Salimans & Ho 2022, section 4, https://arxiv.org/abs/2202.00512
    """

    def __call__(self, snr: Tensor) -> Tensor:
        """SNR."""
        return snr


@dataclass(frozen=True)
class TruncatedSNR(Weighting):
    """w = max(SNR, 1).

    References: Salimans & Ho 2022, section 4, https://arxiv.org/abs/2202.00512
    """

    def __call__(self, snr: Tensor) -> Tensor:
        """max(SNR, 1)."""
        return snr.clamp(min=1)


@dataclass(frozen=True)
class MinSNR(Weighting):
    """w = min(SNR, gamma).

    References: Hang et al. 2023, min-SNR, https://arxiv.org/abs/2303.09556
    """

    gamma: float = 5.0

    def __call__(self, snr: Tensor) -> Tensor:
        """min(SNR, gamma)."""
        return snr.clamp(max=self.gamma)


@dataclass(frozen=True)
class EDMWeighting(Weighting):
    """w = SNR + 1 / sigma_data^2: EDM's, whose level is 1 / sqrt(SNR).

    References: Karras et al. 2022, table 1, https://arxiv.org/abs/2206.00364
    """

    sigma_data: float = 0.5

    def __call__(self, snr: Tensor) -> Tensor:
        """SNR + 1 / sigma_data^2."""
        return snr + 1 / self.sigma_data**2


@dataclass(frozen=True)
class Sigmoid(Weighting):
    """w = SNR sigmoid(bias - ln SNR) = SNR / (1 + SNR e^-bias), a soft min(SNR, e^bias).

    References: Kingma & Gao 2023, appendix D, https://arxiv.org/abs/2303.00848
    """

    bias: float = 2.0

    def __call__(self, snr: Tensor) -> Tensor:
        """SNR / (1 + SNR e^-bias)."""
        return 1 / (1 / snr + math.exp(-self.bias))


@dataclass(frozen=True)
class ClampedVelocity(Weighting):
    """w = min(1 + sqrt(SNR), 1 / floor)^2: the velocity-prediction loss, written for x0 and bounded at little noise.

    On the linear path t = 1 / (1 + sqrt(SNR)), so that this is 1 / max(t, floor)^2; on every other process it is the
    same function of the SNR.

    References: Li & He 2025, section 4, https://arxiv.org/abs/2511.13720
    """

    floor: float = NOISE_FLOOR

    def __call__(self, snr: Tensor) -> Tensor:
        """min(1 + sqrt(SNR), 1 / floor)^2."""
        return (1 + snr.sqrt()).clamp(max=1 / self.floor) ** 2


def output_weight(weighting: Weighting, prediction: Prediction, process: Process, t: Tensor) -> Tensor:
    """The weight (B,) in front of |out error|^2 that carries `weighting` over to the network's output."""
    if weighting.in_output_space:
        return weighting(torch.ones_like(t))
    _, sigma = process.scales(t)
    return weighting(process.snr(t)) * (sigma / determinant(prediction, process, t)) ** 2


WEIGHTINGS: dict[str, Weighting] = {
    "unit": Unit(),
    "snr": SNR(),
    "truncated_snr": TruncatedSNR(),
    "min_snr": MinSNR(),
    "edm": EDMWeighting(),
    "sigmoid": Sigmoid(),
    "clamped_velocity": ClampedVelocity(),
}
