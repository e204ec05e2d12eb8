"""What 8 bits change: the samples of an exported ONNX file beside those of its model, from the same seeds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fromnoise.common.errors import DataError
from fromnoise.common.progress import report_progress
from fromnoise.evaluation.limits import FEWEST
from fromnoise.evaluation.reference import build_reference
from fromnoise.evaluation.samples import draw_samples
from fromnoise.evaluation.scores import quick_scores
from fromnoise.evaluation.summary import format_number
from fromnoise.export.int8 import samples_of

if TYPE_CHECKING:
    from fromnoise.export.onnx_file import OnnxFile
    from fromnoise.model.trained_model import TrainedModel
    from fromnoise.run.opened import OpenedRun

NUM = 500
MANY_STEPS, FEW_STEPS = 100, 50  # a denoiser that samples in more than many is measured in few


@dataclass(frozen=True)
class Int8Quality:
    """largest, mean: difference of the images, black 0 and white 1. frechet: of int8 and of float32, None where there
    are no training images to measure by."""

    num: int
    steps: int
    largest: float
    mean: float
    frechet: tuple[float, float] | None

    @property
    def compared(self) -> str:
        """What was compared, in words."""
        return f"{self.num:,} samples of {self.steps} steps, int8 beside float32 from the same seeds"

    @property
    def distances(self) -> str:
        """The two Fréchet distances, in words."""
        if self.frechet is None:
            return "not measured, as there are no training images"
        ours, whole = map(format_number, self.frechet)
        return f"{ours}, in float32 {whole} ({self.num:,} samples, features of a classifier of these images)"


def int8_quality(run: OpenedRun, model: TrainedModel, made: OnnxFile, sampler: bool, num: int) -> Int8Quality:
    """Compare `num` samples of `made` with those of `model`, on the CPU, of which it was made."""
    if not sampler and model.sampling.steps > MANY_STEPS and "," not in model.sampling.grid:
        model = replace(model, sampling=replace(model.sampling, steps=FEW_STEPS))
    report_progress(f"measuring {num:,} samples in float32 and in int8 ...")
    whole = draw_samples(model, num)
    small = samples_of(made.content, model, num, sampler)
    apart = (small.int() - whole.images.int()).abs() / 255
    frechet = None
    try:
        images = run.data
    except DataError as error:
        report_progress(f"warning: the Fréchet distance is not measured: {error}")
    else:
        if min(num, len(images)) >= FEWEST:
            real = build_reference(images)
            scores = [quick_scores(each, whole.labels, real).frechet_distance for each in (small, whole.images)]
            frechet = (scores[0], scores[1])
    return Int8Quality(num, model.sampling.steps, float(apart.max()), float(apart.double().mean()), frechet)
