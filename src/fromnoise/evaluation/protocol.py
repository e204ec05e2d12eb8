"""The protocol of an evaluation, and whether two evaluations can be compared.

A Fréchet distance has a meaning only with its count, its reference and its feature space. The part `measure` of the
protocol holds these; the part `sampling` holds how the samples were made, which may differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fromnoise.common.errors import UsageError
from fromnoise.data.image_data import ArrayData
from fromnoise.metrics.features import Features

VERSION = 1  # of everything in metrics/ that changes a number


def measurement(
    count: int, train: ArrayData, test: ArrayData | None, features: Features, mirrored: bool = False
) -> dict[str, Any]:
    """The part `measure`: all that decides the numbers besides the samples, as plain JSON."""
    return {
        "version": VERSION,
        "count": count,
        "reference": _split(train),
        "test": _split(test) if test is not None else None,
        "features": {
            "name": features.name,
            "about": features.about,
            "dimensions": features.dim,
            "recipe_hash": features.recipe_hash,
            "weight_hash": features.weight_hash,
        },
        "rounding": "uint8",
        "statistics": "float64",
        "kid": "cubic kernel, all pairs of up to 10,000, jackknife error",
        "neighbours": 5,
        "copies": "nearest training image below a third of the second, or below 999 of 1,000 test images' nearest",
        **({"mirrored_copies": True} if mirrored else {}),
    }


def _split(data: ArrayData) -> dict[str, Any]:
    return {"name": data.name, "split": data.split, "count": len(data), "fingerprint": data.fingerprint[:16]}


def comparable(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    """Notes on comparing two `measurement`s; UsageError that names the differences where they cannot be compared.

    Another weight hash of the same recipe is another training of the same classifier: noted, not refused.
    """
    ours, theirs = flat(first), flat(second)
    unlike = [name for name in sorted(ours.keys() | theirs.keys()) if ours.get(name) != theirs.get(name)]
    harmless = {"features.weight_hash", "features.about", "reference.name", "test.name", "mirrored_copies"}
    if decisive := [name for name in unlike if name not in harmless]:
        listed = "; ".join(f"{name}: {ours.get(name)} against {theirs.get(name)}" for name in decisive)
        raise UsageError(
            f"these evaluations were made under different protocols ({listed}), so their numbers cannot be compared; "
            "evaluate both in the same way first"
        )
    notes = []
    if "features.weight_hash" in unlike:
        notes.append(
            "the classifiers have the same recipe but other weights "
            f"({first['features']['weight_hash']} and {second['features']['weight_hash']}): ignore small differences"
        )
    if "mirrored_copies" in unlike:
        notes.append(
            "one of the models was trained on mirrored images too, so its copies may be mirrored: copy_rate and "
            "copy_z were measured by two rules"
        )
    return notes


def flat(content: Mapping[str, Any], stem: str = "") -> dict[str, Any]:
    """Nested mappings as one, by dotted names."""
    found: dict[str, Any] = {}
    for key, value in content.items():
        found |= flat(value, f"{stem}{key}.") if isinstance(value, Mapping) else {f"{stem}{key}": value}
    return found
