"""How fast does it train? The chapter's own loop, our engine with the same networks, and the default recipe.

    python benchmarks/throughput.py --data mnist
    python benchmarks/throughput.py --data digits        # built in, so it runs anywhere

All take turns, a few seconds each, so that what slows the machine slows all of them; each in a process of its own, so
that none finds the memory that another got from the system. Matrix multiplications and copies of large tensors take
turns too: their speeds are the machine's ceilings. The machine should do nothing else, and have memory for all of them.
Writes docs/results/throughput-<data>.json, .md and .png; on a GPU throughput-<data>-cuda.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from chapter_loop import BATCH, chapter_loop
from common import RESULTS, in_words, keep, machine, ratios, short, spread, table, with_range
from stepping import Step, Traffic, copying, engine, flops_per_image, matmul, peak_memory, stepper, timed
from turns import take_turns, waiting

from fromnoise.common.errors import FromNoiseError
from fromnoise.common.files import write_bytes
from fromnoise.data import DataOptions, load
from fromnoise.data.image_data import ArrayData
from fromnoise.figures import style as look
from fromnoise.figures.encode import png_bytes
from fromnoise.train.hardware import choose_device


@dataclass(frozen=True)
class Contender:
    """Something that trains. settings: those of our engine over the recipe's; None is the chapter's loop."""

    label: str
    recipe: str
    settings: Mapping[str, Any] | None = None


_AUTO, _LARGE = {"train.mixed_precision": "auto"}, {"train.train_batch_size": BATCH}
_COMPILED = {"train.compile": "yes"}
CONTENDERS = {
    "loop-basic": Contender("the chapter's loop, BasicUNet", "chapter-basic"),
    "engine-basic": Contender("our engine, `chapter-basic`", "chapter-basic", {}),
    "engine-basic-auto": Contender("our engine, BasicUNet, automatic precision", "chapter-basic", _AUTO),
    "loop-unet2d": Contender("the chapter's loop, UNet2DModel", "chapter-unet2d"),
    "engine-unet2d": Contender("our engine, `chapter-unet2d`", "chapter-unet2d", {}),
    "engine-unet2d-auto": Contender("our engine, UNet2DModel, automatic precision", "chapter-unet2d", _AUTO),
    "default": Contender("our engine, `default`", "default", {}),
    "default-tiny": Contender("our engine, `default-tiny`", "default-tiny", {}),
    "default-small": Contender("our engine, `default-small`", "default-small", {}),
    "default-large": Contender("our engine, `default-large`", "default-large", {}),
    "default-128": Contender("our engine, `default`, 128 a batch", "default", _LARGE),
    "default-compiled": Contender("our engine, `default`, compiled", "default", _COMPILED),
}
_GPU_ONLY, _CPU_ONLY = ("engine-unet2d-auto", "default-compiled"), ("default-128",)
RATIOS = (
    ("engine-basic", "loop-basic"),
    ("engine-basic-auto", "loop-basic"),
    ("engine-unet2d", "loop-unet2d"),
    ("engine-unet2d-auto", "loop-unet2d"),
    ("default", "loop-basic"),
    ("default", "loop-unet2d"),
    ("default-small", "loop-unet2d"),
    ("default-tiny", "loop-unet2d"),
    ("default-128", "loop-unet2d"),
    ("default-compiled", "default"),
)
TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
_WARM = {"cuda": 8}  # steps that are not timed: a GPU's are recorded in the first ones


def ready(name: str, data: ArrayData, device: str) -> tuple[Step, dict[str, Any]]:
    """(one step of the contender, what it is)."""
    contender = CONTENDERS[name]
    if contender.settings is None:
        net, steps = chapter_loop(data, contender.recipe, device)
        step, batch, precision = lambda: next(steps), BATCH, "float32"
    else:
        trainer = engine(data, contender.recipe, contender.settings, device)
        net, step, batch = trainer.net, stepper(trainer), trainer.options.train_batch_size
        precision = "float32" if trainer.denoiser.autocast is None else "bfloat16"
    parameters = sum(p.numel() for p in net.parameters())
    return step, {"label": contender.label, "batch": batch, "precision": precision, "parameters": parameters}


def wait_for_turns(name: str, data: ArrayData, device: str) -> None:
    """What the process of a contender does; its peak memory in MB is that after a few steps."""
    before = peak_memory(device)
    step, about = ready(name, data, device)
    for _ in range(_WARM.get(device, 3)):
        step()
    about |= {"peak_mb": peak_memory(device), "before_mb": before, **cost(name, data, device, step)}
    take_turns(about, lambda seconds: timed(step, seconds, device))


def measure(names: Sequence[str], source: str, device: str, rounds: int, seconds: float) -> dict[str, Any]:
    """Each contender's numbers and the ceilings, from `rounds` rounds in which each has its turn of `seconds`."""
    own = [sys.executable, __file__, "--data", source, "--device", device]
    tops = _ceilings(device)
    turns: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    reached: dict[str, list[float]] = {name: [] for name in tops}
    with waiting({name: [*own, "--wait", name] for name in names}) as contenders:
        for number in range(rounds):
            print(f"round {number + 1} of {rounds}", file=sys.stderr, flush=True)
            for name, contender in contenders.items():
                turns[name].append(contender(seconds))
            for name, (step, work) in tops.items():
                turn = timed(step, min(0.5, seconds), device)
                reached[name].append(turn["steps"] * work / turn["seconds"] / 1e9)
    about = {name: contender.about for name, contender in contenders.items()}
    ceilings = {name: spread(values) for name, values in reached.items()}
    return {
        "ceilings": ceilings,
        "contenders": {name: {**about[name], **_numbers(about[name], turns[name], ceilings)} for name in names},
        "ratios": {
            f"{above} / {below}": ratios(_speeds(turns[above]), _speeds(turns[below]))
            for above, below in RATIOS
            if above in turns and below in turns
        },
    }


def _ceilings(device: str) -> dict[str, tuple[Step, int]]:
    """What bounds any training: (a step, its operations or bytes) of large products and of large copies."""
    return {**{name: matmul(dtype, device) for name, dtype in TYPES.items()}, "copy": copying(device)}


def cost(name: str, data: ArrayData, device: str, step: Step) -> dict[str, float]:
    """Operations and bytes of one step, for each of its images: those that torch asks for one by one."""
    plain = step
    if device.startswith("cuda"):  # what was recorded or fused there cannot be counted, but its first steps can
        plain, _ = ready("default" if name == "default-compiled" else name, data, device)
    with Traffic() as traffic:
        mflop = flops_per_image(plain) / 1e6
    images = plain()
    return {"mflop_per_image": mflop, "mb_per_image": traffic.bytes / images / 1e6}


def _speeds(turns: Sequence[Mapping[str, float]]) -> list[float]:
    return [turn["images"] / turn["seconds"] for turn in turns]


def _numbers(
    about: Mapping[str, Any], turns: Sequence[Mapping[str, float]], ceilings: Mapping[str, Mapping[str, float]]
) -> dict[str, Any]:
    speed = spread(_speeds(turns))
    gflops = speed["median"] * about["mflop_per_image"] / 1e3
    reached = {**dict.fromkeys(TYPES, gflops), "copy": speed["median"] * about["mb_per_image"] / 1e3}
    return {
        "images_per_second": speed,
        "ms_per_step": spread([1e3 * turn["seconds"] / turn["steps"] for turn in turns]),
        "steps_timed": sum(int(turn["steps"]) for turn in turns),
        "gflops": gflops,
        "share_of_ceiling": {name: reached[name] / ceiling["median"] for name, ceiling in ceilings.items()},
    }


def page(found: Mapping[str, Any]) -> str:
    """The page in Markdown."""
    types = _types(found)
    heading = ["what trains", "batch", "computes in", "images/s", "ms per step", "MFLOP per image", "MB per image"]
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
    tops = {name: short(ceiling["median"]) for name, ceiling in found["ceilings"].items()}
    data = found["data"]
    return (
        f"# How fast training is on {data}\n\n`{found['command']}`, on {in_words(found['machine'])}.\n\n"
        f"Medians of {found['rounds']} turns of {found['seconds']:g} s each, least and most in brackets; all took "
        "turns, each in a process of its own. A step is whole: batch, noise, forward, backward, optimiser, averaged "
        "weights in `default`. "
        f"Ceilings are what large square matrices and large copies reach in turn with them: {tops['float32']} GFLOP/s "
        f"in float32, {tops['bfloat16']} in bfloat16, {tops['copy']} GB/s read and written. Bytes are counted as if "
        "every operation read and wrote memory: caches and fused kernels do with less, so that more than 100 % is "
        "possible. Peak memory is the process's, with torch and the images in it (on a GPU: what torch allocated "
        "there).\n\n"
        f"![images per second]({_stem(found)}.png)\n\n{table(heading, rows)}\n\n"
        "Images per second, the first over the second, round by round:\n\n"
        f"{table(['the first', 'the second', 'ratio'], compared)}\n"
    )


def _stem(found: Mapping[str, Any]) -> str:
    return f"throughput-{found['data']}" + ("" if found["machine"]["device"] == "cpu" else "-cuda")


def _types(found: Mapping[str, Any]) -> list[str]:
    """The ceilings that are worth a column: float32's, bf16's where it is no slower, and that of copies."""
    ceilings = found["ceilings"]
    slow = ceilings["bfloat16"]["median"] < ceilings["float32"]["median"]
    return [name for name in ceilings if name != "bfloat16" or not slow]


def _row(one: Mapping[str, Any], types: Sequence[str]) -> list[str]:
    return [
        one["label"],
        str(one["batch"]),
        one["precision"],
        with_range(one["images_per_second"]),
        with_range(one["ms_per_step"]),
        short(one["mflop_per_image"]),
        short(one["mb_per_image"]),
        *(f"{100 * one['share_of_ceiling'][name]:.0f} %" for name in types),
        f"{short(one['peak_mb'])} MB",
    ]


def plot(found: Mapping[str, Any]) -> Any:
    """Images per second: a point a contender, a line from the slowest turn to the fastest."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    contenders = list(found["contenders"].values())[::-1]
    figure = look.new_figure(7.2, 1.3 + 0.42 * len(contenders))
    axes = figure.add_subplot()
    for place, one in enumerate(contenders):
        speed = one["images_per_second"]
        axes.plot([speed["min"], speed["max"]], [place, place], color=look.COLOURS[0], linewidth=2.0, alpha=0.5)
        axes.plot([speed["median"]], [place], color=look.COLOURS[0], marker="o", markersize=7)
        words: dict[str, Any] = {
            "xytext": (9, 0),
            "textcoords": "offset points",
            "va": "center",
            "fontsize": look.SMALL,
        }
        axes.annotate(short(speed["median"]), (speed["max"], place), color=look.INK, **words)
    look.dress(axes, title=f"Training on {found['data']}", x_label="images per second", y_label="")
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.margins(x=0.12)
    axes.set_yticks(range(len(contenders)), [one["label"].replace("`", "") for one in contenders])
    return look.settled(figure)


def main() -> None:
    """Measure in turns and write the three files; or be one of the processes that take them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each turn")
    parser.add_argument("--only", help=f"some of {', '.join(CONTENDERS)}")
    parser.add_argument("--output_dir", type=Path, default=RESULTS)
    parser.add_argument(
        "--wait", choices=CONTENDERS, help="be that contender's process, which takes turns when told to"
    )
    args = parser.parse_args()
    device = choose_device(args.device).name
    if args.wait:
        wait_for_turns(args.wait, load(DataOptions(args.data)), device)
        return
    others = _CPU_ONLY if device == "cuda" else _GPU_ONLY
    names = args.only.split(",") if args.only else [name for name in CONTENDERS if name not in others]
    if args.rounds < 1:
        parser.error(f"--rounds is {args.rounds}, but a median needs at least one; give 5")
    if unknown := [name for name in names if name not in CONTENDERS]:
        parser.error(f"there is no contender {', '.join(unknown)}; choose of {', '.join(CONTENDERS)}")
    found = {
        "command": f"python benchmarks/throughput.py {shlex.join(sys.argv[1:])}".strip(),
        "data": args.data,
        "machine": machine(device),
        "rounds": args.rounds,
        "seconds": args.seconds,
        **measure(names, args.data, device, args.rounds, args.seconds),
    }
    stem = args.output_dir / _stem(found)
    keep(stem, found, page(found))
    write_bytes(stem.with_suffix(".png"), png_bytes(plot(found)))


if __name__ == "__main__":
    try:
        main()
    except FromNoiseError as error:
        sys.exit(str(error))
