"""Step by step against diffusers, at the same timesteps, in the same space, for every prediction, in float32."""

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    HeunDiscreteScheduler,
    UniPCMultistepScheduler,
)
from torch import nn

from fromnoise.common.image_spec import ImageSpec
from fromnoise.diffusion.denoiser import Denoiser
from fromnoise.diffusion.prediction import X0, Eps, V, Velocity
from fromnoise.diffusion.process import Linear, broadcast_like
from fromnoise.diffusion.samplers.ddim import DDIM
from fromnoise.diffusion.samplers.euler import Euler, Heun
from fromnoise.diffusion.samplers.multistep import DPMpp, UniPC
from fromnoise.diffusion.time_grids import FlowMatchEulerGrid, TrailingGrid
from fromnoise.diffusion.vp import VP, VPLinear

STEPS = 10
PREDICTIONS = {"epsilon": Eps, "sample": X0, "v_prediction": V}


class Wavy(nn.Module):
    """A smooth stand-in for a network, conditioned on the time."""

    def forward(self, x, code, label=None):
        return 0.6 * x + 0.1 * torch.sin(3 * x + broadcast_like(code, x) / 300)


def denoiser_for(said, process):
    return Denoiser(Wavy(), process, PREDICTIONS[said](), ImageSpec(1, 4, 4))


def close(ours, theirs):
    """To 1e-5 of the largest value: at t = T an error of the noise is 157 times that of the image."""
    torch.testing.assert_close(ours, theirs.to(ours), rtol=0, atol=1e-5 * max(1.0, float(ours.abs().max())))


def draws():
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("said", PREDICTIONS)
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("zero", [False, True])
def test_ddim(said, eta, zero):
    if zero and (said == "epsilon" or eta == 1):
        pytest.skip("noise alone tells no image; and with eta 1 diffusers takes the root of -1e-8 there")
    process, g = VP(zero_terminal_snr=zero), draws()
    theirs = DDIMScheduler(
        clip_sample=False, timestep_spacing="trailing", prediction_type=said, rescale_betas_zero_snr=zero
    )
    theirs.set_timesteps(STEPS)
    denoiser, grid = denoiser_for(said, process), TrailingGrid()(process, STEPS)
    x = torch.randn(2, 1, 4, 4, generator=g)
    for i in range(STEPS):
        t, s = grid[i].repeat(2), grid[i + 1].repeat(2)
        z = torch.randn(x.shape, generator=g)
        out = denoiser(x, t).out
        ours, _, _ = DDIM(eta).step(denoiser, process, x, t, s, None, lambda z=z: z)
        # The last step is diffusers' own to alpha = 1; with eta its noise would be of the step before.
        close(ours, theirs.step(out, int(grid[i]) - 1, x, eta=eta, variance_noise=z).prev_sample)
        x = ours


@pytest.mark.parametrize("variance", ["fixed_small", "fixed_large"])
@pytest.mark.parametrize("said", PREDICTIONS)
def test_ddpm(said, variance, monkeypatch):
    process, g, sampler = VPLinear(), draws(), DDIM(1.0, large=variance == "fixed_large")
    theirs = DDPMScheduler(clip_sample=False, timestep_spacing="trailing", prediction_type=said, variance_type=variance)
    theirs.set_timesteps(STEPS)
    denoiser, grid = denoiser_for(said, process), TrailingGrid()(process, STEPS)
    x = torch.randn(2, 1, 4, 4, generator=g)
    for i in range(STEPS):
        t, s = grid[i].repeat(2), grid[i + 1].repeat(2)
        z = torch.randn(x.shape, generator=g)
        monkeypatch.setattr("diffusers.schedulers.scheduling_ddpm.randn_tensor", lambda *a, z=z, **k: z)
        ours, _, _ = sampler.step(denoiser, process, x, t, s, None, lambda z=z: z)
        if variance == "fixed_small" or i < STEPS - 1:  # diffusers adds the large noise to the last image too
            close(ours, theirs.step(denoiser(x, t).out, int(grid[i]) - 1, x).prev_sample)
        x = ours


SPACES = [
    (EulerDiscreteScheduler, Euler("sigma")),
    (HeunDiscreteScheduler, Heun("sigma")),
    (EulerAncestralDiscreteScheduler, DDIM(1.0)),
]


@pytest.mark.parametrize("said", PREDICTIONS)
@pytest.mark.parametrize("scheduler, sampler", SPACES, ids=["euler", "heun", "euler_ancestral"])
def test_samplers_that_walk_noise_levels(scheduler, sampler, said, monkeypatch):
    """diffusers holds y = x / alpha there, and scales it down again for the network."""
    if sampler.stochastic and said == "sample":
        pytest.skip("diffusers has no ancestral Euler for a network that predicts the image")
    process, g = VPLinear(), draws()
    theirs = scheduler(beta_schedule="linear", beta_start=1e-4, beta_end=0.02, timestep_spacing="trailing")
    theirs.register_to_config(prediction_type=said)
    theirs.set_timesteps(STEPS)
    denoiser, grid = denoiser_for(said, process), TrailingGrid()(process, STEPS)
    y = torch.randn(2, 1, 4, 4, generator=g).double() * theirs.init_noise_sigma
    place = iter(theirs.timesteps)
    for i in range(STEPS):
        t, s = grid[i].repeat(2), grid[i + 1].repeat(2)
        alpha, _ = process.scales(t)
        z = torch.randn(y.shape, generator=g).double()
        if sampler.stochastic:
            monkeypatch.setattr(f"{scheduler.__module__}.randn_tensor", lambda *a, z=z, **k: z)
        x = broadcast_like(alpha, y) * y
        ours, _, _ = sampler.step(denoiser, process, x, t, s, None, lambda z=z: z)
        for at in (t, s)[: 2 if sampler.evaluations == 2 and s[0] > 0 else 1]:
            step = next(place)
            seen = theirs.scale_model_input(y, step)
            y = theirs.step(denoiser(seen, at).out, step, y).prev_sample
        alpha_s, _ = process.scales(s)
        close(ours, broadcast_like(alpha_s, y) * y)
        y = ours / broadcast_like(alpha_s, y)


MULTISTEP = [(DPMpp(2), DPMSolverMultistepScheduler), (UniPC(2), UniPCMultistepScheduler)]


@pytest.mark.parametrize("said", PREDICTIONS)
@pytest.mark.parametrize("sampler, scheduler", MULTISTEP, ids=["dpmpp_2m", "unipc_2"])
def test_multistep_methods(sampler, scheduler, said):
    process, g = VPLinear(), draws()
    theirs = scheduler(
        1000, 1e-4, 0.02, "linear", prediction_type=said, timestep_spacing="trailing", final_sigmas_type="zero"
    )
    theirs.set_timesteps(STEPS)
    denoiser, grid = denoiser_for(said, process), TrailingGrid()(process, STEPS)
    x = torch.randn(2, 1, 4, 4, generator=g).double()
    y, carry = x, None
    assert theirs.timesteps.tolist() == (grid[:-1] - 1).tolist()
    for i in range(STEPS):
        t, s = grid[i].repeat(2), grid[i + 1].repeat(2)
        y = theirs.step(denoiser(y, t).out, theirs.timesteps[i], y).prev_sample
        x, _, carry = sampler.step(denoiser, process, x, t, s, carry, None)
        close(x, y)


def test_flow_matching_euler():
    process, g = Linear(), draws()
    theirs = FlowMatchEulerDiscreteScheduler()
    theirs.set_timesteps(STEPS)
    denoiser = Denoiser(Wavy(), process, Velocity(), ImageSpec(1, 4, 4))
    grid, x = FlowMatchEulerGrid()(process, STEPS), torch.randn(2, 1, 4, 4, generator=g)
    for i in range(STEPS):
        t, s = grid[i].repeat(2), grid[i + 1].repeat(2)
        ours, _, _ = Euler().step(denoiser, process, x, t, s, None, None)
        close(ours, theirs.step(denoiser(x, t).out, theirs.timesteps[i], x).prev_sample)
        x = ours
