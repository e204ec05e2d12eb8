"""Edit images with a trained model: each method of an Editor returns an Edit, which can be saved."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fromnoise.common.errors import UsageError
from fromnoise.common.labels import by_name, classes_of, unconditional
from fromnoise.common.text import some
from fromnoise.data.image_data import ArrayData
from fromnoise.diffusion import editing as edits
from fromnoise.diffusion.samplers.loop import Step, start_noise, starting_point, walk
from fromnoise.editing.inputs import ImageSource, InputImage, MaskSource, is_number, read_image, read_mask
from fromnoise.editing.inputs import training_image as read_training_image
from fromnoise.editing.result import Edit, Frame, collect, rms_error
from fromnoise.editing.sampling import EditSampling, inverting, partial_sampling
from fromnoise.model.samples import to_arrays
from fromnoise.model.trained_model import TrainedModel

Numbers = Mapping[str, float]  # by name
_UNKNOWN_GREY = 128  # the region to inpaint is drawn in this grey


@dataclass(frozen=True)
class Editor:
    """Edits images with `model`, which samples with its own settings.

    An image is a path, the number of a training image, or uint8 (H, W, C). `label` is a class by its name, and
    `conditions` are numbers by name. What is not given is a training image's own; for any other image it is drawn as
    for samples where the rest is given, and else there is none. Every method raises UsageError for arguments that do
    not go together and DataError for images that cannot be read.

    Arguments:
        model: what samples.
        images: gives the training images; called for an image given by its number. None where there are none.
        center_crop: whether a file of another shape is cropped at its centre, or squeezed.
        range: the stored values that the training images were read by, `ArrayData.range`.
        requested: the sampling settings that were given for these edits. Without `steps` among them, edits take at
            least 20 steps, and without guidance among them, images are inverted without the model's own guidance.
    """

    model: TrainedModel
    images: Callable[[], ArrayData] | None = None
    center_crop: bool = True
    range: str = "full"
    requested: Mapping[str, Any] = field(default_factory=dict)

    def img2img(
        self,
        image: ImageSource,
        strength: float = 0.6,
        num: int = 8,
        *,
        seeds: Sequence[int] | None = None,
        label: str | int | None = None,
        conditions: Numbers | None = None,
    ) -> Edit:
        """Variations of an image, one for each seed (0 to num-1 if not given).

        Arguments:
            strength: above 0, where hardly anything changes, to 1, where nothing of the image is used.

        References:
            SDEdit, Meng et al. 2022, https://arxiv.org/abs/2108.01073
        """
        seeds = _seeds(num, seeds)
        given = self._read(image)
        sampling = self._partial(self._labels([given.label] * len(seeds), label, conditions, seeds))
        x0 = self._encode([given])

        def steps(part: slice) -> Iterator[Step]:
            return edits.img2img(
                sampling.estimator, x0, strength=strength, seeds=seeds[part], **sampling.arguments(part)
            )

        x, frames = collect(sampling, len(seeds), steps)
        facts = {"strength": strength, "t": frames[0].t}
        notes = [f"strength {strength:g}: from t = {frames[0].t:.3g} of {sampling.grid[0]:g} down to 0"]
        return self._edit("img2img", x, _seed_names(seeds), frames, [given], sampling, facts, notes)

    def inpaint(
        self,
        image: ImageSource,
        mask: MaskSource,
        num: int = 8,
        *,
        seeds: Sequence[int] | None = None,
        resample: int = 1,
        label: str | int | None = None,
        conditions: Numbers | None = None,
    ) -> Edit:
        """An image with the region of `mask` inpainted, once for each seed (0 to num-1 if not given).

        Arguments:
            mask: an image file of the model's size, white where to inpaint, or bool (H, W).
            resample: how often each step is taken; more than once, so that region and surroundings agree.

        References:
            RePaint, Lugmayr et al. 2022, https://arxiv.org/abs/2201.09865
        """
        seeds = _seeds(num, seeds)
        given, region = self._read(image), read_mask(mask, self.model.spec)
        sampling = self._partial(self._labels([given.label] * len(seeds), label, conditions, seeds))
        x0 = self._encode([given])

        def steps(part: slice) -> Iterator[Step]:
            return edits.inpaint(
                sampling.estimator, x0, region, seeds=seeds[part], resample=resample, **sampling.arguments(part)
            )

        x, frames = collect(sampling, len(seeds), steps)
        known = InputImage(torch.where(region, _UNKNOWN_GREY, given.pixels.int()).byte(), "known")
        facts = {"inpainted": float(region.float().mean()), "resample": resample}
        notes = [f"inpainted: {int(region.sum())} of {region.numel()} pixels"]
        return self._edit("inpaint", x, _seed_names(seeds), frames, [given, known], sampling, facts, notes)

    def interpolate(
        self,
        *,
        seeds: Sequence[int] | None = None,
        images: Sequence[ImageSource] | None = None,
        num: int = 8,
        label: str | int | None = None,
        conditions: Numbers | None = None,
    ) -> Edit:
        """`num` images from one seed, or image, to another, both included; normal noise along a great circle.

        Without a label, all take the class that the first seed draws in `Run.sample`, so that the first sample equals
        that one; or the class that both images have, else none. Numbers go from those of one image to the other's.
        Images are inverted, without guidance.

        References:
            Section 5.3 of DDIM, Song et al. 2021, https://arxiv.org/abs/2010.02502
        """
        if (seeds is None) == (images is None) or len(seeds or images or ()) != 2:
            raise UsageError("interpolation needs two ends; give two seeds or two images, and not both")
        if num < 2:
            raise UsageError(f"num is {num}, but both ends are among the images; give at least 2")
        given = [self._read(image) for image in images or ()]
        shares = torch.linspace(0, 1, num, dtype=torch.float64)
        if seeds is not None:
            drawn = self.model.labels(seeds[:1], label, conditions)
            sampling = EditSampling.of(self.model, None if drawn is None else torch.cat([drawn] * num))
            noise = start_noise(self.model.process, self.model.spec.shape, seeds)
            ends = starting_point(self.model.process, noise, float(sampling.grid[0]))
        else:
            labels = self._labels_between(given, shares, label, conditions)
            sampling = self._inverting(labels)
            inverted = replace(sampling, labels=None if labels is None else labels[[0, -1]])
            ends = self._inverted(inverted, self._encode(given))[0]
        both = (seeds[0], seeds[1]) if seeds is not None else (0, 0)

        def steps(part: slice) -> Iterator[Step]:
            return edits.interpolate(
                sampling.estimator, *ends, shares=shares[part], seeds=both, **sampling.arguments(part)
            )

        x, frames = collect(sampling, num, steps)
        facts: dict[str, Any] = {"shares": shares.tolist()}
        if given:
            facts["error"] = rms_error(self.model.spec, x[[0, -1]], self._encode(given))
        names = [f"{share:.0%}" for share in shares.tolist()]
        return self._edit("interpolate", x, names, frames, given, sampling, facts, _error_notes(facts))

    def invert(
        self,
        images: ImageSource | Sequence[ImageSource],
        *,
        label: str | int | None = None,
        conditions: Numbers | None = None,
    ) -> Edit:
        """Images to noise and back, with the error of the round trip; `Edit.noise` is x at the grid's first time.

        Without guidance, whatever the model's own is: the way back would not undo it.

        References:
            Section 4.3 of DDIM, Song et al. 2021, https://arxiv.org/abs/2010.02502
        """
        several: Sequence[Any] = images if isinstance(images, list | tuple) else [images]
        given = [self._read(image) for image in several]
        if not given:
            raise UsageError("no image was given; give at least one")
        x0 = self._encode(given)
        sampling = self._inverting(self._labels([one.label for one in given], label, conditions))
        noise, inversion = self._inverted(sampling, x0)

        def steps(part: slice) -> Iterator[Step]:
            return walk(sampling.estimator, noise[part], seeds=[0] * len(noise[part]), **sampling.arguments(part))

        x, frames = collect(sampling, len(given), steps)
        facts = {"error": rms_error(self.model.spec, x, x0), **self._noise_statistics(noise, sampling.grid)}
        edit = self._edit("invert", x, [one.name for one in given], frames, given, sampling, facts, _error_notes(facts))
        return replace(edit, noise=noise, inversion=inversion)

    # -- images and labels ----------------------------------------------------------------------------------------

    def _read(self, source: ImageSource) -> InputImage:
        if isinstance(source, np.ndarray) or not is_number(source):
            return read_image(source, self.model.spec, self.center_crop, self.range)  # type: ignore[arg-type]
        if self.images is None:
            raise UsageError(f"training image {source} was requested, but this model has no training images")
        return read_training_image(int(source), self.images(), self.model.spec)  # type: ignore[arg-type]

    def _labels(
        self,
        own: Sequence[Tensor | None],
        label: str | int | None,
        conditions: Numbers | None,
        seeds: Sequence[int] | None = None,
    ) -> Tensor | None:
        """The labels of images whose own are `own`, with what is requested; None where nothing is known of any.

        seeds: by which the rest is drawn, as for samples; the images' places if not given.
        """
        spec = self.model.spec
        if label is not None or conditions:
            drawn = self.model.labels(range(len(own)) if seeds is None else seeds, label, conditions)
            assert drawn is not None  # what cannot be requested of this model was refused
            return torch.cat([self._kept(*pair, label, conditions) for pair in zip(own, drawn, strict=True)])
        if not spec.conditioned:
            return None
        if any(one is None for one in own) and not self.model.sees_unlabelled:
            if not spec.classes:
                raise UsageError(
                    "the numbers of an image are not known, and this model was only trained with numbers; give "
                    f"--condition {spec.conditions[0].name}=VALUE"
                )
            raise UsageError(
                "the class of an image is not known, and this model was only trained with classes; give --label"
            )
        known = next((one for one in own if one is not None), None)
        if known is None:
            return None
        return torch.cat([unconditional(known, spec.null_label) if one is None else one for one in own])

    def _labels_between(
        self, given: Sequence[InputImage], shares: Tensor, label: str | int | None, conditions: Numbers | None
    ) -> Tensor | None:
        """The labels of images between two: of the class that both have, with numbers from the first's to the second's.

        A number that one of them lacks is not known of any.
        """
        known = [one.label for one in given if one.label is not None]
        free = label is not None or not self.model.spec.classes  # their own classes do not matter
        alike = len(known) == 2 and (free or torch.equal(*map(classes_of, known)))
        ends = self._labels(known if alike else [None, None], label, conditions, seeds=(0, 0))
        if ends is None or ends.ndim == 1:
            return None if ends is None else ends[:1].repeat(len(shares))
        return torch.lerp(ends[:1], ends[1:], shares.to(ends)[:, None])

    def _kept(self, own: Tensor | None, drawn: Tensor, label: str | int | None, conditions: Numbers | None) -> Tensor:
        """`drawn`, the label of one image, with what was not requested from its `own`, where that is known."""
        if own is None or own.ndim == 1:
            return drawn[None]
        asked = [label is not None, *(one.name in (conditions or {}) for one in self.model.spec.conditions)]
        return torch.where(torch.tensor(asked), drawn, own)

    def _encode(self, given: Sequence[InputImage]) -> Tensor:
        return self.model.spec.encode(torch.cat([one.pixels for one in given]))

    # -- sampling -------------------------------------------------------------------------------------------------

    def _partial(self, labels: Tensor | None) -> EditSampling:
        """Sampling from a noisy image."""
        return EditSampling.of(partial_sampling(self.model, self.requested), labels)

    def _inverting(self, labels: Tensor | None) -> EditSampling:
        """Sampling from an inverted image."""
        model = inverting(partial_sampling(self.model, self.requested), self.requested)
        return EditSampling.inverting(model, labels)

    def _inverted(self, sampling: EditSampling, x0: Tensor) -> tuple[Tensor, list[Frame]]:
        """The noise (N, C, H, W) that x0 comes from, and the frames on the way to it."""
        return collect(
            sampling, len(x0), lambda part: edits.invert(sampling.estimator, x0[part], **sampling.arguments(part))
        )

    def _noise_statistics(self, noise: Tensor, grid: Tensor) -> dict[str, Any]:
        """The standard deviation of each inverted image's noise, and that of the noise that sampling starts from."""
        sigma = float(self.model.process.scales(grid[:1])[1])
        prior = 1.0 if self.model.process.prior.gaussian else 12**-0.5
        return {"noise_std": [round(float(std) / sigma, 4) for std in noise.flatten(1).std(1)], "prior_std": prior}

    def _edit(
        self,
        action: str,
        x: Tensor,
        names: list[str],
        frames: list[Frame],
        given: Sequence[InputImage],
        sampling: EditSampling,
        facts: dict[str, Any],
        notes: Sequence[str],
    ) -> Edit:
        spec, labels = self.model.spec, sampling.labels
        classes, used = [*spec.classes, "none"], None
        if labels is not None and spec.classes:  # images may have classes that the model does not know
            used = [classes[label] for label in classes_of(labels).tolist()]
        numbers = by_name(labels, [one.name for one in spec.conditions])
        if numbers:
            plain = {name: [v if v == v else None for v in values] for name, values in numbers.items()}
            facts = {**facts, "conditions": plain}
        shown = [(one.name, one.pixels.permute(0, 2, 3, 1).numpy()) for one in given]
        notes = [*(one.note for one in given if one.note), *notes]
        if spec.classes:
            notes.append(f"class: {some(sorted(set(used or ['none'])))}")
        notes += [f"{name}: {some(sorted({f'{value:.4g}' for value in values}))}" for name, values in numbers.items()]
        images = to_arrays(spec, x)
        return Edit(action, images, names, shown, frames, facts={**facts, "classes": used}, notes=notes)


def _seeds(num: int, seeds: Sequence[int] | None) -> list[int]:
    seeds = list(range(num)) if seeds is None else list(seeds)
    if not seeds:
        raise UsageError("0 images were requested, but at least one is needed; give a larger --num or some --seeds")
    return seeds


def _seed_names(seeds: Sequence[int]) -> list[str]:
    return [f"seed {seed}" for seed in seeds]


def _error_notes(facts: Mapping[str, Any]) -> list[str]:
    if "error" not in facts:
        return []
    errors = ", ".join(f"{error:.2f}" for error in facts["error"])
    notes = [f"reconstruction error: {errors} grey levels of 255 (root mean square)"]
    if "noise_std" in facts:
        stds = ", ".join(f"{std:.2f}" for std in facts["noise_std"])
        notes.append(f"standard deviation of the noise: {stds} (sampling starts from {facts['prior_std']:.2g})")
    return notes
