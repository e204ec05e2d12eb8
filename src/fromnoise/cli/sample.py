"""Sample from a trained run: a PNG grid, an animation of the steps, an .npz, or one PNG per sample."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from fromnoise.cli.conditions import add_condition_flag, parse_conditions
from fromnoise.cli.flags import add_model_flags, model_arguments, parse_seeds, positive
from fromnoise.cli.parser import Parser
from fromnoise.cli.together import add_processes_flag, shared_work
from fromnoise.common.errors import UsageError
from fromnoise.common.outputs import FILM_KINDS, SAMPLE_KINDS, output_kind
from fromnoise.common.text import file_part

if TYPE_CHECKING:
    from fromnoise.model.film import Film
    from fromnoise.model.samples import Samples

_FILMED, _COLUMNS, _FRAMES = 8, 9, 25  # seeds of a film; its values side by side, and in a .gif


def add_arguments(parser: Parser) -> None:
    """RUN, --list, which samples, how to sample, and --out."""
    parser.add_argument("run_folder", metavar="RUN", nargs="?", help="a folder that `fromnoise train` made")
    parser.flag("list", action="store_true", help="only list the samplers: order, NFE, noise, paper")
    parser.flag("num", type=int, metavar="N", help="number of samples: seeds 0 to N-1 (default: 64)")
    parser.flag("seeds", metavar="RANGE", help="seeds of the samples, such as 0-63 (both ends) or 1,5,8-10")
    parser.flag("label", "class", dest="label", metavar="CLASS", help="samples of this class only, by its name")
    add_condition_flag(parser, ", or NAME=A:B for a film from A to B with the same seeds")
    parser.flag("frames", type=int, metavar="N", help="values in a film, both ends included (default: 9; .gif: 25)")
    parser.flag("out", metavar="PATH", help=".png: a grid; .gif: the steps; .npz: arrays; else a folder of PNGs")
    add_model_flags(parser)
    add_processes_flag(parser)


def run(args: argparse.Namespace) -> None:
    """Sample, and print where the samples were written."""
    if args.list:
        _list()
        return
    if args.run_folder is None:
        raise UsageError("no RUN was given; name a folder that `fromnoise train` made, or use --list")
    if args.num is not None and args.seeds is not None:
        raise UsageError("--num and --seeds were both given; use one of them")
    values, films = parse_conditions(args.condition)
    if args.frames is not None and not films:
        raise UsageError("--frames is for a film; add --condition NAME=A:B, or leave it out")
    number = args.num if args.num is not None else _FILMED if films else 64
    seeds = parse_seeds(args.seeds) if args.seeds else list(range(positive("num", number)))
    arguments = {**model_arguments(args), "label": args.label, "conditions": values}
    kind = output_kind(args.out, FILM_KINDS if films else SAMPLE_KINDS, "samples") if args.out else ".png"
    if films and not kind:
        raise UsageError(f"a film cannot be written as a folder ({args.out}); give a {', '.join(FILM_KINDS)}")

    with shared_work(args) as group:
        from fromnoise.run import Run

        trained = group.each(lambda: Run(args.run_folder, device=args.device))
        out = args.out or trained.folder.samples / _name(seeds, args.label, args.condition)
        made: Samples | Film
        if films:
            name, ends = next(iter(films.items()))
            usual = _FRAMES if kind == ".gif" else _COLUMNS
            frames = positive("frames", usual if args.frames is None else args.frames)
            made = trained.film(name, *ends, frames, seeds=seeds, **arguments)
        else:
            made = trained.sample(seeds=seeds, keep_steps=kind == ".gif", **arguments)
        group.each(lambda: print(made.save(out)) if group.rank == 0 else None)


def _name(seeds: list[int], label: str | None, conditions: list[str] | None) -> str:
    """samples-0-63.png, or samples-0-63-label3.png, or samples-0-7-slant=0.3.png."""
    span = f"{seeds[0]}-{seeds[-1]}" if len(seeds) > 1 else str(seeds[0])
    plain = file_part(label or "")  # a class such as T-shirt/top is not a folder
    asked = "".join(f"-{file_part(text.replace(':', ' to '))}" for text in conditions or ())
    return f"samples-{span}{f'-label{plain}' if label is not None else ''}{asked}.png"


def _list() -> None:
    """One line per sampler: the order it attains on each process, NFE per step, whether it adds noise, the paper."""
    from fromnoise.diffusion.samplers.registry import LESS_ON_PEAKS, ORDERS, SAMPLERS, STATED_ON

    print(f"{'':16}order attained on{'':{10 * len(STATED_ON) - 17}}  NFE per  adds")
    print(f"{'sampler':16}{''.join(f'{name:10}' for name in STATED_ON)}  step     noise   paper")
    for name, sampler in SAMPLERS.items():
        stated = ORDERS.get(name, (None,) * len(STATED_ON))
        orders = "".join(f"{'-' if order is None else f'{order:.1f}':10}" for order in stated)
        noise = "biased" if sampler.biased else "yes" if sampler.stochastic else "no"
        print(f"{name:16}{orders}  {sampler.evaluations:<7}  {noise:6}  {sampler.paper}")
    print("Orders are measured from 40 to 160 steps on normally distributed images, N(0.4, 0.5^2), each process with")
    print(f"its recommended grid (auto); where images are three narrow peaks, up to {LESS_ON_PEAKS:g} less, some more.")
    print("Stochastic samplers have none. vp has process.betas linear, vp_scaled scaled_linear, vp_cosine")
    print(
        "squaredcos_cap_v2. NFE: network evaluations per image; guidance takes a second evaluation at each guided step."
    )
    print("mix is ddim under the chapter's name, and euler_ancestral is ddpm.")
