"""Points of trajectories as training pairs: which image and which noise explain them.

A deterministic step from t to s is one `Process.transfer`, or a mean of some. So there is one image D that takes x_t to
x_s, and with it to every time between:

    x_s = transfer(x_t, D, t -> s),   D = (x_s - k x_t) / (alpha_s - k alpha_t),   k = sigma_s / sigma_t

A point x_t and the end x_0 of its trajectory are a pair (x_0, eps) of the ordinary loss, with the noise for which
`corrupt` makes the one of the other:

    eps = (x_t - alpha_t x_0) / sigma_t

A network that is trained on such pairs predicts where trajectories end, not the mean of images: a consistency model.

References: Song et al. 2023, consistency models, https://arxiv.org/abs/2303.01469
    Hu et al. 2025, CMT, https://arxiv.org/abs/2509.24526
"""

from __future__ import annotations

from torch import Tensor

from fromnoise.diffusion.process import Process, broadcast_like


def between(process: Process, xt: Tensor, xs: Tensor, t: Tensor, s: Tensor, u: Tensor) -> Tensor:
    """x at times u of the move that took x_t (B, C, H, W) to x_s, for t >= u >= s (B,) with t > s."""
    (alpha_t, sigma_t), (alpha_s, sigma_s), (alpha_u, sigma_u) = (process.scales(time) for time in (t, s, u))
    keep, keep_u = sigma_s / sigma_t, sigma_u / sigma_t
    share = (alpha_u - keep_u * alpha_t) / (alpha_s - keep * alpha_t)  # of D, which x_s has too
    return broadcast_like(keep_u - share * keep, xt) * xt + broadcast_like(share, xt) * xs


def implied_noise(process: Process, xt: Tensor, x0: Tensor, t: Tensor) -> Tensor:
    """eps (B, C, H, W) with which `corrupt` makes x_t of x0, for t > 0."""
    alpha, sigma = process.scales(t)
    return broadcast_like(1 / sigma, xt) * xt - broadcast_like(alpha / sigma, xt) * x0
