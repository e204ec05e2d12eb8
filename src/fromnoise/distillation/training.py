"""How a network learns where trajectories end: batches of their points, and the trainer that takes them.

A batch is one of training pairs like any other, but for the noise, which is not drawn for it: it belongs to the image
(see `fromnoise.diffusion.trajectories`). So only where batches come from differs from other training.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fromnoise.common.seeds import generator
from fromnoise.diffusion.denoiser import Denoiser
from fromnoise.diffusion.objective import Objective, TrainingNoise
from fromnoise.diffusion.process import Process
from fromnoise.diffusion.time_sampling import TIME_DISTRIBUTIONS
from fromnoise.diffusion.trajectories import between, implied_noise
from fromnoise.diffusion.weighting import Unit
from fromnoise.distillation.trajectories import Trajectories
from fromnoise.settings import TrainOptions
from fromnoise.train.budget import Budget
from fromnoise.train.trainer import Trainer

AT_NOISE = 0.5  # share of a batch that begins at pure noise, from where the end is hardest to see
LEAST_LEVEL = 0.1  # noise level below which the point is the end, nearly, and float16 would blur the noise between
HUBER = 0.05  # c of the loss, in the unit of the network's output


class PointBatches:
    """Batches of points as a function of (seed, step).

    Attributes:
        trajectories: what they are drawn from; needed before the first batch.
        least: the earliest time of a point.
    """

    steps_per_epoch = 1  # there are no epochs

    def __init__(self, process: Process, batch_size: int, seed: int, at_noise: float = AT_NOISE) -> None:
        self.process, self.batch_size, self.seed, self.at_noise = process, batch_size, seed, at_noise
        level = torch.tensor([LEAST_LEVEL], dtype=torch.float64)
        self.least = float(process.time_at_log_snr(-2 * level.log()))
        self.trajectories: Trajectories | None = None

    def images_before(self, step: int) -> int:
        """All batches are of one size."""
        return step * self.batch_size

    def pairs(self, step: int) -> tuple[Tensor, Tensor | None, TrainingNoise]:
        """The ends (B, C, H, W) of a step's trajectories, labels (B,) or None, noise and times of the points.

        A point lies at pure noise, or at a random place between two random neighbours of the stops.
        """
        found = self.trajectories
        assert found is not None
        draw = generator(self.seed, "points of trajectories", step)
        rows = torch.randint(len(found), (self.batch_size,), generator=draw)
        stops, least = found.stops, self.least
        place = torch.randint(int((found.stops > least).sum()), (self.batch_size,), generator=draw)
        share = torch.rand(self.batch_size, generator=draw, dtype=torch.float64)
        at_noise = torch.rand(self.batch_size, generator=draw) < self.at_noise
        place, share = torch.where(at_noise, 0, place), torch.where(at_noise, 0.0, share)
        t, s = stops[place], stops[place + 1]
        u = t + share * (s.clamp(min=least) - t)
        xt, xs, x0 = (found.points[rows, i].float() for i in (place, place + 1, torch.full_like(place, -1)))
        xu = between(self.process, xt, xs, t, s, u)
        kept = torch.zeros(self.batch_size, dtype=torch.bool)
        noise = TrainingNoise(implied_noise(self.process, xu, x0, u), u, kept)
        return x0, None if found.labels is None else found.labels[rows], noise


class PointTrainer(Trainer):
    """Trains `denoiser` on `points`; huber: as in `Objective`, the other arguments as for `Trainer`."""

    def __init__(
        self,
        denoiser: Denoiser,
        points: PointBatches,
        options: TrainOptions,
        total: int | None,
        budget: Budget | None,
        huber: float = HUBER,
    ) -> None:
        objective = Objective(Unit(), TIME_DISTRIBUTIONS["uniform"], huber=huber)
        super().__init__(denoiser, objective, points, options, total=total, budget=budget)
        self.points = points

    def pairs(self, step: int, slots: slice) -> tuple[Tensor, Tensor | None, TrainingNoise]:
        """The ends, labels and noise of a step, on the device; one process takes all of them."""
        image, label, noise = self.points.pairs(step)
        return image.to(self.device), None if label is None else label.to(self.device), noise.to(self.device)
