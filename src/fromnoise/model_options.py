"""Which process, what the network predicts, and how its loss is weighed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fromnoise.options import option


@dataclass(frozen=True)
class ProcessOptions:
    """The path from image to noise; prior is for "linear" only, steps to zero_terminal_snr for "vp" and its limit."""

    kind: Literal["linear", "vp", "vp_continuous", "ve"] = option(
        "linear", "straight mix, variance preserving (DDPM's table, or its limit), or variance exploding (EDM)"
    )
    prior: Literal["normal", "uniform"] = option("normal", "the law of the noise on a linear path")
    betas: Literal["linear", "scaled_linear", "squaredcos_cap_v2"] = option(
        "linear", "the noise schedule of a VP process"
    )
    steps: int = option(1000, "entries in the table of a VP process", least=3)
    beta_start: float = option(1e-4, "the first beta of a linear or scaled linear schedule", least=1e-8, most=0.999)
    beta_end: float = option(0.02, "the last one", least=1e-8, most=0.999)
    zero_terminal_snr: bool = option(False, "make the last entry of a VP process pure noise")
    low: float = option(-1.0, "what black is to the network: -1, or 0 as in the chapter", least=-1, most=0)


@dataclass(frozen=True)
class ObjectiveOptions:
    """What the network says, and which errors count how much."""

    prediction: Literal["x0", "eps", "v", "velocity", "edm"] = option("x0", "what the network predicts")
    weighting: Literal["unit", "snr", "truncated_snr", "min_snr", "edm", "sigmoid"] = option(
        "unit", "how noise levels are weighed"
    )
    times: Literal["uniform", "stratified", "logit_normal", "log_normal", "discrete", "importance"] = option(
        "logit_normal", "the law of training times"
    )
    label_dropout: float = option(0.1, "share of images shown without their class", least=0, most=1)
    sigma_data: float | None = option(None, "standard deviation of the data; measured if not given", least=1e-6)
