"""Which sampler, how many steps, how much guidance? One trained run sampled in many ways, scored beside test images.

    fromnoise train mnist --budget 3m --output_dir runs/mnist
    python benchmarks/sampling.py runs/mnist

Its own number of steps is also put beside a hundred, which nobody would wait for. Writes docs/results/sampling-<data>
.json, .md and two plots: quality against evaluations of the network and seconds.
"""

from __future__ import annotations

import argparse
import os
import shutil
from dataclasses import asdict
from pathlib import Path

from common import RESULTS, keep, processor, table

from fromnoise.evaluation.sweep import Sweep, sweep_table
from fromnoise.run import Run
from fromnoise.settings import SampleOptions, guidance_words

SAMPLERS = ("ddim", "heun", "dpmpp_2m", "unipc_2", "unipc_3", "ipndm_4")
STEPS = (4, 5, 8, 20)
GUIDANCE = (1.0, 1.25, 1.5, 2.0, 2.5)
MANY = 100


def markdown(swept: Sweep) -> str:
    """The sweep's table in Markdown."""
    heading, *rows = sweep_table(swept)
    return table(heading, rows)


def page(stem: str, recipe: str, machine: str, own: SampleOptions, found: dict[str, Sweep]) -> str:
    """The page in Markdown."""
    samplers, guidance, many = found["samplers"], found["guidance"], found["many"]
    guided = guidance_words(own.guidance_scale, own.guidance_interval)
    few, lots = (point.frechet_distance for point in many.points)
    return (
        f"# Sampling {stem.removeprefix('sampling-')}: quality against cost\n\n`python benchmarks/sampling.py` on the "
        f"{recipe} recipe after {samplers.checkpoint:,} images, on {machine}. {samplers.count:,} pictures from the "
        "same seeds each, so a distance here is higher than at 10,000; the last row is what as many test images get. "
        f"Unless said: grid {own.grid}, {guided}, where the network is asked twice.\n\n"
        f"![against evaluations]({stem}.png)\n![against seconds]({stem}-seconds.png)\n\n"
        f"## Samplers and steps\n\n{markdown(samplers)}\n\n"
        f"## Guidance, {own.sampler} in {own.steps} steps\n\n{markdown(guidance)}\n\n"
        f"## The run's own steps beside {MANY}\n\n{markdown(many)}\n\n"
        f"{own.steps} steps have {few / lots:.2f} times the distance of {MANY}.\n"
    )


def main() -> None:
    """Sweep samplers and steps at the run's guidance, then guidance, then its own steps beside many."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--num", type=int, default=2000)
    args = parser.parse_args()
    run = Run(args.run)
    own, stem = run.settings.sample, RESULTS / f"sampling-{run.metadata['data']['name']}"
    found = {"samplers": run.sweep({"sampler": SAMPLERS, "steps": STEPS}, args.num)}
    for figure in ("sweep", "sweep-seconds"):
        shutil.copy(run.folder.figures / f"{figure}.png", f"{stem}{figure.removeprefix('sweep')}.png")
    found["guidance"] = run.sweep({"guidance_scale": sorted({*GUIDANCE, own.guidance_scale})}, args.num)
    found["many"] = run.sweep({"steps": (own.steps, MANY)}, args.num)
    machine = f"{os.cpu_count()} cores of {processor()}"
    kept = {"machine": machine, **{name: asdict(swept) for name, swept in found.items()}}
    keep(stem, kept, page(stem.name, run.settings.recipe, machine, own, found))


if __name__ == "__main__":
    main()
