"""Do the images use the range they are stored in, and do samples have the data's brightness and contrast?"""

from __future__ import annotations

import torch

from fromnoise.diagnosis.context import Case, spread
from fromnoise.diagnosis.finding import Finding
from fromnoise.metrics.pixel_statistics import pixel_statistics

_DARK = 24  # grey levels: images that never rise above are not what somebody sees when he looks at them
_NARROW = 96
_IMAGES = 4096


def grey_levels(case: Case) -> Finding:
    """The grey levels that the training images use."""
    images = case.run.data.fetch(spread(len(case.run.data), _IMAGES))[0].cpu()
    low, high = int(images.min()), int(images.max())
    numbers = {"lowest": low, "highest": high}
    used = f"The training images use grey levels {low} to {high} of 0 to 255"
    if high <= _DARK or high - low <= _DARK:
        if high <= 1:
            says = f"{used}: they seem to hold 0 to 1 where 0 to 255 is expected, so all of them are black."
            do = "multiply them by 255 before saving them as uint8, and train again"
        elif high in (15, 16):
            says = f"{used}: nothing is above 6 % of the range, as in 12-bit pictures kept in 16-bit files."
            do = "multiply the files' values by 16 (4,095 becomes 65,520), and train again"
        else:
            says = f"{used}: nearly nothing of the range, so noise and image cannot be told apart."
            do = "stretch the images to the whole range (`fromnoise data inspect` shows them), and train again"
        return Finding("grey levels", "fault", says, do, numbers)
    if high - low <= _NARROW:
        do = "stretch the images to the whole range, if their contrast does not matter"
        return Finding("grey levels", "worth knowing", f"{used}, so their contrast is low.", do, numbers)
    return Finding("grey levels", "good", f"{used}.", "", numbers)


def tint(case: Case) -> Finding:
    """Brightness, contrast and colour of samples against the training images."""
    reference = case.run.data.fetch(spread(len(case.run.data), _IMAGES))[0].cpu()
    found = pixel_statistics(case.samples.images, reference)
    mean, std = torch.tensor(found.mean), torch.tensor(found.std)
    true_mean, true_std = torch.tensor(found.reference_mean), torch.tensor(found.reference_std)
    off = mean - true_mean
    contrast = float((std / true_std.clamp(min=1)).mean())
    shift = float(off.mean())
    tinted = float((off - off.mean()).abs().max()) if off.numel() > 1 else 0.0
    numbers = {
        "mean": mean.tolist(),
        "reference_mean": true_mean.tolist(),
        "std": std.tolist(),
        "reference_std": true_std.tolist(),
        "histogram_distance": found.histogram_distance,
    }
    spread_of_means = max(8.0, 0.25 * float(true_std.mean()))
    said = []
    if tinted > spread_of_means:
        said.append(f"tinted (a channel is {tinted:.0f} grey levels off the others)")
    if abs(shift) > spread_of_means:
        said.append(f"{'brighter' if shift > 0 else 'darker'} by {abs(shift):.0f} grey levels")
    if contrast < 0.75:
        said.append(f"washed out ({100 * contrast:.0f} % of the contrast)")
    elif contrast > 1.25:
        said.append(f"over-saturated ({100 * contrast:.0f} % of the contrast)")
    if not said:
        says = (
            f"Samples have the data's brightness (off by {shift:+.1f} grey levels) and {100 * contrast:.0f} % of its "
            "contrast."
        )
        return Finding("colour", "good", says, "", numbers)
    says = f"Compared with the training images, samples are {', '.join(said)}."
    do = "train longer; with strong guidance try --guidance_rescale 0.7 or a lower --guidance_scale"
    return Finding("colour", "worth knowing", says, do, numbers)
