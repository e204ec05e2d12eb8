"""The case: a run, the way it samples, and what several checks measure once and share."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from fromnoise.common.image_spec import ImageSpec
from fromnoise.data import cache_dir
from fromnoise.data.image_data import ArrayData
from fromnoise.diagnosis.baselines import linear_filter, look_up
from fromnoise.diagnosis.noise_levels import Guess, Levels, choose_levels, errors
from fromnoise.diffusion.denoiser import Denoiser
from fromnoise.metrics.features import Features, domain
from fromnoise.metrics.kid import KernelDistance, kernel_distance
from fromnoise.model.legacy import make
from fromnoise.settings import SampleOptions
from fromnoise.train.best_checkpoint import best_score

if TYPE_CHECKING:
    from fromnoise.run import Run

LOOKED_AT = 256  # images that are denoised, fewer where the network is slow
MEASURED = 2048  # training images whose statistics are taken
LEARNED_FROM = 20_000  # training images that the plain statistics know
_DENOISING_SECONDS = 6.0  # that one curve may take
_SAMPLING_SECONDS = 30.0  # that all samples may take
_FEWEST = 32
_MOST_SECONDS = 90.0  # for so few samples: with a slower network none are made


@dataclass(frozen=True)
class Pictures:
    """uint8 images (N, C, H, W) with the labels the network is told, int64 (N,) or None."""

    images: Tensor
    labels: Tensor | None


@dataclass
class Case:
    """`run` as it samples with `options` from the checkpoint `at` and its `weights` (as for `Run.denoiser`)."""

    run: Run
    options: SampleOptions
    at: str
    weights: str

    def __post_init__(self) -> None:
        # Weights that were never averaged go by their own name.
        self.weights = "raw" if self.weights == "ema" and not self.run.settings.train.use_ema else self.weights

    @cached_property
    def denoiser(self) -> Denoiser:
        """The one that samples."""
        return self.trained[self.weights]

    @cached_property
    def trained(self) -> dict[str, Denoiser]:
        """The denoisers at the checkpoint: "ema" where one is kept, "raw", and `weights`; raises as `Run.denoiser`."""
        names = ("ema", "raw") if self.run.settings.train.use_ema else ("raw",)
        return {name: self.run.denoiser(self.at, name) for name in dict.fromkeys((*names, self.weights))}

    @cached_property
    def seen(self) -> int:
        """Images seen at the checkpoint."""
        newest, best = self.run.newest_checkpoint(), best_score(self.run.folder.checkpoints)
        named = {"last": int(newest.name) if newest else 0, "best": best.images if best else 0}
        return named[self.at] if self.at in named else int(self.at)

    @cached_property
    def spec(self) -> ImageSpec:
        """Shape and range of the images as the model takes them."""
        return self.run.spec

    @cached_property
    def held_out(self) -> ArrayData | None:
        """Images that were not trained on."""
        return self.run.held_out

    @cached_property
    def evaluations_per_second(self) -> float:
        """How many images the network looks at in a second, from its second batch of 32."""
        x = torch.zeros(_FEWEST, *self.spec.shape, device=self.run.device)
        t = torch.full((_FEWEST,), (self.denoiser.process.t_min + self.denoiser.process.t_max) / 2)
        for _ in range(2):
            began = time.perf_counter()
            with torch.no_grad():
                self.denoiser(x, t.double()).x0.sum().item()
            seconds = time.perf_counter() - began
        return _FEWEST / max(seconds, 1e-6)

    @cached_property
    def count(self) -> int:
        """How many images are denoised: 256, or 128, 64, 32 where that would take too long."""
        allowed = self.evaluations_per_second * _DENOISING_SECONDS / len(self.levels.times)
        return next((n for n in (LOOKED_AT, LOOKED_AT // 2, LOOKED_AT // 4) if n <= allowed), _FEWEST)

    # -- images ---------------------------------------------------------------------------------------------------

    def pictures(self, data: ArrayData, count: int) -> Pictures:
        """Up to `count` images, spread over `data`."""
        images, labels = data.fetch(spread(len(data), count))
        return Pictures(images.cpu(), labels.cpu() if labels is not None and self.spec.classes else None)

    @cached_property
    def trained_on(self) -> Pictures:
        """Training images to denoise, as many as `test`."""
        return self.pictures(self.run.data, self.count)

    @cached_property
    def test(self) -> Pictures:
        """Images to denoise: held out where there are such, else up to half of the training images."""
        if self.held_out is not None:
            return self.pictures(self.held_out, self.count)
        return self.pictures(self.run.data, min(self.count, len(self.run.data) // 2))

    @cached_property
    def known(self) -> Tensor:
        """Training images for the plain statistics, uint8; never those that are denoised."""
        data = self.run.data
        free = torch.ones(len(data), dtype=torch.bool)
        if self.held_out is None:
            free[spread(len(data), len(self.test.images))] = False
        left = free.nonzero().flatten()
        return data.fetch(left[spread(len(left), LEARNED_FROM)])[0].cpu()

    # -- denoising ------------------------------------------------------------------------------------------------

    @cached_property
    def levels(self) -> Levels:
        """The noise levels that are looked at."""
        return self.levels_in(self.spec)

    def levels_in(self, spec: ImageSpec) -> Levels:
        """The noise levels for images in the range of `spec`."""
        return choose_levels(self.denoiser.process, self.deviation(spec))

    def deviation(self, spec: ImageSpec) -> float:
        """The standard deviation of the training images in the range of `spec`, at least 0.01."""
        return max(0.01, self._grey_deviation * (spec.high - spec.low) / 255)

    @cached_property
    def _grey_deviation(self) -> float:
        return float(self.run.data.fetch(spread(len(self.run.data), MEASURED))[0].double().std())

    def errors(self, guess: Guess, pictures: Pictures, spec: ImageSpec | None = None) -> Tensor:
        """Errors of `guess`, float64 (L, N), in units of the data's variance; spec: in another range than the run's."""
        spec = spec or self.spec
        levels, x0 = self.levels_in(spec), spec.encode(pictures.images)
        return errors(self.denoiser.process, levels, x0, pictures.labels, guess).div(self.deviation(spec) ** 2)

    def asked(self, denoiser: Denoiser) -> Guess:
        """`denoiser` as a Guess."""

        def guess(xt: Tensor, t: Tensor, label: Tensor | None) -> Tensor:
            told = None if label is None else label.to(self.run.device)
            said: Tensor = denoiser(xt.to(self.run.device), t, told).x0
            return said

        return guess

    @cached_property
    def curves(self) -> dict[str, Tensor]:
        """Errors by name, float64 (L, N): those of `trained`, the linear filter, the look-up."""
        found = {name: self.errors(self.asked(denoiser), self.test) for name, denoiser in self.trained.items()}
        return found | self.plain(self.spec, self.test)

    def plain(self, spec: ImageSpec, pictures: Pictures) -> dict[str, Tensor]:
        """Errors of what needs no network, in the range of `spec`."""
        process, known = self.denoiser.process, spec.encode(self.known)
        guesses = {"linear filter": linear_filter(process, known), "look-up": look_up(process, known)}
        return {name: self.errors(guess, pictures, spec) for name, guess in guesses.items() if guess}

    @cached_property
    def reference(self) -> Tensor:
        """The lower mean error of the plain statistics at each level, float64 (L,)."""
        return reference_of(self.curves)

    # -- samples --------------------------------------------------------------------------------------------------

    @cached_property
    def features(self) -> Features:
        """The space that samples are compared in."""
        print("training a classifier on the real images, once for this data ...", file=sys.stderr, flush=True)
        return domain(self.run.data, cache_dir() / "classifiers")

    @cached_property
    def reference_features(self) -> Tensor:
        """Those of up to 2,048 training images, float32 (N, 128)."""
        data = self.run.data
        return self.features.of(data.fetch(spread(len(data), MEASURED))[0].cpu())

    @cached_property
    def samples(self) -> Pictures:
        """Pictures made as the run makes them, every class equally often."""
        return self.sampled(self.options)

    @cached_property
    def samples_away(self) -> KernelDistance:
        """The kernel distance of the samples from the training images."""
        return kernel_distance(self.features.of(self.samples.images), self.reference_features)

    @cached_property
    def real_away(self) -> float | None:
        """The same for as many held-out images: what a perfect model would come to; None without them."""
        count = len(self.samples.images)
        if self.held_out is None or len(self.held_out) < count:
            return None
        return kernel_distance(
            self.features.of(self.pictures(self.held_out, count).images), self.reference_features
        ).value

    @cached_property
    def mean_away(self) -> float:
        """The same for the mean of the training images, again and again: what a model that knows no more would make."""
        mean = self.known.double().mean(0, keepdim=True).round().byte()
        same = self.features.of(mean).expand(len(self.samples.images), -1)
        return kernel_distance(same, self.reference_features).value

    @cached_property
    def finer(self) -> SampleOptions:
        """The same way of sampling in four times the steps, as far as the process has so many."""
        most = int(self.denoiser.process.t_max) if self.run.settings.process.kind == "vp" else 10_000
        written = self.options.grid.count(",")  # a grid written out has its own number of steps
        steps = min(4 * (written or self.options.steps), most)
        return replace(self.options, steps=steps, grid="auto" if written else self.options.grid)

    @cached_property
    def sample_count(self) -> int:
        """How many samples can be afforded with both numbers of steps: up to 256, and 0 if it were fewer than 32."""
        guided = 2 if self.options.guidance_scale != 1 or self.options.autoguidance_scale != 1 else 1
        each = 1.25 * self.finer.steps * guided * (2 if self.options.sampler in ("heun", "edm") else 1)
        affordable = int(_SAMPLING_SECONDS * self.evaluations_per_second / each) // _FEWEST * _FEWEST
        return min(LOOKED_AT, affordable)

    @cached_property
    def too_slow(self) -> bool:
        """Whether even 32 samples would take more than a minute and a half."""
        return _FEWEST * self.options.steps > _MOST_SECONDS * self.evaluations_per_second

    def sampled(self, options: SampleOptions) -> Pictures:
        """Pictures from the first seeds with `options`, as many as can be afforded and at least 32."""
        seeds = list(range(max(_FEWEST, self.sample_count)))
        classes = len(self.spec.classes)
        labels = torch.arange(len(seeds)) % classes if classes else None
        made = make(self.run, self.denoiser, seeds, labels, options).images
        return Pictures(torch.from_numpy(made).permute(0, 3, 1, 2).contiguous(), labels)


def reference_of(curves: dict[str, Tensor]) -> Tensor:
    """The lower mean error of linear filter and look-up at each level, float64 (L,)."""
    plain = [curves[name].mean(1) for name in ("linear filter", "look-up") if name in curves]
    return torch.stack(plain).min(0).values


def spread(total: int, count: int) -> Tensor:
    """Up to `count` places spread over `total`, int64: a set sorted by class shows them all."""
    return torch.linspace(0, total - 1, min(total, count), dtype=torch.float64).long()


def ratio(first: Tensor, second: Tensor) -> float:
    """How many times larger `first` is than `second`, both (L,): the geometric mean over levels."""
    return float((first.clamp(min=1e-12) / second.clamp(min=1e-12)).log().mean().exp())
