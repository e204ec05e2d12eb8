"""The processes that every check goes through, and that the samplers' orders are stated on.

A run builds its own from `process.kind` and the settings beside it; these are the usual ones, and the edge cases.
"""

from __future__ import annotations

from fromnoise.diffusion.process import VE, Linear, Normal, Process, Uniform
from fromnoise.diffusion.vp import VP, VPContinuous, VPCosine, VPLinear, continuous_limit

_SCALED = VP("scaled_linear", 1000, 0.00085, 0.012)

PROCESS_CASES: dict[str, Process] = {
    "linear": Linear(Normal()),
    "chapter": Linear(Uniform()),
    "vp": VPLinear(),
    "vp_scaled": _SCALED,
    "vp_cosine": VPCosine(),
    "vp_zero": VP(zero_terminal_snr=True),
    "vp_limit": continuous_limit(VPLinear()),
    "vp_scaled_limit": continuous_limit(_SCALED),
    "vp_cosine_limit": VPContinuous("squaredcos_cap_v2"),
    "ve": VE(),
}
