"""The one equation: the promises of every process, and agreement with diffusers and with float64 references."""

import math

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler
from hypothesis import given, settings
from hypothesis import strategies as st

from fromnoise.common.errors import UsageError
from fromnoise.diffusion.process import VE, Linear, Normal, Uniform
from fromnoise.diffusion.vp import VP, VPContinuous, VPCosine, VPLinear, continuous_limit
from fromnoise.testing.cases import PROCESS_CASES

TABLES = {name: process for name, process in PROCESS_CASES.items() if isinstance(process, VP)}


@settings(max_examples=40, deadline=None, derandomize=True)
@given(name=st.sampled_from(sorted(PROCESS_CASES)), shares=st.lists(st.floats(0.001, 1.0), min_size=2, max_size=6))
def test_curves_and_moves_at_any_times(name, shares):
    """ln SNR falls, time_at_log_snr inverts it, and moves from t to s and on to r are the move from t to r."""
    process = PROCESS_CASES[name]
    t, s, *_ = (torch.tensor([share * process.t_max], dtype=torch.float64) for share in sorted(shares, reverse=True))
    if t > s:
        assert process.log_snr(t) < process.log_snr(s)
    if math.isfinite(process.log_snr(t)):
        torch.testing.assert_close(process.time_at_log_snr(process.log_snr(t)), t, rtol=1e-8, atol=1e-12)
    x0, eps = torch.randn(2, 1, 1, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    xt, r = process.corrupt(x0, eps, t), s / 2
    step = process.transfer(process.transfer(xt, x0, t, s), x0, s, r)
    torch.testing.assert_close(step, process.transfer(xt, x0, t, r), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(step, process.corrupt(x0, eps, r), rtol=1e-9, atol=1e-9)


def test_transfer_on_the_linear_path_is_the_chapters_step():
    x, prediction = torch.rand(2, 1, 1, 5, 5, dtype=torch.float64)
    n = 40
    for i in range(n):
        m = 1 / (n - i)
        t, s = (torch.tensor([(n - j) / n], dtype=torch.float64) for j in (i, i + 1))
        ours = Linear(Uniform()).transfer(x, prediction, t, s)
        torch.testing.assert_close(ours, x * (1 - m) + prediction * m, rtol=0, atol=1e-14)


@pytest.mark.parametrize("name", TABLES)
def test_tables_are_diffusers_tables(name):
    process = TABLES[name]
    betas = {"beta_start": process.beta_start, "beta_end": process.beta_end, "beta_schedule": process.betas}
    scheduler = DDIMScheduler(1000, **betas, rescale_betas_zero_snr=process.zero_terminal_snr)
    k = torch.arange(1, 1001)
    x0, eps = torch.randn(2, 1000, 1, 4, 4)
    torch.testing.assert_close(process.corrupt(x0, eps, k), scheduler.add_noise(x0, eps, k - 1), rtol=0, atol=1e-5)


def test_the_table_agrees_with_a_float64_reference():
    bar, reference = 1.0, []
    for i in range(1000):
        bar *= 1 - (1e-4 + (0.02 - 1e-4) * i / 999)
        reference.append(bar)
    alpha, sigma = VPLinear().scales(torch.arange(1, 1001))
    bars = torch.tensor(reference, dtype=torch.float64)
    torch.testing.assert_close(alpha, bars.sqrt(), rtol=0, atol=1e-12)
    torch.testing.assert_close(sigma, (1 - bars).sqrt(), rtol=0, atol=1e-12)
    scheduler = DDPMScheduler(1000)
    torch.testing.assert_close(alpha**2, scheduler.alphas_cumprod.double(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["vp", "vp_scaled", "vp_cosine"])
def test_a_finer_table_comes_closer_to_its_limit(name):
    coarse = PROCESS_CASES[name]
    fine = VP(coarse.betas, 10_000, coarse.beta_start / 10, coarse.beta_end / 10)
    share = torch.linspace(0.1, 0.9, 9, dtype=torch.float64)
    limit, _ = continuous_limit(coarse).scales(share)
    errors = [(table.scales(share * table.t_max)[0] - limit).abs().max().item() for table in (coarse, fine)]
    assert errors[1] < errors[0] / 5 + 1e-12 < 1e-3


def test_zero_terminal_snr_ends_in_pure_noise_and_keeps_the_first_entry():
    for plain, moved in (
        (VPLinear(), VP(zero_terminal_snr=True)),
        (VPContinuous(), VPContinuous(zero_terminal_snr=True)),
    ):
        ends = torch.tensor([plain.t_min, plain.t_max], dtype=torch.float64)
        alpha, sigma = moved.scales(ends)
        assert alpha[1] == 0 and sigma[1] == 1
        assert float(alpha[0]) == pytest.approx(float(plain.scales(ends)[0][0]), abs=1e-4)
        assert float(plain.scales(ends)[0][1]) > 1e-3


@pytest.mark.parametrize("process", [VPLinear(), VPCosine(), VP(zero_terminal_snr=True)], ids=str)
def test_vp_keeps_the_variance_between_entries(process):
    t = torch.linspace(0, 1000, 4001, dtype=torch.float64)
    alpha, sigma = process.scales(t)
    torch.testing.assert_close(alpha**2 + sigma**2, torch.ones_like(t), rtol=0, atol=1e-14)
    assert (sigma[1:] >= sigma[:-1]).all()


def test_time_codes():
    t = torch.tensor([1.0, 400.0, 1000.0], dtype=torch.float64)
    assert VPLinear().code(t).tolist() == [0, 399, 999]  # diffusers counts from 0
    for process in (Linear(), VPContinuous()):
        assert process.code(t / 1000).tolist() == pytest.approx([1, 400, 1000])
    assert VE().code(t[:2] / 5).tolist() == pytest.approx([math.log(0.2) / 4, math.log(80) / 4])


def test_priors_have_their_moments():
    g = torch.Generator().manual_seed(0)
    normal, uniform = (prior.sample((200_000,), g) for prior in (Normal(), Uniform()))
    assert abs(normal.mean()) < 0.01 and abs(normal.std() - 1) < 0.01
    assert abs(uniform.mean() - 0.5) < 0.005 and uniform.min() >= 0 and uniform.max() < 1


def test_processes_are_values():
    assert Linear(Normal()) == Linear(Normal()) != Linear(Uniform())
    assert len(set(PROCESS_CASES.values())) == len(PROCESS_CASES)
    assert "squaredcos_cap_v2" in repr(VPCosine())


@pytest.mark.parametrize("kind", [VP, VPContinuous])
@pytest.mark.parametrize("betas", ["sigmoid", "cosine", "scaled-linear"])
def test_a_schedule_that_is_not_known_is_refused(kind, betas):
    """Diffusers has one more than we do."""
    with pytest.raises(UsageError, match=f"'{betas}'.*linear, scaled_linear, squaredcos_cap_v2"):
        kind(betas)
