"""Does diffusers' own pipeline make samples as good as ours of the same weights? Its and our samples, measured alike.

    fromnoise train digits --recipe ddpm --output_dir runs/ddpm
    python benchmarks/stock_pipeline.py runs/ddpm --num 2000 --steps 50

The run is exported by `--to diffusers`; a process without fromnoise loads the folder with the lines of diffusers'
documentation and draws its own noise, `fromnoise sample` draws another. Both networks compute in float32, whatever the
run was trained in. Both sets are measured by `fromnoise.evaluate` in the same features against the same training
images. What is found is also compared with chance: all samples of both, shuffled and dealt out in two sets again.
Samples are kept in the run's folder stock-pipeline/, in parts, and parts that are there are not made again. Writes
docs/results/stock-pipeline-<data>.json and .md.
"""

from __future__ import annotations

import argparse
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import RESULTS, in_words, keep, machine, table

from fromnoise.common.seeds import generator
from fromnoise.evaluation.evaluation import Evaluation
from fromnoise.evaluation.matching import read_matched
from fromnoise.evaluation.reference import Reference, build_reference, embed
from fromnoise.export.verification import on_cpu
from fromnoise.metrics.frechet import frechet_distance, statistics
from fromnoise.metrics.precision_recall import precision_recall
from fromnoise.run import Run
from fromnoise.run.evaluations import evaluate_files

PART = 100  # samples, the seed of whose noise is the number of the part
SHUFFLES = 100
STOCK = """\
import sys
import numpy, torch
from diffusers import DDPMPipeline

folder, file, count, seed, steps = sys.argv[1:]
pipeline = DDPMPipeline.from_pretrained(folder)
pipeline.set_progress_bar_config(disable=True)
images = pipeline(
    batch_size=int(count),
    generator=torch.Generator("cpu").manual_seed(int(seed)),
    num_inference_steps=int(steps),
    output_type="np",
).images
assert not any(name.startswith("fromnoise") for name in sys.modules)
numpy.savez(file, images=(255 * images).round().astype("uint8"))
"""


def stock_samples(export: Path, folder: Path, num: int, steps: int) -> Path:
    """An .npz of `num` images of the stock pipeline in `export`, made in parts in `folder`."""
    for number in range(-(-num // PART)):
        file, count = folder / f"stock-{number}.npz", min(PART, num - number * PART)
        if not file.exists():
            words = map(str, (export, file, count, number, steps))
            subprocess.run([sys.executable, "-I", "-c", STOCK, *words], check=True)
    return _joined(folder, "stock", num)


def own_samples(run: Run, folder: Path, num: int, steps: int) -> Path:
    """An .npz of `num` of the run's samples in float32, made in parts in `folder`."""
    model = on_cpu(run.model(steps=steps))
    for number in range(-(-num // PART)):
        file = folder / f"own-{number}.npz"
        if not file.exists():
            seeds = range(number * PART, min((number + 1) * PART, num))
            np.savez(file, images=model.sample(seeds=seeds).images)
    return _joined(folder, "own", num)


def _joined(folder: Path, name: str, num: int) -> Path:
    parts = [np.load(folder / f"{name}-{number}.npz")["images"] for number in range(-(-num // PART))]
    file = folder / f"{name}.npz"
    np.savez(file, images=np.concatenate(parts)[:num])
    return file


def measured(run: Run, data: str, folder: Path, num: int, steps: int) -> dict[str, Any]:
    """The measures of both sets of samples, and the largest difference that the export announced."""
    folder.mkdir(parents=True, exist_ok=True)
    exported = run.export("diffusers", folder / "export", steps=steps)
    assert exported.about == "DDPMPipeline"
    files = {"stock": stock_samples(folder / "export", folder, num, steps), "own": own_samples(run, folder, num, steps)}
    found = {name: evaluate_files(str(file), data)[0] for name, file in files.items()}
    measures = {name: one.to_json() for name, one in found.items()}
    return {"largest_difference": exported.difference, **measures, "chance": by_chance(files, data)}


def by_chance(files: dict[str, Path], data: str) -> dict[str, Any]:
    """Of each measure, the share of shuffles in which two sets of all samples differ by no less than the two `files`.

    Both sets come from one distribution if the pipelines do, so a small share speaks against that.
    """
    matched = [read_matched(str(file), data, {}) for file in files.values()]
    reference = build_reference(matched[0].train, "auto")
    sets = [embed(reference.features, one.samples.images) for one in matched]
    together, count = torch.cat(sets), len(sets[0])
    observed = _apart(sets[0], sets[1], reference)
    order, reached = generator(0, "shuffled samples"), dict.fromkeys(observed, 0)
    for _ in range(SHUFFLES):
        rows = together[torch.randperm(len(together), generator=order)]
        for name, apart in _apart(rows[:count], rows[count:], reference).items():
            reached[name] += apart >= observed[name]
    return {"shuffles": SHUFFLES, **{name: times / SHUFFLES for name, times in reached.items()}}


def _apart(one: torch.Tensor, other: torch.Tensor, reference: Reference) -> dict[str, float]:
    """How far the measures of two sets of features are apart."""
    distances = [frechet_distance(statistics(rows), reference.statistics) for rows in (one, other)]
    found = [precision_recall(reference.embedded, rows) for rows in (one, other)]
    shares = {name: abs(getattr(found[0], name) - getattr(found[1], name)) for name in ("precision", "recall")}
    return {"frechet_distance": abs(distances[0] - distances[1]), **shares}


def agree(found: dict[str, Any]) -> bool:
    """Whether the two distances differ by less than the 95 % interval of their difference."""
    scores = [Evaluation.from_json(found[name]).metrics for name in ("stock", "own")]
    halves = [(one.frechet_interval[1] - one.frechet_interval[0]) / 2 for one in scores]
    return abs(scores[0].frechet_distance - scores[1].frechet_distance) <= math.hypot(*halves)


def page(found: dict[str, Any]) -> str:
    """Markdown."""
    rows = []
    for name, words in (("stock", "diffusers' DDPMPipeline"), ("own", "fromnoise sample")):
        scores = Evaluation.from_json(found[name]).metrics
        low, high = scores.frechet_interval
        rows.append([words, f"{scores.frechet_distance:.3f}", f"{low:.3f} to {high:.3f}", f"{scores.precision:.3f}",
                     f"{scores.recall:.3f}"])  # fmt: skip
    verdict = (
        "the distances agree within the 95 % interval of their difference" if agree(found) else "the distances differ"
    )
    return (
        "# The stock pipeline beside ours\n\n"
        f"`{found['command']}`: {found['num']:,} samples of {found['steps']} steps each, from different noise, of the "
        f"recipe `ddpm` on {found['data']} ({found['images_seen']:,} images seen), exported with `--to diffusers` and "
        "loaded by `DDPMPipeline.from_pretrained` in a process without fromnoise; both sides compute in float32. "
        f"Measured against the same training images in the features of a classifier of them: {verdict}. From the "
        f"same noise their images differ by at most {found['largest_difference']:.1e} (black 0, white 1).\n\n"
        f"{table(['samples of', 'Fréchet distance', '95 % interval', 'precision', 'recall'], rows)}\n\n"
        f"{_on_chance(found)}\n\n"
        f"{in_words(found['machine'])}.\n"
    )


def _on_chance(found: dict[str, Any]) -> str:
    """How often chance alone sets the measures apart as far, in words."""
    chance, names = found["chance"], ("frechet_distance", "precision", "recall")
    distance, precision, recall = (f"{chance[name]:.1%}".replace("%", " %") for name in names)
    return (
        f"All {2 * found['num']:,} samples, shuffled and dealt out in two sets {chance['shuffles']} times, are as far "
        f"apart as these two or farther in {distance} of the shuffles by the Fréchet distance, in {precision} by "
        f"precision and in {recall} by recall."
    )


def main() -> None:
    """Sample, measure, and write both files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="of the recipe ddpm")
    parser.add_argument("--num", type=int, default=2000)
    parser.add_argument("--steps", type=int, default=50)
    args = parser.parse_args()
    run = Run(args.run, device="cpu")
    data, parts = run.settings.data.source, f"{run.checkpoint().name}-{args.num}-in-{args.steps}"
    folder = Path(args.run, "stock-pipeline", parts)  # parts of other settings are not these
    found: dict[str, Any] = measured(run, data, folder, args.num, args.steps)
    images = run.model().images
    about = {"command": f"python benchmarks/stock_pipeline.py RUN --num {args.num} --steps {args.steps}", "data": data}
    found |= {**about, "num": args.num, "steps": args.steps, "images_seen": images, "machine": machine()}
    keep(RESULTS / f"stock-pipeline-{data}", found, page(found))


if __name__ == "__main__":
    main()
