"""How good a model's samples are: they are drawn and measured beside real images. Nothing is written but caches.

measured = evaluate(model, train, test)
measured.evaluation.metrics.frechet_distance, measured.evaluation.ratio_to_test
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fromnoise.common.errors import DataError, UsageError
from fromnoise.common.progress import report_progress
from fromnoise.data import cache_dir
from fromnoise.data.image_data import ArrayData
from fromnoise.evaluation.limits import check_count, check_num
from fromnoise.evaluation.measure import ExternalStatistics, Measured, measure
from fromnoise.evaluation.reference import Reference, build_reference, embed
from fromnoise.evaluation.reference_rows import ReferenceRows, reference_rows
from fromnoise.evaluation.samples import draw_samples
from fromnoise.metrics.checks import alike
from fromnoise.metrics.frechet import load_statistics
from fromnoise.model.shares import by_turns, in_first, shared, sharing
from fromnoise.model.trained_model import TrainedModel
from fromnoise.train.distributed import ALONE

NUM = 10_000
WITH_WEIGHTS = ("inception", "dinov2")  # features of networks that were trained elsewhere


@dataclass(frozen=True)
class EvaluationSpec:
    """In which features to measure, and what else.

    Arguments:
        features: auto (domain), domain, pixels, inception or dinov2.
        feature_weights: weights of the last two, instead of a download.
        statistics: also measure the Fréchet distance to the statistics in this .npz file.
        mirrored: whether the samples' model was trained on mirrored images too, so that copies may be mirrored.
    """

    features: str = "auto"
    feature_weights: str | Path | None = None
    statistics: str | Path | None = None
    mirrored: bool = False


def evaluate(
    model: TrainedModel,
    train: ArrayData,
    test: ArrayData | None,
    num: int = NUM,
    spec: EvaluationSpec | None = None,
) -> Measured:
    """Measure `num` samples of `model` beside real images.

    Arguments:
        train: the reference, the images that the model was trained on.
        test: images that it was not trained on; without them there is no ratio.

    Raises:
        UsageError: for fewer than 10 samples and unknown features.
        DataError: for too few training images, and for statistics of other features.
    """
    with sharing(ALONE):
        measured = evaluate_in_shares(model, train, test, num, spec or EvaluationSpec())
    assert measured is not None
    return measured


def evaluate_in_shares(
    model: TrainedModel, train: ArrayData, test: ArrayData | None, num: int, spec: EvaluationSpec
) -> Measured | None:
    """`evaluate` by all processes inside `sharing`: each makes and embeds a part of the samples, process 0 measures.

    Returns:
        What was measured; None in all processes but the first.
    """
    check_num(num)
    reference, real, external = prepare(train, test, num, spec)
    samples = draw_samples(model, num)
    report_progress(f"measuring {num:,} samples ...")
    embedded = embed(reference.features, samples.images)

    def measured() -> Measured:
        assert real is not None  # process 0 has it
        return measure(samples, embedded, reference, real, test, external)

    return in_first(measured)


def prepare(
    train: ArrayData, test: ArrayData | None, num: int, spec: EvaluationSpec
) -> tuple[Reference, ReferenceRows | None, ExternalStatistics | None]:
    """(the real images in their feature space, the reference rows for `num` samples, external statistics or None).

    Inside `sharing` the processes embed the real images together, and process 0 alone has the rows.

    Raises UsageError and DataError as `evaluate` does, before any work.
    """
    check_count(len(train))
    if spec.feature_weights is not None and spec.features not in WITH_WEIGHTS:
        raise UsageError(
            f"feature weights were given for features '{spec.features}'; they go with {' or '.join(WITH_WEIGHTS)}"
        )
    path = None if spec.statistics is None else Path(spec.statistics)
    external = None if path is None else ExternalStatistics(path, *load_statistics(path))
    reference = by_turns(lambda: build_reference(train, spec.features, spec.feature_weights, spec.mirrored))
    if external is not None:
        _check_space(external, reference)
    if shared().world > 1:
        shared().same({"the weights of the features": reference.features.weight_hash})
        reference.embed_in_shares()
    report_progress(f"reference rows: real images measured as if they were {num:,} samples ...")
    return reference, in_first(lambda: reference_rows(reference, test, num, cache_dir() / "references")), external


def _check_space(external: ExternalStatistics, reference: Reference) -> None:
    """DataError for statistics of other features than the reference's."""
    alike(len(external.statistics.mu), reference.features.dim)
    if external.space and external.space != reference.features.space:
        raise DataError(
            f"{external.path} holds statistics of the features {external.space}, but these are "
            f"{reference.features.space}; give statistics of the same features"
        )
