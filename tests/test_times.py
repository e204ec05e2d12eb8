"""Draws stay in range and follow their law; grids fall to the clean image."""

import pytest
import torch

from fromnoise.errors import UsageError
from fromnoise.process import VE, Linear, VPLinear
from fromnoise.seeds import generator
from fromnoise.times import GRIDS, TIMES, Discrete, Karras, LogitNormal, Trailing

PROCESSES = [Linear(), VPLinear(), VE()]


def fits(part, process):
    try:
        part.check(process)
    except UsageError:
        return False
    return True


@pytest.mark.parametrize("name, law", TIMES.items())
def test_draws_stay_in_range_and_never_reach_the_clean_image(name, law):
    for process in filter(lambda p: fits(law, p), PROCESSES):
        t = law.draw(4096, process, generator(0, "test"))
        assert t.dtype == torch.float64
        assert t.min() >= process.t_min and t.min() > 0 and t.max() <= process.t_max


def test_stratified_puts_one_draw_in_each_slice():
    t = TIMES["stratified"].draw(128, Linear(), generator(0, "test"))
    assert (torch.ceil(t * 128).sort().values == torch.arange(1, 129)).all()


def test_logit_normal_has_its_median_and_spread():
    t = LogitNormal(mean=0.5, std=0.7).draw(100_000, Linear(), generator(0, "test"))
    logit = torch.log(t / (1 - t))
    assert abs(logit.mean() - 0.5) < 0.01 and abs(logit.std() - 0.7) < 0.01


def test_discrete_reaches_both_ends():
    t = Discrete().draw(50_000, VPLinear(), generator(0, "test"))
    assert t.min() == 1 and t.max() == 1000 and (t == t.round()).all()


@pytest.mark.parametrize("name, grid", GRIDS.items())
@pytest.mark.parametrize("steps", [1, 2, 5, 40, 1000])
def test_grids_fall_from_the_start_to_zero(name, grid, steps):
    for process in filter(lambda p: fits(grid, p), PROCESSES):
        times = grid(process, steps)
        assert times.shape == (steps + 1,) and times.dtype == torch.float64
        assert times[0] == pytest.approx(process.t_max, rel=1e-12) and times[-1] == 0
        assert (times[1:] < times[:-1]).all()


def test_trailing_is_diffusers_trailing():
    from diffusers import DDIMScheduler

    for steps in (7, 20, 300):
        scheduler = DDIMScheduler(timestep_spacing="trailing")
        scheduler.set_timesteps(steps)
        assert (Trailing()(VPLinear(), steps)[:-1] - 1).tolist() == scheduler.timesteps.tolist()


def test_pairs_that_make_no_sense_are_refused():
    pairs = [(Discrete(), Linear()), (Trailing(), VE()), (Karras(), VPLinear()), (TIMES["log_normal"], Linear())]
    for part, process in pairs:
        with pytest.raises(UsageError, match="choose"):
            part.check(process)
    with pytest.raises(UsageError, match="at most 1000"):
        Trailing()(VPLinear(), 1001)
