"""What scoring costs, and what chance and copies do to a Fréchet distance. Only the classifier is trained.

    python benchmarks/scoring.py --data mnist

Time and memory of scoring noisy test images as if they were samples, with and without the reference rows in the
cache; the distance of test images drawn again and again; that of training images drawn again, which is what a model
that copies gets. Writes docs/results/scoring-<data>.json and .md.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics as stats
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from common import processor

from fromnoise.common.seeds import generator
from fromnoise.data import DataOptions, load
from fromnoise.data.image_data import ArrayData
from fromnoise.evaluation.measure import measure
from fromnoise.evaluation.reference import Reference, build_reference, embed
from fromnoise.evaluation.reference_rows import reference_rows
from fromnoise.evaluation.samples import SampleSet
from fromnoise.metrics.frechet import frechet_distance, statistics

RESULTS = Path(__file__).resolve().parent.parent / "docs" / "results"
DRAWS, DRAWN = 40, 1000


def timed(reference: Reference, test: ArrayData, count: int, cache: Path) -> dict[str, Any]:
    """Seconds for the reference rows and for `count` pictures, and the process's peak memory so far in GB."""
    g = generator(0, "noisy test images", count)
    images = test.images[torch.randint(0, len(test), (count,), generator=g)].float()
    noisy = (images + 8 * torch.randn(images.shape, generator=g)).round().clamp(0, 255).byte()
    began = time.perf_counter()
    rows = reference_rows(reference, test, count, cache)
    between = time.perf_counter()
    embedded = embed(reference.features, noisy)
    measure(SampleSet(noisy, None, {"evaluations": 0}), embedded, reference, rows, test)
    ended = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return {"count": count, "rows": round(between - began, 1), "scoring": round(ended - between, 1), "peak_gb": peak}


def distances(reference: Reference, embedded: torch.Tensor, count: int, purpose: str) -> list[float]:
    """The Fréchet distance of 40 draws of `count` of the pictures with features `embedded`."""
    found = []
    for draw in range(DRAWS):
        chosen = torch.randperm(len(embedded), generator=generator(0, purpose, draw))[:count]
        found.append(frechet_distance(statistics(embedded[chosen]), reference.statistics))
    return found


def words(found: dict[str, Any]) -> str:
    """The page."""
    lines = ["| pictures | reference rows, first time | scoring | peak memory |", "|---|---|---|---|"]
    lines += [f"| {t['count']:,} | {t['rows']} s | {t['scoring']} s | {t['peak_gb']:.2f} GB |" for t in found["timed"]]
    fresh, again = ([stats.mean(found[name]), stats.stdev(found[name])] for name in ("test", "train"))
    ratio = again[0] / fresh[0]
    return (
        f"# What scoring costs on {found['data']}\n\n`python benchmarks/scoring.py --data {found['data']}`, on "
        f"{found['machine']}. The classifier was there; sampling comes on top.\n\n" + "\n".join(lines) + "\n\n"
        f"{DRAWS} draws of {found['drawn']:,} test images are at {fresh[0]:.3g} ± {fresh[1]:.2g} from the training "
        f"images, and as many training images drawn again at {again[0]:.3g} ± {again[1]:.2g}: a ratio of {ratio:.2g}, "
        "which is what copies get.\n"
    )


def main() -> None:
    """Measure, and write both files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--counts", default="10000,50000", help="how many pictures to score")
    args = parser.parse_args()
    train, test = load(DataOptions(args.data)), load(DataOptions(args.data), "test")
    reference = build_reference(train)
    with tempfile.TemporaryDirectory() as cache:
        costs = [timed(reference, test, int(count), Path(cache)) for count in args.counts.split(",")]
    drawn = min(DRAWN, len(test) // 2)  # all of them would be one set, drawn again and again
    found = {
        "data": args.data,
        "machine": f"{os.cpu_count()} cores of {processor()}",
        "timed": costs,
        "drawn": drawn,
        "test": distances(reference, reference.features.of(test.images), drawn, "test images again"),
        "train": distances(reference, reference.embedded, drawn, "training images again"),
    }
    stem = RESULTS / f"scoring-{args.data}"
    stem.with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n")
    stem.with_suffix(".md").write_text(words(found))
    print(words(found))


if __name__ == "__main__":
    main()
