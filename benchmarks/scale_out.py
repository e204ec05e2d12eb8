"""What more GPUs give, on paper: a step's arithmetic, the all-reduce of its gradient, and how far larger batches help.

    python benchmarks/scale_out.py             # print the tables of docs/scaling-out.md
    python benchmarks/scale_out.py --write     # put them into the page
    python benchmarks/scale_out.py --noise     # measure the gradient noise scale (minutes of a CPU), then as --write

One GPU's times are measured where a network was (docs/results), else counted arithmetic over a share of the peak. No
cluster was there: all else follows from the formulas below and the numbers in FABRICS, ASSUMED and NETWORKS.

    t(N)      = t0 + c b + t_allreduce(N),   b = B / N images on each of N GPUs
    allreduce = 2 (g - 1)/g G / W_in + 2 l_in log2 g                   within a machine of g GPUs, G bytes of gradient
              + 2 (m - 1)/m (G / g) / W_out + 2 l_out log2 m           between m machines, each GPU its part of G
    progress  = images per second / (1 + B / B_noise)
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common import RESULTS, in_words, machine, short, table

PAGE = RESULTS.parent / "scaling-out.md"
NOISE = RESULTS / "gradient-noise.json"
# Bytes a parameter of many processes: weights, gradients, the row that sums them, moments, averages of two lengths.
SHARED_STATE = {
    "AdamW without averages": 4 + 4 + 4 + 8,
    "Muon, its averages": 4 + 4 + 4 + 4 + 8,
    "AdamW, its averages": 4 + 4 + 4 + 8 + 8,
}
GPUS = (1, 8, 64, 1024)
MACHINE = 8  # GPUs in one
MEMORY = 80e9  # bytes of a GPU
PEAK = 989e12  # dense bf16 multiplications and additions a second: an H100's or H200's
ASSUMED = {
    "share of the peak": 0.3,  # of a large network's arithmetic
    "launch_us": 2.0,  # least time of an operation in a captured step
    "share of the bandwidth": 0.8,
    "write_gb_per_s": 1.0,  # of a shared disk
}
FAILURES = 419 / 54 / 16_384  # a GPU and day: Llama 3's unexpected interruptions, https://arxiv.org/abs/2407.21783
IMAGES_AT = (2_048, 8_192, 32_768)  # where the noise is measured
PARTS, PART = 64, 64  # batches of so many images that it is measured with


@dataclass(frozen=True)
class Fabric:
    """bytes_per_s: of each GPU, one way. latency: seconds of a hop."""

    bytes_per_s: float
    latency: float


NVLINK = Fabric(450e9, 5e-6)
FABRICS = {
    "InfiniBand": Fabric(50e9, 1e-5),  # 400 Gb/s for each GPU
    "Ethernet 100": Fabric(100e9 / 8 / MACHINE, 5e-5),  # 100 Gb/s for each machine
    "Ethernet 10": Fabric(10e9 / 8 / MACHINE, 5e-5),
}


@dataclass(frozen=True)
class Network:
    """A network and its batch.

    flop: of an image's training. step_flop: of the optimizer, once a step on each GPU. operations: in a step. measured:
    seconds of a step on one GPU, None where none was timed. state: bytes a parameter in memory beside activations;
    kept: bytes a parameter in a checkpoint.
    """

    name: str
    parameters: int
    side: int
    channels: int
    batch: int
    flop: float
    step_flop: float
    operations: int
    measured: float | None
    state: int = 20
    kept: int = 16

    @property
    def gradient(self) -> float:
        """Bytes that every step exchanges: float32."""
        return 4.0 * self.parameters

    @property
    def fixed(self) -> float:
        """Seconds of a step that do not depend on the batch."""
        launches = 1e-6 * ASSUMED["launch_us"] * self.operations
        return launches + self.step_flop / (ASSUMED["share of the peak"] * PEAK)

    @property
    def per_image(self) -> float:
        """Seconds that each image of the batch adds."""
        if self.measured is not None:
            return (self.measured - self.fixed) / self.batch
        return self.flop / (ASSUMED["share of the peak"] * PEAK)

    def step(self, gpus: int, fabric: Fabric, batch: int | None = None) -> float:
        """Seconds of a step."""
        each = math.ceil((batch or self.batch) / gpus)
        return self.fixed + self.per_image * each + all_reduce(self.gradient, gpus, fabric)


NETWORKS = (
    Network("default-base", 515_716, 28, 1, 2048, 1.84e8, 6.4e8, 1047, 2048 / 317_549),  # H200, bf16
    Network("chapter-unet2d", 1_707_009, 28, 1, 128, 1.93e9, 0, 2829, 128 / 4_864.9, 16, 12),  # H100, float32
    Network("default-large, 64 x 64", 8_185_392, 64, 3, 512, 3.93e9, 4.05e10, 1047, None),
    Network("U-Net of width 512, 64 x 64", 129_079_344, 64, 3, 512, 6.11e10, 2.59e12, 1047, None),
    Network("DiT-XL/2, 32 x 32 x 4", 675_129_632, 32, 4, 2048, 7.1e11, 0, 1500, None, 24, 20),
)


def all_reduce(size: float, gpus: int, fabric: Fabric) -> float:
    """Seconds until each of `gpus` has the sum of `size` bytes: within machines, then between them."""
    inside, machines = min(gpus, MACHINE), max(1, gpus // MACHINE)
    share = ASSUMED["share of the bandwidth"]
    within = 2 * (inside - 1) / inside * size / (share * NVLINK.bytes_per_s) + 2 * NVLINK.latency * math.log2(inside)
    part = size / inside
    between = 2 * (machines - 1) / machines * part / (share * fabric.bytes_per_s)
    return within + between + 2 * fabric.latency * math.log2(machines)


def bytes_in_words(size: float) -> str:
    """1.6 MB."""
    unit = next(i for i in (3, 2, 1) if size >= 1000**i or i == 1)
    return f"{short(size / 1000**unit)} {('kB', 'MB', 'GB')[unit - 1]}"


def networks_table() -> str:
    """What a step of each network is."""
    heading = ["network", "parameters", "gradient a step", "state of a GPU", "checkpoint", "FLOP an image", "batch"]
    rows = [
        [
            one.name,
            f"{one.parameters:,}",
            bytes_in_words(one.gradient),
            bytes_in_words(one.state * one.parameters),
            bytes_in_words(one.kept * one.parameters),
            f"{one.flop:.2g}",
            f"{one.batch:,}",
            f"{short(1e3 * one.step(1, NVLINK))} ms, {'measured' if one.measured else 'counted'}",
            short(one.batch / one.step(1, NVLINK)),
        ]
        for one in NETWORKS
    ]
    return table([*heading, "a step on one GPU", "images/s"], rows)


def all_reduce_table() -> str:
    """The all-reduce alone, in milliseconds."""
    cases = [(8, "InfiniBand")] + [(gpus, name) for gpus in GPUS[2:] for name in FABRICS]
    heading = ["network", "8, NVLink", *(f"{gpus:,}, {name}" for gpus, name in cases[1:])]
    rows = [
        [one.name, *(short(1e3 * all_reduce(one.gradient, gpus, FABRICS[name])) for gpus, name in cases)]
        for one in NETWORKS
    ]
    return table(heading, rows)


def fixed_batch_table() -> str:
    """More GPUs for the same batch, so for the same training."""
    heading = ["network", "GPUs", "images each", "images/s", "of the ideal", "on Ethernet 100", "read"]
    rows = []
    for one in NETWORKS:
        for gpus in (gpus for gpus in GPUS if gpus <= one.batch):
            rates = [one.batch / one.step(gpus, fabric) for fabric in FABRICS.values()]
            ideal = gpus * one.batch / one.step(1, NVLINK)
            each = one.channels * one.side**2
            rows.append(
                [
                    one.name,
                    f"{gpus:,}",
                    f"{one.batch // gpus:,}",
                    short(rates[0]),
                    f"{short(100 * rates[0] / ideal, 2)} %",
                    f"{short(100 * rates[1] / ideal, 2)} %",
                    f"{bytes_in_words(rates[0] * each)}/s",
                ]
            )
    return table(heading, rows)


def large_batch_table(noise: float) -> str:
    """A batch that grows with the GPUs: images per second, and what of that is progress."""
    heading = ["network", "GPUs", "batch", "images/s", "times one GPU", "progress, times one GPU"]
    rows = []
    for one in NETWORKS:
        first = one.batch / one.step(1, NVLINK)
        for gpus in GPUS[1:]:
            batch = gpus * one.batch
            rate = batch / one.step(gpus, FABRICS["InfiniBand"], batch)
            gain = rate / first * (1 + one.batch / noise) / (1 + batch / noise)
            rows.append([one.name, f"{gpus:,}", f"{batch:,}", short(rate), short(rate / first), short(gain)])
    return table(heading, rows)


def failures_table(size: float) -> str:
    """How often something fails, and how often to save `size` bytes then (Young: tau = sqrt(2 write M))."""
    rows = []
    write = size / (1e9 * ASSUMED["write_gb_per_s"])
    for gpus in GPUS[1:]:
        between = 86_400 / (FAILURES * gpus)
        every = math.sqrt(2 * write * between)
        lost = write / every + every / 2 / between
        days = between / 86_400
        rows.append([f"{gpus:,}", short(86_400 / between), short(days), f"{every / 60:.3g} min", f"{100 * lost:.2g} %"])
    return table(["GPUs", "failures a day", "days between", "save every", "lost to both"], rows)


def sharding_table() -> str:
    """The parameters from which on the state of a training takes half of a GPU's memory."""
    half = MEMORY / 2
    rows = [[name, str(state), f"{half / state / 1e9:.2g} billion"] for name, state in SHARED_STATE.items()]
    return table(["training", "bytes a parameter", f"parameters in {half / 1e9:.0f} GB"], rows)


def noise_table(found: dict[str, Any]) -> str:
    """The measured gradient noise scale."""
    rows = [[f"{one['images']:,}", short(one["noise_scale"])] for one in found["points"]]
    return table(["images seen", "noise scale, images"], rows)


def tables() -> dict[str, str]:
    """Every table of the page by its name."""
    noise = json.loads(NOISE.read_text(encoding="utf-8"))
    return {
        "networks": networks_table(),
        "all-reduce": all_reduce_table(),
        "fixed batch": fixed_batch_table(),
        "noise": noise_table(noise),
        "large batch": large_batch_table(noise["points"][-1]["noise_scale"]),
        "failures": failures_table(NETWORKS[3].kept * NETWORKS[3].parameters),
        "sharding": sharding_table(),
    }


def filled(page: str) -> str:
    """The page with its tables: each stands between <!-- table: NAME --> and <!-- end -->."""
    made = tables()

    def one(found: re.Match[str]) -> str:
        return f"<!-- table: {found[1]} -->\n\n{made[found[1]]}\n\n<!-- end -->"

    return re.sub(r"<!-- table: ([a-z -]+) -->.*?<!-- end -->", one, page, flags=re.DOTALL)


def measure_noise(data: str, recipe: str) -> dict[str, Any]:
    """tr(covariance of an image's gradient) / |mean gradient|^2 at the averaged weights: the "simple" noise scale.

    References: McCandlish et al. 2018, https://arxiv.org/abs/1812.06162
    """
    from stepping import engine, stepper

    from fromnoise.data import DataOptions, load

    trainer = engine(load(DataOptions(data)), recipe, {"train.mixed_precision": "no"}, "cpu")
    step, points = stepper(trainer), []
    for images in IMAGES_AT:
        while trainer.images < images:
            step()
        moving = copy.deepcopy(trainer.net.state_dict())
        trainer.net.load_state_dict(trainer.best_net.state_dict())  # the average: the weights themselves swing about it
        points.append({"images": trainer.images, "noise_scale": noise_scale(trainer)})
        trainer.net.load_state_dict(moving)
    return {"data": data, "recipe": recipe, "machine": machine(), "points": points}


def noise_scale(trainer: Any, parts: int = PARTS, part: int = PART) -> float:
    """The noise scale at the trainer's weights, from `parts` batches of `part` images."""
    import torch

    from fromnoise.diffusion.objective import training_loss

    total, squares = torch.zeros(sum(p.numel() for p in trainer.net.parameters()), dtype=torch.float64), 0.0
    size = trainer.options.train_batch_size
    for number in range(parts):
        images, label = trainer.batches.batch(trainer.step + 1 + number * part // size)
        place = slice(number * part % size, number * part % size + part)
        x0 = trainer.denoiser.spec.encode(images[place])
        noise = trainer.objective.draw(trainer.denoiser.process, tuple(x0.shape), seed=1, step=number, device="cpu")
        trainer.net.zero_grad()
        loss = training_loss(trainer.denoiser, trainer.objective, x0, None if label is None else label[place], noise)
        loss.mean().backward()
        row = torch.cat([p.grad.flatten().double() for p in trainer.net.parameters() if p.grad is not None])
        total[: len(row)] += row
        squares += float(row.square().sum())
    mean = float((total / parts).square().sum())
    scatter = part * (squares - parts * mean) / (parts - 1)  # of a single image's gradient
    return scatter / (mean - scatter / (part * parts))


def main() -> None:
    """Print or write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="put the tables into docs/scaling-out.md")
    parser.add_argument("--noise", action="store_true", help="measure the gradient noise scale, and write")
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--page", type=Path, default=PAGE)
    args = parser.parse_args()
    if args.noise:
        found = measure_noise(args.data, "default-base")
        NOISE.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        print(in_words(found["machine"]))
    if args.write or args.noise:
        args.page.write_text(filled(args.page.read_text(encoding="utf-8")), encoding="utf-8")
    else:
        print("\n\n".join(f"{name}\n\n{made}" for name, made in tables().items()))


if __name__ == "__main__":
    main()
