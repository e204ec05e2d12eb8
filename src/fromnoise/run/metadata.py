"""config.json of a new run: what was asked, and all that follows from it and from the images."""

from __future__ import annotations

import platform
import time
from dataclasses import replace
from importlib import metadata
from typing import Any

import torch

from fromnoise import __version__
from fromnoise.common.image_spec import ImageSpec
from fromnoise.common.options import to_dict
from fromnoise.data import DATASETS, available, load
from fromnoise.data.image_data import ArrayData
from fromnoise.model.build import model_spec
from fromnoise.recipes.model_sizes import Situation
from fromnoise.settings import DataOptions, Settings

WENT_BY = ("device", "seconds", "planned", "bf16")


def timed_load(options: DataOptions) -> tuple[ArrayData, float]:
    """The training images, and the seconds that a download of them took (0 where they were at hand)."""
    at_hand = options.source not in DATASETS or available(options.source)
    began = time.time()
    images = load(options)
    return images, 0.0 if at_hand else time.time() - began


def new_record(config: Settings, images: ArrayData, at: Situation | None = None) -> dict[str, Any]:
    """config.json: all that follows from what was asked and from the images; at: what the recipe went by."""
    spec = model_spec(images.spec, config)
    return {
        "config": to_dict(config),
        **({} if at is None else {"situation": {name: getattr(at, name) for name in WENT_BY}}),
        "spec": spec.to_json(),
        "sigma_data": _sigma_data(images, spec),
        "data": {
            "name": images.name,
            "about": str(images.spec),
            "count": len(images),
            "fingerprint": images.fingerprint,
            "label_counts": images.label_counts.tolist(),
            "notes": list(images.notes),
        },
        "versions": {
            "fromnoise": __version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            **_version_of("diffusers"),
        },
    }


def _version_of(name: str) -> dict[str, str]:
    """{name: version} of an extra's library without importing it, which may take seconds; {} where it is missing."""
    try:
        return {name: metadata.version(name)}
    except metadata.PackageNotFoundError:
        return {}


def situation_of(record: dict[str, Any]) -> Situation:
    """What the recipe of a run went by; of one from before that was written down, all but the device and the time."""
    spec, count = ImageSpec.from_json(record["spec"]), record["data"]["count"]
    return Situation(spec, count, **record.get("situation", {}))


def begun_on(record: dict[str, Any], at: Situation) -> Situation:
    """`at`, but on the machine that the run of `record` was begun on, as far as that was written down."""
    begun = record.get("situation", {})
    return replace(at, **{name: begun[name] for name in ("device", "bf16") if name in begun})


def _sigma_data(images: ArrayData, spec: ImageSpec) -> float:
    """The standard deviation of the pixels of up to 4,096 images in the spec's range, at least 0.01."""
    some = images.images[:: max(1, len(images) // 4096)]
    return max(0.01, float(spec.encode(some).double().std()))
