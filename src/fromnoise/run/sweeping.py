"""Quality against cost: the same seeds sampled in many ways, each with its distance, evaluations and seconds."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from fromnoise.build import check_sampling
from fromnoise.config import parse_value, replaced
from fromnoise.errors import UsageError
from fromnoise.figures.curves import lines
from fromnoise.figures.files import write_bytes
from fromnoise.figures.grid import save
from fromnoise.metrics.scores import quick
from fromnoise.run.evaluating import drawn, referred, say

if TYPE_CHECKING:
    from fromnoise.run import Run

NUM = 2000


@dataclass(frozen=True)
class Point:
    """One way of sampling and what came of it. seconds: for all pictures; evaluations: of the network, a picture."""

    settings: dict[str, Any]
    evaluations: int
    seconds: float
    frechet_distance: float
    kid: float
    kid_stderr: float
    label_agreement: float | None

    def name(self) -> str:
        """`sampler=heun, guidance_scale=2`: all but the number of steps."""
        return ", ".join(f"{key}={value}" for key, value in self.settings.items() if key != "steps") or "this run"


def parse_axes(words: Sequence[str]) -> dict[str, list[Any]]:
    """{"steps": [5, 10], "sampler": ["euler", "heun"]} from "steps=5,10" and "sampler=euler,heun"; UsageError else."""
    axes: dict[str, list[Any]] = {}
    for word in words:
        name, equals, values = word.partition("=")
        if not equals or not values:
            raise UsageError(f"--sweep {word} names no values; write such as steps=5,10,20 sampler=euler,heun")
        axes[name] = [parse_value(f"sample.{name}", value.strip()) for value in values.split(",")]
    return axes


def sweep(
    run: Run,
    axes: Mapping[str, Sequence[Any]],
    num: int,
    settings: Mapping[str, Any],
    features: str,
    at: str,
    weights: str,
) -> list[Point]:
    """Every combination of `axes` (sampling setting -> values), over `settings`, measured on the same `num` seeds.

    Writes sweep.json and figures/sweep.png. Raises UsageError for a combination that cannot be, before any work.
    """
    denoiser = run.denoiser(at, weights)
    plans = []
    for values in itertools.product(*axes.values()):
        chosen = dict(zip(axes, values, strict=True))
        changes = {f"sample.{name}": value for name, value in {**settings, **chosen}.items()}
        options = replaced(run.config, changes).sample
        check_sampling(options, denoiser.process, denoiser.spec)
        plans.append((chosen, options))
    reference = referred(run.data, features)
    points = []
    for number, (chosen, options) in enumerate(plans, start=1):
        say(f"{number} of {len(plans)}: {', '.join(f'{key}={value}' for key, value in chosen.items())}")
        made = drawn(run, denoiser, num, options)
        found = quick(made.images, made.labels, reference)
        points.append(Point(chosen, made.about["evaluations"], made.about["seconds"], **asdict(found)))
    checkpoint = int(run.checkpoint(at).name)
    content = {"schema": 1, "count": num, "checkpoint": checkpoint, "points": [asdict(point) for point in points]}
    write_bytes(run.folder.sweep, json.dumps(content, indent=1).encode())
    save(sweep_figure(points), run.folder.figures / "sweep.png")
    return points


def sweep_figure(points: Sequence[Point]) -> Any:
    """Frechet distance over evaluations of the network, one line for each way."""
    series: dict[str, list[tuple[int, float]]] = {}
    for point in points:
        series.setdefault(point.name(), []).append((point.evaluations, point.frechet_distance))
    drawn = {name: tuple(zip(*sorted(found), strict=True)) for name, found in series.items()}
    return lines(drawn, "network evaluations for a picture", "Frechet distance", "Quality against cost", log_x=True)


def sweep_table(points: Sequence[Point]) -> list[list[str]]:
    """Rows of text, the first a heading."""
    names = list(points[0].settings)
    body = [
        [
            *(str(point.settings[name]) for name in names),
            f"{point.evaluations}",
            f"{point.seconds:.1f}",
            f"{point.frechet_distance:.4g}",
            f"{1000 * point.kid:.3g} ± {1000 * point.kid_stderr:.1g}",
            "-" if point.label_agreement is None else f"{100 * point.label_agreement:.1f} %",
        ]
        for point in points
    ]
    return [[*names, "evaluations", "seconds", "Frechet distance", "KID x 1000", "taken for their class"], *body]
