"""The sampling loop: which noise each step is given."""

from dataclasses import dataclass, field

import pytest
import torch

from fromnoise.common.errors import UsageError
from fromnoise.diffusion.process import VE, Linear
from fromnoise.diffusion.samplers.ddim import DDIM
from fromnoise.diffusion.samplers.loop import sample, start_noise
from fromnoise.diffusion.time_grids import KarrasGrid, UniformGrid
from fromnoise.testing import Gaussian


@dataclass(frozen=True)
class Recorder(DDIM):
    """DDIM that keeps the noise of each step, drawn twice."""

    drawn: list = field(default_factory=list, compare=False)

    def step(self, estimate, process, x, t, s, carry, noise):
        self.drawn.append((noise(), noise()))
        return super().step(estimate, process, x, t, s, carry, noise)


def test_fresh_noise_is_that_of_its_step_and_neither_the_starts_nor_anothers():
    recorder, denoiser = Recorder(), Gaussian(Linear())
    list(sample(denoiser, seeds=[3, 5], sampler=recorder, grid=UniformGrid()(Linear(), 3)))
    assert all(torch.equal(first, again) for first, again in recorder.drawn)
    noises = [start_noise(Linear(), denoiser.spec.shape, [3, 5]), *(first for first, _ in recorder.drawn)]
    rows = torch.stack(noises).flatten(0, 1).flatten(1)
    assert len(rows.unique(dim=0)) == 4 * 2, "every step and every seed has noise of its own"


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"label": torch.arange(4)}, "label is for 4 samples.*seeds for 2"),
        ({"label": torch.arange(1)}, "label is for 1 sample,.*seeds for 2"),
        ({"x": torch.zeros(3, 1, 2, 2)}, "x is for 3 samples.*seeds for 2"),
        ({"grid": KarrasGrid()(VE(), 5)}, "from 80 to 0.*Linear are 0 to 1"),
        ({"grid": torch.tensor([1.0, -0.5])}, "from 1 to -0.5.*Linear are 0 to 1"),
    ],
)
def test_what_does_not_go_together_is_refused(given, named):
    """With more labels than seeds, guidance would take a class for none; times of another process are other noise."""
    with pytest.raises(UsageError, match=named):
        sample(Gaussian(Linear()), **{"seeds": [3, 5], "sampler": DDIM(), "grid": UniformGrid()(Linear(), 3), **given})
