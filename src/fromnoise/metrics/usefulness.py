"""Classification accuracy score: are samples good enough to learn from?

A classifier is trained on samples alone and tested on real images (Ravuri & Vinyals 2019). What it cannot learn from
them (a class that is missing, kinds that never occur, labels that are wrong) it does not know of the real ones. Read
it beside the accuracy of the same classifier trained on as many real images.
"""

from __future__ import annotations

from fromnoise.common.errors import DataError
from fromnoise.data.image_data import ArrayData
from fromnoise.metrics.classifier import accuracy, labels_of, train_classifier


def classification_accuracy_score(samples: ArrayData, test: ArrayData, *, seed: int = 0) -> float:
    """Share 0..1 of the images `test` that a classifier trained only on `samples` names rightly.

    Raises DataError for samples without labels or with fewer than two classes in them, for a test set without images
    or labels, and where the two differ in classes or shape.
    """
    labels_of(samples)
    if test.labels is None or not len(test):
        raise DataError(f"{test.name} has no labelled images to test on; give labelled data")
    if samples.spec.classes != test.spec.classes:
        ours, theirs = (", ".join(data.spec.classes) or "none" for data in (samples, test))
        raise DataError(
            f"the samples' classes are {ours}, but those of {test.name} are {theirs}; give the same classes"
        )
    if samples.spec.shape != test.spec.shape:
        raise DataError(
            f"the samples are {samples.spec.shape}, but {test.name} is {test.spec.shape}; compare pictures of one shape"
        )
    return accuracy(train_classifier(samples, seed=seed), test)
