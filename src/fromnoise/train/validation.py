"""The loss on images that training does not see, beside the loss on as many that it does.

    loss = 1/n sum_i loss_i(x0_i, eps_i, t_i),   t_i the (i + 1/2)/n quantile of the objective's law of times

Images, noise and times follow from the seed alone, so that two calls differ by the weights and by nothing else; no
label is dropped. Where training sees too few images for its network, the two losses part.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fromnoise.common.seeds import generator
from fromnoise.data.image_data import ImageData
from fromnoise.diffusion.denoiser import Denoiser
from fromnoise.diffusion.objective import Objective, TrainingNoise, training_loss
from fromnoise.diffusion.process import Process

MOST = 512  # images of each kind
BINS = 8  # of the time, each with as many images
_DRAWS = 64  # of the law for each quantile
_CHUNK = 128  # images at once


@dataclass(frozen=True)
class HeldOut:
    """loss, train_loss: means over held-out and over training images. by_noise: the means over held-out images in
    bins of the time, whose mean times are `t`."""

    loss: float
    train_loss: float
    t: tuple[float, ...]
    by_noise: tuple[float, ...]


class HeldOutLoss:
    """Measures any weights on the same min(512, those there are) images of `held_out` and as many of `train`.

    number: how many that is. Where the held-out images have no labels, neither are told any.
    """

    def __init__(
        self, objective: Objective, process: Process, held_out: ImageData, train: ImageData, seed: int
    ) -> None:
        self.objective, self.process, self.seed = objective, process, seed
        self.number = min(MOST, len(held_out), len(train))
        self.unseen, labels = _some(held_out, self.number, seed, "held-out images")
        self.seen, seen_labels = _some(train, self.number, seed, "training images to compare with")
        told = labels is not None and seen_labels is not None
        self.labels, self.seen_labels = (labels, seen_labels) if told else (None, None)
        drawn = objective.times.sample(_DRAWS * self.number, process, generator(seed, "held-out times"))
        self.t = drawn.double().sort().values.reshape(self.number, _DRAWS)[:, _DRAWS // 2]

    def __call__(self, denoiser: Denoiser) -> HeldOut:
        """The losses of `denoiser` with the weights that it has; it is left in the mode that it was in."""
        unseen = self._losses(denoiser, self.unseen, self.labels)
        seen = self._losses(denoiser, self.seen, self.seen_labels)
        bins = min(BINS, self.number)
        times, losses = self.t.tensor_split(bins), unseen.tensor_split(bins)
        return HeldOut(float(unseen.mean()), float(seen.mean()), _means(times), _means(losses))

    @torch.no_grad()
    def _losses(self, denoiser: Denoiser, images: Tensor, labels: Tensor | None) -> Tensor:
        """The loss of each image, float64 (n,) on the CPU; memory is bounded by the chunk."""
        device = next(denoiser.net.parameters()).device
        losses, training = [], denoiser.net.training
        denoiser.net.eval()
        for start in range(0, self.number, _CHUNK):
            window = slice(start, start + _CHUNK)
            x0 = denoiser.spec.encode(images[window].to(device))
            told = None if labels is None else labels[window].to(device)
            terms = training_loss(denoiser, self.objective, x0, told, self._draw(window, tuple(x0.shape)).to(device))
            losses.append(terms.per_image.cpu().double())
        denoiser.net.train(training)
        return torch.cat(losses)

    def _draw(self, window: slice, shape: tuple[int, ...]) -> TrainingNoise:
        """The fixed randomness of a chunk, made anew each time rather than kept."""
        eps = self.process.prior.sample(shape, generator(self.seed, "held-out noise", window.start))
        return TrainingNoise(eps, self.t[window], torch.zeros(shape[0], dtype=torch.bool))


def _some(data: ImageData, number: int, seed: int, purpose: str) -> tuple[Tensor, Tensor | None]:
    """`number` images and their labels: the first of a fixed shuffle, so that no class goes with a time."""
    return data.fetch(torch.randperm(len(data), generator=generator(seed, purpose))[:number])


def _means(parts: tuple[Tensor, ...]) -> tuple[float, ...]:
    return tuple(float(part.mean()) for part in parts)
