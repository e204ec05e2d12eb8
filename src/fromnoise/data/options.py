"""What data to read and how to fit it to one size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fromnoise.options import option


@dataclass(frozen=True)
class DataOptions:
    """Where images come from and how they become one shape."""

    source: str = option("digits", "a data set's name, a folder or .zip of images, .npz, IDX, or hf:owner/name")
    resolution: str | None = option(
        None, "32 (square) or HEIGHTxWIDTH such as 48x64; if not given, found from the files"
    )
    center_crop: bool = option(True, "crop the centre to the wanted shape (otherwise images are squeezed into it)")
    random_flip: bool = option(False, "mirror each training image left-right half of the time")
    holdout: float = option(
        0.1, "share of the images kept out of training where the data has no test split", least=0, most=0.5
    )
    on_bad_image: Literal["error", "skip"] = option("error", "stop at a file that cannot be read, or leave it out")
