"""A trained model: what samples, and what everything after training takes.

    model = Run("runs/mnist").model()
    model.sample(16, label=3, steps=5, sampler="heun").save("threes.png")

It knows neither a run folder nor training data, so an imported pipeline can be one as well as a run's checkpoint.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Unpack

import numpy as np
import torch
from torch import Tensor, nn

from fromnoise.common.errors import UsageError
from fromnoise.common.image_spec import ImageSpec
from fromnoise.common.options import changed
from fromnoise.diffusion.denoiser import Denoiser
from fromnoise.diffusion.process import Process
from fromnoise.diffusion.samplers.loop import Step, sample
from fromnoise.model.build import build_sampling, check_sampling
from fromnoise.model.labels import draw_labels, label_number
from fromnoise.model.samples import Samples, to_arrays
from fromnoise.model.shares import in_shares, parts_of, shared
from fromnoise.settings import SampleOptions, SampleSettings


@dataclass(frozen=True)
class TrainedModel:
    """A denoiser, ready to sample.

    Arguments:
        denoiser: in evaluation mode, on the device that it computes on.
        sampling: how it samples where nothing else is asked for.
        label_counts: training images of each class, by which labels are drawn; () without classes.
        sees_unlabelled: whether training showed images without their class (label dropout), as guidance needs; True
            for a model without classes, which sees no others.
        images: images seen at the checkpoint, 0 where that is not known.
        weights: "ema", "raw" or "ema:LENGTH".
        guide: gives the denoiser at an earlier checkpoint by its name, for autoguidance; None where there are none.
        distilled: whether it predicts where trajectories of another model end, and not the mean of clean images.
    """

    denoiser: Denoiser
    sampling: SampleOptions
    label_counts: tuple[int, ...] = ()
    sees_unlabelled: bool = True
    images: int = 0
    weights: str = "ema"
    guide: Callable[[str], Denoiser] | None = None
    distilled: bool = False

    @property
    def spec(self) -> ImageSpec:
        """Shape, classes and range of the images."""
        return self.denoiser.spec

    @property
    def process(self) -> Process:
        """The process that the model was trained on."""
        return self.denoiser.process

    @property
    def device(self) -> str:
        """Where it computes, such as "cpu" or "cuda:0"."""
        return str(next(self.denoiser.parameters()).device)

    @property
    def dtype_name(self) -> str:
        """The type that the network computes in: "float32" or "bfloat16"."""
        return str(self.denoiser.autocast or torch.float32).removeprefix("torch.")

    def with_sampling(self, **settings: Unpack[SampleSettings]) -> TrainedModel:
        """The same model that samples with `settings`; UsageError for settings that do not go together."""
        options = changed(self.sampling, settings, "sample")
        check_sampling(options, self.process, self.spec)
        if options.guidance_scale != 1 and self.distilled:
            raise UsageError(
                f"guidance_scale is {options.guidance_scale:g}, but this model is distilled, with guidance built in; "
                "leave it at 1, or distil its run with another one"
            )
        if options.guidance_scale != 1 and not self.sees_unlabelled:
            raise UsageError(
                f"guidance_scale is {options.guidance_scale:g}, but this model was trained with label_dropout 0, and "
                "guidance needs images shown without their class; leave it at 1, or train with "
                "objective.label_dropout=0.1"
            )
        return dataclasses.replace(self, sampling=options)

    def with_net(self, net: nn.Module) -> TrainedModel:
        """The same around the network `net`, which is shared and not copied."""
        return dataclasses.replace(self, denoiser=self.denoiser.with_net(net))

    def labels(self, seeds: Sequence[int], label: str | int | None = None) -> Tensor | None:
        """int64 (N,): `label` for all, or each seed's own draw where it is None; None for a model without classes.

        Raises UsageError for a class that the model does not know.
        """
        if label is not None:
            return torch.full((len(seeds),), label_number(label, self.spec))
        return draw_labels(seeds, self.label_counts) if self.spec.classes else None

    def sample(
        self,
        num: int = 64,
        *,
        seeds: Sequence[int] | None = None,
        label: str | int | None = None,
        keep_steps: bool = False,
        **settings: Unpack[SampleSettings],
    ) -> Samples:
        """Samples from `seeds` (0 to num-1 if not given); sample i follows from its seed alone.

        Arguments:
            num: how many, where no seeds are given.
            label: a class by its name for all of them; without it each seed draws one with the frequencies of
                the training set.
            keep_steps: also keep the images after each step.
            settings: sampling options such as steps=50, else the model's own.

        Raises:
            UsageError: for a class, a setting or a combination that cannot be.
        """
        seeds = list(range(num)) if seeds is None else list(seeds)
        if not seeds:
            raise UsageError("0 samples were requested, but one is needed; give num of at least 1, or some seeds")
        group = shared()
        model, labels = group.each(lambda: (self.with_sampling(**settings), self.labels(seeds, label)))
        if keep_steps:
            return model.sample_labelled(seeds, labels, keep_steps)
        batches = list(model.batches(seeds, labels))
        images = np.concatenate([batch.images for batch in batches])
        return dataclasses.replace(batches[0], images=images, seeds=seeds, labels=_listed(labels))

    def batches(self, seeds: Sequence[int], labels: Tensor | None) -> Iterator[Samples]:
        """Samples for `seeds` with `labels` (N,) or None, batch by batch; inside `sharing` each process makes some."""

        def batch(window: slice) -> Samples:
            return self.sample_labelled(seeds[window], None if labels is None else labels[window])

        return in_shares(batch, parts_of(len(seeds), self.sampling.batch_size))

    def sample_labelled(self, seeds: Sequence[int], labels: Tensor | None, keep_steps: bool = False) -> Samples:
        """Samples for `seeds` with `labels` (N,) or None, in batches of `sampling.batch_size`."""
        pieces, kept, size = [], [], self.sampling.batch_size
        for begin in range(0, len(seeds), size):
            window = slice(begin, begin + size)
            frames = []
            for step in self.steps(seeds[window], None if labels is None else labels[window]):
                if keep_steps:
                    frames.append(to_arrays(self.spec, step.x))
            pieces.append(to_arrays(self.spec, step.x))
            kept.append(frames)
        together: list[Any] = [np.concatenate(parts) for parts in zip(*kept, strict=True)] if keep_steps else []
        classes = self.spec.classes
        return Samples(np.concatenate(pieces), list(seeds), _listed(labels), together, step.evaluations, classes)

    def steps(self, seeds: Sequence[int], labels: Tensor | None) -> Iterator[Step]:
        """The steps of one batch from noise to samples."""
        estimator, sampler, grid = build_sampling(self.sampling, self.denoiser, self.guide_denoiser())
        return sample(estimator, seeds=seeds, sampler=sampler, grid=grid, label=labels, device=self.device)

    def guide_denoiser(self) -> Denoiser | None:
        """The denoiser that autoguidance pushes away from; None where the sampling settings ask for none."""
        name = self.sampling.guide_checkpoint
        if name is None:
            return None
        if self.guide is None:
            raise UsageError(f"guide_checkpoint is {name}, but this model has no earlier checkpoints; leave it out")
        return self.guide(name)


def _listed(labels: Tensor | None) -> list[int] | None:
    return None if labels is None else labels.tolist()
