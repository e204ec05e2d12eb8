"""Which sampler, how many steps, how much guidance? One trained run sampled in many ways, scored beside test images.

    fromnoise train mnist --budget 3m --output_dir runs/mnist
    python benchmarks/sampling.py runs/mnist

Writes docs/results/sampling-<data>.json, .md and two plots: quality against evaluations of the network and seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
from dataclasses import asdict
from pathlib import Path

from common import processor

from fromnoise.run import Run
from fromnoise.run.sweeping import Sweep, sweep_table

RESULTS = Path(__file__).resolve().parent.parent / "docs" / "results"
SAMPLERS = ("ddim", "heun", "dpmpp_2m", "unipc_2", "unipc_3", "ipndm_4")
STEPS = (4, 5, 8, 20)
GUIDANCE = (1.0, 1.5, 2.0, 2.5, 3.0)


def markdown(swept: Sweep) -> str:
    """The sweep's table in Markdown."""
    heading, *rows = sweep_table(swept)
    lines = [f"| {' | '.join(heading)} |", f"|{'---|' * len(heading)}"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def main() -> None:
    """Sweep samplers and steps at the run's guidance, then guidance at its sampler and steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--num", type=int, default=2000)
    args = parser.parse_args()
    run = Run(args.run)
    name = run.record["data"]["name"]
    stem = RESULTS / f"sampling-{name}"
    samplers = run.sweep({"sampler": SAMPLERS, "steps": STEPS}, args.num)
    for figure in ("sweep", "sweep-seconds"):
        shutil.copy(run.folder.figures / f"{figure}.png", f"{stem}{figure.removeprefix('sweep')}.png")
    guidance = run.sweep({"guidance_scale": GUIDANCE}, args.num)
    machine = f"{os.cpu_count()} cores of {processor()}"
    kept = {"machine": machine, "samplers": asdict(samplers), "guidance": asdict(guidance)}
    stem.with_suffix(".json").write_text(json.dumps(kept, indent=1) + "\n")
    own = run.config.sample
    words = (
        f"# Sampling {name}: quality against cost\n\n`python benchmarks/sampling.py` on the {run.config.recipe} recipe "
        f"after {samplers.checkpoint:,} images, on {machine}. {args.num:,} pictures from the same seeds each, so a "
        "distance here is higher than at 10,000; the last row is what as many test images get. Guidance asks the "
        f"network twice.\n\n![against evaluations]({stem.name}.png)\n![against seconds]({stem.name}-seconds.png)\n\n"
        f"## Samplers and steps, guidance {own.guidance_scale:g}\n\n{markdown(samplers)}\n\n"
        f"## Guidance, {own.sampler} in {own.steps} steps\n\n{markdown(guidance)}\n"
    )
    stem.with_suffix(".md").write_text(words)
    print(words)


if __name__ == "__main__":
    main()
