"""What every process has to keep."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from fromnoise.diffusion.process import Process
from fromnoise.testing.expect import expect, expect_close, random


def check_process(process: Process) -> None:
    """AssertionError where `process` breaks a promise: its ends, rates, moves, inverse, prior, kind.

    Times are float64 in [t_min, t_max]; x is (B, C, H, W).
    """
    name = repr(process)
    expect(dataclasses.is_dataclass(process), f"{name}: a process is a frozen dataclass")
    expect(process == dataclasses.replace(process), f"{name}: a copy should be equal to it")  # type: ignore[type-var]
    expect(hash(process) == hash(dataclasses.replace(process)), f"{name}: equal processes should hash alike")  # type: ignore[type-var]
    expect(0 <= process.t_min < process.t_max, f"{name}: t_min {process.t_min} and t_max {process.t_max}")
    t = _times(process)
    _check_curves(process, name, t)
    _check_rates(process, name)
    _check_moves(process, name, t)
    _check_prior(process, name)
    code = process.code(t)
    expect(code.shape == t.shape and bool(code.isfinite().all()), f"{name}: code must be finite (B,)")
    expect(bool((code[1:] != code[:-1]).all()), f"{name}: different times share a code")


def _times(process: Process, count: int = 64) -> Tensor:
    """Evenly from t_min (or a thousandth of t_max) to t_max."""
    return torch.linspace(max(process.t_min, 1e-3 * process.t_max), process.t_max, count, dtype=torch.float64)


def _check_curves(process: Process, name: str, t: Tensor) -> None:
    alpha, sigma = process.scales(torch.zeros(1, dtype=torch.float64))
    expect((float(alpha), float(sigma)) == (1.0, 0.0), f"{name}: at t = 0 scales are {alpha, sigma}, expected 1 and 0")
    alpha, sigma = process.scales(t)
    for curve in (alpha, sigma):
        expect(curve.dtype == torch.float64 and curve.shape == t.shape, f"{name}: scales are float64 (B,)")
        expect(bool((curve >= 0).all() and curve.isfinite().all()), f"{name}: scales are finite and not negative")
    log_snr = process.log_snr(t)
    expect(bool((log_snr[1:] < log_snr[:-1]).all()), f"{name}: ln SNR must fall as t grows")
    inner = t[:-1]
    expect_close(
        process.time_at_log_snr(process.log_snr(inner)) / inner,
        torch.ones_like(inner),
        1e-9,
        f"{name}: time_at_log_snr",
    )


def _check_rates(process: Process, name: str) -> None:
    """Against autograd, at random times: a table's corners are not met."""
    share = torch.rand(200, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 0.98 + 0.01
    t = (process.t_min + (process.t_max - process.t_min) * share).requires_grad_()
    for what, curve, rate in zip(("alpha'", "sigma'"), process.scales(t), process.rates(t), strict=True):
        moves = curve.requires_grad
        slope = torch.autograd.grad(curve.sum(), t, retain_graph=True)[0] if moves else torch.zeros_like(t)
        error = (rate - slope).detach() / slope.abs().clamp(min=1e-3 * float(slope.abs().max()) + 1e-12)
        expect_close(error, torch.zeros_like(error), 1e-7, f"{name}: {what} is not the derivative of its curve")


def _check_moves(process: Process, name: str, t: Tensor) -> None:
    x0, eps = random(2, len(t), 1, 3, 3)
    alpha, sigma = (scale.view(-1, 1, 1, 1) for scale in process.scales(t))
    xt = process.corrupt(x0, eps, t)
    expect_close(xt, alpha * x0 + sigma * eps, 1e-9, f"{name}: corrupt is not alpha x0 + sigma eps")
    s = t * 0.7
    expect_close(process.transfer(xt, x0, t, s), process.corrupt(x0, eps, s), 1e-7, f"{name}: transfer leaves the path")
    clean = process.transfer(xt, x0, t, torch.zeros_like(t))
    expect_close(clean, x0, 1e-7, f"{name}: transfer to t = 0 is not the image")
    d_alpha, d_sigma = (rate.view(-1, 1, 1, 1) for rate in process.rates(t))
    expect_close(process.velocity(x0, eps, t), d_alpha * x0 + d_sigma * eps, 1e-9, f"{name}: velocity")


def _check_prior(process: Process, name: str) -> None:
    draws = [process.prior.sample((4, 50, 50), torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)]
    expect(draws[0].dtype == torch.float32 and draws[0].shape == (4, 50, 50), f"{name}: the prior draws float32")
    expect(torch.equal(draws[0], draws[1]), f"{name}: the prior's draw must follow from the generator alone")
    expect(not torch.equal(draws[0], draws[2]), f"{name}: the prior ignores its generator")
    mean, std = float(draws[0].mean()), float(draws[0].std())
    if process.prior.gaussian:
        expect(abs(mean) < 0.05 and abs(std - 1) < 0.05, f"{name}: normal noise has mean {mean:.2f}, std {std:.2f}")
