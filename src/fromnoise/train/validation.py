"""The loss on validation images, which training does not see, beside the loss on as many training images.

    loss = 1/n sum_i loss_i(x0_i, eps_i, t_i),   t_i the (i + 1/2)/n quantile of the objective's time distribution

Images, noise and times follow from the seed alone, so that two measurements differ by the weights and by nothing else;
no label is dropped. Where training has too few images for its network, the two losses part.
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

MAX_IMAGES = 512  # of each kind
BINS = 8  # of the time, each with as many images
_DRAWS = 64  # from the time distribution, for each quantile
_CHUNK = 128  # images at once

# Purposes of the random streams. Their wording is part of the seed: another one would change every logged loss.
_IMAGES, _TRAIN_IMAGES = "held-out images", "training images to compare with"
_TIMES, _NOISE = "held-out times", "held-out noise"


@dataclass(frozen=True)
class ValidationLosses:
    """A measurement of some weights.

    Attributes:
        loss, train_loss: means over validation and over training images.
        t: mean times of BINS bins of the time.
        by_noise: means over the validation images of each bin.
    """

    loss: float
    train_loss: float
    t: tuple[float, ...]
    by_noise: tuple[float, ...]


class Validator:
    """Measures any weights on the same images, noise and times.

    Takes min(512, those there are) images of `validation` and as many of `train`. If either has no labels, both are
    evaluated unconditionally.
    """

    def __init__(
        self, objective: Objective, process: Process, validation: ImageData, train: ImageData, seed: int
    ) -> None:
        self.objective, self.process, self.seed = objective, process, seed
        self.number = min(MAX_IMAGES, len(validation), len(train))
        self.images, labels = _first(validation, self.number, seed, _IMAGES)
        self.train_images, train_labels = _first(train, self.number, seed, _TRAIN_IMAGES)
        labelled = labels is not None and train_labels is not None
        self.labels, self.train_labels = (labels, train_labels) if labelled else (None, None)
        drawn = objective.times.sample(_DRAWS * self.number, process, generator(seed, _TIMES))
        self.t = drawn.double().sort().values.reshape(self.number, _DRAWS)[:, _DRAWS // 2]

    def __call__(self, denoiser: Denoiser) -> ValidationLosses:
        """The losses of `denoiser` with its present weights; training or evaluation mode stays as it is."""
        losses = self._losses(denoiser, self.images, self.labels)
        train_losses = self._losses(denoiser, self.train_images, self.train_labels)
        bins = min(BINS, self.number)
        by_noise = _means(losses.tensor_split(bins))
        return ValidationLosses(
            float(losses.mean()), float(train_losses.mean()), _means(self.t.tensor_split(bins)), by_noise
        )

    @torch.no_grad()
    def _losses(self, denoiser: Denoiser, images: Tensor, labels: Tensor | None) -> Tensor:
        """The loss of each image, float64 (n,) on the CPU; memory is bounded by the chunk."""
        device = next(denoiser.net.parameters()).device
        losses, training = [], denoiser.net.training
        denoiser.net.eval()
        for start in range(0, self.number, _CHUNK):
            window = slice(start, start + _CHUNK)
            x0 = denoiser.spec.encode(images[window].to(device))
            label = None if labels is None else labels[window].to(device)
            terms = training_loss(denoiser, self.objective, x0, label, self._noise(window, tuple(x0.shape)).to(device))
            losses.append(terms.per_image.cpu().double())
        denoiser.net.train(training)
        return torch.cat(losses)

    def _noise(self, window: slice, shape: tuple[int, ...]) -> TrainingNoise:
        """The fixed noise of a chunk, drawn again each time rather than kept in memory."""
        eps = self.process.prior.sample(shape, generator(self.seed, _NOISE, window.start))
        return TrainingNoise(eps, self.t[window], torch.zeros(shape[0], dtype=torch.bool))


def _first(data: ImageData, number: int, seed: int, purpose: str) -> tuple[Tensor, Tensor | None]:
    """`number` images and their labels: the first of a fixed shuffle, so that no class goes with a time."""
    return data.fetch(torch.randperm(len(data), generator=generator(seed, purpose))[:number])


def _means(parts: tuple[Tensor, ...]) -> tuple[float, ...]:
    return tuple(float(part.mean()) for part in parts)
