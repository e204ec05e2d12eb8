"""Inception features, those of published FID values: 2048 dimensions, through torch-fidelity.

Szegedy et al. 2016, https://arxiv.org/abs/1512.00567, with the weights of 2015-12-05 that Heusel et al. 2017
(https://arxiv.org/abs/1706.08500) chose; images are resized to 299x299 as TensorFlow 1 did it. With other weights or
another resize, values cannot be compared with published ones. Needs the extra "fid" (torch-fidelity and torchvision)
and a file of weights, 91 MB.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fromnoise.common.errors import DataError, UsageError
from fromnoise.common.extras import extra
from fromnoise.common.memory import BatchLimit
from fromnoise.common.text import first_line
from fromnoise.data.download import expanded, offline, within_reach
from fromnoise.data.rows import Pixels
from fromnoise.metrics.checks import hash_of
from fromnoise.metrics.features import Features

FILE = "weights-inception-2015-12-05-6726825d.pth"
URL = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{FILE}"
DIM = 2048
_NETWORK = "inception-v3-compat"
_AT_ONCE = 16  # images of 299x299; the first layers hold 90 MB for them


def recipe() -> dict[str, Any]:
    """All that decides the features besides the weights, as a plain dict."""
    return {
        "version": 1,
        "library": "torch-fidelity 0.4",
        "network": _NETWORK,
        "layer": str(DIM),
        "resize": "299x299, as TensorFlow 1",
        "type": "float32",
        "grey": "three equal channels",
        "transparent": "over white",
    }


def recipe_hash() -> str:
    """Sixteen hex digits that change with the recipe."""
    return hashlib.sha256(json.dumps(recipe(), sort_keys=True).encode()).hexdigest()[:16]


def inception(weights: str | Path | None = None) -> Features:
    """The feature space "inception" of 2048 dimensions; on a CPU about 5 images per second and core.

    Arguments:
        weights: torch-fidelity's file. Without it, the file is looked for where torch-fidelity keeps it (torch.hub's
            checkpoints), else downloaded to there.

    Raises:
        UsageError: without the extra "fid".
        DataError: for weights that are missing or not those of Inception; without a network connection within seconds,
            with FROMNOISE_OFFLINE at once.

    References:
        Heusel et al. 2017, https://arxiv.org/abs/1706.08500
    """
    build = _builder()
    path = _found(weights)
    _check(path)
    try:
        net = build(_NETWORK, [str(DIM)], feature_extractor_weights_path=str(path))
    except RuntimeError as error:  # names or shapes that do not fit
        raise DataError(f"{path} has other weights than torch-fidelity's Inception; give {FILE} from {URL}") from error
    about = "Inception, trained on photographs (ImageNet)"
    return Features("inception", about, DIM, recipe_hash(), hash_of(net)[:16], lambda images: _features(net, images))


def _builder() -> Callable[..., nn.Module]:
    try:
        with extra("fid", "feature space inception"):
            from torch_fidelity import FeatureExtractorInceptionV3
    except RuntimeError as error:
        raise UsageError(
            f"torch-fidelity is installed but cannot be loaded ({first_line(error)}); install the torchvision "
            f"that goes with torch {torch.__version__}"
        ) from error
    return FeatureExtractorInceptionV3  # type: ignore[no-any-return]


def _found(weights: str | Path | None) -> Path:
    """Where the weights are, downloaded if need be."""
    if weights is not None:
        path = expanded(weights)
        if not path.is_file():
            raise DataError(f"there is no file {path}; give {FILE} from {URL}")
        return path
    path = Path(torch.hub.get_dir()) / "checkpoints" / FILE
    if path.is_file():
        return path
    if offline():
        raise _missing(path, "FROMNOISE_OFFLINE is set")
    if not within_reach(URL):
        raise _missing(path, "github.com cannot be reached")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(URL, str(path))
    except OSError as error:
        raise _missing(path, f"the download broke off ({error})") from error
    return path


def _missing(path: Path, why: str) -> DataError:
    return DataError(
        f"the weights of Inception are not on this machine and cannot be downloaded ({why}); put {FILE} from {URL} "
        f"into {path.parent}, or measure in the features 'domain', which need no download"
    )


def _check(path: Path) -> None:
    """DataError for a file that is not a plain dict of tensors: torch-fidelity would run whatever code it holds."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        sound = isinstance(state, dict) and all(isinstance(value, Tensor) for value in state.values())
    except Exception as error:  # zip, pickle and torch each raise errors of their own
        raise DataError(f"{path} cannot be read as weights, or is damaged; give {FILE} from {URL}") from error
    if not sound:
        raise DataError(f"{path} does not hold weights; give {FILE} from {URL}")


@torch.no_grad()
def _features(net: nn.Module, images: Pixels) -> Tensor:
    """float32 (N, 2048) on the CPU for uint8 images (N, C, H, W) of 1, 3 or 4 channels."""
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] not in (1, 3, 4):
        given = f"{str(images.dtype).removeprefix('torch.')} {tuple(images.shape)}"
        raise DataError(f"the images are {given}, but Inception takes uint8 (N, 1, 3 or 4, H, W); convert them first")
    if not len(images):
        return torch.zeros(0, DIM)
    return BatchLimit(_AT_ONCE).map(lambda part: net(rgb(images[part].cpu()))[0], len(images))


def rgb(images: Tensor) -> Tensor:
    """Three channels: grey repeated, RGBA laid over white."""
    if images.shape[1] == 4:
        colour, opaque = images[:, :3].float(), images[:, 3:].float() / 255
        return (colour * opaque + 255 * (1 - opaque)).round().byte()
    return images.expand(-1, 3, -1, -1)
