"""The grey levels that the training images use, and the brightness, contrast and colour of samples beside them."""

from __future__ import annotations

import torch
from torch import Tensor

from fromnoise.data.image_data import ArrayData
from fromnoise.data.value_range import DARK, NARROW, Stored, range_note
from fromnoise.diagnosis.finding import Finding
from fromnoise.diagnosis.images import choose_images
from fromnoise.metrics.pixel_statistics import pixel_statistics

_IMAGES = 4096
_VARIES = 16.0  # grey levels: a channel that is constant in the data varies where its samples deviate by so much


def grey_levels(data: ArrayData) -> Finding:
    """The grey levels that the training images `data` use, in the words in which reading them spoke of their range."""
    images = choose_images(data, _IMAGES).images
    low, high = int(images.min()), int(images.max())
    numbers = {"lowest": low, "highest": high, "range": data.range}
    used = f"The training images use grey levels {low} to {high} of 0 to 255"
    said = next((note for note in data.notes if note.startswith("range:")), "")
    if data.range != "full" or high - low > NARROW:
        return Finding("grey levels", "ok", f"{used}{f' ({said})' if said else ''}.", "", numbers)
    said = said or "; ".join(range_note(Stored(low, high, 255), None)) or "range: all pixels are the same"
    if high <= DARK or high - low <= DARK:
        advice = "train again with the range that the images fill (`--set data.range=LOW-HIGH`)"
        return Finding("grey levels", "error", f"{used}, so noise hides them ({said}).", advice, numbers)
    advice = "train again with the range that they fill, if their contrast does not matter"
    return Finding("grey levels", "warning", f"{used}, so their contrast is low ({said}).", advice, numbers)


def sample_colour(samples: Tensor, data: ArrayData) -> Finding:
    """Brightness, contrast and colour of `samples`, uint8 (N, C, H, W), beside the training images `data`."""
    reference = choose_images(data, _IMAGES).images
    found = pixel_statistics(samples, reference)
    mean, std = torch.tensor(found.mean), torch.tensor(found.std)
    true_mean, true_std = torch.tensor(found.reference_mean), torch.tensor(found.reference_std)
    off = mean - true_mean
    varied = (true_std >= 1) | (std >= _VARIES)  # a channel that is constant in both has none
    contrast = float((std / true_std.clamp(min=1))[varied].mean()) if bool(varied.any()) else 1.0
    shift = float(off.mean())
    tinted = float((off - off.mean()).abs().max()) if off.numel() > 1 else 0.0
    numbers = {
        "mean": mean.tolist(),
        "reference_mean": true_mean.tolist(),
        "std": std.tolist(),
        "reference_std": true_std.tolist(),
        "histogram_distance": found.histogram_distance,
    }
    tolerance = max(8.0, 0.25 * float(true_std.mean()))
    differences = []
    if tinted > tolerance:
        differences.append(f"tinted (a channel is {tinted:.0f} grey levels off the others)")
    if abs(shift) > tolerance:
        differences.append(f"{'brighter' if shift > 0 else 'darker'} by {abs(shift):.0f} grey levels")
    if contrast < 0.75:
        differences.append(f"washed out ({100 * contrast:.0f} % of the contrast)")
    elif contrast > 1.25:
        differences.append(f"over-saturated ({100 * contrast:.0f} % of the contrast)")
    if not differences:
        message = (
            f"Samples have the data's brightness (off by {shift:+.1f} grey levels) and {100 * contrast:.0f} % of its "
            "contrast."
        )
        return Finding("colour", "ok", message, "", numbers)
    message = f"Compared with the training images, samples are {', '.join(differences)}."
    advice = "train longer; with strong guidance try --guidance_rescale 0.7 or a lower --guidance_scale"
    return Finding("colour", "warning", message, advice, numbers)
