"""The weights of a network in the files of a diffusers folder: which there are, and what they hold, read as numbers.

diffusion_pytorch_model.safetensors                     what save_pretrained writes
diffusion_pytorch_model.safetensors.index.json          the same in several files
diffusion_pytorch_model.fp16.safetensors                a variant: half precision, averaged weights, ...
diffusion_pytorch_model[.fp16].bin                      of before safetensors: a pickle, read as weights alone
"""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from fromnoise.common.files import read_regular
from fromnoise.common.stored_json import MOST_BYTES, parse_object
from fromnoise.common.text import some

STEM = "diffusion_pytorch_model"
PATTERNS = (  # what to look for, in this order; a later one only where an earlier one is not there
    (f"{STEM}.safetensors",),
    (f"{STEM}.safetensors.index.json", f"{STEM}-*-of-*.safetensors"),
    (f"{STEM}.*.safetensors", f"{STEM}.*.safetensors.index.json", f"{STEM}.*-*-of-*.safetensors"),
    (f"{STEM}*.bin",),
)
_NAME = re.compile(rf"{STEM}(?:\.(?P<variant>[\w-]+?))?\.(?P<kind>safetensors|safetensors\.index\.json|bin)")
_SUFFIXES = (".bin", ".safetensors", ".msgpack", ".pt")
_ORDER = ("safetensors", "safetensors.index.json", "bin")


@dataclass(frozen=True)
class WeightsFile:
    """name: of the file in the network's folder. variant: as diffusers' from_pretrained takes it, "" for none."""

    name: str
    variant: str
    kind: str

    @property
    def note(self) -> str:
        """What is to be said of it; "" for the usual file."""
        more = f"the variant '{self.variant}', " if self.variant else ""
        return f"the weights are those of {self.name}: {more}read in float32" if self.variant else ""


def weights_file(folder: Path) -> WeightsFile:
    """The file of weights in the network's `folder`; ValueError where there is none."""
    found = [match for path in folder.glob(f"{STEM}*") if (match := _NAME.fullmatch(path.name))]
    if not found:
        there = sorted(one.name for one in folder.glob("*") if one.suffix in _SUFFIXES)
        beside = f" ({some(there, 3)} is there)" if there else ""
        raise ValueError(f"{folder.name}/{STEM}.safetensors is missing{beside}")
    best = min(found, key=lambda match: (match["variant"] is not None, _ORDER.index(match["kind"]), match[0]))
    return WeightsFile(best[0], best["variant"] or "", best["kind"])


def read_weights(folder: Path, file: WeightsFile) -> dict[str, Tensor]:
    """The tensors in the file; ValueError for what is damaged, or holds more than weights, which is not executed."""
    place = f"{folder.name}/{file.name}"
    if file.kind == "bin":
        content = torch_content(folder / file.name, place)
        if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
            raise ValueError(f"{place} holds more than weights")
        tensors = {str(name): value for name, value in content.items()}
    elif file.kind == "safetensors":
        tensors = _safetensors(folder / file.name, place)
    else:
        tensors = _parts(folder, file.name, place)
    broken = [n for n, value in tensors.items() if value.is_floating_point() and not bool(torch.isfinite(value).all())]
    if broken:
        raise ValueError(f"{place}: {broken[0]} holds numbers that are not finite")
    return tensors


def _parts(folder: Path, name: str, place: str) -> dict[str, Tensor]:
    """The tensors of all the files that an index names."""
    try:
        index = parse_object(read_regular(folder / name, MOST_BYTES))
        parts = sorted(set(index["weight_map"].values()))
        if not all(isinstance(part, str) and Path(part).name == part for part in parts):
            raise ValueError("it names files elsewhere")
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"{place} is damaged: {' '.join(str(error).split())[:120]}") from error
    tensors: dict[str, Tensor] = {}
    for part in parts:
        tensors |= _safetensors(folder / part, f"{folder.name}/{part}")
    return tensors


def _safetensors(path: Path, place: str) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load(read_regular(path))
    except FileNotFoundError:
        raise ValueError(f"{place} is missing") from None
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{place} is damaged: {' '.join(str(error).split())[:120]}") from error


class MoreThanWeightsError(ValueError):
    """A file of torch.save holds objects whose making could run code."""


def torch_content(file: Path, place: str) -> Any:
    """What torch.save wrote to `file`: tensors and plain containers, as anything else in it could run code.

    Raises:
        MoreThanWeightsError: for a file that holds more, or is not a file of torch.save.
        ValueError: for a damaged one.
        OSError: for one that cannot be read.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's, about how the file was written
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise MoreThanWeightsError(
            f"{place} holds more than weights, or is not a file of torch.save, and nothing in it is executed"
        ) from error
    except OSError:
        raise
    except Exception as error:  # a damaged file: torch's readers raise a great many types
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise ValueError(f"{place} is damaged ({reason})") from error
