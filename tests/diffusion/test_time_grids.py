"""Grids fall to the clean image; diffusers' are diffusers', and the others follow their formulas."""

import pytest
import torch

from fromnoise.common.errors import UsageError
from fromnoise.diffusion.process import VE, Linear
from fromnoise.diffusion.time_grids import (
    GRIDS,
    CustomGrid,
    FlowMatchEulerGrid,
    KarrasGrid,
    LeadingGrid,
    LogSNRGrid,
    ShiftedGrid,
    TrailingGrid,
    grid_named,
    recommended_grid,
)
from fromnoise.diffusion.vp import VPCosine, VPLinear
from fromnoise.testing.cases import PROCESS_CASES


@pytest.mark.parametrize("name, grid", [("trailing", TrailingGrid()), ("leading", LeadingGrid())])
def test_tables_are_walked_as_diffusers_walks_them(name, grid):
    from diffusers import DDIMScheduler

    for steps in (1, 7, 20, 300):
        scheduler = DDIMScheduler(timestep_spacing=name)
        scheduler.set_timesteps(steps)
        assert (grid(VPLinear(), steps)[:-1] - 1).tolist() == scheduler.timesteps.tolist()


def test_flow_is_diffusers_flow_grid():
    from diffusers import FlowMatchEulerDiscreteScheduler

    for steps in (1, 2, 20):
        scheduler = FlowMatchEulerDiscreteScheduler()
        scheduler.set_timesteps(steps)
        torch.testing.assert_close(FlowMatchEulerGrid()(Linear(), steps), scheduler.sigmas.double(), rtol=0, atol=1e-6)


def test_karras_on_ve_is_the_published_formula():
    n, rho, high, low = 18, 7.0, 80.0, 0.002
    wanted = [(high ** (1 / rho) + i / (n - 1) * (low ** (1 / rho) - high ** (1 / rho))) ** rho for i in range(n)]
    torch.testing.assert_close(
        KarrasGrid()(VE(), n), torch.tensor([*wanted, 0.0], dtype=torch.float64), rtol=1e-10, atol=0
    )


@pytest.mark.parametrize("process", [VE(), VPLinear(), VPCosine(), Linear()], ids=str)
def test_log_snr_steps_are_equal(process):
    log_snr = process.log_snr(LogSNRGrid()(process, 20)[1:-1])
    torch.testing.assert_close(log_snr.diff(), log_snr.diff()[:1].expand(18), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("process", [Linear(), VPLinear()], ids=["linear", "vp"])
def test_a_distilled_model_noises_its_first_image_by_half_at_most_and_evenly(process):
    for steps, wanted in ((1, []), (2, [1 / 2]), (3, [1 / 2, 1 / 4]), (4, [1 / 2, 1 / 3, 1 / 6])):
        first, *times, last = GRIDS["levels"](process, steps)
        shares = [float(sigma / (alpha + sigma)) for alpha, sigma in map(process.scales, times)]
        assert float(first) == process.t_max and float(last) == 0
        assert shares == pytest.approx(wanted, abs=0.01)  # the process's own ends are not quite noise and image


def test_a_shift_multiplies_the_levels_of_a_straight_path():
    plain, bent = (ShiftedGrid(shift)(Linear(), 10)[1:-1] for shift in (1.0, 3.0))
    torch.testing.assert_close(bent / (1 - bent), 3 * plain / (1 - plain))
    spread = ShiftedGrid(3.0, 1.5)(Linear(), 10)[1:-1]
    torch.testing.assert_close(spread / (1 - spread), 3 * (plain / (1 - plain)) ** 1.5)


def test_a_grid_by_name_by_rule_and_by_hand():
    assert grid_named("auto", Linear()) == GRIDS[recommended_grid(Linear())] == GRIDS["uniform"]
    assert grid_named("auto", VE()) == KarrasGrid()
    assert grid_named("1, 0.5,0", Linear())(Linear(), 20).tolist() == [1.0, 0.5, 0.0]
    with pytest.raises(UsageError, match=r"'karas'.*'karras'"):
        grid_named("karas", VE())
    with pytest.raises(UsageError, match="'1,half,0'"):
        grid_named("1,half,0", Linear())


@pytest.mark.parametrize("times", [(0.5, 0.7, 0.0), (1.0, 0.5), (2.0, 1.0, 0.0), (1.0, 1.0, 0.0), (0.0,)])
def test_times_that_do_not_fall_to_zero_are_refused(times):
    with pytest.raises(UsageError, match=", ".join(f"{time:g}" for time in times)):
        CustomGrid(times)(Linear(), 5)


@pytest.mark.parametrize("name", ["karras", "log_snr"])
@pytest.mark.parametrize("kind", [kind for kind, process in PROCESS_CASES.items() if process.t_min])
def test_the_last_stop_is_the_least_time_of_a_network_to_the_bit(kind, name):
    process = PROCESS_CASES[kind]
    for steps in (2, 5, 10, 18, 40):
        assert float(GRIDS[name](process, steps)[-2]) == process.t_min
    assert GRIDS[name](process, 1).tolist() == [process.t_max, 0]


@pytest.mark.parametrize("name, level", [("uniform", 8), ("shifted", 20), ("few_steps", 6.8)])
def test_steps_that_are_even_in_time_are_refused_where_time_is_the_noise_level(name, level):
    with pytest.raises(UsageError, match=rf"'{name}'.*\b{level}; choose 'karras'"):
        grid_named(name, VE())
    for process in (Linear(), VPLinear()):
        grid_named(name, process)


def test_pairs_that_make_no_sense_are_refused():
    for grid, process in [(TrailingGrid(), VE()), (LeadingGrid(), Linear()), (FlowMatchEulerGrid(), VPLinear())]:
        with pytest.raises(UsageError, match="choose"):
            grid.check(process)
    for grid in (TrailingGrid(), LeadingGrid()):
        with pytest.raises(UsageError, match=f"'{grid.name}'.*'vp'"):
            grid(VE(), 10)
    with pytest.raises(UsageError, match="at most 1000"):
        TrailingGrid()(VPLinear(), 1001)
