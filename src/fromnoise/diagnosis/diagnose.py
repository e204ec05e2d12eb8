"""Diagnose a trained model: all checks, in the order of causes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from fromnoise.common.progress import report_progress
from fromnoise.diagnosis.class_accuracy import labels_and_samples
from fromnoise.diagnosis.denoising_curves import DenoisingCurves, denoising_curves
from fromnoise.diagnosis.denoising_error import broken_weights, denoising, distilled, ema_lag, images_seen
from fromnoise.diagnosis.diagnosis import Diagnosis
from fromnoise.diagnosis.finding import Finding, by_severity
from fromnoise.diagnosis.images import DiagnosisImages, data_deviation, diagnosis_images
from fromnoise.diagnosis.memorization import near_duplicates, overfitting, repeated_images
from fromnoise.diagnosis.noise_levels import choose_levels
from fromnoise.diagnosis.pixel_range import grey_levels, sample_colour
from fromnoise.diagnosis.sample_comparison import (
    FEWEST_IMAGES,
    SampleComparison,
    classifier_features,
    make_samples,
)
from fromnoise.diagnosis.step_count import step_count
from fromnoise.diagnosis.time_budget import (
    FEWEST,
    evaluations_per_second,
    finer_sampling,
    images_to_denoise,
    samples_to_make,
    too_slow_to_sample,
)
from fromnoise.diagnosis.training_history import training_history
from fromnoise.diagnosis.training_record import TrainingRecord
from fromnoise.model.trained_model import TrainedModel
from fromnoise.settings import SampleOptions


def diagnose(models: Mapping[str, TrainedModel], weights: str, record: TrainingRecord) -> Diagnosis:
    """Check data, training, network and samples; about a minute on a CPU.

    Arguments:
        models: the model with "raw", with "ema" where an average is kept, and with `weights`.
        weights: those of the model that samples.
        record: how it was trained.
    """
    model = models[weights]
    findings = list(_of_training(record))
    speed = evaluations_per_second(model)
    levels = choose_levels(model.process, data_deviation(record))
    images = diagnosis_images(record, images_to_denoise(speed, len(levels.times)))
    measured: dict[str, Any] = {}
    if model.distilled:
        findings.append(distilled())
    else:
        report_progress(f"denoising {len(images.test.images)} images at {len(levels.times)} noise levels ...")
        curves = denoising_curves(models, weights, levels, images, record)
        findings += [images_seen(record), *_of_network(curves, weights, record)]
        measured = curves.to_json()
    sound = not any(finding.level == "error" for finding in findings)
    findings += _of_samples(model, speed, images, record, sound)
    about = _about(record, weights, model.sampling, len(images.test.images) if measured else 0)
    return Diagnosis(by_severity(findings), measured, about)


def diagnose_broken_weights(weights: str, record: TrainingRecord, sampling: SampleOptions) -> Diagnosis:
    """Check data and training of a model whose weights are not finite, which is the first finding."""
    findings = [broken_weights(record.images_seen), *_of_training(record), images_seen(record)]
    return Diagnosis(by_severity(findings), {}, _about(record, weights, sampling, 0))


def _about(record: TrainingRecord, weights: str, sampling: SampleOptions, images: int) -> dict[str, Any]:
    return {
        "images": images,
        "held_out": record.held_out is not None,
        "checkpoint": record.images_seen,
        "weights": weights,
        "sampling": {"sampler": sampling.sampler, "steps": sampling.steps, "guidance_scale": sampling.guidance_scale},
    }


def _of_training(record: TrainingRecord) -> Iterator[Finding]:
    report_progress("reading the data and the history of training ...")
    yield grey_levels(record.images)
    yield from filter(None, [repeated_images(record.images, mirrored=record.settings.data.random_flip)])
    yield from training_history(record)


def _of_network(curves: DenoisingCurves, weights: str, record: TrainingRecord) -> Iterator[Finding]:
    lag = ema_lag(curves, weights)
    if lag:
        yield lag
    yield denoising(curves, record)
    yield overfitting(curves, weights, len(record.images), mirrored=record.settings.data.random_flip)


def _of_quality(model: TrainedModel, finding: Finding) -> Finding:
    """`finding` on how good samples are; for those of a distilled model neither guidance nor more training helps."""
    if not model.distilled or not finding.advice or finding.name == "labels":
        return finding
    advice = "distil its run again into a new --output_dir, with a longer --budget; or sample with more --steps"
    return replace(finding, advice=advice)


def _of_samples(
    model: TrainedModel, speed: float, images: DiagnosisImages, record: TrainingRecord, network_is_sound: bool
) -> Iterator[Finding]:
    options, finer_steps = model.sampling, finer_sampling(model).steps
    if too_slow_to_sample(speed, options):
        message = f"Not checked: {speed:.0f} network evaluations in a second are too few to make samples."
        yield Finding("samples", "warning", message, "use a faster --device, or fewer --steps")
        return
    report_progress(f"making samples, with {options.steps} and with {finer_steps} steps ...")
    count = samples_to_make(speed, options, finer_steps, model.spec.guidance_input is not None)
    samples = make_samples(model, max(FEWEST, count))
    if len(record.images) < FEWEST_IMAGES:
        message = f"Not compared: distances need {FEWEST_IMAGES} training images, and there are {len(record.images)}."
        yield Finding("samples", "warning", message, "train on more images")
    else:
        comparison = SampleComparison(samples, record, images.statistics, classifier_features(record))
        steps = step_count(model, comparison, speed, affordable=count > 0)
        yield steps
        sound = network_is_sound and steps.level != "error"
        found = labels_and_samples(comparison, options.guidance_scale, sound)
        yield from (_of_quality(model, finding) for finding in found)
    yield _of_quality(model, sample_colour(samples.images, record.images))
    yield near_duplicates(samples.images, record.images, record.held_out, mirrored=record.settings.data.random_flip)
