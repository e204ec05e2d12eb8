"""Samplers by name: the one place where a new one is added; and the order that each attains."""

from __future__ import annotations

from fromnoise.diffusion.samplers.base import Sampler
from fromnoise.diffusion.samplers.ddim import DDIM
from fromnoise.diffusion.samplers.euler import Euler, Heun
from fromnoise.diffusion.samplers.ipndm import IPNDM
from fromnoise.diffusion.samplers.multistep import DPMpp, UniPC
from fromnoise.diffusion.samplers.stochastic import EDMStochastic, Renoise

SAMPLERS: dict[str, Sampler] = {
    "ddim": DDIM(),
    "mix": DDIM(straight=True),
    "ddpm": DDIM(eta=1.0),
    "ddpm_large": DDIM(eta=1.0, large=True),
    "euler": Euler(),
    "heun": Heun(),
    "euler_ancestral": DDIM(eta=1.0),
    "dpmpp_2m": DPMpp(2),
    "dpmpp_3m": DPMpp(3),
    "unipc_2": UniPC(2),
    "unipc_3": UniPC(3),
    "ipndm_4": IPNDM(),
    "edm": EDMStochastic(),
    "renoise": Renoise(),
}

STATED_ON = ("linear", "vp", "vp_scaled", "vp_cosine", "ve")
"""The columns of ORDERS: processes by their names in PROCESS_CASES, each with its recommended grid."""

ORDERS: dict[str, tuple[float | None, ...]] = {
    "ddim": (1.0, 1.0, 1.0, 1.0, 1.0),
    "mix": (1.0, None, None, None, None),
    "euler": (1.0, 1.0, 1.0, 1.0, 1.0),
    "heun": (2.0, 2.0, 2.0, 2.1, 2.1),
    "dpmpp_2m": (1.7, 2.1, 2.1, 2.1, 2.1),
    "dpmpp_3m": (2.0, 3.0, 3.0, 2.7, 3.1),
    "unipc_2": (2.1, 3.1, 3.1, 3.1, 3.1),
    "unipc_3": (2.1, 4.1, 4.1, 4.1, 4.1),
    "ipndm_4": (1.9, 2.0, 1.6, 2.1, 2.1),
}
"""At which power of the number of steps the error falls between 40 and 160 of them, from a cold start.

Measured by `fromnoise.testing.attained_order` on normally distributed images, N(0.4, 0.5^2); the tests hold these
numbers to it. A uniform grid on a linear path ends in a first-order step of length 1 / n, which is why no method passes
order 2 there.
"""

LESS_ON_PEAKS = 0.9
"""By how much an order may be less on `fromnoise.testing.Mixture`, whose narrow peaks form late."""
