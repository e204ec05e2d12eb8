"""Files that torch.save wrote of a network's state dict: weights alone, as anything else in them could run code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from fromnoise.common.errors import CheckpointError
from fromnoise.common.text import printable
from fromnoise.data.image_data import ArrayData
from fromnoise.data.loading import load
from fromnoise.model.build import model_spec
from fromnoise.recipes.resolve import Request
from fromnoise.run.diffusers_source import DiffusersSource
from fromnoise.run.metadata import sigma_data_of
from fromnoise.run.weights_files import MoreThanWeightsError, torch_content

_INSIDE = ("ema", "ema_state_dict", "state_dict", "model_state_dict", "model", "net")  # of a training's checkpoint
_PREFIXES = ("module.", "_orig_mod.")  # of DataParallel and torch.compile


def read_state_dict(
    file: Path, data: str, recipe: str, changes: Mapping[str, Any]
) -> tuple[DiffusersSource, ArrayData]:
    """(the model of `recipe` with the weights in `file`, the images that it was trained on).

    Raises:
        CheckpointError: for a file that is missing, damaged, or holds more than weights.
        DataError, UsageError: as for training with these arguments.
    """
    weights, notes = _tensors(file)
    request = Request.read(data, recipe, None, changes)
    options = request.data_options()
    images = load(options)
    settings = request.settings(request.context(images), options)
    # Whether mirrored images were seen is not known of weights: only what is said of them counts.
    seen = replace(settings.data, random_flip=options.random_flip)
    settings = replace(settings, data=seen, train=replace(settings.train, use_ema=False, posthoc_ema=False))
    spec = model_spec(images.spec, settings)
    if settings.net.kind == "unet2d" and not any(name.startswith("unet.") for name in weights):
        weights = {f"unet.{name}": value for name, value in weights.items()}
    counts = tuple(images.label_counts.tolist()) if spec.classes else ()
    sigma_data = sigma_data_of(images, spec)
    return DiffusersSource(file.name, settings, spec, sigma_data, weights, counts, notes=notes), images


def _tensors(file: Path) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """(the weights by name, what is to be said of them)."""
    shown = printable(str(file))
    try:
        content = torch_content(file, shown)
    except MoreThanWeightsError as error:
        raise CheckpointError(f"{error}; save net.state_dict() with torch.save, and give that file") from error
    except OSError as error:
        raise CheckpointError(f"{shown} cannot be read ({error.strerror or error}); give a file that can") from error
    except ValueError as error:
        raise CheckpointError(f"{error}; give a whole file") from error
    notes: tuple[str, ...] = ()
    if isinstance(content, Mapping) and (
        inside := [name for name in _INSIDE if isinstance(content.get(name), Mapping)]
    ):
        content, notes = content[inside[0]], (f"of {shown} the part '{inside[0]}' is read",)
    if not isinstance(content, Mapping) or not content or not all(isinstance(v, Tensor) for v in content.values()):
        raise CheckpointError(f"{shown} holds no state dict; save net.state_dict() with torch.save, and give that file")
    return {_plain(str(name)): value.float() for name, value in content.items()}, notes


def _plain(name: str) -> str:
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    return name
