"""How a network learns where trajectories end: batches of their points, and the trainer that takes them.

A batch is one of training pairs like any other, but for the noise, which is not drawn for it: it belongs to the image
(see `fromnoise.diffusion.trajectories`). So only where batches come from differs from other training, until its last
part, in which samples of one step are matched to the teacher's (see `fromnoise.distillation.matching`).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from fromnoise.common.seeds import generator
from fromnoise.diffusion.denoiser import Denoiser
from fromnoise.diffusion.objective import Objective, TrainingNoise
from fromnoise.diffusion.process import Process
from fromnoise.diffusion.time_sampling import TIME_DISTRIBUTIONS
from fromnoise.diffusion.trajectories import between, implied_noise
from fromnoise.diffusion.weighting import Unit
from fromnoise.distillation.matching import Follower, MatchingUpdate
from fromnoise.distillation.trajectories import Trajectories
from fromnoise.model.trained_model import TrainedModel
from fromnoise.settings import TrainOptions
from fromnoise.train.budget import Budget
from fromnoise.train.trainer import Companion, Trainer

AT_NOISE = 0.5  # share of a batch that begins at pure noise, from where the end is hardest to see
AT_START = 0.5  # share of the others that lie where a second trajectory begins, as a second step does
LEAST_LEVEL = 0.1  # noise level below which the point is the end, nearly, and float16 would blur the noise between
MATCHED = 0.3  # share of the points, the last ones, that are seen while samples are matched
MATCHED_AT_NOISE = 0.8  # share of a batch that begins at pure noise then
MATCHED_COST = 3.2  # of a point then, where one before costs 1, on a CPU; elsewhere a plan is corrected when it begins
HUBER = 0.05  # c of the loss, in the unit of the network's output


class PointBatches:
    """Batches of points as a function of (seed, step).

    Attributes:
        trajectories: what they are drawn from; needed before the first batch.
        least: the earliest time of a point.
    """

    steps_per_epoch = 2**62  # there are no epochs: none ends

    def __init__(self, process: Process, batch_size: int, seed: int, at_noise: float = AT_NOISE) -> None:
        self.process, self.batch_size, self.seed, self.at_noise = process, batch_size, seed, at_noise
        level = torch.tensor([LEAST_LEVEL], dtype=torch.float64)
        self.least = float(process.time_at_log_snr(-2 * level.log()))
        self.trajectories: Trajectories | None = None

    def images_before(self, step: int) -> int:
        """All batches are of one size."""
        return step * self.batch_size

    def pairs(self, step: int, at_noise: float | None = None) -> tuple[Tensor, Tensor | None, TrainingNoise]:
        """The ends (B, C, H, W) of a step's trajectories, labels (B, ...) or None, noise and times of the points.

        A point is pure noise, by the chance `at_noise`, or of a second trajectory: where it begins, by the chance
        AT_START, or at a random place between two random neighbours of its stops.
        """
        found = self.trajectories
        assert found is not None
        draw = generator(self.seed, "points of trajectories", step)
        rows = torch.randint(len(found), (self.batch_size,), generator=draw)
        stops = found.stops[rows]
        place = torch.rand(self.batch_size, generator=draw, dtype=torch.float64)
        share = torch.rand(self.batch_size, generator=draw, dtype=torch.float64)
        moves = torch.rand(self.batch_size, generator=draw) >= AT_START
        begins = torch.rand(self.batch_size, generator=draw) < (self.at_noise if at_noise is None else at_noise)
        place = (moves * place * (stops > self.least).sum(1)).long()
        t, s = (stops.gather(1, next_to[:, None])[:, 0] for next_to in (place, place + 1))
        u = t + moves * share * (s.clamp(min=self.least) - t)
        noise, sample, xt, xs, end = (found.points[rows, i].float() for i in (0, 1, place + 2, place + 3, -1))
        xu, begins_at = between(self.process, xt, xs, t, s, u), begins[:, None, None, None]
        xu, x0 = torch.where(begins_at, noise, xu), torch.where(begins_at, sample, end)
        u = torch.where(begins, found.first, u)
        kept = torch.zeros(self.batch_size, dtype=torch.bool)
        pairs = TrainingNoise(implied_noise(self.process, xu, x0, u), u, kept)
        return x0, None if found.labels is None else found.labels[rows], pairs


class PointTrainer(Trainer):
    """Trains `denoiser` on `points`, and at last by distribution matching.

    The matching begins once, after all but `matched` of the points that are planned by then: a checkpoint keeps when.

    Arguments:
        huber: as in `Objective`; the other arguments as for `Trainer`.
        teacher: samples as the trajectories do; None to learn trajectories to the end.
        objective: of the teacher's training.
        matched: share of the points, the last ones, in which samples are matched.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        points: PointBatches,
        options: TrainOptions,
        total: int | None,
        budget: Budget | None,
        huber: float = HUBER,
        *,
        teacher: tuple[TrainedModel, Objective] | None = None,
        matched: float = MATCHED,
    ) -> None:
        objective = Objective(Unit(), TIME_DISTRIBUTIONS["uniform"], huber=huber)
        super().__init__(denoiser, objective, points, options, total=total, budget=budget)
        self.points, self.matched = points, matched if teacher else 0.0
        self.follower = Follower(*teacher, options) if teacher else None
        self._teacher = teacher

    @property
    def matching(self) -> bool:
        """Whether it has come to the matching."""
        return "matching_from" in self.more_state

    @property
    def companions(self) -> Mapping[str, Companion]:
        """The follower, as long as there is something to follow."""
        wanted = self.follower and self.matching and not self.done
        return {"follower": (self.follower.net, self.follower.optimizer)} if self.follower and wanted else {}

    def pairs(self, step: int, slots: slice) -> tuple[Tensor, Tensor | None, TrainingNoise]:
        """The ends, labels and noise of a step, on the device; one process takes all of them."""
        matched = self.matching and self.points.images_before(step) >= self.more_state["matching_from"]
        image, label, noise = self.points.pairs(step, MATCHED_AT_NOISE if matched else None)
        return image.to(self.device), None if label is None else label.to(self.device), noise.to(self.device)

    def advance(self, rate: float) -> Tensor:
        """Move the weights by one step, after the switch to the matching where it is due."""
        due = self.total is not None and self.images >= (1 - self.matched) * self.total
        if due and self._teacher and not self.matching:
            self.more_state["matching_from"] = self.images
            self.follower = Follower(*self._teacher, self.options)  # whatever a later checkpoint had made of it
        if self.matching:
            self._matching_update().step = self.step
        return super().advance(rate)

    def cost_ahead(self, fit: float) -> float:
        """That of points and of matched ones together, as long as points are measured.

        cost = fit / (total - seen), where total = (seen + fit) / (1 + matched (MATCHED_COST - 1))
        """
        if self.matching or not self.matched:
            return 1.0
        left = (self.images + fit) / (1 + self.matched * (MATCHED_COST - 1)) - self.images
        return min(MATCHED_COST, fit / left) if left > 0 else MATCHED_COST

    def _matching_update(self) -> MatchingUpdate:
        """The update of the matching, in the place of that of points from now on: other memory, another speed."""
        if not isinstance(self.update, MatchingUpdate):
            assert self._teacher and self.follower and self.points.trajectories
            parts = (self.denoiser, self.objective, self.optimizer, self.options)
            update = MatchingUpdate(*parts, self._teacher[0], self.follower)
            update.micro_batch, update.first = self.update.micro_batch, self.points.trajectories.first
            self.update = update
            self.timer.restart()
        return self.update
