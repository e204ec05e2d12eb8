"""What all metrics share: checks of what they are given, the digest of a network, and slices to work piece by piece."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from torch import Tensor, nn

from fromnoise.common.errors import DataError
from fromnoise.common.threads import following_load

_CHUNK = 4096


def checked(features: Tensor, least: int) -> Tensor:
    """`features` (N, d) without their gradient, on the CPU; DataError for fewer than `least` rows or other values
    than finite floats.
    """
    if features.ndim != 2 or not features.is_floating_point() or features.shape[1] < 1:
        given = f"{str(features.dtype).removeprefix('torch.')} {tuple(features.shape)}"
        raise DataError(f"the features are {given}, but floats (N, d) are needed; give one row for each image")
    if len(features) < least:
        raise DataError(f"there are features of {len(features)} images, but at least {least} are needed; give more")
    features = features.detach().cpu()
    if not all(bool(features[part].isfinite().all()) for part in parts(len(features), _CHUNK)):
        raise DataError("some features are not finite, so nothing can be measured; look for NaN in the images")
    return features


def alike(first: int, second: int) -> None:
    """DataError unless both numbers of dimensions are the same."""
    if first != second:
        raise DataError(
            f"one set has {first} features per image and the other {second}, so they lie in different spaces; "
            "embed both with the same network"
        )


def hash_of(net: nn.Module) -> str:
    """SHA-256 over names and values of all weights, as 64 hex digits."""
    digest = hashlib.sha256()
    for name, value in sorted(net.state_dict().items()):
        digest.update(name.encode() + value.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def parts(count: int, size: int) -> Iterator[slice]:
    """Slices of at most `size`, and at least 1, that cover 0 to `count`."""
    size = max(1, size)
    return following_load(slice(begin, min(begin + size, count)) for begin in range(0, count, size))
