"""The figures of a report: samples, training curves, corruption, x0 predictions, trajectory, nearest images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fromnoise.common.text import time_words
from fromnoise.data.image_data import ArrayData
from fromnoise.diffusion.process import noise_times
from fromnoise.diffusion.samplers.loop import start_noise
from fromnoise.figures.encode import FigureLike
from fromnoise.figures.grid import grid
from fromnoise.figures.image_rows import rows
from fromnoise.metrics.nearest_neighbours import nearest
from fromnoise.model.samples import Samples, noisy_arrays, to_arrays
from fromnoise.model.trained_model import TrainedModel
from fromnoise.report.training_curves import MetricsLines, training_curves
from fromnoise.report.trajectory import ROWS, Trajectory

ACROSS = 8  # images per row
SAMPLES = 64
TRAJECTORIES = 3
NOISE_LEVELS = (0.1, 0.25, 0.5, 0.75, 0.9, 1.0)  # shares of noise, see `noise_times`


@dataclass(frozen=True)
class RunFigures:
    """Figures by name, and the samples that stand in the figure "samples"."""

    figures: dict[str, FigureLike]
    samples: Samples


def run_figures(model: TrainedModel, train: ArrayData | None, metrics: MetricsLines) -> RunFigures:
    """The figures of a report.

    Arguments:
        train: the training images; None where they are gone, and then the figures that need them are left out.
        metrics: the lines of metrics.jsonl.
    """
    samples = model.sample_labelled(range(SAMPLES), _labels(model))
    figures: dict[str, Any] = {"samples": grid(samples.images, columns=ACROSS), **training_curves(metrics)}
    figures["trajectory"] = Trajectory.of(model, range(TRAJECTORIES)).strip(ROWS[:2])
    if train is not None:
        figures["corruption"] = _corruption(model, train)
        figures["predictions"] = one_step_predictions(model, train)
        figures["nearest"] = _nearest(samples, train)
    return RunFigures(figures, samples)


@torch.no_grad()
def one_step_predictions(model: TrainedModel, train: ArrayData) -> Any:
    """Eight training images at several noise levels, each row above the x0 predictions from it in one step."""
    process, spec = model.process, model.spec
    images, labels = train.fetch(_spread(len(train)))
    labels = None if labels is None or not spec.conditioned else labels.to(model.device)
    x0, eps = spec.encode(images), start_noise(process, spec.shape, range(ACROSS))
    titled = [("clean image", to_arrays(spec, x0))]
    for time in noise_times(process, torch.tensor(NOISE_LEVELS, dtype=torch.float64)).tolist():
        t = torch.full((ACROSS,), max(process.t_min, time), dtype=torch.float64)
        noisy = process.corrupt(x0, eps, t)
        estimate = model.denoiser(noisy.to(model.device), t, labels)
        shown = noisy_arrays(process, spec, noisy, float(t[0]))
        titled += [(f"t = {time_words(float(t[0]), 3)}, noisy", shown), ("x0 prediction", to_arrays(spec, estimate.x0))]
    return rows(titled, beside=True)


def _labels(model: TrainedModel) -> Tensor | None:
    """Labels for the grid of samples: one class after the other, so that rows and columns can be read."""
    classes = len(model.spec.classes)
    if not classes or classes > SAMPLES:
        return model.labels(range(SAMPLES))
    return model.completed(range(SAMPLES), torch.arange(SAMPLES) * classes // SAMPLES)


def _spread(count: int) -> Tensor:
    """Eight places spread over the data, so that a data set sorted by class shows several."""
    return torch.linspace(0, count - 1, ACROSS).long()


def _corruption(model: TrainedModel, train: ArrayData) -> Any:
    """Eight training images, and the same with noise increasing from none to all."""
    process, spec = model.process, model.spec
    images, _ = train.fetch(_spread(len(train)))
    x0 = spec.encode(images)
    t = noise_times(process, torch.linspace(0, 1, ACROSS, dtype=torch.float64))
    noisy = process.corrupt(x0, start_noise(process, spec.shape, range(ACROSS)), t)
    parts = [noisy_arrays(process, spec, one[None], time) for one, time in zip(noisy, t.tolist(), strict=True)]
    clean, corrupted = to_arrays(spec, x0), np.concatenate(parts)
    return rows([("Input data", clean), ("Corrupted data (-- amount increases -->)", corrupted)])


def _nearest(samples: Samples, train: ArrayData) -> Any:
    """Eight samples above the training images that are nearest to them, pixel by pixel."""
    chosen = samples.images[:: SAMPLES // ACROSS]
    distances, indices = nearest(torch.from_numpy(chosen).permute(0, 3, 1, 2).contiguous(), train)
    found, _ = train.fetch(indices[:, 0])
    images = found.permute(0, 2, 3, 1).contiguous().cpu().numpy()
    captions = [f"{distance:.0f}" for distance in distances[:, 0].tolist()]
    title = "nearest training images (RMS distance in grey levels above)"
    return rows([("samples", chosen), (title, images)], captions)
