"""Samples that were made elsewhere, or that are in a file, measured as a model's samples are."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fromnoise.common.progress import report_progress
from fromnoise.data.image_data import ArrayData
from fromnoise.evaluation.evaluate import EvaluationSpec, prepare
from fromnoise.evaluation.limits import check_count
from fromnoise.evaluation.measure import ExternalStatistics, Measured, measure
from fromnoise.evaluation.reference import Reference, embed
from fromnoise.evaluation.reference_rows import ReferenceRows
from fromnoise.evaluation.samples import SampleSet
from fromnoise.evaluation.scores import check_shape
from fromnoise.model.shares import in_first, shared


def evaluate_external(
    samples: ArrayData,
    train: ArrayData,
    test: ArrayData | None,
    spec: EvaluationSpec | None = None,
    *,
    file: str | None = None,
    said: Sequence[str] = (),
) -> Measured | None:
    """Measure the images `samples` beside real images; inside `sharing` each process embeds a part of them.

    Arguments:
        samples: their labels count where they have classes that `train` has too.
        train: the reference.
        test: other real images of the same kind; without them there is no ratio.
        file: the name of the samples in the protocol, their own if not given.
        said: notes on how they were read.

    Returns:
        What was measured; None in all processes but the first.

    Raises:
        DataError: for fewer than 10 images on a side, for two shapes, and for processes with different images.
    """
    shared().same({"the images": f"{samples.fingerprint[:16]} beside {train.fingerprint[:16]}"})
    check_count(len(samples), "samples")
    check_shape(samples.images, train)
    reference, real, external = prepare(train, test, len(samples), spec or EvaluationSpec())
    return measure_external(samples, reference, real, test, external, file=file, said=said)


def measure_external(
    samples: ArrayData,
    reference: Reference,
    real: ReferenceRows | None,
    test: ArrayData | None,
    external: ExternalStatistics | None = None,
    *,
    file: str | None = None,
    said: Sequence[str] = (),
) -> Measured | None:
    """`evaluate_external` beside real images that `prepare` has prepared for as many samples."""
    check_shape(samples.images, reference.data)
    labels, notes = _labels(samples, reference.data)
    report_progress(f"measuring {len(samples):,} samples ...")
    embedded = embed(reference.features, samples.images)
    about = {"file": file or samples.name, "fingerprint": samples.fingerprint[:16]}

    def measured() -> Measured:
        assert real is not None  # process 0 has it
        given = SampleSet(samples.images[:], labels, about)
        return measure(given, embedded, reference, real, test, external, [*said, *notes])

    return in_first(measured)


def _labels(samples: ArrayData, train: ArrayData) -> tuple[Tensor | None, list[str]]:
    """The samples' labels in the reference's numbering, None (and why) where they have other classes."""
    if samples.labels is None or not train.spec.classes:
        return None, []
    known = train.spec.classes
    numbers = {str(number): number for number in range(len(known))}  # an .npz may hold bare numbers
    table = {name: place for place, name in enumerate(known)}
    if not set(samples.spec.classes) <= set(table):
        table = numbers
    if strangers := [name for name in samples.spec.classes if name not in table]:
        named = ", ".join(strangers[:5])
        return None, [f"{train.name} lacks the samples' classes ({named}), so their labels are not used"]
    return torch.tensor([table[name] for name in samples.spec.classes])[samples.labels], []
