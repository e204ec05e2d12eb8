"""Seeing a run: corruption, curves, one-step guesses, trajectory, samples and their nearest training images."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from fromnoise.common.errors import DataError
from fromnoise.common.files import write_bytes
from fromnoise.diffusion.denoiser import Denoiser
from fromnoise.diffusion.samplers import start_noise
from fromnoise.figures.grid import grid, save
from fromnoise.figures.image_rows import rows
from fromnoise.metrics.nearest_neighbours import nearest
from fromnoise.model.labels import draw_labels
from fromnoise.model.legacy import make, walk
from fromnoise.model.samples import Samples, to_arrays
from fromnoise.report.judging import judged
from fromnoise.report.run_report import FIGURES, report
from fromnoise.report.training_curves import curves

if TYPE_CHECKING:
    from fromnoise.run import Run

ACROSS = 8  # pictures a row
SAMPLES = 64
NOISE_LEVELS = (0.1, 0.25, 0.5, 0.75, 0.9, 1.0)  # shares of t_max
STOPS = 8  # columns of the trajectory


@dataclass(frozen=True)
class Look:
    """What was drawn: figures by name, the samples among them, and why some figures are missing (or "")."""

    figures: dict[str, Any]
    samples: Samples
    missing: str = ""


def show(run: Run, with_judge: bool = True) -> Path:
    """Draw every figure into figures/, write report.html, and return its path.

    with_judge: also train a classifier on the labelled training images (once; it is kept) and say what share of
    samples it takes for the class they were made for.
    """
    look = draw(run)
    for name in FIGURES:
        place = run.folder.figures / f"{name}.png"
        if name in look.figures:
            save(look.figures[name], place)
        else:
            place.unlink(missing_ok=True)  # of an earlier look, when the data was there
    verdict = None if look.missing or not with_judge else judged(run)
    about = {"missing": look.missing, "verdict": verdict.words() if verdict else ""}
    write_bytes(run.folder.figures / "show.json", json.dumps(about, indent=1).encode())
    return report(run)


def draw(run: Run) -> Look:
    """The figures of `run`; those that need the training images are left out when these are gone."""
    denoiser = run.denoiser()
    samples = make(run, denoiser, list(range(SAMPLES)), _labels(run), run.settings.sample)
    figures: dict[str, Any] = {"samples": grid(samples.images, columns=ACROSS)}
    figures |= curves(run.folder.read_metrics())
    figures["trajectory"] = _trajectory(run, denoiser)
    try:
        images, labels = run.data.fetch(_spread(len(run.data)))
    except DataError as error:
        return Look(figures, samples, str(error))
    figures["corruption"] = _corruption(denoiser, images)
    figures["guesses"] = _guesses(run, denoiser, images, labels)
    figures["nearest"] = _nearest(run, samples)
    return Look(figures, samples)


def _labels(run: Run) -> Tensor | None:
    """Labels for the grid of samples: one class after the other, so that rows and columns can be read."""
    classes = len(run.spec.classes)
    if not classes:
        return None
    if classes > SAMPLES:
        return draw_labels(range(SAMPLES), run.label_counts)
    return torch.arange(SAMPLES) * classes // SAMPLES


def _spread(count: int) -> Tensor:
    """Eight places spread over the data, so that a data set sorted by class shows several."""
    return torch.linspace(0, count - 1, ACROSS).long()


def _corruption(denoiser: Denoiser, images: Tensor) -> Any:
    """Eight training images, and the same with noise growing from none to all."""
    process, spec = denoiser.process, denoiser.spec
    x0 = spec.encode(images)
    t = torch.linspace(0, process.t_max, ACROSS, dtype=torch.float64)
    noisy = process.corrupt(x0, start_noise(process, spec.shape, range(ACROSS)), t)
    clean, corrupted = to_arrays(spec, x0), to_arrays(spec, noisy)
    return rows([("Input data", clean), ("Corrupted data (-- amount increases -->)", corrupted)])


def add_guesses(run: Run, at: str, weights: str) -> None:
    """Draw figures/guesses.png where `show` has not drawn it yet. at, weights: as for `Run.sample`."""
    place = run.folder.figures / "guesses.png"
    if not place.is_file():
        images, labels = run.data.fetch(_spread(len(run.data)))
        save(_guesses(run, run.denoiser(at, weights), images, labels), place)


@torch.no_grad()
def _guesses(run: Run, denoiser: Denoiser, images: Tensor, labels: Tensor | None) -> Any:
    """What the network makes, in one step, of the same images at several noise levels."""
    process, spec = denoiser.process, denoiser.spec
    x0, eps = spec.encode(images), start_noise(process, spec.shape, range(ACROSS))
    titled = [("clean image", to_arrays(spec, x0))]
    for share in NOISE_LEVELS:
        t = torch.full((ACROSS,), max(process.t_min, share * process.t_max), dtype=torch.float64)
        noisy = process.corrupt(x0, eps, t)
        estimate = denoiser(noisy.to(run.device), t, None if labels is None else labels.to(run.device))
        titled += [(f"t = {t[0]:g}, noisy", to_arrays(spec, noisy)), ("one-step guess", to_arrays(spec, estimate.x0))]
    return rows(titled, beside=True)


def _trajectory(run: Run, denoiser: Denoiser) -> Any:
    """A few samples on their way: x at each stop, and the guess at the clean image made there."""
    seeds = list(range(3))
    labels = draw_labels(seeds, run.label_counts) if run.spec.classes else None
    walked = list(walk(run, denoiser, seeds, labels, run.settings.sample))
    stops = sorted({round(i) for i in np.linspace(0, len(walked) - 1, min(STOPS, len(walked)))})
    spec, titled = denoiser.spec, []
    for row, seed in enumerate(seeds):
        titled.append((f"seed {seed}: x", _column(spec, [walked[i].x[row] for i in stops])))
        titled.append(("its guess at x0", _column(spec, [walked[i].estimate.x0[row] for i in stops])))
    return rows(titled, [f"step {i + 1}" for i in stops], beside=True)


def _column(spec: Any, pictures: Sequence[Tensor]) -> Any:
    return to_arrays(spec, torch.stack(list(pictures)))


def _nearest(run: Run, samples: Samples) -> Any:
    """Eight samples above the training images that are nearest to them, pixel by pixel."""
    chosen = samples.images[:: SAMPLES // ACROSS]
    pictures = torch.from_numpy(chosen).permute(0, 3, 1, 2).contiguous()
    distances, indices = nearest(pictures, run.data)
    found, _ = run.data.fetch(indices[:, 0])
    there = found.permute(0, 2, 3, 1).contiguous().cpu().numpy()
    captions = [f"{distance:.0f}" for distance in distances[:, 0].tolist()]
    return rows([("samples", chosen), ("nearest training image (RMS distance in grey levels above)", there)], captions)
