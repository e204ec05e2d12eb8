"""Run by torch_file.py in a process of its own: load the file as torch's documentation says, and run it.

    python check_torch.py FILE GIVEN.npz MADE.npy

Nothing of fromnoise is imported, so that the file proves that it stands alone.
"""

from __future__ import annotations

import sys

import numpy as np
import torch


def main(file: str, given_file: str, made_file: str) -> None:
    """Write what the module in `file` makes of the first images in `given_file`, for each of its `batches`."""
    given = dict(np.load(given_file))
    batches = given.pop("batches").tolist()
    module = torch.export.load(file).module()
    made = []
    for batch in batches:
        inputs = {name: torch.from_numpy(_first(name, value, batch)) for name, value in given.items()}
        with torch.no_grad():
            made.append(module(**inputs).numpy())
    assert not any(name.startswith("fromnoise") for name in sys.modules)
    np.save(made_file, np.concatenate(made))


def _first(name: str, value: np.ndarray, batch: int) -> np.ndarray:
    """The first `batch` images' part of an input; "fresh" counts draws before images."""
    if not value.ndim:
        return value
    return value[:, :batch] if name == "fresh" else value[:batch]


if __name__ == "__main__":
    main(*sys.argv[1:])
