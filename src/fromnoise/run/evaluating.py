"""How good a run's samples are: they are made, measured beside real images, and written down with the protocol."""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from fromnoise.build import check_sampling
from fromnoise.config import replaced
from fromnoise.data import cache_dir
from fromnoise.data.dataset import ArrayData
from fromnoise.denoiser import Denoiser
from fromnoise.errors import choose
from fromnoise.figures.files import write_bytes
from fromnoise.figures.grid import save
from fromnoise.figures.rows import rows
from fromnoise.metrics.copying import Copying
from fromnoise.metrics.evaluation import Evaluation
from fromnoise.metrics.features import Features, domain, pixels
from fromnoise.metrics.frechet import frechet_distance, load_statistics, save_statistics, statistics
from fromnoise.metrics.protocol import measure
from fromnoise.metrics.real import RealRows, real_rows
from fromnoise.metrics.scores import Reference, Scores, score
from fromnoise.run.sampling import labels_for, make
from fromnoise.samplers.options import SampleOptions

if TYPE_CHECKING:
    from fromnoise.run import Run

NUM = 10_000
CLOSEST = 16


@dataclass(frozen=True)
class Pictures:
    """Pictures to measure: uint8 (N, C, H, W), their labels (N,) or None, and how they were made, for the protocol."""

    images: Tensor
    labels: Tensor | None
    about: Mapping[str, Any]


@dataclass(frozen=True)
class How:
    """How to measure. features: auto (domain), domain, pixels or inception; weights: a file for the last.

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
    options = replaced(run.config, {f"sample.{name}": value for name, value in settings.items()}).sample
    denoiser = run.denoiser(at, weights)
    check_sampling(options, denoiser.process, denoiser.spec)
    reference, real = prepared(run.data, run.held_out, num, how)
    made = drawn(run, denoiser, num, options)
    whose = {"checkpoint": int(run.checkpoint(at).name), "weights": weights}
    made = replace(made, about={**whose, **made.about})
    evaluation, closest = measured(made, reference, real, run.held_out, how)
    if deep:
        from fromnoise.run.deeper import deeper

        evaluation = replace(evaluation, deep=deeper(run, denoiser, made))
    write_bytes(run.folder.evaluation, json.dumps(evaluation.to_json(), indent=1).encode())
    save(closest, run.folder.figures / "closest.png")
    return evaluation


def prepared(train: ArrayData, test: ArrayData | None, num: int, how: How) -> tuple[Reference, RealRows]:
    """The space to measure in and the rows of real images, from the cache where they were worked out before."""
    if how.statistics is not None:
        load_statistics(how.statistics)  # a bad file is said before the work, not after it
    reference = referred(train, how.features, how.weights)
    if how.save_statistics is not None:
        save_statistics(how.save_statistics, reference.statistics)
    say(f"reference rows: real images measured as if they were {num:,} samples ...")
    return reference, real_rows(reference, test, num, cache_dir() / "references")


def referred(train: ArrayData, features: str, weights: str | Path | None = None) -> Reference:
    """The real images in the space that `features` names; UsageError for an unknown name."""

    @cache
    def own() -> Features:
        say(f"features: a classifier of {train.name}, trained once for these images and kept ...")
        return domain(train, cache_dir() / "classifiers")

    def inception() -> Features:
        from fromnoise.metrics import inception  # what it needs is not installed everywhere

        return inception.inception(weights)

    makers: dict[str, Callable[[], Features]]
    makers = {"auto": own, "domain": own, "pixels": lambda: pixels(train), "inception": inception}
    space = choose("features", features, makers)()
    return Reference(train, space, pixels(train), own().judge)


def say(words: str) -> None:
    """A line on the terminal for those who wait."""
    print(words, file=sys.stderr, flush=True)


def drawn(run: Run, denoiser: Denoiser, num: int, options: SampleOptions) -> Pictures:
    """Samples from seeds 0 to num - 1 with the training set's label frequencies, and how they were made."""
    labels = labels_for(range(num), run.label_counts) if run.spec.classes else None
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
    about = {
        "sampler": options.sampler,
        "steps": options.steps,
        "grid": options.grid,
        "guidance_scale": options.guidance_scale,
        "evaluations": evaluations,
        "seeds": [0, num - 1],
        "labels": None if labels is None else "drawn with the training frequencies",
        "precision": run.precision.dtype_name,
        "seconds": round(time.perf_counter() - began, 2),
    }
    return Pictures(torch.cat(pieces), labels, about)


def measured(
    made: Pictures,
    reference: Reference,
    real: RealRows,
    test: ArrayData | None,
    how: How,
    notes: Sequence[str] = (),
) -> tuple[Evaluation, Any]:
    """(the Evaluation of `made`, a figure of the 16 samples closest to training images above these)."""
    say(f"measuring {len(made.images):,} pictures ...")
    scores, found = score(made.images, made.labels, reference, real.usual)
    ratio = None
    if (row := real.rows["test"]) is not None:
        equally_many = statistics(reference.features.of(made.images[: row.count]))
        ratio = frechet_distance(equally_many, reference.statistics) / row.frechet_distance
    evaluation = Evaluation(
        scores,
        real.rows,
        ratio,
        {"measure": measure(scores.count, reference.data, test, reference.features), "sampling": made.about},
        statistics=_against_statistics(made.images, reference, how.statistics) if how.statistics else None,
        notes=(*notes, *_remarks(scores, reference, test)),
    )
    return evaluation, closest(made.images, found, reference.data)


def _against_statistics(images: Tensor, reference: Reference, path: str | Path) -> dict[str, Any]:
    """The Frechet distance to the statistics in a file, and which file that is."""
    theirs = load_statistics(path)
    distance = frechet_distance(statistics(reference.features.of(images)), theirs)
    digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]
    return {"file": Path(path).name, "sha256": digest, "count": theirs.count, "frechet_distance": distance}


def _remarks(scores: Scores, reference: Reference, test: ArrayData | None) -> list[str]:
    """Sentences that a reader of the figures must know."""
    notes, dim = [], reference.features.dim
    if scores.count <= dim:
        notes.append(
            f"{scores.count:,} pictures are no more than the {dim} dimensions of the features, so the Frechet distance "
            "is mostly bias; go by KID, or give a larger --num"
        )
    if test is None:
        notes.append("there are no test images and none were held out, so there is no test row and no ratio to it")
    elif test.notes:
        notes += [note for note in test.notes if "held out" in note]
    classes = reference.data.spec.classes
    missing = [name for name, share in zip(classes, scores.classes) if share == 0]
    if missing and scores.count >= 20 * len(classes):
        notes.append(
            f"no picture is taken for {', '.join(missing)}: {len(missing)} of {len(classes)} classes are missing"
        )
    return notes


def closest(images: Tensor, found: Copying, train: ArrayData) -> Any:
    """The 16 pictures nearest to a training image, above these, with their distances."""
    order = found.distances.argsort()[:CLOSEST]
    twins, _ = train.fetch(found.indices[order])
    captions = [f"{distance:.1f}" for distance in found.distances[order].tolist()]
    halves = []
    for begin in range(0, len(order), CLOSEST // 2):
        part = slice(begin, begin + CLOSEST // 2)
        halves.append((images[order[part]], twins[part], captions[part]))
    titled = []
    for pictures, real, numbers in halves:
        titled.append((f"samples, {numbers[0]} to {numbers[-1]} grey levels from", _channels_last(pictures)))
        titled.append(("their nearest training images", _channels_last(real)))
    return rows(titled)


def _channels_last(images: Tensor) -> Any:
    return np.ascontiguousarray(images.permute(0, 2, 3, 1).cpu().numpy())
