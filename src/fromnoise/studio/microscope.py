"""One image under the microscope: with noise of any strength, and what the network predicts from it.

x_t = alpha(t) x0 + sigma(t) eps,   the network sees x_t and t (and class and numbers), and predicts x0 and eps
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from fromnoise.common.errors import DataError, UsageError
from fromnoise.diffusion.process import noise_times
from fromnoise.diffusion.samplers.loop import start_noise, starting_point
from fromnoise.figures.encode import png_bytes
from fromnoise.metrics.nearest_neighbours import nearest
from fromnoise.model.samples import noisy_arrays, to_arrays, to_image
from fromnoise.run.folder import RunFolder
from fromnoise.studio.pictures import count_of, numbers_of, picture
from fromnoise.studio.run_data import RunData
from fromnoise.studio.sampling import Models, Wish, checked, text_of
from fromnoise.studio.work import Check

if TYPE_CHECKING:
    from fromnoise.model.trained_model import TrainedModel

NEAREST = 6
MOST_WALK = 60  # steps that are shown
_SPREAD = 3.0  # standard deviations of noise from black to white


@dataclass(frozen=True)
class Slide:
    """What lies under the microscope.

    Arguments:
        source: "training" or "validation" with a `number`, or "drawn" with `pixels`: base64 of uint8 (H, W, C).
        part: of noise beside the image, sigma / (alpha + sigma), above 0 and at most 1.
        seed: of the noise.
        neighbours: whether to look for the training images nearest to the prediction.
    """

    source: str
    number: int
    pixels: str
    part: float
    seed: int
    neighbours: bool


def look(models: Models, folder: RunFolder, wish: Wish, check: Check, data: RunData, slide: Slide) -> dict[str, Any]:
    """{t, alpha, sigma, images, errors, label, count, nearest}: the image, x_t, both predictions, how wrong they are.

    count: how many images there are to choose from.
    """
    _, model = models.get(folder, wish)
    images, own = picture(model.spec, data, folder, slide.source, slide.number, slide.pixels)
    if not 0 < slide.part <= 1:
        raise UsageError(f"part is {slide.part}, but it is above 0 and at most 1; give such a number")
    name = wish.label if wish.label is not None else own
    numbers = {**numbers_of(model.spec, data, folder, slide.source, slide.number), **wish.conditions}
    known = replace(model, label_rows=None)  # an image's own numbers are meant: one that is not known is not drawn
    label = known.labels([0], name, numbers) if numbers or name is not None else _none(model)
    process, spec = model.process, model.spec
    t = noise_times(process, torch.tensor([slide.part], dtype=torch.float64)).clamp(min=process.t_min)
    x0, eps = spec.encode(images), start_noise(process, spec.shape, [slide.seed])
    noisy = process.corrupt(x0, eps, t)
    with checked(model, check), torch.inference_mode():
        found = model.denoiser(noisy.to(model.device), t, None if label is None else label.to(model.device))
    predicted, predicted_eps = found.x0.cpu(), found.eps.cpu()
    alpha, sigma = (float(value) for value in process.scales(t))
    average = _average(data, folder, spec)
    shown = {"image": x0, "noisy": noisy, "prediction": predicted, **({} if average is None else {"average": average})}
    grey = 255 / (spec.high - spec.low)
    errors = {key: float((part - x0).square().mean().sqrt()) * grey for key, part in shown.items() if key != "image"}
    return {
        "t": float(t),
        "alpha": alpha,
        "sigma": sigma,
        "label": name,
        "images": {key: _png(to_arrays(spec, part)[0]) for key, part in shown.items()}
        | {"noisy": _png(noisy_arrays(process, spec, noisy, float(t))[0])}
        | {"noise": _noise(eps), "predicted_noise": _noise(predicted_eps)},
        "errors": errors | {"predicted_noise": float((predicted_eps - eps).square().mean().sqrt())},
        "count": count_of(data, folder, slide.source),
        "nearest": _neighbours(data, folder, spec.decode(predicted)) if slide.neighbours else [],
        "checkpoint": model.images,
    }


def walk(
    models: Models, folder: RunFolder, wish: Wish, check: Check, samplers: Sequence[str], seed: int
) -> dict[str, Any]:
    """{walks}: for each sampler its name and steps from the same noise, each with times, x and the x0 prediction."""
    if wish.settings["steps"] > MOST_WALK:
        raise UsageError(f"steps is {wish.settings['steps']}, but at most {MOST_WALK} are shown; give fewer")
    _, model = models.get(folder, wish)
    walks = []
    with checked(model, check):
        for name in samplers:
            chosen = model.with_sampling(**{**wish.settings, "sampler": name})
            steps = list(chosen.steps([seed], chosen.labels([seed], **wish.on)))
            noise = starting_point(model.process, start_noise(model.process, model.spec.shape, [seed]), steps[0].t)
            frames = [{"t": steps[0].t, "x": _noisy(model, noise, steps[0].t), "x0": None}]
            for step in steps:
                x0 = _png(to_arrays(model.spec, step.estimate.x0)[0])
                frames.append({"t": step.s, "x": _noisy(model, step.x, step.s), "x0": x0})
            walks.append({"sampler": name, "frames": frames, "evaluations": steps[-1].evaluations})
    return {"walks": walks, "checkpoint": model.images}


def _none(model: TrainedModel) -> Tensor | None:
    """The label of an image without a class."""
    return torch.tensor([model.spec.null_label]) if model.spec.conditioned and model.sees_unlabelled else None


def _average(data: RunData, folder: RunFolder, spec: Any) -> Tensor | None:
    """The mean training image, which is the best prediction from nothing but noise."""
    mean = data.mean(folder)
    return None if mean is None else spec.encode(mean[None].clone())  # `encode` works in place on floats


def _neighbours(data: RunData, folder: RunFolder, images: Tensor) -> list[dict[str, Any]]:
    """The nearest training images; none where these are gone, as for a run that was unpacked or imported."""
    try:
        training = data.run(folder).data
    except DataError:
        return []
    distances, places = nearest(images, training, min(NEAREST, len(training)))
    found = training.subset(places[0])
    pixels, labels = found.images[:], found.labels
    return [
        {
            "number": int(place),
            "distance": float(distance),
            "label": None if labels is None else training.spec.classes[int(labels[i])],
            "image": _png(pixels[i].permute(1, 2, 0).numpy()),
        }
        for i, (place, distance) in enumerate(zip(places[0], distances[0]))
    ]


def _noise(eps: Tensor) -> str:
    """Noise as grey: none is the middle."""
    unit = (eps[0] / (2 * _SPREAD) + 0.5).clamp(0, 1).mul(255).round().byte()
    return _png(unit.permute(1, 2, 0).numpy())


def _noisy(model: TrainedModel, x: Tensor, t: float) -> str:
    return _png(noisy_arrays(model.process, model.spec, x, t)[0])


def _png(array: Any) -> str:
    return text_of(png_bytes(to_image(array)))
