"""Distributions of training times follow their formulas."""

import pytest
import torch

from fromnoise.common.errors import UsageError
from fromnoise.common.seeds import generator
from fromnoise.diffusion.objective import Objective
from fromnoise.diffusion.process import VE, Linear
from fromnoise.diffusion.time_sampling import (
    TIME_DISTRIBUTIONS,
    DiscreteTimes,
    LogitNormal,
    LogNormal,
    ShiftedTimes,
    UniformTimes,
)
from fromnoise.diffusion.vp import VPContinuous, VPLinear
from fromnoise.diffusion.weighting import Unit


def test_stratified_puts_one_draw_in_each_slice():
    t = TIME_DISTRIBUTIONS["stratified"].sample(128, Linear(), generator(0, "test"))
    assert (torch.ceil(t * 128).sort().values == torch.arange(1, 129)).all()


def test_logit_normal_has_its_median_and_spread():
    t = LogitNormal(mean=0.5, std=0.7).sample(100_000, Linear(), generator(0, "test"))
    logit = torch.log(t / (1 - t))
    assert abs(logit.mean() - 0.5) < 0.01 and abs(logit.std() - 0.7) < 0.01


@pytest.mark.parametrize("process", [VE(), Linear(), VPContinuous()], ids=str)
def test_log_normal_levels_have_their_median_and_spread_on_any_process(process):
    t = LogNormal(mean=-0.5, std=0.6).sample(50_000, process, generator(0, "test"))
    log_level = -process.log_snr(t) / 2
    assert abs(log_level.mean() + 0.5) < 0.02 and abs(log_level.std() - 0.6) < 0.02


def test_discrete_reaches_both_ends():
    t = DiscreteTimes().sample(50_000, VPLinear(), generator(0, "test"))
    assert t.min() == 1 and t.max() == 1000 and (t == t.round()).all()


def test_a_table_needs_a_table():
    for process in (Linear(), VPContinuous(), VE()):
        for times in (DiscreteTimes(), ShiftedTimes(DiscreteTimes(), 2.0)):
            with pytest.raises(UsageError, match=r"'discrete'.*'vp'"):
                times.check(process)
            with pytest.raises(UsageError, match=r"'discrete'.*'vp'"):
                Objective(Unit(), times).draw(process, (4, 1, 2, 2), seed=0, step=0)


@pytest.mark.parametrize("shift", [0.5, 2.0, 3.0])
@pytest.mark.parametrize("times", [LogitNormal(mean=0.5), LogNormal(), UniformTimes()], ids=str)
@pytest.mark.parametrize("process", [Linear(), VPContinuous(), VE()], ids=str)
def test_shifted_times_have_so_many_times_the_noise_level(process, times, shift):
    """As far as the process has such levels."""

    def level(t):
        return (-process.log_snr(t) / 2).exp()

    plain, moved = (one.sample(5000, process, generator(0, "test")) for one in (times, ShiftedTimes(times, shift)))
    least, most = level(torch.tensor([process.t_min, process.t_max], dtype=torch.float64))
    torch.testing.assert_close(level(moved), (shift * level(plain)).clamp(least, most), rtol=1e-6, atol=0)
    assert process.t_min <= moved.min() and moved.max() <= process.t_max and moved.min() > 0


def test_entries_of_a_table_are_not_shifted():
    with pytest.raises(UsageError, match=r"'discrete'.*objective\.time_shift=1"):
        ShiftedTimes(DiscreteTimes(), 2.0).check(VPLinear())
    with pytest.raises(UsageError, match=r"'discrete'.*'vp'"):
        ShiftedTimes(DiscreteTimes(), 2.0).check(Linear())
    ShiftedTimes(UniformTimes(), 2.0).check(VPLinear())
