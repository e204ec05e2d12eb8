"""Quality against cost: the same seeds sampled with many settings, each with its FD, NFE and seconds."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from fromnoise.common.errors import DataError, UsageError
from fromnoise.common.options import parse_value
from fromnoise.common.progress import report_progress
from fromnoise.common.seeds import generator
from fromnoise.data.image_data import ArrayData
from fromnoise.evaluation.limits import FEWEST, check_count, check_num
from fromnoise.evaluation.reference import Reference, build_reference
from fromnoise.evaluation.samples import draw_samples
from fromnoise.evaluation.scores import QuickScores, quick_scores, renamed
from fromnoise.evaluation.summary import format_number
from fromnoise.figures.curves import lines
from fromnoise.model.shares import by_turns, shared
from fromnoise.model.trained_model import TrainedModel
from fromnoise.settings import SampleSettings, Settings

SCHEMA = 2
NUM = 2000
FLOOR = "test images"
FAR = 20  # times the least distance, beyond which a logarithmic axis is needed to tell the others apart
WEIGHTS = "weights"  # the one axis that is not a sampling setting


@dataclass(frozen=True)
class SweepPoint:
    """Scores with one combination of settings. evaluations: NFE; seconds: for all samples."""

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
    """sweep.json: points of `count` samples each; floor: scores of `floor_count` test images, at most as many, or None.

    Of fewer images a Fréchet distance is larger, so that of the floor is beside the points' only at equal numbers.
    """

    count: int
    checkpoint: int
    points: tuple[SweepPoint, ...]
    floor: QuickScores | None
    floor_count: int = 0

    def to_json(self) -> dict[str, Any]:
        """The content of sweep.json."""
        return {"schema": SCHEMA, **asdict(self)}

    @staticmethod
    def from_json(content: Mapping[str, Any]) -> Sweep:
        """The inverse of `to_json`, also of schema 1; DataError for another schema or damage."""
        try:
            if content["schema"] not in (1, SCHEMA):
                raise ValueError(f"schema {content['schema']} is not {SCHEMA}")
            points = tuple(SweepPoint(**renamed(point)) for point in content["points"])
            floor = None if content["floor"] is None else QuickScores(**renamed(content["floor"]))
            known = content.get("floor_count", content["count"])  # older ones do not say
            swept = Sweep(content["count"], content["checkpoint"], points, floor, known)
            _ = f"{swept.count:,}", sweep_table(swept)  # what cannot be shown is damaged
        except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
            raise DataError(f"the sweep cannot be read ({error}); make it again") from error
        return swept


def parse_axes(words: Sequence[str]) -> dict[str, list[Any]]:
    """{"steps": [5, 10], "sampler": ["euler", "heun"]} from "steps=5,10" and "sampler=euler,heun".

    Raises UsageError for unknown settings and values.
    """
    axes: dict[str, list[Any]] = {}
    for word in words:
        name, equals, values = word.partition("=")
        if not equals or not values:
            raise UsageError(f"--sweep {word} names no values; write such as steps=5,10,20 sampler=euler,heun")
        if name in axes:
            raise UsageError(f"--sweep names {name} twice; write all its values once, such as {name}=A,B")
        given = [value.strip() for value in re.split(r",(?![^\[]*\])", values)]  # a comma in brackets is a value's own
        if name == "grid":  # times by hand, [1,0.5,0]: its brackets only keep them together here
            given = [value.removeprefix("[").removesuffix("]") for value in given]
        axes[name] = given if name == WEIGHTS else [parse_value(Settings, f"sample.{name}", value) for value in given]
    return axes


def sweep(
    models: Mapping[str, TrainedModel],
    axes: Mapping[str, Sequence[Any]],
    train: ArrayData,
    test: ArrayData | None,
    num: int = NUM,
    *,
    settings: SampleSettings | None = None,
    features: str = "auto",
    feature_weights: str | Path | None = None,
) -> Sweep:
    """Measure every combination of `axes` on the same `num` seeds.

    Arguments:
        models: the model by the name of its weights; the axis "weights", where there is one, chooses among them.
        axes: sampling setting -> values.
        train, test: as for `evaluate`; test images show what a perfect model would get.
        settings: sampling settings of all combinations, on top of the models' own.
        features, feature_weights: as in `EvaluationSpec`.

    Raises:
        UsageError: for a combination that cannot be, before any work.
    """
    check_num(num)
    check_count(len(train))
    plans = shared().each(lambda: _plans(models, axes, settings or {}))
    reference = by_turns(lambda: build_reference(train, features, feature_weights))
    points = []
    for number, (chosen, model) in enumerate(plans, start=1):
        report_progress(f"{number} of {len(plans)}: {', '.join(f'{key}={value}' for key, value in chosen.items())}")
        samples = draw_samples(model, num)
        scores = shared().first(lambda made=samples: quick_scores(made.images, made.labels, reference))  # type: ignore[misc]
        cost = samples.sampling
        points.append(SweepPoint(chosen, cost["evaluations"], cost["seconds"], **asdict(scores)))
    floor = shared().first(lambda: _floor(test, reference, num))
    return Sweep(num, plans[0][1].images, tuple(points), floor, 0 if floor is None else min(num, len(test or ())))


def _plans(
    models: Mapping[str, TrainedModel], axes: Mapping[str, Sequence[Any]], settings: SampleSettings
) -> list[tuple[dict[str, Any], TrainedModel]]:
    """Every combination of `axes`, and the model that samples so."""
    plans = []
    for values in itertools.product(*axes.values()):
        chosen = dict(zip(axes, values, strict=True))
        model = models[chosen[WEIGHTS]] if WEIGHTS in chosen else next(iter(models.values()))
        changes: Any = {name: value for name, value in {**settings, **chosen}.items() if name != WEIGHTS}
        plan = model.with_sampling(**changes)
        if chosen.get("steps", plan.sampling.steps) != plan.sampling.steps:
            raise UsageError(
                f"steps is {chosen['steps']}, but grid '{plan.sampling.grid}' has {plan.sampling.steps} steps of its "
                "own; leave steps out, or give a grid by name"
            )
        plans.append((chosen, plan))
    return plans


def _floor(test: ArrayData | None, reference: Reference, num: int) -> QuickScores | None:
    """The scores of test images in the samples' place; None without enough of them."""
    if test is None or len(test) < FEWEST:
        return None
    some = test.subset(torch.randperm(len(test), generator=generator(0, "some test images"))[:num])
    return quick_scores(some.images[:], some.labels, reference)


def sweep_figures(swept: Sweep) -> dict[str, Any]:
    """The Fréchet distance over NFE ("sweep") and over seconds ("sweep-seconds"), one line for each combination."""
    shown = {"sweep": ("evaluations", "network evaluations per image (NFE)")}
    shown["sweep-seconds"] = ("seconds", f"seconds for {swept.count:,} samples")
    return {name: _figure(swept, key, label) for name, (key, label) in shown.items()}


def _figure(swept: Sweep, key: str, label: str) -> Any:
    series: dict[str, list[tuple[float, float]]] = {}
    for point in swept.points:
        series.setdefault(point.name(), []).append((float(getattr(point, key)), point.frechet_distance))
    curves = {name: tuple(zip(*sorted(points), strict=True)) for name, points in series.items()}
    if swept.floor is not None and swept.floor_count == swept.count:
        places = [x for points in series.values() for x, _ in points]
        curves[FLOOR] = ((min(places), max(places)), (swept.floor.frechet_distance,) * 2)
    heights = [y for _, ys in curves.values() for y in ys]
    far = 0 < FAR * min(heights) < max(heights)
    return lines(curves, label, "Fréchet distance", "Quality against cost", log_x=True, log_y=far)


def sweep_table(swept: Sweep) -> list[list[str]]:
    """Rows of text, the first a heading, the last the test images."""
    names = list(swept.points[0].settings)
    body = [
        [
            *(str(point.settings[name]) for name in names),
            str(point.evaluations),
            f"{point.seconds:.1f}",
            *_score_cells(point),
        ]
        for point in swept.points
    ]
    if swept.floor is not None:
        body.append([_floor_name(swept), *[""] * (len(names) + 1), *_score_cells(swept.floor)])
    return [[*names, "NFE", "seconds", "Fréchet distance", "KID", "class accuracy"], *body]


def _floor_name(swept: Sweep) -> str:
    return FLOOR if swept.floor_count == swept.count else f"{swept.floor_count:,} {FLOOR}"


def _score_cells(scores: SweepPoint | QuickScores) -> list[str]:
    accuracy = "-" if scores.class_accuracy is None else f"{100 * scores.class_accuracy:.1f} %"
    kid = f"{format_number(scores.kid)} ± {format_number(scores.kid_stderr, 1)}"
    return [format_number(scores.frechet_distance), kid, accuracy]
