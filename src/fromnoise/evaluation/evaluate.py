"""How good a run's samples are: they are made, measured beside real images, and written down with the protocol."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from fromnoise.common.errors import DataError, UsageError, choose
from fromnoise.common.files import write_bytes
from fromnoise.common.options import replaced
from fromnoise.data import cache_dir
from fromnoise.data.image_data import ArrayData
from fromnoise.diffusion.denoiser import Denoiser
from fromnoise.evaluation.evaluation import Evaluation
from fromnoise.evaluation.measure import Foreign, Pictures, at_least, measured
from fromnoise.evaluation.reference_rows import RealRows, real_rows
from fromnoise.evaluation.scores import Reference
from fromnoise.figures.grid import save
from fromnoise.metrics.checks import alike
from fromnoise.metrics.features import Features, domain, pixels
from fromnoise.metrics.frechet import load_statistics, save_statistics
from fromnoise.model.build import check_sampling
from fromnoise.model.labels import draw_labels
from fromnoise.model.legacy import make
from fromnoise.settings import SampleOptions

if TYPE_CHECKING:
    from fromnoise.run import Run

NUM = 10_000
FOREIGN = ("inception", "dinov2")  # features of networks that somebody else trained
FEWEST = 10  # pictures, below which nothing is measured


@dataclass(frozen=True)
class How:
    """How to measure. features: auto (domain), domain, pixels, inception or dinov2; weights: for the last two.

    statistics: also measure the distance to those of this file. save_statistics: keep the real images' in this one.
    """

    features: str = "auto"
    weights: str | Path | None = None
    statistics: str | Path | None = None
    save_statistics: str | Path | None = None


def evaluate(
    run: Run, num: int, settings: Mapping[str, Any], how: How, deep: bool, at: str, weights: str
) -> Evaluation:
    """Measure `num` samples of `run`; writes evaluation.json and figures/closest.png. See `Run.evaluate`."""
    if num < FEWEST:
        raise UsageError(f"--num is {num}, but at least {FEWEST} pictures are needed to measure; give a larger number")
    options = replaced(run.settings, {f"sample.{name}": value for name, value in settings.items()}).sample
    with run.folder.locked("evaluate"):
        denoiser = run.denoiser(at, weights)
        check_sampling(options, denoiser.process, denoiser.spec)
        reference, real, foreign = prepared(run.data, run.held_out, num, how)
        made = drawn(run, denoiser, num, options)
        whose = {"checkpoint": int(run.checkpoint(at).name), "weights": weights}
        made = replace(made, about={**whose, **made.about})
        say(f"measuring {num:,} pictures ...")
        evaluation, closest = measured(made, reference, real, run.held_out, foreign)
        _keep(run, evaluation, closest)
        if deep:
            from fromnoise.evaluation.extended import deeper

            evaluation = replace(evaluation, deep=deeper(run, denoiser, made))
            _keep(run, evaluation, closest)
    return evaluation


def _keep(run: Run, evaluation: Evaluation, closest: Any) -> None:
    write_bytes(run.folder.evaluation, json.dumps(evaluation.to_json(), indent=1).encode())
    save(closest, run.folder.figures / "closest.png")


def prepared(
    train: ArrayData, test: ArrayData | None, num: int, how: How
) -> tuple[Reference, RealRows, Foreign | None]:
    """The space to measure in, the rows of real images (from the cache, if they are there), and foreign statistics.

    Raises DataError for too few training images and for statistics of another space, before any work.
    """
    at_least(len(train), "training images", FEWEST, "give more of them")
    if how.weights is not None and how.features not in FOREIGN:
        raise UsageError(f"weights were given for features '{how.features}'; they go with {' or '.join(FOREIGN)}")
    foreign = None if how.statistics is None else Foreign(Path(how.statistics), *load_statistics(how.statistics))
    reference = referred(train, how.features, how.weights)
    space = f"{reference.features.name} {reference.features.weight_hash}"
    if foreign is not None:
        alike(len(foreign.statistics.mu), reference.features.dim)
        if foreign.space and foreign.space != space:
            raise DataError(
                f"{foreign.path} holds statistics of the features {foreign.space}, but these are {space}; give those "
                "of the same features"
            )
    if how.save_statistics is not None:
        save_statistics(how.save_statistics, reference.statistics, space)
    say(f"reference rows: real images measured as if they were {num:,} samples ...")
    return reference, real_rows(reference, test, num, cache_dir() / "references"), foreign


def referred(train: ArrayData, features: str, weights: str | Path | None = None) -> Reference:
    """The real images in the space that `features` names; UsageError for an unknown name."""

    @cache
    def own() -> Features:
        say(f"features: a classifier of {train.name}, trained once for these images and kept ...")
        return domain(train, cache_dir() / "classifiers")

    def inception() -> Features:
        from fromnoise.metrics import inception  # what it needs is not installed everywhere

        return inception.inception(weights)

    def dinov2() -> Features:
        from fromnoise.metrics import dinov2

        return dinov2.dinov2(weights)

    makers: dict[str, Callable[[], Features]]
    makers = {"auto": own, "domain": own, "pixels": lambda: pixels(train)}
    makers |= {"inception": inception, "dinov2": dinov2}
    space = choose("features", features, makers)()
    return Reference(train, space, pixels(train), own().classifier)


def say(words: str) -> None:
    """A line on the terminal for those who wait."""
    print(words, file=sys.stderr, flush=True)


def drawn(run: Run, denoiser: Denoiser, num: int, options: SampleOptions) -> Pictures:
    """Samples from seeds 0 to num - 1 with the training set's label frequencies, and how they were made."""
    labels = draw_labels(range(num), run.label_counts) if run.spec.classes else None
    began, pieces, evaluations, done = time.perf_counter(), [], 0, 0
    said = began
    while done < num:
        window = slice(done, min(num, done + options.batch_size))
        made = make(run, denoiser, range(num)[window], None if labels is None else labels[window], options)
        pieces.append(torch.from_numpy(made.images).permute(0, 3, 1, 2).contiguous())
        evaluations, done, now = made.evaluations, window.stop, time.perf_counter()
        if done < num and (len(pieces) == 1 or now - said > 10):
            said, left = now, (now - began) / done * (num - done)
            say(f"sampling: {done:,} of {num:,} pictures, {evaluations} evaluations each, about {left:.0f} s left")
    chosen = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(options).items()}
    del chosen["batch_size"]  # it changes nothing
    about = {
        **chosen,
        "evaluations": evaluations,
        "seeds": [0, num - 1],
        "labels": None if labels is None else "drawn with the training frequencies",
        "device": run.device,
        "precision": run.precision.dtype_name,
        "seconds": round(time.perf_counter() - began, 2),
    }
    return Pictures(torch.cat(pieces), labels, about)
