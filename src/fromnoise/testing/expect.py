"""One sentence for what was expected and what came out."""

from __future__ import annotations

import torch
from torch import Tensor


def expect(holds: bool, sentence: str) -> None:
    """AssertionError with `sentence` unless it holds; also under `python -O`, which drops assert."""
    if not holds:
        raise AssertionError(sentence)


def expect_close(got: Tensor, wanted: Tensor, within: float, what: str) -> None:
    """AssertionError unless the two differ by at most `within` everywhere; `what` begins its sentence."""
    expect(got.shape == wanted.shape, f"{what}: shape {tuple(got.shape)}, expected {tuple(wanted.shape)}")
    expect(bool(torch.isfinite(got).all()), f"{what}: there are values that are not finite")
    difference = float((got - wanted).detach().abs().max()) if got.numel() else 0.0
    expect(difference <= within, f"{what}: differs by {difference:.3g}, allowed are {within:g}")


def random(*shape: int) -> Tensor:
    """The same normal draw each time, float64."""
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
