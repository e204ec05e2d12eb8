"""How fast does it train? The chapter's own loop, our engine with the same networks, and the default recipe.

    python benchmarks/throughput.py --data mnist
    python benchmarks/throughput.py --data digits        # built in, so it runs anywhere

All take turns in one process, a few seconds each, so that what slows the machine slows all of them. Peak memory is
that of a fresh process a contender. Matrix multiplications take turns too: their speed is the machine's ceiling. The
machine should do nothing else. Writes docs/results/throughput-<data>.json, .md and .png.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from common import RESULTS, in_words, keep, machine, ratios, short, spread, table, with_range
from stepping import Step, engine, flops_per_image, matmul, peak_memory, stepper, timed
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from fromnoise import BasicUNet, corrupt
from fromnoise.data import DataOptions, load
from fromnoise.data.dataset import ArrayData
from fromnoise.figures import axes as look
from fromnoise.figures.encode import png_bytes
from fromnoise.figures.files import write_bytes
from fromnoise.train.precision import choose_device

_BATCH = 128


@dataclass(frozen=True)
class Contender:
    """Something that trains. settings: those of our engine over the recipe's; None is the chapter's loop."""

    label: str
    recipe: str
    settings: Mapping[str, Any] | None = None


_AUTO, _LARGE = {"train.mixed_precision": "auto"}, {"train.train_batch_size": _BATCH}
CONTENDERS = {
    "loop-basic": Contender("the chapter's loop, BasicUNet", "chapter-basic"),
    "engine-basic": Contender("our engine, `chapter-basic`", "chapter-basic", {}),
    "engine-basic-auto": Contender("our engine, BasicUNet, automatic precision", "chapter-basic", _AUTO),
    "loop-unet2d": Contender("the chapter's loop, UNet2DModel", "chapter-unet2d"),
    "engine-unet2d": Contender("our engine, `chapter-unet2d`", "chapter-unet2d", {}),
    "default": Contender("our engine, `default`", "default", {}),
    "default-128": Contender("our engine, `default`, 128 a batch", "default", _LARGE),
}
RATIOS = (
    ("engine-basic", "loop-basic"),
    ("engine-basic-auto", "loop-basic"),
    ("engine-unet2d", "loop-unet2d"),
    ("default", "loop-basic"),
    ("default", "loop-unet2d"),
    ("default-128", "loop-unet2d"),
)
CEILINGS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def chapter_loop(data: ArrayData, recipe: str, device: str) -> tuple[nn.Module, Iterator[int]]:
    """(the network, its steps): the tutorial's loop as it stands there, float32 and a DataLoader."""
    net = (BasicUNet(data.spec.channels, data.spec.channels) if recipe == "chapter-basic" else _unet2d(data)).to(device)
    loader = DataLoader(TensorDataset(data.images.float() / 255), batch_size=_BATCH, shuffle=True)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)

    def steps() -> Iterator[int]:
        losses = []
        while True:
            for (x,) in loader:
                x = x.to(device)
                amount = torch.rand(x.shape[0]).to(device)
                noisy = corrupt(x, amount)
                out = net(noisy) if recipe == "chapter-basic" else net(noisy, 0).sample
                loss = nn.functional.mse_loss(out, x)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
                yield len(x)

    return net, steps()


def _unet2d(data: ArrayData) -> nn.Module:
    from diffusers import UNet2DModel

    return UNet2DModel(
        sample_size=data.spec.height,
        in_channels=data.spec.channels,
        out_channels=data.spec.channels,
        layers_per_block=2,
        block_out_channels=(32, 64, 64),
        down_block_types=("DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
    )


def ready(name: str, data: ArrayData, device: str) -> tuple[Step, dict[str, Any]]:
    """(one step of the contender, what it is)."""
    contender = CONTENDERS[name]
    if contender.settings is None:
        net, steps = chapter_loop(data, contender.recipe, device)
        step, batch, precision = lambda: next(steps), _BATCH, "float32"
    else:
        trainer = engine(data, contender.recipe, contender.settings, device)
        net, step, batch = trainer.net, stepper(trainer), trainer.options.train_batch_size
        precision = "float32" if trainer.denoiser.autocast is None else "bfloat16"
    parameters = sum(p.numel() for p in net.parameters())
    return step, {"label": contender.label, "batch": batch, "precision": precision, "parameters": parameters}


def memory(name: str, data: ArrayData, device: str) -> dict[str, float]:
    """Peak memory of this process in MB: with the images in it, and after a few steps of the contender."""
    before = peak_memory(device)
    step, _ = ready(name, data, device)
    for _ in range(3):
        step()
    return {"peak_mb": peak_memory(device), "before_mb": before}


def _elsewhere(name: str, source: str, device: str) -> dict[str, float]:
    """`memory` in a fresh process."""
    words = [sys.executable, __file__, "--memory", name, "--data", source, "--device", device]
    return json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)


def measure(names: Sequence[str], data: ArrayData, device: str, rounds: int, seconds: float) -> dict[str, Any]:
    """Each contender's numbers and the ceilings, from `rounds` rounds in which each has its turn of `seconds`."""
    steps: dict[str, Step] = {}
    about: dict[str, dict[str, Any]] = {}
    for name in names:
        steps[name], about[name] = ready(name, data, device)
        about[name]["mflop_per_image"] = flops_per_image(steps[name]) / 1e6
        steps[name]()  # the first steps are slow, and are dropped
    multiply = {name: matmul(dtype, device) for name, dtype in CEILINGS.items()}
    turns: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    reached: dict[str, list[float]] = {name: [] for name in CEILINGS}
    for number in range(rounds):
        print(f"round {number + 1} of {rounds}", file=sys.stderr, flush=True)
        for name, step in steps.items():
            turns[name].append(timed(step, seconds, device))
        for name, (product, operations) in multiply.items():
            turn = timed(product, min(0.5, seconds), device)
            reached[name].append(turn["steps"] * operations / turn["seconds"] / 1e9)
    ceilings = {name: spread(values) for name, values in reached.items()}
    return {
        "ceilings_gflops": ceilings,
        "contenders": {name: {**about[name], **_numbers(about[name], turns[name], ceilings)} for name in names},
        "ratios": {
            f"{above} / {below}": ratios(_speeds(turns[above]), _speeds(turns[below]))
            for above, below in RATIOS
            if above in turns and below in turns
        },
    }


def _speeds(turns: Sequence[Mapping[str, float]]) -> list[float]:
    return [turn["images"] / turn["seconds"] for turn in turns]


def _numbers(
    about: Mapping[str, Any], turns: Sequence[Mapping[str, float]], ceilings: Mapping[str, Mapping[str, float]]
) -> dict[str, Any]:
    speed = spread(_speeds(turns))
    gflops = speed["median"] * about["mflop_per_image"] / 1e3
    return {
        "images_per_second": speed,
        "ms_per_step": spread([1e3 * turn["seconds"] / turn["steps"] for turn in turns]),
        "steps_timed": sum(int(turn["steps"]) for turn in turns),
        "gflops": gflops,
        "share_of_ceiling": {name: gflops / ceiling["median"] for name, ceiling in ceilings.items()},
    }


def page(found: Mapping[str, Any]) -> str:
    """The page in Markdown."""
    types = _types(found)
    heading = ["what trains", "batch", "computes in", "images/s", "ms a step", "MFLOP an image", "GFLOP/s"]
    heading += [f"of {name} ceiling" for name in types] + ["peak memory"]
    rows = [_row(one, types) for one in found["contenders"].values()]
    names = {name: one["label"] for name, one in found["contenders"].items()}
    compared = [
        [
            *(names[part] for part in pair.split(" / ")),
            f"**{short(r['median'])}** ({short(r['min'])}–{short(r['max'])})",
        ]
        for pair, r in found["ratios"].items()
    ]
    said = " and ".join(f"{short(c['median'])} in {name}" for name, c in found["ceilings_gflops"].items())
    data = found["data"]
    return (
        f"# How fast training is on {data}\n\n`{found['command']}`, on {in_words(found['machine'])}.\n\n"
        f"Medians of {found['rounds']} turns of {found['seconds']:g} s each, least and most in brackets; all took "
        "turns in one process. A step is whole: batch, noise, forward, backward, optimiser, and averaged weights in "
        "`default`. "
        f"The ceiling is what multiplying large square matrices reaches in turn with them: {said} GFLOP/s. Peak memory "
        "is a fresh process's, with torch and the images in it (on a GPU: what torch allocated there).\n\n"
        f"![images a second](throughput-{data}.png)\n\n{table(heading, rows)}\n\n"
        "Images a second, the first over the second, round by round:\n\n"
        f"{table(['the first', 'the second', 'ratio'], compared)}\n"
    )


def _types(found: Mapping[str, Any]) -> list[str]:
    """The number types whose ceiling is worth a column: float32, and bf16 where it is no slower."""
    ceilings = found["ceilings_gflops"]
    return [name for name, ceiling in ceilings.items() if ceiling["median"] >= ceilings["float32"]["median"]]


def _row(one: Mapping[str, Any], types: Sequence[str]) -> list[str]:
    return [
        one["label"],
        str(one["batch"]),
        one["precision"],
        with_range(one["images_per_second"]),
        with_range(one["ms_per_step"]),
        short(one["mflop_per_image"]),
        short(one["gflops"]),
        *(f"{100 * one['share_of_ceiling'][name]:.0f} %" for name in types),
        f"{short(one['peak_mb'])} MB" if "peak_mb" in one else "–",
    ]


def plot(found: Mapping[str, Any]) -> Any:
    """Images a second: a point a contender, a line from the slowest turn to the fastest."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    contenders = list(found["contenders"].values())[::-1]
    figure = look.new_figure(7.2, 1.3 + 0.42 * len(contenders))
    axes = figure.add_subplot()
    for place, one in enumerate(contenders):
        speed = one["images_per_second"]
        axes.plot([speed["min"], speed["max"]], [place, place], color=look.COLOURS[0], linewidth=2.0, alpha=0.5)
        axes.plot([speed["median"]], [place], color=look.COLOURS[0], marker="o", markersize=7)
        words = {"xytext": (9, 0), "textcoords": "offset points", "va": "center", "fontsize": look.SMALL}
        axes.annotate(short(speed["median"]), (speed["max"], place), color=look.INK, **words)
    look.dress(axes, title=f"Training on {found['data']}", x_label="images a second", y_label="")
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.margins(x=0.12)
    axes.set_yticks(range(len(contenders)), [one["label"].replace("`", "") for one in contenders])
    return look.settled(figure)


def main() -> None:
    """Measure memory in processes of its own, then speed in turns, and write the three files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each turn")
    parser.add_argument("--only", default=",".join(CONTENDERS), help="some of them")
    parser.add_argument("--output_dir", type=Path, default=RESULTS)
    parser.add_argument("--memory", choices=CONTENDERS, help="print one contender's peak memory, nothing else")
    args = parser.parse_args()
    data, device, names = load(DataOptions(args.data)), choose_device(args.device).name, args.only.split(",")
    if args.memory:
        print(json.dumps(memory(args.memory, data, device)))
        return
    peaks = {name: _elsewhere(name, args.data, device) for name in names}
    found = {
        "command": f"python benchmarks/throughput.py --data {args.data}",
        "data": args.data,
        "machine": machine(device),
        "rounds": args.rounds,
        "seconds": args.seconds,
        **measure(names, data, device, args.rounds, args.seconds),
    }
    for name, peak in peaks.items():
        found["contenders"][name] |= peak
    stem = args.output_dir / f"throughput-{args.data}"
    keep(stem, found, page(found))
    write_bytes(stem.with_suffix(".png"), png_bytes(plot(found)))


if __name__ == "__main__":
    main()
