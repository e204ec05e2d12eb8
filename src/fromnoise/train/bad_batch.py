"""The batch after which a loss was not finite, written down so that it can be looked at again.

    bad_batch.json   {"step": 173, "seed": 0, "indices": [5, 801, ...], "images": 22016, ...}

Images, noise, times and dropped labels follow from seed and step, so the record and the run's data are enough.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from fromnoise.common.stored_json import write_stored
from fromnoise.data.batches import WHOLE
from fromnoise.diffusion.objective import training_loss
from fromnoise.train.losses import StepLoss
from fromnoise.train.trainer import Trainer

FILE = "bad_batch.json"


def record_bad_batch(folder: Path, trainer: Trainer, entry: StepLoss) -> Path:
    """Write bad_batch.json for the step `entry`, the first of a streak whose loss was not finite. Raises WriteError."""
    indices = getattr(trainer.batches, "indices", None)  # a source of batches need not have them
    content: dict[str, Any] = {
        "step": entry.step,
        "images": entry.images,
        "loss": str(entry.loss),
        "seed": trainer.options.seed,
        "indices": None if indices is None else indices(entry.step - 1).tolist(),
        "micro_batch": trainer.update.micro_batch,
    }
    return write_stored(folder / FILE, content, advice="free some space")


def replay(trainer: Trainer, step: int) -> Tensor:
    """The losses (B,) of the batch of the `step`-th update (from 1) under the present weights of `trainer`.

    Where a distillation matches samples, these are the distances to the ends of trajectories: nothing is said of the
    follower, whose losses may be what was not finite.
    """
    return training_loss(trainer.denoiser, trainer.objective, *trainer.pairs(step - 1, WHOLE)).per_image.detach()
