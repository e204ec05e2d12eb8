"""Which measure sees which damage: the page in docs is what was measured, and its claims hold when measured again."""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from fromnoise.common.image_spec import ImageSpec
from fromnoise.data.image_data import ArrayData
from fromnoise.data.rows import Rows

CHECKOUT = Path(__file__).resolve().parent.parent
spec = importlib.util.spec_from_file_location("damage", CHECKOUT / "benchmarks" / "damage.py")
damage = importlib.util.module_from_spec(spec)
sys.modules["damage"] = damage
spec.loader.exec_module(damage)

SEES = {
    "frechet_distance": ("noise", "blur", "shift", "brightness", "fewer classes", "repeats"),
    "kid": ("noise", "blur", "shift", "brightness", "fewer classes"),
    "precision": ("noise", "blur", "brightness"),
    "recall": ("noise", "blur", "fewer classes", "repeats"),
    "coverage": ("noise", "blur", "fewer classes", "repeats"),
    "class_accuracy": ("wrong labels",),
    "frechet_pixels": ("noise", "blur", "brightness", "fewer classes"),
    "histogram_distance": ("noise", "blur", "brightness"),
    "copy_rate": ("copies",),
    "copy_z": ("copies",),
    "duplicate_rate": ("repeats",),
}
BLIND = {
    "frechet_distance": ("copies", "wrong labels"),
    "kid": ("copies", "wrong labels"),
    "precision": ("repeats", "copies", "wrong labels"),
    "recall": ("copies", "wrong labels"),
    "coverage": ("copies", "wrong labels"),
    "class_accuracy": ("fewer classes", "repeats", "copies"),
    "histogram_distance": ("copies", "wrong labels", "shift"),
    "copy_rate": ("noise", "shift", "brightness", "repeats", "wrong labels"),
    "duplicate_rate": ("noise", "shift", "copies", "wrong labels"),
}
# Holds on the machine of the page; on a CPU with AMX precision moved at 90 % repeats, which leave 80 of 800 images.
ONLY_STORED = {("precision", "repeats")}
GROWS = [
    ("frechet_distance", ("noise", "blur", "shift", "brightness", "fewer classes", "repeats")),
    ("kid", ("noise", "blur", "shift", "brightness", "fewer classes")),
    ("frechet_pixels", ("noise", "blur", "shift", "brightness", "fewer classes", "repeats")),
    ("histogram_distance", ("noise", "blur", "brightness")),
    ("copy_rate", ("copies",)),
    ("duplicate_rate", ("repeats",)),
]


@pytest.mark.parametrize("name", damage.DAMAGES)
def test_images_of_a_file_are_harmed_as_those_in_memory(name, tmp_path, monkeypatch):
    monkeypatch.setattr(damage, "COUNT", 12)
    harm, strengths, _ = damage.DAMAGES[name]
    pixels = torch.randint(0, 256, (24, 1, 9, 9), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    mapped = np.memmap(tmp_path / "pixels", np.uint8, "w+", shape=tuple(pixels.shape))
    mapped[:] = pixels.numpy()
    found = []
    for images in (pixels, Rows(mapped)):
        data = ArrayData("mine", "", images, torch.arange(24) % 10, ImageSpec(1, 9, 9, tuple("0123456789")))
        found.append(harm(data if harm is damage.fewer_classes else data.subset(torch.arange(12)), data, strengths[0]))
    for one in found:
        assert (
            len(one) > 0 and torch.equal(one.images[:], found[0].images[:]) and torch.equal(one.labels, found[0].labels)
        )


def kept():
    return json.loads((CHECKOUT / "docs" / "results" / "damage-mnist.json").read_text())


@pytest.fixture(scope="module")
def again(mnist_dir):
    return damage.measured(damage.Bench("mnist"))


def check(found, without=frozenset()):
    for measure, damages in SEES.items():
        for name in damages:
            assert damage.seen_from(found, measure, name) is not None, f"{measure} does not see {name}"
    for measure, damages in BLIND.items():
        for name in damages:
            if (measure, name) not in without:
                assert damage.seen_from(found, measure, name) is None, f"{measure} sees {name}"
    for measure, damages in GROWS:
        for name in damages:
            levels = [row[measure] for row in found["damages"][name]]
            assert levels == sorted(levels), f"{measure} does not grow with {name}: {levels}"


def test_the_page_is_what_was_measured():
    page = (CHECKOUT / "docs" / "results" / "damage-mnist.md").read_text()
    assert damage.table(kept()) in page
    check(kept())


@pytest.mark.slow
def test_the_claims_hold_when_measured_again(again):
    check(again, without=ONLY_STORED)
