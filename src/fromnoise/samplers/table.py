"""Samplers by name: the one place where a new one is added."""

from __future__ import annotations

from fromnoise.samplers.base import Sampler
from fromnoise.samplers.ddim import DDIM
from fromnoise.samplers.dpmpp import DPMpp2M
from fromnoise.samplers.euler import Euler, Heun

SAMPLERS: dict[str, Sampler] = {
    "ddim": DDIM(),
    "ddpm": DDIM(eta=1.0),
    "euler": Euler(),
    "heun": Heun(),
    "dpmpp_2m": DPMpp2M(),
}
