"""Whether labels and images belong together, for the data and for samples, by a classifier of the real images."""

from __future__ import annotations

import math

from fromnoise.data.image_data import ArrayData
from fromnoise.diagnosis.finding import Finding
from fromnoise.diagnosis.images import MOST_IMAGES, choose_images
from fromnoise.diagnosis.sample_comparison import SampleComparison
from fromnoise.metrics.class_accuracy import class_accuracy
from fromnoise.metrics.classifier import Classifier, accuracy

_LOW = 0.7  # of what real images reach
_FAR, _STANDARD_ERRORS = 0.5, 3.0  # of the mean image's distance; and surely farther than real images
_CHANCE = 2.0  # times chance: an accuracy below shows that labels carry no information


def labels_and_samples(
    comparison: SampleComparison, guidance_scale: float, network_is_sound: bool = True
) -> list[Finding]:
    """Findings about the labels of the data, the classes of the samples, and whether samples resemble the data.

    guidance_scale: of the samples. network_is_sound: whether network and sampling have no error, which would explain
    a wrong class.
    """
    record, classifier = comparison.record, comparison.features.classifier
    if classifier is None:
        return []  # the data has no classes
    reached = _accuracy(classifier, record.held_out)
    classes = int((record.images.label_counts > 0).sum())
    if reached is not None and reached < _at_chance(classes, len(record.held_out or ())):
        return [_uninformative(reached, classes)]
    found = (
        _resemblance(comparison, classifier),
        _class_accuracy(comparison, classifier, reached, guidance_scale, network_is_sound),
    )
    return [finding for finding in found if finding]


def _at_chance(classes: int, images: int) -> float:
    """The highest accuracy without information: twice chance (of two classes, halfway to all), or within its error."""
    chance = 1 / classes
    bound = min(_CHANCE * chance, (1 + chance) / 2)
    return min(1.0, max(bound, chance + 3 * math.sqrt(chance * (1 - chance) / max(1, images))))


def _accuracy(classifier: Classifier, held_out: ArrayData | None) -> float | None:
    """The accuracy on held-out images; None without labelled ones."""
    if held_out is None or held_out.labels is None:
        return None
    return accuracy(classifier, held_out)


def _uninformative(reached: float, classes: int) -> Finding:
    message = (
        f"A classifier trained on the images and labels classifies {100 * reached:.0f} % of held-out images correctly, "
        f"and chance is {100 / classes:.0f} %: the labels carry no information about the images, as if shuffled."
    )
    advice = "check that labels and images are in the same order (`fromnoise data inspect` shows them), and train again"
    return Finding("labels", "error", message, advice, {"accuracy": reached, "classes": classes})


def _resemblance(comparison: SampleComparison, classifier: Classifier) -> Finding:
    """Share of samples that the classifier is confident of, beside real images; and their distance from these.

    A weak classifier is confident of noise as well, so samples must also be clearly nearer to the training images, by
    their kernel distance, than the mean image is.
    """
    record, samples = comparison.record, comparison.samples.images
    real = class_accuracy(classifier, choose_images(record.held_out or record.images, MOST_IMAGES).images).one_class
    made = class_accuracy(classifier, samples).one_class
    distance, mean, held_out = comparison.distance, comparison.mean_image_distance, comparison.held_out_distance
    numbers = {
        "one_class": made,
        "real": real,
        "samples": len(samples),
        "kernel_distance": distance.value,
        "mean_image_kernel_distance": mean,
        "held_out_kernel_distance": held_out,
    }
    message = (
        f"A classifier assigns {100 * made:.0f} % of {len(samples)} samples to one class with confidence, and "
        f"{100 * real:.0f} % of real images"
    )
    far = distance.value > max(_FAR * mean, (held_out or 0.0) + _STANDARD_ERRORS * distance.stderr)
    if made >= _LOW * real and not far:
        return Finding("samples", "ok", f"{message}.", "", numbers)
    advice = "see the other findings for the cause; `fromnoise show RUN --trajectory` shows where samples go wrong"
    if not far:
        return Finding("samples", "warning", f"{message}: many resemble no class.", advice, numbers)
    beside = "" if held_out is None else f", and that of real held-out images {held_out:.3g}"
    message += (
        f". Their kernel distance from the training images is {distance.value:.3g}, where that of the mean image is "
        f"{mean:.3g}{beside}: they hardly resemble the data."
    )
    return Finding("samples", "warning", message, advice, numbers)


def _class_accuracy(
    comparison: SampleComparison,
    classifier: Classifier,
    reached: float | None,
    guidance_scale: float,
    network_is_sound: bool,
) -> Finding | None:
    """Share of samples that are classified as the class they were conditioned on; None without classes."""
    samples = comparison.samples
    if samples.labels is None:
        return None
    found = class_accuracy(classifier, samples.images, samples.labels)
    share = found.accuracy or 0.0
    numbers = {"class_accuracy": share, "one_class": found.one_class, "classifier_accuracy": reached}
    message = f"The class accuracy of {len(samples.images)} samples is {100 * share:.0f} %"
    if reached is not None:
        message += f", that of real held-out images {100 * reached:.0f} %"
    if share >= _LOW * (1.0 if reached is None else reached):
        return Finding("class accuracy", "ok", f"{message}.", "", numbers)
    if found.one_class < _LOW or not network_is_sound:
        advice = "fix the causes that the other findings name first"
        return Finding("class accuracy", "warning", f"{message}.", advice, numbers)
    objective = comparison.record.settings.objective
    stronger = min(max(2.0, 2 * guidance_scale), objective.guidance_input or math.inf)
    advice = f"sample with `--guidance_scale {stronger:g}`, or train longer"
    if objective.label_dropout == 0:
        advice = "train with objective.label_dropout=0.1, which guidance needs; or train longer"
    message += ": samples resemble classes, but not those they were conditioned on."
    return Finding("class accuracy", "error", message, advice, numbers)
