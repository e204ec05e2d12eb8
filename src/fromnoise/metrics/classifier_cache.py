"""Trained classifiers are kept in the cache folder, one for each recipe, seed and set of images."""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load, save

from fromnoise.common.errors import WriteError
from fromnoise.common.files import read_regular, write_bytes, write_json
from fromnoise.common.leftovers import sweep
from fromnoise.common.stored_json import parse_object
from fromnoise.data.image_data import ArrayData
from fromnoise.metrics.classifier import Classifier
from fromnoise.metrics.classifier_training import labels_of, new_classifier, recipe, recipe_hash, train_classifier

_MOST_BYTES = 1_000_000  # of the .json


def cached_classifier(data: ArrayData, cache_dir: Path, *, seed: int = 0) -> Classifier:
    """`train_classifier`, kept in `cache_dir` under the recipe, the seed and the data's fingerprint.

    Two files: the weights (.safetensors) and what they are (.json). Where these do not belong together or cannot be
    read, the classifier is trained again and the .json notes it; a folder that cannot be read or written only costs
    time.

    Raises:
        DataError: for data without labels, or with fewer than two classes in it.
    """
    labels_of(data)
    name = hashlib.sha256(f"{recipe_hash()}/{seed}/{data.fingerprint}".encode()).hexdigest()[:16]
    path = cache_dir / f"classifier-{name}.safetensors"
    net = new_classifier(data, seed)
    there = False
    try:
        there = path.exists()
        net.load_state_dict(load(read_regular(path)))
        kept = parse_object(read_regular(path.with_suffix(".json"), _MOST_BYTES))
        belongs = (kept["fingerprint"], kept["seed"], kept["recipe_hash"]) == (data.fingerprint, seed, recipe_hash())
        if belongs and kept["weights"] == net.weight_hash:
            return net.eval()
    except (OSError, SafetensorError, RuntimeError, ValueError, KeyError, TypeError):
        pass  # missing or damaged: both files are written again below
    net = train_classifier(data, seed=seed)
    notes = ["what was kept here before could not be used, so the classifier was trained again"] if there else []
    about = {"data": data.name, "split": data.split, "fingerprint": data.fingerprint, "seed": seed}
    about |= {"weights": net.weight_hash, "recipe_hash": recipe_hash(), "recipe": recipe(), "notes": notes}
    sweep(cache_dir)
    with contextlib.suppress(WriteError):
        write_bytes(path, save({key: value.contiguous() for key, value in net.state_dict().items()}))
        write_json(path.with_suffix(".json"), about)
    return net
