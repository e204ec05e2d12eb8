"""Trainers of networks with a few weights, on batches that are a function of the step."""

import pytest
import torch
from torch import nn

from fromnoise.common.image_spec import ImageSpec
from fromnoise.diffusion.denoiser import Denoiser
from fromnoise.diffusion.objective import Objective
from fromnoise.diffusion.prediction import X0
from fromnoise.diffusion.process import Linear
from fromnoise.diffusion.time_sampling import UniformTimes
from fromnoise.diffusion.weighting import Unit
from fromnoise.settings import TrainOptions
from fromnoise.train.trainer import Trainer


class Tiny(nn.Module):
    """One convolution."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, x, code, label=None):
        return self.layer(x)


class Hidden(Tiny):
    """Has a matrix between hidden channels too, which Muon moves."""

    def __init__(self):
        super().__init__()
        self.into, self.between, self.out = nn.Conv2d(1, 16, 1), nn.Conv2d(16, 16, 3, padding=1), nn.Conv2d(16, 1, 1)

    def forward(self, x, code, label=None):
        return self.layer(x) + self.out(self.between(self.into(x)).relu())


class FixedBatches:
    """Eight random images a step, five steps an epoch."""

    steps_per_epoch = 5

    def batch(self, step, slots=slice(None)):
        g = torch.Generator().manual_seed(step)
        return torch.randint(0, 256, (8, 1, 4, 4), generator=g, dtype=torch.uint8)[slots], None

    def images_before(self, step):
        return 8 * step


@pytest.fixture
def tiny_net():
    """tiny_net() makes the network that `make_trainer` trains, at random weights."""
    return Tiny


@pytest.fixture(scope="session")
def make_trainer():
    """make_trainer(total, hidden=False, budget=None, **train options): the same one each time."""

    def make(total=80, hidden=False, budget=None, **options):
        torch.manual_seed(0)
        options = TrainOptions(train_batch_size=8, **{"lr_warmup_images": 16, **options})
        denoiser = Denoiser(Hidden() if hidden else Tiny(), Linear(), X0(), ImageSpec(1, 4, 4))
        objective = Objective(Unit(), UniformTimes())
        return Trainer(denoiser, objective, FixedBatches(), options, total=total, budget=budget)

    return make
