"""Changing pictures with a run: `Run.edit` gives an Editor, each of whose methods gives an Edit that can be saved."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from fromnoise.common.errors import UsageError
from fromnoise.common.options import replaced
from fromnoise.diffusion import editing as edits
from fromnoise.diffusion.denoiser import Denoiser, Estimator
from fromnoise.diffusion.samplers.base import Sampler
from fromnoise.diffusion.samplers.loop import Step, start_noise, starting_point, walk
from fromnoise.editing.inputs import Given, Mask, Source, mask, picture
from fromnoise.editing.result import Edit, Moment, gathered, grey_levels
from fromnoise.model.build import build_sampling, check_sampling
from fromnoise.model.labels import draw_labels, label_number
from fromnoise.model.samples import to_arrays
from fromnoise.settings import SampleOptions

if TYPE_CHECKING:
    from fromnoise.run import Run

LEAST_STEPS = 20  # unless asked otherwise: edits walk a part of the way, or back, and few steps are too coarse for that
_UNKNOWN = 128  # the grey that a hole is shown in


def editor(run: Run, settings: Mapping[str, Any] | None, at: str, weights: str) -> Editor:
    """An Editor with the model of `run`; raises UsageError for bad settings, CheckpointError."""
    asked = dict(settings or {})
    options = replaced(run.settings, {f"sample.{name}": value for name, value in asked.items()}).sample
    denoiser = run.denoiser(at, weights)
    check_sampling(options, denoiser.process, denoiser.spec)
    guided = ("guidance_scale" in asked and options.guidance_scale != 1) or asked.get("guide_checkpoint") is not None
    return Editor(run, denoiser, options, guided, "steps" in asked or "," in options.grid)


@dataclass(frozen=True)
class Editor:
    """Changes pictures with one model.

    A picture is a path, the number of a training picture, or uint8 (H, W, C). label: a class by name or number;
    without it a training picture has its own class and any other none. guided, stepped: whether guidance and steps were
    asked for, and are not the run's own. Every method raises UsageError for what cannot be, DataError for pictures that
    cannot be read.
    """

    run: Run
    denoiser: Denoiser
    options: SampleOptions
    guided: bool = False
    stepped: bool = True

    def img2img(
        self,
        image: Source,
        strength: float = 0.6,
        num: int = 8,
        *,
        seeds: Sequence[int] | None = None,
        label: str | int | None = None,
    ) -> Edit:
        """Variations of a picture, one a seed (0..num-1 if not given): see `fromnoise.diffusion.editing.img2img`."""
        seeds = _seeds(num, seeds)
        given = picture(self.run, image)
        way, x0 = self._way(self._labels(label, [given.label] * len(seeds))), self._encoded([given])
        x, moments = way.gone(
            len(seeds),
            lambda part: edits.img2img(way.asked, x0, strength=strength, seeds=seeds[part], **way.how(part)),
        )
        facts = {"strength": strength, "t": moments[0].t}
        notes = [f"strength {strength:g}: down from t = {moments[0].t:.3g} of {way.grid[0]:g}"]
        return self._edit("img2img", x, [f"seed {seed}" for seed in seeds], moments, [given], way, facts, notes)

    def inpaint(
        self,
        image: Source,
        hole: Mask,
        num: int = 8,
        *,
        seeds: Sequence[int] | None = None,
        resample: int = 1,
        label: str | int | None = None,
    ) -> Edit:
        """A picture with what `hole` marks painted anew, once a seed (0..num-1): see `diffusion.editing.inpaint`.

        hole: an image file of the model's size, white where to paint, or bool (H, W). resample: RePaint's repetitions.
        """
        seeds = _seeds(num, seeds)
        given, where = picture(self.run, image), mask(self.run, hole)
        way, x0 = self._way(self._labels(label, [given.label] * len(seeds))), self._encoded([given])
        x, moments = way.gone(
            len(seeds),
            lambda part: edits.inpaint(way.asked, x0, where, seeds=seeds[part], resample=resample, **way.how(part)),
        )
        known = Given(torch.where(where, _UNKNOWN, given.pixels.int()).byte(), "known")
        facts = {"painted": float(where.float().mean()), "resample": resample}
        notes = [f"painted anew: {int(where.sum())} of {where.numel()} pixels"]
        return self._edit("inpaint", x, [f"seed {seed}" for seed in seeds], moments, [given, known], way, facts, notes)

    def interpolate(
        self,
        *,
        seeds: Sequence[int] | None = None,
        images: Sequence[Source] | None = None,
        num: int = 8,
        label: str | int | None = None,
    ) -> Edit:
        """`num` pictures from one seed, or picture, to another, both included: see `diffusion.editing.interpolate`.

        Without a label, all take the class that the first seed draws in `Run.sample`, so that the first picture is the
        one made there; or the class that both pictures have, else none. Pictures are inverted, so without guidance.
        """
        if (seeds is None) == (images is None) or len(seeds or images or ()) != 2:
            raise UsageError("interpolation goes from one to another; give two seeds or two pictures, and not both")
        if num < 2:
            raise UsageError(f"{num} was asked for, but both ends are among them; ask for at least 2")
        given = [picture(self.run, image) for image in images or ()]
        shares = torch.linspace(0, 1, num, dtype=torch.float64)
        if seeds is not None:
            drawn = int(draw_labels(seeds[:1], self.run.label_counts)) if self.run.spec.classes else None
            way = self._way(self._labels(label, [drawn] * num), from_noise=True)
            noise = start_noise(self.denoiser.process, self.run.spec.shape, seeds)
            ends = starting_point(self.denoiser.process, noise, float(way.grid[0]))
        else:
            own = given[0].label if given[0].label == given[1].label else None
            way = self._way(self._labels(label, [own] * num), inverting=True)
            ends = self._inverted(way, self._encoded(given))[0]
        seed = seeds[0] if seeds is not None else 0
        x, moments = way.gone(
            num, lambda part: edits.interpolate(way.asked, *ends, shares=shares[part], seed=seed, **way.how(part))
        )
        facts: dict[str, Any] = {"shares": shares.tolist()}
        if given:
            facts["error"] = grey_levels(self.run.spec, x[[0, -1]], self._encoded(given))
        names = [f"{share:.0%}" for share in shares.tolist()]
        return self._edit("interpolate", x, names, moments, given, way, facts, _error_notes(facts))

    def invert(self, images: Source | Sequence[Source], *, label: str | int | None = None) -> Edit:
        """Pictures to noise and back, with the error of the whole way: see `fromnoise.diffusion.editing.invert`.

        Edit.noise is x at the grid's first time. No guidance, whatever the run's own is: it would not lead back.
        """
        several: Sequence[Any] = images if isinstance(images, list | tuple) else [images]
        given = [picture(self.run, image) for image in several]
        if not given:
            raise UsageError("no picture was given; give at least one")
        way, x0 = self._way(self._labels(label, [one.label for one in given]), inverting=True), self._encoded(given)
        noise, up = self._inverted(way, x0)
        x, moments = way.gone(
            len(given),
            lambda part: walk(way.asked, noise[part], seeds=[0] * len(noise[part]), **way.how(part)),
        )
        facts = {"error": grey_levels(self.run.spec, x, x0), **self._spread(noise, way.grid)}
        made = self._edit("invert", x, [one.name for one in given], moments, given, way, facts, _error_notes(facts))
        return replace(made, noise=noise, up=up)

    def _inverted(self, way: _Way, x0: Tensor) -> tuple[Tensor, list[Moment]]:
        """The noise (N, C, H, W) that x0 comes from, and the moments on the way up to it."""
        return way.gone(len(x0), lambda part: edits.invert(way.asked, x0[part], **way.how(part)))

    def _spread(self, noise: Tensor, grid: Tensor) -> dict[str, Any]:
        """The standard deviation of each inverted picture's noise, and that of the noise that sampling starts from."""
        sigma = float(self.denoiser.process.scales(grid[:1])[1])
        prior = 1.0 if self.denoiser.process.prior.gaussian else 12**-0.5
        return {"noise_std": [round(float(std) / sigma, 4) for std in noise.flatten(1).std(1)], "prior_std": prior}

    def _way(self, labels: Tensor | None, inverting: bool = False, from_noise: bool = False) -> _Way:
        """How to walk; without guidance where pictures are inverted, as `sample` does where they come from noise."""
        options = self.options
        if not (self.stepped or from_noise):
            options = replace(options, steps=max(options.steps, LEAST_STEPS))
        if inverting:
            if self.guided:
                raise UsageError(
                    "guidance was asked for, but pictures are inverted without it: what is pulled to the class does "
                    "not come back; leave it out"
                )
            options = replace(options, guidance_scale=1.0, autoguidance_scale=1.0, guide_checkpoint=None)
        guide = None if options.guide_checkpoint is None else self.run.guide_denoiser(options.guide_checkpoint)
        return _Way(*build_sampling(options, self.denoiser, guide), labels, self.run.device, options.batch_size)

    def _labels(self, asked: str | int | None, own: Sequence[int | None]) -> Tensor | None:
        """The labels (N,) of pictures that have their `own`, or none; None where no picture has one."""
        if asked is not None:
            return torch.full((len(own),), label_number(asked, self.run.spec))
        if not self.run.spec.classes:
            return None
        if None in own and self.run.settings.objective.label_dropout == 0:
            raise UsageError(
                "this model never saw a picture without its class, and the class of this one is not known; give --label"
            )
        if all(one is None for one in own):
            return None
        return torch.tensor([self.run.spec.null_label if one is None else one for one in own])

    def _encoded(self, given: Sequence[Given]) -> Tensor:
        return self.run.spec.encode(torch.cat([one.pixels for one in given]))

    def _edit(
        self,
        action: str,
        x: Tensor,
        names: list[str],
        moments: list[Moment],
        given: Sequence[Given],
        way: _Way,
        facts: dict[str, Any],
        notes: Sequence[str],
    ) -> Edit:
        classes = [*self.run.spec.classes, "none"]
        told = None if way.labels is None else [classes[label] for label in way.labels.tolist()]
        shown = [(one.name, one.pixels.permute(0, 2, 3, 1).numpy()) for one in given]
        notes = [*(one.note for one in given if one.note), *notes]
        if self.run.spec.classes:
            notes.append(f"class: {', '.join(sorted(set(told or ['none'])))}")
        return Edit(
            action, to_arrays(self.run.spec, x), names, shown, moments, facts={**facts, "classes": told}, notes=notes
        )


@dataclass(frozen=True)
class _Way:
    """What to ask, by which steps, along which times; labels (N,) or None; where, and how many pictures at once."""

    asked: Estimator
    sampler: Sampler
    grid: Tensor
    labels: Tensor | None
    device: str
    batch: int

    def how(self, part: slice) -> dict[str, Any]:
        """The arguments that every walk of the pictures in `part` takes."""
        label = None if self.labels is None else self.labels[part]
        return {"sampler": self.sampler, "grid": self.grid, "label": label, "device": self.device}

    def gone(self, count: int, go: Callable[[slice], Iterator[Step]]) -> tuple[Tensor, list[Moment]]:
        """Where `count` pictures come out, and the moments on their way; `go` walks those of a slice."""
        walks = (go(slice(begin, begin + self.batch)) for begin in range(0, count, self.batch))
        return gathered(self.asked.process, self.asked.spec, walks, len(self.grid) - 1)


def _seeds(num: int, seeds: Sequence[int] | None) -> list[int]:
    seeds = list(range(num)) if seeds is None else list(seeds)
    if not seeds:
        raise UsageError("0 pictures were asked for; ask for at least one with --num or --seeds")
    return seeds


def _error_notes(facts: Mapping[str, Any]) -> list[str]:
    if "error" not in facts:
        return []
    errors = ", ".join(f"{error:.2f}" for error in facts["error"])
    notes = [f"reconstruction error: {errors} grey levels of 255 (root mean square)"]
    if "noise_std" in facts:
        spread = ", ".join(f"{std:.2f}" for std in facts["noise_std"])
        notes.append(f"standard deviation of the noise: {spread} (sampling starts from {facts['prior_std']:.2g})")
    return notes
