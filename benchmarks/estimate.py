"""What a GPU could do at best: counted arithmetic and traffic over a card's published peaks. Nothing is timed.

    python benchmarks/estimate.py                                  # an H200's peaks
    python benchmarks/estimate.py --tflops 312 --gbytes 2039       # an A100's

Counts a bf16 training step of each recipe on the CPU at two small batches; both counts are straight lines in the
batch, so any other batch follows. Bytes are those of all tensors that each operation reads and writes, with nothing
kept in caches and nothing fused. Writes docs/results/estimate-gpu.json and .md.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from common import RESULTS, keep, short, table
from stepping import Traffic, engine, flops_per_image, random_images, stepper

CASES = (
    ("chapter-basic", 128),
    ("chapter-unet2d", 128),
    ("default-base", 64),
    ("default-base", 2048),
    ("default-large", 1024),
)
SMALL = (2, 4)


@dataclass(frozen=True)
class Cost:
    """What a training step costs."""

    flop: float
    bytes: float
    operations: float

    def at(self, other: Cost, batch: int) -> Cost:
        """The cost at `batch`, on the line through self and other, which are of the batches SMALL."""
        along = (batch - SMALL[0]) / (SMALL[1] - SMALL[0])
        here, there = asdict(self).values(), asdict(other).values()
        return Cost(*(a + along * (b - a) for a, b in zip(here, there, strict=True)))


def counted(recipe: str, batch: int, channels: int, side: int) -> Cost:
    """The cost of one training step of `recipe`."""
    settings = {"train.mixed_precision": "bf16", "train.train_batch_size": batch}
    step = stepper(engine(random_images(batch, channels, side), recipe, settings, "cpu"))
    with Traffic() as traffic:
        flop = flops_per_image(step) * batch
    return Cost(flop, traffic.bytes, traffic.operations)


def floors(cost: Cost, tflops: float, gbytes: float, launch_us: float) -> dict[str, float]:
    """The least milliseconds a step can take for each of three reasons."""
    return {
        "arithmetic": 1e3 * cost.flop / (tflops * 1e12),
        "memory": 1e3 * cost.bytes / (gbytes * 1e9),
        "launches": 1e-3 * cost.operations * launch_us,
    }


def row(recipe: str, batch: int, cost: Cost, least: Mapping[str, float]) -> dict[str, Any]:
    """What is said of one recipe at one batch."""
    binds = max(least, key=least.__getitem__)
    fused = max(least["arithmetic"], least["memory"])
    return {
        "recipe": recipe,
        "batch": batch,
        "mflop_per_image": cost.flop / batch / 1e6,
        "mb_per_image": cost.bytes / batch / 1e6,
        "operations_per_step": round(cost.operations),
        "flop_per_byte": cost.flop / cost.bytes,
        "floor_ms": dict(least),
        "binds": binds,
        "images_per_second_at_most": 1e3 * batch / least[binds],
        "images_per_second_without_launches": 1e3 * batch / fused,
    }


def page(found: Mapping[str, Any]) -> str:
    """The page in Markdown."""
    peaks = found["peaks"]
    heading = ["recipe", "batch", "MFLOP an image", "MB an image", "FLOP a byte", "operations a step"]
    heading += ["arithmetic", "memory", "launches", "binds", "images/s at most", "without launches"]
    rows = [
        [
            f"`{one['recipe']}`",
            str(one["batch"]),
            *(short(one[name]) for name in ("mflop_per_image", "mb_per_image", "flop_per_byte", "operations_per_step")),
            *(f"{short(value)} ms" for value in one["floor_ms"].values()),
            one["binds"],
            *(short(one[f"images_per_second_{name}"]) for name in ("at_most", "without_launches")),
        ]
        for one in found["rows"]
    ]
    return (
        f"# What a GPU could do at best: an estimate, not measured\n\n`{found['command']}`. **Nothing here was timed, "
        f"and no GPU was there.** A bf16 training step on {found['images']} was counted, and divided by published "
        "peaks: "
        f"{peaks['tflops']:g} TFLOP/s, {peaks['gbytes']:g} GB/s, and {peaks['launch_us']:g} µs for Python to launch an "
        "operation, which is a guess. Each gives a time that a step cannot go below; the longest binds. Bytes are "
        "what all operations read and write one by one: caches and fused kernels move fewer, so that the memory's is "
        "no hard floor, and a compiled or captured step pays for few launches (last column). A card reaches a part of "
        "its peaks."
        f"\n\n{table(heading, rows)}\n"
    )


def main() -> None:
    """Count, divide, and write both files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tflops", type=float, default=989.0, help="dense bf16 peak; an H200's if not given")
    parser.add_argument("--gbytes", type=float, default=4800.0, help="GB/s of memory; an H200's if not given")
    parser.add_argument("--launch_us", type=float, default=5.0, help="microseconds to launch an operation")
    parser.add_argument("--channels", type=int, default=1)
    parser.add_argument("--side", type=int, default=28)
    parser.add_argument("--output_dir", type=Path, default=RESULTS)
    args = parser.parse_args()
    peaks = {name: getattr(args, name) for name in ("tflops", "gbytes", "launch_us")}
    small: dict[str, list[Cost]] = {}
    rows = []
    for recipe, batch in CASES:
        if recipe not in small:
            small[recipe] = [counted(recipe, few, args.channels, args.side) for few in SMALL]
        cost = small[recipe][0].at(small[recipe][1], batch)
        rows.append(row(recipe, batch, cost, floors(cost, **peaks)))
    words = " ".join(
        f"--{name} {value:g}" for name, value in {**peaks, "side": args.side, "channels": args.channels}.items()
    )
    images = f"{args.side}x{args.side} images of {args.channels} channel{'s' if args.channels > 1 else ''}"
    found = {"measured": False, "command": f"python benchmarks/estimate.py {words}", "images": images, "peaks": peaks}
    keep(args.output_dir / "estimate-gpu", {**found, "rows": rows}, page({**found, "rows": rows}))


if __name__ == "__main__":
    main()
