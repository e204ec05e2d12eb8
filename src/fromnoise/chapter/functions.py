"""The chapter's own functions under their names; each is a line or two of the library.

corrupt           Linear(Uniform()).corrupt                       x (1 - amount) + noise amount
sample_with_step  DDIM on a uniform grid of Linear(Uniform())     x (1 - m) + prediction m,  m = 1 / (n - i)
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fromnoise.common.errors import UsageError
from fromnoise.common.image_spec import ImageSpec
from fromnoise.diffusion.denoiser import Denoiser
from fromnoise.diffusion.prediction import X0
from fromnoise.diffusion.process import Linear, Uniform
from fromnoise.diffusion.samplers.ddim import DDIM
from fromnoise.diffusion.samplers.loop import sample
from fromnoise.diffusion.time_grids import UniformGrid

PROCESS = Linear(Uniform())


def corrupt(
    x: Tensor, amount: Tensor, *, noise: Tensor | None = None, generator: torch.Generator | None = None
) -> Tensor:
    """Mix images with uniform noise: x (1 - amount) + noise amount.

    Arguments:
        x: images, float (B, C, H, W) in [0, 1].
        amount: of noise in each, (B,) in [0, 1].
        noise: uniform in [0, 1), of x's shape; drawn where it is not given.
        generator: draws the noise; torch's global one where it is not given.

    Returns:
        The mixes, of x's shape.

    Raises:
        UsageError: x is not a float, or shapes do not fit.

    References:
        "Diffusion models from scratch", https://github.com/huggingface/diffusion-models-class
    """
    if not x.is_floating_point():
        raise UsageError(f"x is {x.dtype}, but corrupt mixes floats in [0, 1]; give x.float() / 255")
    if amount.shape != x.shape[:1]:
        raise UsageError(f"amount has shape {tuple(amount.shape)}; give one amount for each of the {len(x)} images")
    if noise is None:
        device = x.device if generator is None else generator.device
        noise = torch.rand(x.shape, generator=generator, dtype=x.dtype, device=device).to(x.device)
    if noise.shape != x.shape:
        raise UsageError(f"noise has shape {tuple(noise.shape)}, but x has {tuple(x.shape)}; give noise of x's shape")
    return PROCESS.corrupt(x, noise, amount)


def sample_with_step(net: nn.Module, x: Tensor, n_steps: int) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """Sample from uniform noise: x <- x (1 - m) + net(x) m with m = 1 / (n_steps - i) at steps i = 0..n_steps-1.

    Arguments:
        net: predicts the clean images, called as net(x, code, None) with code = 1000 t (B,), such as BasicUNet.
        x: uniform noise in [0, 1), (B, C, H, W).
        n_steps: network evaluations, at least 1.

    Returns:
        x at the end, the n_steps + 1 values of x on the way, and the n_steps predictions; the last two on the CPU.

    Raises:
        UsageError: n_steps is below 1.

    References:
        "Diffusion models from scratch", https://github.com/huggingface/diffusion-models-class
        DDIM, whose step this is on a linear path: https://arxiv.org/abs/2010.02502
    """
    if n_steps < 1:
        raise UsageError(f"n_steps is {n_steps}, but sampling takes at least 1 step; give a larger number")
    _, channels, height, width = x.shape
    denoiser = Denoiser(net, PROCESS, X0(), ImageSpec(channels, height, width, low=0.0))
    history, predictions = [x.detach().cpu()], []
    grid = UniformGrid()(PROCESS, n_steps)
    for step in sample(denoiser, seeds=range(len(x)), sampler=DDIM(), grid=grid, x=x, device=x.device):
        x = step.x
        history.append(x.cpu())
        predictions.append(step.estimate.x0.cpu())
    return x, history, predictions
