"""What the network is trained to predict: any mixture of the clean image and the noise.

Every prediction is a row (p, q):  target = p x0 + q eps. Together with x_t = alpha x0 + sigma eps that is
two equations for two unknowns, so one solve serves them all:

    det = alpha q - sigma p
    x0  = (q x_t - sigma out) / det
    eps = (alpha out - p x_t) / det

| prediction | p                         | q                       | det    |
|------------|---------------------------|-------------------------|--------|
| X0         | 1                         | 0                       | -sigma |
| Eps        | 0                         | 1                       | alpha  |
| V          | -sigma                    | alpha                   | 1 (VP) |
| Velocity   | alpha' (T alpha' on VP)   | sigma' (T sigma')       |        |
| EDM        | (1 - c_skip alpha)/c_out  | -c_skip sigma / c_out   |        |
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from fromnoise.common.errors import UsageError
from fromnoise.diffusion.process import VE, Process, broadcast_like
from fromnoise.diffusion.vp import VP


@dataclass(frozen=True)
class Prediction(ABC):
    """A row (p, q), and how the network's input is scaled. sigma_data: the data's standard deviation."""

    sigma_data: float = 0.5

    @abstractmethod
    def row(self, process: Process, t: Tensor) -> tuple[Tensor, Tensor]:
        """p(t), q(t): float64 (B,)."""

    def input_scale(self, process: Process, t: Tensor) -> Tensor:
        """c_in (B,): the network's input is c_in x_t. 1, but 1/sqrt(alpha^2 sigma_data^2 + sigma^2) on VE."""
        # On VE x_t grows to 80 times the images' size; on the other processes it stays near theirs.
        alpha, sigma = process.scales(t)
        if isinstance(process, VE):
            return _c_in(alpha, sigma, self.sigma_data)
        return torch.ones_like(alpha)

    def check(self, process: Process) -> None:
        """Raise UsageError where this prediction cannot be solved for x0 on `process`."""


def _c_in(alpha: Tensor, sigma: Tensor, sigma_data: float) -> Tensor:
    return (alpha**2 * sigma_data**2 + sigma**2).rsqrt()


class X0(Prediction):
    """The clean image itself: the chapter's target, diffusers' "sample".

    References: Salimans & Ho 2022, section 4, https://arxiv.org/abs/2202.00512
    """

    def row(self, process: Process, t: Tensor) -> tuple[Tensor, Tensor]:
        """(1, 0)."""
        alpha, _ = process.scales(t)
        return torch.ones_like(alpha), torch.zeros_like(alpha)


class Eps(Prediction):
    """The noise. Solving for x0 divides by alpha, so alpha(t_max) must not be 0.

    References: Ho et al. 2020, DDPM, https://arxiv.org/abs/2006.11239
    """

    def row(self, process: Process, t: Tensor) -> tuple[Tensor, Tensor]:
        """(0, 1)."""
        alpha, _ = process.scales(t)
        return torch.zeros_like(alpha), torch.ones_like(alpha)

    def check(self, process: Process) -> None:
        """Refuse a process whose last alpha is below 1e-6."""
        alpha, _ = process.scales(torch.tensor([process.t_max]))
        if alpha.item() < 1e-6:
            raise UsageError(
                f"prediction 'eps' on {type(process).__name__} divides by alpha = 0 at t = {process.t_max:g}; "
                "choose 'v', 'velocity' or 'x0', or a VP process that keeps some of the image"
            )


class V(Prediction):
    """v = alpha eps - sigma x0.

    References: Salimans & Ho 2022, section 4, https://arxiv.org/abs/2202.00512
    """

    def row(self, process: Process, t: Tensor) -> tuple[Tensor, Tensor]:
        """(-sigma, alpha)."""
        alpha, sigma = process.scales(t)
        return -sigma, alpha


class Velocity(Prediction):
    """dx_t/dt = alpha' x0 + sigma' eps; on the linear path eps - x0.

    References: Lipman et al. 2023, flow matching, https://arxiv.org/abs/2210.02747
    """

    def row(self, process: Process, t: Tensor) -> tuple[Tensor, Tensor]:
        """(alpha', sigma'), on a table T times that."""
        # A table's t counts to T, so its derivatives are of size 1 / T, too small for a network's output.
        d_alpha, d_sigma = process.rates(t)
        scale = process.t_max if isinstance(process, VP) else 1.0
        return scale * d_alpha, scale * d_sigma


class EDM(Prediction):
    """F with x0 = c_skip x_t + c_out F, scaled so that input and target have unit variance.

    c_skip = alpha sd^2 / (alpha^2 sd^2 + sigma^2),  c_out = sigma sd / sqrt(alpha^2 sd^2 + sigma^2); with
    alpha = 1 these are EDM's own.

    References: Karras et al. 2022, table 1, https://arxiv.org/abs/2206.00364
    """

    def row(self, process: Process, t: Tensor) -> tuple[Tensor, Tensor]:
        """((1 - c_skip alpha) / c_out, -c_skip sigma / c_out)."""
        alpha, sigma = process.scales(t)
        c_in = _c_in(alpha, sigma, self.sigma_data)
        c_skip = alpha * self.sigma_data**2 * c_in**2
        c_out = sigma * self.sigma_data * c_in
        return (1 - c_skip * alpha) / c_out, -c_skip * sigma / c_out

    def input_scale(self, process: Process, t: Tensor) -> Tensor:
        """1 / sqrt(alpha^2 sigma_data^2 + sigma^2) on every process."""
        return _c_in(*process.scales(t), self.sigma_data)


def determinant(prediction: Prediction, process: Process, t: Tensor) -> Tensor:
    """det = alpha q - sigma p, float64 (B,)."""
    return _equations(prediction, process, t)[-1]


def solve_x0_eps(prediction: Prediction, process: Process, xt: Tensor, t: Tensor, out: Tensor) -> tuple[Tensor, Tensor]:
    """(x0, eps) from x_t and the network's output, both (B, C, H, W), at times t (B,) with det != 0."""
    alpha, sigma, p, q, det = _equations(prediction, process, t)
    # Divide the scalars in float64 first: float32 tensors are then only scaled and added.
    x0 = broadcast_like(q / det, xt) * xt - broadcast_like(sigma / det, xt) * out
    eps = broadcast_like(alpha / det, xt) * out - broadcast_like(p / det, xt) * xt
    return x0, eps


def _equations(prediction: Prediction, process: Process, t: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """alpha, sigma, p, q and det of the two equations, float64 (B,)."""
    alpha, sigma = process.scales(t)
    p, q = prediction.row(process, t)
    return alpha, sigma, p, q, alpha * q - sigma * p


def prediction_target(prediction: Prediction, process: Process, x0: Tensor, eps: Tensor, t: Tensor) -> Tensor:
    """What the network's output is compared with: p x0 + q eps, (B, C, H, W)."""
    p, q = prediction.row(process, t)
    return broadcast_like(p, x0) * x0 + broadcast_like(q, x0) * eps


PREDICTIONS: dict[str, type[Prediction]] = {"x0": X0, "eps": Eps, "v": V, "velocity": Velocity, "edm": EDM}
