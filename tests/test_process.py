"""The one equation: tables, rates, moves, and agreement with diffusers and with float64 references."""

import pytest
import torch
from diffusers import DDPMScheduler

from fromnoise.process import VE, Linear, Normal, Process, Uniform, VPCosine, VPLinear

PROCESSES = [Linear(Uniform()), Linear(Normal()), VPLinear(), VPCosine(), VE()]


def times(process: Process, n: int = 64) -> torch.Tensor:
    low = max(process.t_min, 1e-3 * process.t_max)
    return torch.linspace(low, process.t_max, n, dtype=torch.float64)


@pytest.mark.parametrize("process", PROCESSES, ids=str)
def test_log_snr_falls(process):
    log_snr = process.log_snr(times(process))
    assert (log_snr[1:] < log_snr[:-1]).all()


@pytest.mark.parametrize("process", PROCESSES, ids=str)
def test_clean_at_zero(process):
    alpha, sigma = process.scales(torch.zeros(1, dtype=torch.float64))
    assert (alpha.item(), sigma.item()) == (1.0, 0.0)


@pytest.mark.parametrize("process", PROCESSES, ids=str)
def test_rates_are_the_derivatives(process):
    # Away from the entries of a table, where the interpolant has a corner.
    share = torch.rand(200, dtype=torch.float64) * 0.98 + 0.01
    t = (process.t_min + (process.t_max - process.t_min) * share).requires_grad_()
    for curve, rate in zip(process.scales(t), process.rates(t), strict=True):
        moves = curve.requires_grad
        slope = torch.autograd.grad(curve.sum(), t, retain_graph=True)[0] if moves else torch.zeros_like(t)
        torch.testing.assert_close(rate.detach(), slope, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("process", PROCESSES, ids=str)
def test_transfer_of_the_truth_is_the_path(process):
    t = times(process)
    s = t * 0.7
    x0, eps = torch.randn(2, 64, 1, 3, 3, dtype=torch.float64)
    moved = process.transfer(process.corrupt(x0, eps, t), x0, t, s)
    torch.testing.assert_close(moved, process.corrupt(x0, eps, s), rtol=1e-10, atol=1e-10)


def test_transfer_on_the_linear_path_is_the_chapters_step():
    x, prediction = torch.rand(2, 1, 1, 5, 5, dtype=torch.float64)
    n = 40
    for i in range(n):
        m = 1 / (n - i)
        t, s = (torch.tensor([(n - j) / n], dtype=torch.float64) for j in (i, i + 1))
        ours = Linear(Uniform()).transfer(x, prediction, t, s)
        torch.testing.assert_close(ours, x * (1 - m) + prediction * m, rtol=0, atol=1e-14)


@pytest.mark.parametrize("process", [VPLinear(), VPCosine()], ids=str)
def test_vp_agrees_with_diffusers_and_with_float64(process):
    scheduler = DDPMScheduler(num_train_timesteps=1000, beta_schedule=process.betas)
    k = torch.arange(1, 1001)
    x0, eps = torch.randn(2, 1000, 1, 4, 4)
    torch.testing.assert_close(process.corrupt(x0, eps, k), scheduler.add_noise(x0, eps, k - 1), rtol=0, atol=1e-5)
    if process.betas == "linear":
        bar, reference = 1.0, []
        for i in range(1000):
            bar *= 1 - (1e-4 + (0.02 - 1e-4) * i / 999)
            reference.append(bar)
        alpha, sigma = process.scales(k)
        bars = torch.tensor(reference, dtype=torch.float64)
        torch.testing.assert_close(alpha, bars.sqrt(), rtol=0, atol=1e-12)
        torch.testing.assert_close(sigma, (1 - bars).sqrt(), rtol=0, atol=1e-12)


def test_vp_keeps_the_variance_between_entries():
    t = torch.linspace(0, 1000, 4001, dtype=torch.float64)
    alpha, sigma = VPLinear().scales(t)
    torch.testing.assert_close(alpha**2 + sigma**2, torch.ones_like(t), rtol=0, atol=1e-14)
    assert (sigma[1:] > sigma[:-1]).all()


def test_priors_have_their_moments():
    g = torch.Generator().manual_seed(0)
    normal, uniform = (prior.sample((200_000,), g) for prior in (Normal(), Uniform()))
    assert abs(normal.mean()) < 0.01 and abs(normal.std() - 1) < 0.01
    assert abs(uniform.mean() - 0.5) < 0.005 and uniform.min() >= 0 and uniform.max() < 1


def test_processes_are_values():
    assert Linear(Normal()) == Linear(Normal()) != Linear(Uniform())
    assert len({VPLinear(), VPLinear(), VPCosine()}) == 2
    assert "squaredcos_cap_v2" in repr(VPCosine())
