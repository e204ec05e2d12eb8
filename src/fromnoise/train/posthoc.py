"""The length of the weight average, chosen after training (Karras et al. 2024, section 3.2): the mathematics.

An average over steps (0, T] weighs the weights at time tau by its profile; `Ema` does so exactly, step by step:

    p(tau) = (gamma + 1) tau^gamma / T^(gamma + 1) for 0 < tau <= T, else 0

Two averages of fixed lengths are followed while training and kept now and then, each at its own time. An average of
another length is the sum of the kept ones whose profile lies nearest to the wanted p:

    minimise |sum_i x_i p_i - p|^2 + RIDGE |p|^2 |x|^2   over x with sum_i x_i = 1
    <p_a, p_b> = (a + 1) (b + 1) / (a + b + 1) * (T / T_a)^a (T / T_b)^b T / (T_a T_b),   T = min(T_a, T_b)

where a, b are the powers gamma. The paper solves the first term alone. The sum makes weights that stand still come out
as they are; the ridge keeps large opposite coefficients away, which would magnify the rounding of what is kept.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fromnoise.train.ema import Ema, power_for

LENGTHS = (0.05, 0.1)  # of the averages that are followed
SHORTEST, LONGEST = 0.01, 0.28  # lengths that may be asked for
RIDGE = 1e-5


def followed(net: nn.Module, ema: Ema, ema_length: float) -> dict[float, Ema]:
    """The averages of LENGTHS by length, begun at `net`; `ema` itself where its `ema_length` is one of them."""
    return {length: ema if length == ema_length else Ema(net, length) for length in LENGTHS}


def inner(first_end: Tensor, first: Tensor, second_end: Tensor, second: Tensor) -> Tensor:
    """<p_a, p_b> of profiles with ends T_a, T_b in steps and powers a, b; float64 tensors that broadcast."""
    end = torch.minimum(first_end, second_end)
    share = (first + 1) * (second + 1) / (first + second + 1)
    return share * (end / first_end) ** first * (end / second_end) ** second * end / (first_end * second_end)


def coefficients(ends: Tensor, lengths: Tensor, end: float, length: float) -> tuple[Tensor, float]:
    """(x, misfit) for averages with `ends` in steps and relative `lengths`, both (K,), and one of `length` at `end`.

    x: float64 (K,), which add up to 1. misfit: |sum_i x_i p_i - p| / |p|, 0 where the wanted profile is met. No two
    averages may have both end and length in common.
    """
    powers = torch.tensor([power_for(one) for one in lengths.tolist()], dtype=torch.float64)
    ends, count = ends.double(), len(ends)
    wanted_end, wanted = torch.tensor(end, dtype=torch.float64), torch.tensor(power_for(length), dtype=torch.float64)
    size = inner(wanted_end, wanted, wanted_end, wanted)  # |p|^2, by which all is divided: of order 1 in any unit
    among = inner(ends[:, None], powers[:, None], ends, powers) / size
    towards = inner(ends, powers, wanted_end, wanted) / size
    system = torch.ones(count + 1, count + 1, dtype=torch.float64)  # the last row and column hold the sum
    system[:count, :count] = among + RIDGE * torch.eye(count, dtype=torch.float64)
    system[count, count] = 0
    x = torch.linalg.solve(system, torch.cat([towards, torch.ones(1, dtype=torch.float64)]))[:count]
    return x, float((x @ among @ x - 2 * x @ towards + 1).clamp(min=0).sqrt())
