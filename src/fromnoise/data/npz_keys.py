"""Which arrays of an .npz are images and labels, and of which split, by the names that people give them.

images labels   arr_0 arr_1   data targets   x_train y_train x_test y_test   train_images train_labels ....
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_IMAGES = ("images", "image", "imgs", "img", "x", "data", "pixels", "arr_0", "")
_LABELS = ("labels", "label", "y", "targets", "target", "arr_1")
_SPLITS = {
    "train": "train",
    "training": "train",
    "test": "test",
    "testing": "test",
    "val": "val",
    "valid": "val",
    "validation": "val",
}
NAMES = ("classes", "class_names", "label_names")
_BESIDE = {*NAMES, "seeds"}  # what our own samples hold beside


@dataclass(frozen=True)
class Keys:
    """The arrays of one split."""

    images: str
    labels: str | None


def find_keys(names: Sequence[str]) -> tuple[dict[str, Keys], list[str]]:
    """Split to its keys, train first, and the names that are left aside. val stands for test where there is no test."""
    parsed = {name: _parsed(name) for name in names}
    found: dict[str, Keys] = {}
    for split in ("train", "val", "test"):
        images = _first(parsed, split, _IMAGES)
        if images is not None:
            found[split] = Keys(images, _first(parsed, split, _LABELS))
    used = {key for keys in found.values() for key in (keys.images, keys.labels)}
    if "test" not in found and "val" in found:
        found["test"] = found.pop("val")
    beside = _BESIDE if any(keys.labels for keys in found.values()) else _BESIDE - {*NAMES}  # names of no labels
    return found, [name for name in names if name not in used and name not in beside]


def find_numbers(names: Sequence[str], images: str, wanted: Sequence[str]) -> dict[str, str]:
    """The array of each of the `wanted` numbers that goes with `images`: slant with x_train, slant_test with x_test."""
    role = _parsed(images)[0]
    own = {plain: name for name in names for split, plain in [_parsed(name)] if split == role}
    plain = {one: _parsed(one)[1] for one in wanted}
    return {one: own[plain[one]] for one in wanted if plain[one] in own}


def _parsed(name: str) -> tuple[str, str]:
    """(split, the name without it): ("train", "x") for x_train, X_TRAIN and train-x; train for names without one."""
    words = re.split(r"[_\-. ]", name.lower())
    split = next((word for word in words if word in _SPLITS), None)
    if split is not None:
        words.remove(split)
    return _SPLITS.get(split or "train", "train"), "_".join(words)


def _first(parsed: dict[str, tuple[str, str]], split: str, wanted: tuple[str, ...]) -> str | None:
    places = {name: wanted.index(plain) for name, (own, plain) in parsed.items() if own == split and plain in wanted}
    return min(places, key=places.__getitem__, default=None)
