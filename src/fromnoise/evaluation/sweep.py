"""Quality against cost: the same seeds sampled in many ways, each with its distance, evaluations and seconds."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch

from fromnoise.common.errors import DataError, UsageError
from fromnoise.common.files import write_bytes
from fromnoise.common.options import parse_value, replaced
from fromnoise.common.seeds import generator
from fromnoise.evaluation.evaluate import FEWEST, drawn, referred, say
from fromnoise.evaluation.evaluation import plain
from fromnoise.evaluation.scores import Quick, Reference, quick
from fromnoise.figures.curves import lines
from fromnoise.figures.grid import save
from fromnoise.model.build import check_sampling
from fromnoise.settings import Settings

if TYPE_CHECKING:
    from fromnoise.run import Run

SCHEMA = 1
NUM = 2000
FLOOR = "test images"
FAR = 20  # times the least distance, beyond which a logarithmic axis is needed to tell the others apart
WEIGHTS = "weights"  # the one axis that is no sampling setting


@dataclass(frozen=True)
class Point:
    """One way of sampling and what came of it. seconds: for all pictures; evaluations: of the network, a picture."""

    settings: dict[str, Any]
    evaluations: int
    seconds: float
    frechet_distance: float
    kid: float
    kid_stderr: float
    class_accuracy: float | None

    def name(self) -> str:
        """`sampler=heun, guidance_scale=2`: all but the number of steps."""
        return ", ".join(f"{key}={value}" for key, value in self.settings.items() if key != "steps") or "this run"


@dataclass(frozen=True)
class Sweep:
    """sweep.json: points of `count` pictures each, and the same measures of up to as many test images, or None."""

    count: int
    checkpoint: int
    points: tuple[Point, ...]
    floor: Quick | None

    def to_json(self) -> dict[str, Any]:
        """The content of sweep.json."""
        return {"schema": SCHEMA, **asdict(self)}

    @staticmethod
    def from_json(content: Mapping[str, Any]) -> Sweep:
        """The Sweep that `to_json` described; DataError for another schema or damage."""
        try:
            if content["schema"] != SCHEMA:
                raise ValueError(f"schema {content['schema']} is not {SCHEMA}")
            points = tuple(Point(**point) for point in content["points"])
            floor = None if content["floor"] is None else Quick(**content["floor"])
            sweep_table(found := Sweep(content["count"], content["checkpoint"], points, floor))
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            raise DataError(f"the sweep cannot be read ({error}); make it again") from error
        return found


def parse_axes(words: Sequence[str]) -> dict[str, list[Any]]:
    """{"steps": [5, 10], "sampler": ["euler", "heun"]} from "steps=5,10" and "sampler=euler,heun"; UsageError else."""
    axes: dict[str, list[Any]] = {}
    for word in words:
        name, equals, values = word.partition("=")
        if not equals or not values:
            raise UsageError(f"--sweep {word} names no values; write such as steps=5,10,20 sampler=euler,heun")
        if name in axes:
            raise UsageError(f"--sweep names {name} twice; write all its values once, such as {name}=A,B")
        given = [value.strip() for value in re.split(r",(?![^\[]*\])", values)]  # a comma in brackets is a value's own
        axes[name] = given if name == WEIGHTS else [parse_value(Settings, f"sample.{name}", value) for value in given]
    return axes


def sweep(
    run: Run,
    axes: Mapping[str, Sequence[Any]],
    num: int,
    settings: Mapping[str, Any],
    features: str,
    at: str,
    weights: str,
) -> Sweep:
    """Every combination of `axes` (sampling setting -> values), over `settings`, measured on the same `num` seeds.

    The axis "weights" sweeps what `weights` is for `Run.denoiser`, such as ["ema:0.05", "ema:0.15"].

    Writes sweep.json, figures/sweep.png and sweep-seconds.png. Raises UsageError for a combination that cannot be,
    before any work.
    """
    if num < FEWEST:
        raise UsageError(f"--num is {num}, but at least {FEWEST} pictures are needed to measure; give a larger number")
    denoisers = {name: run.denoiser(at, name) for name in axes.get(WEIGHTS, (weights,))}
    plans = []
    for values in itertools.product(*axes.values()):
        chosen = dict(zip(axes, values, strict=True))
        changes = {f"sample.{name}": value for name, value in {**settings, **chosen}.items() if name != WEIGHTS}
        options, denoiser = replaced(run.settings, changes).sample, denoisers[chosen.get(WEIGHTS, weights)]
        check_sampling(options, denoiser.process, denoiser.spec)
        plans.append((chosen, options, denoiser))
    with run.folder.locked("sweep"):
        reference = referred(run.data, features)
        points = []
        for number, (chosen, options, denoiser) in enumerate(plans, start=1):
            say(f"{number} of {len(plans)}: {', '.join(f'{key}={value}' for key, value in chosen.items())}")
            made = drawn(run, denoiser, num, options)
            found = quick(made.images, made.labels, reference)
            points.append(Point(chosen, made.about["evaluations"], made.about["seconds"], **asdict(found)))
        swept = Sweep(num, int(run.checkpoint(at).name), tuple(points), _floor(run, reference, num))
        write_bytes(run.folder.sweep, json.dumps(swept.to_json(), indent=1).encode())
        for name, figure in _figures(swept).items():
            save(figure, run.folder.figures / f"{name}.png")
    return swept


def _floor(run: Run, reference: Reference, num: int) -> Quick | None:
    """What test images would get in the samples' place; None without enough of them."""
    test = run.held_out
    if test is None or len(test) < FEWEST:
        return None
    images, labels = test.fetch(torch.randperm(len(test), generator=generator(0, "some test images"))[:num])
    return quick(images, labels, reference)


def _figures(swept: Sweep) -> dict[str, Any]:
    """Frechet distance over evaluations of the network and over seconds, one line for each way."""
    shown = {"sweep": ("evaluations", "network evaluations for a picture")}
    shown["sweep-seconds"] = ("seconds", f"seconds for {swept.count:,} pictures")
    figures = {}
    for name, (key, label) in shown.items():
        series: dict[str, list[tuple[float, float]]] = {}
        for point in swept.points:
            series.setdefault(point.name(), []).append((float(getattr(point, key)), point.frechet_distance))
        drawn = {way: tuple(zip(*sorted(found), strict=True)) for way, found in series.items()}
        if swept.floor is not None:
            ends = (
                [min(x for x, _ in found) for found in series.values()],
                [max(x for x, _ in f) for f in series.values()],
            )
            drawn[FLOOR] = ((min(ends[0]), max(ends[1])), (swept.floor.frechet_distance,) * 2)
        heights = [y for _, found in drawn.values() for y in found]
        far = 0 < FAR * min(heights) < max(heights)
        figures[name] = lines(drawn, label, "Frechet distance", "Quality against cost", log_x=True, log_y=far)
    return figures


def sweep_table(swept: Sweep) -> list[list[str]]:
    """Rows of text, the first a heading, the last the test images."""
    names = list(swept.points[0].settings)
    body = [
        [*(str(point.settings[name]) for name in names), str(point.evaluations), f"{point.seconds:.1f}", *_said(point)]
        for point in swept.points
    ]
    if swept.floor is not None:
        body.append([FLOOR, *[""] * (len(names) + 1), *_said(swept.floor)])
    return [[*names, "evaluations", "seconds", "Frechet distance", "KID", "taken for their class"], *body]


def _said(found: Point | Quick) -> list[str]:
    agreement = "-" if found.class_accuracy is None else f"{100 * found.class_accuracy:.1f} %"
    kid = f"{plain(found.kid)} ± {plain(found.kid_stderr, 1)}"
    return [plain(found.frechet_distance), kid, agreement]
