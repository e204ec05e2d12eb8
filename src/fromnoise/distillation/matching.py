"""Distribution matching: samples of one step are moved to where those of the teacher are denser than they are.

A sample x of one step is noised, x_t = alpha x + sigma eps, and two networks name the clean image that it seems to come
from: the teacher, whose images x should be one of, and the follower, which learns the samples of one step as they
change. Where the follower sees what the teacher does not, there are too many of such samples:

    loss = mean over pixels of (x - sg[x]) d,   d = sg[(follower(x_t) - teacher(x_t)) / mean |x - teacher(x_t)|]

sg is what no gradient passes: the loss is 0, and its gradient d. No trajectory is needed for it. Points of them go on
beside it, since two and four steps begin there, and the trajectory's end has a little weight, so that noise keeps its
image. The losses that are logged remain the distances to the ends.

References: Yin et al. 2024a, https://arxiv.org/abs/2311.18828
    Yin et al. 2024b, a follower that learns faster than the student, https://arxiv.org/abs/2405.14867
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from fromnoise.common.seeds import generator
from fromnoise.diffusion.denoiser import Denoiser
from fromnoise.diffusion.objective import LossTerms, Objective, TrainingNoise, output_loss
from fromnoise.diffusion.prediction import solve_x0_eps
from fromnoise.diffusion.process import Process, broadcast_like
from fromnoise.diffusion.time_sampling import TimeDistribution
from fromnoise.distillation.trajectories import less_guided
from fromnoise.model.build import build_sampling
from fromnoise.model.trained_model import TrainedModel
from fromnoise.settings import TrainOptions
from fromnoise.train.optimizer import build_optimizer
from fromnoise.train.row import lay_in_row
from fromnoise.train.update import UpdateStep

END_WEIGHT = 0.05  # of the distance to the trajectory's end, beside the matching
STUDENT_RATE, FOLLOWER_RATE = 0.4, 4.0  # of the run's learning rate: a follower that lags lets variety be lost
GUIDED = 0.3  # of what the teacher's guidance adds: what is matched to classes for long becomes too like them
LEAST_ERROR = 0.01  # what d is divided by, at least


@dataclass(frozen=True)
class EvenLevels(TimeDistribution):
    """sigma / (alpha + sigma) even in (low, high]: the times of a straight path, on any process."""

    low: float = 0.4
    high: float = 0.98

    def sample(self, n: int, process: Process, generator: torch.Generator) -> Tensor:
        """The times of these levels, kept within [t_min, t_max]."""
        u = torch.rand(n, generator=generator, device=generator.device, dtype=torch.float64)
        level = self.high - (self.high - self.low) * u
        times = process.time_at_log_snr(2 * ((1 - level) / level).log())
        return times.clamp(process.t_min, process.t_max)


class Follower:
    """A network that begins as the teacher and learns the mean image of the student's samples under noise.

    Arguments:
        teacher: what it begins as.
        objective: of the teacher's training.
        options: of the student's training.
    """

    def __init__(self, teacher: TrainedModel, objective: Objective, options: TrainOptions) -> None:
        self.net: nn.Module = copy.deepcopy(teacher.denoiser.net).requires_grad_(True)
        lay_in_row(self.net)
        self.denoiser = teacher.denoiser.with_net(self.net)
        self.optimizer = build_optimizer(self.net, options)
        self.objective = replace(objective, times=EvenLevels(), label_dropout=0.0, guidance=None)
        self._seed = options.seed
        self.update = UpdateStep(
            self.denoiser, self.objective, self.optimizer, options.train_batch_size, options.max_grad_norm
        )
        plain = replace(teacher.sampling, guidance_scale=1.0, guidance_rescale=0.0)
        self.estimator, _, _ = build_sampling(plain, self.denoiser)

    def follow(
        self, student: Denoiser, label: Tensor | None, count: int, first: float, step: int, learning_rate: float
    ) -> Tensor:
        """Learn `count` fresh samples of one step of `student` in a step of its own; returns its mean loss.

        Arguments:
            label: (count,) or None.
            first: the time that the student's step begins at.
            step: of the training, by which noise is drawn.
        """
        device, process = next(self.net.parameters()).device, student.process
        draw = generator(self._seed, "noise of the samples that are followed", step)
        begin = process.prior.sample((count, *student.spec.shape), draw).to(device)
        noise = fresh_noise(self.objective.times, begin.shape, process, draw).to(device)
        with torch.no_grad():
            t = torch.full((count,), first, dtype=noise.t.dtype, device=device)
            xt = begin * broadcast_like(process.scales(t)[1], begin).to(begin.dtype)
            samples = student(xt, t, label).x0
        return self.update(samples, label, noise, FOLLOWER_RATE * learning_rate).mean()


def fresh_noise(times: TimeDistribution, shape: torch.Size, process: Process, draw: torch.Generator) -> TrainingNoise:
    """Noise of `shape` and times that `draw` gives; no label is dropped."""
    kept = torch.zeros(shape[0], dtype=torch.bool, device=draw.device)
    return TrainingNoise(process.prior.sample(shape, draw), times.sample(shape[0], process, draw), kept)


class MatchingUpdate(UpdateStep):
    """`UpdateStep` of points of trajectories whose samples of one step are matched besides; then the follower's.

    Arguments:
        denoiser, objective, optimizer: as for `UpdateStep`, of the student.
        options: of its training.
        teacher: samples as the trajectories do.
        follower: goes on with its own weights and optimizer.

    Attributes:
        step: the training step, by which noise is drawn.
        first: the time of pure noise, at which points are matched.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        objective: Objective,
        optimizer: torch.optim.Optimizer,
        options: TrainOptions,
        teacher: TrainedModel,
        follower: Follower,
    ) -> None:
        super().__init__(denoiser, objective, optimizer, options.train_batch_size, options.max_grad_norm)
        self.follower, self.step, self.first = follower, 0, denoiser.process.t_max
        self._student, self._seed, self._times = denoiser, options.seed, EvenLevels()
        wanted = less_guided(teacher.sampling, GUIDED)
        self._teacher, _, _ = build_sampling(wanted, teacher.denoiser)
        self._interval = wanted.guidance_interval
        self._noise: TrainingNoise | None = None

    def __call__(self, x0: Tensor, label: Tensor | None, noise: TrainingNoise, learning_rate: float) -> Tensor:
        """Update the student with the ends of trajectories, their labels and the noise of points, then the follower."""
        draw = generator(self._seed, "noise of the samples that are matched", self.step)
        self._noise = fresh_noise(self._times, x0.shape, self._student.process, draw).to(x0.device)
        losses = super().__call__(x0, label, noise, STUDENT_RATE * learning_rate)
        self.moving = True  # of two networks one has moved, which is the state of no step
        follower = self.follower
        follower.update.micro_batch = min(follower.update.micro_batch, self.micro_batch)
        followed = follower.follow(self._student, label, len(x0), self.first, self.step, learning_rate)
        self.moving = False
        return losses + 0 * followed  # not finite where the follower's loss is not

    def _terms(self, part: slice, x0: Tensor, label: Tensor | None, noise: TrainingNoise) -> LossTerms:
        """The points' losses, of which those at pure noise are the matching of the samples there, for the most part."""
        assert self._noise is not None
        x0, label, noise = x0[part], None if label is None else label[part], noise.part(part)
        denoiser = self._denoiser
        xt = denoiser.process.corrupt(x0, noise.eps, noise.t)
        out = denoiser.predict(xt, noise.t, label)
        losses = output_loss(denoiser, self.objective, out, x0, noise)
        rows = (noise.t >= self.first).nonzero()[:, 0]
        if not len(rows):
            return LossTerms(losses)
        again = self._noise.part(part)
        again = TrainingNoise(again.eps[rows], again.t[rows], again.drop_label[rows])
        samples, _ = solve_x0_eps(denoiser.prediction, denoiser.process, xt[rows], noise.t[rows], out[rows])
        matched = self._matched(samples, None if label is None else label[rows], again)
        ends = losses[rows]
        shown = ends.detach() + END_WEIGHT * (ends - ends.detach())  # its value stays the distance, whatever its weight
        return LossTerms(losses.index_copy(0, rows, shown + matched))

    def _matched(self, samples: Tensor, label: Tensor | None, noise: TrainingNoise) -> Tensor:
        """The loss (N,) of the module's formula: zeros, whose gradient is d."""
        with torch.no_grad():
            xt = self._student.process.corrupt(samples, noise.eps, noise.t)
            there = self.follower.estimator(xt, noise.t, label).x0
            wanted = self._wanted(xt, noise.t, label)
            distance = (samples - wanted).abs().flatten(1).mean(1).clamp(min=LEAST_ERROR)
            direction = (there - wanted) / broadcast_like(distance, samples)
        return ((samples - samples.detach()) * direction).flatten(1).mean(1)

    def _wanted(self, xt: Tensor, t: Tensor, label: Tensor | None) -> Tensor:
        """The teacher's x0, guided at the times of its guidance; a sampler asks for one time at once, as it expects."""
        if self._interval is None:
            return self._teacher(xt, t, label).x0
        low, high = self._interval
        inside, found = (t >= low) & (t <= high), torch.empty_like(xt)
        for rows in (inside.nonzero()[:, 0], (~inside).nonzero()[:, 0]):
            if len(rows):
                found[rows] = self._teacher(xt[rows], t[rows], None if label is None else label[rows]).x0
        return found
