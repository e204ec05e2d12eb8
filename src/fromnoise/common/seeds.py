"""Randomness as a function of (seed, purpose, position), never a state that has to be saved.

The generator for step 500 of a run is made from the run's seed, "training noise" and 500; that for sample 17 from
(0, "sample", 17). So a resumed run draws what an uninterrupted one draws, and sample
17 is sample 17 at any batch size.
"""

from __future__ import annotations

import hashlib

import torch

_MASK = 0xFFFFFFFF


def _mix(h: int) -> int:
    """A bijection on 32 bits that scatters neighbours (the finaliser of MurmurHash3)."""
    h = ((h ^ (h >> 16)) * 0x85EBCA6B) & _MASK
    h = ((h ^ (h >> 13)) * 0xC2B2AE35) & _MASK
    return h ^ (h >> 16)


def key(seed: int, purpose: str, *position: int) -> int:
    """A 64-bit number from (seed, purpose, position), the same on every machine.

    Torch's CPU generator uses only the low 32 bits, so these are built to differ for every value of the last
    position below 2**32: no two samples can start from the same noise by accident.
    """
    head = hashlib.sha256(f"{seed}/{purpose}/{position[:-1]}".encode()).digest()
    last = position[-1] if position else 0
    low = _mix(int.from_bytes(head[:4], "big") ^ _mix(last & _MASK))
    high = int.from_bytes(hashlib.sha256(head + str(last).encode()).digest()[:4], "big") >> 1
    return (high << 32) | low


def generator(seed: int, purpose: str, *position: int, device: str | torch.device = "cpu") -> torch.Generator:
    """A fresh generator on `device` for `purpose` at `position` (a step, an epoch, a sample's number)."""
    return torch.Generator(device=device).manual_seed(key(seed, purpose, *position))
