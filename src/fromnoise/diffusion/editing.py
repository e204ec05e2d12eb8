"""Editing images with a trained denoiser: variations, inpainting, inversion and interpolation.

| edit        | how                                                                                               |
|-------------|---------------------------------------------------------------------------------------------------|
| img2img     | noise the image part of the way, then sample the rest (SDEdit, Meng et al. 2022)                  |
| inpaint     | after each step to s, what is known becomes alpha_s x0 + sigma_s eps; with resample > 1 each step  |
|             | is walked back up and taken again, so that hole and surroundings agree (RePaint, Lugmayr 2022)    |
| invert      | the sampler's own steps along the rising grid (Song et al. 2021, DDIM, section 4.3)               |
| interpolate | a path between two noises, then sampling from each stop on it                                     |

Each yields the Steps of a walk, as `samplers.loop.sample` does: the caller draws, stops and records. Sample i depends
on seeds[i] and its own x0, mask and label alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from fromnoise.common.errors import UsageError
from fromnoise.common.seeds import generator
from fromnoise.diffusion.denoiser import Estimate, Estimator
from fromnoise.diffusion.process import Process, broadcast_like
from fromnoise.diffusion.samplers.base import Sampler
from fromnoise.diffusion.samplers.loop import Step, fresh_noise, start_noise, starting_point, walk
from fromnoise.diffusion.time_grids import last_steps

_NEARLY_PARALLEL = 1e-4  # the sine of the angle below which a great circle is treated as a straight line


def img2img(
    denoiser: Estimator,
    x0: Tensor,
    *,
    strength: float,
    seeds: Sequence[int],
    sampler: Sampler,
    grid: Tensor,
    label: Tensor | None = None,
    device: str | torch.device = "cpu",
) -> Iterator[Step]:
    """Variations of x0, one a seed: x_t = alpha_t x0 + sigma_t eps at the grid's time t, then down from there.

    Arguments:
        x0: images (1 or B, C, H, W).
        strength: above 0 and at most 1, the share of the grid's n steps that are walked, at least one; on a uniform
            grid that is t / t_max. At 1 nothing of x0 is used: the samples are those of `sample`.
        seeds: one per sample, for the noise it starts from and any fresh noise during sampling.
        grid: float64 (n + 1,), falling to 0.
        label: int64 (B,) or None.

    Raises:
        UsageError: for any other strength.

    References: Meng et al. 2022, SDEdit, https://arxiv.org/abs/2108.01073
    """
    if not 0 < strength <= 1:
        raise UsageError(
            f"strength is {strength:g}, but it is a share of the way to noise, above 0 and at most 1; give one such"
        )
    process, rest = denoiser.process, last_steps(grid, strength)
    noise = start_noise(process, denoiser.spec.shape, seeds)
    if len(rest) == len(grid):
        x = starting_point(process, noise, float(grid[0]))
    else:
        x = process.corrupt(x0.to("cpu"), noise, rest[:1].repeat(len(noise)))
    return walk(denoiser, x, seeds=seeds, sampler=sampler, grid=rest, label=label, device=device)


def invert(
    denoiser: Estimator,
    x0: Tensor,
    *,
    sampler: Sampler,
    grid: Tensor,
    label: Tensor | None = None,
    device: str | torch.device = "cpu",
) -> Iterator[Step]:
    """Walk x0 (B, C, H, W) up the sampling grid, from its last positive time to its first; the last Step's x is noise.

    At that last time t the image is taken to be alpha_t x0, free of noise: off the true path by O(sigma_t^2).
    `samplers.loop.walk` from the noise down `grid` returns the image, up to an error that falls at the sampler's
    order, and in the step to 0 the denoiser's x0 prediction at t (wrap one that predicts x0 itself in
    `guidance.BoundedNoise`: its error does not fall with t). `denoiser` should have no guidance: on
    one way only it changes the image, and on both the error grows with it (MNIST, DDIM in 20 steps: 6, 12 and 39 grey
    levels at scales 1, 2 and 5).

    Raises:
        UsageError: for a sampler that adds noise, and for a grid of one step.

    References: Song et al. 2021, DDIM, section 4.3, https://arxiv.org/abs/2010.02502
    """
    if sampler.stochastic:
        raise UsageError(
            "the sampler adds fresh noise, and a stochastic path cannot be inverted; invert with a deterministic one, "
            "such as 'ddim' or 'heun'"
        )
    rising = grid[grid > 0].flip(0)
    if len(rising) < 2:
        raise UsageError(
            "inversion walks between the grid's times above 0, and this grid has one; give 2 steps or more"
        )
    alpha, _ = denoiser.process.scales(rising[:1].repeat(len(x0)))
    return walk(
        denoiser,
        broadcast_like(alpha, x0) * x0,
        seeds=[0] * len(x0),
        sampler=sampler,
        grid=rising,
        label=label,
        device=device,
    )


def inpaint(
    denoiser: Estimator,
    x0: Tensor,
    mask: Tensor,
    *,
    seeds: Sequence[int],
    sampler: Sampler,
    grid: Tensor,
    label: Tensor | None = None,
    resample: int = 1,
    device: str | torch.device = "cpu",
) -> Iterator[Step]:
    """Sample again where mask (1 or B, 1, H, W) is true, one image a seed; elsewhere the last x is exactly x0.

    After each step to s the known part becomes alpha_s x0 + sigma_s eps, eps fresh each time. With resample > 1 a step
    is taken that often; in between x goes back up (not from 0), which needs noise whose sums have its own distribution:

        x_t = (alpha_t / alpha_s) x_s + sqrt(sigma_t^2 - (alpha_t / alpha_s)^2 sigma_s^2) z

    x is changed between steps, so multistep samplers start again at each. A Step is the last taken from its t; its
    `evaluations` counts all.

    Arguments:
        x0: images (1 or B, C, H, W), used outside of the mask.
        mask: bool (1 or B, 1, H, W), true where new pixels are sampled.
        seeds: one per sample.
        grid: float64 (n + 1,), falling to 0.
        label: int64 (B,) or None.
        resample: how often each step is taken.

    Raises:
        UsageError: for resample below 1, or above 1 on a prior that is not normal.

    References: Lugmayr et al. 2022, RePaint, https://arxiv.org/abs/2201.09865
    """
    process = denoiser.process
    sampler.check(process)
    if resample < 1:
        raise UsageError(f"resample is {resample}, but each step is taken at least once; give 1 or more")
    if resample > 1 and not process.prior.gaussian:
        raise UsageError(
            f"resample is {resample}, but going back up adds noise to noise, which only a normal prior allows, not "
            f"{type(process.prior).__name__}; leave it at 1"
        )
    label = None if label is None else label.to(device)
    return _inpainted(denoiser, x0.to(device), mask.to(device).bool(), seeds, sampler, grid, label, resample)


def _inpainted(
    denoiser: Estimator,
    x0: Tensor,
    mask: Tensor,
    seeds: Sequence[int],
    sampler: Sampler,
    grid: Tensor,
    label: Tensor | None,
    resample: int,
) -> Iterator[Step]:
    process, shape, evaluations = denoiser.process, denoiser.spec.shape, 0
    noise = start_noise(process, shape, seeds).to(x0.device)
    first = grid[:1].repeat(len(seeds))
    x = torch.where(mask, starting_point(process, noise, float(grid[0])), process.corrupt(x0, noise, first))

    def estimate(x: Tensor, t: Tensor) -> Estimate:
        nonlocal evaluations
        evaluations += denoiser.num_evaluations(t, label)
        return denoiser(x, t, label)

    for i in range(len(grid) - 1):
        t, s = (grid[j].repeat(len(seeds)) for j in (i, i + 1))
        rounds = resample if float(s[0]) > 0 else 1
        for again in range(rounds):

            def noise_for(purpose: str = "fresh noise", i: int = i, again: int = again) -> Tensor:
                draws = [process.prior.sample(shape, generator(0, purpose, i, again, seed)) for seed in seeds]
                return torch.stack(draws).to(x0.device)

            with torch.no_grad():
                x, here, _ = sampler.step(estimate, process, x, t, s, None, noise_for)
            x = torch.where(mask, x, process.corrupt(x0, noise_for("noise of what is known"), s))
            if again < rounds - 1:
                x = _back_up(process, x, s, t, noise_for("back up"))
        yield Step(i, float(grid[i]), float(grid[i + 1]), x, here, evaluations)


def _back_up(process: Process, xs: Tensor, s: Tensor, t: Tensor, noise: Tensor) -> Tensor:
    """x_s with the noise added that leads to t > s; normal priors only."""
    (alpha_s, sigma_s), (alpha_t, sigma_t) = process.scales(s), process.scales(t)
    ratio = alpha_t / alpha_s
    added = (sigma_t**2 - ratio**2 * sigma_s**2).clamp(min=0).sqrt()
    return broadcast_like(ratio, xs) * xs + broadcast_like(added, xs) * noise


def slerp(a: Tensor, b: Tensor, shares: Tensor) -> Tensor:
    """The points at `shares` (N,) of the great circle from a to b (C, H, W): a at 0, b at 1; (N, C, H, W).

    (sin((1 - u) w) a + sin(u w) b) / sin w, w the angle between them. Where a and b are of one length, so is every
    point. Along one direction, where the circle is not unique, it is the straight line.

    References: Shoemake 1985, slerp, https://doi.org/10.1145/325334.325242
    """
    cosine = torch.nn.functional.cosine_similarity(a.double().flatten(), b.double().flatten(), dim=0)
    angle = torch.arccos(cosine.clamp(-1, 1))
    if float(angle.sin()) < _NEARLY_PARALLEL:
        return lerp(a, b, shares)
    u = shares.to(angle)
    return _weighted(a, b, ((1 - u) * angle).sin() / angle.sin(), (u * angle).sin() / angle.sin())


def lerp(a: Tensor, b: Tensor, shares: Tensor) -> Tensor:
    """The points at `shares` (N,) of the straight line from a to b (C, H, W); (N, C, H, W)."""
    return _weighted(a, b, 1 - shares, shares)


def _weighted(a: Tensor, b: Tensor, of_a: Tensor, of_b: Tensor) -> Tensor:
    ends = torch.stack([a, b])
    return broadcast_like(of_a, ends) * a + broadcast_like(of_b, ends) * b


def between(process: Process, a: Tensor, b: Tensor, shares: Tensor) -> Tensor:
    """Noises at `shares` (N,) of the way from noise a to noise b (C, H, W), as the prior has it; (N, C, H, W).

    Normal noise in many dimensions lies close to a sphere: on a straight line it would lose up to half of its variance,
    on the great circle it keeps its distribution. Uniform noise fills a cube, which a circle leaves and a straight line
    does not; so there it is the line, and halfway images come from paler noise.
    """
    return (slerp if process.prior.gaussian else lerp)(a, b, shares)


def interpolate(
    denoiser: Estimator,
    a: Tensor,
    b: Tensor,
    *,
    shares: Tensor,
    sampler: Sampler,
    grid: Tensor,
    label: Tensor | None = None,
    seeds: tuple[int, int] = (0, 0),
    device: str | torch.device = "cpu",
) -> Iterator[Step]:
    """Images from noises `between` a and b (C, H, W), which are x at grid[0]: from `invert`, or a `starting_point`.

    Arguments:
        a, b: noises (C, H, W).
        shares: float64 (N,), 0 is a's image and 1 is b's.
        label: int64 (N,) or None.
        seeds: a's and b's, of the fresh noise that a stochastic sampler adds; each image's lies `between` theirs.
    """
    process = denoiser.process
    x = between(process, a, b, shares.to(a.device))

    def fresh(i: int) -> Tensor:
        first, last = fresh_noise(process, tuple(a.shape), seeds, i)
        return between(process, first, last, shares)

    how: dict[str, Any] = {"sampler": sampler, "grid": grid, "label": label, "device": device, "fresh": fresh}
    return walk(denoiser, x, seeds=[seeds[0]] * len(shares), **how)
