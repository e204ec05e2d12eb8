"""Sentences that a reader of an evaluation must know: what its numbers cannot show, and what stands out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from fromnoise.common.text import count, some
from fromnoise.data.image_data import ArrayData
from fromnoise.evaluation.reference import Reference
from fromnoise.evaluation.scores import Scores

_PRECISE_NOISE = 0.2  # precision of the noise baseline above which precision says little
_WEAK_CLASSIFIER = 0.9  # accuracy below which the classifier's features are doubtful
_NEARER = -3  # z-score below which samples are nearer to training images than test images are
_OVERLAP = 0.05  # share of test images found in the training set above which the splits overlap
_PER_CLASS = 20  # samples that a class would have by its share of the training images, for it to count as missing


def notes_on(
    scores: Scores,
    rows: Mapping[str, Scores | None],
    reference: Reference,
    test: ArrayData | None,
    ratio: float | None,
) -> Iterator[str]:
    """The notes on `scores` beside the reference rows."""
    row, noise, dim = rows["test"], rows["noise"], reference.features.dim
    if scores.count <= dim:
        yield (
            f"{scores.count:,} samples for {dim} feature dimensions: the Fréchet distance is mostly bias; use KID, or "
            "more samples"
        )
    yield from _on_test_row(scores, row, test)
    if ratio is not None and ratio < 1 and scores.copy_z is not None and scores.copy_z < _NEARER:
        yield (
            "the samples are nearer to the training images than test images are: here a ratio below 1 suggests "
            "memorisation, not better quality"
        )
    if noise is not None and noise.precision > _PRECISE_NOISE:
        yield (
            f"{100 * noise.precision:.0f} % of the noise baseline counts as precise in these features, so precision "
            "and density say little here; use the distances"
        )
    own = reference.features.classifier is not None
    if own and row is not None and row.class_accuracy is not None and row.class_accuracy < _WEAK_CLASSIFIER:
        yield (
            f"the classifier behind the features has an accuracy of only {100 * row.class_accuracy:.0f} % on test "
            "images; its distances are coarse, so look at those of the pixels too"
        )
    yield from _missing_classes(scores, reference)


def _on_test_row(scores: Scores, row: Scores | None, test: ArrayData | None) -> Iterator[str]:
    if test is None:
        yield "there are no test images and none were held out, so there is no test row and no ratio to it"
        return
    yield from (note for note in test.notes if "held out" in note)
    if row is None:
        yield f"{count(len(test), 'test image')}: too few for a test row and a ratio to it"
        return
    if row.count != scores.count:
        yield (
            f"the test row has {row.count:,} images and there are {scores.count:,} samples: only the ratio compares "
            "equal numbers"
        )
    if row.copy_rate is not None and row.copy_rate > _OVERLAP:
        yield (
            f"{100 * row.copy_rate:.0f} % of test images are found among the training images: the splits overlap, so "
            "the test row and the ratio say little"
        )


def _missing_classes(scores: Scores, reference: Reference) -> Iterator[str]:
    data, counts = reference.data, reference.data.label_counts.tolist() if scores.classes else []
    enough = _PER_CLASS * sum(counts) / max(1, scores.count)  # training images of a class that is due so often
    missing = [
        data.spec.classes[i] for i, images in enumerate(counts) if images >= enough > 0 and scores.classes[i] == 0
    ]
    if missing:
        trained, are = sum(images > 0 for images in counts), "is" if len(missing) == 1 else "are"
        yield f"{len(missing)} of {trained} classes {are} missing among the samples: {some(missing)}"
