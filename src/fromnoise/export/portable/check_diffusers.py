"""Run by verification.py in a process of its own: load the folder as diffusers' documentation says, and sample.

    python check_diffusers.py FOLDER GIVEN.npz MADE.npy

Nothing of fromnoise is imported, so that the folder proves that it stands alone.
"""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
from diffusers import DiffusionPipeline


def main(folder: str, given_file: str, made_file: str) -> None:
    """Write the images, black 0 and white 1, that the pipeline in `folder` makes of the noise in `given_file`."""
    given = np.load(given_file)
    own_code = isinstance(json.loads(Path(folder, "model_index.json").read_text())["_class_name"], list)
    variant = str(given["variant"]) if "variant" in given else ""
    more = {"trust_remote_code": True} if own_code else {"variant": variant or None}
    pipe = DiffusionPipeline.from_pretrained(folder, **more)
    if str(given["scheduler"]) if "scheduler" in given else "":
        pipe = _with_scheduler(pipe, json.loads(str(given["scheduler"])))
    pipe.set_progress_bar_config(disable=True)
    noise = torch.from_numpy(given["noise"])
    images = _own(pipe, noise, given) if own_code else _stock(pipe, noise, given)
    assert not any(name.startswith("fromnoise") for name in sys.modules)
    np.save(made_file, images.numpy())


def _with_scheduler(pipe: Any, config: dict[str, Any]) -> Any:
    """The same network in the stock pipeline of the scheduler in `config`."""
    name = config.pop("_class_name")
    pipeline = getattr(diffusers, name.replace("Scheduler", "Pipeline"))
    return pipeline(pipe.unet, getattr(diffusers, name)(**config))


def _own(pipe: Any, noise: torch.Tensor, given: Any) -> torch.Tensor:
    labels = given["labels"].tolist() if "labels" in given else None
    x = pipe(class_labels=labels, noise=noise, fresh_noise=torch.from_numpy(given["fresh"]), output_type="pt").images
    low, high = pipe.scheduler.config.low, pipe.scheduler.config.high
    return ((x - low) / (high - low)).clamp(0, 1)


def _stock(pipe: Any, noise: torch.Tensor, given: Any) -> torch.Tensor:
    """The stock classes draw their noise themselves, so the given noise is put where they draw it."""
    if "labels" in given:  # which the stock pipelines do not hand on
        pipe.unet.forward = partial(pipe.unet.forward, class_labels=torch.from_numpy(given["labels"]))
    draws = iter([noise, *torch.from_numpy(given["fresh"])])
    modules = {sys.modules[type(part).__module__] for part in (pipe, pipe.scheduler)}
    for module in modules:
        if hasattr(module, "randn_tensor"):
            setattr(module, "randn_tensor", lambda *args, **kwargs: next(draws))  # noqa: B010 (typed as a module)
    arrays = pipe(batch_size=len(noise), num_inference_steps=int(given["steps"]), output_type="np").images
    return torch.from_numpy(arrays).permute(0, 3, 1, 2)


if __name__ == "__main__":
    main(*sys.argv[1:])
