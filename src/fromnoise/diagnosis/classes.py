"""Do labels and pictures belong together? A classifier of the real images looks at held-out ones and at samples."""

from __future__ import annotations

import math

from torch import Tensor

from fromnoise.diagnosis.context import LOOKED_AT, Case
from fromnoise.diagnosis.finding import Finding
from fromnoise.metrics.class_accuracy import class_accuracy
from fromnoise.metrics.classifier import Classifier, accuracy

_LOW = 0.7  # of what could be reached
_FAR, _STANDARD_ERRORS = 0.5, 3.0  # of the mean picture's distance; and surely farther than real images
_CHANCE = 2.0  # times chance: labels that say less say nothing


def labels_and_looks(case: Case, sound: bool = True) -> list[Finding]:
    """Findings about the data's labels, the samples' labels, and whether samples look like anything at all.

    sound: no fault was found in the network or its sampling; else a wrong class is no fault of its own.
    """
    classifier = case.features.classifier
    if classifier is None:
        return []  # the data has no classes
    reached = _accuracy(case, classifier)
    classes = len(case.run.data.spec.classes)
    if reached is not None and reached < _at_chance(classes, len(case.held_out or ())):
        return [_meaningless(reached, classes)]
    return [f for f in (_looks(case, classifier), _obeyed(case, classifier, reached, sound)) if f]


def _at_chance(classes: int, images: int) -> float:
    """The accuracy that says nothing: twice chance (of two classes, halfway to all), or within its own error."""
    chance = 1 / classes
    bound = min(_CHANCE * chance, (1 + chance) / 2)
    return min(1.0, max(bound, chance + 3 * math.sqrt(chance * (1 - chance) / max(1, images))))


def _accuracy(case: Case, classifier: Classifier) -> float | None:
    """Share of held-out images that the classifier names rightly; None without labelled ones."""
    if case.held_out is None or case.held_out.labels is None:
        return None
    return accuracy(classifier, case.held_out)


def _meaningless(reached: float, classes: int) -> Finding:
    says = (
        f"A classifier trained on the images and labels names {100 * reached:.0f} % of held-out images rightly, and "
        f"guessing would name {100 / classes:.0f} %: the labels say nothing about the images, as if they were shuffled."
    )
    do = "check that labels and images are in the same order (`fromnoise data inspect` shows them), and train again"
    return Finding("labels", "fault", says, do, {"accuracy": reached, "classes": classes})


def _looks(case: Case, classifier: Classifier) -> Finding:
    """Share of samples taken for one class, beside that of real images; and how far from these they are at all.

    A weak classifier is sure of noise as well, so samples must also be clearly nearer to the training images, by their
    kernel distance, than the mean picture is.
    """
    real = class_accuracy(classifier, _some_real(case)).one_class
    made = class_accuracy(classifier, case.samples.images).one_class
    away, mean, truly = case.samples_away, case.mean_away, case.real_away
    numbers = {
        "one_class": made,
        "real": real,
        "samples": len(case.samples.images),
        "kernel_distance": away.value,
        "mean_picture_kernel_distance": mean,
        "held_out_kernel_distance": truly,
    }
    says = (
        f"A classifier takes {100 * made:.0f} % of {len(case.samples.images)} samples for one class without doubt, and "
        f"{100 * real:.0f} % of real images"
    )
    far = away.value > max(_FAR * mean, (truly or 0.0) + _STANDARD_ERRORS * away.stderr)
    if made >= _LOW * real and not far:
        return Finding("samples", "good", f"{says}.", "", numbers)
    do = "the findings around this one say why; `fromnoise show RUN --trajectory` shows where pictures go astray"
    if not far:
        return Finding("samples", "worth knowing", f"{says}: many look like none.", do, numbers)
    beside = "" if truly is None else f", and real held-out images at {truly:.3g}"
    says += (
        f". They are at kernel distance {away.value:.3g} from the training images, where the mean picture alone would "
        f"be at {mean:.3g}{beside}: they hardly look like the data."
    )
    return Finding("samples", "worth knowing", says, do, numbers)


def _some_real(case: Case) -> Tensor:
    return case.pictures(case.held_out or case.run.data, LOOKED_AT).images


def _obeyed(case: Case, classifier: Classifier, reached: float | None, sound: bool) -> Finding | None:
    """Share of samples taken for the class they were made for; None for a model without classes."""
    if case.samples.labels is None:
        return None
    found = class_accuracy(classifier, case.samples.images, case.samples.labels)
    agreement = found.accuracy or 0.0
    numbers = {"agreement": agreement, "one_class": found.one_class, "accuracy": reached}
    says = f"{100 * agreement:.0f} % of {len(case.samples.images)} samples are taken for the class they were made for"
    if reached is not None:
        says += f"; the classifier names {100 * reached:.0f} % of held-out images rightly"
    if agreement >= _LOW * (1.0 if reached is None else reached):
        return Finding("labels", "good", f"{says}.", "", numbers)
    if found.one_class < _LOW or not sound:
        do = "mend what the other findings name first"
        return Finding("labels", "worth knowing", f"{says}.", do, numbers)
    scale = case.options.guidance_scale
    do = f"sample with `--guidance_scale {max(2.0, 2 * scale):g}`, or train longer"
    if case.run.settings.objective.label_dropout == 0:
        do = "train with objective.label_dropout=0.1, so that guidance can be used; or train longer"
    return Finding("labels", "fault", f"{says}: samples look like classes, but not like those asked for.", do, numbers)
