"""Which measure sees which damage? Real test images, harmed in eight ways at three strengths, scored as samples are.

    python benchmarks/damage.py --data mnist

A measure sees a damage from the strength at which it leaves the values of unharmed test images (five draws of other
images) by more than four times their spread. Writes docs/results/damage-<data>.json and .md.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from fromnoise.common.seeds import generator
from fromnoise.data import DataOptions, load
from fromnoise.data.image_data import ArrayData
from fromnoise.evaluation.reference import Reference, build_reference
from fromnoise.evaluation.scores import Scores, score
from fromnoise.metrics.memorization import Baseline, measure_baseline

RESULTS = Path(__file__).resolve().parent.parent / "docs" / "results"
COUNT, DRAWS, TRAIN = 800, 5, 20_000
SPREADS = 4
MEASURES = {
    "frechet_distance": "Fréchet distance",
    "kid": "KID",
    "precision": "precision",
    "recall": "recall",
    "density": "density",
    "coverage": "coverage",
    "class_accuracy": "class accuracy",
    "frechet_pixels": "Fréchet distance, pixels",
    "histogram_distance": "brightness",
    "copy_rate": "copies",
    "copy_z": "nearer than test images (z)",
    "duplicate_rate": "duplicates",
}
Harm = Callable[[ArrayData, ArrayData, float], ArrayData]


def noise(data: ArrayData, train: ArrayData, strength: float) -> ArrayData:
    """Normal noise of `strength` grey levels."""
    added = torch.randn(data.images.shape, generator=generator(0, "damage")) * strength
    return _with(data, _pixels(data) + added)


def blur(data: ArrayData, train: ArrayData, strength: float) -> ArrayData:
    """A Gaussian blur of `strength` pixels."""
    reach = round(3 * strength)
    line = torch.exp(-torch.arange(-reach, reach + 1).float().square() / (2 * strength**2))
    line = (line / line.sum()).repeat(data.spec.channels, 1, 1, 1)
    x = F.pad(_pixels(data).float(), (reach,) * 4, mode="replicate")
    for kernel in (line, line.transpose(2, 3)):
        x = F.conv2d(x, kernel, groups=data.spec.channels)
    return _with(data, x)


def shift(data: ArrayData, train: ArrayData, strength: float) -> ArrayData:
    """Moved to the right by `strength` pixels."""
    return _with(data, torch.roll(_pixels(data), round(strength), dims=3))


def brightness(data: ArrayData, train: ArrayData, strength: float) -> ArrayData:
    """Every pixel brighter by `strength` grey levels."""
    return _with(data, _pixels(data).float() + strength)


def fewer_classes(data: ArrayData, train: ArrayData, strength: float) -> ArrayData:
    """Images of `strength` classes only; `data` holds enough of them."""
    assert data.labels is not None
    return data.subset(torch.nonzero(data.labels < strength)[:COUNT, 0])


def repeats(data: ArrayData, train: ArrayData, strength: float) -> ArrayData:
    """A share of the images replaced by repeats of the others."""
    kept = max(1, round(COUNT * (1 - strength)))
    return data.subset(torch.arange(COUNT) % kept)


def copies(data: ArrayData, train: ArrayData, strength: float) -> ArrayData:
    """A share of the images replaced by training images."""
    number = round(COUNT * strength)
    stolen, kept = train.subset(torch.arange(number)), data.subset(torch.arange(number, COUNT))
    assert stolen.labels is not None and kept.labels is not None
    labels = torch.cat([stolen.labels, kept.labels])
    return ArrayData(data.name, "", torch.cat([_pixels(stolen), _pixels(kept)]), labels, data.spec)


def wrong_labels(data: ArrayData, train: ArrayData, strength: float) -> ArrayData:
    """A share of the labels moved to the next class."""
    assert data.labels is not None
    moved = torch.arange(COUNT) < round(COUNT * strength)
    labels = torch.where(moved, (data.labels + 1) % len(data.spec.classes), data.labels)
    return ArrayData(data.name, "", data.images, labels, data.spec)


DAMAGES: Mapping[str, tuple[Harm, tuple[float, ...], str]] = {
    "noise": (noise, (4, 16, 64), "grey levels"),
    "blur": (blur, (0.5, 1, 2), "pixels"),
    "shift": (shift, (1, 2, 4), "pixels"),
    "brightness": (brightness, (4, 16, 64), "grey levels"),
    "fewer classes": (fewer_classes, (7, 4, 1), "classes left"),
    "repeats": (repeats, (0.1, 0.5, 0.9), "share"),
    "copies": (copies, (0.05, 0.2, 1), "share"),
    "wrong labels": (wrong_labels, (0.05, 0.2, 1), "share"),
}


def _pixels(data: ArrayData) -> Tensor:
    """Its images in memory, also those of a file."""
    return data.images[:]


def _with(data: ArrayData, images: Tensor) -> ArrayData:
    return ArrayData(data.name, "", images.float().round().clamp(0, 255).byte(), data.labels, data.spec)


class Bench:
    """The real images, and what is usual among them."""

    def __init__(self, source: str) -> None:
        train, self.test = load(DataOptions(source)), load(DataOptions(source), "test")
        self.train = train.subset(torch.randperm(len(train), generator=generator(0, "damage"))[:TRAIN])
        whole = build_reference(train)
        self.reference = Reference(self.train, whole.features, whole.pixels, whole.classifier)
        embedded = whole.features.of(self.test.images)
        self.usual: Baseline = measure_baseline(self.train, self.reference.embedded, self.test, embedded, count=COUNT)
        self.order = torch.randperm(len(self.test), generator=generator(0, "damage draws"))

    def unharmed(self, draw: int) -> ArrayData:
        """800 test images, others for each draw."""
        return self.test.subset(self.order[draw * COUNT : (draw + 1) * COUNT])

    def score(self, pictures: ArrayData) -> Scores:
        """The Scores of `pictures` as if they were samples."""
        embedded = self.reference.features.of(pictures.images)
        return score(_pixels(pictures), pictures.labels, embedded, self.reference, self.usual)[0]

    def harmed(self, name: str, strength: float) -> Scores:
        """The Scores after the damage `name`; fewer classes need to choose from all test images."""
        harm = DAMAGES[name][0]
        source = self.test.subset(self.order) if harm is fewer_classes else self.unharmed(0)
        return self.score(harm(source, self.train, strength))


def measured(bench: Bench) -> dict[str, Any]:
    """{"unharmed": [...], "damages": {name: [...]}} with the Scores of each as plain dicts."""
    return {
        "unharmed": [asdict(bench.score(bench.unharmed(draw))) for draw in range(DRAWS)],
        "damages": {
            name: [asdict(bench.harmed(name, strength)) for strength in strengths]
            for name, (_, strengths, _) in DAMAGES.items()
        },
    }


def seen_from(found: Mapping[str, Any], measure: str, damage: str) -> float | None:
    """The weakest strength from which on `measure` sees `damage`, None if it sees none of the three."""
    usual = [row[measure] for row in found["unharmed"]]
    centre, spread = statistics.mean(usual), max(statistics.stdev(usual), 1e-3 * max(1e-9, abs(statistics.mean(usual))))
    spread = max(spread, 1 / COUNT if 0 <= centre <= 1 else 0)  # a share moves in steps of one picture
    off = [abs(row[measure] - centre) / spread for row in found["damages"][damage]]
    strengths = DAMAGES[damage][1]
    return next((strengths[i] for i in range(len(off)) if min(off[i:]) > SPREADS), None)


def table(found: Mapping[str, Any]) -> str:
    """Markdown: a row a measure, a column a damage, in each cell the weakest strength that is seen."""
    lines = [f"| | {' | '.join(DAMAGES)} |", f"|---|{'---|' * len(DAMAGES)}"]
    lines.append(
        "| "
        + " | ".join(
            [
                "*strengths tried*",
                *(f"{', '.join(f'{s:g}' for s in strengths)} {unit}" for _, strengths, unit in DAMAGES.values()),
            ]
        )
        + " |"
    )
    for measure, about in MEASURES.items():
        cells = [seen_from(found, measure, damage) for damage in DAMAGES]
        lines.append(f"| {about} | {' | '.join('–' if cell is None else f'{cell:g}' for cell in cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, and write both files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="mnist")
    args = parser.parse_args()
    found = measured(Bench(args.data))
    stem = RESULTS / f"damage-{args.data}"
    stem.with_suffix(".json").write_text(json.dumps({"data": args.data, "count": COUNT, **found}, indent=1) + "\n")
    words = (
        f"# Which measure sees which damage\n\n`python benchmarks/damage.py --data {args.data}`: {COUNT} test images, "
        f"harmed, against {TRAIN:,} training images. A cell holds the weakest strength that a measure sees (it leaves "
        f"the values of {DRAWS} unharmed draws by more than {SPREADS} times their spread), – where it sees none.\n\n"
    )
    stem.with_suffix(".md").write_text(words + table(found) + "\n")
    print(table(found))


if __name__ == "__main__":
    main()
