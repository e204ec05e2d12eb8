"""A trained model: what samples, and what everything after training takes.

    model = Run("runs/mnist").model()
    model.sample(16, label=3, steps=5, sampler="heun").save("threes.png")

It knows neither a run folder nor training data, so an imported pipeline can be one as well as a run's checkpoint.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Unpack

import numpy as np
import torch
from torch import Tensor, nn

from fromnoise.common.errors import UsageError
from fromnoise.common.image_spec import ImageSpec
from fromnoise.common.labels import by_name, classes_of, joined
from fromnoise.common.options import changed
from fromnoise.common.progress import report_progress
from fromnoise.diffusion.denoiser import Denoiser
from fromnoise.diffusion.process import Process
from fromnoise.diffusion.samplers.loop import Step, sample
from fromnoise.model.build import build_sampling, check_sampling
from fromnoise.model.film import Film
from fromnoise.model.labels import beyond_training, draw_labels, draw_numbers, label_number, with_asked
from fromnoise.model.samples import Samples, noisy_arrays, to_arrays
from fromnoise.model.shares import in_shares, parts_of, shared
from fromnoise.settings import NO_FRESH_NOISE, SampleOptions, SampleSettings


@dataclass(frozen=True)
class TrainedModel:
    """A denoiser, ready to sample.

    Arguments:
        denoiser: in evaluation mode, on the device that it computes on.
        sampling: how it samples where nothing else is asked for.
        label_counts: training images of each class, by which labels are drawn; () without classes.
        label_rows: labels of training images, float32 (M, 1 + K), from which conditions are drawn; None without any.
        sees_unlabelled: whether training showed images without their class and conditions (label dropout), as guidance
            needs; True for a model without these, which sees no others.
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
    label_rows: Tensor | None = None

    def __post_init__(self) -> None:
        if written := self.sampling.grid.count(","):  # a grid of written times has its own number of steps
            object.__setattr__(self, "sampling", dataclasses.replace(self.sampling, steps=written))

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
        """The same model that samples with `settings`; UsageError for settings that do not go together.

        Another sampler comes without the eta and churn of the one before.
        """
        other = settings.get("sampler", self.sampling.sampler) != self.sampling.sampler
        options = changed(self.sampling, {**(NO_FRESH_NOISE if other else {}), **settings}, "sample")
        if options.guidance_scale != 1 and self.distilled:
            raise UsageError(
                f"guidance_scale is {options.guidance_scale:g}, but this model is distilled, with guidance built in; "
                "leave it at 1, or distil its run with another one"
            )
        check_sampling(options, self.process, self.spec)
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

    def labels(
        self, seeds: Sequence[int], label: str | int | None = None, conditions: Mapping[str, float] | None = None
    ) -> Tensor | None:
        """What samples are conditioned on, as in `fromnoise.common.labels`; None for a model without conditioning.

        Arguments:
            label: a class for all; without it each seed draws one.
            conditions: numbers for all by name; for others each seed draws those of a training image of its class.

        Raises UsageError for a class or a condition that the model does not know.
        """
        classes = None
        if label is not None:
            classes = torch.full((len(seeds),), label_number(label, self.spec))
        elif self.spec.classes:
            classes = draw_labels(seeds, self.label_counts)
        return self.completed(seeds, classes, conditions)

    def completed(
        self, seeds: Sequence[int], classes: Tensor | None, conditions: Mapping[str, float] | None = None
    ) -> Tensor | None:
        """The labels of `classes`, int64 (N,) or None, with `conditions` as for `labels`."""
        if not self.spec.conditions:
            if conditions:
                given = ", ".join(conditions)
                raise UsageError(f"condition {given} was given, but this model has none; leave --condition out")
            return classes
        if self.label_rows is None:
            numbers = torch.full((len(seeds), len(self.spec.conditions)), torch.nan)
        else:
            numbers = draw_numbers(seeds, classes, self.label_rows)
        numbers = with_asked(numbers, conditions or {}, self.spec)
        for sentence in beyond_training(conditions or {}, self.spec):
            report_progress(f"warning: {sentence}")
        return joined(classes, numbers)

    def sample(
        self,
        num: int = 64,
        *,
        seeds: Sequence[int] | None = None,
        label: str | int | None = None,
        conditions: Mapping[str, float] | None = None,
        keep_steps: bool = False,
        **settings: Unpack[SampleSettings],
    ) -> Samples:
        """Samples from `seeds` (0 to num-1 if not given); sample i follows from its seed alone.

        Arguments:
            num: how many, where no seeds are given.
            label: a class by its name for all of them; without it each seed draws one with the frequencies of
                the training set.
            conditions: numbers by name for all of them, such as {"slant": 0.3}; others are drawn for each seed.
            keep_steps: also keep the images after each step.
            settings: sampling options such as steps=50, else the model's own.

        Raises:
            UsageError: for a class, a setting or a combination that cannot be.
        """
        seeds = list(range(num)) if seeds is None else list(seeds)
        if not seeds:
            raise UsageError("0 samples were requested, but one is needed; give num of at least 1, or some seeds")
        group = shared()
        model, labels = group.each(lambda: (self.with_sampling(**settings), self.labels(seeds, label, conditions)))
        if keep_steps:
            return model.sample_labelled(seeds, labels, keep_steps)
        return model.made(seeds, labels)

    def film(
        self,
        name: str,
        first: float,
        last: float,
        frames: int = 9,
        *,
        seeds: Sequence[int] = range(8),
        label: str | int | None = None,
        conditions: Mapping[str, float] | None = None,
        **settings: Unpack[SampleSettings],
    ) -> Film:
        """Samples of `seeds` while the condition `name` goes from `first` to `last`, in `frames` values.

        Arguments:
            label: as for `sample`.
            conditions: those that stay, as for `sample`.
            settings: as for `sample`.

        Raises:
            UsageError: as `sample` does, and for fewer than two frames.
        """
        if frames < 2:
            raise UsageError(f"{frames} frames were requested, but both ends are among them; give at least 2")

        def ends() -> tuple[TrainedModel, list[Tensor | None]]:
            asked = [{**(conditions or {}), name: one} for one in (first, last)]
            return self.with_sampling(**settings), [self.labels(seeds, label, one) for one in asked]

        model, (begin, end) = shared().each(ends)
        assert begin is not None and end is not None  # a model without conditions was refused
        shares = [place / (frames - 1) for place in range(frames)]
        made = [model.made(list(seeds), torch.lerp(begin, end, share)) for share in shares]
        return Film(name, [first + (last - first) * share for share in shares], made)

    def made(self, seeds: list[int], labels: Tensor | None) -> Samples:
        """Samples for `seeds` with their `labels` or None; inside `sharing` each process makes some."""
        batches = list(self.batches(seeds, labels))
        images = np.concatenate([batch.images for batch in batches])
        return dataclasses.replace(batches[0], images=images, seeds=seeds, **self._listed(labels))

    def batches(self, seeds: Sequence[int], labels: Tensor | None) -> Iterator[Samples]:
        """Samples for `seeds` with their `labels` or None, batch by batch; inside `sharing` each process makes some."""

        def batch(window: slice) -> Samples:
            return self.sample_labelled(seeds[window], None if labels is None else labels[window])

        return in_shares(batch, parts_of(len(seeds), self.sampling.batch_size))

    def sample_labelled(self, seeds: Sequence[int], labels: Tensor | None, keep_steps: bool = False) -> Samples:
        """Samples for `seeds` with their `labels` or None, in batches of `sampling.batch_size`."""
        pieces, kept, size = [], [], self.sampling.batch_size
        for begin in range(0, len(seeds), size):
            window = slice(begin, begin + size)
            frames = []
            for step in self.steps(seeds[window], None if labels is None else labels[window]):
                if keep_steps:
                    frames.append(noisy_arrays(self.process, self.spec, step.x, step.s))
            pieces.append(to_arrays(self.spec, step.x))
            kept.append(frames)
        together: list[Any] = [np.concatenate(parts) for parts in zip(*kept, strict=True)] if keep_steps else []
        return Samples(
            images=np.concatenate(pieces),
            seeds=list(seeds),
            steps=together,
            evaluations=step.evaluations,
            classes=self.spec.classes,
            **self._listed(labels),
        )

    def _listed(self, labels: Tensor | None) -> dict[str, Any]:
        """Labels and conditions as `Samples` hold them."""
        known = labels is not None and (labels.ndim == 1 or bool(self.spec.classes))
        classes = classes_of(labels).tolist() if labels is not None and known else None
        return {"labels": classes, "conditions": by_name(labels, [one.name for one in self.spec.conditions])}

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
